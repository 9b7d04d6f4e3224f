"""Making arrays, moving and multiplying them."""

import numpy as np

from cupy import standin
from cupy._array import ndarray
from cupy._launches import elementwise
from cupy._work import accept, change, compute, raw, wrap
from cupy.cuda import capture

# Making arrays.


def array(obj, dtype=None, copy=True):
    """A new array on the device; from the host, that is one transfer."""
    if isinstance(obj, ndarray):
        return compute(lambda a: np.array(a, dtype, copy=True), obj)
    if isinstance(obj, (list, tuple)) and _holds_arrays(obj):
        raise TypeError("a list of arrays of the device: use stack or concatenate")
    host = np.array(obj, dtype)
    if host.dtype.kind not in "biufc":
        raise TypeError(f"Unsupported dtype {host.dtype}")
    standin.check_allowed("a transfer to the device")
    standin.count("to_device")
    return wrap(host)


def asarray(a, dtype=None, order=None, *, blocking=False):
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == np.dtype(dtype) else a.astype(dtype)
    return array(a, dtype)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def _holds_arrays(x):
    if isinstance(x, (list, tuple)):
        return any(_holds_arrays(y) for y in x)
    return isinstance(x, ndarray)


def empty(shape, dtype=float, order="C"):
    return ndarray(_host_shape(shape), dtype)


def zeros(shape, dtype=float, order="C"):
    shape = _host_shape(shape)
    return compute(lambda: np.zeros(shape, dtype))


def ones(shape, dtype=float):
    shape = _host_shape(shape)
    return compute(lambda: np.ones(shape, dtype))


def full(shape, fill_value, dtype=None):
    shape = _host_shape(shape)
    return compute(lambda v: np.full(shape, v, dtype), accept(fill_value))


def empty_like(prototype, dtype=None):
    return empty(prototype.shape, dtype or prototype.dtype)


def zeros_like(a, dtype=None):
    return zeros(a.shape, dtype or a.dtype)


def ones_like(a, dtype=None):
    return ones(a.shape, dtype or a.dtype)


def arange(*args, dtype=None):
    if any(isinstance(x, ndarray) for x in args):
        raise TypeError("arange of an array on the device")
    return compute(lambda: np.arange(*args, dtype=dtype))


def _host_shape(shape):
    if isinstance(shape, ndarray) or _holds_arrays(shape):
        raise TypeError("a shape is known to the host")
    return shape


# Views and copies.


def broadcast_to(array, shape):
    return array._view(np.broadcast_to(_only(array)._a, shape), array._buffer)


def atleast_2d(x):
    return x._view(np.atleast_2d(_only(x)._a), x._buffer)


def ascontiguousarray(a, dtype=None):
    a = asarray(_only(a), dtype)
    return a if a.flags.c_contiguous else a.copy()


def concatenate(tup, axis=0):
    return _join(np.concatenate, tup, axis)


def stack(tup, axis=0):
    return _join(np.stack, tup, axis)


def _join(function, arrays, axis):
    """One copy each. More than eight small ones take one kernel, whose addresses the host sends."""
    arrays = [_only(a) for a in arrays]
    small = sum(a.nbytes for a in arrays) < len(arrays) << 21
    if len(arrays) > 8 and small and len({a.dtype for a in arrays}) == 1:
        standin.check_allowed(f"{function.__name__} of {len(arrays)} arrays, a transfer")
        standin.count("to_device")
        return compute(lambda *a: function(a, axis), *arrays)
    return compute(
        lambda *a: function(a, axis), *arrays,
        started=lambda _, given: [elementwise(function.__name__, [a]) for a in given],
    )  # fmt: skip


def repeat(a, repeats, axis=None):
    if not isinstance(repeats, (int, np.integer)):
        raise TypeError("repeat needs a number here: how often each is repeated decides the size")
    return compute(lambda a: np.repeat(a, repeats, axis), _only(a))


def copyto(dst, src, casting="same_kind", where=True):
    operands = [accept(src)] + ([] if where is True else [_only(where)])

    def write(a, v, mask=True):
        np.copyto(a, v, casting=casting, where=mask)

    change(write, _only(dst), *operands)


def round(a, decimals=0):
    return compute(lambda a: np.round(a, decimals), _only(a))


def _only(x):
    """An array of the device; a number will not do, and a NumPy array least of all."""
    if isinstance(x, ndarray):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


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
