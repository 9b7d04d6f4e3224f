"""Batches made on a GPU: drawn on the host, many steps at a time, and cut where they are needed.

What the host draws for some fifty steps crosses the bus in one transfer: integers and a few random
numbers, a thousandth of the rolls. On the GPU they become cells of rolls, for all those steps at
once. A step's own work is then to clear its rolls and to write ones into them.
"""

import numpy as np

from tinyembed.backends.arrays import to_device

STEPS_AT_ONCE = 50
UNITS_AT_ONCE = 20_000  # examples; with 30 onsets each and context, some 200 MB while being cut


class Ahead:
    """What coming steps draw, one step at a time: no step has to wait for fifty others' draws.

    draw: (step) -> what is drawn for it.
    """

    def __init__(self, draw):
        self.draw, self.kept = draw, {}

    def prepare(self, steps):
        """Draw for the first of these steps that has nothing yet."""
        for step in steps:
            if step not in self.kept:
                self.kept[step] = self.draw(step)
                return

    def take(self, steps):
        """What these steps draw: a list. Everything else is forgotten."""
        found = [self.kept[s] if s in self.kept else self.draw(s) for s in steps]
        self.kept = {}
        return found


class DeviceBatches:
    """The batches of a training, one after the other in the same arrays.

    A recorded graph reads where it read the first time. So the arrays stay, and what they hold
    changes.

    examples: `Examples`, or pools of them; cutter_of: (examples) -> the `Cutter` for their corpus;
    size: of a batch; numbers: a function of the step that gives further numbers which the step
    needs, a few floats; steps: where the training ends.
    """

    def __init__(self, examples, cutter_of, size, numbers=lambda step: (), steps=0):
        self.pools, self.cutter_of, self.size = examples, cutter_of, size
        self.numbers, self.last = numbers, steps
        self._enter(examples.at(0, size))
        cutter, xp = self.cutter, self.cutter.xp
        self.xp = xp
        # Where the target is the unit itself, no neighbours are cut.
        self.offsets = [] if examples.offsets == [0] else examples.offsets
        self.small = np.dtype(
            [
                ("candidates", np.int64, examples.candidates(size, 0).shape),
                ("composer", np.int64, (size,)),
                ("beat", np.int64, (size,)),
                ("numbers", np.float32, (len(numbers(0)),)),
            ],
            align=True,
        )
        # A batch's rolls: corrupted, where the model has a corruption, then as they are, then
        # neighbours. No model has both a corruption and neighbours.
        self.corrupted = int(bool(examples.spec.corruption))
        self.whole = size * int(np.prod(cutter.shape))  # cells of the rolls of one kind
        kinds = self.corrupted + 1 + len(self.offsets)
        # One cell more than the rolls have: what is not to be seen is written there.
        self.rolls = xp.zeros(kinds * self.whole + 1, np.float32)
        self.row = xp.zeros(self.small.itemsize, np.uint8)
        shown = self.rolls[:-1].reshape(kinds, size, *cutter.shape)
        clean = shown[self.corrupted]
        self.target, *self.others = [*shown[1 + self.corrupted :]] or [clean]
        self.now = self._batch(shown[0], clean), self.field("numbers")

    def _enter(self, examples):
        """From now on, batches are of these examples, until their last step."""
        self.examples, self.cutter = examples, self.cutter_of(examples)
        self.steps = min(self.last, examples.end)
        self.ahead = Ahead(self._draw)
        self.first = self.end = 0  # the steps that were taken

    def field(self, name):
        """A part of what `small` describes, of the present step: an array that stays."""
        kind, begin = self.small.fields[name]
        part = self.row[begin : begin + kind.itemsize]
        return part.view(kind.base).reshape(kind.shape)

    def _batch(self, rolls, clean):
        return self.examples.batch_of(
            input=rolls,
            target=self.target if self.examples.offsets else None,
            candidates=self.field("candidates"),
            composer=self.field("composer"),
            clean=clean,
            beat=self.field("beat"),
        )

    def at(self, step):
        """The batch of a step and its numbers, in the same arrays each time."""
        self.look_ahead(step)
        k = step - self.first
        self.row[...] = self.rows[k]
        self.rolls.fill(0)
        self.rolls[self.onsets[:, self.starts[k] : self.starts[k + 1]]] = 1
        for other in self.others:
            self.target += other
        return self.now

    def look_ahead(self, step):
        """Cut the batches of some steps from `step` on; if that is done, draw for a later step."""
        if step and step == self.last:
            return
        examples = self.pools.at(step, self.size)
        if examples is not self.examples:
            self._enter(examples)
        count = max(1, min(STEPS_AT_ONCE, UNITS_AT_ONCE // self.size))
        if self.first <= step < self.end:  # as many are drawn ahead as are used up
            last = min(self.end + min(count, step - self.first), self.steps)
            self.ahead.prepare(range(self.end, last))
        else:
            last = max(step + 1, min(step + count, self.steps))
            self.take(self.ahead.take(range(step, last)), step)

    def _draw(self, step):
        return self.examples.draw(self.examples.choose(step, self.size), step, corruption=True)

    def take(self, draws, step):
        """Move the draws of some steps to the GPU, in one transfer, and cut their units there."""
        self.first, self.end = step, step + len(draws)
        table = np.zeros(len(draws), self.small)
        for k, d in enumerate(draws):
            table[k]["candidates"], table[k]["composer"] = d.candidates, d.composer
            table[k]["beat"] = d.beats
            table[k]["numbers"] = self.numbers(step + k)
        shifts = 0, *self.offsets
        beats = np.concatenate([d.beats + shift for d in draws for shift in shifts])
        keys = np.concatenate([d.keys for d in draws for _ in shifts])
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
        self.starts = start[:: self.size * len(shifts)].tolist()  # of each step's cells
        cells, owner = self.cutter.cells(moved["beats"], moved["keys"], int(start[-1]))
        onsets = cells % (self.whole * len(shifts))  # within the rolls of one step
        if self.corrupted:
            stays = self.cutter.kept(
                self.examples.spec.corruption, cells, owner,
                moved["choice"], moved["order"], moved["start"], self.size,
            )  # fmt: skip
            nowhere = 2 * self.whole
            onsets = self.xp.stack([self.xp.where(stays, onsets, nowhere), onsets + self.whole])
        self.onsets = onsets.reshape(1 + self.corrupted, -1)


class DeviceDraws:
    """Indices and a few numbers that each step needs from the host, in the same two arrays.

    draw: (step) -> an integer array of one shape; numbers: (step) -> a few floats; steps: the last
    step, counted from 1. STEPS_AT_ONCE steps cross the bus in one transfer.
    """

    def __init__(self, draw, numbers, steps, xp):
        self.numbers, self.steps, self.xp = numbers, steps, xp
        self.ahead = Ahead(draw)
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

    def look_ahead(self, step):
        """Draw for one of the steps that are still to be moved."""
        last = min(self.end + step - self.first + 1, self.end + STEPS_AT_ONCE, self.steps + 1)
        self.ahead.prepare(range(self.end, last))

    def _move(self, step):
        self.first, self.end = step, min(step + STEPS_AT_ONCE, self.steps + 1)
        coming = range(self.first, self.end)
        self.moved = to_device(
            self.xp,
            rows=np.stack(self.ahead.take(coming)),
            numbers=np.array([self.numbers(n) for n in coming], np.float32),
        )
