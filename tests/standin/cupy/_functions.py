"""Everything that is not elementwise: making, moving, adding up, sorting, multiplying."""

import builtins

import numpy as np

from cupy import standin
from cupy._array import accept, change, compute, ndarray, raw, wrap
from cupy._ufuncs import Fused, fused_reduction
from cupy.cuda import capture
from cupy.standin import synchronise

# Making arrays.


def array(x, dtype=None, copy=True):
    """A new array on the device; from the host, that is one transfer."""
    if isinstance(x, ndarray):
        return compute(lambda a: np.array(a, dtype, copy=True), x)
    if isinstance(x, (list, tuple)) and _holds_arrays(x):
        raise TypeError("a list of arrays of the device: use stack or concatenate")
    host = np.array(x, dtype)
    if host.dtype.kind not in "biufc":
        raise TypeError(f"Unsupported dtype {host.dtype}")
    standin.check_allowed("a transfer to the device")
    standin.count("to_device")
    return wrap(host)


def asarray(x, dtype=None, order=None, blocking=False):
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == np.dtype(dtype) else x.astype(dtype)
    return array(x, dtype)


def asnumpy(x, stream=None, order="C", out=None, blocking=True):
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def _holds_arrays(x):
    if isinstance(x, (list, tuple)):
        return builtins.any(_holds_arrays(y) for y in x)
    return isinstance(x, ndarray)


def empty(shape, dtype=float, order="C"):
    return ndarray(_host_shape(shape), dtype)


def zeros(shape, dtype=float, order="C"):
    shape = _host_shape(shape)
    return compute(lambda: np.zeros(shape, dtype))


def ones(shape, dtype=float):
    shape = _host_shape(shape)
    return compute(lambda: np.ones(shape, dtype))


def full(shape, value, dtype=None):
    shape = _host_shape(shape)
    return compute(lambda v: np.full(shape, v, dtype), accept(value))


def empty_like(x, dtype=None):
    return empty(x.shape, dtype or x.dtype)


def zeros_like(x, dtype=None):
    return zeros(x.shape, dtype or x.dtype)


def ones_like(x, dtype=None):
    return ones(x.shape, dtype or x.dtype)


def arange(*args, dtype=None):
    if builtins.any(isinstance(x, ndarray) for x in args):
        raise TypeError("arange of an array on the device")
    return compute(lambda: np.arange(*args, dtype=dtype))


def _host_shape(shape):
    if isinstance(shape, ndarray) or _holds_arrays(shape):
        raise TypeError("a shape is known to the host")
    return shape


# Views and copies.


def broadcast_to(x, shape):
    return x._view(np.broadcast_to(_only(x)._a, shape), x._buffer)


def atleast_2d(x):
    return x._view(np.atleast_2d(_only(x)._a), x._buffer)


def ascontiguousarray(x, dtype=None):
    x = asarray(_only(x), dtype)
    return x if x.flags.c_contiguous else x.copy()


def concatenate(arrays, axis=0):
    arrays = [_only(a) for a in arrays]
    return compute(lambda *a: np.concatenate(a, axis), *arrays, launches=len(arrays))


def stack(arrays, axis=0):
    arrays = [_only(a) for a in arrays]
    return compute(lambda *a: np.stack(a, axis), *arrays, launches=len(arrays))


def repeat(x, repeats, axis=None):
    if not isinstance(repeats, (int, np.integer)):
        raise TypeError("repeat needs a number here: how often each is repeated decides the size")
    return compute(lambda a: np.repeat(a, repeats, axis), _only(x))


def where(condition, x=None, y=None):
    if x is None:
        return nonzero(condition)
    if builtins.any(isinstance(v, Fused) for v in (condition, x, y)):
        from cupy._ufuncs import _fused_call

        return _fused_call(lambda *v: np.where(*v), (condition, x, y), None)
    return compute(np.where, accept(condition), accept(x), accept(y))


def copyto(target, source, casting="same_kind", where=True):
    operands = [accept(source)] + ([] if where is True else [_only(where)])

    def write(a, v, mask=True):
        np.copyto(a, v, casting=casting, where=mask)

    change(write, _only(target), *operands)


def round(x, decimals=0):
    return compute(lambda a: np.round(a, decimals), _only(x))


def _only(x):
    """An array of the device; a number will not do, and a NumPy array least of all."""
    if isinstance(x, ndarray):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


# Adding up. What comes out is always an array, if only of one number.


