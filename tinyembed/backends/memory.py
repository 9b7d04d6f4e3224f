"""Out of memory, said in one line with what to try."""

from contextlib import contextmanager

import numpy as np

from tinyembed.errors import WorkError


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
