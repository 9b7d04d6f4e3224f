"""What a test asks of the stand-in, and what CuPy does not have: counts and prohibitions.

cupy.standin.reset()
...
cupy.standin.counts()["launches"]

with cupy.standin.forbid_synchronisation():
    ...  # anything that waits for the device, or crosses the bus, raises an error

with cupy.standin.watch() as launches:
    ...  # each kernel that is started or recorded is a `Launch` in the list: its blocks, its shape

STANDIN_CUPY=13.6.0 STANDIN_DRIVER=12040 python -m tinyembed.train ...  # too old, both
"""

import contextlib
import os
import threading

_LABELS = (
    "launches",  # kernels and fills that the host started one by one
    "graph_launches",  # recorded graphs that were started, each by one call
    "replayed",  # the kernels in those graphs
    "to_device",  # transfers
    "to_host",
    "synchronisations",  # the host waited for the device; a transfer to the host is one
)
# What is played: CuPy's version, the CUDA it is made for, the newest CUDA that the driver knows
# (0 where there is no driver), and whether a device answers. Tests set these, or a process's
# environment does. conftest.py says that no device answers, for tests that do not ask for one.
version = os.environ.get("STANDIN_CUPY", "14.2.0")
runtime = int(os.environ.get("STANDIN_CUDA", 13020))
driver = int(os.environ.get("STANDIN_DRIVER", 13020))
device = os.environ.get("STANDIN_DEVICES", "1") != "0" and driver // 1000 >= runtime // 1000
_counts = dict.fromkeys(_LABELS, 0)
_forbidden = threading.local()
_watched = None  # a list of kernels, while a test watches


def counts():
    """What happened since `reset`: a dict of the labels above, and what memory is held now.

    "bytes_held": of all arrays that are alive; "peak_bytes": the most since `reset`;
    "bytes_lost": of pools that were dropped without `free_all_blocks`, since the program began.
    """
    from cupy.cuda.pool import lost_bytes

    held = {"bytes_held": memory.held, "peak_bytes": memory.peak, "bytes_lost": lost_bytes()}
    return {**_counts, **held}


def reset():
    """Start counting at zero."""
    for label in _LABELS:
        _counts[label] = 0
    memory.peak = memory.held


def count(label, n=1):
    _counts[label] += n


@contextlib.contextmanager
def watch():
    """A list of the kernels, each a `Launch`, that are started or recorded within it."""
    global _watched
    _watched, before = [], _watched
    try:
        yield _watched
    finally:
        _watched = before


def watched():
    """Whether a test wants to know of kernels."""
    return _watched is not None


def say(launches):
    """Tell it."""
    if _watched is not None:
        from cupy.cuda import capture

        recorded = capture.recording() is not None
        _watched.extend(launch._replace(recorded=recorded) for launch in launches)


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
        pool._take(nbytes)
        self.nbytes, self.pool = nbytes, pool
        memory.held += nbytes
        memory.peak = max(memory.peak, memory.held)

    def __del__(self):
        if hasattr(self, "pool") and memory:  # there was enough, and Python is not ending
            memory.held -= self.nbytes
            self.pool._give_back(self.nbytes)
