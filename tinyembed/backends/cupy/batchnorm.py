"""Batch norm's statistics, and the sums of its gradients: two kernels each for most batches.

One thread per channel and group of rows, as in `column_sums`. A group's mean and its sum of squares
around that mean are merged with those of other groups (Chan, Golub and LeVeque 1979). So one pass
finds mean and variance, and no large numbers are subtracted from each other.
"""

import functools

import numpy as np

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy.column_sums import ROUNDS, partial_sums, rounds, stages
from tinyembed.backends.cupy.kernel import Kernel, example


def _statistics(x, size, stride, count, mean, squares):
    count[...], mean[...], squares[...] = 0, 0, 0
    count, mean, squares = (a.reshape(-1) for a in (count, mean, squares))
    for (part,) in rounds(size, stride, x):
        count[: len(part)] += 1
        mean[: len(part)] += part
    mean /= count
    for (part,) in rounds(size, stride, x):
        u = part - mean[: len(part)]
        squares[: len(part)] += u * u


def _merge(counts, means, squares, size, stride, count, mean, square):
    count[...], mean[...], square[...] = 0, 0, 0
    count, mean, square = (a.reshape(-1) for a in (count, mean, square))
    for n, m, _ in rounds(size, stride, counts, means, squares):
        count[: len(n)] += n
        mean[: len(n)] += n * m
    mean /= count
    for n, m, s in rounds(size, stride, counts, means, squares):
        u = m - mean[: len(n)]
        square[: len(n)] += s + n * u * u


def _finish(counts, means, squares, size, stride, mean, var, running_mean, running_var, momentum):
    count = np.empty_like(mean)
    _merge(counts, means, squares, size, stride, count, mean, var)
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (var / np.maximum(count - 1, 1) - running_var)
    var /= count


STATISTICS = Kernel(
    "tinyembed_statistics",
    "raw T x, int64 size, int64 stride",
    "T count, T mean, T square",
    f"""
    T rows = T(0), centre = T(0), around = T(0);
    {ROUNDS} {{ rows += T(1); centre += x[j]; }}
    centre /= rows;
    {ROUNDS} {{ T u = x[j] - centre; around += u * u; }}
    count = rows; mean = centre; square = around;
    """,
    _statistics,
)
_MERGED = f"""
    T rows = T(0), centre = T(0), around = T(0);
    {ROUNDS} {{ rows += counts[j]; centre += counts[j] * means[j]; }}
    centre /= rows;
    {ROUNDS} {{ T u = means[j] - centre; around += squares[j] + counts[j] * u * u; }}
"""
MERGE = Kernel(
    "tinyembed_merge",
    "raw T counts, raw T means, raw T squares, int64 size, int64 stride",
    "T count, T mean, T square",
    f"{_MERGED}    count = rows; mean = centre; square = around;",
    _merge,
)


@functools.cache
def finish_kernel(momentum):
    """The last stage, and what the running averages take from it."""
    return Kernel(
        "tinyembed_finish_statistics",
        "raw T counts, raw T means, raw T squares, int64 size, int64 stride",
        "T mean, T var, T running_mean, T running_var",
        f"""{_MERGED}
        mean = centre;
        var = around / rows;
        T unbiased = around / (rows > T(1) ? rows - T(1) : T(1));
        running_mean += momentum * (centre - running_mean);
        running_var += momentum * (unbiased - running_var);
        """,
        _finish,
        {"momentum": float(momentum)},
    )


def training_statistics(plain, x, running_mean, running_var, momentum):
    if x.dtype.kind == "c":
        return plain(x, running_mean, running_var, momentum)
    empty, columns = import_cupy().empty, x.shape[1]
    first, *more = stages(*x.shape) or [1]
    parts = [empty((first, columns), x.dtype) for _ in range(3)]  # counts, means, squares
    STATISTICS(x, x.size, parts[0].size, *parts)
    for count in more:
        merged = [empty((count, columns), x.dtype) for _ in range(3)]
        MERGE(*parts, parts[0].size, merged[0].size, *merged)
        parts = merged
    mean, var = empty(columns, x.dtype), empty(columns, x.dtype)
    outputs = mean, var, running_mean, running_var
    finish_kernel(momentum)(*parts, parts[0].size, columns, *outputs)
    return mean, var, len(x)


