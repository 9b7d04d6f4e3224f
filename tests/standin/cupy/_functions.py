"""Everything that is not elementwise: making, moving, adding up, sorting, multiplying."""

import builtins

import numpy as np

from cupy import standin
from cupy._array import SCALARS, accept, change, compute, ndarray, raw, wrap
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


def full_like(x, value, dtype=None):
    return full(x.shape, value, dtype or x.dtype)


def arange(*args, dtype=None):
    if builtins.any(isinstance(x, ndarray) for x in args):
        raise TypeError("arange of an array on the device")
    return compute(lambda: np.arange(*args, dtype=dtype))


def linspace(start, stop, num=50):
    return compute(lambda: np.linspace(start, stop, num))


def eye(n, m=None, dtype=float):
    return compute(lambda: np.eye(n, m, dtype=dtype))


def _host_shape(shape):
    if isinstance(shape, ndarray) or _holds_arrays(shape):
        raise TypeError("a shape is known to the host")
    return shape


# Views and copies.


def reshape(x, shape):
    return x.reshape(shape)


def ravel(x):
    return x.ravel()


def transpose(x, axes=None):
    return x.transpose(axes)


def swapaxes(x, a, b):
    return x.swapaxes(a, b)


def squeeze(x, axis=None):
    return x.squeeze(axis)


def expand_dims(x, axis):
    return x._view(np.expand_dims(x._a, axis), x._buffer)


def broadcast_to(x, shape):
    return x._view(np.broadcast_to(_only(x)._a, shape), x._buffer)


def atleast_2d(x):
    return x._view(np.atleast_2d(_only(x)._a), x._buffer)


def diagonal(x, offset=0, axis1=0, axis2=1):
    return x.diagonal(offset, axis1, axis2)


def flip(x, axis=None):
    return x._view(np.flip(x._a, axis), x._buffer)


def ascontiguousarray(x, dtype=None):
    x = asarray(_only(x), dtype)
    return x if x.flags.c_contiguous else x.copy()


def copy(x):
    return x.copy()


def concatenate(arrays, axis=0):
    arrays = [_only(a) for a in arrays]
    return compute(lambda *a: np.concatenate(a, axis), *arrays, launches=len(arrays))


def stack(arrays, axis=0):
    arrays = [_only(a) for a in arrays]
    return compute(lambda *a: np.stack(a, axis), *arrays, launches=len(arrays))


def vstack(arrays):
    return concatenate([atleast_2d(a) for a in arrays])


def column_stack(arrays):
    arrays = [_only(a) for a in arrays]
    return compute(lambda *a: np.column_stack(a), *arrays, launches=len(arrays))


def split(x, sections, axis=0):
    parts = np.split(x._a, sections, axis)
    return [x._view(part, x._buffer) for part in parts]


def array_split(x, sections, axis=0):
    return [x._view(part, x._buffer) for part in np.array_split(x._a, sections, axis)]


def repeat(x, repeats, axis=None):
    if not isinstance(repeats, (int, np.integer)):
        raise TypeError("repeat needs a number here: how often each is repeated decides the size")
    return compute(lambda a: np.repeat(a, repeats, axis), _only(x))


def tile(x, reps):
    return compute(lambda a: np.tile(a, reps), _only(x))


def pad(x, width, mode="constant"):
    return compute(lambda a: np.pad(a, width, mode), _only(x), launches=2)


def take(x, index, axis=None, out=None):
    if out is not None:
        change(lambda o, a, i: np.take(a, i, axis, out=o), out, _only(x), _only(index))
        return out
    return compute(lambda a, i: np.take(a, i, axis), _only(x), accept(index))


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


def clip(x, low=None, high=None):
    return compute(np.clip, _only(x), low, high)


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
prod, max, min = _reduction(np.prod), _reduction(np.max), _reduction(np.min)
amax, amin = max, min
any, all = _reduction(np.any), _reduction(np.all)
var, std = _reduction(np.var, 3), _reduction(np.std, 4)
argmax, argmin = _reduction(np.argmax), _reduction(np.argmin)
count_nonzero = _reduction(np.count_nonzero)


def cumsum(x, axis=None, dtype=None, out=None):
    return compute(lambda a: np.cumsum(a, axis, dtype), _only(x))


def diff(x, n=1, axis=-1, prepend=None):
    return compute(lambda a: np.diff(a, n, axis), _only(x))


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


def isin(x, others):
    return compute(np.isin, _only(x), _only(others), launches=3)


def allclose(a, b, rtol=1e-5, atol=1e-8):
    return compute(lambda x, y: np.asarray(np.allclose(x, y, rtol, atol)), a, b, launches=2)


def array_equal(a, b):
    return compute(lambda x, y: np.asarray(np.array_equal(x, y)), _only(a), _only(b), launches=2)


def result_type(*args):
    return np.result_type(*[raw(x) for x in args])


def shape(x):
    return x.shape


def ndim(x):
    return x.ndim if isinstance(x, ndarray) else np.ndim(x)


# Products.


def matmul(a, b, out=None):
    _refuse_blas()
    a, b = _only(a), _only(b)
    if out is None:
        return compute(np.matmul, a, b)
    change(lambda o, x, y: np.matmul(x, y, out=o), _only(out), a, b)
    return out


def dot(a, b, out=None):
    _refuse_blas()
    if out is None:
        return compute(lambda x, y: np.asarray(np.dot(x, y)), _only(a), _only(b))
    change(lambda o, x, y: o.__setitem__(..., np.dot(x, y)), out, _only(a), _only(b))
    return out


def outer(a, b):
    return compute(np.outer, _only(a), _only(b))


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
        "sum mean prod max min any all var std argmax argmin cumsum take repeat clip round "
        "searchsorted partition argsort argpartition nonzero"
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
NUMBERS = SCALARS
