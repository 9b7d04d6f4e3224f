"""Sums over the rows of a matrix, in stages that each keep the whole GPU busy.

CuPy starts one block of threads per 32 columns, however many rows there are: a matrix of 32 columns
would use one of a GPU's hundred multiprocessors. Here the rows are dealt out to groups, and each
thread adds up one column of one group. The sums of the groups are a smaller matrix, and so on.

Threads lie side by side as the columns do, so that they read what lies side by side. In one round
each group takes a row; the stride from one number of a thread to its next is a whole round.
"""

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy.fusion import fused
from tinyembed.backends.cupy.kernel import Kernel, example

LAST = 256  # rows that a thread may add up in the last stage
SMALL = 10_000  # numbers that a few threads may add up
EACH = 64  # numbers for each thread
FEWEST, MOST = 4096, 1 << 16  # threads: 32 blocks of 128; about what a large GPU runs at once

ROUNDS = "#pragma unroll 16\nfor (Index j = i; j < size; j += stride)"  # reads several at a time


def rounds(size, stride, *arrays):
    """For NumPy: what the threads read in each round, as 1-d parts of the arrays."""
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, size, stride):
        yield [x[start : min(start + stride, size)] for x in flat]


def _sums(x, size, stride, total):
    total[...] = 0
    for (part,) in rounds(size, stride, x):
        total.reshape(-1)[: len(part)] += part


def _add_sums(x, size, stride, total):
    found = total.copy()
    _sums(x, size, stride, found)
    total += found


SUMS = Kernel(
    "tinyembed_sums",
    "raw T x, int64 size, int64 stride",
    "T total",
    f"T sum = T(0);\n{ROUNDS} sum += x[j];\ntotal = sum;",
    _sums,
)
ADD_SUMS = Kernel(
    "tinyembed_add_sums",
    "raw T x, int64 size, int64 stride",
    "T total",
    f"T sum = T(0);\n{ROUNDS} sum += x[j];\ntotal += sum;",
    _add_sums,
)


def stages(rows, columns):
    """How many groups the rows become in each stage but the last: a list of falling numbers."""
    found = []
    while rows > LAST or (rows * columns > SMALL and columns < FEWEST):
        threads, few = rows * columns // EACH, SMALL // columns
        if rows * columns > SMALL:
            threads = min(max(threads, FEWEST), MOST)
        groups = -(-threads // columns)
        rows = few if groups > few > 0 and rows <= few * LAST else groups  # so few end in the next
        found.append(rows)
    return found


def partial_sums(x, groups):
    """(R, C) -> (groups[-1], C): sums of groups of rows, in as many stages as there are groups."""
    for count in groups:
        total = import_cupy().empty((count, x.shape[1]), x.dtype)
        SUMS(x, x.size, total.size, total)
        x = total
    return x


def column_sums(plain, x):
    total = import_cupy().empty(x.shape[1:], x.dtype)
    x = partial_sums(x, stages(*x.shape))
    SUMS(x, x.size, total.size, total)
    return total


def add_column_sums(plain, total, x):
    x = partial_sums(x, stages(*x.shape))
    ADD_SUMS(x, x.size, total.size, total)


def _mean(x, n):
    return import_cupy().sum(x / n, axis=0)


def mean(plain, x):
    return fused(_mean, x, len(x))  # CuPy's own divides in a kernel of its own


def examples():
    """[(kernel, examples of its arguments)]; see `kernels.all_kernels`."""
    x, total, one = example(70, 3), example(4, 3), example(3)
    given = [(x, x.size, total.size, total), (x, x.size, one.size, one)]
    return [(SUMS, given), (ADD_SUMS, given)]
