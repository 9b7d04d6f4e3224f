"""How long the GPU takes for each operation of our step, by CUDA events: no profiler is needed.

The step runs without a graph. An event is recorded before and after each operation (`@operation`),
whichever kernels a backend runs it with. First the GPU is given a large matrix product: while it is
busy with that, the host starts the whole step, so that between two events there is the GPU's work
and not the host's. What is no operation, such as a sum of two arrays, is in "elsewhere".
"""

from collections import defaultdict
from contextlib import contextmanager

import numpy as np

from benchmarks.gpu_compare import product
from benchmarks.machine import spread
from tinyembed.backends import dispatch
from tinyembed.backends.cupy.graphs import WARM_UP

STEPS = 10
BUSY = 8192  # rows of the product: some 20 ms of an H100


def operations(step, xp, quick=False):
    """What each operation of a step takes: {"ms", "elsewhere_ms", "operations"}.

    ms: spread of the whole step; operations: [name, ms per step, calls per step], the longest
    first, events included.
    """
    busy = product(xp, 64 if quick else BUSY)
    for _ in range(WARM_UP):
        step()
    whole, parts = [], defaultdict(list)
    steps = 2 if quick else STEPS
    for _ in range(steps):
        busy()
        with recorded(xp) as events:
            begin = _now(xp)
            step()
            end = _now(xp)
        xp.cuda.get_current_stream().synchronize()
        whole.append(xp.cuda.get_elapsed_time(begin, end))
        for name, *between in events:
            parts[name].append(xp.cuda.get_elapsed_time(*between))
    rows = [[name, sum(ms) / steps, len(ms) / steps] for name, ms in parts.items()]
    return {
        "ms": spread(whole),
        "elsewhere_ms": float(np.mean(whole)) - sum(ms for _, ms, _ in rows),
        "operations": sorted(rows, key=lambda row: -row[1]),
    }


@contextmanager
def recorded(xp):
    """Within it, each operation on the GPU appends [name, event before, event after] to the list.

    An operation within another is a part of that.
    """
    events, inside = [], []

    def variant_of(name):
        def timed(plain, *arguments):
            if inside:
                return plain(*arguments)
            inside.append(name)
            begin = _now(xp)
            try:
                return plain(*arguments)
            finally:
                inside.pop()
                events.append([name, begin, _now(xp)])

        return timed

    tables = dispatch._tables["cupy"]
    timing = {name: variant_of(name) for name in dispatch.operations()}
    dispatch.set_backends("cupy", lambda: [timing, *tables()])
    try:
        yield events
    finally:
        dispatch.set_backends("cupy", tables)


def _now(xp):
    event = xp.cuda.Event()
    event.record()
    return event
