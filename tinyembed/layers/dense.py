"""The fully connected layer, and its transpose with the same weights (section 4.1)."""

from tinyembed.backends.arrays import add_column_sums, add_matmul, matmul, normal, zeros
from tinyembed.layers.layer import Layer, Parameter


class Dense(Layer):
    """y = x W + b.

    weight: (in_features, out_features); bias: (out_features,), or None where batch norm follows.
    """

    def __init__(self, in_features, out_features, bias=True, *, rng):
        weight = normal(rng, in_features, out_features, std=in_features**-0.5)
        self.weight = Parameter(weight)
        self.bias = Parameter(zeros(out_features)) if bias else None

    def forward(self, x, training=False):
        """x: (N, in_features) -> y: (N, out_features)."""
        y = matmul(x, self.weight.value)
        return y if self.bias is None else y + self.bias.value, x

    def backward(self, dy, x):
        add_matmul(self.weight.grad, x.T, dy)  # (in_features, out_features)
        if self.bias is not None:
            add_column_sums(self.bias.grad, dy)
        return matmul(dy, self.weight.value.T)


class TiedDense(Layer):
    """y = x W^T: the transpose of a Dense layer, with that layer's weight (W' = W^T).

    It holds the same Parameter, so both layers add to one gradient. It has no bias of its own:
    batch norm follows it in every decoder, and its beta is the paper's b'.
    """

    def __init__(self, dense):
        self.weight = dense.weight

    def forward(self, x, training=False):
        """x: (N, out_features of the Dense) -> y: (N, its in_features)."""
        return matmul(x, self.weight.value.T), x

    def backward(self, dy, x):
        add_matmul(self.weight.grad, dy.T, x)  # (in_features, out_features)
        return matmul(dy, self.weight.value)
