"""The network that predicts a unit from the seven before it (section 5.0.1).

The paper gives three layers of LSTM and no more. Beside them stands a shortcut with two ideas:
start from the last unit, which is the simplest answer of all, and look at which of the seven
resemble each other. Music repeats itself: where the fourth unit was like the third-last, the
next may be like the one that followed. Such a product of inputs is hard for an LSTM to find.
"""

from itertools import pairwise

import numpy as np

from tinyembed.arrays import array_module, matmul
from tinyembed.evaluation.fitting import Standardize
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.layers.dense import Dense
from tinyembed.layers.elu import Elu
from tinyembed.layers.layer import Layer, Sequential
from tinyembed.layers.lstm import LastStep, Lstm

UNITS = 400  # "3 stacked LSTM cells, each with 400 units"
GIVEN = SEQUENCE - 1
HIDDEN = 64  # between the resemblances and the weights
GROUPS = (8, 32)  # the first principal components, the next, and the rest
START = 0.01  # of the first weights, so that a new shortcut repeats the last unit
TINY = 1e-6  # keeps the length of a unit of zeros from dividing by zero


class Recall(Layer):
    """Which of the seven come again: a weighted sum of them, (N, 7, D) -> (N, D).

    The weights come from the 21 cosines between the seven, through two hidden layers. They may be
    negative, and need not sum to 1. Two units may share their harmony and not their rhythm: so
    the principal components are taken in GROUPS, each with cosines and weights of its own, beside
    the cosines of the whole.

    rows: (R, D), standardized training rows, whose principal components are meant.
    """

    buffers = ("axes", "pairs")

    def __init__(self, rows, rng):
        self.axes = principal_axes(rows)  # (D, D)
        ends = [end for end in GROUPS if end < rows.shape[1]] + [rows.shape[1]]
        self.groups = [slice(*ends_of) for ends_of in pairwise([0, *ends])]
        first, second = np.triu_indices(GIVEN, k=1)
        self.pairs = GIVEN * first + second  # (21,), places in a 7 x 7 matrix laid flat
        self.weigh = Sequential(
            hidden1=Dense(len(self.pairs) * (len(self.groups) + 1), HIDDEN, rng=rng),
            elu1=Elu(),
            hidden2=Dense(HIDDEN, HIDDEN, rng=rng),
            elu2=Elu(),
            output=Dense(HIDDEN, GIVEN * len(self.groups), rng=rng),
        )
        self.weigh.output.weight.value *= START

    def forward(self, z, x, training=False):
        """z: (N, 7, D), what to compare; x: (N, 7, D), what to add up -> y: (N, D)."""
        xp = array_module(z)
        z, x = matmul(z, self.axes), matmul(x, self.axes)  # (N, 7, D), principal components
        compared = [z] + [z[:, :, group] for group in self.groups]
        cosines = [self.cosines(part) for part in compared]  # (N, 21) each
        weights, cache = self.weigh.forward(xp.concatenate(cosines, axis=1), training)
        weights = weights.reshape(len(z), len(self.groups), 1, GIVEN)
        recalled = [  # (N, D_group) each
            matmul(weights[:, i], x[:, :, group])[:, 0] for i, group in enumerate(self.groups)
        ]
        return matmul(xp.concatenate(recalled, axis=1), self.axes.T), (x, cache)

    def cosines(self, z):
        """(N, 7, D) -> (N, 21)."""
        u = z * ((z * z).sum(axis=2, keepdims=True) + TINY) ** -0.5  # of length 1
        return matmul(u, u.swapaxes(1, 2)).reshape(len(z), -1)[:, self.pairs]

    def backward(self, dy, cache):
        """Adds to the gradients of the parameters; the inputs are fixed and get none."""
        x, cache = cache
        dy = matmul(dy, self.axes)  # (N, D), by principal components
        dweights = [  # (N, 7) each
            matmul(x[:, :, group], dy[:, group, None])[:, :, 0] for group in self.groups
        ]
        self.weigh.backward(array_module(x).concatenate(dweights, axis=1), cache)


def principal_axes(rows):
    """The directions of standardized rows (R, D), by falling variance: the columns of a (D, D)."""
    covariance = matmul(rows.T, rows) / len(rows)
    _, axes = array_module(rows).linalg.eigh(covariance)  # by rising variance
    return array_module(rows).ascontiguousarray(axes[:, ::-1])


class Shortcut(Layer):
    """The last unit, a linear map of all seven, and what they recall: (7, N, D) -> (N, D)."""

    def __init__(self, standardize, rows, recall, rng):
        self.standardize = standardize
        size = rows.shape[1]
        self.dense = Dense(GIVEN * size, size, rng=rng)
        self.dense.weight.value *= START
        self.recall = Recall(standardize.forward(rows)[0], rng) if recall else None

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

    rows: (R, D), training rows, by which inputs are standardized and compared; shortcut: whether
    there is one; recall: whether it has a `Recall`.
    """

    def __init__(self, rows, shortcut, recall, rng):
        size = rows.shape[1]
        self.standardize = Standardize(rows)
        self.lstm = Sequential(
            lstm1=Lstm(size, UNITS, rng=rng),
            lstm2=Lstm(UNITS, UNITS, rng=rng),
            lstm3=Lstm(UNITS, UNITS, rng=rng),
            last=LastStep(),
        )
        self.output = Dense(UNITS, size, rng=rng)
        self.shortcut = None
        if shortcut:
            self.shortcut = Shortcut(self.standardize, rows, recall, rng)
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
