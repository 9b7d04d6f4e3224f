"""The three corruptions that the denoising autoencoders learn to undo (section 4.1).

Each takes rolls, (N, 60, 96), and a `numpy.random.Generator`, and returns new rolls with some
onsets set to zero. The input is not changed.

On a GPU the corruption is applied before there are rolls: `draw` makes the same random draws on
the host, and `kept` selects the onsets that remain, on the device.
"""

import numpy as np

from tinyembed.backends.arrays import array_module
from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, PITCHES, TICKS

LOWER_ROWS = 24  # two octaves, roughly a left hand; the upper three are roughly a right hand


def note_drop(rolls, rng):
    """Zero half of each unit's onsets, chosen at random. Half an odd count rounds at random."""
    n = len(rolls)
    onsets = np.flatnonzero(rolls != 0)  # sorted by unit
    owner = onsets // (rolls.shape[1] * rolls.shape[2])
    count = np.bincount(owner, minlength=n)
    dropped = (count + rng.integers(2, size=n)) // 2
    # Shuffle the onsets within each unit by sorting random numbers, and drop the first ones.
    shuffled = np.lexsort((rng.random(len(owner)), owner))
    rank = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]  # 0, 1, ... in each unit
    corrupted = rolls.copy()
    corrupted.reshape(-1)[onsets[shuffled[rank < dropped[owner]]]] = 0
    return corrupted


def beat_drop(rolls, rng):
    """Zero all onsets of one of the four beats, a 60 x 24 block."""
    n, rows, _ = rolls.shape
    corrupted = rolls.copy()
    beats = corrupted.reshape(n, rows, BEATS_PER_UNIT, TICKS_PER_BEAT)
    beats[np.arange(n), :, rng.integers(BEATS_PER_UNIT, size=n)] = 0
    return corrupted


def octave_split(rolls, rng):
    """Zero the two lower octaves (24 x 96) or the three upper ones (36 x 96), equally likely."""
    zero_lower = rng.integers(2, size=(len(rolls), 1)) == 1
    is_zero = zero_lower == (np.arange(PITCHES) < LOWER_ROWS)  # (N, 60)
    return np.where(is_zero[..., None], rolls.dtype.type(0), rolls)


CORRUPTIONS = {"note_drop": note_drop, "beat_drop": beat_drop, "octave_split": octave_split}

CHOICES = {"note_drop": 2, "beat_drop": BEATS_PER_UNIT, "octave_split": 2}


def draw(name, rng, n, n_onsets):
    """The draws of a corruption of n units with n_onsets together: (n,) and (n_onsets,) or None.

    Where notes of a unit fold into one cell, there are more onsets than cells; the last of the
    random numbers then serve nobody.
    """
    choice = rng.integers(CHOICES[name], size=n)
    return choice, rng.random(n_onsets) if name == "note_drop" else None


def kept(name, cells, owner, choice, order, start, size):
    """Which onsets a corruption leaves: (T,) bool. All arrays on a GPU.

    cells, owner: (T,), from `Cutter.cells`; choice: (N,), order: (T,) or None, from `draw`;
    start: (N + 1,) the first onset of each unit; size: of a batch, which is N, or N holds several
    that were drawn one after the other.
    """
    if name == "beat_drop":
        return cells % TICKS // TICKS_PER_BEAT != choice[owner]
    if name == "octave_split":
        return (cells // TICKS % PITCHES < LOWER_ROWS) != choice[owner].astype(bool)
    return _notes_kept(cells, owner, choice, order, start, size)


def _notes_kept(cells, owner, coin, random, start, size):
    """As `note_drop` does it, with as many steps as there are onsets, known beforehand."""
    xp = array_module(cells)
    by_cell = xp.argsort(cells)  # as np.flatnonzero finds them; units stay in order
    cells = cells[by_cell]
    new = xp.concatenate([xp.ones(1, bool), cells[1:] != cells[:-1]])  # not named a second time
    before = xp.concatenate([xp.zeros(1, int), xp.cumsum(new)])  # (T + 1,) different cells so far
    drawn_from = start[owner - owner % size]  # (T,) where the batch of each begins
    number = drawn_from + (before[1:] - 1 - before[drawn_from])
    shuffled = xp.where(new, random[number], 2.0)  # after all others
    shuffled = xp.lexsort(xp.stack([shuffled, owner.astype(random.dtype)]))
    count = before[start[1:]] - before[start[:-1]]
    dropped = (count + coin) // 2
    place = xp.arange(len(cells)) - start[owner]  # 0, 1, ... in each unit
    stays = xp.empty(len(cells), bool)
    stays[by_cell[shuffled]] = new[shuffled] & (place >= dropped[owner])
    return stays
