"""Units cut where the arrays are: the onsets of a corpus are moved once, and rolls made of them.

The same arithmetic as in roll.py, with one difference. The host knows how many onsets each unit
has, and passes the number; a GPU that had to count them would make the host wait for the answer.
"""

import numpy as np

from tinyembed.backends.arrays import to_device
from tinyembed.music.corruption import kept
from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, FIRST_PITCH, PITCHES, ROWS, TICKS

CELLS = PITCHES * TICKS


class Cutter:
    """The onsets of a `Corpus` in arrays of xp: 5 bytes each, and 4 per beat.

    corpus: stays on the host; xp: cupy. The paper's 4.7 million units take some 12 MB.
    """

    shape = PITCHES, TICKS  # of a roll
    kept = staticmethod(kept)  # which onsets a corruption leaves

    def __init__(self, corpus, xp):
        self.xp = xp
        self.host_start = corpus.beat_start  # (n_beats + 1,)
        moved = to_device(
            xp,
            ticks=corpus.ticks,
            pitches=corpus.pitches,
            start=corpus.beat_start,
            rows=ROWS,
        )
        self.ticks, self.pitches = moved["ticks"], moved["pitches"]
        self.start, self.rows = moved["start"], moved["rows"]

    def count(self, beats):
        """How many onsets the units at `beats` have, on the host: (N,)."""
        return self.host_start[beats + BEATS_PER_UNIT] - self.host_start[beats]

    def cells(self, beats, keys, total):
        """The cells that are 1, owner * 5760 + row * 96 + column, and their owners: (total,) each.

        beats, keys: (N,) on the device; total: the sum of `count`. The cells of a unit stand
        together, and where notes fold into one cell it is named twice.
        """
        xp = self.xp
        first, last = self.start[beats], self.start[beats + BEATS_PER_UNIT]
        ends = xp.cumsum(last - first)
        places = xp.arange(total)
        owner = xp.searchsorted(ends, places, side="right")
        onset = places + (last - ends)[owner]
        rows = self.rows[self.pitches[onset] + (keys - FIRST_PITCH)[owner]]
        columns = self.ticks[onset] - beats[owner] * TICKS_PER_BEAT
        return owner * CELLS + rows * TICKS + columns, owner

    def rolls(self, beats, keys=0):
        """The rolls of units: (N, 60, 96) float32 on the device. beats, keys: on the host."""
        beats = np.asarray(beats)
        keys = np.broadcast_to(keys, beats.shape)
        moved = to_device(self.xp, beats=beats, keys=keys)
        cells, _ = self.cells(moved["beats"], moved["keys"], int(self.count(beats).sum()))
        rolls = self.xp.zeros(len(beats) * CELLS, np.float32)
        rolls[cells] = 1
        return rolls.reshape(-1, PITCHES, TICKS)
