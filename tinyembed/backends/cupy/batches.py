"""Batches made on a GPU: drawn on the host, many steps at a time, and cut where they are needed.

What the host draws for some fifty steps crosses the bus in one transfer: integers and a few random
numbers, a thousandth of the rolls. On the GPU they become cells of rolls, for all those steps at
once. A step's own work is then to clear its rolls and to write ones into them.
"""

import numpy as np

from tinyembed.backends.arrays import to_device

STEPS_AT_ONCE = 50
UNITS_AT_ONCE = 20_000  # examples; with 30 onsets each and context, some 200 MB while being cut


class DeviceBatches:
    """The batches of a training, one after the other in the same arrays.

    A recorded graph reads where it read the first time. So the arrays stay, and what they hold
    changes.

    examples: `Examples`; cutter: a `Cutter` for their corpus; size: of a batch; numbers: a function
    of the step that gives further numbers which the step needs, a few floats; steps: where the
    training ends.
    """

    def __init__(self, examples, cutter, size, numbers=lambda step: (), steps=0):
        self.examples, self.cutter, self.size = examples, cutter, size
        self.numbers, self.steps = numbers, steps
        self.xp = xp = cutter.xp
        # Where the target is the unit itself, no neighbours are cut.
        self.offsets = [] if examples.offsets == [0] else examples.offsets
        self.small = np.dtype(
            [
                ("candidates", np.int64, (size, 5)),
                ("composer", np.int32, (size,)),
                ("beat", np.int64, (size,)),
                ("numbers", np.float32, (len(numbers(0)),)),
            ],
            align=True,
        )
        self.units = 1 + bool(examples.spec.corruption)  # corrupted, and as they are
        self.cells = int(np.prod(cutter.shape))  # of a roll
        count = self.units + len(self.offsets)  # then come neighbours
        # One cell more than the rolls have: what is not to be seen is written there.
        self.rolls = [xp.zeros(size * self.cells + 1, np.float32) for _ in range(count)]
        self.row = xp.zeros(self.small.itemsize, np.uint8)
        self.first = self.end = 0  # the steps that were taken

    def field(self, name):
        """A part of what `small` describes, of the present step: an array that stays."""
        kind, begin = self.small.fields[name]
        part = self.row[begin : begin + kind.itemsize]
        return part.view(kind.base).reshape(kind.shape)

    def at(self, step):
        """The batch of a step and its numbers, in the same arrays each time."""
        self.look_ahead(step)
        k = step - self.first
        self.row[...] = self.rows[k]
        for rolls, cells, starts in zip(self.rolls, self.onsets, self.starts, strict=True):
            rolls.fill(0)
            rolls[cells[starts[k] : starts[k + 1]]] = 1
        for rolls in self.rolls[self.units + 1 :]:
            self.rolls[self.units] += rolls
        shown = [rolls[:-1].reshape(-1, *self.cutter.shape) for rolls in self.rolls]
        clean = shown[self.units - 1]
        target = shown[self.units] if self.offsets else clean
        batch = self.examples.batch_of(
            input=shown[0],
            target=target if self.examples.offsets else None,
            candidates=self.field("candidates"),
            composer=self.field("composer"),
            clean=clean,
            beat=self.field("beat"),
        )
        return batch, self.field("numbers")

    def look_ahead(self, step):
        """Draw and cut the batches of some steps from `step` on, unless that is done."""
        if self.first <= step < self.end or (step and step == self.steps):
            return
        count = max(1, min(STEPS_AT_ONCE, UNITS_AT_ONCE // self.size, self.steps - step))
        draws = [
            self.examples.draw(self.examples.choose(s, self.size), s, corruption=True)
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
        whole = self.size * self.cells
        onsets = cells % whole  # within the rolls of one batch
        # The units as they are, then their neighbours: where each step begins among the cells.
        begins, n, groups = start[:: self.size], len(draws), 1 + len(self.offsets)
        self.onsets = [onsets] * groups
        self.starts = [begins[g * n : (g + 1) * n + 1] for g in range(groups)]
        if moved["choice"] is not None:
            last = int(begins[n])
            stays = self.cutter.kept(
                self.examples.spec.corruption, cells[:last], owner[:last],
                moved["choice"], moved["order"], moved["start"][: len(own) + 1], self.size,
            )  # fmt: skip
            self.onsets.insert(0, self.xp.where(stays, onsets[:last], whole))
            self.starts.insert(0, self.starts[0])


class DeviceDraws:
    """Indices and a few numbers that each step needs from the host, in the same two arrays.

    draw: (step) -> an integer array of one shape; numbers: (step) -> a few floats; steps: the last
    step, counted from 1. STEPS_AT_ONCE steps cross the bus in one transfer.
    """

    def __init__(self, draw, numbers, steps, xp):
        self.draw, self.numbers, self.steps, self.xp = draw, numbers, steps, xp
        self.first = self.end = 0  # the steps that were moved
        self.now = None

    def at(self, step):
        """What step `step` is given, and its numbers."""
        if not self.first <= step < self.end:
            self._move(step)
        current = [self.moved[name][step - self.first] for name in ("rows", "numbers")]
        if self.now is None:
            self.now = [array.copy() for array in current]
        for array, value in zip(self.now, current, strict=True):
            array[...] = value
        return tuple(self.now)

    def _move(self, step):
        self.first, self.end = step, min(step + STEPS_AT_ONCE, self.steps + 1)
        coming = range(self.first, self.end)
        self.moved = to_device(
            self.xp,
            rows=np.stack([self.draw(n) for n in coming]),
            numbers=np.array([self.numbers(n) for n in coming], np.float32),
        )