def _sum(a, axis=None, dtype=None, keepdims=False):
    # As exact as the tree by which a GPU adds, which NumPy's sum over rows is not.
    if dtype is None and a.dtype in (np.float32, np.complex64):
        wide = np.float64 if a.dtype == np.float32 else np.complex128
        return np.asarray(np.sum(a, axis, wide, keepdims=keepdims)).astype(a.dtype)
    return np.sum(a, axis, dtype, keepdims=keepdims)


def _mean(a, axis=None, dtype=None, keepdims=False):
    n = a.size if axis is None else np.prod([a.shape[i] for i in np.atleast_1d(axis)])
    total = _sum(a, axis, dtype, keepdims)
    return np.asarray(total / total.dtype.type(n) if total.dtype.kind in "fc" else total / n)


def _reduction(function, launches=1):
    def reduce(x, axis=None, dtype=None, out=None, keepdims=False):
        if isinstance(x, Fused):
            return fused_reduction(function, x, axis)
        keywords = {} if dtype is None else {"dtype": dtype}
        if out is not None:
            change(lambda o, a: o.__setitem__(..., function(a, axis)), out, _only(x))
            return out
        return compute(
            lambda a: np.asarray(function(a, axis, keepdims=keepdims, **keywords)),
            _only(x),
            launches=launches,
        )

    return reduce


sum, mean = _reduction(_sum), _reduction(_mean)
max, min = _reduction(np.max), _reduction(np.min)
any, all = _reduction(np.any), _reduction(np.all)
var, std = _reduction(np.var, 3), _reduction(np.std, 4)
argmax, argmin = _reduction(np.argmax), _reduction(np.argmin)


def cumsum(x, axis=None, dtype=None, out=None):
    return compute(lambda a: np.cumsum(a, axis, dtype), _only(x))


# Sorting and searching.


def sort(x, axis=-1, kind=None):
    return compute(lambda a: np.sort(a, axis, kind="stable"), _only(x))


def argsort(x, axis=-1, kind=None):
    return compute(lambda a: np.argsort(a, axis, kind="stable"), _only(x), launches=2)


def lexsort(keys):
    if not isinstance(keys, ndarray):
        raise TypeError("lexsort takes one array whose rows are the keys")
    return compute(np.lexsort, keys, launches=2)


def partition(x, kth, axis=-1):
    return compute(lambda a: np.partition(a, kth, axis), _only(x))


def argpartition(x, kth, axis=-1):
    return compute(lambda a: np.argpartition(a, kth, axis), _only(x), launches=2)


def searchsorted(x, values, side="left"):
    return compute(lambda a, v: np.searchsorted(a, v, side), _only(x), accept(values))


def nonzero(x):
    synchronise("nonzero, whose number of entries is not known")
    return compute(np.nonzero, _only(x), launches=3)


def flatnonzero(x):
    return nonzero(x.ravel())[0]


def unique(x, return_index=False, return_inverse=False, return_counts=False):
    synchronise("unique, whose number of entries is not known")
    return compute(
        lambda a: np.unique(a, return_index, return_inverse, return_counts), _only(x), launches=5
    )


def bincount(x, weights=None, minlength=None):
    synchronise("bincount, which asks for the largest number")
    operands = [_only(x)] + ([] if weights is None else [_only(weights)])
    return compute(lambda *a: np.bincount(*a, minlength=minlength or 0), *operands, launches=2)


def result_type(*args):
    return np.result_type(*[raw(x) for x in args])


# Products.


def matmul(a, b, out=None):
    _refuse_blas()
    a, b = _only(a), _only(b)
    if out is None:
        return compute(np.matmul, a, b)
    change(lambda o, x, y: np.matmul(x, y, out=o), _only(out), a, b)
    return out


def _refuse_blas():
    if capture.recording() is not None:
        capture.recording().invalid = "cuBLAS"
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )


def _methods():
    """The same as methods of the array."""

    def method(function):
        return lambda self, *args, **kwargs: function(self, *args, **kwargs)

    for name in (
        "sum mean max min any all var std argmax argmin cumsum repeat round searchsorted argsort"
    ).split():
        setattr(ndarray, name, method(globals()[name]))

    def sort_in_place(self, axis=-1, kind=None):
        change(lambda a: a.sort(axis, kind="stable"), self)

    ndarray.sort = sort_in_place
    ndarray.conj = ndarray.conjugate = lambda self: compute(np.conj, self)
    ndarray.__matmul__ = matmul
    ndarray.__rmatmul__ = lambda self, other: matmul(other, self)
    ndarray.__divmod__ = lambda self, other: __import__("cupy").divmod(self, other)


_methods()
__all__ = [name for name, value in globals().items() if name[0] != "_" and callable(value)]
