"""Batch normalization: each channel to mean 0 and variance 1 over the batch (section 4.1)."""

from tinyembed.arrays import fuse, ones, sum_rows, zeros
from tinyembed.layers.layer import Layer, Parameter


class BatchNorm(Layer):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, for each channel (the last axis) by itself.

    In training, mean and var are the batch's, over all axes but the last, and the running
    averages follow them; in evaluation the running averages are used. gamma, beta,
    running_mean, running_var: (channels,).
    """

    buffers = ("running_mean", "running_var")

    def __init__(self, channels, momentum=0.1, eps=1e-5):
        self.momentum, self.eps = momentum, eps
        self.gamma = Parameter(ones(channels))
        self.beta = Parameter(zeros(channels))
        self.running_mean = zeros(channels)
        self.running_var = ones(channels)

    def forward(self, x, training=False):
        """x: (..., channels) -> y: the same shape."""
        rows = x.reshape(-1, x.shape[-1])  # (R, C): every position of every example
        if training:
            mean = _sum(rows) / len(rows)  # (C,)
            var = _sum_of_squares(rows, mean) / len(rows)  # (C,)
            self._update_running(mean, var, len(rows))
        else:
            mean, var = self.running_mean, self.running_var
        inverse_std = (var + self.eps) ** -0.5  # (C,)
        scale = self.gamma.value * inverse_std
        y = _scale_and_shift(rows, scale, self.beta.value - mean * scale)
        return y.reshape(x.shape), (rows, mean, inverse_std, training)

    def _update_running(self, mean, var, count):
        if mean.dtype.kind == "c":  # a complex step differentiates; it must not leave a trace
            return
        self.running_mean += self.momentum * (mean - self.running_mean)
        unbiased = var * (count / max(count - 1, 1))
        self.running_var += self.momentum * (unbiased - self.running_var)

    def backward(self, dy, cache):
        rows, mean, inverse_std, training = cache
        drows = dy.reshape(rows.shape)  # (R, C)
        dbeta = _sum(drows)
        dgamma = _sum_of_products(drows, rows, mean) * inverse_std
        self.beta.grad += dbeta
        self.gamma.grad += dgamma
        scale = self.gamma.value * inverse_std
        if training:
            # The batch's mean and variance depend on x too. Through them, each channel's gradient
            # loses its mean and its component along the normalized values.
            count = len(rows)
            slope = dgamma * inverse_std / count
            constant = scale * (mean * slope - dbeta / count)
            dx = _sum_of_multiples(drows, scale, rows, -scale * slope, constant)
        else:
            dx = drows * scale
        return dx.reshape(dy.shape)


@sum_rows
def _sum(x):
    return x


@sum_rows
def _sum_of_squares(x, mean):
    centred = x - mean  # squared by a product: also right, and no abs in it, where x is complex
    return centred * centred


@sum_rows
def _sum_of_products(dy, x, mean):
    return dy * (x - mean)


@fuse
def _scale_and_shift(x, scale, shift):
    return x * scale + shift


@fuse
def _sum_of_multiples(a, times_a, b, times_b, constant):
    return a * times_a + b * times_b + constant
