"""What makes two pieces, or two units, the same: their notes, in any key.

Each piece gets a number of 128 bits, and each unit one of 64, from its notes. Music with equal
numbers is taken to be equal. Among a billion different units, the probability that any two have the
same number is 3%; then one of the two is left out.
"""

import hashlib

import numpy as np

from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, TICKS

PITCHES = 128
BEATS_AT_ONCE = 50_000  # bounds the memory
NONE = 255  # the lowest pitch of a beat without an onset


def piece_number(piece):
    """The number of a piece: (2,) uint64. Its first onset and its lowest pitch count as 0."""
    ticks = (piece.ticks - piece.ticks[:1]).astype("<i4")
    pitches = piece.pitches - (piece.pitches.min() if len(piece.pitches) else 0)
    notes = hashlib.blake2b(ticks.tobytes() + pitches.tobytes(), digest_size=16)
    return np.frombuffer(notes.digest(), "<u8")


def unit_numbers(corpus):
    """The number of the unit at every beat of a `Corpus`: (n_beats - 3,) uint64.

    The lowest pitch of each unit counts as 0. The last beats of a piece have a number, too, though
    they begin no unit.
    """
    units = corpus.n_beats - (BEATS_PER_UNIT - 1)
    parts = [
        _numbers(corpus, first, min(first + BEATS_AT_ONCE, units))
        for first in range(0, units, BEATS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _numbers(corpus, first, end):
    """The numbers of the units that begin at the beats from `first` on, up to `end`."""
    table = _table()
    start = corpus.beat_start[first : end + BEATS_PER_UNIT]  # of these units' beats, and the end
    onsets = slice(start[0], start[-1])
    start = start - start[0]
    ticks = corpus.ticks[onsets] % TICKS_PER_BEAT
    pitches = corpus.pitches[onsets].astype(np.intp)
    lowest = _lowest(pitches, start)  # of each beat
    lowest = np.lib.stride_tricks.sliding_window_view(lowest, BEATS_PER_UNIT).min(axis=1)
    numbers = np.zeros(end - first, np.uint64)
    for position in range(BEATS_PER_UNIT):  # of a beat in its unit
        bounds = start[position : position + len(numbers) + 1]
        beats = slice(bounds[0], bounds[-1])
        base = np.repeat(lowest, np.diff(bounds))
        cells = table[ticks[beats] + position * TICKS_PER_BEAT, pitches[beats] - base]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(cells, dtype=np.uint64)])
        bounds = bounds - bounds[0]
        numbers += sums[bounds[1:]] - sums[bounds[:-1]]
    return numbers


def _lowest(pitches, start):
    """The lowest pitch of each beat, NONE without an onset: (n_beats,)."""
    lowest = np.full(len(start) - 1, NONE)
    sounds = np.flatnonzero(np.diff(start))
    if len(sounds):
        lowest[sounds] = np.minimum.reduceat(pitches, start[sounds])
    return lowest


def _table():
    return np.random.default_rng(0).integers(2**64, size=(TICKS, PITCHES), dtype=np.uint64)
