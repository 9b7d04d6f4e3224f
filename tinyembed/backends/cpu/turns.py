"""Products of a training on a machine that has other work to do as well.

BLAS's own threads wait for each other by spinning. They are the fastest way as long as every one of
them has a core to itself. Where another program wants a core, each product takes as long as that
program's turn, ten times as long or more. Then our own threads are faster: a large product is cut
into parts, BLAS has one thread, and each thread takes part after part, so nobody waits for a thread
that does not run.

Within `taking_turns`, each product is multiplied in whichever way is faster at the time. The bits
must not depend on that. So random numbers of each new shape are multiplied both ways. If one bit
differs, because BLAS adds up in another order on several threads, that shape is always cut.
"""

import functools
import time
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from tinyembed.backends.cpu import threads
from tinyembed.backends.sharing import blas, one_blas_thread

ALONE = 1 << 18  # multiplications of matrices, up to which BLAS itself uses one thread
LARGE = 24_000_000  # multiplications, some 0.4 ms: handing a part over takes a tenth of that
MULTIPLE = 48  # rows or columns of a part: kernels of BLAS take 4, 6, 8, 12 or 16 at once
# A product is late when it takes more than SLOW times as long as the fastest one of its shape:
# another program had a turn. Our own threads take over when late products have cost LOST seconds.
# Each product makes FORGOTTEN percent of these forgotten.
SLOW, LOST, FORGOTTEN = 2, 0.02, 1
# How many products our own threads multiply before BLAS's are tried again. The number doubles each
# time that this was too early.
PATIENCE, MOST_PATIENCE = 100, 6400

_now = None  # the `_Turns` of a training under way


@contextmanager
def taking_turns():
    """For a training: BLAS's threads where they have cores of their own, else ours."""
    global _now
    if _now is not None or threads.sharing() or threads.workers() == 1:
        yield
        return
    with one_blas_thread():
        _now = _turns(threads.workers())
        try:
            yield
        finally:
            _now.set_threads(1)
            _now = None


def multiply(plain, a, b):
    """a @ b, of float32 matrices."""
    is_small = len(a) * b.size <= ALONE and min(len(a), b.shape[1]) > 1
    if _now is None or threads.sharing() or is_small:
        return plain(a, b)
    return _now.multiply(plain, a, b)


def on_one_thread(plain, a, b):
    """a @ b, of other arrays."""
    if _now is not None and not threads.sharing():
        _now.set_threads(1)
    return plain(a, b)


@functools.cache
def _turns(n_threads):
    """What is known of shapes stays known from one training to the next."""
    return _Turns(n_threads)


class _Turns:
    """Which way is faster now, and for which shapes both give the same bits."""

    def __init__(self, n_threads):
        self.n_threads, self.threads = n_threads, 1  # BLAS has one at first
        self.equal, self.fastest = {}, {}  # by shape: whether the bits are; seconds by BLAS
        self.waiting = 0  # products until BLAS's threads are tried again
        self.patience, self.in_time = PATIENCE, 0  # products by BLAS since they were given up
        self.lost = 0.0

    def multiply(self, plain, a, b):
        shape = (*a.shape, b.shape[1], *map(_is_transposed, (a, b)))
        if shape not in self.equal:
            self.equal[shape] = self._agree(plain, _random_like(a), _random_like(b))
        self.waiting = max(0, self.waiting - 1)
        if self.waiting or not self.equal[shape]:
            self.set_threads(1)
            return self._cut(plain, a, b)
        self.set_threads(self.n_threads)
        began = time.perf_counter()
        product = plain(a, b)
        seconds = time.perf_counter() - began
        fastest = self.fastest[shape] = min(seconds, self.fastest.get(shape, seconds))
        self._judge(seconds - SLOW * fastest)
        return product

    def _judge(self, late):
        self.in_time += 1
        self.lost = self.lost * (1 - FORGOTTEN / 100) + max(late, 0)
        if self.lost > LOST:
            self.waiting, self.in_time, self.lost = self.patience, 0, 0.0
            self.patience = min(2 * self.patience, MOST_PATIENCE)
        elif self.in_time > MOST_PATIENCE:
            self.patience = PATIENCE

    def set_threads(self, n):
        """Give BLAS n threads from now on."""
        if n != self.threads:
            for library in blas().lib_controllers:
                library.set_num_threads(n)
            self.threads = n

    def _agree(self, plain, a, b):
        """Whether both ways give the same bits."""
        self.set_threads(self.n_threads)
        theirs = plain(a, b)
        self.set_threads(1)
        return np.array_equal(self._cut(plain, a, b), theirs)

    def _cut(self, plain, a, b):
        """a @ b on our own threads, cut along its longer side, a part half of LARGE or more."""
        size, count = max(len(a), b.shape[1]), 2 * len(a) * b.size // LARGE
        cuts = cuts_of(size, min(count, self.n_threads)) if count > 1 else ()
        if len(cuts) < 2:
            return plain(a, b)
        product = np.empty((len(a), b.shape[1]), np.float32)
        if size == len(a):
            parts = iter([(a[cut], b, product[cut]) for cut in cuts])
        else:
            parts = iter([(a, b[:, cut], product[:, cut]) for cut in cuts])

        def take_parts():
            for left, right, out in parts:  # each thread takes the next one
                out[...] = plain(left, right)

        threads.run_together(take_parts, min(self.n_threads, len(cuts)))
        return product


def _is_transposed(x):
    return x.strides[0] < x.strides[1]


def _random_like(x):
    """Numbers for a comparison: an array of zeros, such as a first gradient, would show nothing."""
    shape = x.shape[::-1] if _is_transposed(x) else x.shape
    made = np.random.default_rng(0).standard_normal(shape, np.float32)
    return made.T if _is_transposed(x) else made


def cuts_of(size, count):
    """At most `count` slices of range(size), each but the last a multiple of MULTIPLE long."""
    step = -(-size // (count * MULTIPLE)) * MULTIPLE
    starts = [start for start in range(0, size, step) if start == 0 or size - start >= MULTIPLE]
    return [slice(a, b) for a, b in pairwise([*starts, size])]
