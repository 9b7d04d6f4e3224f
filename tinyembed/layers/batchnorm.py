"""Batch normalization: each channel to mean 0 and variance 1 over the batch (section 4.1)."""

from tinyembed.backends.arrays import ones, zeros
from tinyembed.backends.formulas import fuse, mean_rows, one_kernel, sum_rows
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
        mean, inverse_std, scale, shift = self.statistics(rows, training)  # (C,) each
        y = _scale_and_shift(rows, scale, shift)
        return y.reshape(x.shape), (rows, mean, inverse_std, training)

    def statistics(self, rows, training):
        """The mean, 1 / sqrt(var + eps), and the scale and shift that make y of x, (C,) each.

        In training the running averages move on.
        """
        if training:
            mean = _mean(rows)
            var = _mean_of_squares(rows, mean)
            self._update_running(mean, var, len(rows))
        else:
            mean, var = self.running_mean, self.running_var
        return mean, *_normalizer(mean, var, self.gamma.value, self.beta.value, self.eps)

    def _update_running(self, mean, var, count):
        if mean.dtype.kind == "c":  # a complex step differentiates; it must not leave a trace
            return
        unbiased = count / max(count - 1, 1)
        _follow(self.running_mean, self.running_var, mean, var, unbiased, self.momentum)

    def backward(self, dy, cache):
        rows, mean, inverse_std, training = cache
        drows = dy.reshape(rows.shape)  # (R, C)
        terms = self.gradient_terms(*_sums(drows, rows, mean), mean, inverse_std, len(rows))
        dx = _sum_of_multiples(drows, rows, *terms) if training else drows * terms[0]
        return dx.reshape(dy.shape)

    def gradient_terms(self, dbeta, products, mean, inverse_std, count):
        """Add to the gradients; returns a, b and c of dx = a dy + b x + c, (C,) each.

        The batch's mean and variance depend on x too. Through them, each channel's gradient loses
        its mean and its component along the normalized values. In evaluation dx is a dy alone.
        dbeta, products: the sums over the rows of dy and of dy (x - mean); count: how many rows.
        """
        return _gradient_terms(
            self.beta.grad, self.gamma.grad, dbeta, products, self.gamma.value, mean, inverse_std,
            count,
        )  # fmt: skip


@mean_rows
def _mean(x):
    return x


@mean_rows
def _mean_of_squares(x, mean):
    centred = x - mean  # squared by a product: also right, and no abs in it, where x is complex
    return centred * centred


@sum_rows
def _sums(dy, x, mean):
    return dy, dy * (x - mean)


@one_kernel
def _normalizer(mean, var, gamma, beta, eps):
    inverse_std = (var + eps) ** -0.5
    scale = gamma * inverse_std
    return inverse_std, scale, beta - mean * scale


@one_kernel
def _follow(running_mean, running_var, mean, var, unbiased, momentum):
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (var * unbiased - running_var)


@one_kernel
def _gradient_terms(beta_grad, gamma_grad, dbeta, products, gamma, mean, inverse_std, count):
    dgamma = products * inverse_std
    beta_grad += dbeta
    gamma_grad += dgamma
    scale = gamma * inverse_std
    slope = dgamma * inverse_std / count
    return scale, -scale * slope, scale * (mean * slope - dbeta / count)


@fuse
def _scale_and_shift(x, scale, shift):
    return x * scale + shift


@fuse
def _sum_of_multiples(dy, x, times_dy, times_x, constant):
    return dy * times_dy + x * times_x + constant
