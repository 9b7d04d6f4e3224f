"""A small network trained on embeddings: how both experiments are run (section 5).

The recipe is the same for every embedding: Adam with cosine decay for a fixed number of steps,
and of the weights looked at on the way those that do best on the validation pieces.
"""

import math
import sys

import numpy as np
from tqdm import tqdm

from tinyembed.backends.arrays import array_module, ones, to_device, zeros
from tinyembed.backends.cupy.graphs import Replayed, own_stream
from tinyembed.errors import WorkError
from tinyembed.layers.layer import Layer
from tinyembed.training.optimizers import Adam, Flat, cosine_decay

LOOKS = 12  # at the validation pieces, over one training
AT_ONCE = 50  # steps whose draws a GPU is given together


class Standardize(Layer):
    """Each of D numbers to mean 0 and variance 1 over the training rows: fixed, not learned.

    Embeddings differ in scale and share a large mean; the recipe should not depend on that.
    """

    buffers = ("mean", "inverse_std")

    def __init__(self, size, rows):
        """size: D; rows: (R, D), what to take mean and variance over, or None to change nothing."""
        self.mean, self.inverse_std = zeros(size), ones(size)
        if rows is not None:
            self.mean = rows.mean(axis=0)
            self.inverse_std = 1 / (rows.std(axis=0) + 1e-6)

    def forward(self, x, training=False):
        """x: (..., D) -> the same shape."""
        return (x - self.mean) * self.inverse_std, None

    def backward(self, dy, cache):
        return dy * self.inverse_std


def fit(network, loss, draw, look_up, validate, steps, rate=1e-3, progress=None, desc="training"):
    """Train a network, and leave it with the best weights found.

    network: a `Layer` on its device; loss: has forward(y, target) and backward(cache); draw: takes
    the step, from 1, and returns row numbers, an integer array on the host that has one shape in
    all steps; look_up: takes them on the device and returns x and target there; validate: returns
    the network's validation loss. A GPU is given the draws of many steps in one transfer, and
    replays the step as a graph.
    Returns the best validation loss. Raises WorkError when the loss is not a number.
    """
    flat = Flat(network.parameters())
    xp, adam = array_module(flat.values), Adam(flat)

    def numbers(step):
        return adam.factors(step, cosine_decay(step - 1, steps, rate))

    def work():
        x, target = look_up(ahead.rows)
        y, cache = network.forward(x, training=True)
        _, loss_cache = loss.forward(y, target)
        network.backward(loss.backward(loss_cache), cache)
        adam.update(ahead.numbers[0], ahead.numbers[1])

    ahead = Ahead(draw, numbers, steps, xp)
    take_step = Replayed(work, xp, say=_say)
    best, kept = validate(), flat.values.copy()  # what it begins with may be the best
    every = max(1, steps // LOOKS)
    disable = None if progress is None else not progress
    with own_stream(xp):
        for step in tqdm(range(1, steps + 1), desc=desc, leave=False, disable=disable):
            ahead.go_to(step)
            take_step()
            if step % every == 0 or step == steps:
                found = validate()
                if not math.isfinite(found):
                    raise WorkError(f"{desc}: the loss is {found} at step {step:,}")
                if found < best:
                    best, kept = found, flat.values.copy()
    flat.values[...] = kept
    return best


def _say(note):
    print(note, file=sys.stderr)  # where --json speaks to nobody


class Ahead:
    """What each step needs from the host: row numbers, and a few further numbers.

    A GPU gets those of AT_ONCE steps in one transfer, and finds each step's own in the same two
    arrays, rows and numbers, as a recorded step must.

    draw, numbers: functions of the step; steps: the last one.
    """

    def __init__(self, draw, numbers, steps, xp):
        self.draw, self.of_step, self.steps, self.xp = draw, numbers, steps, xp
        self.first = self.end = 0  # the steps whose numbers have been moved
        self.rows = self.numbers = None

    def go_to(self, step):
        """Have the numbers of a step in place."""
        if self.xp is np:
            self.rows, self.numbers = self.draw(step), self.of_step(step)
            return
        if not self.first <= step < self.end:
            self._move(step)
        k = step - self.first
        if self.rows is None:
            self.rows, self.numbers = (self.moved[name][k].copy() for name in ("rows", "numbers"))
        self.rows[...], self.numbers[...] = self.moved["rows"][k], self.moved["numbers"][k]

    def _move(self, step):
        self.first, self.end = step, min(step + AT_ONCE, self.steps + 1)
        coming = range(self.first, self.end)
        self.moved = to_device(
            self.xp,
            rows=np.stack([self.draw(n) for n in coming]),
            numbers=np.array([self.of_step(n) for n in coming], np.float32),
        )
