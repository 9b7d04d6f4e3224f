"""Functions that are methods of the array too."""

from cupy import _functions, _reductions, _sorting
from cupy._array import ndarray
from cupy._ufuncs import UFUNCS
from cupy._work import change
from cupy.cuda import capture

METHODS = {
    _reductions: "sum mean max min any all var std cumsum",
    _sorting: "searchsorted argsort",
    _functions: "repeat round",
}


def install():
    def sort_in_place(self, axis=-1, kind=None):
        capture.refuse("sort, which waits for the stream")
        change(lambda a: a.sort(axis, kind="stable"), self)

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):  # in another order
        return _reductions.argmax(self, axis, dtype, out, keepdims)

    def argmin(self, axis=None, out=None, dtype=None, keepdims=False):
        return _reductions.argmin(self, axis, dtype, out, keepdims)

    for module, names in METHODS.items():
        for name in names.split():
            setattr(ndarray, name, getattr(module, name))
    ndarray.sort, ndarray.argmax, ndarray.argmin = sort_in_place, argmax, argmin
    ndarray.conj = ndarray.conjugate = lambda self: UFUNCS["conjugate"](self)
    ndarray.__matmul__ = _functions.matmul
    ndarray.__rmatmul__ = lambda self, other: _functions.matmul(other, self)
    ndarray.__divmod__ = lambda self, other: UFUNCS["divmod"](self, other)
