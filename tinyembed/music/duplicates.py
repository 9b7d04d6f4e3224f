"""Remove duplicate units, exactly, over all keys (section 3.2).

Music repeats: a unit may come back within its piece, in another piece, and in another key. To
find equal rolls among millions without building one, each cell (row, column) gets a random
64-bit number, and a roll's hash is the sum of its cells' numbers, modulo 2^64. A sum can be put
together: the hash of a unit is the sum of the hashes of its four beats, and that of a beat a
difference of two prefix sums. Equal hashes are only a hint; the cells are then compared.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.music.midi import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, KEYS, PITCHES, TICKS, fold, unit_cells

PAIRS_AT_ONCE = 50_000  # bounds the memory of the comparison


@dataclass(frozen=True)
class UniqueUnits:
    """Distinct rolls, and where each occurs: the occurrences of roll u are the places
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
    numbers, (96, 60) uint64, for tests. Rolls, and the occurrences of each, are in the order of
    keys and then of beats. Returns `UniqueUnits`.
    """
    beats = np.asarray(beats, np.int32)
    beats = beats[corpus.has_onset(beats)]
    if table is None:
        table = np.random.default_rng(0).integers(2**64, size=(TICKS, PITCHES), dtype=np.uint64)
    hashes = np.concatenate([_unit_hashes(corpus, key, table)[beats] for key in keys])
    all_beats = np.tile(beats, len(keys))
    all_keys = np.repeat(np.asarray(keys, np.int8), len(beats))

    first = _first_equal(hashes)  # of each occurrence, the first one that has an equal roll
    doubtful = np.flatnonzero(first != np.arange(len(first)))
    while len(doubtful):  # once, unless hashes collide: then once for each further roll among them
        wrong = doubtful[_differ(corpus, all_beats, all_keys, doubtful, first[doubtful])]
        first[wrong] = wrong[_first_equal(first[wrong])]
        doubtful = wrong[first[wrong] != wrong]

    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    group_start = np.append(starts, len(order)).astype(np.int32)
    return UniqueUnits(all_beats[order], all_keys[order], group_start)


def _unit_hashes(corpus, key, table):
    """The hash of the unit at every beat of the corpus, in one key: (n_beats - 3,) uint64."""
    # Notes that fold into one cell count once. Sorting keeps them by tick, and so by beat.
    rows = fold(corpus.pitches, key)
    cells = _distinct(corpus.ticks.astype(np.int64) * PITCHES + rows)
    tick, row = np.divmod(cells, PITCHES)
    beat, tick = np.divmod(tick, TICKS_PER_BEAT)
    start = np.searchsorted(beat, np.arange(corpus.n_beats + 1))
    units = corpus.n_beats - (BEATS_PER_UNIT - 1)
    hashes = np.zeros(units, np.uint64)
    sums = np.zeros(len(cells) + 1, np.uint64)
    for position in range(BEATS_PER_UNIT):  # a beat has another hash at each place in a unit
        np.cumsum(table[position * TICKS_PER_BEAT + tick, row], out=sums[1:])
        of_beat = sums[start[1:]] - sums[start[:-1]]
        hashes += of_beat[position : position + units]
    return hashes


def _distinct(values):
    """Like `np.unique`, which hashes, and so gains nothing from values that are nearly sorted."""
    values = np.sort(values, kind="stable")
    return values[np.diff(values, prepend=-1) != 0]


def _first_equal(values):
    """For each of (N,) values the index of the first that is equal to it."""
    order = np.argsort(values, kind="stable")
    is_new = np.ones(len(order), bool)
    is_new[1:] = values[order[1:]] != values[order[:-1]]
    first = np.empty(len(order), np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first


def _differ(corpus, beats, keys, a, b):
    """Which of the pairs of occurrences a[n], b[n] have different rolls: (N,) bool."""
    differ = np.zeros(len(a), bool)
    for start in range(0, len(a), PAIRS_AT_ONCE):
        chunk = slice(start, start + PAIRS_AT_ONCE)
        sides = []
        for side in (a[chunk], b[chunk]):
            cells, owner = unit_cells(
                corpus.ticks, corpus.pitches, corpus.beat_start, beats[side], keys[side]
            )
            sides.append(_distinct(owner * (PITCHES * TICKS) + cells))
        if not np.array_equal(*sides):
            differ[start + np.setxor1d(*sides, assume_unique=True) // (PITCHES * TICKS)] = True
    return differ
