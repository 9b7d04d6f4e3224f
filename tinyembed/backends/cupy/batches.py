"""Batches made on a GPU: drawn on the host, many steps at a time, and cut where they are needed.

What the host draws for some fifty steps crosses the bus in one piece: integers and a few random
numbers, a thousandth of the rolls. On the GPU they become cells of rolls, again for all those
steps at once; a step's own work is then to clear its rolls and to write ones into them.
"""

import numpy as np

from tinyembed.backends.arrays import to_device
from tinyembed.music.corruption import kept
from tinyembed.music.cutting import CELLS
from tinyembed.music.roll import PITCHES, TICKS
from tinyembed.training.examples import Batch

STEPS_AT_ONCE = 50
UNITS_AT_ONCE = 20_000  # examples; with 30 onsets each and context, some 200 MB while being cut


class DeviceExamples:
    """`Examples` whose batches are made on a GPU: the same ones, to the last onset.

    examples: to draw from; cutter: a `Cutter` for the same corpus.
    """

    def __init__(self, examples, cutter):
        self.examples, self.cutter = examples, cutter
        self.fixed, self.composers = examples.fixed, examples.composers

    def __len__(self):
        return len(self.examples)

    def make(self, chosen, step=0):
        """As `Examples.make`, on the GPU."""
        feed = Feed(self, len(chosen))
        feed.take([self.examples.draw(chosen, step, corruption=True)], step)
        return feed.batch(step)


class Feed:
    """The batches of a training, one after the other in the same arrays.

    A recorded graph reads where it read the first time; so the arrays stay, and what they hold
    changes.

    examples: `DeviceExamples`; size: of a batch; numbers: a function of the step that gives
    further numbers which the step needs, a few floats; steps: where the training ends.
    """

    def __init__(self, examples, size, numbers=lambda step: (), steps=0):
        self.examples, self.size, self.numbers, self.steps = examples, size, numbers, steps
        self.cutter = examples.cutter
        self.xp = xp = self.cutter.xp
        spec, self.offsets = examples.examples.spec, examples.examples.offsets
        if self.offsets == [0]:  # the target is the unit itself
            self.offsets = []
        self.small = np.dtype(
            [
                ("candidates", np.int64, (size, 5)),
                ("composer", np.int32, (size,)),
                ("beat", np.int64, (size,)),
                ("numbers", np.float32, (len(numbers(0)),)),
            ],
            align=True,
        )
        # One cell more than the rolls have: there goes what is not to be seen.
        self.units = 1 + bool(spec.corruption)  # damaged, and as they are; then come neighbours
        count = self.units + len(self.offsets)
        self.rolls = [xp.zeros(size * CELLS + 1, np.float32) for _ in range(count)]
        self.row = xp.zeros(self.small.itemsize, np.uint8)
        self.first = self.end = 0  # the steps that were taken

    def field(self, name):
        """A part of what `small` describes, of the present step: an array that stays."""
        kind, begin = self.small.fields[name]
        part = self.row[begin : begin + kind.itemsize]
        return part.view(kind.base).reshape(kind.shape)

    def batch(self, step):
        """The batch of a step, in the same arrays each time: a `Batch`."""
        if not self.first <= step < self.end:
            self.look_ahead(step)
        k = step - self.first
        self.row[...] = self.rows[k]
        for rolls, places, starts in zip(self.rolls, self.places, self.starts, strict=True):
            rolls.fill(0)
            rolls[places[starts[k] : starts[k + 1]]] = 1
        for rolls in self.rolls[self.units + 1 :]:
            self.rolls[self.units] += rolls
        shown = [rolls[:-1].reshape(-1, PITCHES, TICKS) for rolls in self.rolls]
        clean = shown[self.units - 1]
        target = shown[self.units] if self.offsets else clean
        return Batch(
            input=shown[0],
            target=target if self.examples.examples.offsets else None,
            candidates=self.field("candidates"),
            composer=self.field("composer"),
            clean=clean,
            beat=self.field("beat"),
        )

    def look_ahead(self, step):
        """Draw and cut the batches of some steps from `step` on, unless that is done."""
        if self.first <= step < self.end:
            return
        examples = self.examples.examples
        count = max(1, min(STEPS_AT_ONCE, UNITS_AT_ONCE // self.size, self.steps - step))
        draws = [
            examples.draw(examples.choose(s, self.size), s, corruption=True)
            for s in range(step, step + count)
        ]
        self.take(draws, step)

    def take(self, draws, step):
        """Move the draws of some steps to the GPU, in one transfer, and cut their units there."""
        self.first, self.end = step, step + len(draws)
        table = np.zeros(len(draws), self.small)
        for k, d in enumerate(draws):
            table[k]["candidates"], table[k]["composer"] = d.candidates, d.composer
            table[k]["beat"] = d.beats
            table[k]["numbers"] = self.numbers(step + k)
        own = np.concatenate([d.beats for d in draws])
        beats = np.concatenate([own, *[own + offset for offset in self.offsets]])
        keys = np.tile(np.concatenate([d.keys for d in draws]), 1 + len(self.offsets))
        start = np.concatenate([[0], np.cumsum(self.cutter.count(beats))])  # of each unit's cells
        choices, orders = ([getattr(d, name) for d in draws] for name in ("choice", "order"))
        moved = to_device(
            self.xp,
            table=table.view(np.uint8).reshape(len(draws), -1),
            beats=beats,
            keys=keys,
            start=start,
            choice=None if choices[0] is None else np.concatenate(choices),
            order=None if orders[0] is None else np.concatenate(orders),
        )
        self.rows = moved["table"]
        cells, owner = self.cutter.cells(moved["beats"], moved["keys"], int(start[-1]))
        whole = self.size * CELLS
        places = cells % whole  # within the rolls of one batch
        # The units as they are, then their neighbours: where each step begins among the cells.
        begins = start[:: self.size]
        n = len(draws)
        self.places = [places] * (1 + len(self.offsets))
        self.starts = [begins[g * n : (g + 1) * n + 1] for g in range(1 + len(self.offsets))]
        if moved["choice"] is not None:
            last = int(begins[n])
            stays = kept(
                self.examples.examples.spec.corruption, cells[:last], owner[:last],
                moved["choice"], moved["order"], moved["start"][: len(own) + 1], self.size,
            )  # fmt: skip
            damaged = self.xp.where(stays, places[:last], whole)
            self.places.insert(0, damaged)
            self.starts.insert(0, self.starts[0])
