"""NumPy or CuPy: the one place that knows where an array lives, and the only one to import cupy.

Everything else asks `xp = array_module(x)` and writes `xp.exp(x)`. The same line then runs on the
CPU or the GPU, in float32 to train, float64 to check, complex128 to differentiate.
"""

import functools
from contextlib import contextmanager

import numpy as np

from tinyembed import blas, threads
from tinyembed.errors import InputError, WorkError

GROUP = 32  # rows that are added up at a time
ALIGNED = 8  # bytes: where an array may begin in a transfer of several


def array_module(x):
    """The module whose functions take x: numpy, or cupy for an array on a GPU."""
    if isinstance(x, (np.ndarray, np.generic, int, float, complex)):
        return np
    return _import_cupy()


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
    workspace = _import_cupy().cuda.alloc(blas.WORKSPACE)
    handle = blas.Cublas(library, stream, workspace.ptr)
    handle.memory = workspace  # which must live as long
    return handle


@functools.cache
def _cublas_library():
    runtime = _import_cupy().cuda.runtime
    return blas.load(runtime.runtimeGetVersion() // 1000)


@contextmanager
def room_for(option, size, smallest=1):
    """Within it, running out of memory is one line that says what to try.

    option: what decides how much is needed, such as "--batch-size"; size: its value.
    """
    try:
        yield
    except MemoryError:  # CuPy's is one too
        less = max(smallest, size // 2)
        advice = f"try {option} {less}" if less < size else "it needs a larger one"
        raise WorkError(f"out of memory with {option} {size}; {advice}") from None


def fuse(formula):
    """Make an elementwise formula one pass over memory instead of one an operation.

    The first array gives the result its shape; the others have as many rows, or are the same for
    all rows. On the GPU `cupy.fuse` compiles the formula to a single kernel; on the CPU it runs
    block by block, on every core.
    """
    compiled = None

    @functools.wraps(formula)
    def fused(*arrays):
        nonlocal compiled
        if array_module(arrays[0]) is np:
            return _formula_in_blocks(formula, arrays)
        if compiled is None:
            compiled = _import_cupy().fuse(formula)
        return compiled(*arrays)

    return fused


def _formula_in_blocks(formula, arrays):
    first = arrays[0]
    if first.size <= threads.BLOCK:
        return formula(*arrays)
    out = np.empty(first.shape, np.result_type(*arrays))
    cut = _cutter(arrays)

    def work(block):
        out[block] = formula(*cut(block))

    in_blocks(work, first)
    return out


def one_kernel(formula):
    """Make a formula of small arrays a single kernel on the GPU; on the CPU it stays as it is.

    It may have several results, write into its arguments (those as large as the whole), and end in
    one `xp.sum(..., axis=...)`, after which only numbers may come in. Numbers are arguments too:
    a kernel is compiled once, with the constants it then sees.
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


def sum_rows(formula):
    """Make an elementwise formula one of column sums: (R, C) arrays and (C,) arrays to (C,).

    As with `fuse`, the CPU stores no more of the formula's values than a block at a time, and the
    GPU none of them.
    """
    compiled = None

    @functools.wraps(formula)
    def summed(*arrays):
        nonlocal compiled
        first = arrays[0]
        if array_module(first) is not np:
            if compiled is None:
                cupy = _import_cupy()
                compiled = cupy.fuse(kernel_name=formula.__name__)(
                    lambda *parts: cupy.sum(formula(*parts), axis=0)
                )
            return compiled(*arrays)
        cut = _cutter(arrays)
        return sum(in_blocks(lambda block: _sum_in_groups(formula(*cut(block))), first))

    return summed


def mean_rows(formula):
    """As `sum_rows`, divided by the number of rows."""
    compiled = None
    total = sum_rows(formula)

    @functools.wraps(formula)
    def mean(*arrays):
        nonlocal compiled
        first = arrays[0]
        if array_module(first) is np:
            return total(*arrays) / len(first)
        if compiled is None:
            cupy = _import_cupy()
            compiled = cupy.fuse(kernel_name=formula.__name__)(
                lambda n, *parts: cupy.sum(formula(*parts) / n, axis=0)
            )
        return compiled(len(first), *arrays)

    return mean


def _sum_in_groups(x):
    """Column sums, group by group of rows, then group by group of groups: (R, C) -> (C,).

    Rounding then grows with log R; adding row after row, a batch norm's variance came out 2e-6 too
    small, and whole gradients ten times less exact. A product with ones adds up a group in a third
    of the time that NumPy's sum takes.
    """
    ones = np.ones((1, GROUP), x.dtype)
    while len(x) >= 2 * GROUP:
        whole = len(x) // GROUP * GROUP
        sums = np.matmul(ones, x[:whole].reshape(-1, GROUP, x.shape[1]))[:, 0]
        if whole < len(x):
            sums[0] += x[whole:].sum(axis=0)
        x = sums
    return x.sum(axis=0)


class Kernel:
    """A kernel written by hand, for what no formula of whole arrays does in one pass on a GPU.

    name, inputs, outputs, code: as `cupy.ElementwiseKernel` takes them: code computes one number
    of the output, the one at `i`. It stands beside the same in NumPy, and a test compares them.
    """

    def __init__(self, name, inputs, outputs, code):
        self.name, self.inputs, self.outputs, self.code = name, inputs, outputs, code
        self._compiled = None

    def __call__(self, *arguments):
        """arguments: arrays of the GPU and numbers; the last one is written to, and returned."""
        if self._compiled is None:
            cupy = _import_cupy()
            self._compiled = cupy.ElementwiseKernel(self.inputs, self.outputs, self.code, self.name)
        return self._compiled(*arguments)


def _cutter(arrays):
    """A function from a block of rows to the arrays' parts in it; what has no rows stays whole."""
    first = arrays[0]
    has_rows = [np.ndim(a) == first.ndim and len(a) == len(first) for a in arrays]
    return lambda block: [a[block] if rows else a for a, rows in zip(arrays, has_rows, strict=True)]


def in_blocks(work, x):
    """Call work(slice) for parts of x's rows: blocks on every core, or all at once on a GPU.

    Parts must not depend on each other. Returns the list of results, in the rows' order.
    """
    if array_module(x) is np:
        return threads.run_blocks(work, len(x), x.size // max(len(x), 1))
    return [work(slice(None))]


@functools.cache
def _import_cupy():
    import cupy

    return cupy
