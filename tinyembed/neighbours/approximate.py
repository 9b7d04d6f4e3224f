"""`ApproximateIndex`: nearly the nearest rows, in a fraction of the time, by faiss (extra `index`).

An inverted file: k-means assigns every row to one of some thousand cells, and a query searches only
the cells with the nearest centres. faiss stores only the strongest coordinates of each row, so it
reads a third of the memory. It returns more rows than asked for, a shortlist, which is re-ranked by
full cosines, computed as in `Index`.
"""

import numpy as np

from tinyembed.backends.arrays import array_module
from tinyembed.errors import InputError
from tinyembed.neighbours.cells import arrays_to_cells, cells_to_arrays, import_faiss, new_cells
from tinyembed.neighbours.exact import pair_cosines
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.query import Query
from tinyembed.neighbours.shortlist import COLUMNS, project
from tinyembed.storage.values import check, number, whole

ROWS_PER_CELL = 500
MOST_CELLS = 4096
TRAINING, ITERATIONS = 64, 10  # training rows per cell, and iterations of k-means
RESIDUAL = 0.05  # of the mean square of a row: faiss may miss this much, given 32 numbers or more
OVERSAMPLING = 10  # faiss returns this many times the rows asked for
TRIALS = 256  # queries of the trial that chooses the number of cells to search
BLOCK = 65_536  # rows at a time
OWN = ("probes", "recall")  # the values in its file, beside those of an `Index`


class ApproximateIndex(Index):
    """An `Index` that may miss a neighbour: the same methods and results, none of them certified.

    recall: the share of the ten nearest rows to find. Attributes: recall, the share found in a
    trial with rows of the index as queries and their own pieces excluded; and probes, the number
    of cells that a search visits, the smallest with which the trial reached the recall.
    Raises InputError without faiss, and for embeddings on a GPU.
    """

    def __init__(
        self, embeddings, labels=None, model=None, shortlist=None, recall=0.993, cells=None
    ):
        if array_module(embeddings) is not np:
            raise InputError("an approximate index works on the CPU: it needs a NumPy array")
        import_faiss()
        super().__init__(embeddings, labels, model, shortlist)
        rows = np.flatnonzero(self.findable)
        self.cells, self.probes, self.recall = cells, 1, 1.0
        if cells is None:
            self.cells = self._make_cells(rows)
            self._choose_probes(recall, rows)

    def search(self, queries, k=10, where=None, not_piece=None, not_composer=None):
        """The k nearest rows, some of which may be missed: as `Index.search`."""
        query = Query.of(self, queries, k, where, not_piece, not_composer)
        projected = project(query.vectors, self.shortlist.basis, self.cells.d).astype(np.float32)
        if query.excluded:  # each query has its own filter
            masks = [query.allowed_to(q) for q in range(len(projected))]
            parts = zip(np.split(projected, len(projected)), masks, strict=True)
            rows = np.concatenate([self._candidates(part, k, mask) for part, mask in parts])
        else:
            rows = self._candidates(projected, k, None if where is None else query.allowed)
        there = rows >= 0
        cosines = np.full(rows.shape, -np.inf)
        q = np.nonzero(there)[0]
        cosines[there] = pair_cosines(self.embeddings, query.vectors, q, rows[there])
        best = np.lexsort((rows, -cosines), axis=-1)[:, :k]
        found = (np.take_along_axis(part, best, axis=1) for part in (rows, cosines))
        return query.result(*found, np.zeros(len(rows), bool))

    def save(self, path, arrays=None, **about):
        """Write the index to a file, as `Index.save`."""
        about = {"probes": self.probes, "recall": self.recall, **about}
        super().save(path, cells_to_arrays(self.cells) | (arrays or {}), **about)

    @classmethod
    def restore(cls, parts, arrays, about):
        """As `Index.restore`, with the saved cells."""
        n, d = parts[0].shape
        cells = arrays_to_cells(arrays, n, most=d + 1)
        index = cls(*parts, cells=cells)
        if cells.ntotal != np.count_nonzero(index.findable):
            raise InputError("its parts do not fit: they are of different indexes")
        check(about, {"probes": whole(1, cells.nlist), "recall": number(0, 1)}, OWN)
        index.probes, index.recall = about["probes"], about["recall"]
        return index

    def _make_cells(self, rows):
        """faiss's inverted file of the rows that may be found."""
        size = self._columns(rows)
        n_cells = max(1, min(MOST_CELLS, len(rows) // ROWS_PER_CELL))
        cells = new_cells(size, n_cells)
        cells.cp.niter, cells.cp.spherical = ITERATIONS, True
        cells.cp.min_points_per_centroid = 1  # otherwise faiss warns about a small index
        sample = rows[:: max(1, len(rows) // (TRAINING * n_cells))]
        cells.train(self._project(sample, size) if len(sample) else np.eye(1, size, dtype="f4"))
        for i in range(0, len(rows), BLOCK):
            cells.add_with_ids(self._project(rows[i : i + BLOCK], size), rows[i : i + BLOCK])
        return cells

    def _columns(self, rows):
        """How many numbers per row faiss stores: enough for nearly all of the mean square."""
        sample = rows[:: -(-len(rows) // BLOCK) or 1]
        d = self.embeddings.shape[1]
        squares = (self._project(sample, d + 1).astype(np.float64) ** 2).mean(axis=0)
        enough = np.cumsum(squares) >= 1 - RESIDUAL
        return min(d + 1, max(COLUMNS, int(enough.argmax()) + 2)) if enough.any() else d + 1

    def _project(self, rows, size):
        """The first coordinates of rows, then the length of the rest: (n, size) float32."""
        unit = self.embeddings[rows] * self.shortlist.scale[rows, None]
        return project(unit.astype(np.float64), self.shortlist.basis, size).astype(np.float32)

    def _choose_probes(self, recall, rows):
        """Search more and more cells until a trial reaches the recall."""
        rows = rows[:: -(-len(rows) // TRIALS) or 1]
        piece, most = None, len(rows)
        if self.labels is not None:  # the next beat of the same piece would be too easy to find
            sizes = np.bincount(self.labels.piece[self.findable], minlength=1)
            if sizes.sum() > sizes.max():
                piece, most = self.labels.piece[rows], sizes.sum() - sizes.max()
        if len(rows) == 0:
            return
        trial = {"queries": self.embeddings[rows], "k": int(min(10, most)), "not_piece": piece}
        least = super().search(**trial).cosines[:, -1:]
        tried = []
        while True:
            self.recall = float((self.search(**trial).cosines >= least).mean())
            tried.append(self.recall)
            # Twice the cells found no more, so the missed rows are not in other cells.
            stalled = len(tried) > 4 and tried[-1] <= tried[-5]
            if self.recall >= recall or stalled or self.probes >= self.cells.nlist:
                return
            self.probes = min(self.cells.nlist, max(self.probes + 1, self.probes * 5 // 4))

    def _candidates(self, queries, k, allowed):
        """The rows that faiss finds: (Q, 10 k), -1 where there are no more.

        queries: (Q, size) float32; allowed: (N,) bool, or None for all that may be found.
        A filter may leave no row in the visited cells; the search then visits more.
        """
        faiss, probes, selector = import_faiss(), self.probes, None
        if allowed is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        while True:
            params = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
            _, rows = self.cells.search(queries, OVERSAMPLING * k, params=params)
            if probes >= self.cells.nlist or (rows[:, k - 1] >= 0).all():
                return rows
            probes *= 2
