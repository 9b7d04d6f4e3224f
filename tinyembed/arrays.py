"""NumPy or CuPy: the one place that knows where an array lives, and the only one to import cupy.

Everything else asks `xp = array_module(x)` and writes `xp.exp(x)`. The same line then runs on the
CPU or the GPU, in float32 to train, float64 to check, complex128 to differentiate.
"""

import functools

import numpy as np

from tinyembed.errors import InputError


def array_module(x):
    """The module whose functions take x: numpy, or cupy for an array on a GPU."""
    if isinstance(x, (np.ndarray, np.generic, int, float, complex)):
        return np
    return _import_cupy()


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
        cupy = _import_cupy()
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
    return x if isinstance(x, (np.ndarray, np.generic)) else _import_cupy().asnumpy(x)


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


def matmul(a, b, out=None):
    """The matrix product a @ b. Layers call this one, so that there is one place to replace it."""
    return array_module(a).matmul(a, b, out=out)


def fuse(formula):
    """Make an elementwise formula one pass over its arrays where the device can.

    On the GPU `cupy.fuse` compiles it to a single kernel; on the CPU it is the function itself.
    """
    compiled = None

    @functools.wraps(formula)
    def fused(*arrays):
        nonlocal compiled
        if array_module(arrays[0]) is np:
            return formula(*arrays)
        if compiled is None:
            compiled = _import_cupy().fuse(formula)
        return compiled(*arrays)

    return fused


@functools.cache
def _import_cupy():
    import cupy

    return cupy
