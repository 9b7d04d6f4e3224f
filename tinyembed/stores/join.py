"""Join the shards of a store: leave out what occurs twice, and say what was left out.

Equal numbers (same.py) are found part by part: each part holds the units whose numbers lie in one
range, and every shard has them side by side, since it keeps its numbers sorted. So a billion units
take no more time each than a million, and no more memory but a bit per unit.
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
AT_ONCE = 1_000_000  # units compared at a time
RANGES = 4096  # of numbers, as fine as the parts that are compared can be
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
    shard = functools.lru_cache(maxsize=2)(lambda task: Shard(shard_file(folder, task)))
    with tqdm(total=3 * plan.n_tasks, desc="Joining", unit="step", disable=hidden) as bar:
        pieces, same_as = _unique_pieces(shard, plan.n_tasks, bar)
        if not any(map(len, pieces)):
            name, why = shard(0).left_out[0]
            raise WorkError(f"not one of {plan.files:,} files can be used; {name}: {why}")
        units, n_shared = _unique_units(shard, pieces, bar)
        copied = {}  # {shard: pieces that others are again}
        for task, n in same_as.values():
            copied.setdefault(task, set()).add(n)
        (folder / KEPT).mkdir(exist_ok=True)
        composers, digests, names = set(), [], {}
        for task in range(plan.n_tasks):
            arrays = {"pieces": pieces[task], "units": units[task]}
            digests.append(shard(task).digest)
            about = {"shard": digests[task], "n_units": _count(units[task])}
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
    kept, numbers = [], []
    for task in range(len(pieces)):
        candidates = np.repeat(pieces[task], np.diff(shard(task).first_unit))
        if len(candidates):
            corpus = shard(task).corpus
            candidates &= corpus.has_onset(corpus.unit_beats())
        kept.append(np.packbits(candidates))
        numbers.append(_Numbers(shard(task)))
        bar.update()
    before = sum(map(_count, kept))
    for first, end in _parts(sum(one.bounds for one in numbers)):
        parts = [one.read(first, end, bits) for one, bits in zip(numbers, kept, strict=True)]
        values, units = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        tasks = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        order = np.lexsort((units, tasks, values))
        again = order[1:][values[order[1:]] == values[order[:-1]]]
        again = again[np.argsort(tasks[again], kind="stable")]
        for part in np.split(again, np.flatnonzero(np.diff(tasks[again])) + 1):
            if len(part):
                task = tasks[part[0]]
                bits = np.unpackbits(kept[task])
                bits[units[part]] = 0
                kept[task] = np.packbits(bits)
    return kept, before - sum(map(_count, kept))


class _Numbers:
    """The numbers of a shard's units, sorted, which were checked when the shard was opened.

    bounds: (RANGES + 1,) where the numbers of each range begin. They are read from the file range
    by range: millions of files in shards that stay mapped would be more than a process may map.
    """

    def __init__(self, shard):
        self.path = shard.path
        numbers, units = (shard.arrays[name] for name in ("unit_number", "unit_order"))
        edges = np.arange(1, RANGES, dtype=np.uint64) * np.uint64(2**64 // RANGES)
        self.bounds = np.array([0, *np.searchsorted(numbers, edges), len(numbers)])
        self.places = [(a.dtype, getattr(a, "offset", 0)) for a in (numbers, units)]

    def read(self, first, end, bits):
        """The numbers in some ranges, and the units that have them: those that are kept yet."""
        start, stop = self.bounds[[first, end]]
        if start == stop:
            return np.zeros(0, np.uint64), np.zeros(0, np.int32)
        numbers, units = (
            np.fromfile(self.path, dtype, stop - start, offset=at + int(start) * dtype.itemsize)
            for dtype, at in self.places
        )
        is_kept = (bits[units >> 3] >> (7 - (units & 7)) & 1).astype(bool)
        return numbers[is_kept], units[is_kept]


def _parts(bounds):
    """Ranges that together hold some AT_ONCE numbers: (first, end) each. bounds: of all shards."""
    first = 0
    while first < RANGES:
        end = int(np.searchsorted(bounds, bounds[first] + AT_ONCE, side="right")) - 1
        end = min(max(end, first + 1), RANGES)
        yield first, end
        first = end


def _count(bits):
    """How many bits are set."""
    return int(np.bitwise_count(bits).sum())


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
                    rows.append((name, f"the music of {same_as[task, piece]}"))
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
