"""Streams, graphs and memory pools, as far as tinyembed uses them."""

import contextlib
import time

from cupy import standin
from cupy.cuda import pool as _pool
from cupy.cuda import runtime
from cupy.cuda.capture import Graph, Stream, get_current_stream
from cupy.cuda.pool import MemoryPool, PinnedMemoryPool

__all__ = ["Graph", "MemoryPool", "PinnedMemoryPool", "Stream", "get_current_stream", "runtime"]


class memory:  # CuPy's name for the module
    OutOfMemoryError = _pool.OutOfMemoryError


def is_available():
    """Whether a device answers."""
    return standin.device


class Device:
    """The only device there is."""

    def __init__(self, device=0):
        self.id = device

    compute_capability = "90"

    @property
    def mem_info(self):
        return runtime.memGetInfo()

    def synchronize(self):
        standin.synchronise("Device.synchronize")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@contextlib.contextmanager
def using_allocator(allocator=None):
    """Take memory from another pool. allocator: a pool's `malloc`."""
    _pool.current.append(_pool.default if allocator is None else allocator.__self__)
    try:
        yield
    finally:
        _pool.current.pop()


def alloc(size):
    """A piece of memory without a shape: has `.ptr`."""
    import numpy as np

    from cupy._array import ndarray

    whole = ndarray((int(size) + 256,), np.uint8)
    return whole[-whole.data.ptr % 256 :].data


class Event:
    """A moment on a stream; here, on the clock."""

    def __init__(self, *flags, **more_flags):
        self.time = None

    def record(self, stream=None):
        self.time = time.perf_counter()

    def synchronize(self):
        standin.synchronise("Event.synchronize")

    @property
    def done(self):
        return True


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events."""
    return (end_event.time - start_event.time) * 1e3
