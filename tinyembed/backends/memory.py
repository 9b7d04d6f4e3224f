"""Out of memory, said in one line with what to try."""

from contextlib import contextmanager

import numpy as np

from tinyembed.errors import WorkError


@contextmanager
def suggest_less(xp, *instead):
    """Within it, running out of memory raises WorkError, which says what needs less.

    xp: where the work is done, numpy or cupy; instead: what to try first, such as "--keys 1". On
    a GPU, --device cpu is always another way.
    """
    try:
        yield
    except MemoryError:  # CuPy's is one too
        where = " on the GPU" if xp is not np else ""
        ways = [*instead, *(["--device cpu"] if xp is not np else [])]
        advice = f"try {', or '.join(ways)}" if ways else "close other programs and try again"
        raise WorkError(f"out of memory{where}; {advice}") from None


@contextmanager
def suggest_smaller(option, size, smallest=1):
    """Within it, running out of memory is one line that says what to try.

    option: what decides how much is needed, such as "--batch-size"; size: its value.
    """
    try:
        yield
    except MemoryError:  # CuPy's is one too
        less = max(smallest, size // 2)
        advice = f"try {option} {less}" if less < size else "it needs a larger one"
        raise WorkError(f"out of memory with {option} {size}; {advice}") from None
