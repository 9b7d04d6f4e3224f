"""A stand-in for NVIDIA's cuBLAS: column-major products of what lies at some addresses.

tinyembed calls the library by ctypes. Here `ctypes.CDLL("libcublas.so.13")` gives an object whose
functions read the same arguments as the library's, and nothing else: if a size, an address or a
leading dimension is wrong, so is the product.
"""

import ctypes

import numpy as np

from cupy import standin
from cupy._launches import Launch
from cupy._quiet import quiet
from cupy.cuda import capture

NAME = "libcublas.so."
SUCCESS, INVALID_VALUE, MAPPING_ERROR = 0, 7, 11
N, T = 0, 1
MATH_MODES = (0, 1, 2, 3)  # default, tensor op (old), pedantic, TF32


def install():
    """From now on ctypes finds this library."""
    library = Cublas()

    class CDLL(ctypes.CDLL):
        def __new__(cls, name=None, *args, **kwargs):
            if isinstance(name, str) and name.rpartition("/")[2].startswith(NAME):
                return library
            return super().__new__(cls)

    ctypes.CDLL = CDLL


class Handle:
    def __init__(self):
        self.stream = 0
        self.workspace = None
        self.math_mode = 0


class Cublas:
    """The functions of the library, each an object with `argtypes` and `restype`."""

    def __init__(self):
        self.handles = {}
        for name in dir(type(self)):
            if name.startswith("cublas"):
                setattr(self, name, Function(getattr(self, name)))

    def cublasCreate_v2(self, handle):
        number = len(self.handles) + 1
        self.handles[number] = Handle()
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = number
        return SUCCESS

    def cublasSetStream_v2(self, handle, stream):
        known = self.handles[_value(handle)]
        known.stream = _value(stream) or 0
        known.workspace = None  # as in the library: a new stream, the library's own workspace
        return SUCCESS

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        if _value(workspace) is None or _value(workspace) % 256:
            return INVALID_VALUE
        self.handles[_value(handle)].workspace = _value(size)
        return SUCCESS

    def cublasSetMathMode(self, handle, mode):
        if _value(mode) not in MATH_MODES:
            return INVALID_VALUE
        self.handles[_value(handle)].math_mode = _value(mode)
        return SUCCESS

    def cublasSgemm_v2(self, *arguments):
        return self._gemm(np.float32, *arguments)

    def cublasDgemm_v2(self, *arguments):
        return self._gemm(np.float64, *arguments)

    def cublasSgemmStridedBatched(self, *arguments):
        return self._gemm_batched(np.float32, *arguments)

    def cublasDgemmStridedBatched(self, *arguments):
        return self._gemm_batched(np.float64, *arguments)

    def _gemm(self, dtype, h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        return self._gemm_batched(
            dtype, h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1
        )

    def _gemm_batched(
        self, dtype, h, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count
    ):
        handle = self.handles[_value(h)]
        stream = capture.get_current_stream()
        if handle.stream != stream.ptr:
            return MAPPING_ERROR
        if capture.recording() is not None and not handle.workspace:
            capture.refuse("an allocation of cuBLAS, which has no workspace of its own")
        scalar = ctypes.c_float if dtype == np.float32 else ctypes.c_double
        alpha, beta = (ctypes.cast(x, ctypes.POINTER(scalar))[0] for x in (alpha, beta))
        m, n, k, lda, ldb, ldc, count, sa, sb, sc = map(
            _value, (m, n, k, lda, ldb, ldc, count, sa, sb, sc)
        )
        ta, tb, a, b, c = map(_value, (ta, tb, a, b, c))
        rows_a, rows_b = (k if ta else m), (n if tb else k)
        if lda < max(1, rows_a) or ldb < max(1, rows_b) or ldc < max(1, m) or min(m, n, k) < 0:
            return INVALID_VALUE
        # A column-major matrix is the transpose of a row-major one.
        a = _at(a, dtype, count, sa, (m if ta else k), rows_a, lda)
        b = _at(b, dtype, count, sb, (k if tb else n), rows_b, ldb)
        c = _at(c, dtype, count, sc, n, m, ldc)
        a = a.swapaxes(1, 2) if ta else a  # (count, k, m)
        b = b.swapaxes(1, 2) if tb else b  # (count, n, k)

        def work():
            with quiet:
                product = np.matmul(b, a) if count > 1 else np.matmul(b[0], a[0])[None]
                if alpha != 1:
                    product = product * dtype(alpha)
                if beta:
                    product = product + (c if beta == 1 else c * dtype(beta))
                c[...] = product

        standin.say([Launch("gemm", (count, m, n, k), None, 0)])
        if capture.recording() is None:
            work()
            standin.count("launches")
        else:
            capture.recording().add(work, [])
        return SUCCESS


class Function:
    def __init__(self, call):
        self.call, self.argtypes, self.restype = call, None, None

    def __call__(self, *arguments):
        if self.argtypes is not None:
            if len(arguments) != len(self.argtypes):
                raise TypeError(f"{len(arguments)} arguments, not {len(self.argtypes)}")
            for kind, x in zip(self.argtypes, arguments, strict=True):
                kind.from_param(x)  # raises where ctypes would
            arguments = [
                kind(x).value if isinstance(x, int) else x
                for kind, x in zip(self.argtypes, arguments, strict=True)
            ]
        return self.call(*arguments)


def _value(x):
    return x.value if hasattr(x, "value") else x


def _at(address, dtype, count, stride, rows, columns, leading):
    """The matrices at an address, (count, rows, columns), of rows that are `leading` apart."""
    size = np.dtype(dtype).itemsize
    last = (count - 1) * stride + (rows - 1) * leading + columns
    whole = (ctypes.c_char * (last * size)).from_address(address)
    flat = np.frombuffer(whole, dtype)
    return np.lib.stride_tricks.as_strided(
        flat, (count, rows, columns), (stride * size, leading * size, size), writeable=True
    )
