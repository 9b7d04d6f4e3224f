"""NumPy or CuPy: the one place that knows where an array lives, and the only one to import cupy.

Everything else asks `xp = array_module(x)` and writes `xp.exp(x)`. The same line then runs on the
CPU or the GPU, in float32 to train, float64 to check, complex128 to differentiate.
"""

import functools

import numpy as np

from tinyembed.backends.cupy import cublas as blas
from tinyembed.errors import InputError

ALIGNED = 8  # bytes: where an array may begin in a transfer of several


def array_module(x):
    """The module whose functions take x: numpy, or cupy for an array on a GPU."""
    if isinstance(x, (np.ndarray, np.generic, int, float, complex)):
        return np
    return import_cupy()


def on_gpu(x):
    """Whether an array lives on a GPU."""
    return array_module(x) is not np


def device_module(device):
    """The array module of a device named on the command line.

    device: "cpu", "gpu", or "auto" (the GPU where one is usable, else the CPU).
    Raises InputError where "gpu" is asked for and there is none to use.
    """
    if device == "cpu":
        return np
    if device not in ("auto", "gpu"):
        raise InputError(f"--device {device}: choose auto, cpu or gpu")
    try:
        cupy = import_cupy()
        # Importing works without a driver, so ask whether a device answers.
        if cupy.cuda.is_available():
            return cupy
        reason = "CuPy finds no NVIDIA GPU or driver"
    except ImportError:
        reason = 'CuPy is not installed (pip install "tinyembed[gpu]" for CUDA 13, [gpu12] for 12)'
    if device == "auto":
        return np
    raise InputError(f"--device gpu: {reason}; --device cpu runs the same code")


def device_name(xp):
    """What to call the device of an array module: "cpu" or "gpu"."""
    return "cpu" if xp is np else "gpu"


def to_host(x):
    """x as a NumPy array; from a GPU this waits for the work that makes x."""
    return x if isinstance(x, (np.ndarray, np.generic)) else import_cupy().asnumpy(x)


def normal(rng, *shape, std):
    """A new parameter: normally distributed, drawn on the host from a `numpy.random.Generator`.

    Parameters are born here, in float32; layers name no dtype and go along with what they hold.
    """
    return (rng.standard_normal(shape) * std).astype(np.float32)


def zeros(*shape):
    """A new parameter or buffer of zeros, on the host, in float32."""
    return np.zeros(shape, np.float32)


def ones(*shape):
    """A new parameter or buffer of ones, on the host, in float32."""
    return np.ones(shape, np.float32)


def to_device(xp, **arrays):
    """Several arrays in one transfer: {name: array of xp}. None stays None."""
    if xp is np:
        return arrays
    parts, places, end = [], {}, 0
    for name, array in arrays.items():
        if array is None:
            continue
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        places[name] = end, end + len(flat)
        gap = -len(flat) % ALIGNED
        parts += [flat, np.zeros(gap, np.uint8)]
        end += len(flat) + gap
    whole = xp.asarray(np.concatenate(parts)) if parts else None

    def piece(name, array):
        first, last = places[name]
        return whole[first:last].view(array.dtype).reshape(array.shape)

    return {name: None if a is None else piece(name, a) for name, a in arrays.items()}


def matmul(a, b, out=None):
    """The matrix product a @ b, of matrices or of stacks of them."""
    if array_module(a) is np:
        return np.matmul(a, b, out=out)
    return _multiply(a, b, out)


def add_matmul(total, a, b):
    """total += a @ b, in place; on a GPU the product is added as it is made."""
    if array_module(a) is np:
        total += np.matmul(a, b)
    else:
        _multiply(a, b, total, add=True)


def _multiply(a, b, out, add=False):
    """By cuBLAS itself where it takes such arrays (blas.py says why), else by CuPy."""
    xp = array_module(a)
    stacks = [x.shape[0] for x in (a, b) if x.ndim == 3]
    shape = (*stacks[:1], a.shape[-2], b.shape[-1]) if min(a.ndim, b.ndim) > 1 else None
    handle = _cublas(xp.cuda.get_current_stream().ptr)
    letter = {"f": "S", "d": "D"}.get(a.dtype.char)
    if handle and letter and shape and a.dtype == b.dtype and max(a.ndim, b.ndim) < 4:
        made = xp.empty(shape, a.dtype) if out is None else out
        if made.dtype == a.dtype and made.shape == shape:
            product = blas.product(*map(blas.Matrix.of, (a, b, made)))
            if product is None:  # an operand lies in memory as the library cannot read it
                a, b = xp.ascontiguousarray(a), xp.ascontiguousarray(b)
                product = blas.product(*map(blas.Matrix.of, (a, b, made)))
            if product:
                handle.use(_math_mode)
                handle.multiply(letter, product, add)
                return made
    if add:
        out += xp.matmul(a, b)
        return out
    return xp.matmul(a, b, out=out)


_math_mode = blas.FLOAT32


def use_tf32(xp, on=True):
    """Products of float32 in TF32: several times as fast, with 10 bits of each number, not 23.

    Raises InputError where the device has none: on a CPU, or on a GPU made before 2020.
    """
    global _math_mode
    if xp is np:
        if on:
            raise InputError("--tf32: a GPU's way to multiply; it needs --device gpu")
        return
    capability = int(xp.cuda.Device().compute_capability)
    if on and capability < 80:
        raise InputError(f"--tf32: this GPU has none (compute capability {capability / 10})")
    _math_mode = blas.TF32 if on else blas.FLOAT32
    # And for the products that stay with CuPy, what its variable CUPY_TF32 would set.
    kinds = xp._core._routines_linalg
    kind = kinds.COMPUTE_TYPE_TF32 if on else kinds.COMPUTE_TYPE_DEFAULT
    xp._core.set_compute_type(np.float32, kind)


def in_tf32(xp):
    """Whether products of float32 are computed in TF32."""
    return xp is not np and _math_mode == blas.TF32


@functools.cache
def _cublas(stream):
    """The handle of a stream, or None where the library is not found."""
    library = _cublas_library()
    if library is None:
        return None
    workspace = import_cupy().cuda.alloc(blas.WORKSPACE)
    handle = blas.Cublas(library, stream, workspace.ptr)
    handle.memory = workspace  # which must live as long
    return handle


@functools.cache
def _cublas_library():
    runtime = import_cupy().cuda.runtime
    return blas.load(runtime.runtimeGetVersion() // 1000)


@functools.cache
def import_cupy():
    """The module; ImportError where it is missing. For `array_module` and what compiles kernels."""
    import cupy

    return cupy
