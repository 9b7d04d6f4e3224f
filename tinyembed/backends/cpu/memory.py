"""Memory that a step frees stays with the process, for the next step.

By default the C library gives an array of a few hundred kilobytes back to the system when it is
freed, and must ask for it again, page by page, each filled with zeros, in the next step. Not doing
so makes a training step at `small` width 15 to 20% faster.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>
LARGE = 1 << 25  # bytes: 32 MB, the most that glibc takes; larger arrays still go back
NEVER = 2**31 - 1


def keep_memory():
    """Ask the C library to keep what is freed. Returns whether it will: only glibc does."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE) and mallopt(M_TRIM_THRESHOLD, NEVER))
