"""A network's first convolution: it needs no gradient with respect to its input.

Its input is a roll, in which some twenty of 5,760 values are not zero. Both operations are marked,
so that a backend may use that; the definitions are those of any convolution.
"""

from tinyembed.backends.arrays import add_column_sums, add_matmul, matmul
from tinyembed.backends.dispatch import operation
from tinyembed.layers.conv import Conv2d
from tinyembed.layers.im2col import im2col
from tinyembed.layers.layer import flat


class FirstConv2d(Conv2d):
    """A Conv2d of the network's input: y = im2col(x) W + b. backward returns None."""

    def forward(self, x, training=False):
        """x: (N, H, W, C) -> y: (N, Ho, Wo, M)."""
        y, patches = convolve_rolls(
            x, self.weight.value, self.kernel_size, self.stride, self.padding
        )
        return y if self.bias is None else y + self.bias.value, patches

    def backward(self, dy, patches):
        """Adds to the gradients of weight and bias. Returns None."""
        add_weight_gradient(self.weight.grad, dy, patches)
        if self.bias is not None:
            add_column_sums(self.bias.grad, flat(dy))


@operation
def convolve_rolls(x, weight, kernel_size, stride, padding):
    """im2col(x) W, and what `add_weight_gradient` needs: (N, Ho, Wo, M) and the patches."""
    patches = im2col(x, kernel_size, stride, padding)  # (N, Ho, Wo, kh*kw*C)
    y = matmul(flat(patches), weight)  # (N*Ho*Wo, M)
    return y.reshape(*patches.shape[:3], -1), patches


@operation
def add_weight_gradient(grad, dy, patches):
    """grad += patches^T dy. grad: (kh*kw*C, M); dy: (N, Ho, Wo, M)."""
    add_matmul(grad, flat(patches).T, flat(dy))
