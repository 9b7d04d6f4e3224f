"""What an index is asked, checked in one place for every kind of index, and what it answers."""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.errors import InputError
from tinyembed.neighbours.shortlist import LONGEST, SHORTEST


@dataclass(frozen=True)
class Neighbours:
    """The rows nearest to a query, the nearest first; of equal cosines the lower row first.

    rows: (k,) int64; cosines: (k,) float64, rounded to 12 digits; certified: bool, whether the
    shortlist alone proved that there are no nearer ones, without a look at every row. For Q
    queries at once each has a Q in front: (Q, k), (Q, k), (Q,). All are on the host.
    """

    rows: np.ndarray
    cosines: np.ndarray
    certified: np.ndarray


@dataclass(frozen=True)
class Question:
    """What to look for, with every array on the index's device.

    queries: (Q, D) float64 of length 1; k: how many neighbours; allowed: (N,) bool, which rows may
    be one, or None for all; unlike: list of (labels (N,), values (Q,)): a neighbour's label is
    another than the query's value; single: whether it was one query, (D,).
    """

    queries: object
    k: int
    allowed: object
    unlike: list
    single: bool

    @classmethod
    def of(cls, index, queries, k, where=None, not_piece=None, not_composer=None):
        """Check what `Index.search` was given. Raises InputError where it cannot be answered."""
        queries, single = _unit_queries(index, queries)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError(f"k {k}: ask for a whole number of neighbours, 1 or more")
        allowed, n_allowed = _allowed(index, where)
        values = {
            name: _values(index, name, value, len(queries))
            for name, value in (("piece", not_piece), ("composer", not_composer))
            if value is not None
        }
        room = _room(index, allowed, values) if values else n_allowed
        if k > room:
            which = "with an onset" if where is None and not values else "that the filters leave"
            raise InputError(f"k {k}: there are only {room:,} units {which}; ask for fewer")
        xp = array_module(queries)
        unlike = [(index.codes(name), xp.asarray(value)) for name, value in values.items()]
        allowed = None if n_allowed == len(index) else allowed
        return cls(queries, int(k), allowed, unlike, single)

    def allowed_to(self, q, n_rows):
        """Which of all rows may be a neighbour of query q: (N,) bool."""
        xp = array_module(self.queries)
        mask = xp.ones(n_rows, bool) if self.allowed is None else self.allowed
        for labels, values in self.unlike:
            mask = mask & (labels != values[q])
        return mask

    def answer(self, rows, cosines, certified):
        """The `Neighbours` of (Q, k), (Q, k) and (Q,) arrays."""
        parts = [to_host(part) for part in (rows, cosines, certified)]
        return Neighbours(*(part[0] if self.single else part for part in parts))


def _unit_queries(index, queries):
    """Queries of length 1, (Q, D) float64, and whether it was a single one."""
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
    """Which rows may be neighbours, (N,) bool, and how many those are."""
    if where is None:
        return index.findable, index.n_findable
    where = array_module(index.embeddings).asarray(where)
    if where.shape != (len(index),) or where.dtype != bool:
        raise InputError(f"where: true or false for each of the {len(index):,} rows is needed")
    allowed = where & index.findable
    return allowed, int(allowed.sum())


def _values(index, name, value, n_queries):
    """(Q,) numbers of pieces or composers, -1 for none."""
    labels = index.labels
    if labels is None:
        raise InputError(f"not_{name}: this index has no labels, so it knows of no {name}")
    names = labels.pieces if name == "piece" else labels.composers
    value = np.asarray(value)
    if value.dtype.kind not in "iu" or value.shape not in ((), (n_queries,)):
        raise InputError(f"not_{name}: the number of a {name}, or one for each query, is needed")
    if value.size and not (value.min() >= -1 and value.max() < len(names)):
        raise InputError(f"not_{name}: {name}s have the numbers 0 to {len(names) - 1}; -1 is none")
    return np.broadcast_to(value, n_queries)


def _room(index, allowed, values):
    """How many rows are left to the query with the fewest."""
    labels = index.labels
    in_piece = np.bincount(labels.piece[to_host(allowed)], minlength=len(labels.pieces))
    in_composer = np.zeros(len(labels.composers), int)
    np.add.at(in_composer, labels.piece_composer, in_piece)
    in_piece, in_composer = np.append(in_piece, 0), np.append(in_composer, 0)  # -1 is none
    piece, composer = values.get("piece", -1), values.get("composer", -1)
    both = np.append(labels.piece_composer, -2)[piece] == composer  # rows taken away twice
    taken = in_piece[piece] + in_composer[composer] - np.where(both, in_piece[piece], 0)
    return int(in_piece.sum() - np.max(taken, initial=0))
