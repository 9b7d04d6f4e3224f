"""How kernels are compiled, kept in the cache folder, and given rows on several threads."""

import functools
import hashlib
from pathlib import Path

import numba
import numpy as np

from tinyembed.backends.cpu import threads
from tinyembed.backends.numba.caching import seal
from tinyembed.storage.cache import cache_folder

# Divisions are not checked, and a * b + c may be rounded once instead of twice.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

inlined = numba.njit(**OPTIONS)  # a function that kernels call


def kernel(function, **options):
    """Compile a function at its first call, and keep what was compiled for the next process.

    options: of `numba.njit`, beside OPTIONS
    """
    options = {**OPTIONS, **options}
    folder = _folder()
    if folder is None:
        return numba.njit(**options)(function)
    # numba reads the folder where a function is marked. Other users of numba keep their own.
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder
    try:
        return seal(numba.njit(**options, cache=True)(function))
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def _folder():
    """Where compiled kernels are kept, or None where nothing can be written.

    numba looks at a kernel's own file to see whether it changed, not at those that it calls. So
    there is a folder for each state of all of them.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache_folder() / "compiled" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "writable").touch()
    except OSError:
        return None
    return str(folder)


def takes(*arrays):
    """Whether kernels work on such arrays: float32, without gaps in memory, not empty."""
    return all(
        type(a) is np.ndarray and a.dtype == np.float32 and a.flags.c_contiguous and a.size
        for a in arrays
    )


def over_rows(work, x, size=None):
    """Call work(slice) for parts of x's rows that share nothing: several threads for a long x.

    size: elements per part; by default as many parts as there are threads, and one for a short x.
    Returns the list of results.
    """
    rows = len(x)
    if size is None and x.size <= threads.SMALL:
        return [work(slice(0, rows))]
    return threads.run_blocks(work, rows, x.size // rows, size or -(-x.size // threads.workers()))
