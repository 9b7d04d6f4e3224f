"""Convolution as one matrix product, and its transpose with the same weights (section 4.1).

Images are channels last: (N, height, width, channels), here pitch by time. `im2col` lays the patch
under each kernel position out as one row, so that the convolution of all patches with all kernels
is a single product, im2col(x) W. Its transpose multiplies by W^T and adds the patches back into an
image with `col2im`. So the paper's tied decoder, W' = W^T, is a line of code.
"""

from tinyembed.backends.arrays import add_column_sums, add_matmul, matmul, normal, zeros
from tinyembed.layers.im2col import col2im, im2col
from tinyembed.layers.layer import Layer, Parameter, flat


class Conv2d(Layer):
    """Convolution (cross-correlation, as everywhere in this field): y = im2col(x) W + b.

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
        """x: (N, H, W, C) -> y: (N, Ho, Wo, M), Ho = (H + 2 padding - kernel) // stride + 1."""
        patches = im2col(x, self.kernel_size, self.stride, self.padding)  # (N, Ho, Wo, kh*kw*C)
        y = matmul(flat(patches), self.weight.value)  # (N*Ho*Wo, M)
        y = y.reshape(*patches.shape[:3], -1)
        return y if self.bias is None else y + self.bias.value, (patches, x.shape)

    def backward(self, dy, cache):
        patches, shape = cache
        add_matmul(self.weight.grad, flat(patches).T, flat(dy))  # (kh*kw*C, M)
        if self.bias is not None:
            add_column_sums(self.bias.grad, flat(dy))
        dpatches = matmul(flat(dy), self.weight.value.T).reshape(patches.shape)
        return col2im(dpatches, shape, self.kernel_size, self.stride, self.padding)


class TiedConvTranspose2d(Layer):
    """The transpose of a convolution, with its weight: y = col2im(x W^T) + b.

    It holds the same Parameter, so both layers add to one gradient. Each one's backward is the
    other's forward.
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
        patches, shape = patches.reshape(*x.shape[:3], -1), self.output_shape(x.shape)
        y = col2im(patches, shape, self.kernel_size, self.stride, self.padding)
        return y if self.bias is None else y + self.bias.value, x

    def backward(self, dy, x):
        if self.bias is not None:
            add_column_sums(self.bias.grad, flat(dy))
        dpatches = im2col(dy, self.kernel_size, self.stride, self.padding)
        add_matmul(self.weight.grad, flat(dpatches).T, flat(x))  # (kh*kw*C, M)
        return matmul(flat(dpatches), self.weight.value).reshape(x.shape)
