"""The convolution of sparse images: the same numbers as any convolution's, by another way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends import choice
from tinyembed.backends.arrays import to_host
from tinyembed.backends.cpu.sparse_conv import SPARSE, SoundingPatches, sounding_patches
from tinyembed.layers.conv import Conv2d
from tinyembed.layers.first_conv import FirstConv2d
from tinyembed.layers.gradcheck import cast, layer_errors
from tinyembed.layers.im2col import im2col
from tinyembed.layers.layer import flat

small = st.integers(1, 3)


@st.composite
def cases(draw):
    """A FirstConv2d of float64, images with more or fewer zeros, and an rng."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, c, m, kh, kw, ho, wo = (draw(small) for _ in range(7))
    conv = FirstConv2d(c, m, (kh, kw), (kh, kw), bias=draw(st.booleans()), rng=rng)
    shape = n, ho * kh, wo * kw, c
    share = draw(st.sampled_from([0, SPARSE / 4, SPARSE, 0.5, 1]))
    x = rng.standard_normal(shape) * (rng.random(shape) < share)
    return cast(conv, float), x, rng


def is_sparse(cache):
    return isinstance(cache, SoundingPatches)


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_it_is_a_convolution(xp, case):
    conv, x, rng = case
    sparse = np.count_nonzero(x) <= SPARSE * x.size
    other = Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
        bias=conv.bias is not None, rng=rng,
    )  # fmt: skip
    for theirs, ours in zip(other.parameters(), conv.parameters(), strict=True):
        theirs.value, theirs.grad = ours.value.copy(), ours.grad.copy()
    conv, other, x = conv.to(xp), other.to(xp), xp.asarray(x)
    expected, cache = other.forward(x)
    y, own_cache = conv.forward(x)
    np.testing.assert_allclose(to_host(y), to_host(expected), rtol=1e-12, atol=1e-12)
    uses_it = choice.in_use() != "plain" and xp is np
    assert is_sparse(own_cache) == (sparse and uses_it)
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
    y, cache = conv.forward(x)
    assert not is_sparse(cache) and np.count_nonzero(y) == 4
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


@given(case=cases())
@settings(max_examples=40, deadline=None)
def test_the_patches_left_out_are_silent(case):
    conv, x, _ = case
    found = sounding_patches(x, conv.kernel_size)
    if found is not None:
        everything = flat(im2col(x, conv.kernel_size, conv.stride, conv.padding))
        n = len(found.index)
        np.testing.assert_array_equal(found.index, np.flatnonzero(everything.any(axis=1)))
        np.testing.assert_array_equal(found.patches[:n], everything[found.index])
        assert not found.patches[n:].any()


def test_an_encoder_begins_with_it():
    from tinyembed.models.networks import build_encoder
    from tinyembed.models.table import WIDTHS

    encoder = build_encoder(WIDTHS["small"], np.random.default_rng(0))
    first, *others = [v for v in encoder.sublayers().values() if isinstance(v, Conv2d)]
    assert isinstance(first, FirstConv2d)
    assert not any(isinstance(other, FirstConv2d) for other in others)
