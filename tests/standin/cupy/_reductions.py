"""Adding up and the like. What comes out is always an array, if only of one number."""

import numpy as np

from cupy._functions import _only
from cupy._launches import cub_reduction, elementwise, reduction
from cupy._sums import block_mean, block_sum
from cupy._ufuncs import Fused, fused_reduction
from cupy._work import change, compute

BY_CUB = "sum", "mean", "max", "min", "argmax", "argmin"


def _reduce(function, a, axis, out, keepdims, launches=1, **keywords):
    """A reduction by a NumPy function, or by one of `_sums`."""
    name = function.__name__.removeprefix("block_")
    if isinstance(a, Fused):
        return fused_reduction(function, a, axis)

    def started(results, given):
        a = given[-1]
        by_cub = cub_reduction(name, a, axis) if name in BY_CUB else None
        if by_cub is None:
            return [reduction(name, [a], axis)] * launches
        return [*by_cub, *([elementwise("divide", results)] if name == "mean" else [])]

    def work(a):
        return np.asarray(function(a, axis, keepdims=keepdims, **keywords))

    if out is None:
        return compute(work, _only(a), started=started)
    change(lambda o, a: o.__setitem__(..., work(a)), out, _only(a), started=started)
    return out


def sum(a, axis=None, dtype=None, out=None, keepdims=False):
    return _reduce(block_sum, a, axis, out, keepdims, dtype=dtype)


def mean(a, axis=None, dtype=None, out=None, keepdims=False):
    return _reduce(block_mean, a, axis, out, keepdims, dtype=dtype)


def max(a, axis=None, out=None, keepdims=False):
    return _reduce(np.max, a, axis, out, keepdims)


def min(a, axis=None, out=None, keepdims=False):
    return _reduce(np.min, a, axis, out, keepdims)


def any(a, axis=None, out=None, keepdims=False):
    return _reduce(np.any, a, axis, out, keepdims)


def all(a, axis=None, out=None, keepdims=False):
    return _reduce(np.all, a, axis, out, keepdims)


def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    return _reduce(np.var, a, axis, out, keepdims, 3, dtype=dtype, ddof=ddof)


def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    return _reduce(np.std, a, axis, out, keepdims, 4, dtype=dtype, ddof=ddof)


def argmax(a, axis=None, dtype=None, out=None, keepdims=False):
    return _reduce(np.argmax, a, axis, out, keepdims)


def argmin(a, axis=None, dtype=None, out=None, keepdims=False):
    return _reduce(np.argmin, a, axis, out, keepdims)


def cumsum(a, axis=None, dtype=None, out=None):
    return compute(lambda a: np.cumsum(a, axis, dtype), _only(a))
