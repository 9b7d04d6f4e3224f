"""Adam against its formula, and the flat arrays it works on."""

import numpy as np
import pytest

from tinyembed.backends.arrays import to_host
from tinyembed.backends.cpu import threads
from tinyembed.layers.layer import Parameter
from tinyembed.training.optimizers import Adam, Flat, cosine_decay


def make_parameters(rng, dtype=np.float32):
    shapes = [(3, 4), (5,), (2, 2, 2)]
    return [Parameter(rng.standard_normal(s).astype(dtype)) for s in shapes]


def on_device(xp, parameters):
    for p in parameters:
        p.value, p.grad = xp.asarray(p.value), xp.asarray(p.grad)
    return parameters


def test_flat_arrays_are_the_parameters_themselves(xp):
    parameters = make_parameters(np.random.default_rng(0))
    before = [p.value.copy() for p in parameters]
    flat = Flat(on_device(xp, parameters))
    for p, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(to_host(p.value), value)
    flat.values[...] = 7
    flat.grads[...] = 3
    assert all((p.value == 7).all() and (p.grad == 3).all() for p in parameters)


@pytest.mark.parametrize("block", [1 << 16, 4])
def test_adam_is_its_formula(xp, block, monkeypatch):
    monkeypatch.setattr(threads, "BLOCK", block)
    rng = np.random.default_rng(0)
    flat = Flat(on_device(xp, make_parameters(rng, np.float64)))
    adam = Adam(flat)
    w, m, v = to_host(flat.values).copy(), 0, 0
    for t in range(1, 6):
        g = rng.standard_normal(len(w)) * 10.0 ** rng.integers(-3, 3, len(w))
        flat.grads[...] = xp.asarray(g)
        rate = 0.1 / t
        adam.step(rate)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(to_host(flat.values), w, rtol=1e-12)
        assert not flat.grads.any()


def test_adam_is_the_same_on_both_devices_to_the_bit(gpu):
    """With its factors as numbers, and as numbers that are already there."""
    rng = np.random.default_rng(0)
    here, there, ahead = (
        Adam(Flat(on_device(xp, make_parameters(np.random.default_rng(1)))))
        for xp in (np, gpu, gpu)
    )
    for t in range(1, 4):
        g = rng.standard_normal(len(here.flat.grads)).astype(np.float32)
        for adam in (here, there, ahead):
            adam.flat.grads[...] = g if adam is here else gpu.asarray(g)
        here.step(0.1 / t)
        there.step(0.1 / t)
        factors = gpu.asarray(ahead.factors(t, 0.1 / t), np.float32)
        ahead.update(factors[0], factors[1])
        tolerance = 0 if hasattr(gpu, "standin") else 1e-6  # a GPU rounds a * b + c once
        for adam in (there, ahead):
            found = to_host(adam.flat.values)
            np.testing.assert_allclose(found, here.flat.values, rtol=tolerance)


@pytest.mark.peer("torch")
def test_adam_is_pytorchs():
    import torch

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
