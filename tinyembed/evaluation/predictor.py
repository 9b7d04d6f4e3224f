"""The network that predicts a unit from the seven before it (section 5.0.1).

The paper gives three layers of LSTM and no more. Beside them stands a shortcut with two ideas:
start from the last unit, which is the simplest answer of all, and look at which of the seven
resemble each other. Music repeats itself: where the fourth unit was like the third-last, the
next may be like the one that followed. Such a product of inputs is hard for an LSTM to find.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.evaluation.fitting import Standardize
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.layers.dense import Dense
from tinyembed.layers.elu import Elu
from tinyembed.layers.layer import Layer, Sequential
from tinyembed.layers.lstm import LastStep, Lstm

UNITS = 400  # "3 stacked LSTM cells, each with 400 units"
GIVEN = SEQUENCE - 1
HIDDEN = 64  # between the resemblances and the weights
START = 0.01  # of the first weights, so that a new shortcut repeats the last unit
TINY = 1e-6  # keeps the length of a unit of zeros from dividing by zero


class Recall(Layer):
    """Which of the seven come again: a weighted sum of them, (N, 7, D) -> (N, D).

    The weights come from the 21 cosines between the seven, through two hidden layers. They may be
    negative, and need not sum to 1.
    """

    buffers = ("pairs",)

    def __init__(self, rng):
        first, second = np.triu_indices(GIVEN, k=1)
        self.pairs = GIVEN * first + second  # (21,), places in a 7 x 7 matrix laid flat
        self.weigh = Sequential(
            hidden1=Dense(len(self.pairs), HIDDEN, rng=rng),
            elu1=Elu(),
            hidden2=Dense(HIDDEN, HIDDEN, rng=rng),
            elu2=Elu(),
            output=Dense(HIDDEN, GIVEN, rng=rng),
        )
        self.weigh.output.weight.value *= START

    def forward(self, z, x, training=False):
        """z: (N, 7, D), what to compare; x: (N, 7, D), what to add up -> y: (N, D)."""
        u = z * ((z * z).sum(axis=2, keepdims=True) + TINY) ** -0.5  # (N, 7, D), of length 1
        cosines = matmul(u, u.swapaxes(1, 2)).reshape(len(z), -1)  # (N, 49)
        weights, cache = self.weigh.forward(cosines[:, self.pairs], training)  # (N, 7)
        return matmul(weights[:, None, :], x)[:, 0], (x, cache)

    def backward(self, dy, cache):
        """Adds to the gradients of the parameters; the inputs are fixed and get none."""
        x, cache = cache
        self.weigh.backward(matmul(x, dy[:, :, None])[:, :, 0], cache)  # (N, 7)


class Shortcut(Layer):
    """The last unit, a linear map of all seven, and what they recall: (7, N, D) -> (N, D)."""

    def __init__(self, standardize, size, recall, rng):
        self.standardize = standardize
        self.dense = Dense(GIVEN * size, size, rng=rng)
        self.dense.weight.value *= START
        self.recall = Recall(rng) if recall else None

    def forward(self, x, training=False):
        """x: (7, N, D) -> y: (N, D)."""
        last = x[-1]  # (N, D)
        x = array_module(x).ascontiguousarray(x.swapaxes(0, 1))  # (N, 7, D)
        z, _ = self.standardize.forward(x)
        linear, dense_cache = self.dense.forward(z.reshape(len(z), -1), training)  # (N, D)
        y, recall_cache = last + linear, None
        if self.recall:
            recalled, recall_cache = self.recall.forward(z, x - self.standardize.mean, training)
            y = y + recalled
        return y, (dense_cache, recall_cache)

    def backward(self, dy, cache):
        dense_cache, recall_cache = cache
        self.dense.backward(dy, dense_cache)
        if self.recall:
            self.recall.backward(dy, recall_cache)


class Predictor(Layer):
    """Three LSTM layers and a linear output, plus the shortcut: (7, N, D) -> (N, D).

    size: D; rows: (R, D), training rows to standardize the inputs by, or None to take them as they
    are; shortcut: whether there is one; recall: whether it has a `Recall`.
    """

    def __init__(self, size, rows, shortcut, recall, rng):
        self.standardize = Standardize(size, rows)
        self.lstm = Sequential(
            lstm1=Lstm(size, UNITS, rng=rng),
            lstm2=Lstm(UNITS, UNITS, rng=rng),
            lstm3=Lstm(UNITS, UNITS, rng=rng),
            last=LastStep(),
        )
        self.output = Dense(UNITS, size, rng=rng)
        self.shortcut = None
        if shortcut:
            self.shortcut = Shortcut(self.standardize, size, recall, rng)
            self.output.weight.value *= START

    def forward(self, x, training=False):
        """x: (7, N, D) -> y: (N, D)."""
        z, _ = self.standardize.forward(x)  # (7, N, D)
        h, lstm_cache = self.lstm.forward(z, training)  # (N, 400)
        y, output_cache = self.output.forward(h, training)  # (N, D)
        shortcut_cache = None
        if self.shortcut:
            direct, shortcut_cache = self.shortcut.forward(x, training)
            y = y + direct
        return y, (lstm_cache, output_cache, shortcut_cache)

    def backward(self, dy, cache):
        """Adds to the gradients of all parameters; the inputs are fixed and get none."""
        lstm_cache, output_cache, shortcut_cache = cache
        if self.shortcut:
            self.shortcut.backward(dy, shortcut_cache)
        self.lstm.backward(self.output.backward(dy, output_cache), lstm_cache)
