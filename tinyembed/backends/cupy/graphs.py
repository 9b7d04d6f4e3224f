"""A step that is recorded once and then replayed: CUDA graphs.

A training step is some hundreds of small kernels. Started one by one from Python they take longer
to start than to run; recorded as a graph, they are started by one call. The price is that a graph
always reads and writes the same memory: what changes from step to step has to be put there first.
"""

import functools
import sys
import weakref
from contextlib import contextmanager, nullcontext

import numpy as np
from tqdm import tqdm

WARM_UP = 2  # steps before the recording: kernels are compiled and libraries loaded


@contextmanager
def own_stream(xp):
    """Work on another stream than usual, where recording is possible; on a CPU, nothing changes."""
    if xp is np:
        yield
        return
    stream = _stream(xp)
    xp.cuda.Device().synchronize()  # what was begun on the usual one is done
    with stream:
        yield
        stream.synchronize()


@functools.cache
def _stream(xp):
    """One for the whole process: each has a handle of cuBLAS, and its workspace, for itself."""
    return xp.cuda.Stream(non_blocking=True)  # it does not wait for the usual one


def _say(line):
    tqdm.write(line, file=sys.stderr)  # past a progress bar, and not into --json


class Replayed:
    """A function without arguments or result, which a GPU records and from then on replays.

    work: reads and writes arrays that are there before and after, always the same ones, and never
    asks the GPU for an answer. Arrays that it makes during a step live in memory of the graph's
    own. Arrays that must outlive a step are made in the first one.
    xp: numpy or cupy. wanted: False never records; say: is told, once, where that is impossible.

    Called inside `own_stream`. Running out of memory is raised; anything else that keeps the step
    from being recorded is not, it then runs as before.
    """

    def __init__(self, work, xp, wanted=True, say=_say):
        self.work, self.xp, self.say = work, xp, say
        self.wanted = wanted and xp is not np
        self.pool = xp.cuda.MemoryPool() if self.wanted else None
        if self.pool:  # which CuPy would not give back by itself: its free pieces hold each other
            weakref.finalize(self, self.pool.free_all_blocks).atexit = False
        self.graph = None
        self.done = 0

    def __call__(self):
        if self.wanted and self.graph is None and self.done == WARM_UP:
            self.graph = self._record()
        if self.graph:
            self.graph.launch()
        elif self.wanted and not self.done:
            self.work()  # arrays that stay are made now, outside the pool that will be dropped
            self.xp.get_default_memory_pool().free_all_blocks()
        else:
            with self._memory():
                self.work()
        self.done += 1

    def _memory(self):
        return self.xp.cuda.using_allocator(self.pool.malloc) if self.wanted else nullcontext()

    def _record(self):
        stream = self.xp.cuda.get_current_stream()
        try:
            stream.begin_capture()
            try:
                with self._memory():
                    self.work()
            finally:
                graph = stream.end_capture()  # also where recording failed, or it would go on
            return graph
        except Exception as error:  # many unrelated types: a library that refuses, CUDA itself
            self.pool.free_all_blocks()
            first = error.__context__ or error  # ending a spoilt recording is an error too
            if isinstance(first, MemoryError):
                raise first from None
            why = " ".join(f"{first}".split())[:200]
            self.say(f"note: the step cannot be recorded as a CUDA graph ({why}); it runs without")
            self.wanted = False
            return None
