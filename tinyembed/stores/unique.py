"""Find what occurs more than once in the shards of a store, by the numbers of same.py.

Units are compared part by part, and each part is a range of numbers. Every shard keeps its numbers
sorted, so those of a range are one slice of its file. The time is proportional to the number of
units, and the memory is that of one part and a bit per unit.
"""

import numpy as np

AT_ONCE = 1_000_000  # units compared at a time
RANGES = 4096  # the smallest part is one of so many equal ranges of numbers


def unique_pieces(shard, n, bar):
    """Which pieces of each of n shards are kept, and which are duplicates.

    shard: a function that opens shard i; bar: a progress bar, a step per shard. Returns a list of
    (n_pieces,) bool, and {(shard, piece): (shard, piece) of the one that is kept}.
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


def unique_units(shard, pieces, bar):
    """Which units of each shard are kept, and how many are duplicates.

    pieces: which pieces are kept, as `unique_pieces` returns them. Silent units are not kept, nor
    those of other pieces. Returns a list of packed bits, (n_units / 8,) uint8 each, and a number.
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
    before = sum(map(count_bits, kept))
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
    return kept, before - sum(map(count_bits, kept))


class _Numbers:
    """The numbers of a shard's units, sorted, which were checked when the shard was opened.

    bounds: (RANGES + 1,) where the numbers of each range begin. The numbers are read from the file
    range by range, since a process cannot keep thousands of shards open.
    """

    def __init__(self, shard):
        self.path = shard.path
        numbers, units = (shard.arrays[name] for name in ("unit_number", "unit_order"))
        edges = np.arange(1, RANGES, dtype=np.uint64) * np.uint64(2**64 // RANGES)
        self.bounds = np.array([0, *np.searchsorted(numbers, edges), len(numbers)])
        self.places = [(a.dtype, a.offset) for a in (numbers, units)]  # in the file, in bytes

    def read(self, first, end, bits):
        """The numbers in some ranges, and the units that have them, without units not kept."""
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


def count_bits(bits):
    """How many bits are set."""
    return int(np.bitwise_count(bits).sum())
