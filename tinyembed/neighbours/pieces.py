"""The pieces of a collection that are nearest to a piece: one vector each, compared by cosine."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.embedding.embed import embed_piece
from tinyembed.errors import InputError
from tinyembed.models.pooling import piece_vector
from tinyembed.music.roll import units_have_onsets

FEW = 10  # pieces; with fewer, their mean and deviation say little


@dataclass(frozen=True)
class PieceNeighbours:
    """The nearest pieces to one: pieces (k,) indices, cosines (k,), the nearest first; and how many
    could be found."""

    pieces: np.ndarray
    cosines: np.ndarray
    searched: int


class PieceSearch:
    """The pieces of a `Collection`, each as the mean and deviation of its units' embeddings.

    Each of these numbers is brought to mean 0 and variance 1 over the collection's pieces, so that
    one that varies little counts as much as another. With fewer than ten pieces they stay as they
    are.
    """

    def __init__(self, collection):
        self.collection = collection

    @cached_property
    def vectors(self):
        """(P, 200) float64, as `embed(..., per="piece")` returns them."""
        labels, embeddings = self.collection.index.labels, self.collection.index.embeddings
        order = np.argsort(labels.piece, kind="stable")  # of a corpus it already is
        bounds = np.searchsorted(labels.piece[order], np.arange(len(labels.pieces) + 1))
        return np.stack(
            [
                piece_vector(to_host(embeddings[rows]), labels.sounds[rows])
                for rows in (order[a:b] for a, b in pairwise(bounds))
            ]
        ).astype(np.float64)

    def standardized(self, x):
        """Vectors (..., 200) as the search compares them; see above."""
        rows = self.vectors
        if len(rows) < FEW:
            return x
        constant = rows.max(axis=0) == rows.min(axis=0)
        return (x - rows.mean(axis=0)) / np.where(constant, np.inf, rows.std(axis=0))

    def nearest(self, piece, model, k, where=None):
        """The k nearest to a `Piece`, or all where there are fewer: `PieceNeighbours`.

        where: (P,) bool, which may be found, or None for all. Equal cosines are in the order of
        the collection. Raises InputError where none may be found.
        """
        allowed = np.arange(len(self.vectors)) if where is None else np.flatnonzero(where)
        if len(allowed) == 0:
            raise InputError("no piece to compare with: there is no other one")
        query = piece_vector(embed_piece(piece, model), units_have_onsets(piece))
        query, rows = self.standardized(query.astype(np.float64)), self.standardized(self.vectors)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        cosines = np.divide(rows @ query, lengths, out=np.zeros(len(rows)), where=lengths > 0)
        order = allowed[np.argsort(-np.round(cosines[allowed], 12), kind="stable")][:k]
        return PieceNeighbours(order, cosines[order], len(allowed))

    def typical_unit(self, piece):
        """The row of the index with the most typical unit of a piece, to listen to."""
        index = self.collection.index
        rows = np.flatnonzero(index.labels.piece == piece)
        return int(rows[typical(to_host(index.embeddings[rows]), index.labels.sounds[rows])])


def typical(rows, sounds):
    """Which unit of a piece is nearest to their mean, by cosine: an index.

    rows: (N, D); sounds: (N,) bool, whether a unit has an onset; others are not taken.
    """
    rows = rows.astype(np.float64)
    mean = rows[sounds].mean(axis=0) if sounds.any() else rows.mean(axis=0)
    cosines = rows @ mean / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    return int(np.argmax(np.where(sounds, cosines, -np.inf)))


def piece_rows(labels, found):
    """A dict for each of `PieceNeighbours`: rank, cosine, composer, piece."""
    return [
        {
            "rank": rank,
            "cosine": round(float(cosine), 6),
            "composer": labels.composers[labels.piece_composer[piece]],
            "piece": labels.pieces[piece],
        }
        for rank, (piece, cosine) in enumerate(
            zip(found.pieces, found.cosines, strict=True), start=1
        )
    ]


def piece_table(rows):
    """The lines of a table of `piece_rows`."""
    composer = max(len("composer"), *(len(row["composer"]) for row in rows))
    yield f"{'rank':>4}  cosine  {'composer':{composer}}  piece"
    for row in rows:
        name = row["piece"].removeprefix(f"{row['composer']}/")
        yield f"{row['rank']:4}  {row['cosine']:6.3f}  {row['composer']:{composer}}  {name}"
