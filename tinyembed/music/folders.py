"""What a folder of music holds. Every command finds the same files in it, and the same trouble."""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path

from tinyembed.errors import InputError, WorkError
from tinyembed.storage.text import printable

MIDI = (".mid", ".midi", ".kar", ".rmi", ".rmid")
SCORES = (".musicxml", ".mxl", ".xml", ".krn", ".abc")
READ = MIDI + SCORES
# Music that is not read, and that a user may miss: other notation, trackers, sequencers, sound.
PASSED_OVER = (
    ".mscz .mscx .mei .sib .mus .musx .ly .nwc .gp .gp3 .gp4 .gp5 .gpx .cap .capx .enc .mod .xm "
    ".s3m .it .cpr .als .wav .mp3 .flac .ogg .m4a .aif .aiff"
).split()
NOT_REGULAR = "a broken link, or not a regular file"


@dataclass
class Found:
    """What `find_files` finds. A name is a path below the folder, as `printable` text with slashes.

    files: list of (name, path), sorted by name; left_out: list of (name, reason), sorted; endings:
    how often each of `PASSED_OVER` occurs; subfolders: names of the folders directly below.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    subfolders: list[str] = field(default_factory=list)


def find_files(folder):
    """Find the MIDI files and scores in a folder, at any depth, without opening them.

    Hidden files are ignored. Links are followed, except one to a folder that contains it: it would
    never end. Returns `Found`: folders that cannot be read, broken links and pipes are left out.
    Raises InputError if there is no such folder, or nothing in it to read or to complain of.
    """
    title = printable(folder)
    if not os.path.exists(folder):
        raise InputError(f"{title}: no such folder; pass one that contains MIDI files or scores")
    if not os.path.isdir(folder):
        raise InputError(f"{title}: a file, not a folder; pass the folder that contains it")
    found = Found()
    for name, path in walk(folder, found.left_out, found.subfolders):
        ending = path.suffix.lower()
        if ending in READ or (os.path.islink(path) and not os.path.exists(path)):
            reason = trouble_with(path)
            part = found.left_out if reason else found.files
            part.append((printable(name), reason or str(path)))
        elif ending in PASSED_OVER:
            found.endings[ending] += 1
    _leave_out_namesakes(found)
    if not found.files and not found.left_out:
        what = f"no MIDI file and no score in it ({' '.join(READ)})"
        raise InputError("; ".join([f"{title}: {what}", *passed_over(found.endings)]))
    found.left_out.sort()
    return found


def find_pieces(folder):
    """List the files of a corpus: one subfolder per composer, or a flat folder of one class.

    Files are those of `find_files`. One beside the composers' folders has no composer and is left
    out. Returns items: list of (composer, name, path), sorted by name, which is
    "composer/file.mid"; left_out: list of (name, reason), sorted; and notes: list of str.
    Raises InputError as `find_files` does, and WorkError if nothing can be read.
    """
    found = find_files(folder)
    used = {name.partition("/")[0] for name, _ in found.files + found.left_out}
    notes = [
        f"no MIDI file and no score in the folder {name}"
        for name in sorted(set(found.subfolders) - used)
    ]
    files, left_out = found.files, found.left_out
    if not any("/" in name for name, _ in files + left_out):
        title = printable(Path(folder).resolve().name) or "music"
        files, left_out = ([(f"{title}/{n}", x) for n, x in part] for part in (files, left_out))
    items = [(n.partition("/")[0], n, path) for n, path in files if "/" in n]
    left_out = left_out + [(n, "not in a composer's folder") for n, _ in files if "/" not in n]
    left_out.sort()
    if not items:
        name, why = left_out[0]
        raise WorkError(f"not one of {len(left_out)} files can be used; {name}: {why}")
    return items, left_out, notes + passed_over(found.endings)


def passed_over(endings):
    """A line for each ending that is passed over. endings: how often each occurs."""
    return [f"passed over: {n:,} {ending}" for ending, n in sorted(endings.items())]


def trouble_with(path):
    """Why a path is not a file to read, in a few words, or None if it is one.

    Nobody waits at a pipe: one with a name in a folder is refused. A pipe that the user has
    connected (`is_connected`) is read to its end.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno in (ENOENT, ELOOP) and os.path.islink(path):
            return NOT_REGULAR
        gone = error.errno in (ENOENT, ENOTDIR)
        return "no such file" if gone else f"cannot be read: {error.strerror or error}"
    except ValueError:  # a name that no file can have
        return "no such file"
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    is_read = stat.S_ISREG(mode) or (stat.S_ISFIFO(mode) and is_connected(path))
    return None if is_read else NOT_REGULAR


def is_connected(path):
    """Whether a path is that of an open file, such as /dev/stdin, or /dev/fd/63 for bash's <(...).

    In the next command it means another file.
    """
    return os.fspath(path).startswith(("/dev/stdin", "/dev/fd/", "/proc/self/fd/"))


def walk(folder, left_out, subfolders=None):
    """The visible files at any depth: (name, path) each, one folder after the other, sorted in it.

    A name is the path below the folder, with slashes. Adds to `left_out`, a list, the (name,
    reason) of folders that cannot be read, and to `subfolders` the names of those directly below.
    """
    waiting, entered = [(Path(folder), "", frozenset(), False)], set()
    while waiting:
        here, below, above, is_linked = waiting.pop()
        real = Path(os.path.realpath(here))
        is_link = below and os.path.islink(here)
        # Links among n folders make n! paths, so one in a linked folder leads to new folders only.
        if real in above or (is_link and is_linked and real in entered):
            continue
        entered.add(real)
        above, is_linked = above | {real, *real.parents}, is_linked or is_link
        try:
            names = os.listdir(here)
        except OSError as error:
            why = f"cannot be read: {error.strerror or error}"
            if not below:
                raise InputError(f"{printable(folder)}: {why}") from None
            left_out.append((printable(below), why))
            continue
        if below and "/" not in below and subfolders is not None:
            subfolders.append(printable(below))
        folders = []
        for name in sorted(names):
            # On foreign disks macOS writes a hidden "._x.mid", not a MIDI file, beside every x.mid.
            if name.startswith(".") or name == "__MACOSX":
                continue
            path, name = here / name, f"{below}/{name}" if below else name
            if os.path.isdir(path):
                folders.append((path, name, above, is_linked))
            else:
                yield name, path
        waiting += reversed(folders)


def _leave_out_namesakes(found):
    """Two files whose names are one text, such as an accent composed and decomposed: one stays."""
    kept = {}
    for name, path in sorted(found.files):
        if kept.setdefault(name, path) != path:
            found.left_out.append((name, "another file has the same name"))
    found.files = list(kept.items())
