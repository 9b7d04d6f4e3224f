"""Adam against its formula, and the flat arrays it works on."""

import numpy as np
import pytest

from tinyembed import threads
from tinyembed.layers.layer import Parameter
from tinyembed.optimizers import Adam, Flat, cosine_decay


def make_parameters(rng, dtype=np.float32):
    shapes = [(3, 4), (5,), (2, 2, 2)]
    return [Parameter(rng.standard_normal(s).astype(dtype)) for s in shapes]


def test_flat_arrays_are_the_parameters_themselves():
    parameters = make_parameters(np.random.default_rng(0))
    before = [p.value.copy() for p in parameters]
    flat = Flat(parameters)
    for p, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.value, value)
    flat.values[...] = 7
    flat.grads[...] = 3
    assert all((p.value == 7).all() and (p.grad == 3).all() for p in parameters)


@pytest.mark.parametrize("block", [1 << 16, 4])
def test_adam_is_its_formula(block, monkeypatch):
    monkeypatch.setattr(threads, "BLOCK", block)
    rng = np.random.default_rng(0)
    parameters = make_parameters(rng, np.float64)
    flat = Flat(parameters)
    adam = Adam(flat)
    w, m, v = flat.values.copy(), 0, 0
    for t in range(1, 6):
        g = rng.standard_normal(len(w)) * 10.0 ** rng.integers(-3, 3, len(w))
        flat.grads[...] = g
        rate = 0.1 / t
        adam.step(rate)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(flat.values, w, rtol=1e-12)
        assert not flat.grads.any()


def test_adam_is_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    (parameter, *_) = make_parameters(rng, np.float64)
    peer = torch.nn.Parameter(torch.tensor(parameter.value))
    theirs = torch.optim.Adam([peer], lr=1e-2)
    ours = Adam(Flat([parameter]))
    for _ in range(5):
        g = rng.standard_normal(parameter.value.shape)
        parameter.grad += g
        peer.grad = torch.tensor(g)
        ours.step(1e-2)
        theirs.step()
    np.testing.assert_allclose(parameter.value, peer.detach().numpy(), rtol=1e-12)


def test_cosine_decay():
    assert cosine_decay(0, 10, 1e-3) == 1e-3
    assert cosine_decay(5, 10, 1e-3) == pytest.approx(5e-4)
    assert cosine_decay(10, 10, 1e-3) == pytest.approx(0)
