"""The three ways to damage a unit that the autoencoders learn to undo (section 4.1).

Each takes rolls, (N, 60, 96), and a `numpy.random.Generator`, and returns new rolls with some
onsets set to zero; the ones handed in stay as they are.
"""

import numpy as np

from tinyembed.music.midi import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT

LOWER_ROWS = 24  # two octaves, about a left hand; the other three are about a right hand


def note_drop(rolls, rng):
    """Zero half of each unit's onsets, chosen at random; of an odd number, a coin rounds."""
    n = len(rolls)
    cells = rolls.shape[1] * rolls.shape[2]
    owner, cell = np.divmod(np.flatnonzero(rolls != 0), cells)  # sorted by unit
    count = np.bincount(owner, minlength=n)
    dropped = (count + rng.integers(2, size=n)) // 2
    # Shuffle the onsets within each unit by sorting random numbers; the first ones go.
    shuffled = np.lexsort((rng.random(len(owner)), owner))
    place = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]  # 0, 1, ... in each unit
    gone = shuffled[place < dropped[owner]]
    damaged = rolls.copy()
    damaged.reshape(n, -1)[owner[gone], cell[gone]] = 0
    return damaged


def beat_drop(rolls, rng):
    """Zero all onsets of one of the four beats, a 60 x 24 block."""
    beat = rng.integers(BEATS_PER_UNIT, size=len(rolls))
    return _zeroed(rolls, np.arange(rolls.shape[2]) // TICKS_PER_BEAT == beat[:, None, None])


def octave_split(rolls, rng):
    """Zero the two lower octaves (24 x 96) or the three upper ones (36 x 96): a fair coin."""
    lower = rng.integers(2, size=len(rolls)).astype(bool)
    return _zeroed(rolls, (np.arange(rolls.shape[1]) < LOWER_ROWS)[:, None] == lower[:, None, None])


def _zeroed(rolls, where):
    return np.where(where, rolls.dtype.type(0), rolls)


CORRUPTIONS = {"note_drop": note_drop, "beat_drop": beat_drop, "octave_split": octave_split}
