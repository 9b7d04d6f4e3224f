"""The array: a NumPy array behind a wall that only the stand-in's functions can pass.

All work goes through two functions. `compute` makes a new array, `change` writes into one; both
count, and both hand the work to a stream that is recording.
"""

import operator

import numpy as np

from cupy import standin
from cupy.cuda import capture
from cupy.standin import Buffer, synchronise

SCALARS = (int, float, complex, bool, np.generic)


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
        self._buffer = _buffer(size)
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

    def swapaxes(self, a, b):
        return self._view(self._a.swapaxes(a, b), self._buffer)

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
        index, arrays = _index(index)
        if not arrays:
            place = index(())
            if not any(p is Ellipsis for p in place):
                place = (*place, Ellipsis)  # a view, also of one number
            return self._view(self._a[place], self._buffer)
        if any(a.dtype == bool for a in arrays):
            synchronise("an index by a mask, whose number of entries is not known")
        return compute(lambda a, *given: a[index(given)], self, *arrays)

    def __setitem__(self, index, value):
        value = accept(value)
        index, arrays = _index(index)
        if not arrays:
            change(lambda a, v: a.__setitem__(index(()), v), self, value)
            return
        if isinstance(value, ndarray) and value.ndim and capture.recording() is None:
            _check_different(self._a, index([a._a for a in arrays]))
        change(lambda a, v, *given: a.__setitem__(index(given), v), self, value, *arrays)

    # Work.

    def copy(self, order="C"):
        return compute(lambda a: a.copy(order), self)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return compute(lambda a: a.astype(dtype), self)

    def fill(self, value):
        change(lambda a, v: a.fill(v), self, accept(value))

    def set(self, host, stream=None):
        standin.check_allowed("a transfer to the device")
        standin.count("to_device")
        self._a[...] = host


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


def _buffer(nbytes):
    buffer = Buffer(nbytes, capture.in_use())
    recording = capture.recording()
    if recording is not None:
        recording.bear(buffer)
    return buffer


def _fill_with_rubbish(a):
    """What new memory holds must not matter."""
    kind = a.dtype.kind
    a[...] = {"f": np.nan, "c": np.nan, "b": True}.get(kind, 99)


def accept(x, what="operand"):
    """An operand: an array of the device, or a number. Everything else raises TypeError."""
    if isinstance(x, (ndarray, *SCALARS)):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def raw(x):
    return x._a if isinstance(x, ndarray) else x


def wrap(a):
    """A new array with the values of a NumPy array, in memory of the device's pool."""
    a = np.array(a, order="K", copy=True)
    return ndarray._view(a, _buffer(a.nbytes))


def _own(a, given):
    """A result as a new array; copied where it is a view of something that was given."""
    if isinstance(a, np.ndarray) and a.base is None and all(a is not x for x in given):
        return ndarray._view(a, _buffer(a.nbytes))
    return wrap(a)


def compute(function, *operands, launches=1):
    """A new array, function(operands) of their NumPy arrays; or a tuple of new arrays."""
    given = [raw(x) for x in operands]
    with _quiet:
        result = function(*given)
    many = isinstance(result, tuple)
    made = [_own(a, given) for a in (result if many else (result,))]
    if capture.recording() is None:
        standin.count("launches", launches)
        return tuple(made) if many else made[0]
    outputs = [new._a for new in made]

    def work():
        with _quiet:
            again = function(*given)
        for out, a in zip(outputs, again if many else (again,), strict=True):
            out[...] = a

    _record(work, [*made, *operands])
    return tuple(made) if many else made[0]


def change(function, target, *operands, launches=1):
    """function(target, operands) writes into the target, an array, or several in a list."""
    targets = target if isinstance(target, list) else [target]
    written = [t._a for t in targets]
    first = written if isinstance(target, list) else written[0]
    given = [raw(x) for x in operands]

    def work():
        with _quiet:
            function(first, *given)

    if capture.recording() is None:
        work()
        standin.count("launches", launches)
    else:
        _record(work, [*targets, *operands])


def _record(work, operands):
    capture.recording().add(work, [x._buffer for x in operands if isinstance(x, ndarray)])


class _Quiet:
    """A GPU warns of nothing. (np.errstate anew for every operation takes as long as one.)"""

    def __init__(self):
        self.before = []

    def __enter__(self):
        self.before.append(np.seterr(all="ignore"))

    def __exit__(self, *error):
        np.seterr(**self.before.pop())


_quiet = _Quiet()


def _index(index):
    """An index as a function of its arrays' NumPy arrays, and those arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [p for p in parts if isinstance(p, ndarray)]
    for part in parts:
        if not (part is None or part is Ellipsis or isinstance(part, (slice, ndarray, int))):
            if isinstance(part, np.integer):
                continue
            raise TypeError(f"an index of {type(part)} on an array of the device")
    kinds = {a.dtype.kind for a in arrays}
    if kinds - set("biu"):
        raise IndexError("arrays used as indices must be of integer or boolean type")

    parts = tuple(_Hole if isinstance(p, ndarray) else p for p in parts)

    def filled(given):
        given = iter(given)
        return tuple(next(given) if p is _Hole else p for p in parts)

    return filled, arrays


class _Hole:
    """Stands where an index has an array, so that no record holds on to that array."""


def _check_different(a, index):
    """CuPy leaves undefined which of several values for one place stays there."""
    places = np.arange(a.size).reshape(a.shape)[index]
    if len(np.unique(places)) < places.size:
        raise ValueError("an assignment gives one place several values; which stays is undefined")
