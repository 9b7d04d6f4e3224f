"""A stand-in for CuPy: as strict, as far as tinyembed uses it, and without a GPU.

    PYTHONPATH=tests/standin python -m tinyembed.train --device gpu

An array of it refuses whatever CuPy's refuses: to meet NumPy's arrays, to become one without being
asked, to give several values to one place. It counts what would be slow on a GPU: kernels that are
launched, transfers, waits. Streams record graphs, pools run out of memory. What it computes, NumPy
computes. See `cupy.standin` for what tests ask of it.
"""

import numpy as _numpy

from cupy import cuda, linalg, standin
from cupy._array import ndarray
from cupy._blas import install as _install
from cupy._functions import (
    all, allclose, amax, amin, any, arange, argmax, argmin, argpartition, argsort, array,
    array_equal, array_split, asarray, ascontiguousarray, asnumpy, atleast_2d, bincount,
    broadcast_to, clip, column_stack, concatenate, copy, copyto, count_nonzero, cumsum, diagonal,
    diff, dot, empty, empty_like, expand_dims, eye, flatnonzero, flip, full, full_like, isin,
    lexsort, linspace, matmul, max, mean, min, ndim, nonzero, ones, ones_like, outer, pad,
    partition, prod, ravel, repeat, reshape, result_type, round, searchsorted, shape, sort, split,
    squeeze, stack, std, sum, swapaxes, take, tile, transpose, unique, var, vstack, where, zeros,
    zeros_like,
)  # fmt: skip
from cupy._kernels import ElementwiseKernel
from cupy._ufuncs import UFUNCS as _UFUNCS
from cupy._ufuncs import fuse, ufunc

globals().update(_UFUNCS)
__version__ = "14.0.0+standin"

for _name in (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
    "complex128 generic dtype newaxis inf nan pi e"
).split():
    globals()[_name] = getattr(_numpy, _name)



class _core:  # CuPy's own name
    class _routines_linalg:
        COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7

    compute_types = {}

    @classmethod
    def set_compute_type(cls, dtype, kind):
        cls.compute_types[_numpy.dtype(dtype)] = kind

    @classmethod
    def get_compute_type(cls, dtype):
        return cls.compute_types.get(_numpy.dtype(dtype), 1)


_install()


def get_array_module(*args):
    """This module if any argument is an array of it, else numpy."""
    import sys

    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in args) else _numpy  # noqa


def get_default_memory_pool():
    return cuda.default


def get_default_pinned_memory_pool():
    from cupy.cuda.pool import pinned

    return pinned
