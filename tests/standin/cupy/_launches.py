"""What the host starts on the device: kernels, and how many blocks of threads each has.

CuPy's elementwise kernels have one thread per number. Its reductions deal out the results to blocks
of threads; each block adds up by a tree. Sums over everything, and over the last axes, go to CUB,
unless the variable CUPY_ACCELERATORS says otherwise. (CuPy can also generate kernels that contain
CUB. That needs nvcc, which pip does not install with CuPy, so it is not played
here.)
"""

import math
import os
from typing import NamedTuple

import numpy as np

THREADS = 128  # per block, of an elementwise kernel
REDUCTION_THREADS = 512  # per block, of a reduction
CUB_THREADS, CUB_TILE = 256, 4096  # per block: threads, and numbers it reads at once


class Launch(NamedTuple):
    """One kernel that was started or recorded."""

    name: str
    shape: tuple  # of the largest array that it reads or writes
    blocks: int | None  # None where a library decides
    threads: int  # per block
    recorded: bool = False  # into a graph

    @property
    def elements(self):
        return math.prod(self.shape)


def elementwise(name, arrays, size=None):
    """One thread per number. size: how many, by default those of the largest array."""
    largest = max((np.shape(a) for a in arrays), key=math.prod, default=())
    size = math.prod(largest) if size is None else size
    return Launch(name, largest, -(-size // THREADS), THREADS)


def split_axes(ndim, axis):
    """The axes that a reduction removes, and those that stay."""
    axes = range(ndim) if axis is None else np.atleast_1d(axis).tolist()
    removed = tuple(sorted(a % ndim for a in axes))
    return removed, tuple(a for a in range(ndim) if a not in removed)


def contiguous_size(arrays, removed, kept):
    """How many results lie side by side in memory in one of the inputs, as CuPy finds out."""
    most = 1
    for a in arrays:
        size = 1
        for axis in reversed(kept):
            if a.strides[axis] != size * a.itemsize:
                break
            size *= a.shape[axis]
        most = max(most, size)
    return most


def block_specs(in_size, out_size, contiguous):
    """(results per block, blocks) of CuPy's own reductions; a block has 512 threads."""
    each = max(1, in_size // out_size)
    stride = max(min(contiguous, 32), REDUCTION_THREADS // each)
    stride = 1 << (stride.bit_length() - 1)  # the power of two below
    return stride, -(-out_size // stride)


def reduction_specs(arrays, axis):
    """The same for inputs of one shape."""
    shape = arrays[0].shape
    removed, kept = split_axes(len(shape), axis)
    results = math.prod(shape[a] for a in kept)
    return block_specs(math.prod(shape), results, contiguous_size(arrays, removed, kept))


def reduction(name, arrays, axis):
    """A reduction by CuPy itself, of inputs of one shape."""
    shape = arrays[0].shape
    blocks = reduction_specs(arrays, axis)[1] if math.prod(shape) else 0
    return Launch(name, shape, blocks, REDUCTION_THREADS)


CUB_SUMS, CUB_ARG = "lLqQfdFD", ("argmax", "argmin")  # dtypes of sums; only of whole arrays


def cub_reduction(name, a, axis):
    """The launches of a reduction by CUB, or None where CuPy does it itself.

    CUB takes what lies side by side in memory: a whole array, or its last axes (the first, of one
    in Fortran's order).
    """
    if "cub" not in os.environ.get("CUPY_ACCELERATORS", "cub") or not a.size:
        return None
    refused = a.dtype.kind == "b" if name in ("max", "min", *CUB_ARG) else True
    if refused and a.dtype.char not in CUB_SUMS:
        return None
    removed, kept = split_axes(a.ndim, axis)
    if a.flags.c_contiguous:
        side_by_side = removed == tuple(range(a.ndim))[len(kept) :]
    else:
        side_by_side = a.flags.f_contiguous and removed == tuple(range(len(removed)))
    if not side_by_side or not removed or (kept and name in CUB_ARG):
        return None
    if kept:
        return [Launch(name, a.shape, math.prod(a.shape[k] for k in kept), CUB_THREADS)]
    blocks = -(-a.size // CUB_TILE)
    last = [Launch(name, (blocks,), 1, CUB_THREADS)] if blocks > 1 else []
    return [Launch(name, a.shape, blocks, CUB_THREADS), *last]
