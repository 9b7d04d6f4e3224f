"""The k nearest rows, exactly: bound every row, then read only the rows that may be among them.

1. Find a floor: the k-th best cosine in a small sample. No row below it is a neighbour.
2. Block by block, and for many queries at once, bound all cosines from above by the shortlist:
   one small matrix product.
3. Compute the cosines of the few rows whose bound reaches the floor, in float64, and keep the
   best. The floor rises with them.

If the bounds are so loose that too many rows of a block reach the floor, the query reads that block
in full. The result is exact either way; where no block was read, the shortlist certified it.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.backends.sharing import share_out
from tinyembed.neighbours.shortlist import SHORTEST

QUERIES = 256  # queries in one matrix product,
RESULTS = 1 << 16  # or fewer, so that they have at most this many neighbours
# Bounds computed at a time: 4 MB, which fit the cache of a CPU. A GPU computes 64 MB at a time,
# because a kernel launch costs the same however much it computes.
CELLS, GPU_CELLS = 1 << 20, 1 << 24
SAMPLE = 1 << 14  # rows, or 64 per neighbour
PAIRS, GPU_PAIRS = 1 << 14, 1 << 17  # cosines computed at a time: 13 MB of rows, or 105 MB
FEW = 512  # up to this many rows of a block are read one by one,
SHARE = 1 / 32  # or this share of the block; above it, reading the whole block is faster
DIGITS = 12  # of a cosine; beyond them float64 rounds differently from row to row


def nearest(embeddings, shortlist, query):
    """The neighbours of a `Query`: rows (Q, k), cosines (Q, k), certified (Q,), on the device.

    embeddings: (N, D) float32, and their `Shortlist`.
    """
    xp = array_module(embeddings)
    k, at_once = query.k, max(1, min(QUERIES, RESULTS // query.k))
    parts = [query[i : i + at_once] for i in range(0, len(query.vectors), at_once)]

    def search(part):
        return _Search(embeddings, shortlist, part).run()

    # The products of a single part are left to all threads of BLAS.
    parts = share_out(search, parts, xp) if len(parts) > 1 else [search(part) for part in parts]
    parts.append((xp.zeros((0, k), int), xp.zeros((0, k)), xp.zeros(0, bool)))
    return [xp.concatenate(part) for part in zip(*parts, strict=True)]


def pair_cosines(embeddings, vectors, q, rows):
    """The cosines of the pairs vectors[q[i]] and embeddings[rows[i]]: (P,) float64.

    embeddings: (N, D); vectors: (Q, D) float64 of length 1; q, rows: (P,). Each is a sum over one
    row alone, in an order independent of the row's position: equal rows have equal cosines.
    """
    xp = array_module(embeddings)
    cosines = xp.empty(len(rows), np.float64)
    at_once = PAIRS if xp is np else GPU_PAIRS
    for i in range(0, len(rows), at_once):
        some = slice(i, i + at_once)
        x = embeddings[rows[some]].astype(np.float64)
        length = xp.maximum(xp.sqrt((x * x).sum(axis=1)), SHORTEST)
        cosines[some] = (x * vectors[q[some]]).sum(axis=1) / length
    return xp.round(cosines, DIGITS)


class _Search:
    """The search of up to 256 queries: the best rows so far, and the floor of each query."""

    def __init__(self, embeddings, shortlist, query):
        xp, q, n = array_module(embeddings), len(query.vectors), len(embeddings)
        self.embeddings, self.shortlist, self.query = embeddings, shortlist, query
        self.projected = shortlist.project(query.vectors)
        self.floor = xp.full(q, -2.0)
        self.rows = xp.full((q, query.k), n)
        self.cosines = xp.full((q, query.k), -np.inf)
        self.certified = xp.ones(q, bool)

    def run(self):
        """Search all blocks. Returns rows, cosines, certified."""
        self._raise_floor()
        cells = CELLS if array_module(self.embeddings) is np else GPU_CELLS
        n, step = len(self.embeddings), cells // len(self.projected)
        for start in range(0, n, step):
            self._search_block(slice(start, min(start + step, n)))
        return self.rows, self.cosines, self.certified

    def _raise_floor(self):
        """Step 1: the k-th best cosine among the most promising rows of a sample."""
        xp, k = array_module(self.rows), self.query.k
        step = max(1, len(self.embeddings) // max(SAMPLE, 64 * k))
        sample = slice(0, len(self.embeddings), step)
        bounds = self._filter(self.shortlist.bounds(self.projected, sample), sample)
        n, candidates = bounds.shape[1], 4 * k
        if n <= candidates:  # so few rows that the search reads them all
            return
        columns = xp.argpartition(bounds, n - candidates, axis=1)[:, n - candidates :]
        q = xp.repeat(xp.arange(len(bounds)), candidates)
        there = xp.isfinite(bounds[q, columns.ravel()])  # a filter may leave fewer
        cosines = pair_cosines(self.embeddings, self.query.vectors, q, columns.ravel() * step)
        cosines = xp.where(there, cosines, -2.0).reshape(columns.shape)
        self.floor = xp.sort(cosines, axis=1)[:, -k]

    def _search_block(self, block):
        """Step 2, then step 3 for each query with few rows above its floor."""
        bounds = self.shortlist.bounds(self.projected, block)  # (Q, n)
        xp = array_module(bounds)
        q, rows = self._above(bounds, self.floor, block)
        keep = xp.ones(len(q), bool) if self.query.allowed is None else self.query.allowed[rows]
        for codes, values in self.query.excluded:
            keep &= codes[rows] != values[q]
        q, rows = q[keep], rows[keep]
        many = xp.bincount(q, minlength=len(bounds)) > max(FEW, SHARE * bounds.shape[1])
        if bool(many.any()):
            self._search_all(xp.flatnonzero(many), block)
            few = ~many[q]
            q, rows = q[few], rows[few]
        self._consider(q, rows)

    def _search_all(self, which, block):
        """Read a block in full for some of the queries, `which`: (m,)."""
        xp, k = array_module(which), self.query.k
        vectors = self.query.vectors[which].astype(np.float32)
        cosines = matmul(vectors, self.embeddings[block].T)
        cosines *= self.shortlist.scale[block]
        cosines = self._filter(cosines, block, which)
        floor, n = self.floor[which], cosines.shape[1]
        if n > k:  # the k-th best of this block, less the rounding of both, is a floor too
            best = xp.partition(cosines, n - k, axis=1)[:, n - k]
            floor = xp.maximum(floor, best - self.shortlist.rounding)
        q, rows = self._above(cosines, floor, block)
        self._consider(which[q], rows)
        self.certified[which] = False

    def _filter(self, bounds, block, which=slice(None)):
        """Write -inf, in place, for each row that may not be a neighbour."""
        xp = array_module(bounds)
        if self.query.allowed is not None:
            xp.copyto(bounds, -np.inf, where=~self.query.allowed[block])
        for codes, values in self.query.excluded:
            xp.copyto(bounds, -np.inf, where=codes[block] == values[which, None])
        return bounds

    def _above(self, bounds, floor, block):
        """The (query, row) pairs whose bound reaches the floor, less rounding: (P,), (P,)."""
        xp = array_module(bounds)
        floor = (floor - self.shortlist.rounding).astype(np.float32)
        q, column = xp.divmod(xp.flatnonzero(bounds >= floor[:, None]), bounds.shape[1])
        return q, column + block.start

    def _consider(self, q, rows):
        """Step 3: compute the cosines of pairs, and keep the k best of each query."""
        if len(q) == 0:
            return
        xp, k = array_module(self.rows), self.query.k
        cosines = pair_cosines(self.embeddings, self.query.vectors, q, rows)
        touched, q = xp.unique(q, return_inverse=True)
        n = len(touched)
        q = xp.concatenate([xp.repeat(xp.arange(n), k), q])
        rows = xp.concatenate([self.rows[touched].ravel(), rows])
        cosines = xp.concatenate([self.cosines[touched].ravel(), cosines])
        # By query, then cosine, then row; as float64, which represents all of them exactly.
        order = xp.lexsort(xp.stack([rows.astype(np.float64), -cosines, q.astype(np.float64)]))
        q = q[order]
        rank = xp.arange(len(q)) - xp.searchsorted(q, xp.arange(n))[q]
        best = order[rank < k]
        self.rows[touched] = rows[best].reshape(n, k)
        self.cosines[touched] = cosines[best].reshape(n, k)
        self.floor = xp.maximum(self.floor, self.cosines[:, -1])
