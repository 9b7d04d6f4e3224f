"""NumPy or CuPy: the one place that knows where an array lives, and the only one to import cupy.

Everything else asks `xp = array_module(x)` and writes `xp.exp(x)`. The same line then runs on the
CPU or the GPU, in float32 to train, float64 to check, complex128 to differentiate.
"""

import functools
import sys

import numpy as np

from tinyembed.backends.dispatch import operation
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


def examples_at_once(x):
    """How many examples to encode at once where x lives: 60 on a CPU, 1,000 on a GPU.

    On a CPU each thread encodes its own examples, and the caches hold what more of them would send
    through memory. (At `paper` width those would also need arrays that the system hands out anew
    each time; see cpu/memory.py.)
    """
    return 1000 if on_gpu(x) else 60


def device_module(device):
    """The array module of a device named on the command line.

    device: "cpu", "gpu", or "auto": the GPU where one is usable, else the CPU. Where a GPU would be
    usable with a newer driver or CuPy, "auto" says so in one line.
    Raises InputError where "gpu" is asked for and there is none to use.
    """
    if device == "cpu":
        return np
    if device not in ("auto", "gpu"):
        raise InputError(f"--device {device}: choose auto, cpu or gpu")
    try:
        cupy = import_cupy()
    except ImportError:
        outdated = None
        problem = f"CuPy is not installed ({INSTALL})"
    else:
        outdated = _outdated(cupy)
        # Importing works without a driver, so ask whether a device answers.
        if not outdated and cupy.cuda.is_available():
            return cupy
        problem = outdated or "CuPy finds no NVIDIA GPU or driver"
    if device == "gpu":
        raise InputError(f"--device gpu: {problem}; --device cpu runs the same code")
    if outdated:
        _note(f"no GPU is used: {outdated}; --device cpu does not ask for one")
    return np


INSTALL = 'pip install "tinyembed[gpu]" for CUDA 13, [gpu12] for 12'
DRIVERS = {12: 525, 13: 580}  # the oldest NVIDIA driver for each CUDA


def _outdated(cupy):
    """What has to be newer before a GPU can be used, in words; None where nothing has."""
    if int(cupy.__version__.partition(".")[0]) < 14:
        return f"CuPy {cupy.__version__} is too old, 14 or newer is needed ({INSTALL})"
    runtime = cupy.cuda.runtime
    needed, found = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion()
    if not 0 < found < needed * 1000:  # without a driver, 0 is found
        return None
    newest = f"{found // 1000}.{found % 1000 // 10}"  # 12040 is CUDA 12.4
    way = "" if needed == 12 else ', or pip install "tinyembed[gpu12]"'
    return (
        f"the NVIDIA driver knows CUDA up to {newest} and CuPy is for CUDA {needed}; update the "
        f"driver to {DRIVERS.get(needed, 'one of its time')} or newer{way}"
    )


@functools.cache
def _note(line):
    """Say a line once."""
    print(f"note: {line}", file=sys.stderr)


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


@operation
def matmul(a, b):
    """The matrix product a @ b, of matrices or of stacks of them."""
    # OpenBLAS computes some products of five columns with lanes that it has not written and throws
    # away. A signalling NaN left there would be a warning about a product that is right.
    with np.errstate(invalid="ignore"):
        return array_module(a).matmul(a, b)


@operation
def add_matmul(total, a, b):
    """total += a @ b, in place."""
    total += matmul(a, b)


@operation
def column_sums(x):
    """The sum of each column: (R, C) -> (C,)."""
    return x.sum(axis=0)


@operation
def add_column_sums(total, x):
    """total += the sum of each column of x, in place."""
    total += column_sums(x)


@operation
def mean(x):
    """The mean of a 1-d array: a 0-d array."""
    return x.mean()


@functools.cache
def import_cupy():
    """The module; ImportError where it is missing. For `array_module` and what compiles kernels."""
    import cupy

    return cupy
