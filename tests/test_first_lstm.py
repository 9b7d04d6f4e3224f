"""A network's first LSTM: the gradients of any LSTM, but none of its input."""

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.layers.layer import Sequential
from tinyembed.layers.lstm import FirstLstm, LastStep, Lstm


def test_it_adds_the_gradients_of_an_lstm_and_returns_none(xp):
    rng = np.random.default_rng(0)
    x, dy = (xp.asarray(rng.standard_normal(shape), np.float32) for shape in ((3, 4, 5), (4, 6)))
    found = []
    for kind in (Lstm, FirstLstm):
        layer = kind(5, 6, rng=np.random.default_rng(1)).to(xp)
        network = Sequential(lstm=layer, last=LastStep())
        y, cache = network.forward(x, training=True)
        dx = network.backward(dy, cache)
        found.append([to_host(y), *[to_host(p.grad) for p in layer.parameters()]])
        assert (dx is None) == (kind is FirstLstm)
    for a, b in zip(*found, strict=True):
        assert np.any(a)
        np.testing.assert_array_equal(a, b)
