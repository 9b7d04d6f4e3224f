"""A stand-in for CuPy: as strict, as far as tinyembed uses it, and without a GPU.

    PYTHONPATH=tests/standin python -m tinyembed.train --device gpu

An array of it refuses whatever CuPy's refuses: to meet NumPy's arrays, to become one without being
asked, to give several values to one place. It counts what would be slow on a GPU: kernels that are
launched and their blocks, transfers, waits. Streams record graphs and refuse what cannot be
recorded; pools run out of memory, and keep what is not given back. NumPy does the computing, but
sums round as a GPU's do. See `cupy.standin` for what tests ask of it.
"""

from types import SimpleNamespace as _SimpleNamespace

import numpy as _numpy

from cupy import _blas, _functions, _methods, _reductions, _sorting, cuda, linalg, standin  # noqa: F401
from cupy._array import ndarray  # noqa: F401
from cupy._kernels import ElementwiseKernel  # noqa: F401
from cupy._ufuncs import UFUNCS as _UFUNCS
from cupy._ufuncs import fuse, ufunc  # noqa: F401

globals().update(_UFUNCS)
for _module in (_functions, _reductions, _sorting):
    for _name, _value in vars(_module).items():
        if _name[0] != "_" and getattr(_value, "__module__", None) == _module.__name__:
            globals()[_name] = _value
__version__ = standin.version

for _name in (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
    "complex128 generic dtype newaxis inf nan pi e"
).split():
    globals()[_name] = getattr(_numpy, _name)


_compute_types = {}


_core = _SimpleNamespace(  # a module of CuPy's
    _routines_linalg=_SimpleNamespace(COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7),
    set_compute_type=lambda dtype, compute_type: _compute_types.update(
        {_numpy.dtype(dtype): compute_type}
    ),
    get_compute_type=lambda dtype: _compute_types.get(_numpy.dtype(dtype), 1),
)
_blas.install()
_methods.install()


def get_default_memory_pool():
    from cupy.cuda.pool import default

    return default


def get_default_pinned_memory_pool():
    from cupy.cuda.pool import pinned

    return pinned
