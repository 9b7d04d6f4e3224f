"""Independent pieces of work: on all cores of a CPU, one after the other on a GPU.

BLAS has threads of its own, which wait for each other by spinning. Where another process wants a
core, each product then takes as long as that process's turn. So every thread here multiplies on
its own: BLAS has one thread for as long as work is shared out. The order in which it adds up is
then the same on any number of cores, too.
"""

import functools
import threading
from contextlib import contextmanager

import numpy as np

from tinyembed.backends.cpu import threads

_lock = threading.Lock()
_limits = []  # one for each context; the first knows how many threads BLAS had before


def share_out(work, items, xp=np):
    """[work(item) for each item]: on as many threads as there are cores where xp is numpy.

    A thread takes the next item when it has done one. Work that is shared out within such work
    stays on its thread. An error ends the work, and is raised here.
    """
    items = list(items)
    if xp is not np or threads.sharing():
        return [work(item) for item in items]
    left, results = iter(range(len(items))), [None] * len(items)

    def take_and_work():
        with blas().limit(limits=1):  # some libraries count for each thread
            while (n := _next(left)) is not None:
                try:
                    results[n] = work(items[n])
                except BaseException:
                    while _next(left) is not None:  # leaves nothing to the other threads
                        pass
                    raise

    with one_blas_thread():
        threads.run_together(take_and_work, min(threads.workers(), len(items)))
    return results


@contextmanager
def one_blas_thread():
    """BLAS on one thread, in the whole process, until the last of several such contexts ends."""
    with _lock:
        _limits.append(blas().limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            last = _limits.pop()  # the first of them, when no other is left
            if not _limits:
                last.restore_original_limits()


@functools.cache
def blas():
    """What finds the BLAS that NumPy has loaded. Looking for it takes a millisecond."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _next(numbers):
    with _lock:
        return next(numbers, None)
