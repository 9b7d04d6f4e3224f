"""Every core for what NumPy does on one: long arrays in blocks, blocks on several threads.

A formula such as `scale * (dy - mean - x * slope)` makes NumPy write each intermediate result to
memory and read it back. On a block that fits a core's cache they stay there, and NumPy lets other
threads run while it computes. Blocks have a fixed size, whatever the number of threads, so that
sums over blocks are the same to the bit with one thread or many.
"""

import contextvars
import functools
import os
from concurrent.futures import ThreadPoolExecutor, wait

# Elements: 1 MB in float32. Smaller blocks fit a cache better, but after every operation on one the
# threads hand each other Python's lock, which takes as long as the operation.
BLOCK = 1 << 18
# Elements: up to so many stay on one thread. To hand half of them over and to wait for it takes
# 0.1 ms, in which a compiled formula is done with 200,000; a step at `small` width on two threads
# takes 8% less time than with 1 << 18 here.
SMALL = 1 << 20

_sharing = contextvars.ContextVar("sharing", default=False)  # set in each thread of run_together


@functools.cache
def workers():
    """How many threads to use: OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, else every core."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
    return usable_cores()


def usable_cores():
    """How many cores this process may use, which can be fewer than the machine has."""
    return len(cores())


def cores():
    """Which cores this process may use: a set of numbers."""
    known = hasattr(os, "sched_getaffinity")
    return os.sched_getaffinity(0) if known else set(range(os.cpu_count() or 1))


@functools.cache
def _pool():
    return ThreadPoolExecutor(workers() - 1, thread_name_prefix="tinyembed")


def run_blocks(work, n_rows, row_size, size=None):
    """Call work(slice) for blocks of rows that together cover range(n_rows), many on all threads.

    row_size: elements a row; size: elements a block. Returns the results in the blocks' order.
    """
    count = -(-n_rows * row_size // (size or BLOCK))
    if count > 1:  # in fours, so that two or four threads have as much to do
        count = -(-count // 4) * 4
    height = max(1, -(-n_rows // max(count, 1)))
    blocks = [slice(start, start + height) for start in range(0, n_rows, height)]
    threads = min(workers(), len(blocks)) if n_rows * row_size > SMALL else 1
    if threads < 2 or sharing():
        return [work(block) for block in blocks]
    share = -(-len(blocks) // threads)
    parts = [blocks[i : i + share] for i in range(0, len(blocks), share)]
    # A context each, so that np.errstate holds in the other threads too.
    others = [
        _pool().submit(contextvars.copy_context().run, _each, work, part) for part in parts[1:]
    ]
    done = _each(work, parts[0])
    for other in others:
        done += other.result()
    return done


def _each(work, blocks):
    return [work(block) for block in blocks]


def run_together(work, n_threads):
    """Call work() on several threads at once, of which this is one. Raises what one of them raises.

    Whatever is cut into blocks within this work stays on its thread.
    """

    def run():
        _sharing.set(n_threads > 1)
        work()

    def context():
        return contextvars.copy_context().run

    others = [_pool().submit(context(), run) for _ in range(n_threads - 1)]
    try:
        context()(run)
    finally:
        wait([other for other in others if not other.cancel()])
    for other in others:
        if not other.cancelled():
            other.result()


def sharing():
    """Whether this is a thread of `run_together`."""
    return _sharing.get()
