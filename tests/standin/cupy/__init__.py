"""A stand-in for CuPy: as strict, as far as tinyembed uses it, and without a GPU.

    PYTHONPATH=tests/standin python -m tinyembed.train --device gpu

An array of it refuses whatever CuPy's refuses: to meet NumPy's arrays, to become one without being
asked, to give several values to one place. It counts what would be slow on a GPU: kernels that are
launched, transfers, waits. Streams record graphs, pools run out of memory. What it computes, NumPy
computes. See `cupy.standin` for what tests ask of it.
"""

import numpy as _numpy

from cupy import _blas, cuda, linalg, standin  # noqa: F401
from cupy._array import ndarray  # noqa: F401
from cupy._functions import *  # noqa: F403
from cupy._kernels import ElementwiseKernel  # noqa: F401
from cupy._ufuncs import UFUNCS as _UFUNCS
from cupy._ufuncs import fuse, ufunc  # noqa: F401

globals().update(_UFUNCS)
__version__ = "14.0.0+standin"

for _name in (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
    "complex128 generic dtype newaxis inf nan pi e"
).split():
    globals()[_name] = getattr(_numpy, _name)


_compute_types = {}


class _core:  # CuPy's own name
    class _routines_linalg:
        COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7

    @staticmethod
    def set_compute_type(dtype, kind):
        _compute_types[_numpy.dtype(dtype)] = kind

    @staticmethod
    def get_compute_type(dtype):
        return _compute_types.get(_numpy.dtype(dtype), 1)


_blas.install()


def get_default_memory_pool():
    return cuda.default


def get_default_pinned_memory_pool():
    from cupy.cuda.pool import pinned

    return pinned
