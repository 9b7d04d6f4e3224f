"""The k nearest rows, exactly: bound every row, look at those that may be among them.

1. Find a floor: the k-th best cosine in a small sample. What is below it is no neighbour.
2. Block by block, and for many queries at once, bound all cosines from above by the shortlist:
   one small matrix product.
3. Compute the cosines of the few rows whose bound reaches the floor, in float64, and keep the
   best. The floor rises with them.

Where the bounds are so loose that too many rows reach the floor, that block is read in full for
that query. So the answer is exact in any case; where no block was, the shortlist certified it.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.neighbours.shortlist import SHORTEST

TOGETHER = 256  # queries in one matrix product,
FOUND = 1 << 16  # or fewer, for no more neighbours than these
# Bounds held at a time: 4 MB, which a CPU's cache holds; a GPU is asked for 64 MB at a time, since
# it takes no longer to begin with many than with few.
CELLS, GPU_CELLS = 1 << 20, 1 << 24
SAMPLE = 1 << 14  # rows, or 64 for each neighbour that is asked for
PAIRS, GPU_PAIRS = 1 << 14, 1 << 17  # cosines computed at a time: 13 MB of rows, or 105 MB
FEW = 512  # rows of a block that are always looked at one by one,
SHARE = 1 / 32  # or this share of them; beyond it, reading them all is sooner
DIGITS = 12  # of a cosine; what differs beyond is the rounding of float64


def nearest(embeddings, shortlist, question):
    """The answers to a `Question`: rows (Q, k), cosines (Q, k), certified (Q,), on the device.

    embeddings: (N, D) float32, and their `Shortlist`.
    """
    xp = array_module(embeddings)

    def search(some):
        unlike = [(labels, values[some]) for labels, values in question.unlike]
        return _Search(embeddings, shortlist, question, question.queries[some], unlike).run()

    n, k = len(question.queries), question.k
    together = max(1, min(TOGETHER, FOUND // k))
    parts = [search(slice(i, i + together)) for i in range(0, n, together)]
    parts.append((xp.zeros((0, k), int), xp.zeros((0, k)), xp.zeros(0, bool)))
    return [xp.concatenate(part) for part in zip(*parts, strict=True)]


def pair_cosines(embeddings, queries, q, rows):
    """The cosines of pairs: of queries[q[i]] and embeddings[rows[i]], (P,) float64.

    embeddings: (N, D); queries: (Q, D) float64 of length 1; q, rows: (P,). Each is a sum over one
    row alone, in an order that does not depend on where the row is: equal rows have equal cosines.
    """
    xp = array_module(embeddings)
    cosines = xp.empty(len(rows), np.float64)
    together = PAIRS if xp is np else GPU_PAIRS
    for i in range(0, len(rows), together):
        some = slice(i, i + together)
        x = embeddings[rows[some]].astype(np.float64)
        length = xp.maximum(xp.sqrt((x * x).sum(axis=1)), SHORTEST)
        cosines[some] = (x * queries[q[some]]).sum(axis=1) / length
    return xp.round(cosines, DIGITS)


class _Search:
    """One search of up to 256 queries: the best rows so far, and a floor below which none is."""

    def __init__(self, embeddings, shortlist, question, queries, unlike):
        xp = array_module(embeddings)
        self.embeddings, self.shortlist = embeddings, shortlist
        self.queries, self.k = queries, question.k  # (Q, D)
        self.projected = shortlist.project(queries)
        self.allowed, self.unlike = question.allowed, unlike
        self.floor = xp.full(len(queries), -2.0)
        self.rows = xp.full((len(queries), self.k), len(embeddings))
        self.cosines = xp.full((len(queries), self.k), -np.inf)
        self.certified = xp.ones(len(queries), bool)

    def run(self):
        """Go through all blocks. Returns rows, cosines, certified."""
        self._raise_floor()
        cells = CELLS if array_module(self.embeddings) is np else GPU_CELLS
        n, step = len(self.embeddings), cells // len(self.queries)
        for start in range(0, n, step):
            self._search_block(slice(start, min(start + step, n)))
        return self.rows, self.cosines, self.certified

    def _raise_floor(self):
        """Step 1: the k-th best cosine among the most promising rows of a sample of all."""
        xp = array_module(self.rows)
        step = max(1, len(self.embeddings) // max(SAMPLE, 64 * self.k))
        sample = slice(0, len(self.embeddings), step)
        bounds = self._filter(self.shortlist.bounds(self.projected, sample), sample)
        n, seeds = bounds.shape[1], 4 * self.k
        if n <= seeds:  # so few rows that all are looked at
            return
        places = xp.argpartition(bounds, n - seeds, axis=1)[:, n - seeds :]  # (Q, seeds)
        q = xp.repeat(xp.arange(len(bounds)), seeds)
        there = xp.isfinite(bounds[q, places.ravel()])  # a filter may leave fewer
        cosines = pair_cosines(self.embeddings, self.queries, q, places.ravel() * step)
        cosines = xp.where(there, cosines, -2.0).reshape(places.shape)
        self.floor = xp.sort(cosines, axis=1)[:, -self.k]

    def _search_block(self, block):
        bounds = self.shortlist.bounds(self.projected, block)  # (Q, n)
        xp = array_module(bounds)
        q, rows = self._above(bounds, self.floor, block)
        keep = xp.ones(len(q), bool) if self.allowed is None else self.allowed[rows]
        for labels, values in self.unlike:
            keep &= labels[rows] != values[q]
        q, rows = q[keep], rows[keep]
        many = xp.bincount(q, minlength=len(bounds)) > max(FEW, SHARE * bounds.shape[1])
        if bool(many.any()):
            self._search_all(xp.flatnonzero(many), block)
            few = ~many[q]
            q, rows = q[few], rows[few]
        self._consider(q, rows)

    def _search_all(self, which, block):
        """Read a block in full, for some of the queries: `which`, (m,)."""
        xp = array_module(which)
        cosines = matmul(self.queries[which].astype(np.float32), self.embeddings[block].T)
        cosines *= self.shortlist.scale[block]
        cosines = self._filter(cosines, block, which)
        floor, n = self.floor[which], cosines.shape[1]
        if n > self.k:  # the k-th best here is a floor as well, but for the rounding of both
            best = xp.partition(cosines, n - self.k, axis=1)[:, n - self.k]
            floor = xp.maximum(floor, best - self.shortlist.rounding)
        q, rows = self._above(cosines, floor, block)
        self._consider(which[q], rows)
        self.certified[which] = False

    def _filter(self, bounds, block, which=slice(None)):
        """Put -inf where a row may not be a neighbour, in place."""
        xp = array_module(bounds)
        if self.allowed is not None:
            xp.copyto(bounds, -np.inf, where=~self.allowed[block])
        for labels, values in self.unlike:
            xp.copyto(bounds, -np.inf, where=labels[block] == values[which, None])
        return bounds

    def _above(self, bounds, floor, block):
        """The (query, row) pairs whose bound reaches the floor, but for rounding: (P,), (P,)."""
        xp = array_module(bounds)
        floor = (floor - self.shortlist.rounding).astype(np.float32)
        q, place = xp.divmod(xp.flatnonzero(bounds >= floor[:, None]), bounds.shape[1])
        return q, place + block.start

    def _consider(self, q, rows):
        """Step 3: compute the cosines of pairs, and keep the k best of each query."""
        if len(q) == 0:
            return
        xp = array_module(self.rows)
        cosines = pair_cosines(self.embeddings, self.queries, q, rows)
        touched, q = xp.unique(q, return_inverse=True)
        n, k = len(touched), self.k
        q = xp.concatenate([xp.repeat(xp.arange(n), k), q])
        rows = xp.concatenate([self.rows[touched].ravel(), rows])
        cosines = xp.concatenate([self.cosines[touched].ravel(), cosines])
        # By query, then by cosine, then by row; as float64, which holds them all exactly.
        order = xp.lexsort(xp.stack([rows.astype(np.float64), -cosines, q.astype(np.float64)]))
        q = q[order]
        rank = xp.arange(len(q)) - xp.searchsorted(q, xp.arange(n))[q]
        best = order[rank < k]
        self.rows[touched] = rows[best].reshape(n, k)
        self.cosines[touched] = cosines[best].reshape(n, k)
        self.floor = xp.maximum(self.floor, self.cosines[:, -1])
