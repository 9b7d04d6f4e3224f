"""Every layer against the complex step, and against its protocol (see layers/layer.py)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinyembed.backends.arrays import to_host
from tinyembed.layers.batchnorm import BatchNorm
from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.dense import Dense, TiedDense
from tinyembed.layers.elu import Elu
from tinyembed.layers.gradcheck import cast, complex_step, layer_errors
from tinyembed.layers.im2col import col2im, im2col
from tinyembed.layers.layer import Parameter, Reshape, Sequential
from tinyembed.layers.lstm import LastStep, Lstm

small = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def geometries(draw):
    """Kernel, stride, padding, and an image size that the kernel covers exactly."""
    kernel, stride = (draw(small), draw(small)), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, (k - 1) // 2)) for k in kernel)
    outputs = (draw(small), draw(small))
    size = [
        (o - 1) * s + k - 2 * p for o, s, k, p in zip(outputs, stride, kernel, padding, strict=True)
    ]
    if min(size) < 1:
        padding, size = (
            (0, 0),
            [(o - 1) * s + k for o, s, k in zip(outputs, stride, kernel, strict=True)],
        )
    return kernel, stride, padding, tuple(size), outputs


@st.composite
def conv_cases(draw, transposed=False):
    kernel, stride, padding, size, outputs = draw(geometries())
    rng = np.random.default_rng(draw(seeds))
    n, c, m = draw(small), draw(small), draw(small)
    conv = Conv2d(c, m, kernel, stride, padding, bias=draw(st.booleans()), rng=rng)
    if transposed:
        layer = TiedConvTranspose2d(conv, bias=draw(st.booleans()))
        return layer, rng.standard_normal((n, *outputs, m)), rng
    extra = [draw(st.integers(0, s - 1)) for s in stride]  # a rest that no kernel reaches
    shape = [s + e for s, e in zip(size, extra, strict=True)]
    return conv, rng.standard_normal((n, *shape, c)), rng


@st.composite
def dense_cases(draw, tied=False):
    rng = np.random.default_rng(draw(seeds))
    n, i, o = draw(small), draw(small), draw(small)
    dense = Dense(i, o, bias=draw(st.booleans()), rng=rng)
    if tied:
        return TiedDense(dense), rng.standard_normal((n, o)), rng
    return dense, rng.standard_normal((n, i)), rng


@st.composite
def norm_cases(draw, kind=BatchNorm):
    rng = np.random.default_rng(draw(seeds))
    shape = (draw(st.integers(3, 5)), *draw(st.lists(small, max_size=2)), draw(small))
    layer = kind(shape[-1])
    for name in ("gamma", "beta"):
        setattr(layer, name, Parameter(rng.standard_normal(shape[-1]).astype(np.float32)))
    layer.running_mean[...] = rng.standard_normal(shape[-1])
    layer.running_var[...] = rng.random(shape[-1]) + 0.5
    return layer, rng.standard_normal(shape), rng


@st.composite
def elu_cases(draw):
    rng = np.random.default_rng(draw(seeds))
    return Elu(), rng.standard_normal((draw(small), draw(small))), rng


@st.composite
def stack_cases(draw):
    rng = np.random.default_rng(draw(seeds))
    n, c, m = draw(st.integers(3, 4)), draw(small), draw(small)
    stack = Sequential(
        conv=Conv2d(c, m, (2, 2), (1, 2), (0, 1), bias=False, rng=rng),
        norm=BatchNorm(m),
        elu=Elu(),
        flatten=Reshape(2 * 3 * m),
        dense=Dense(6 * m, 2, rng=rng),
    )
    return stack, rng.standard_normal((n, 3, 4, c)), rng


@st.composite
def lstm_cases(draw):
    rng = np.random.default_rng(draw(seeds))
    steps, n, i, units = draw(small), draw(small), draw(small), draw(small)
    stack = Sequential(lstm1=Lstm(i, units, rng=rng), lstm2=Lstm(units, 2, rng=rng))
    if draw(st.booleans()):
        stack = Sequential(stack=stack, last=LastStep())
    return stack, 2 * rng.standard_normal((steps, n, i)), rng


CASES = {
    "lstm": lstm_cases(),
    "conv": conv_cases(),
    "conv_transpose": conv_cases(transposed=True),
    "dense": dense_cases(),
    "tied_dense": dense_cases(tied=True),
    "batch_norm": norm_cases(),
    "batch_norm_elu": norm_cases(BatchNormElu),
    "elu": elu_cases(),
    "stack": stack_cases(),
}
each_layer = pytest.mark.parametrize("kind", CASES)


def equal(a, b):
    assert_array_equal(to_host(a), to_host(b))


@each_layer
@given(data=st.data(), training=st.booleans())
@settings(max_examples=25, deadline=None)
def test_backward_is_the_gradient_of_forward(kind, data, training):
    check_gradient(np, kind, data, training)


@each_layer
@given(data=st.data(), training=st.booleans())
@settings(max_examples=4, deadline=None)
def test_backward_is_the_gradient_of_forward_on_a_gpu(gpu, kind, data, training):
    check_gradient(gpu, kind, data, training)


def check_gradient(xp, kind, data, training):
    layer, x, rng = data.draw(CASES[kind])
    layer, x = cast(layer, float).to(xp), xp.asarray(x)
    y, _ = layer.forward(x, training)
    errors = layer_errors(layer, x, xp.asarray(rng.standard_normal(y.shape)), training)
    assert max(errors.values()) < 1e-10, errors


@each_layer
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_backward_adds_and_touches_nothing_else(xp, kind, data):
    layer, x, rng = data.draw(CASES[kind])
    layer, x = cast(layer, float).to(xp), xp.asarray(x)
    y, cache = layer.forward(x, True)
    dy = xp.asarray(rng.standard_normal(y.shape))
    x_before, dy_before, y_before = x.copy(), dy.copy(), y.copy()
    dx = layer.backward(dy, cache)
    once = [p.grad.copy() for p in layer.parameters()]
    again = layer.backward(dy, cache)
    equal(dx, again)
    for grad, p in zip(once, layer.parameters(), strict=True):
        equal(2 * grad, p.grad)
    equal(x, x_before)
    equal(dy, dy_before)
    equal(y, y_before)


@each_layer
@given(data=st.data(), training=st.booleans())
@settings(max_examples=15, deadline=None)
def test_float32_stays_float32(xp, kind, data, training):
    layer, x, _ = data.draw(CASES[kind])
    y, cache = layer.to(xp).forward(xp.asarray(x, np.float32), training)
    dx = layer.backward(y * np.float32(0.5), cache)
    assert y.dtype == dx.dtype == np.float32
    assert {p.grad.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}
    assert {getattr(*b).dtype for b in layer.named_buffers().values()} <= {np.dtype(np.float32)}


@each_layer
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_caches_do_not_meet(xp, kind, data):
    """Two forward passes, then their backward passes in either order: nothing is kept inside."""
    layer, x, rng = data.draw(CASES[kind])
    layer, x = cast(layer, float).to(xp), xp.asarray(x)
    other = xp.asarray(rng.standard_normal(x.shape))
    y, cache = layer.forward(x, True)
    dy = xp.asarray(rng.standard_normal(y.shape))
    alone = layer.backward(dy, cache)
    _, first = layer.forward(x, True)
    _, second = layer.forward(other, True)
    layer.backward(dy, second)
    equal(layer.backward(dy, first), alone)


@given(case=conv_cases())
@settings(max_examples=40, deadline=None)
def test_convolution_is_what_its_definition_says(xp, case):
    conv, x, _ = case
    cast(conv, float)
    weight, bias = conv.weight.value, None if conv.bias is None else conv.bias.value
    y = to_host(conv.to(xp).forward(xp.asarray(x))[0])
    (kh, kw), (sh, sw), (ph, pw) = conv.kernel_size, conv.stride, conv.padding
    kernel = weight.reshape(kh, kw, conv.in_channels, conv.out_channels)
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    expected = np.zeros_like(y)
    for n, i, j, m in np.ndindex(y.shape):
        patch = padded[n, i * sh : i * sh + kh, j * sw : j * sw + kw]
        expected[n, i, j, m] = (patch * kernel[..., m]).sum()
    if bias is not None:
        expected += bias
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@given(case=geometries(), seed=seeds)
@settings(max_examples=40, deadline=None)
def test_transposed_convolution_is_the_adjoint(xp, case, seed):
    """<conv(x), y> = <x, conv_transpose(y)>, for the layers and for im2col and col2im alone."""
    kernel, stride, padding, size, outputs = case
    rng = np.random.default_rng(seed)
    conv = cast(Conv2d(2, 3, kernel, stride, padding, bias=False, rng=rng), float).to(xp)
    transpose = TiedConvTranspose2d(conv, bias=False)
    x = xp.asarray(rng.standard_normal((2, *size, 2)))
    y = xp.asarray(rng.standard_normal((2, *outputs, 3)))
    forward, back = conv.forward(x)[0], transpose.forward(y)[0]
    assert forward.shape == y.shape and back.shape == x.shape
    close = {"rel": 1e-10, "abs": 1e-10}
    assert float((forward * y).sum()) == pytest.approx(float((x * back).sum()), **close)
    patches = im2col(x, kernel, stride, padding)
    other = xp.asarray(rng.standard_normal(patches.shape))
    image = col2im(other, x.shape, kernel, stride, padding)
    assert float((patches * other).sum()) == pytest.approx(float((x * image).sum()), **close)


def test_patches_that_do_not_overlap_but_reach_into_the_padding():
    """Kernel and stride are equal and divide the image, and still it is not cut into tiles."""
    conv = cast(Conv2d(1, 1, (3, 1), (3, 1), (1, 0), rng=np.random.default_rng(0)), float)
    x = np.arange(1.0, 4).reshape(1, 3, 1, 1)
    y, _ = conv.forward(x)
    w = conv.weight.value[:, 0]
    np.testing.assert_allclose(y.ravel(), [w @ [0, 1, 2]])
    patches = im2col(x, (3, 1), (3, 1), (1, 0))
    np.testing.assert_allclose(col2im(patches, x.shape, (3, 1), (3, 1), (1, 0)).ravel(), [1, 2, 0])


def test_the_forget_gate_starts_open():
    bias = Lstm(2, 3, rng=np.random.default_rng(0)).bias.value
    assert_array_equal(bias, [0] * 3 + [1] * 3 + [0] * 6)  # i, f, g, o


def test_batch_norm_in_training_normalizes_each_channel(xp):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4, 3)) * [1, 10, 0.1] + [5, -3, 0]
    layer = cast(BatchNorm(3, eps=0), float).to(xp)
    y = to_host(layer.forward(xp.asarray(x), True)[0])
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 1)), 1, atol=1e-12)
    np.testing.assert_allclose(to_host(layer.running_mean), 0.1 * x.mean(axis=(0, 1)))


def test_complex_input_leaves_the_running_statistics_alone(xp):
    layer = cast(BatchNorm(3), float).to(xp)
    layer.forward(xp.ones((4, 3), complex), True)
    equal(layer.running_mean, np.zeros(3))
    equal(layer.running_var, np.ones(3))


@given(case=norm_cases(BatchNormElu), training=st.booleans())
@settings(max_examples=40, deadline=None)
def test_batch_norm_and_elu_in_one_are_the_two(xp, case, training):
    one, x, rng = case
    one = cast(one, float).to(xp)
    norm = cast(BatchNorm(x.shape[-1]), float).to(xp)
    for name in ("gamma", "beta"):
        setattr(norm, name, Parameter(getattr(one, name).value.copy()))
    for name in norm.buffers:
        setattr(norm, name, getattr(one, name).copy())
    two, x, dy = Sequential(norm=norm, elu=Elu()), xp.asarray(x), rng.standard_normal(x.shape)
    found, expected = [], []
    for layer, into in ((one, found), (two, expected)):
        y, cache = layer.forward(x, training)
        into += [y, layer.backward(xp.asarray(dy), cache)]
        into += [p.grad for p in layer.parameters()]
        into += [getattr(*where) for where in layer.named_buffers().values()]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_host(a), to_host(b), rtol=1e-12, atol=1e-12)


def test_a_tied_weight_is_one_parameter_listed_once():
    rng = np.random.default_rng(0)
    dense = Dense(3, 2, bias=False, rng=rng)
    stack = Sequential(there=dense, back=TiedDense(dense))
    assert stack.parameters() == [dense.weight]
    assert list(stack.named_parameters()) == ["there.weight"]


def test_a_summed_output_would_not_notice_a_wrong_batch_norm(xp):
    """Why the checks use a random upstream gradient: with a uniform one, dx is always 0."""
    layer = cast(BatchNorm(2), float).to(xp)
    x = xp.asarray(np.random.default_rng(0).standard_normal((5, 2)))
    y, cache = layer.forward(x, True)
    dx = to_host(layer.backward(xp.ones_like(y), cache))
    np.testing.assert_allclose(dx, 0, atol=1e-12)


def test_complex_step_differentiates():
    x = np.array([0.3, -1.2, 2.0])
    gradient = complex_step(lambda z: (np.exp(z) * z).sum(), x)
    np.testing.assert_allclose(gradient, np.exp(x) * (1 + x), rtol=1e-14)
