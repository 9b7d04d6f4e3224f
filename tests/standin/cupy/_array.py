"""The array: a NumPy array behind a wall that only the stand-in's functions can pass."""

import operator

import numpy as np

from cupy import _indexing, standin
from cupy._launches import elementwise
from cupy._work import accept, buffer_of, change, compute
from cupy.cuda import capture
from cupy.standin import synchronise


class ndarray:
    """An array on the device."""

    __slots__ = ("__weakref__", "_a", "_buffer")
    __array_ufunc__ = None  # so that NumPy's operators leave the answer to ours, which refuse
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        dtype = np.dtype(dtype)
        if dtype.kind not in "biufc":
            raise TypeError(f"no array of {dtype} on the device")
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._buffer = buffer_of(size)
        self._a = np.empty(shape, dtype, order)
        _fill_with_rubbish(self._a)
        if capture.recording() is not None:
            capture.recording().memory.append(self._a)

    @classmethod
    def _view(cls, a, buffer):
        view = cls.__new__(cls)
        view._a, view._buffer = a, buffer
        return view

    # What the host may know without asking the device.

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a))
    data = property(lambda self: Pointer(self))
    device = property(lambda self: 0)

    def __len__(self):
        return len(self._a)

    # What has to come from the device.

    def get(self, stream=None, order="C", out=None, blocking=True):
        synchronise("a transfer to the host")
        standin.count("to_host")
        return self._a.copy()

    def item(self, *place):
        synchronise("item()")
        standin.count("to_host")
        return self._a.item(*place)

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        return operator.index(self.item())

    def __bool__(self):
        return bool(self.item())

    def __complex__(self):
        return complex(self.item())

    def __repr__(self):
        return repr(self.get())

    def __format__(self, form):
        return format(self.item() if not self.ndim else self.get(), form)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} of an array on the device")

    # Views.

    def reshape(self, *shape, order="C"):
        shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        new = self._a.reshape(shape)
        if np.shares_memory(new, self._a) or not self.size:
            return self._view(new, self._buffer)
        return compute(lambda a: a.reshape(shape), self)

    def ravel(self, order="C"):
        return self.reshape(-1)

    def flatten(self, order="C"):
        return self.copy().reshape(-1)

    def view(self, dtype=None):
        return self._view(self._a.view() if dtype is None else self._a.view(dtype), self._buffer)

    def transpose(self, *axes):
        return self._view(self._a.transpose(*axes), self._buffer)

    def swapaxes(self, axis1, axis2):
        return self._view(self._a.swapaxes(axis1, axis2), self._buffer)

    def squeeze(self, axis=None):
        return self._view(self._a.squeeze(axis), self._buffer)

    def diagonal(self, offset=0, axis1=0, axis2=1):
        return self._view(self._a.diagonal(offset, axis1, axis2), self._buffer)

    T = property(lambda self: self.transpose())

    @property
    def real(self):
        return self._view(self._a.real, self._buffer)

    @property
    def imag(self):
        if self.dtype.kind == "c":
            return self._view(self._a.imag, self._buffer)
        return compute(lambda a: np.zeros_like(a), self)

    def __getitem__(self, index):
        index, arrays = _indexing.split(index, ndarray)
        if not arrays:
            return self._place(index(()))
        if any(a.dtype == bool for a in arrays):
            synchronise("an index by a mask, whose number of entries is not known")
        return compute(lambda a, *given: a[index(given)], self, *arrays)

    def _place(self, index):
        if not any(part is Ellipsis for part in index):
            index = (*index, Ellipsis)  # a view, also of one number
        return self._view(self._a[index], self._buffer)

    def __setitem__(self, index, value):
        value = accept(value)
        index, arrays = _indexing.split(index, ndarray)
        if not arrays:
            change(lambda a, v: a.__setitem__(..., v), self._place(index(())), value)
            return
        if isinstance(value, ndarray) and value.ndim and capture.recording() is None:
            _indexing.check_different(self._a, index([a._a for a in arrays]))
        change(
            lambda a, v, *given: a.__setitem__(index(given), v),
            self, value, *arrays,
            started=lambda _, given: [elementwise("scatter", [self._a[index(given[1:])]])],
        )  # fmt: skip

    # Work.

    def copy(self, order="C"):
        return compute(lambda a: a.copy(order), self)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return compute(lambda a: a.astype(dtype), self)

    def fill(self, value):
        change(lambda a, v: a.fill(v), self, accept(value))

    def set(self, arr, stream=None):
        standin.check_allowed("a transfer to the device")
        standin.count("to_device")
        self._a[...] = arr


class Flags:
    """How an array lies in memory."""

    def __init__(self, a):
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous

    def __getitem__(self, name):
        return getattr(self, name.lower())


class Pointer:
    """Where an array lies in memory; holds that memory."""

    def __init__(self, array):
        self.ptr = array._a.__array_interface__["data"][0]
        self.mem = array._buffer


def _fill_with_rubbish(a):
    """What new memory holds must not matter."""
    kind = a.dtype.kind
    a[...] = {"f": np.nan, "c": np.nan, "b": True}.get(kind, 99)
