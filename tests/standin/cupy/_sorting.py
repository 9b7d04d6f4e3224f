"""Sorting and searching."""

import functools

import numpy as np

from cupy._array import ndarray
from cupy._functions import _only
from cupy._ufuncs import Fused, fused_call
from cupy._work import accept, compute
from cupy.cuda import capture
from cupy.standin import synchronise


def _waits(function):
    """Thrust sorts, and waits for the stream; a recording cannot."""

    @functools.wraps(function)
    def waiting(*args, **kwargs):
        capture.refuse(f"{function.__name__}, which waits for the stream")
        return function(*args, **kwargs)

    return waiting


@_waits
def sort(a, axis=-1, kind=None):
    return compute(lambda a: np.sort(a, axis, kind="stable"), _only(a))


@_waits
def argsort(a, axis=-1, kind=None):
    return compute(lambda a: np.argsort(a, axis, kind="stable"), _only(a), launches=2)


@_waits
def lexsort(keys):
    if not isinstance(keys, ndarray):
        raise TypeError("lexsort takes one array whose rows are the keys")
    return compute(np.lexsort, keys, launches=2)


@_waits
def partition(a, kth, axis=-1):
    return compute(lambda a: np.partition(a, kth, axis), _only(a))


@_waits
def argpartition(a, kth, axis=-1):
    return compute(lambda a: np.argpartition(a, kth, axis), _only(a), launches=2)


def searchsorted(a, v, side="left"):
    return compute(lambda a, v: np.searchsorted(a, v, side), _only(a), accept(v))


def nonzero(a):
    synchronise("nonzero, whose number of entries is not known")
    return compute(np.nonzero, _only(a), launches=3)


def flatnonzero(a):
    return nonzero(a.ravel())[0]


def where(condition, x=None, y=None):
    if x is None:
        return nonzero(condition)
    if any(isinstance(v, Fused) for v in (condition, x, y)):
        return fused_call(lambda *v: np.where(*v), (condition, x, y), None)
    return compute(np.where, accept(condition), accept(x), accept(y))


def unique(ar, return_index=False, return_inverse=False, return_counts=False):
    synchronise("unique, whose number of entries is not known")
    return compute(
        lambda a: np.unique(a, return_index, return_inverse, return_counts), _only(ar), launches=5
    )


def bincount(x, weights=None, minlength=None):
    synchronise("bincount, which asks for the largest number")
    operands = [_only(x)] + ([] if weights is None else [_only(weights)])
    return compute(lambda *a: np.bincount(*a, minlength=minlength or 0), *operands, launches=2)
