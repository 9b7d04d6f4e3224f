"""Out of memory, said in one line with what to try."""

import os
from contextlib import contextmanager

import numpy as np

from tinyembed.errors import InputError, WorkError


def check_memory(option, size, each):
    """Raise InputError if so many things cannot fit into the memory of any machine like this one.

    option: which one asks for them, such as "--batch-size"; size: its value; each: bytes of one.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if size * each > memory:
        raise InputError(
            f"{option} {size}: takes {size * each / 1e9:,.0f} GB or more, and this machine has "
            f"{memory / 1e9:,.0f}; {memory // each // 10:,} may fit"
        )


def suggest_less(xp, *instead):
    """A context in which running out of memory raises WorkError, which says what needs less.

    xp: where the work is done, numpy or cupy; instead: what to try first, such as "--keys 1". On
    a GPU, --device cpu is always another way.
    """
    ways = [*instead, *(["--device cpu"] if xp is not np else [])]
    advice = f"try {', or '.join(ways)}" if ways else "close other programs and try again"
    return _explained(f"out of memory{' on the GPU' if xp is not np else ''}; {advice}")


def suggest_smaller(option, size, smallest=1):
    """The same where one option decides how much memory is needed.

    option: such as "--batch-size"; size: its value; smallest: the least that it may be.
    """
    less = max(smallest, size // 2)
    advice = f"try {option} {less}" if less < size else "it needs a larger one"
    return _explained(f"out of memory with {option} {size}; {advice}")


@contextmanager
def _explained(message):
    try:
        yield
    except MemoryError:  # CuPy's is one too
        raise WorkError(message) from None
