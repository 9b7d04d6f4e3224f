"""Convolution as one matrix product, and its transpose with the same weights (section 4.1).

Images are channels last: (N, height, width, channels), here pitch by time. `columns` lays the
patch under each kernel position out as one row; the convolution of all patches with all kernels
is then a single product, columns(x) @ W. Its transpose multiplies by W^T and folds the patches
back, adding where they overlap. So the paper's tied decoder, W' = W^T, is a line of code.
"""

from tinyembed.backends.arrays import add_matmul, matmul, normal, zeros
from tinyembed.backends.formulas import fuse
from tinyembed.layers.im2col import columns, fold
from tinyembed.layers.layer import Layer, Parameter


class Conv2d(Layer):
    """Convolution (cross-correlation, as everywhere in this field): y = columns(x) W + b.

    in_channels, out_channels: C and M; kernel_size, stride, padding: (height, width) each.
    weight: (kh * kw * C, M), its rows ordered by kernel row, kernel column, channel.
    bias: (M,), or None where batch norm follows, which would subtract it again.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding=(0, 0), bias=True, *, rng
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.in_channels, self.out_channels = in_channels, out_channels
        fan_in = kernel_size[0] * kernel_size[1] * in_channels
        self.weight = Parameter(normal(rng, fan_in, out_channels, std=fan_in**-0.5))
        self.bias = Parameter(zeros(out_channels)) if bias else None

    def forward(self, x, training=False):
        """x: (N, H, W, C) -> y: (N, Ho, Wo, M), Ho = (H + 2 padding - kernel) / stride + 1."""
        patches = columns(x, self.kernel_size, self.stride, self.padding)  # (N, Ho, Wo, kh*kw*C)
        y = matmul(flat(patches), self.weight.value)  # (N*Ho*Wo, M)
        if self.bias is not None:
            y = add_bias(y, self.bias.value)
        return y.reshape(*patches.shape[:3], -1), (patches, x.shape)

    def backward(self, dy, cache):
        patches, shape = cache
        self.add_gradients(dy, patches)
        dpatches = matmul(flat(dy), self.weight.value.T).reshape(patches.shape)
        return fold(dpatches, shape, self.kernel_size, self.stride, self.padding)

    def add_gradients(self, dy, patches):
        """To those of weight and bias. dy: (N, Ho, Wo, M); patches: (N, Ho, Wo, kh*kw*C)."""
        add_matmul(self.weight.grad, flat(patches).T, flat(dy))  # (kh*kw*C, M)
        self.add_bias_gradient(dy)

    def add_bias_gradient(self, dy):
        """To that of the bias, if there is one."""
        if self.bias is not None:
            self.bias.grad += flat(dy).sum(axis=0)


class TiedConvTranspose2d(Layer):
    """The transpose of a convolution, with that convolution's own weight: y = fold(x W^T) + b.

    It holds the same Parameter, so that both layers add to one gradient. It is to Conv2d.backward
    what Conv2d.forward is to its own backward: each one's backward is the other's forward.
    """

    def __init__(self, conv, bias=True):
        self.kernel_size, self.stride, self.padding = conv.kernel_size, conv.stride, conv.padding
        self.out_channels = conv.in_channels
        self.weight = conv.weight
        self.bias = Parameter(zeros(self.out_channels)) if bias else None

    def output_shape(self, shape):
        """(N, Ho, Wo, M) -> (N, H, W, C): the smallest image that the convolution maps to x."""
        n, *sizes, _ = shape
        geometry = zip(sizes, self.kernel_size, self.stride, self.padding, strict=True)
        return n, *[(size - 1) * s + k - 2 * p for size, k, s, p in geometry], self.out_channels

    def forward(self, x, training=False):
        """x: (N, Ho, Wo, M) -> y: (N, H, W, C)."""
        patches = matmul(flat(x), self.weight.value.T)  # (N*Ho*Wo, kh*kw*C)
        patches = patches.reshape(*x.shape[:3], -1)
        shape = self.output_shape(x.shape)
        y = fold(patches, shape, self.kernel_size, self.stride, self.padding)
        if self.bias is not None:
            y = add_bias(y, self.bias.value)
        return y, x

    def backward(self, dy, x):
        if self.bias is not None:
            self.bias.grad += flat(dy).sum(axis=0)
        dpatches = columns(dy, self.kernel_size, self.stride, self.padding)
        add_matmul(self.weight.grad, flat(dpatches).T, flat(x))  # (kh*kw*C, M)
        return matmul(flat(dpatches), self.weight.value).reshape(x.shape)


@fuse
def add_bias(y, bias):
    return y + bias


def flat(x):
    """(..., C) -> (rows, C): all positions of all examples, one below the other."""
    return x.reshape(-1, x.shape[-1])
