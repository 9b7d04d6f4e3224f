"""Count the units that two pieces have in common, in any key and with octaves aside.

Two editions of a piece may differ in octaves: a doubled bass, an octave sign that one of them
lacks. So the notes of a unit are taken as pitch classes. Its *pattern* is the set of its (tick,
pitch class) pairs in that one of the twelve keys in which their hash is the smallest: a unit has
the same pattern in every key. Hashes are those of duplicates.py, with 12 rows instead of 60. Two
patterns have equal hashes with a probability of 2^-64, so they are not compared note by note.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyembed.music.duplicates import cells_of, unit_hashes
from tinyembed.music.roll import KEYS, TICKS

CLASSES = 12
LEAST_UNITS = 3  # in common; one or two units are alike by chance
NEAREST = 32  # bounds the work: a unit is paired with so many of the same pattern, the next ones


@dataclass(frozen=True)
class Patterns:
    """The different units of each piece, m in all: repetitions within a piece count once.

    pattern: (m,) int64, numbered from 0
    piece:   (m,) int64, index of the piece
    key:     (m,) int64, how many semitones below the pattern the unit lies, 0 to 11
    count:   (n_pieces,) int64, how many different units each piece has
    All in the order of patterns, then pieces, then keys. Units that are the same in several keys
    are left out: a diminished seventh chord alone, or silence.
    """

    pattern: np.ndarray
    piece: np.ndarray
    key: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, corpus):
        """The patterns of a `Corpus`."""
        cells = cells_of(corpus, corpus.pitches % CLASSES, CLASSES)
        table = np.random.default_rng(0).integers(2**64, size=(TICKS, CLASSES), dtype=np.uint64)
        least = unit_hashes(cells, table)
        key = np.zeros(len(least), np.int64)
        definite = np.ones(len(least), bool)
        for up in range(1, CLASSES):
            hashes = unit_hashes(cells, np.roll(table, -up, axis=1))
            definite &= hashes != least
            key[hashes < least] = up
            np.minimum(hashes, least, out=least)
        beats = corpus.unit_beats()
        beats = beats[definite[beats]]
        _, pattern = np.unique(least[beats], return_inverse=True)
        n = corpus.n_pieces
        units = np.unique((pattern * n + corpus.beat_piece[beats]) * CLASSES + key[beats])
        units, key = np.divmod(units, CLASSES)
        pattern, piece = np.divmod(units, n)
        return cls(pattern, piece, key, np.bincount(piece, minlength=n))

    def pairs(self, label):
        """Pairs of pieces with units in common, each in the one key that gives the most.

        label: (n_pieces,) integers; two pieces with the same label make no pair.
        A pair has LEAST_UNITS or more in common, or all that both have. To stay linear in the
        number of units, a unit is paired only with the NEAREST next ones of its pattern: where a
        pattern occurs more often, a pair may be missed and `common` may be too small.
        Returns first, second, semitones, common: (p,) int64 each, sorted. first < second;
        semitones: how much higher the music is in the second piece, -5 to 6.
        """
        pair, common = self._count(label)
        pair, semitones = np.divmod(pair, CLASSES)
        first, second = np.divmod(pair, len(self.count))
        all_of_both = np.maximum(self.count[first], self.count[second])
        order = np.lexsort((-common, pair))
        order = order[((common >= LEAST_UNITS) | (common == all_of_both))[order]]
        best = order[np.diff(pair[order], prepend=-1) != 0]
        return first[best], second[best], smallest(semitones[best]), common[best]

    def _count(self, label):
        """How many units each (first, second, semitones), as one integer, has in common."""
        label = np.asarray(label)[self.piece]
        start = np.flatnonzero(np.diff(self.pattern, prepend=-1))  # of each pattern
        paired = np.minimum.reduceat(label, start) != np.maximum.reduceat(label, start)
        paired = np.repeat(paired, np.diff(start, append=len(label)))
        label, pattern, piece, key = (
            array[paired] for array in (label, self.pattern, self.piece, self.key)
        )
        found, counts = [], []
        here = np.arange(len(pattern))
        for distance in range(1, NEAREST + 1):
            here = here[here + distance < len(pattern)]
            here = here[pattern[here] == pattern[here + distance]]
            a = here[label[here] != label[here + distance]]
            b = a + distance
            pair = (piece[a] * len(self.count) + piece[b]) * CLASSES + (key[a] - key[b]) % CLASSES
            pair, count = np.unique(pair, return_counts=True)
            found.append(pair)
            counts.append(count)
        pair, where = np.unique(np.concatenate(found), return_inverse=True)
        return pair, np.bincount(where, np.concatenate(counts), len(pair)).astype(np.int64)

    def in_common(self, first, second, semitones):
        """How many units of one piece stand in another, `semitones` higher: the exact number."""
        pattern, key = self._by_piece[first]
        a = pattern * CLASSES + (key - semitones) % CLASSES
        pattern, key = self._by_piece[second]
        return len(np.intersect1d(a, pattern * CLASSES + key, assume_unique=True))

    @cached_property
    def _by_piece(self):
        """A list of the patterns and keys of each piece: (2, its count)."""
        order = np.argsort(self.piece, kind="stable")
        units = np.stack([self.pattern, self.key])[:, order]
        return np.split(units, np.cumsum(self.count)[:-1], axis=1)


def smallest(semitones):
    """The same transposition, octaves aside, by -5 to 6 semitones: an integer or an array."""
    return (semitones - KEYS[0]) % CLASSES + KEYS[0]
