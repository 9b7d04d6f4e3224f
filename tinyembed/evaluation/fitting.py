"""A small network trained on embeddings: how both experiments are run (section 5).

The recipe is the same for every embedding: Adam with cosine decay for a fixed number of steps,
and of the weights looked at on the way those that do best on the validation pieces.
"""

import math

from tqdm import tqdm

from tinyembed.errors import WorkError
from tinyembed.layers.layer import Layer
from tinyembed.optimizers import Adam, Flat, cosine_decay

LOOKS = 12  # at the validation pieces, over one training


class Standardize(Layer):
    """Each of D numbers to mean 0 and variance 1 over the training rows: fixed, not learned.

    Embeddings differ in scale and share a large mean; the recipe should not depend on that.
    """

    buffers = ("mean", "inverse_std")

    def __init__(self, rows):
        """rows: (R, D), what to take mean and variance over."""
        self.mean = rows.mean(axis=0)
        self.inverse_std = 1 / (rows.std(axis=0) + 1e-6)

    def forward(self, x, training=False):
        """x: (..., D) -> the same shape."""
        return (x - self.mean) * self.inverse_std, None

    def backward(self, dy, cache):
        return dy * self.inverse_std


def fit(network, loss, draw, validate, steps, rate=1e-3, progress=None, desc="training"):
    """Train a network, and leave it with the best weights found.

    network: a `Layer` on its device; loss: has forward(y, target) and backward(cache); draw: takes
    the step and returns x and target; validate: returns the network's validation loss.
    Returns the best validation loss. Raises WorkError when the loss is not a number.
    """
    flat = Flat(network.parameters())
    optimizer = Adam(flat)
    best, kept = validate(), flat.values.copy()  # what it begins with may be the best
    every = max(1, steps // LOOKS)
    disable = None if progress is None else not progress
    for step in tqdm(range(1, steps + 1), desc=desc, leave=False, disable=disable):
        x, target = draw(step)
        y, cache = network.forward(x, training=True)
        _, loss_cache = loss.forward(y, target)
        network.backward(loss.backward(loss_cache), cache)
        optimizer.step(cosine_decay(step - 1, steps, rate))
        if step % every == 0 or step == steps:
            found = validate()
            if not math.isfinite(found):
                raise WorkError(f"{desc}: the loss is {found} at step {step:,}")
            if found < best:
                best, kept = found, flat.values.copy()
    flat.values[...] = kept
    return best
