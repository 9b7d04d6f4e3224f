"""Batch norm and the ELU that follows it as loops: one pass over memory for each formula.

x, y, dy: (R, C) float32; the others: (C,), one number per channel.
"""

import numpy as np

from tinyembed.backends.cpu.batchnorm import multiples, scale_and_shift
from tinyembed.backends.numba.compiling import kernel, over_rows, takes
from tinyembed.backends.numba.scalars import elu, elu_slope

GROUP = 32  # rows that are added up in float32, before their sum goes to the total in float64
SUMMED = 1 << 17  # elements per part of a sum, fixed so that sums are the same on any machine


@kernel
def _scale_shift_elu(x, scale, shift, y):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = elu(x[i, j] * scale[j] + shift[j])


@kernel
def _multiples_elu(dy, y, x, a, b, c, dx):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            dz = dy[i, j] * elu_slope(y[i, j])
            dx[i, j] = dz * a[j] + x[i, j] * b[j] + c[j]


@kernel
def _sum(x, total):
    """total[0] += sum(x), in float64, group by group."""
    part = np.empty(x.shape[1], np.float32)
    for start in range(0, x.shape[0], GROUP):
        part[:] = 0
        for i in range(start, min(start + GROUP, x.shape[0])):
            for j in range(x.shape[1]):
                part[j] += x[i, j]
        for j in range(x.shape[1]):
            total[0, j] += part[j]


@kernel
def _sum_of_squares(x, mean, total):
    """total[0] += sum((x - mean)^2)."""
    part = np.empty(x.shape[1], np.float32)
    for start in range(0, x.shape[0], GROUP):
        part[:] = 0
        for i in range(start, min(start + GROUP, x.shape[0])):
            for j in range(x.shape[1]):
                u = x[i, j] - mean[j]
                part[j] += u * u
        for j in range(x.shape[1]):
            total[0, j] += part[j]


@kernel
def _gradient_sums_elu(dy, y, x, mean, total):
    """total[0] += sum(dz), total[1] += sum(dz (x - mean)), dz being dy times the ELU's slope."""
    part = np.empty((2, x.shape[1]), np.float32)
    for start in range(0, x.shape[0], GROUP):
        part[:] = 0
        for i in range(start, min(start + GROUP, x.shape[0])):
            for j in range(x.shape[1]):
                dz = dy[i, j] * elu_slope(y[i, j])
                part[0, j] += dz
                part[1, j] += dz * (x[i, j] - mean[j])
        for j in range(x.shape[1]):
            total[0, j] += part[0, j]
            total[1, j] += part[1, j]


def batch_statistics(plain, x):
    if not takes(x):
        return plain(x)
    mean = (_totals(_sum, 1, x)[0] / len(x)).astype(np.float32)
    var = (_totals(_sum_of_squares, 1, x, mean=mean)[0] / len(x)).astype(np.float32)
    return mean, var, len(x)


def normalize_elu(plain, x, *channels):
    if not takes(x, *channels[:4]):
        return plain(x, *channels)
    return _elementwise(_scale_shift_elu, scale_and_shift(*channels), x)


def gradient_sums_elu(plain, dy, y, x, mean):
    if not takes(dy, y, x, mean):
        return plain(dy, y, x, mean)
    return tuple(_totals(_gradient_sums_elu, 2, dy, y, x, mean=mean).astype(np.float32))


def input_gradient_elu(plain, dy, y, x, *channels):
    if not takes(dy, y, x, *channels[:5]):
        return plain(dy, y, x, *channels)
    return _elementwise(_multiples_elu, multiples(*channels), dy, y, x)


def _elementwise(loops, channels, *arrays):
    channels = [np.asarray(c, np.float32) for c in channels]
    out = np.empty_like(arrays[0])
    over_rows(lambda rows: loops(*[a[rows] for a in arrays], *channels, out[rows]), out)
    return out


def _totals(loops, count, *arrays, **channels):
    """(count, C) in float64, added up in an order that does not depend on the threads."""
    columns = arrays[0].shape[1]

    def work(rows):
        total = np.zeros((count, columns))
        loops(*[a[rows] for a in arrays], *channels.values(), total)
        return total

    return sum(over_rows(work, arrays[0], SUMMED))
