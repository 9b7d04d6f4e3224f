"""Formulas and loops as machine code, where numba is installed: one pass instead of many.

NumPy works a formula off one operation at a time, each with a pass over memory, and holds Python's
lock between them. numba makes plain loops of Python as fast as C's (loops.py writes them). All is
in float32 here; whatever else comes, a gradient check's float64 or an example's few numbers, NumPy
does. Off until `switch_on`: importing numba takes as long as embedding ten songs.
"""

import functools
import os

import numpy as np

from tinyembed.backends import loops
from tinyembed.backends.cpu import threads

SUMMED = 1 << 17  # elements a block of column sums, fixed so that sums are the same on any machine

_on = False


def switch_on(on=True):
    """Compile from here on, if numba is installed and TINYEMBED_NUMBA is not 0.

    Returns whether it will.
    """
    global _on
    _on = bool(on) and os.environ.get("TINYEMBED_NUMBA") != "0" and _works()
    return _on


def in_use():
    """Whether formulas are compiled."""
    return _on


@functools.cache
def _works():
    try:
        import numba
    except Exception:  # not there, or one that refuses this NumPy: each in its own way
        return False
    return not numba.config.DISABLE_JIT


def takes(x):
    """Whether compiled loops work on such an array."""
    return _on and x.dtype == np.float32 and x.flags.c_contiguous and x.size > 0


def compile_loops(function):
    """A function that is all loops, of float32 arrays and integers, compiled at its first call."""
    made = None

    @functools.wraps(function)
    def call(*arguments):
        nonlocal made
        if made is None:
            made = loops.compile_loops(function)
        return made(*arguments)

    return call


def formula(of, arrays):
    """The values of an elementwise formula, or NotImplemented where that is for NumPy.

    of: the formula; arrays: its arguments. The first gives the result its shape, the others have
    the same shape, one number a column, or one a row, or are numbers. A formula that has no result
    writes into its arguments, and this returns None.
    """
    kinds, parts = _seen(arrays)
    if kinds is None:
        return NotImplemented
    first = parts[0]
    work, makes = _compiled(of, kinds, loops.BY_COLUMN if first.ndim == 2 else loops.FLAT)
    assert makes < 2, "a formula of several results is one of column sums"
    out = np.empty_like(first) if makes else first
    if first.size <= threads.SMALL:
        work(*parts, out)
    else:
        threads.run_blocks(
            lambda block: work(*_cut(kinds, parts, block), out[block]),
            len(first), first.size // len(first), -(-first.size // threads.workers()),
        )  # fmt: skip
    return out.reshape(arrays[0].shape) if makes else None


def column_sums(of, arrays):
    """The sums of a formula's values over the rows of (R, C) arrays, (C,), or NotImplemented.

    One row for each result of a formula that has several: (K, C).
    """
    kinds, parts = _seen(arrays, flat=False)
    if kinds is None or arrays[0].ndim != 2:
        return NotImplemented
    rows, columns = arrays[0].shape
    work, results = _compiled(of, kinds, loops.SUMS)
    sums = threads.run_blocks(
        lambda block: work(*_cut(kinds, parts, block), np.zeros((results, columns))),
        rows, columns, SUMMED,
    )  # fmt: skip
    total = sum(sums, np.zeros((results, columns))).astype(np.float32)
    return total if results > 1 else total[0]


_compiled = functools.cache(loops.compile_formula)


def _seen(arrays, flat=True):
    """The kind of each array (loops.PLACE), and the arrays as loops take them.

    None where something is not float32, or has gaps in memory. flat: as one long row where that
    makes no difference.
    """
    first, kinds, parts = arrays[0], "", []
    if not _on or first.size == 0:
        return None, None
    whole = first.shape
    for a in arrays:
        shape = a.shape if isinstance(a, np.ndarray) else ()
        if shape == whole:
            kind = "m"
        elif not shape or a.size == 1:
            kind, a = "s", _number(a)
        elif shape == whole[-1:]:
            kind = "r"
        elif shape == (*whole[:-1], 1):
            kind, a = "c", a.reshape(-1)
        else:
            return None, None
        if a is None or a.dtype != np.float32 or not a.flags.c_contiguous:
            return None, None
        kinds += kind
        parts.append(a)
    shape = -1 if flat and not set(kinds) & {"r", "c"} else (-1, first.shape[-1])
    return kinds, [p.reshape(shape) if k == "m" else p for k, p in zip(kinds, parts, strict=True)]


def _number(a):
    """One real number in float32, or None: float64 arrays stay what they are, as in NumPy."""
    if (isinstance(a, np.ndarray | np.generic) and a.dtype != np.float32) or isinstance(a, complex):
        return None
    return np.float32(np.reshape(a, ()))


def _cut(kinds, parts, block):
    return [p[block] if k in "mc" else p for k, p in zip(kinds, parts, strict=True)]
