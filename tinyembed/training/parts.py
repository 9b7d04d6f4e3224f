"""Some rows of each batch: what one of several processes makes of it.

All processes draw the same numbers for a whole batch, which are functions of the seed and the step.
Each then cuts the rolls of its own rows.
"""

from dataclasses import replace

import numpy as np

from tinyembed.music.roll import BEATS_PER_UNIT, PITCHES, TICKS, unit_cells


class Part:
    """The same as some `Examples`, but that each batch has only some of its rows.

    Candidates are still named by their places in the whole batch.
    whole: `Examples`; size: of a whole batch; rows: a slice of it.
    """

    def __init__(self, whole, size, rows):
        self.whole, self.size, self.rows = whole, size, rows
        self.spec, self.offsets, self.corpus = whole.spec, whole.offsets, whole.corpus
        self.cutter, self.batch_of = whole.cutter, whole.batch_of
        self.first, self.end = whole.first, whole.end

    def at(self, step, size):
        """As for `Examples`."""
        return self

    def choose(self, step, size):
        """Which examples are in the whole batch of a step. size: of this part."""
        return self.whole.choose(step, self.size)

    def candidates(self, n, step):
        """What each of this part's n examples is compared with in a step."""
        return self.whole.candidates(self.size, step)[self.rows]

    def draw(self, chosen, step, corruption=False):
        """The rows of this part of what is drawn for a whole batch: `Draws`."""
        draws = self.whole.draw(chosen, step, corruption)
        per_onset = None if draws.order is None else draws.order[self._numbers(draws)]
        per_example = {
            name: values[self.rows]
            for name, values in vars(draws).items()
            if name != "order" and values is not None
        }
        return replace(draws, **per_example, order=per_onset)

    def _numbers(self, draws):
        """The place of this part's random numbers among those of the whole batch's onsets.

        A corruption takes one for each cell of a roll, and notes may fold into one cell.
        """
        corpus, before = self.corpus, slice(self.rows.start)
        onsets = corpus.ticks, corpus.pitches, corpus.beat_start
        cells, owner = unit_cells(*onsets, draws.beats[before], draws.keys[before])
        first = len(np.unique(owner * (PITCHES * TICKS) + cells))
        own = draws.beats[self.rows]
        count = int((corpus.beat_start[own + BEATS_PER_UNIT] - corpus.beat_start[own]).sum())
        return slice(first, first + count)

    def batch(self, step, size):
        """This part of the batch of a step: a `Batch`."""
        draws = self.draw(self.choose(step, size), step, corruption=True)
        return self.whole.cut(draws, Drawn(draws))


class Drawn:
    """What a corruption draws, once more: in place of the generator that drew it."""

    def __init__(self, draws):
        self.draws = draws

    def integers(self, high, size):
        """The draws per example."""
        return self.draws.choice.reshape(size)

    def random(self, n):
        """The draws per onset."""
        return self.draws.order[:n]
