"""The network that predicts a unit from the seven before it (section 5.0.1).

The paper uses three LSTM layers. We add a shortcut around them, which does two things: it starts
from the last unit, the simplest prediction, and it compares the seven units with each other. Music
repeats itself: where the last unit is like an earlier one, the next unit may be like the one that
followed there. An LSTM learns such products of its inputs slowly.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.evaluation.fitting import Standardize
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.layers.cosine import row_products
from tinyembed.layers.dense import Dense
from tinyembed.layers.layer import Layer, Sequential, flat
from tinyembed.layers.lstm import FirstLstm, LastStep, Lstm
from tinyembed.models.networks import build_head

UNITS = 400  # "3 stacked LSTM cells, each with 400 units"
GIVEN = SEQUENCE - 1
HIDDEN = 64  # units of the two layers between the cosines and the weights
START = 0.01  # scale of the initial weights, so that a new shortcut repeats the last unit
TINY = 1e-6  # avoids a division by zero for an embedding of zeros


class SimilarityAttention(Layer):
    """A weighted sum of the seven units, with weights from their similarities.

    (N, 7, D) -> (N, D). Two hidden layers map the 21 cosines between the seven units to seven
    weights, which may be negative and need not sum to 1.
    """

    buffers = ("pairs",)

    def __init__(self, rng):
        first, second = np.triu_indices(GIVEN, k=1)
        self.pairs = GIVEN * first + second  # (21,), indices into the flattened 7 x 7 matrix
        self.weights = build_head((HIDDEN, HIDDEN), GIVEN, rng, len(self.pairs))
        self.weights.output.weight.value *= START

    def forward(self, z, x, training=False):
        """z: (N, 7, D), to compare; x: (N, 7, D), to sum -> y: (N, D)."""
        squared = row_products(flat(z), flat(z)).reshape(len(z), GIVEN, 1)
        u = z * (squared + TINY) ** -0.5  # (N, 7, D), of length 1
        cosines = matmul(u, u.swapaxes(1, 2)).reshape(len(z), -1)  # (N, 49)
        weights, cache = self.weights.forward(cosines[:, self.pairs], training)  # (N, 7)
        return matmul(weights[:, None, :], x)[:, 0], (x, cache)

    def backward(self, dy, cache):
        """Add to the gradients of the parameters. The inputs are fixed and need no gradient."""
        x, cache = cache
        self.weights.backward(matmul(x, dy[:, :, None])[:, :, 0], cache)  # (N, 7)


class Shortcut(Layer):
    """The last unit plus a linear map of all seven plus their attention: (7, N, D) -> (N, D)."""

    def __init__(self, standardize, size, attention, rng):
        self.standardize = standardize
        self.dense = Dense(GIVEN * size, size, rng=rng)
        self.dense.weight.value *= START
        self.attention = SimilarityAttention(rng) if attention else None

    def forward(self, x, training=False):
        """x: (7, N, D) -> y: (N, D)."""
        last = x[-1]  # (N, D)
        x = array_module(x).ascontiguousarray(x.swapaxes(0, 1))  # (N, 7, D)
        z, _ = self.standardize.forward(x)
        linear, dense_cache = self.dense.forward(z.reshape(len(z), -1), training)  # (N, D)
        y, attention_cache = last + linear, None
        if self.attention:
            centred = x - self.standardize.mean
            attended, attention_cache = self.attention.forward(z, centred, training)
            y = y + attended
        return y, (dense_cache, attention_cache)

    def backward(self, dy, cache):
        dense_cache, attention_cache = cache
        self.dense.backward(dy, dense_cache)
        if self.attention:
            self.attention.backward(dy, attention_cache)


class Predictor(Layer):
    """Three LSTM layers and a linear output, plus the shortcut: (7, N, D) -> (N, D).

    size: D; rows: (R, D), training rows that the inputs are standardized by, or None for inputs as
    they are; shortcut: whether there is one; attention: whether it has a `SimilarityAttention`.
    """

    def __init__(self, size, rows, shortcut, attention, rng):
        self.standardize = Standardize(size, rows)
        self.lstm = Sequential(
            lstm1=FirstLstm(size, UNITS, rng=rng),
            lstm2=Lstm(UNITS, UNITS, rng=rng),
            lstm3=Lstm(UNITS, UNITS, rng=rng),
            last=LastStep(),
        )
        self.output = Dense(UNITS, size, rng=rng)
        self.shortcut = None
        if shortcut:
            self.shortcut = Shortcut(self.standardize, size, attention, rng)
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
        """Add to the gradients of all parameters. The inputs are fixed and need no gradient."""
        lstm_cache, output_cache, shortcut_cache = cache
        if self.shortcut:
            self.shortcut.backward(dy, shortcut_cache)
        self.lstm.backward(self.output.backward(dy, output_cache), lstm_cache)
