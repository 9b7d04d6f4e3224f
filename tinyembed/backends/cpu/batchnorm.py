"""Batch norm in few passes over memory: sums in blocks, and scale and shift known beforehand."""

import numpy as np

from tinyembed.backends.cpu.blocks import column_sums, elementwise


def batch_statistics(plain, x):
    mean = column_sums(lambda x: (x,), x)[0] / len(x)

    def squares(x):
        u = x - mean
        return (u * u,)

    return mean, column_sums(squares, x)[0] / len(x), len(x)


def normalize_elu(plain, x, mean, var, gamma, beta, eps):
    return elementwise(_scale_shift_elu, x, *scale_and_shift(mean, var, gamma, beta, eps))


def gradient_sums(plain, dy, x, mean):
    return column_sums(lambda dy, x: (dy, dy * (x - mean)), dy, x)


def gradient_sums_elu(plain, dy, y, x, mean):
    def products(dy, y, x):
        dz = dy * (np.minimum(y, 0) + 1)
        return dz, dz * (x - mean)

    return column_sums(products, dy, y, x)


def input_gradient_elu(plain, dy, y, x, *channels):
    return elementwise(_multiples_through_elu, dy, y, x, *multiples(*channels))


def scale_and_shift(mean, var, gamma, beta, eps):
    """y = x scale + shift: (C,) each."""
    scale = gamma * (var + eps) ** -0.5
    return scale, beta - mean * scale


def multiples(mean, var, gamma, dy_sum, dyu_sum, n, eps):
    """a, b and c of dx = a dy + b x + c: (C,) each."""
    s = (var + eps) ** -0.5
    slope = s * s * dyu_sum / n
    a = gamma * s
    return a, -a * slope, a * (mean * slope - dy_sum / n)


def _scale_shift_elu(x, scale, shift):
    z = x * scale + shift
    return np.maximum(z, np.exp(np.minimum(z, 0)) - 1)


def _multiples_through_elu(dy, y, x, a, b, c):
    return dy * (np.minimum(y, 0) + 1) * a + x * b + c
