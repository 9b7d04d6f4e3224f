"""Formulas block by block: on a block that fits a core's cache, intermediate results stay there.

Written plainly, `scale * (dy - mean - x * slope)` makes three intermediate results, each as large
as x, and each written to memory and read back.
"""

import numpy as np

from tinyembed.backends.cpu import threads

GROUP = 32  # rows that are added up at a time


def elementwise(plain, *arrays):
    """A variant of any elementwise operation: the same formula, run block by block.

    The first array gives the result its shape. The others have as many rows, or are the same for
    all rows.
    """
    first = arrays[0]
    if first.size <= threads.BLOCK:
        return plain(*arrays)
    out = np.empty(first.shape, np.result_type(*arrays))
    cut = _cutter(arrays)

    def work(block):
        out[block] = plain(*cut(block))

    in_blocks(work, first)
    return out


def in_place(plain, *arrays):
    """The same for an operation that writes into its arrays, the first and others as large."""
    cut = _cutter(arrays)
    in_blocks(lambda block: plain(*cut(block)), arrays[0])


def column_sums(formula, *arrays):
    """The column sums of each result of an elementwise formula: (R, C) arrays -> K of (C,).

    formula: takes blocks of the arrays and returns a tuple of K arrays.
    """
    cut = _cutter(arrays)

    def work(block):
        return np.stack([_sum_in_groups(values) for values in formula(*cut(block))])

    return tuple(sum(in_blocks(work, arrays[0]) or [work(slice(0))]))


def in_blocks(work, x):
    """Call work(slice) for blocks of x's rows. Returns the list of results, in the rows' order."""
    return threads.run_blocks(work, len(x), x.size // max(len(x), 1))


def _cutter(arrays):
    """A function from a block of rows to the arrays' parts in it; what has no rows stays whole."""
    first = arrays[0]
    has_rows = [np.ndim(a) == first.ndim and len(a) == len(first) for a in arrays]
    return lambda block: [a[block] if rows else a for a, rows in zip(arrays, has_rows, strict=True)]


def _sum_in_groups(x):
    """Column sums, group by group of rows, then group by group of groups: (R, C) -> (C,).

    Rounding then grows with log R. Adding row after row, a batch norm's variance came out 2e-6 too
    small, and whole gradients ten times less exact. A product with ones adds up a group in a third
    of the time of NumPy's sum.
    """
    ones = np.ones((1, GROUP), x.dtype)
    while len(x) >= 2 * GROUP:
        whole = len(x) // GROUP * GROUP
        sums = np.matmul(ones, x[:whole].reshape(-1, GROUP, x.shape[1]))[:, 0]
        if whole < len(x):
            sums[0] += x[whole:].sum(axis=0)
        x = sums
    return x.sum(axis=0)
