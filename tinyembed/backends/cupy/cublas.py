"""Matrix products by NVIDIA's cuBLAS, called without CuPy's help.

CuPy's own wrapper refuses to run while a stream records a graph; the library does not, as long as
it need not ask for memory: so each stream gets a handle with a workspace of its own.

The library stores matrices by columns, we by rows. What it takes for a matrix is our transpose;
so for C = A B it is asked for C^T = B^T A^T: the operands change places, and nothing is moved.
"""

import contextlib
import ctypes
import glob
import importlib
import os
import site
from collections import namedtuple

WORKSPACE = 1 << 25  # bytes: 32 MB, what NVIDIA recommends for Hopper; earlier GPUs need less
PLAIN, TRANSPOSED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
FLOAT32, TF32 = 0, 3  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH
OUT_OF_MEMORY = 3  # CUBLAS_STATUS_ALLOC_FAILED


class Matrix(namedtuple("Matrix", "address shape strides")):
    """Where a matrix, or several of one shape, lies in memory.

    address: of the first number, in bytes; shape: (rows, columns) or (count, rows, columns);
    strides: as many, in numbers, not bytes.
    """

    @classmethod
    def of(cls, x):
        """Of an array on the GPU, with two or three axes."""
        return cls(x.data.ptr, x.shape, tuple(s // x.itemsize for s in x.strides))


# The arguments of one `gemm` call, named as in the library's manual.
Product = namedtuple(
    "Product", "transa transb m n k a lda stride_a b ldb stride_b c ldc stride_c count"
)


def product(a, b, c):
    """How to ask the library for c = a b. a, b, c: `Matrix`. Returns a `Product`.

    a or b may be the same for a whole stack of c. Returns None where a matrix lies in memory in a
    way that the library does not know: with gaps in both directions, say.
    """
    (n, k), m = a.shape[-2:], b.shape[-1]
    if b.shape[-2] != k or c.shape[-2:] != (n, m) or min(m, n, k) == 0:
        return None
    count = c.shape[0] if len(c.shape) == 3 else 1
    if count == 0 or any(len(x.shape) == 3 and x.shape[0] != count for x in (a, b)):
        return None
    if len(c.shape) == 2 and (len(a.shape) == 3 or len(b.shape) == 3):
        return None
    ways = [_lies(x) for x in (a, b, c)]
    if None in ways or ways[2][0] != PLAIN:
        return None
    (trans_a, ld_a), (trans_b, ld_b), (_, ld_c) = ways
    return Product(
        transa=trans_b, transb=trans_a, m=m, n=n, k=k,
        a=b.address, lda=ld_b, stride_a=_apart(b),
        b=a.address, ldb=ld_a, stride_b=_apart(a),
        c=c.address, ldc=ld_c, stride_c=_apart(c), count=count,
    )  # fmt: skip


def _lies(matrix):
    """(PLAIN or TRANSPOSED, leading dimension) of a matrix, None where it is neither.

    Rows one after the other are the library's columns. The stride along an axis of length one
    says nothing, and may be anything.
    """
    (rows, columns), (down, right) = matrix.shape[-2:], matrix.strides[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return PLAIN, down if rows > 1 else columns
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return TRANSPOSED, right if columns > 1 else rows
    return None


def _apart(matrix):
    """How far the matrices of a stack are apart; 0 for one that serves all."""
    return matrix.strides[0] if len(matrix.shape) == 3 else 0


class Cublas:
    """A handle of the library that works on one stream.

    library: from `load`; stream: its address; workspace: the address of WORKSPACE bytes.
    """

    def __init__(self, library, stream, workspace):
        self.functions = library
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetStream_v2", self.handle, stream)
        # After the stream, which resets it.
        self._call("cublasSetWorkspace_v2", self.handle, workspace, WORKSPACE)
        self.math_mode = FLOAT32

    def use(self, math_mode):
        """FLOAT32 or TF32: how products of float32 are computed from now on."""
        if math_mode != self.math_mode:
            self._call("cublasSetMathMode", self.handle, math_mode)
            self.math_mode = math_mode

    def multiply(self, letter, p, add):
        """Carry out a `Product`. letter: S for float32, D for float64; add: to what c holds."""
        number = ctypes.c_float if letter == "S" else ctypes.c_double
        one, beta = ctypes.byref(number(1)), ctypes.byref(number(1 if add else 0))
        if p.count == 1:
            self._call(
                f"cublas{letter}gemm_v2", self.handle, p.transa, p.transb, p.m, p.n, p.k, one,
                p.a, p.lda, p.b, p.ldb, beta, p.c, p.ldc,
            )  # fmt: skip
        else:
            self._call(
                f"cublas{letter}gemmStridedBatched", self.handle, p.transa, p.transb, p.m, p.n, p.k,
                one, p.a, p.lda, p.stride_a, p.b, p.ldb, p.stride_b, beta, p.c, p.ldc, p.stride_c,
                p.count,
            )  # fmt: skip

    def _call(self, name, *arguments):
        status = getattr(self.functions, name)(*arguments)
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"{name}: no memory")
        if status:
            raise RuntimeError(f"{name}: cuBLAS says {status}")


_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
_SIZES = (_INT,) * 5  # transa, transb, m, n, k
_ARGUMENTS = {
    "cublasCreate_v2": (_POINTER,),
    "cublasSetStream_v2": (_POINTER, _POINTER),
    "cublasSetWorkspace_v2": (_POINTER, _POINTER, ctypes.c_size_t),
    "cublasSetMathMode": (_POINTER, _INT),
}
for _letter in "SD":
    _ARGUMENTS[f"cublas{_letter}gemm_v2"] = (
        _POINTER, *_SIZES, _POINTER, _POINTER, _INT, _POINTER, _INT, _POINTER, _POINTER, _INT,
    )  # fmt: skip
    _ARGUMENTS[f"cublas{_letter}gemmStridedBatched"] = (
        _POINTER, *_SIZES, _POINTER, _POINTER, _INT, _LONG, _POINTER, _INT, _LONG, _POINTER,
        _POINTER, _INT, _LONG, _INT,
    )  # fmt: skip


def load(version):
    """The library as ctypes sees it, or None where it cannot be found.

    version: of CUDA, 13 say. CuPy loads its own first, so that the name alone finds the same one.
    Where that fails, the places are searched in which CUDA and pip put it.
    """
    with contextlib.suppress(ImportError, OSError, RuntimeError):  # where CuPy does not find it
        importlib.import_module("cupy_backends.cuda.libs.cublas")
    name = f"libcublas.so.{version}"
    for place in (name, *_places(name)):
        try:
            library = ctypes.CDLL(place)
        except OSError:
            continue
        for function, kinds in _ARGUMENTS.items():
            getattr(library, function).argtypes = kinds
            getattr(library, function).restype = ctypes.c_int
        return library
    return None


def _places(name):
    """Files of that name in the folder that CUDA_PATH names, and in those of pip."""
    cuda = filter(None, map(os.environ.get, ("CUDA_PATH", "CUDA_HOME")))
    folders = [os.path.join(glob.escape(folder), "lib64") for folder in cuda]
    for installed in (*site.getsitepackages(), site.getusersitepackages()):
        folders.append(os.path.join(glob.escape(installed), "nvidia", "*", "lib"))
    return [path for folder in folders for path in glob.glob(os.path.join(folder, name))]
