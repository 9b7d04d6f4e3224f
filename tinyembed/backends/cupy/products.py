"""Matrix products on a GPU by cuBLAS itself, where it takes such arrays; else by CuPy."""

import functools

import numpy as np

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy import cublas
from tinyembed.errors import InputError


def matmul(plain, a, b):
    made = _product(a, b, None, add=False)
    return plain(a, b) if made is None else made


def add_matmul(plain, total, a, b):
    if _product(a, b, total, add=True) is None:
        plain(total, a, b)


def _product(a, b, out, add):
    """a @ b, or None where CuPy has to compute it. add: to what `out` holds."""
    cupy = import_cupy()
    stacks = [x.shape[0] for x in (a, b) if x.ndim == 3]
    handle = _handle(cupy.cuda.get_current_stream().ptr)
    letter = {"f": "S", "d": "D"}.get(a.dtype.char)
    if not handle or not letter or a.dtype != b.dtype or {a.ndim, b.ndim} - {2, 3}:
        return None
    shape = (*stacks[:1], a.shape[-2], b.shape[-1])
    out = cupy.empty(shape, a.dtype) if out is None else out
    if out.dtype != a.dtype or out.shape != shape:
        return None
    product = cublas.product(*map(cublas.Matrix.of, (a, b, out)))
    if product is None:  # an operand lies in memory as the library cannot read it
        a, b = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)
        product = cublas.product(*map(cublas.Matrix.of, (a, b, out)))
    if product is None:
        return None
    handle.use(_math_mode)
    handle.multiply(letter, product, add)
    return out


_math_mode = cublas.FLOAT32


def use_tf32(on=True):
    """Products of float32 in TF32: several times as fast, with 10 bits of each number, not 23.

    Raises InputError on a GPU made before 2020, which has none.
    """
    global _math_mode
    cupy = import_cupy()
    capability = int(cupy.cuda.Device().compute_capability)
    if on and capability < 80:
        raise InputError(f"--tf32: this GPU has none (compute capability {capability / 10})")
    _math_mode = cublas.TF32 if on else cublas.FLOAT32
    # And for the products that stay with CuPy, what its variable CUPY_TF32 would set.
    modes = cupy._core._routines_linalg
    mode = modes.COMPUTE_TYPE_TF32 if on else modes.COMPUTE_TYPE_DEFAULT
    cupy._core.set_compute_type(np.float32, mode)


def in_tf32():
    """Whether products of float32 are computed in TF32."""
    return _math_mode == cublas.TF32


@functools.cache
def _handle(stream):
    """The handle of a stream, or None where the library is not found."""
    cuda = import_cupy().cuda
    library = _library(cuda.runtime.runtimeGetVersion() // 1000)
    if library is None:
        return None
    workspace = cuda.alloc(cublas.WORKSPACE)
    handle = cublas.Cublas(library, stream, workspace.ptr)
    handle.memory = workspace  # which must live as long
    return handle


_library = functools.cache(cublas.load)


VARIANTS = {"matmul": matmul, "add_matmul": add_matmul}
