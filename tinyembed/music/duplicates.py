"""Remove duplicate units, exactly, over all keys (section 3.2).

Music repeats: a unit may come back within its piece, in another piece, and in another key. To find
equal rolls among millions without building any, each cell (row, column) gets a random 64-bit
number, and the hash of a roll is the sum of its cells' numbers, modulo 2^64. Such a sum can be
assembled from parts: the hash of a unit is the sum of the hashes of its four beats, and the hash
of a beat is a difference of two prefix sums. Hashes may collide, so units with equal hashes are
compared cell by cell.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, KEYS, PITCHES, TICKS, fold, unit_cells

PAIRS_AT_ONCE = 50_000  # bounds the memory of the comparison


@dataclass(frozen=True)
class UniqueUnits:
    """Distinct rolls and their occurrences. The occurrences of roll u are the elements
    group_start[u] to group_start[u + 1] of the other two arrays.

    occurrence_beat: (n_occurrences,) int32, the first beat of the unit in the corpus
    occurrence_key:  (n_occurrences,) int8, semitones
    group_start:     (n_unique + 1,) int32
    """

    occurrence_beat: np.ndarray
    occurrence_key: np.ndarray
    group_start: np.ndarray

    def __len__(self):
        return len(self.group_start) - 1


def unique_units(corpus, beats, keys=KEYS, table=None):
    """Group the units at `beats`, each transposed by each of `keys`, by equal rolls.

    beats: (N,) first beats of units; those without an onset are left out. table: the random
    numbers, (96, 60) uint64, for tests. The rolls, and the occurrences of each, are in the order
    of keys and then of beats. Returns `UniqueUnits`.
    """
    beats = np.asarray(beats, np.int32)
    beats = beats[corpus.has_onset(beats)]
    if table is None:
        table = np.random.default_rng(0).integers(2**64, size=(TICKS, PITCHES), dtype=np.uint64)
    rolls = (cells_of(corpus, fold(corpus.pitches, key), PITCHES) for key in keys)
    hashes = np.concatenate([unit_hashes(cells, table)[beats] for cells in rolls])
    all_beats = np.tile(beats, len(keys))
    all_keys = np.repeat(np.asarray(keys, np.int8), len(beats))

    first = _first_equal(hashes)  # for each occurrence, the first one with an equal roll
    unverified = np.flatnonzero(first != np.arange(len(first)))
    while len(unverified):  # one pass, plus one per further roll among those that collide
        differs = _differ(corpus, all_beats, all_keys, unverified, first[unverified])
        wrong = unverified[differs]
        first[wrong] = wrong[_first_equal(first[wrong])]
        unverified = wrong[first[wrong] != wrong]

    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    group_start = np.append(starts, len(order)).astype(np.int32)
    return UniqueUnits(all_beats[order], all_keys[order], group_start)


def cells_of(corpus, rows, n_rows):
    """The cells of a corpus that hold an onset; notes that share a cell count once.

    rows: (n_onsets,) integers, the row of each onset, below n_rows. Returns the cells, each
    tick * n_rows + row with the tick within the beat, and the index of each beat's first one.
    """
    # Sorting keeps the onsets by tick, and so by beat.
    cells = _distinct(corpus.ticks.astype(np.int64) * n_rows + rows)
    beat, cells = np.divmod(cells, TICKS_PER_BEAT * n_rows)
    return cells, np.searchsorted(beat, np.arange(corpus.n_beats + 1))


def unit_hashes(cells, table):
    """The hash of the unit at every beat of a corpus: (n_beats - 3,) uint64.

    cells: from `cells_of`; table: (96, n_rows) uint64, random numbers.
    """
    cells, start = cells
    units = len(start) - BEATS_PER_UNIT
    hashes = np.zeros(units, np.uint64)
    sums = np.zeros(len(cells) + 1, np.uint64)
    # The hash of a beat depends on its position in a unit.
    for position, numbers in enumerate(table.reshape(BEATS_PER_UNIT, -1)):
        np.cumsum(numbers[cells], out=sums[1:])
        beat_hashes = sums[start[1:]] - sums[start[:-1]]
        hashes += beat_hashes[position : position + units]
    return hashes


def _distinct(values):
    """Like `np.unique`, but by sorting, which is faster for values that are nearly sorted."""
    values = np.sort(values, kind="stable")
    return values[np.diff(values, prepend=-1) != 0]


def _first_equal(values):
    """For each of (N,) values, the index of the first one equal to it."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse]


def _differ(corpus, beats, keys, a, b):
    """Which of the pairs of occurrences a[n], b[n] have different rolls: (N,) bool."""
    differ = np.zeros(len(a), bool)
    for start in range(0, len(a), PAIRS_AT_ONCE):
        sides = []
        for side in (a[start : start + PAIRS_AT_ONCE], b[start : start + PAIRS_AT_ONCE]):
            cells, owner = unit_cells(
                corpus.ticks, corpus.pitches, corpus.beat_start, beats[side], keys[side]
            )
            sides.append(_distinct(owner * (PITCHES * TICKS) + cells))
        if not np.array_equal(*sides):  # rarely: only if hashes collide
            differ[start + np.setxor1d(*sides, assume_unique=True) // (PITCHES * TICKS)] = True
    return differ
