"""A checked query, shared by every kind of index, and the neighbours that answer it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.errors import InputError
from tinyembed.neighbours.shortlist import LONGEST, SHORTEST


@dataclass(frozen=True)
class Neighbours:
    """The rows nearest to a query, nearest first; rows with equal cosines in ascending order.

    rows: (k,) int64; cosines: (k,) float64, rounded to 12 digits; certified: bool, whether the
    shortlist alone proved that no other row is nearer, without reading every row. For Q queries
    each array has a leading axis Q: (Q, k), (Q, k), (Q,). All are on the host.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float64]
    certified: NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """A batch of Q queries, with every array on the index's device.

    vectors: (Q, D) float64 of length 1; k: the number of neighbours; allowed: (N,) bool, which
    rows may be neighbours, or None for all; excluded: list of (codes (N,), values (Q,)): a row is
    no neighbour of a query if its code equals the query's value; single: whether the caller
    passed one query, (D,).
    """

    vectors: object
    k: int
    allowed: object
    excluded: list
    single: bool

    @classmethod
    def of(cls, index, queries, k, where=None, not_piece=None, not_composer=None):
        """Check the arguments of `Index.search`. Raises InputError if they are wrong."""
        vectors, single = _unit_vectors(index, queries)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError(f"k {k}: ask for a whole number of neighbours, 1 or more")
        allowed, n_allowed = _allowed(index, where)
        excluded = [
            _exclusion(index, name, value, len(vectors))
            for name, value in (("piece", not_piece), ("composer", not_composer))
            if value is not None
        ]
        if k > n_allowed:
            filtered = where is not None or excluded
            raise _too_few(k, n_allowed, "that the filters leave" if filtered else "with an onset")
        allowed = allowed if n_allowed < len(index) else None
        return cls(vectors, int(k), allowed, excluded, single)

    def __getitem__(self, part):
        """The queries of a slice."""
        excluded = [(codes, values[part]) for codes, values in self.excluded]
        return replace(self, vectors=self.vectors[part], excluded=excluded)

    def allowed_to(self, q):
        """Which rows may be neighbours of query q: (N,) bool. There must be something excluded."""
        mask = True if self.allowed is None else self.allowed
        for codes, values in self.excluded:
            mask = mask & (codes != values[q])
        return mask

    def result(self, rows, cosines, certified):
        """The `Neighbours` in arrays of shape (Q, k), (Q, k) and (Q,).

        Raises InputError if a query excludes so many rows that fewer than k are left.
        """
        parts = [to_host(part) for part in (rows, cosines, certified)]
        if not np.isfinite(parts[1]).all():
            if not self.excluded:  # a file that was made by hand
                raise InputError("its shortlist hides some of its rows; make the index again")
            n_left = min(int(self.allowed_to(q).sum()) for q in range(len(rows)))
            raise _too_few(self.k, n_left, "that the filters leave")
        return Neighbours(*(part[0] if self.single else part for part in parts))


def _too_few(k, n, which):
    return InputError(f"k {k}: there are only {n:,} units {which}; ask for fewer")


def _unit_vectors(index, queries):
    """The queries scaled to length 1, (Q, D) float64, and whether there was a single one."""
    xp, size = array_module(index.embeddings), index.embeddings.shape[1]
    if xp is np and hasattr(queries, "__cuda_array_interface__"):
        queries = to_host(queries)
    queries = xp.asarray(queries, np.float64)
    if queries.ndim not in (1, 2) or queries.shape[-1] != size:
        raise InputError(f"a query is ({size},) or (Q, {size}) numbers; this is {queries.shape}")
    single, queries = queries.ndim == 1, xp.atleast_2d(queries)
    length = xp.sqrt((queries * queries).sum(axis=1, keepdims=True))
    if not bool(((length > SHORTEST) & (length <= LONGEST)).all()):
        raise InputError("a query is zero or not finite: it has no direction to compare")
    return queries / length, single


def _allowed(index, where):
    """Which rows may be neighbours, (N,) bool, and how many they are."""
    if where is None:
        return index.findable, index.n_findable
    where = array_module(index.embeddings).asarray(where)
    if where.shape != (len(index),) or where.dtype != bool:
        raise InputError(f"where: true or false for each of the {len(index):,} rows is needed")
    allowed = where & index.findable
    return allowed, int(allowed.sum())


def _exclusion(index, name, value, n_queries):
    """The index of each row's piece or composer, (N,), and of each query's, (Q,), or -1."""
    labels = index.labels
    if labels is None:
        raise InputError(f"not_{name}: this index has no labels, so it knows of no {name}")
    names = labels.pieces if name == "piece" else labels.composers
    value = np.asarray(value)
    if value.dtype.kind not in "iu" or value.shape not in ((), (n_queries,)):
        raise InputError(f"not_{name}: the index of a {name}, or one per query, is needed")
    if value.size and not (value.min() >= -1 and value.max() < len(names)):
        raise InputError(f"not_{name}: {name}s have the indices 0 to {len(names) - 1}; -1 is none")
    codes = index.codes(name)
    return codes, array_module(codes).asarray(np.broadcast_to(value, n_queries))
