"""Join the shards of a store: keep each piece and each unit once, and list what was left out."""

import csv
import functools

import numpy as np

from tinyembed.errors import InputError, WorkError
from tinyembed.storage.files import write_atomically
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.progress import progress_bar
from tinyembed.storage.records import write_record
from tinyembed.storage.text import printable
from tinyembed.stores.plan import VERSION
from tinyembed.stores.shards import Shard
from tinyembed.stores.tasks import is_done, journal_file, shard_file
from tinyembed.stores.unique import count_bits, unique_pieces, unique_units

KEPT = "kept"  # the folder, the ending, and the kind of file
COLUMNS = "file", "reason"


def join(plan, progress=None):
    """Finish a store whose shards are all there. Returns what store.json says, a dict.

    Raises InputError where a shard is missing or damaged.
    """
    folder = plan.folder
    if missing := [t for t in range(plan.n_tasks) if not is_done(folder, t)]:
        begun = journal_file(folder, missing[0]).exists()
        raise InputError(
            f"{printable(shard_file(folder, missing[0]))}: {'not finished' * begun or 'missing'}"
            f"{f', as are {len(missing) - 1:,} more' * (len(missing) > 1)}; run the command that "
            "reads its files again, and then join"
        )
    shard = functools.lru_cache(maxsize=2)(lambda task: Shard(shard_file(folder, task)))
    with progress_bar(progress, total=3 * plan.n_tasks, desc="Joining", unit="step") as bar:
        pieces, same_as = unique_pieces(shard, plan.n_tasks, bar)
        if not any(map(len, pieces)):
            name, why = shard(0).left_out[0]
            raise WorkError(f"not one of {plan.files:,} files can be used; {name}: {why}")
        units, n_shared = unique_units(shard, pieces, bar)
        copied = {}  # {shard: pieces that others are again}
        for task, n in same_as.values():
            copied.setdefault(task, set()).add(n)
        (folder / KEPT).mkdir(exist_ok=True)
        composers, digests, names = set(), [], {}
        for task in range(plan.n_tasks):
            arrays = {"pieces": pieces[task], "units": units[task]}
            digests.append(shard(task).digest)
            about = {"shard": digests[task], "n_units": count_bits(units[task])}
            save_mapped(kept_file(folder, task), KEPT, arrays, about)
            found = shard(task).arrays["piece_composer"][pieces[task]]
            composers |= {shard(task).composers[n] for n in np.unique(found)}
            names |= {(task, n): shard(task).names[n] for n in copied.get(task, ())}
            bar.update()
        same_as = {copy: names[original] for copy, original in same_as.items()}
        n_left_out = _write_left_out(folder / "left_out.tsv", shard, same_as, plan.n_tasks)
    found = {
        "version": VERSION,
        "plan": plan.digest,
        "shards": digests,
        "pieces": [int(kept.sum()) for kept in pieces],
        "units": [count_bits(kept) for kept in units],
        "files": plan.files,
        "left_out": n_left_out,
        "same_files": len(same_as),
        "same_units": n_shared,
        "composers": sorted(composers),
    }
    write_record(folder / "store.json", found)
    return found


def kept_file(folder, task):
    """The path of the file that says what is kept of a shard."""
    return folder / KEPT / f"{task:05}.{KEPT}"


def _write_left_out(path, shard, same_as, n):
    """Write the table of files that were left out, and why. Returns their number.

    same_as: {(shard, piece): the name of the piece whose music it has}.
    """
    count = 0

    def write(file):
        nonlocal count
        lines = csv.writer(_Text(file), delimiter="\t", lineterminator="\n")
        lines.writerow(COLUMNS)
        for task in range(n):
            rows = list(shard(task).left_out)
            for piece, name in enumerate(shard(task).names):
                if (task, piece) in same_as:
                    rows.append((name, f"the same music as {same_as[task, piece]}"))
            lines.writerows(sorted(rows))
            count += len(rows)

    write_atomically(path, write)
    return count


class _Text:
    """A binary file that csv can write to."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        self.file.write(text.encode("utf-8", "backslashreplace"))
