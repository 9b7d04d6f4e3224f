"""Batch norm and the ELU that follows it, as one layer (section 4.1).

The same numbers as `BatchNorm` and then `Elu`, with batch norm's parameters. As one operation they
need fewer passes over memory: each definition below is that of batch norm, applied to the ELU.
"""

from tinyembed.backends.dispatch import operation
from tinyembed.layers.batchnorm import (
    BatchNorm,
    add_norm_gradients,
    gradient_sums,
    input_gradient,
    normalize,
)
from tinyembed.layers.elu import elu, elu_gradient
from tinyembed.layers.layer import flat


class BatchNormElu(BatchNorm):
    """elu(gamma (x - mean) / sqrt(var + eps) + beta), for each channel by itself."""

    def forward(self, x, training=False):
        """x: (..., channels) -> y: the same shape."""
        rows = flat(x)  # (R, C)
        mean, var, n = self.statistics(rows, training)
        y = normalize_elu(rows, mean, var, self.gamma.value, self.beta.value, self.eps)
        return y.reshape(x.shape), (rows, y, mean, var, n, training)

    def backward(self, dy, cache):
        rows, y, mean, var, n, training = cache
        drows = flat(dy)  # (R, C)
        sums = norm_gradients_elu(drows, y, rows, mean, var, *self.grads(), self.eps)  # (C,) each
        if training:
            dx = input_gradient_elu(drows, y, rows, mean, var, self.gamma.value, *sums, n, self.eps)
        else:
            dx = self.scale(elu_gradient(drows, y), var)
        return dx.reshape(dy.shape)


@operation
def normalize_elu(x, mean, var, gamma, beta, eps):
    """elu(normalize(x)): (R, C) -> (R, C)."""
    return elu(normalize(x, mean, var, gamma, beta, eps))


@operation
def gradient_sums_elu(dy, y, x, mean):
    """`gradient_sums` of the gradient before the ELU, whose output is y."""
    return gradient_sums(elu_gradient(dy, y), x, mean)


@operation
def norm_gradients_elu(dy, y, x, mean, var, gamma_grad, beta_grad, eps):
    """`norm_gradients` of the gradient before the ELU, whose output is y."""
    sums = gradient_sums_elu(dy, y, x, mean)
    return add_norm_gradients(sums, var, gamma_grad, beta_grad, eps)


@operation
def input_gradient_elu(dy, y, x, mean, var, gamma, dy_sum, dyu_sum, n, eps):
    """`input_gradient` of the gradient before the ELU, whose output is y."""
    return input_gradient(elu_gradient(dy, y), x, mean, var, gamma, dy_sum, dyu_sum, n, eps)
