"""Streams, graphs and memory pools, as far as tinyembed uses them."""

import contextlib
import time

from cupy import standin
from cupy.cuda import runtime
from cupy.cuda.capture import Graph, Stream, get_current_stream
from cupy.cuda.pool import MemoryPool, OutOfMemoryError, current, default

__all__ = ["Graph", "MemoryPool", "OutOfMemoryError", "Stream", "get_current_stream", "runtime"]


class memory:  # CuPy's name for the module
    OutOfMemoryError = OutOfMemoryError


def is_available():
    """Whether a device answers."""
    return standin.device


class Device:
    """The only device there is."""

    def __init__(self, number=0):
        self.id = number

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
    current.append(default if allocator is None else allocator.__self__)
    try:
        yield
    finally:
        current.pop()


def alloc(nbytes):
    """A piece of memory without a shape: has `.ptr`."""
    import numpy as np

    from cupy._array import ndarray

    whole = ndarray((int(nbytes) + 256,), np.uint8)
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


def get_elapsed_time(start, end):
    """Milliseconds between two events."""
    return (end.time - start.time) * 1e3
