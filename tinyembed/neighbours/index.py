"""`Index`: exact nearest-neighbour search among embeddings."""

import hashlib
from functools import cached_property
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.neighbours.exact import nearest
from tinyembed.neighbours.files import WORDS, load_index, save_index
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.query import Neighbours, Query
from tinyembed.neighbours.shortlist import Shortlist
from tinyembed.storage.files import reading

Path = str | PathLike[str]
Filter = ArrayLike | None


class Index:
    """Nearest-neighbour search by cosine among N embeddings.

    embeddings: (N, D), a NumPy or CuPy array. It stays on its device, and is not copied if it is
    float32. labels: `Labels`, or None; model: the `Model` that made them, or its `weights_digest`.
    A row of zeros has no direction. Such a row, and a row whose label says that the unit has no
    onset, keep their indices but are never found.
    Raises InputError if a row is not finite, or if there is not one label per row.
    """

    def __init__(
        self,
        embeddings: NDArray[Any],
        labels: Labels | None = None,
        model: Model | str | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        xp = array_module(embeddings)
        if embeddings.ndim != 2 or 0 in embeddings.shape or embeddings.dtype.kind not in "fiu":
            raise InputError(f"embeddings are (N, D) numbers, one or more; not {embeddings.shape}")
        if labels is not None and len(labels) != len(embeddings):
            raise InputError(f"{len(labels):,} labels for {len(embeddings):,} embeddings")
        with np.errstate(over="ignore"):  # the shortlist refuses an infinite row by its index
            same = embeddings.dtype == np.float32  # and may be checked as it is read: keep it
            self.embeddings = embeddings if same else xp.asarray(embeddings, np.float32)
        self.labels = labels
        self.model = _digest(model)
        self.shortlist = shortlist or Shortlist.of(self.embeddings)

    def __len__(self) -> int:
        """The number of rows, including those that are never found."""
        return len(self.embeddings)

    @cached_property
    def findable(self) -> NDArray[np.bool_]:
        """(N,) bool: which rows may be neighbours."""
        has_direction = self.shortlist.scale > 0
        if self.labels is None:
            return has_direction
        return has_direction & array_module(has_direction).asarray(self.labels.sounds)

    @cached_property
    def n_findable(self) -> int:
        """The number of rows that may be neighbours."""
        return int(self.findable.sum())

    def codes(self, name: str) -> NDArray[np.int32]:
        """The index of each row's "piece" or "composer": (N,) int32, on the device."""
        return array_module(self.embeddings).asarray(getattr(self.labels, name))

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        where: Filter = None,
        not_piece: Filter = None,
        not_composer: Filter = None,
    ) -> Neighbours:
        """The k nearest rows to one query or to several.

        queries: (D,) or (Q, D); where: (N,) bool, which rows may be found; not_piece: the index,
        in `labels.pieces`, of a piece whose rows may not be found; not_composer: the same for a
        composer. For several queries these are one index, or (Q,), where -1 is none.
        Returns `Neighbours`. The result is exact: no other row has a greater cosine, as computed
        in float64 and rounded to 12 digits, and of rows with equal cosines the lower are found.
        Raises InputError for a query of another size or without a direction, and for a k larger
        than the number of rows that may be found.
        """
        query = Query.of(self, queries, k, where, not_piece, not_composer)
        return query.result(*nearest(self.embeddings, self.shortlist, query))

    def save(self, path: Path, arrays: dict[str, Any] | None = None, **about: Any) -> None:
        """Write the index to a file, atomically.

        arrays, about: arrays and JSON values by name, to keep in the same file.
        """
        parts = {"embeddings": self.embeddings, **vars(self.shortlist)}
        about = {"model": self.model, "labelled": self.labels is not None, **about}
        if self.labels is not None:
            parts |= self.labels.arrays()
            about |= {"pieces": self.labels.pieces, "composers": self.labels.composers}
        parts |= arrays or {}
        # A loaded array stays itself: it is checked in full before it is written again.
        parts = {n: a if isinstance(a, np.ndarray) else to_host(a) for n, a in parts.items()}
        save_index(path, parts, about)

    @classmethod
    def load(
        cls, path: Path, model: Model | str | None = None, xp: Any = np, verify: bool = False
    ) -> Self:
        """A saved index, mapped into memory: a search reads it from the file.

        model: the `Model` that makes the queries, or its `weights_digest`; xp: cupy, to copy the
        index to a GPU, where it takes 4 D + 132 bytes per row: 0.53 GB for a million rows of 100;
        verify: check every byte of the file now. Without it, the checksums of a large index are
        compared as a search first reads its rows, and the search raises the InputError.
        Raises InputError if the file is missing, damaged, not an index, or the index of another
        model.
        """
        return cls.of_arrays(path, *load_index(path, verify or xp is not np), model, xp)

    @classmethod
    def of_arrays(
        cls, path: Path, arrays: dict[str, Any], about: dict[str, Any],
        model: Model | str | None = None, xp: Any = np,
    ) -> Self:  # fmt: skip
        """The index in the result of `files.load_index(path)`: see `load`."""
        with reading(path, WORDS):
            if model is not None and about["model"] != _digest(model):
                raise InputError(
                    "an index of another model's embeddings, so cosines would mean nothing; make "
                    "it again, or search with the model that made it"
                )
            names, labels = ("embeddings", "table", "scale", "basis"), None
            # On the CPU the arrays stay what they are, and are checked as their rows are read.
            parts = [arrays[name] if xp is np else xp.asarray(arrays[name]) for name in names]
            if about["labelled"]:
                labels = Labels.of_arrays(arrays, about["pieces"], about["composers"])
            parts = (parts[0], labels, about["model"], Shortlist(*parts[1:]))
            return cls.restore(parts, arrays, about)

    @classmethod
    def restore(cls, parts: Any, arrays: dict[str, Any], about: dict[str, Any]) -> Self:
        """The index of `parts`, the arguments of the class. A subclass also reads the rest."""
        return cls(*parts)


def weights_digest(model):
    """The SHA-256 of a model's weights, whatever device they are on and file they came from."""
    digest = hashlib.sha256(model.width.encode())
    for name, array in sorted(model.state().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(to_host(array), np.float32).tobytes())
    return digest.hexdigest()


def _digest(model):
    return weights_digest(model) if isinstance(model, Model) else model
