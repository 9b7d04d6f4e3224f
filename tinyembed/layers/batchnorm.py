"""Batch normalization: each channel to mean 0 and variance 1 over the batch (section 4.1).

    y = gamma (x - mean) / sqrt(var + eps) + beta

In training, mean and var are the batch's, and therefore depend on x as well. With u = x - mean, n
values per channel and s = 1 / sqrt(var + eps), the chain rule through both gives

    dx = gamma s (dy - sum(dy) / n - u s^2 sum(dy u) / n)

so each channel's gradient loses its mean and its component along the normalized values.
(Ioffe and Szegedy 2015.)
"""

from tinyembed.backends.arrays import ones, zeros
from tinyembed.backends.dispatch import operation
from tinyembed.layers.layer import Layer, Parameter, flat


class BatchNorm(Layer):
    """Normalizes each channel, the last axis, by itself.

    In training, mean and var are taken over all axes of the batch but the last, and the running
    averages follow them. In evaluation the running averages are used. gamma, beta, running_mean,
    running_var: (channels,).
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
        rows = flat(x)  # (R, C), each position of each example
        mean, var, n = self.statistics(rows, training)
        y = normalize(rows, mean, var, self.gamma.value, self.beta.value, self.eps)
        return y.reshape(x.shape), (rows, mean, var, n, training)

    def statistics(self, rows, training):
        """mean and var, (C,) each, and n: of the batch, or the running averages."""
        if not training:
            return self.running_mean, self.running_var, len(rows)
        running = self.running_mean, self.running_var
        return training_statistics(rows, *running, self.momentum)

    def backward(self, dy, cache):
        rows, mean, var, n, training = cache
        drows = flat(dy)  # (R, C)
        sums = norm_gradients(drows, rows, mean, var, *self.grads(), self.eps)  # (C,) each
        if training:
            dx = input_gradient(drows, rows, mean, var, self.gamma.value, *sums, n, self.eps)
        else:
            dx = self.scale(drows, var)
        return dx.reshape(dy.shape)

    def grads(self):
        """The gradients of gamma and beta, to add to."""
        return self.gamma.grad, self.beta.grad

    def scale(self, dy, var):
        """dx in evaluation, where mean and var do not depend on x: gamma s dy."""
        return dy * (self.gamma.value * (var + self.eps) ** -0.5)


@operation
def batch_statistics(x):
    """Mean and variance of each channel, and of how many values: (R, C) -> (C,), (C,), R."""
    mean = x.mean(axis=0)
    u = x - mean
    return mean, (u * u).mean(axis=0), len(x)  # a product: right for a complex step, too


@operation
def training_statistics(x, running_mean, running_var, momentum):
    """`batch_statistics`. Moves the running averages towards them, in place."""
    mean, var, n = batch_statistics(x)
    if mean.dtype.kind != "c":  # a complex step differentiates; it must not leave a trace
        unbiased = n / max(n - 1, 1)  # running_var estimates the variance of all music
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * unbiased - running_var)
    return mean, var, n


@operation
def normalize(x, mean, var, gamma, beta, eps):
    """gamma (x - mean) / sqrt(var + eps) + beta: (R, C) -> (R, C)."""
    return (x - mean) * (gamma * (var + eps) ** -0.5) + beta


@operation
def gradient_sums(dy, x, mean):
    """The sums over the rows of dy and of dy u: (R, C), (R, C), (C,) -> (C,), (C,)."""
    return dy.sum(axis=0), (dy * (x - mean)).sum(axis=0)


@operation
def norm_gradients(dy, x, mean, var, gamma_grad, beta_grad, eps):
    """`gradient_sums`. Adds to the gradients of gamma and beta, in place."""
    return add_norm_gradients(gradient_sums(dy, x, mean), var, gamma_grad, beta_grad, eps)


def add_norm_gradients(sums, var, gamma_grad, beta_grad, eps):
    """Add to the gradients of gamma, sum(dy u) s, and of beta, sum(dy). Returns the sums."""
    dy_sum, dyu_sum = sums
    gamma_grad += dyu_sum * (var + eps) ** -0.5
    beta_grad += dy_sum
    return sums


@operation
def input_gradient(dy, x, mean, var, gamma, dy_sum, dyu_sum, n, eps):
    """gamma s (dy - sum(dy) / n - u s^2 sum(dy u) / n): (R, C)."""
    s = (var + eps) ** -0.5  # (C,)
    return (gamma * s) * (dy - dy_sum / n - (x - mean) * (s * s * dyu_sum / n))
