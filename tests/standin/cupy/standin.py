"""What a test asks of the stand-in, and what CuPy does not have: counts and prohibitions.

cupy.standin.reset()
...
cupy.standin.counts()["launches"]

with cupy.standin.forbid_synchronisation():
    ...  # anything that waits for the device, or crosses the bus, raises an error
"""

import contextlib
import threading

_LABELS = (
    "launches",  # kernels and fills that the host started one by one
    "graph_launches",  # recorded graphs that were started, each by one call
    "replayed",  # the kernels in those graphs
    "to_device",  # transfers
    "to_host",
    "synchronisations",  # the host waited for the device; a transfer to the host is one
)
device = True  # whether one answers; conftest.py says no, for tests that do not ask for it
_counts = dict.fromkeys(_LABELS, 0)
_forbidden = threading.local()


def counts():
    """What happened since `reset`: a dict of the labels above, and what memory is held now.

    "bytes_held": of all arrays that are alive; "peak_bytes": the most since `reset`.
    """
    return {**_counts, "bytes_held": memory.held, "peak_bytes": memory.peak}


def reset():
    """Start counting at zero."""
    for label in _LABELS:
        _counts[label] = 0
    memory.peak = memory.held


def count(label, n=1):
    _counts[label] += n


class Forbidden(RuntimeError):
    """What a step must not do: wait for the device, or move data across the bus."""


@contextlib.contextmanager
def forbid_synchronisation():
    """Within it, waiting for the device and crossing the bus raise `Forbidden`."""
    before = getattr(_forbidden, "depth", 0)
    _forbidden.depth = before + 1
    try:
        yield
    finally:
        _forbidden.depth = before


def check_allowed(what):
    """Raise where `what` is forbidden: by the test, or because a stream is recording."""
    from cupy.cuda import capture

    if getattr(_forbidden, "depth", 0):
        raise Forbidden(f"{what} inside a step")
    capture.refuse(what)


def synchronise(what):
    check_allowed(what)
    count("synchronisations")


class _Memory:
    """Bytes of all buffers that are alive."""

    held = peak = 0


memory = _Memory()


class Buffer:
    """One piece of device memory, given back to its pool when the last view of it goes."""

    __slots__ = ("__weakref__", "nbytes", "pool")

    def __init__(self, nbytes, pool):
        pool.take(nbytes)
        self.nbytes, self.pool = nbytes, pool
        memory.held += nbytes
        memory.peak = max(memory.peak, memory.held)

    def __del__(self):
        if hasattr(self, "pool") and memory:  # there was enough, and Python is not ending
            memory.held -= self.nbytes
            self.pool.give_back(self.nbytes)
