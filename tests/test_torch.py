"""The layers against PyTorch's, in float64. Skipped where PyTorch is not installed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.step import random_batch
from tinyembed.backends import choice
from tinyembed.layers.batchnorm import BatchNorm
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.elu import Elu
from tinyembed.layers.gradcheck import cast
from tinyembed.layers.layer import Sequential
from tinyembed.layers.lstm import Lstm
from tinyembed.layers.softmax import SoftmaxCrossEntropy
from tinyembed.models.model import Model
from tinyembed.models.table import WIDTHS

torch = pytest.importorskip("torch")
from benchmarks.peer import Peer  # noqa: E402 -- needs torch

pytestmark = pytest.mark.peer("torch")
close = {"rtol": 1e-10, "atol": 1e-10}
small = st.integers(1, 3)


def channels_first(x):
    return torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


def channels_last(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def their_kernel(conv):
    kernel = conv.weight.value.reshape(*conv.kernel_size, conv.in_channels, conv.out_channels)
    return torch.tensor(kernel.transpose(3, 2, 0, 1).copy(), requires_grad=True)  # (M, C, kh, kw)


def our_weight(kernel_gradient):
    kernel = kernel_gradient.numpy().transpose(2, 3, 1, 0)
    return kernel.reshape(-1, kernel.shape[-1])


@given(c=small, m=small, k=small, s=small, seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_convolution(c, m, k, s, seed):
    rng = np.random.default_rng(seed)
    conv = cast(Conv2d(c, m, (k, 2), (s, 1), (k // 2, 1), rng=rng), float)
    conv.bias.value += rng.standard_normal(m)
    x = rng.standard_normal((2, 5, 4, c))
    y, cache = conv.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = conv.backward(dy, cache)
    peer, kernel = channels_first(x), their_kernel(conv)
    theirs = torch.nn.functional.conv2d(
        peer, kernel, torch.tensor(conv.bias.value), conv.stride, conv.padding
    )
    theirs.backward(channels_first(dy))
    np.testing.assert_allclose(y, channels_last(theirs), **close)
    np.testing.assert_allclose(dx, channels_last(peer.grad), **close)
    np.testing.assert_allclose(conv.weight.grad, our_weight(kernel.grad), **close)


@given(c=small, m=small, k=small, s=small, seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_transposed_convolution(c, m, k, s, seed):
    rng = np.random.default_rng(seed)
    conv = cast(Conv2d(c, m, (k, 2), (s, 1), (0, 0), rng=rng), float)
    layer = cast(TiedConvTranspose2d(conv), float)
    x = rng.standard_normal((2, 3, 4, m))
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy, cache)
    peer, kernel = channels_first(x), their_kernel(conv)
    theirs = torch.nn.functional.conv_transpose2d(peer, kernel, stride=conv.stride)
    theirs.backward(channels_first(dy))
    np.testing.assert_allclose(y, channels_last(theirs), **close)
    np.testing.assert_allclose(dx, channels_last(peer.grad), **close)
    np.testing.assert_allclose(layer.weight.grad, our_weight(kernel.grad), **close)


def test_batch_norm_with_its_running_statistics():
    rng = np.random.default_rng(0)
    ours = cast(BatchNorm(3), float)
    theirs = torch.nn.BatchNorm2d(3, dtype=torch.float64)
    for _ in range(3):
        x = rng.standard_normal((4, 2, 5, 3)) * [1, 2, 3] + [0, 1, -1]
        y, cache = ours.forward(x, True)
        dy = rng.standard_normal(y.shape)
        dx = ours.backward(dy, cache)
        peer = channels_first(x)
        out = theirs(peer)
        out.backward(channels_first(dy))
        np.testing.assert_allclose(y, channels_last(out), **close)
        np.testing.assert_allclose(dx, channels_last(peer.grad), **close)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), **close)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), **close)
    theirs.eval()
    y, _ = ours.forward(x, False)
    np.testing.assert_allclose(y, channels_last(theirs(channels_first(x))), **close)
    np.testing.assert_allclose(ours.gamma.grad, theirs.weight.grad.numpy(), **close)


def test_elu_and_cross_entropy():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 7)) * 5
    target = rng.integers(7, size=20)
    np.testing.assert_allclose(
        Elu().forward(x)[0], torch.nn.functional.elu(torch.tensor(x)).numpy(), **close
    )
    loss, cache = SoftmaxCrossEntropy().forward(x, target)
    peer = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(peer, torch.tensor(target))
    theirs.backward()
    np.testing.assert_allclose(loss, theirs.item(), **close)
    np.testing.assert_allclose(SoftmaxCrossEntropy().backward(cache), peer.grad.numpy(), **close)


@given(steps=st.integers(1, 5), n=small, i=small, units=small, seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_a_stack_of_lstms(steps, n, i, units, seed):
    rng = np.random.default_rng(seed)
    ours = cast(Sequential(lstm1=Lstm(i, units, rng=rng), lstm2=Lstm(units, units, rng=rng)), float)
    theirs = torch.nn.LSTM(i, units, num_layers=2, dtype=torch.float64)
    names = ("weight_ih", "weight_hh", "bias_ih")  # the gates stand in the same order
    for k, layer in enumerate((ours.lstm1, ours.lstm2)):
        layer.bias.value += rng.standard_normal(4 * units)
        for name, parameter in zip(names, layer.parameters(), strict=True):
            getattr(theirs, f"{name}_l{k}").data = torch.tensor(parameter.value.T.copy())
        getattr(theirs, f"bias_hh_l{k}").data.zero_()
    x = 2 * rng.standard_normal((steps, n, i))
    y, cache = ours.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = ours.backward(dy, cache)
    peer = torch.tensor(x, requires_grad=True)
    out, _ = theirs(peer)
    out.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, out.detach().numpy(), **close)
    np.testing.assert_allclose(dx, peer.grad.numpy(), **close)
    for k, layer in enumerate((ours.lstm1, ours.lstm2)):
        for name, parameter in zip(names, layer.parameters(), strict=True):
            expected = getattr(theirs, f"{name}_l{k}").grad.numpy().T
            np.testing.assert_allclose(parameter.grad, expected, **close)


@pytest.mark.parametrize("width", list(WIDTHS))
@pytest.mark.parametrize(
    "dtype, tolerance, numba",
    [(np.float32, 1e-5, False), (np.float64, 1e-11, False), (np.float32, 1e-5, True)],
)
def test_the_peer_of_the_benchmarks_is_the_same_network(width, dtype, tolerance, numba):
    if choice.use("numba" if numba else "cpu") != ("numba" if numba else "cpu"):
        pytest.skip("numba is not there")
    """The loss and every gradient of a whole step, as it trains and exactly."""
    batch = random_batch(20)
    batch.input, batch.target = batch.input.astype(dtype), batch.target.astype(dtype)
    model = cast(Model("context", width, [], np.random.default_rng(0)), dtype)
    peer = Peer(model).train()
    losses, cache = model.loss(batch, training=True)
    model.loss_backward(cache)
    theirs = peer.loss(*(torch.tensor(a) for a in (batch.input, batch.target, batch.candidates)))
    theirs.backward()
    np.testing.assert_allclose(losses["reconstruction"], theirs.item(), rtol=tolerance)
    gradients = list(peer.gradients())
    assert {id(ours) for ours, _ in gradients} == {id(p) for p in model.parameters()}
    apart = [np.linalg.norm(ours.grad - gradient) for ours, gradient in gradients]
    length = [np.linalg.norm(gradient) for _, gradient in gradients]
    assert np.linalg.norm(apart) <= tolerance * np.linalg.norm(length)
    if dtype is np.float64:  # in float32 PyTorch's own rounding of one layer's is above 1e-5
        assert (np.array(apart) <= tolerance * np.array(length)).all()
