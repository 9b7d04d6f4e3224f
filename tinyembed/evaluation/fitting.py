"""A small network trained on embeddings: how both experiments are run (section 5).

The recipe is the same for every embedding: Adam with cosine decay for a fixed number of steps,
and of the weights looked at on the way those that do best on the validation pieces.
"""

import math

from tinyembed.backends.arrays import array_module, ones, zeros
from tinyembed.backends.choice import engine_for
from tinyembed.backends.dispatch import operation
from tinyembed.errors import WorkError
from tinyembed.layers.layer import Layer
from tinyembed.storage.progress import progress_bar
from tinyembed.training.optimizers import Adam, Flat, cosine_decay

LOOKS = 12  # at the validation pieces, over one training


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
        return standardize(x, self.mean, self.inverse_std), None

    def backward(self, dy, cache):
        return dy * self.inverse_std


@operation
def standardize(x, mean, inverse_std):
    """(x - mean) / std: (..., D), (D,), (D,) -> (..., D)."""
    return (x - mean) * inverse_std


def fit(network, loss, draw, look_up, validate, steps, rate=1e-3, progress=None, desc="training"):
    """Train a network, and leave it with the best weights found.

    network: a `Layer`; loss: has forward(y, target) and backward(cache); draw: takes the step, from
    1, and returns row indices, an integer array that has one shape in all steps; look_up: takes
    them where the network is, and returns x and target there; validate: returns the network's
    validation loss.
    Returns the best validation loss. Raises WorkError when the loss is not a number.
    """
    flat = Flat(network.parameters())
    adam, engine = Adam(flat), engine_for(array_module(flat.values))
    given = [None, None]  # row indices and Adam's factors, of the step under way

    def numbers(step):
        return adam.factors(step, cosine_decay(step - 1, steps, rate))

    def work():
        x, target = look_up(given[0])
        y, cache = network.forward(x, training=True)
        _, loss_cache = loss.forward(y, target)
        network.backward(loss.backward(loss_cache), cache)
        adam.update(given[1][0], given[1][1])

    draws, take_step = engine.draws(draw, numbers, steps), engine.repeat(work)
    best, kept = validate(), flat.values.copy()  # what it begins with may be the best
    every = max(1, steps // LOOKS)
    with engine.running():
        for step in progress_bar(progress, range(1, steps + 1), desc=desc, leave=False):
            given[:] = draws.at(step)
            take_step()
            draws.look_ahead(step)
            if step % every == 0 or step == steps:
                found = validate()
                if not math.isfinite(found):
                    raise WorkError(f"{desc}: the loss is {found} at step {step:,}")
                if found < best:
                    best, kept = found, flat.values.copy()
    flat.values[...] = kept
    return best
