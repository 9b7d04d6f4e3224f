"""Join the shards of a store: leave out what occurs twice, and say what was left out.

Equal numbers (same.py) are found part by part: each part holds the units whose numbers lie in one
range, and every shard has them side by side, since it keeps its numbers sorted. So a billion units
take no more memory than a million.
"""

import csv
import functools

import numpy as np
from tqdm import tqdm

from tinyembed.errors import InputError, WorkError
from tinyembed.storage.files import write_atomically
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.records import write_record
from tinyembed.storage.text import printable
from tinyembed.stores.plan import VERSION
from tinyembed.stores.shards import Shard
from tinyembed.stores.tasks import is_done, journal_file, shard_file

KEPT = "kept"  # the folder, the ending, and the kind of file
AT_ONCE = 8_000_000  # units compared at a time
COLUMNS = "file", "reason"


def join(plan, progress=None):
    """Finish a store whose shards are all there. Returns what store.json says, a dict.

    Raises InputError where a shard is missing or damaged.
    """
    folder, hidden = plan.folder, None if progress is None else not progress
    if missing := [t for t in range(plan.n_tasks) if not is_done(folder, t)]:
        begun = journal_file(folder, missing[0]).exists()
        raise InputError(
            f"{printable(shard_file(folder, missing[0]))}: {'not finished' * begun or 'missing'}"
            f"{f', as are {len(missing) - 1:,} more' * (len(missing) > 1)}; run the command that "
            "reads its files again, and then join"
        )
    shard = functools.lru_cache(maxsize=8)(lambda task: Shard(shard_file(folder, task)))
    with tqdm(total=3 * plan.n_tasks, desc="Joining", unit="step", disable=hidden) as bar:
        pieces, same_as = _unique_pieces(shard, plan.n_tasks, bar)
        if not any(map(len, pieces)):
            name, why = shard(0).left_out[0]
            raise WorkError(f"not one of {plan.files:,} files can be used; {name}: {why}")
        units, n_shared = _unique_units(shard, pieces, bar)
        (folder / KEPT).mkdir(exist_ok=True)
        for task in range(plan.n_tasks):
            arrays = {"pieces": pieces[task], "units": units[task]}
            about = {"shard": shard(task).digest, "n_units": _count(units[task])}
            save_mapped(kept_file(folder, task), KEPT, arrays, about)
            bar.update()
    n_left_out = _write_left_out(folder / "left_out.tsv", shard, same_as, plan.n_tasks)
    composers = set()
    for task in range(plan.n_tasks):
        kept = pieces[task]
        composers |= {shard(task).composers[c] for c in shard(task).arrays["piece_composer"][kept]}
    found = {
        "version": VERSION,
        "plan": plan.digest,
        "shards": [shard(task).digest for task in range(plan.n_tasks)],
        "pieces": [int(kept.sum()) for kept in pieces],
        "units": [_count(kept) for kept in units],
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


def _unique_pieces(shard, n, bar):
    """Which pieces of each shard are kept, a list of (n_pieces,) bool; and which are others again.

    The second is {(shard, piece): (shard, piece) of the one that is kept}.
    """
    numbers, where = [], []
    for task in range(n):
        found = np.asarray(shard(task).arrays["piece_number"])
        numbers.append(found)
        where.append(np.stack([np.full(len(found), task), np.arange(len(found))], axis=1))
        bar.update()
    numbers, where = np.concatenate(numbers), np.concatenate(where)
    order = np.lexsort((numbers[:, 1], numbers[:, 0]))  # stable: the first of equals comes first
    is_new = np.ones(len(order), bool)
    is_new[1:] = (numbers[order[1:]] != numbers[order[:-1]]).any(axis=1)
    first = order[np.flatnonzero(is_new)[np.cumsum(is_new) - 1]]  # of those equal to it
    kept = np.ones(len(order), bool)
    kept[order[~is_new]] = False
    again = sorted(zip(order[~is_new].tolist(), first[~is_new].tolist(), strict=True))
    same_as = {tuple(where[i].tolist()): tuple(where[j].tolist()) for i, j in again}
    sizes = np.bincount(where[:, 0], minlength=n)
    return np.split(kept, np.cumsum(sizes)[:-1]), same_as


def _unique_units(shard, pieces, bar):
    """Which units of each shard are kept: a list of bits, packed; and how many occur again.

    Silent units are not kept, nor those of pieces that are not.
    """
    n = len(pieces)
    kept, total = [], 0
    for task in range(n):
        candidates = np.repeat(pieces[task], np.diff(shard(task).first_unit))
        if len(candidates):
            corpus = shard(task).corpus
            candidates &= corpus.has_onset(corpus.unit_beats())
        kept.append(np.packbits(candidates))
        total += len(candidates)
    parts = -(-total // AT_ONCE)
    bounds = [part * (2**64 // max(parts, 1)) for part in range(1, parts)]
    before, shown = sum(map(_count, kept)), 0
    for low, high in zip([None, *bounds], [*bounds, None], strict=True) if parts else ():
        numbers, tasks, units = [], [], []
        for task in range(n):
            arrays = shard(task).arrays
            i, j = _range(arrays["unit_number"], low, high)
            unit = np.asarray(arrays["unit_order"][i:j])
            is_kept = np.unpackbits(kept[task])[unit] == 1
            numbers.append(np.asarray(arrays["unit_number"][i:j])[is_kept])
            units.append(unit[is_kept])
            tasks.append(np.full(len(units[-1]), task, np.int32))
        numbers, tasks, units = map(np.concatenate, (numbers, tasks, units))
        order = np.lexsort((units, tasks, numbers))
        again = order[1:][numbers[order[1:]] == numbers[order[:-1]]]
        by_task = again[np.argsort(tasks[again], kind="stable")]
        for part in np.split(by_task, np.flatnonzero(np.diff(tasks[by_task])) + 1):
            if len(part):
                bits = np.unpackbits(kept[tasks[part[0]]])
                bits[units[part]] = 0
                kept[tasks[part[0]]] = np.packbits(bits)
        shown += n / parts
        bar.update(int(shown) - int(shown - n / parts))
    return kept, before - sum(map(_count, kept))


def _range(numbers, low, high):
    i = 0 if low is None else np.searchsorted(numbers, np.uint64(low))
    return i, len(numbers) if high is None else np.searchsorted(numbers, np.uint64(high))


def _count(bits):
    """How many bits are set."""
    return int(np.bitwise_count(bits).sum())


def _write_left_out(path, shard, same_as, n):
    """Write the table of files that were left out, and why. Returns their number."""
    count = 0

    def write(file):
        nonlocal count
        lines = csv.writer(_Text(file), delimiter="\t", lineterminator="\n")
        lines.writerow(COLUMNS)
        for task in range(n):
            rows = list(shard(task).left_out)
            for piece, name in enumerate(shard(task).names):
                if (task, piece) in same_as:
                    other, place = same_as[task, piece]
                    rows.append((name, f"the music of {shard(other).names[place]}"))
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
