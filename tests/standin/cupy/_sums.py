"""Sums as a GPU adds them: in the precision of the numbers, by many threads and then by a tree.

NumPy's sum of a row adds in pairs, and that over rows one after the other. Neither rounds as a
kernel does, whose every thread adds up what lies a fixed distance apart.
"""

import math

import numpy as np

from cupy._launches import REDUCTION_THREADS, cub_reduction, reduction_specs, split_axes


def block_sum(a, axis=None, dtype=None, keepdims=False, inputs=None):
    """The sum over axes. inputs: what the kernel reads, where `a` is made from it on the way."""
    if (dtype is not None and np.dtype(dtype) != a.dtype) or a.dtype.kind not in "fc" or not a.size:
        return np.asarray(np.sum(a, axis, dtype, keepdims=keepdims))
    removed, kept = split_axes(a.ndim, axis)
    rows = a.transpose(removed + kept).reshape(
        math.prod(a.shape[k] for k in removed), *(a.shape[k] for k in kept)
    )
    if inputs is None and (started := cub_reduction("sum", a, axis)):
        threads = started[0].threads * (started[0].blocks if not kept else 1)
    else:
        threads = REDUCTION_THREADS // reduction_specs(inputs or [a], axis)[0]
    total = _tree(_threads(rows, threads))
    return np.expand_dims(total, removed) if keepdims else np.asarray(total)


def _threads(rows, threads):
    """What each thread adds up: every so many rows, one after the other."""
    if len(rows) <= threads:
        return rows
    whole = len(rows) // threads * threads
    total = np.add.reduce(rows[:whole].reshape(-1, threads, *rows.shape[1:]), axis=0)
    total[: len(rows) - whole] += rows[whole:]
    return total


def _tree(rows):
    """The second half added to the first, until one is left."""
    while len(rows) > 1:
        half = 1 << ((len(rows) - 1).bit_length() - 1)
        more = rows[half:]
        rows = np.concatenate([rows[: len(more)] + more, rows[len(more) : half]])
    return rows[0]


def block_mean(a, axis=None, dtype=None, keepdims=False):
    """The mean, as the sum divided by a number of the same precision."""
    if a.dtype.kind not in "fc" and dtype is None:
        dtype = np.float64
    a = a if dtype is None else a.astype(dtype)
    total = block_sum(a, axis, None, keepdims)
    return np.asarray(total / total.dtype.type(a.size // total.size) if total.size else total)
