"""`LargeIndex`: nearly the nearest of more rows than memory holds, by faiss (extra `index`).

A query visits the lists whose centres are nearest to it. From a code of 50 bytes per row faiss
estimates their cosines, and names a few hundred candidates. These are read from the embeddings'
own files, and ranked exactly.
"""

import os
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyembed.embedding.shards import Embeddings
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.neighbours.cells import import_faiss
from tinyembed.neighbours.exact import pair_cosines
from tinyembed.neighbours.index import weights_digest
from tinyembed.neighbours.large_files import (
    AGAIN,
    DATA,
    RECORD,
    ROW_NUMBER,
    load_lists,
    load_quantizer,
    read_settings,
)
from tinyembed.neighbours.large_plan import CANDIDATES, PER_NEIGHBOUR
from tinyembed.neighbours.large_quantizer import attach, make
from tinyembed.neighbours.large_rows import Rows, release
from tinyembed.neighbours.query import Neighbours, Query
from tinyembed.storage.text import printable


class LargeIndex:
    """An index that `build` made (large_build.py), and the embeddings it is of.

    labels: `Rows`, whose `row(n)` says what row n is; probes: the lists that a query visits, if it
    does not say so itself; size: the numbers of a row.
    """

    findable = np.True_  # of the rows; those without a direction are in no list

    def __init__(self, folder: Path, settings: dict[str, Any], embeddings: Embeddings) -> None:
        self.folder, self.settings = folder, settings
        self.labels = Rows(embeddings)
        self.size, self.probes = embeddings.size, settings["probes"]
        arrays, digest = load_quantizer(folder, settings)
        self.rotation = arrays["rotation"].astype(np.float64)
        self.sizes, self.lists = load_lists(folder, settings, digest)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)]) * (
            settings["bytes"] + ROW_NUMBER
        )
        self.n_findable, self.n_pieces = int(self.sizes.sum()), embeddings.found["pieces"]
        self.faiss = make(arrays)
        attach(self.faiss, folder / DATA, self.sizes)

    @classmethod
    def open(
        cls, path: str | PathLike[str], model: Model | str | None = None, verify: bool = False
    ) -> Self:
        """The index in a folder. Its rows stay on the disk, and so do its lists.

        model: the `Model` that makes the queries, or its `weights_digest`; verify: check every byte
        of the index and of the embeddings now. Without it, checksums are compared as a search first
        reads a list or a row, and the search raises the InputError.
        Raises InputError if something is missing, damaged, not finished or of another model, if the
        embeddings were moved or changed, and without faiss.
        """
        import_faiss()
        folder = Path(path)
        settings = read_settings(folder)
        digest = weights_digest(model) if isinstance(model, Model) else model
        if digest is not None and settings["weights"] != digest:
            raise InputError(
                f"{printable(folder)}: an index of another model's embeddings, "
                f"{settings['model']}, so cosines would mean nothing; search with --model "
                f"{settings['model']}"
            )
        index = cls(folder, settings, _embeddings_of(folder, settings))
        if verify:
            index.lists.verify()
            release(index.lists)
            index.labels.verify()
        return index

    def __len__(self) -> int:
        """The number of rows, including those that are never found."""
        return int(self.settings["rows"])

    @property
    def embeddings(self) -> NDArray[np.float16]:
        """None of the rows, (0, D): how long a query must be."""
        return np.empty((0, self.size), np.float16)

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        where: ArrayLike | None = None,
        probes: int | None = None,
    ) -> Neighbours:
        """The k nearest rows to one query or to several, some of which may be missed.

        queries: (D,) or (Q, D); where: (N,) bool, which rows may be found; probes: how many lists
        to visit: more of them miss less and take longer.
        Returns `Neighbours`, none of them certified, with the cosines that an `Index` would compute
        for the same float16 rows. Raises InputError for a query of another size or without a
        direction, for a k larger than the number of rows that may be found, and for damaged files.
        """
        query = Query.of(self, queries, k, where)
        selector, bits = None, None
        if where is not None:
            bits = np.packbits(np.asarray(where), bitorder="little")
            selector = import_faiss().IDSelectorBitmap(bits)
        probes = self._probes(probes)
        found = [self._nearest(vector, query.k, selector, probes) for vector in query.vectors]
        rows, cosines = (np.array(part) for part in zip(*found, strict=True))
        return query.result(rows, cosines, np.zeros(len(rows), bool))

    def _probes(self, probes):
        if probes is None:
            return self.probes
        if isinstance(probes, bool) or not isinstance(probes, (int, np.integer)) or probes < 1:
            raise InputError(f"probes {probes}: visit a whole number of lists, 1 or more")
        return min(int(probes), self.faiss.nlist)

    def _nearest(self, vector, k, selector, probes):
        """The k nearest rows that the codes make candidates, and their cosines: (k,), (k,)."""
        rotated = (self.rotation @ vector).astype(np.float32)[None]
        wanted = min(len(self), max(CANDIDATES, PER_NEIGHBOUR * k))
        rows = self._candidates(rotated, wanted, selector, probes)
        while len(rows) < k and probes < self.faiss.nlist:  # a filter may leave too few there
            probes = min(2 * probes, self.faiss.nlist)
            rows = self._candidates(rotated, wanted, selector, probes)
        rows = np.sort(rows)
        queries = np.zeros(len(rows), np.int64)
        cosines = pair_cosines(self.labels[rows], vector[None], queries, np.arange(len(rows)))
        best = np.lexsort((rows, -cosines))[:k]
        fill = (0, k - len(best))  # where there are no more, which `Query.result` refuses
        return np.pad(rows[best], fill), np.pad(cosines[best], fill, constant_values=-np.inf)

    def _candidates(self, query, n, selector, probes):
        """The n rows with the best codes in the nearest lists: (n,) or fewer."""
        self._check(query, probes)
        params = import_faiss().SearchParametersIVF(nprobe=probes, sel=selector)
        rows = self.faiss.search(query, n, params=params)[1][0]
        rows = rows[rows >= 0] if len(rows) and rows.min() >= -1 else rows
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self) or len(set(rows)) < len(rows)):
            raise InputError(f"{printable(self.folder / DATA)}: damaged: impossible rows; {AGAIN}")
        return rows

    def _check(self, query, probes):
        """Compare the checksums of the lists that a query will visit."""
        if self.lists.unchecked is None or not self.lists.unchecked.any():
            return
        for n in self.faiss.quantizer.search(query, probes)[1][0].tolist():
            if self.sizes[n]:
                part = slice(int(self.starts[n]), int(self.starts[n + 1]))
                _ = self.lists[part]  # a `CheckedArray` is checked as it is read
        release(self.lists)  # faiss maps the file itself


def _embeddings_of(folder, settings):
    """The `Embeddings` that an index is of. Raises InputError if they are not where they were."""
    path = Path(os.path.normpath(folder / settings["embeddings"]))
    title = printable(folder / RECORD)
    try:
        embeddings = Embeddings.open(path)
    except InputError as error:
        raise InputError(
            f"{title}: its embeddings are not where they were: {error}; move them back, or {AGAIN}"
        ) from None
    ours = settings["digest"], settings["rows"], settings["dimensions"]
    if (embeddings.digest, len(embeddings), embeddings.size) != ours:
        raise InputError(
            f"{title}: the embeddings in {printable(path)} have changed since it was built; {AGAIN}"
        )
    return embeddings
