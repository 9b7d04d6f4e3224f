"""Formulas of whole arrays as one pass over memory: on a GPU one kernel, on a CPU block by block.

Written plainly, `scale * (dy - mean - x * slope)` makes three intermediate results, each as large
as x. A decorator here changes how such a formula is run, never what it says.
"""

import functools

import numpy as np

from tinyembed.backends import compiled, loops
from tinyembed.backends.arrays import array_module, import_cupy
from tinyembed.backends.cpu import threads

GROUP = 32  # rows that are added up at a time


def fuse(formula):
    """Make an elementwise formula one pass over memory instead of one an operation.

    The first array gives the result its shape; the others have as many rows, or are the same for
    all rows. On the GPU `cupy.fuse` compiles the formula to a single kernel; on the CPU it runs
    block by block (threads.py), or compiled as well (compiled.py).
    """
    kernel = None

    @functools.wraps(formula)
    def fused(*arrays):
        nonlocal kernel
        if array_module(arrays[0]) is np:
            done = compiled.formula(formula, arrays)
            return _formula_in_blocks(formula, arrays) if done is NotImplemented else done
        if kernel is None:
            kernel = import_cupy().fuse(formula)
        return kernel(*arrays)

    return fused


def _formula_in_blocks(formula, arrays):
    first = arrays[0]
    if first.size <= threads.BLOCK:
        return formula(*arrays)
    out = np.empty(first.shape, np.result_type(*arrays))
    cut = _cutter(arrays)

    def work(block):
        out[block] = formula(*cut(block))

    in_blocks(work, first)
    return out


def in_place(formula):
    """As `fuse`, for a formula that writes into its arrays, the first and others as large."""
    kernel = None

    @functools.wraps(formula)
    def fused(*arrays):
        nonlocal kernel
        first = arrays[0]
        if array_module(first) is np:
            if compiled.formula(formula, arrays) is NotImplemented:
                cut = _cutter(arrays)
                in_blocks(lambda block: formula(*cut(block)), first)
            return
        if kernel is None:
            kernel = import_cupy().fuse(formula)
        kernel(*arrays)

    return fused


def one_kernel(formula):
    """Make a formula of small arrays a single kernel on the GPU; on the CPU it stays as it is.

    It may have several results, write into its arguments (those as large as the whole), and end in
    one `xp.sum(..., axis=...)`, after which only numbers may come in. Numbers are arguments too:
    a kernel is compiled once, with the constants it then sees.
    """
    kernel = None

    @functools.wraps(formula)
    def fused(*arrays):
        nonlocal kernel
        if array_module(arrays[0]) is np:
            return formula(*arrays)
        if kernel is None:
            kernel = import_cupy().fuse(formula)
        return kernel(*arrays)

    return fused


def sum_rows(formula):
    """Make an elementwise formula one of column sums: (R, C) arrays and (C,) arrays to (C,).

    A formula with several results has as many sums, in one pass on the CPU. As with `fuse`, the CPU
    stores no more of the formula's values than a block at a time, and the GPU none of them.
    """
    kernels = None

    @functools.wraps(formula)
    def summed(*arrays):
        nonlocal kernels
        first = arrays[0]
        if array_module(first) is not np:
            if kernels is None:
                kernels = _sum_kernels(formula)
            sums = [kernel(*arrays) for kernel in kernels]
            return sums if len(sums) > 1 else sums[0]
        done = compiled.column_sums(formula, arrays)
        if done is not NotImplemented:
            return done
        cut = _cutter(arrays)

        def work(block):
            values = formula(*cut(block))
            if isinstance(values, tuple):
                return np.stack([_sum_in_groups(v) for v in values])
            return _sum_in_groups(values)

        return sum(in_blocks(work, first) or [work(slice(0))])

    return summed


def _sum_kernels(formula):
    """A kernel for each result of a formula, since a kernel ends in one sum."""
    cupy = import_cupy()
    fuse_as = cupy.fuse(kernel_name=formula.__name__)
    count = loops.count_results(formula)
    if count == 1:
        return [fuse_as(lambda *parts: cupy.sum(formula(*parts), axis=0))]

    def kernel(k):
        return fuse_as(lambda *parts: cupy.sum(formula(*parts)[k], axis=0))

    return [kernel(k) for k in range(count)]


def mean_rows(formula):
    """As `sum_rows`, divided by the number of rows."""
    kernel = None
    total = sum_rows(formula)

    @functools.wraps(formula)
    def mean(*arrays):
        nonlocal kernel
        first = arrays[0]
        if array_module(first) is np:
            return total(*arrays) / len(first)
        if kernel is None:
            cupy = import_cupy()
            kernel = cupy.fuse(kernel_name=formula.__name__)(
                lambda n, *parts: cupy.sum(formula(*parts) / n, axis=0)
            )
        return kernel(len(first), *arrays)

    return mean


def _sum_in_groups(x):
    """Column sums, group by group of rows, then group by group of groups: (R, C) -> (C,).

    Rounding then grows with log R; adding row after row, a batch norm's variance came out 2e-6 too
    small, and whole gradients ten times less exact. A product with ones adds up a group in a third
    of the time that NumPy's sum takes.
    """
    ones = np.ones((1, GROUP), x.dtype)
    while len(x) >= 2 * GROUP:
        whole = len(x) // GROUP * GROUP
        sums = np.matmul(ones, x[:whole].reshape(-1, GROUP, x.shape[1]))[:, 0]
        if whole < len(x):
            sums[0] += x[whole:].sum(axis=0)
        x = sums
    return x.sum(axis=0)


class Kernel:
    """A kernel written by hand, for what no formula of whole arrays does in one pass on a GPU.

    name, inputs, outputs, code: as `cupy.ElementwiseKernel` takes them: code computes one number
    of the output, the one at `i`. It stands beside the same in NumPy, and a test compares them.
    """

    def __init__(self, name, inputs, outputs, code):
        self.name, self.inputs, self.outputs, self.code = name, inputs, outputs, code
        self._compiled = None

    def __call__(self, *arguments):
        """arguments: arrays of the GPU and numbers; the last one is written to, and returned."""
        if self._compiled is None:
            cupy = import_cupy()
            self._compiled = cupy.ElementwiseKernel(self.inputs, self.outputs, self.code, self.name)
        return self._compiled(*arguments)


def _cutter(arrays):
    """A function from a block of rows to the arrays' parts in it; what has no rows stays whole."""
    first = arrays[0]
    has_rows = [np.ndim(a) == first.ndim and len(a) == len(first) for a in arrays]
    return lambda block: [a[block] if rows else a for a, rows in zip(arrays, has_rows, strict=True)]


def in_blocks(work, x):
    """Call work(slice) for parts of x's rows: in blocks (threads.py), or all at once on a GPU.

    Parts must not depend on each other. Returns the list of results, in the rows' order.
    """
    if array_module(x) is np:
        return threads.run_blocks(work, len(x), x.size // max(len(x), 1))
    return [work(slice(None))]
