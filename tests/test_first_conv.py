"""The first convolution: the same numbers as any convolution's, whatever computes them."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends import choice
from tinyembed.backends.arrays import to_host
from tinyembed.layers.conv import Conv2d
from tinyembed.layers.first_conv import FirstConv2d
from tinyembed.layers.gradcheck import cast, layer_errors

small = st.integers(1, 3)


@st.composite
def cases(draw):
    """A FirstConv2d of float64, images with more or fewer zeros, and an rng."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, c, m, kh, kw, ho, wo = (draw(small) for _ in range(7))
    conv = FirstConv2d(c, m, (kh, kw), (kh, kw), bias=draw(st.booleans()), rng=rng)
    shape = n, ho * kh, wo * kw, c
    share = np.array([draw(st.sampled_from([0, 0.03, 0.1, 0.5, 1])) for _ in range(n)])
    x = rng.standard_normal(shape) * (rng.random(shape) < share[:, None, None, None])
    return cast(conv, float), x, rng


def as_any_convolution(conv, rng):
    """A Conv2d with the same parameters as a FirstConv2d."""
    other = Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
        bias=conv.bias is not None, rng=rng,
    )  # fmt: skip
    for theirs, ours in zip(other.parameters(), conv.parameters(), strict=True):
        theirs.value, theirs.grad = ours.value.copy(), ours.grad.copy()
    return other


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_it_is_a_convolution(xp, case):
    conv, x, rng = case
    other = as_any_convolution(conv, rng)
    conv, other, x = conv.to(xp), other.to(xp), xp.asarray(x)
    expected, cache = other.forward(x)
    y, own_cache = conv.forward(x)
    np.testing.assert_allclose(to_host(y), to_host(expected), rtol=1e-12, atol=1e-12)
    dy = xp.asarray(rng.standard_normal(y.shape))
    other.backward(dy, cache)
    conv.backward(dy, own_cache)
    for theirs, ours in zip(other.parameters(), conv.parameters(), strict=True):
        np.testing.assert_allclose(to_host(ours.grad), to_host(theirs.grad), rtol=0, atol=1e-12)


@given(case=cases())
@settings(max_examples=40, deadline=None)
def test_its_gradients_are_those_of_forward(case):
    conv, x, rng = case
    y, cache = conv.forward(x)
    assert conv.backward(rng.standard_normal(y.shape), cache) is None
    errors = layer_errors(conv, x, rng.standard_normal(y.shape))
    assert set(errors) == set(conv.named_parameters())
    assert max(errors.values()) < 1e-10, errors


@given(case=cases())
@settings(max_examples=20, deadline=None)
def test_backward_adds(case):
    conv, x, rng = case
    y, cache = conv.forward(x)
    dy = rng.standard_normal(y.shape)
    conv.backward(dy, cache)
    once = [p.grad.copy() for p in conv.parameters()]
    conv.backward(dy, cache)
    for grad, p in zip(once, conv.parameters(), strict=True):
        np.testing.assert_array_equal(2 * grad, p.grad)


def test_kernels_that_overlap_go_the_common_way():
    rng = np.random.default_rng(0)
    conv = cast(FirstConv2d(1, 2, (2, 4), (2, 2), rng=rng), float)
    x = np.zeros((2, 4, 8, 1))
    x[1, 2, 3] = 1  # seen by two kernels
    y, _ = conv.forward(x)
    assert np.count_nonzero(y) == 4
    assert max(layer_errors(conv, x, rng.standard_normal(y.shape)).values()) < 1e-10


@pytest.mark.parametrize("dtype", [np.float32, np.float64, complex])
def test_the_dtype_stays(dtype):
    rng = np.random.default_rng(0)
    conv = cast(FirstConv2d(1, 4, (12, 6), (12, 6), bias=False, rng=rng), np.float32)
    x = (rng.random((3, 60, 96, 1)) < 20 / 5760).astype(dtype)
    y, cache = conv.forward(x)
    assert y.shape == (3, 5, 16, 4) and y.dtype == dtype
    if dtype == np.float32:
        conv.backward(y, cache)
        assert conv.weight.grad.dtype == np.float32


# As loops over onsets, where numba is installed.


@pytest.fixture
def loops(engine, monkeypatch):
    """The module of these loops, in use. Images of more than five onsets are left to products."""
    choice.use("numba")
    onsets = importlib.import_module("tinyembed.backends.numba.onsets")
    monkeypatch.setattr(onsets, "MANY", 5)
    monkeypatch.setattr(onsets, "LIKELY", 2)  # so that room has to be made
    return importlib.import_module("tinyembed.backends.numba.first_conv")


def in_float32(case):
    conv, x, rng = case
    return cast(conv, np.float32), x.astype(np.float32), rng


@pytest.mark.peer("numba")
def test_loops_over_onsets_are_the_same_convolution(loops):
    @given(case=cases())
    @settings(max_examples=60, deadline=None)
    def check(case):
        conv, x, rng = in_float32(case)
        other = as_any_convolution(conv, rng)
        (expected, cache), (y, own_cache) = other.forward(x), conv.forward(x)
        assert isinstance(own_cache, loops.OnsetsInPatches)
        counts = np.count_nonzero(x.reshape(len(x), -1), axis=1)
        np.testing.assert_array_equal(own_cache.dense, np.flatnonzero(counts > 5))
        assert len(own_cache.value) == counts[counts <= 5].sum()
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        other.backward(dy, cache)
        conv.backward(dy, own_cache)
        for theirs, ours in zip(other.parameters(), conv.parameters(), strict=True):
            np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)

    check()


@pytest.mark.peer("numba")
def test_the_bits_of_an_image_do_not_depend_on_the_others(loops):
    @given(case=cases(), data=st.data())
    @settings(max_examples=40, deadline=None)
    def check(case, data):
        conv, x, _ = in_float32(case)
        few = np.count_nonzero(x.reshape(len(x), -1), axis=1) <= 5
        chosen = data.draw(st.lists(st.integers(0, len(x) - 1), min_size=1, max_size=8))
        whole, part = conv.forward(x)[0], conv.forward(x[chosen])[0]
        np.testing.assert_array_equal(part[few[chosen]], whole[chosen][few[chosen]])

    check()


def test_an_encoder_begins_with_it():
    from tinyembed.models.networks import build_encoder
    from tinyembed.models.table import WIDTHS

    encoder = build_encoder(WIDTHS["small"], np.random.default_rng(0))
    first, *others = [v for v in encoder.sublayers().values() if isinstance(v, Conv2d)]
    assert isinstance(first, FirstConv2d)
    assert not any(isinstance(other, FirstConv2d) for other in others)
