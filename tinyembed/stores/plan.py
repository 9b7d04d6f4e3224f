"""The plan of a store: which files it is made from, in which tasks. Nothing is opened for it.

    files.txt     a line of JSON per file: composer, name, path; or composer, name, null, reason
    plan.json     the options, the number of files, where each task begins in files.txt, its SHA-256

The list is written file by file and read task by task, so that millions of files take no memory.
"""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.music.folders import NOT_REGULAR, PASSED_OVER, READ, passed_over, trouble_with, walk
from tinyembed.storage.files import named, reading
from tinyembed.storage.progress import progress_bar
from tinyembed.storage.records import read_versioned, write_record
from tinyembed.storage.temporary import temporary_name
from tinyembed.storage.text import printable
from tinyembed.storage.values import boolean, text, texts, whole, wholes

VERSION = 1
AGAIN = "build the store again, in another folder"
FILES_PER_TASK = 1000
MOST_FILES = 10**9
OPTIONS = {"sources": "sources", "any_meter": "--any-meter", "files_per_task": "--files-per-task"}
RULES = {
    "version": whole(1),
    "sources": texts(10_000, printed=True),
    "any_meter": boolean(),
    "files": whole(1, MOST_FILES),
    "files_per_task": whole(1, 1 << 20),
    "digest": text(),
    "offsets": wholes(),
    "notes": texts(10_000),
}


@dataclass(frozen=True)
class Plan:
    """What is to be read. folder: of the store; the rest: see `RULES`.

    Task n is made of the lines of files.txt from the byte offsets[n] on.
    """

    folder: Path
    sources: list[str]
    any_meter: bool
    files: int
    files_per_task: int
    digest: str
    offsets: list[int]
    notes: list[str]

    @property
    def n_tasks(self):
        return len(self.offsets)

    def size(self, task):
        """The number of files of a task."""
        return min(self.files_per_task, self.files - task * self.files_per_task)

    def items(self, task):
        """The files of a task: a list of (composer, name, path, reason).

        path: None where the reason says why there is nothing to read, else reason is None.
        """
        with open(self.folder / "files.txt", "rb") as file:
            file.seek(self.offsets[task])
            lines = [file.readline() for _ in range(self.size(task))]
        return [(*json.loads(line), None)[:4] for line in lines]


def open_plan(folder):
    """The `Plan` of a store. Raises InputError where there is none, or where it is damaged."""
    folder = Path(folder)
    values = read_versioned(folder / "plan.json", "a store", VERSION, RULES, AGAIN)
    with reading(folder / "files.txt", "list of files"), open(folder / "files.txt", "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != values["digest"]:
            raise ValueError("it has changed since the store was begun")
    del values["version"]
    return Plan(folder, **values)


def make_plan(folder, sources, any_meter=False, files_per_task=FILES_PER_TASK, progress=None):
    """List the files of some sources, and write the plan, or find the same one there.

    sources: folders, music files, or text files with a path per line. Returns the `Plan`. Raises
    InputError where a source does not exist, where nothing is to be read, or where the store was
    begun with others.
    """
    folder, sources = Path(folder), [os.path.abspath(source) for source in sources]
    titles = [printable(source) for source in sources]
    asked = {"sources": titles, "any_meter": any_meter, "files_per_task": files_per_task}
    if (folder / "plan.json").exists():
        plan = open_plan(folder)
        for name, value in asked.items():
            if getattr(plan, name) != value:
                raise InputError(
                    f"{printable(folder)}: begun with other {OPTIONS[name]}; repeat the command "
                    "that began it, or choose another -o"
                )
        return plan
    for source in sources:
        if not os.path.isdir(source) and (trouble := trouble_with(source)):
            raise InputError(f"{printable(source)}: {trouble}")
    endings = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    path = temporary_name(folder / "files.txt")
    try:
        written = _write_list(path, list_sources(sources, endings), files_per_task, progress)
        if not written["files"]:
            what = f"no MIDI file and no score ({' '.join(READ)})"
            raise InputError("; ".join([f"{printable(sources[0])}: {what}", *passed_over(endings)]))
        os.replace(path, folder / "files.txt")
    except OSError as error:
        raise named(error, folder / "files.txt") from None
    finally:
        path.unlink(missing_ok=True)
    values = {**asked, **written, "notes": passed_over(endings)}
    write_record(folder / "plan.json", {"version": VERSION, **values})
    return Plan(folder, **values)


def list_sources(sources, endings):
    """All files of some sources: (composer, name, path) or (composer, name, None, reason) each.

    endings: a Counter, of the endings in `folders.PASSED_OVER` that are passed over. Files of one
    folder are sorted. With several folders, each name begins with its folder's own.
    """
    several, used = sum(map(os.path.isdir, sources)) > 1, Counter()
    for source in sources:
        if os.path.isdir(source):
            title = printable(os.path.basename(source)) or "music"
            used[title] += 1
            title += f" ({used[title]})" if used[title] > 1 else ""
            for composer, name, *rest in _in_folder(source, title, endings):
                yield (composer, f"{title}/{name}" if several else name, *rest)
        elif source.lower().endswith(READ):
            composer = _folder_of(source)
            yield _item(composer, f"{composer}/{printable(os.path.basename(source))}", source)
        else:
            yield from _in_list(source)


def _in_folder(source, title, endings):
    """The files of a folder, named as by `folders.find_pieces`.

    A file beside the composers' folders is not left out: its composer is the folder itself.
    """
    left_out, seen, here = [], set(), None
    for name, path in walk(source, left_out):
        ending = path.suffix.lower()
        while left_out:
            below, reason = left_out.pop()
            yield title, below, None, reason
        if ending in READ or (os.path.islink(path) and not os.path.exists(path)):
            name = printable(name)
            if path.parent != here:
                seen, here = set(), path.parent
            composer = name.partition("/")[0] if "/" in name else title
            name = name if "/" in name else f"{title}/{name}"
            is_new = name not in seen
            seen.add(name)
            again = composer, name, None, "another file has the same name"
            yield _item(composer, name, path) if is_new else again
        elif ending in PASSED_OVER:
            endings[ending] += 1
    yield from ((title, below, None, reason) for below, reason in left_out)


def _in_list(source):
    """The files that a text file names, relative to its own folder. Composer: a file's folder."""
    beside = os.path.dirname(source)
    with reading(source, "list of files"), open(source, "rb") as lines:
        for line in lines:
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                path = os.path.join(beside, name)
                yield _item(_folder_of(path), printable(name), path)


def _folder_of(path):
    """The name of the folder that a file is in."""
    return printable(os.path.basename(os.path.dirname(path))) or "music"


def _item(composer, name, path):
    """A file as `list_sources` gives it. A pipe or a broken link has a reason instead of a path."""
    reason = trouble_with(path)
    if reason in (NOT_REGULAR, "a folder, not a file"):
        return composer, name, None, reason
    return composer, name, os.fspath(path)


def _write_list(path, items, files_per_task, progress):
    digest, offsets, n, at = hashlib.sha256(), [], 0, 0
    with (
        open(path, "wb") as file,
        progress_bar(progress, desc="Listing", unit="file") as bar,
    ):
        for item in items:
            if n % files_per_task == 0:
                offsets.append(at)
            line = json.dumps(item).encode() + b"\n"
            digest.update(line)
            file.write(line)
            at, n = at + len(line), n + 1
            bar.update()
    return {"files": n, "digest": digest.hexdigest(), "offsets": offsets}