def _elu_sums(dy, y, x, mean, size, stride, columns, dz_sum, dzu_sum):
    dz_sum[...], dzu_sum[...] = 0, 0
    for dy_part, y_part, x_part in rounds(size, stride, dy, y, x):
        dz = (dy_part * (np.minimum(y_part, 0) + 1)).reshape(-1, columns)
        rows = len(dz)
        dz_sum[:rows] += dz
        dzu_sum[:rows] += dz * (x_part.reshape(-1, columns) - mean)


def _finish_sums(dz_sums, dzu_sums, size, stride, var, dz_sum, dzu_sum, gamma_grad, beta_grad, eps):
    dz_sum[...], dzu_sum[...] = dz_sums.sum(axis=0), dzu_sums.sum(axis=0)
    gamma_grad += dzu_sum / np.sqrt(var + eps)
    beta_grad += dz_sum


ELU_SUMS = Kernel(
    "tinyembed_elu_sums",
    "raw T dy, raw T y, raw T x, raw T mean, int64 size, int64 stride, int64 columns",
    "T dz_sum, T dzu_sum",
    f"""
    T centre = mean[i % columns], dz_total = T(0), dzu_total = T(0);
    {ROUNDS} {{
        T dz = y[j] > T(0) ? dy[j] : dy[j] * (y[j] + T(1));
        dz_total += dz;
        dzu_total += dz * (x[j] - centre);
    }}
    dz_sum = dz_total; dzu_sum = dzu_total;
    """,
    _elu_sums,
)


@functools.cache
def finish_sums_kernel(eps):
    """The last stage, and what the gradients of gamma and beta take from it."""
    return Kernel(
        "tinyembed_finish_sums",
        "raw T dz_sums, raw T dzu_sums, int64 size, int64 stride, T var",
        "T dz_sum, T dzu_sum, T gamma_grad, T beta_grad",
        f"""
        T dz_total = T(0), dzu_total = T(0);
        {ROUNDS} {{ dz_total += dz_sums[j]; dzu_total += dzu_sums[j]; }}
        dz_sum = dz_total; dzu_sum = dzu_total;
        gamma_grad += dzu_total / sqrt(var + eps);
        beta_grad += dz_total;
        """,
        _finish_sums,
        {"eps": float(eps)},
    )


def norm_gradients_elu(plain, dy, y, x, mean, var, gamma_grad, beta_grad, eps):
    empty, columns = import_cupy().empty, x.shape[1]
    first, *more = stages(*x.shape) or [1]
    sums = [empty((first, columns), x.dtype) for _ in range(2)]
    ELU_SUMS(dy, y, x, mean, x.size, sums[0].size, columns, *sums)
    sums = [partial_sums(part, more) for part in sums]
    found = [empty(columns, x.dtype) for _ in range(2)]
    outputs = *found, gamma_grad, beta_grad
    finish_sums_kernel(eps)(*sums, sums[0].size, columns, var, *outputs)
    return tuple(found)


def examples():
    """[(kernel, examples of its arguments)]; see `kernels.all_kernels`."""
    x, groups, (a, b, c, d) = example(70, 3), [example(4, 3) for _ in range(3)], example(4, 3)
    fewer, pair = [example(2, 3) for _ in range(3)], [example(4, 3) for _ in range(2)]
    return [
        (STATISTICS, [(x, x.size, groups[0].size, *groups)]),
        (MERGE, [(*groups, groups[0].size, fewer[0].size, *fewer)]),
        (finish_kernel(0.1), [(*groups, groups[0].size, 3, a, b, c, d)]),
        (ELU_SUMS, [(x, x - 1, x, a, x.size, pair[0].size, 3, *pair)]),
        (finish_sums_kernel(1e-5), [(*pair, pair[0].size, 3, d, a, b, c, d.copy())]),
    ]
