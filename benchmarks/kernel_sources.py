"""The source of each of our GPU kernels as CuPy writes it, without a GPU or a driver.

CuPy writes and compiles a kernel when it first runs, for the types and the axes of its arguments.
Here the functions of CuPy that write it are asked directly. The arguments are arrays of CuPy whose
memory is the host's: nothing runs, so nothing reads them.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy import fusion, kernels
from tinyembed.backends.cupy.im2col import col2im_kernel, im2col_kernel
from tinyembed.backends.dispatch import operations
from tinyembed.layers.im2col import output_size
from tinyembed.models.table import GEOMETRY, WIDTHS

# What each fused formula is given in training and evaluation: a letter per axis of a float32 array,
# "." for an array without axes, or the type of a Python number.
FORMULAS = {
    "_exponentials": ["NC N1"],
    "_mean": ["C int"],
    "adam_step": ["C C C C . . float float float float float"],
    "cosine_gradient": ["NC N1 NC N1 float"],
    "elu": ["NC", "NHWC"],
    "elu_gradient": ["NC NC", "NHWC NHWC"],
    "input_gradient": ["NC NC C C C C C int float"],
    "input_gradient_elu": ["NC NC NC C C C C C int float"],
    "inverse_length": ["NC"],
    "normalize": ["NC C C C C float"],
    "normalize_elu": ["NC C C C C float"],
    "row_products": ["NC NC"],
    "standardize": ["NC C C", "HNC C C"],
}
ROLL = 60, 96  # pitches and ticks of a unit
SIZES = {"N": 4, "H": 3, "W": 5, "C": 6, "1": 1}
NUMBERS = {"int": 7, "float": 1e-5}
ARRAY, INDEXER, SCALAR = 1, 2, 3  # CuPy's kinds of arguments
BLOCK = 512  # threads of a reduction


class Source(NamedTuple):
    """A kernel's source, or the reason why CuPy has none."""

    kind: str  # one of KINDS
    name: str
    variant: str  # the types of numbers and of indices, its constants; of a formula its arguments
    code: str
    arrays: list  # the types of its arrays
    problem: str | None = None


class NotFused(Exception):
    """CuPy cannot compile a formula as one kernel, and would run it in other ways."""


def hand_written(dtype=np.float32):
    """All kernels written by hand, for arrays of a dtype: a list of `Source`."""
    found = {}
    known = [(kernel, examples) for kernel, examples, _ in kernels.all_kernels()]
    for kernel, examples in [*known, *convolutions()]:
        types = np.dtype(dtype).name, "int64" if kernel.wide else "int32"
        variant = " ".join([*types, *map(str, kernel.constants.values())])
        for arguments in examples:
            given = [in_host_memory(_typed(x, dtype)) for x in arguments]
            write = functools.partial(hand_made, kernel, given)
            source = source_of("hand-written", kernel.name, variant, write)
            found.setdefault((source.name, source.variant, source.code), source)
    return list(found.values())


def convolutions(width="paper"):
    """im2col's and col2im's kernels for each convolution of a network, with their arguments."""
    size, channels = ROLL, 1
    for geometry, filters in zip(GEOMETRY, WIDTHS[width].conv, strict=True):
        out = output_size(size, *geometry)
        sizes = (*size, channels, *out, *itertools.chain(*geometry))
        image = np.ones((1, *size, channels), np.float32)
        patches = np.ones((1, *out, np.prod(geometry[0]) * channels), np.float32)
        yield im2col_kernel(sizes, False), [(image, patches)]
        yield col2im_kernel(sizes, False), [(patches, image)]
        size, channels = out, filters


def formulas():
    """All fused formulas, as `FORMULAS` says: a list of `Source`."""
    return [
        source_of("formula", name, words, functools.partial(_formula, name, words))
        for name, signatures in FORMULAS.items()
        for words in signatures
    ]


KINDS = {"hand-written": hand_written, "formula": formulas}


def source_of(kind, name, variant, write):
    """A `Source`. write: () -> (source, types of its arrays); what it raises becomes a problem."""
    try:
        return Source(kind, name.strip("_"), variant, *write())
    except Exception as error:  # whatever CuPy says against it
        problem = f"{type(error).__name__}: {error}"
        return Source(kind, name.strip("_"), variant, "", [], problem)


def find_formula(name):
    """The function: the definition of an operation, or a private one beside a variant."""
    if not name.startswith("_"):
        return operations()[name]
    (found,) = (vars(room)[name] for room in kernels.HAND_WRITTEN if name in vars(room))
    return found


def hand_made(kernel, arguments):
    """(source, types of its arrays) of one of our `Kernel`s, for CuPy's arrays and numbers."""
    return _elementwise(kernel.compiled, arguments)


def _formula(name, signature):
    arguments = [_argument(word) for word in signature.split()]
    return traced(fusion._fuse(find_formula(name)), arguments)


def traced(fused, arguments):
    """(source, types of its arrays) of a formula that `cupy.fuse` has wrapped. Raises NotFused."""
    fused.clear_cache()
    problem = None
    try:
        fused(*arguments)
    except Exception as error:  # of many types; without a driver the kernel itself cannot run
        problem = error
    # Where one kernel is not enough, CuPy goes on with a newer way of fusing, which makes several.
    if fused.new_fusion is not None or not fused._memo:
        raise NotFused(f"{fused.name} is no single kernel: {problem!r}")
    ((kernel, keywords),) = fused._memo.values()
    if hasattr(kernel, "reduce_expr"):
        return _reduction(kernel, arguments, **keywords)
    return _elementwise(kernel, arguments)


def _typed(x, dtype):
    """x, where it is an array of floats in another type."""
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _argument(word):
    """What a word of `FORMULAS` stands for."""
    if word in NUMBERS:
        return NUMBERS[word]
    return in_host_memory(np.ones([SIZES[letter] for letter in word.strip(".")], np.float32))


def in_host_memory(x):
    """A NumPy array as CuPy's, in the same memory. Numbers stay."""
    if not isinstance(x, np.ndarray):
        return x
    cupy = import_cupy()
    memory = cupy.cuda.UnownedMemory(x.ctypes.data, x.nbytes, x, 0)
    return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0))


def _types(kernel, arguments):
    """(types of inputs, of outputs, CuPy's table of the letters in between)."""
    dtypes = [getattr(x, "dtype", None) for x in arguments]
    return import_cupy()._core._kernel._decide_params_type(
        kernel.in_params,
        kernel.out_params,
        tuple(dtypes[: kernel.nin]),
        tuple(dtypes[kernel.nin :]),
    )


def _information(kind, dtype=None, ndim=0, contiguous=True):
    """What CuPy's source depends on in an argument."""
    core = import_cupy()._core
    types = {
        ARRAY: import_cupy().ndarray,
        INDEXER: core._carray.Indexer,
        SCALAR: core._scalar.CScalar,
    }
    return core._kernel._ArgInfo(kind, types[kind], dtype, ndim, contiguous, True)


def _elementwise(kernel, arguments):
    """(source, types of its arrays) of an ElementwiseKernel; outputs may be left out."""
    inputs, outputs, type_map = _types(kernel, arguments)
    parameters, dtypes = kernel.in_params + kernel.out_params, inputs + outputs
    shapes = [getattr(x, "shape", None) for x in arguments]  # None for a number
    own = [s for p, s in zip(parameters, shapes, strict=False) if s is not None and not p.raw]
    whole = np.broadcast_shapes(*own)
    shapes += [whole] * (len(parameters) - len(arguments))
    # Where all are of one shape, CuPy sees them as vectors.
    ndim = len(whole) if any(shape != whole for shape in own) else min(len(whole), 1)
    information = []
    for p, shape, dtype in zip(parameters, shapes, dtypes, strict=True):
        if shape is None:
            information.append(_information(SCALAR, dtype))
        elif p.raw:
            information.append(_information(ARRAY, dtype, len(shape)))
        else:
            information.append(_information(ARRAY, dtype, ndim, shape == whole))
    information.append(_information(INDEXER, ndim=ndim))
    code = import_cupy()._core._kernel._get_elementwise_kernel_code(
        tuple(information), type_map, kernel.params, kernel.operation, kernel.name,
        kernel.preamble, **kernel.kwargs,
    )  # fmt: skip
    return code, _names(dtypes, shapes)


def _reduction(kernel, arguments, axis):
    """The same of a ReductionKernel that removes one axis of its inputs."""
    inputs, outputs, type_map = _types(kernel, arguments)
    shapes = [getattr(x, "shape", None) for x in arguments]  # None for a number
    whole = np.broadcast_shapes(*[shape for shape in shapes if shape is not None])
    # CuPy moves the axis that goes to the front: a view with gaps.
    last = axis in (-1, len(whole) - 1) and len(whole) > 1
    information = [
        _information(SCALAR, dtype)
        if shape is None
        else _information(ARRAY, dtype, len(whole), shape == whole and not last)
        for dtype, shape in zip(inputs, shapes, strict=True)
    ]
    ndim = len(whole) - 1
    information += [_information(ARRAY, dtype, min(ndim, 1)) for dtype in outputs]
    information += [_information(INDEXER, ndim=n) for n in (len(whole), min(ndim, 1))]
    information.append(_information(SCALAR, np.dtype(np.int32)))
    core = import_cupy()._core
    code = core._reduction._ReductionKernel_get_cached_function_code(
        kernel.nin, kernel.nout, kernel._params, tuple(information),
        core._kernel._TypeMap((*type_map._pairs, ("IndexT", np.dtype(np.int32)))),
        kernel.name, BLOCK, kernel.reduce_type, kernel.identity, kernel.map_expr,
        kernel.reduce_expr, kernel.post_map_expr, kernel.preamble, kernel.options,
    )  # fmt: skip
    return code, _names(inputs + outputs, [*shapes, *[whole] * len(outputs)])


def _names(dtypes, shapes):
    return [
        np.dtype(dtype).name
        for dtype, shape in zip(dtypes, shapes, strict=True)
        if shape is not None
    ]
