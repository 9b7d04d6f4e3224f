"""The pieces as points: one per piece of the page, beside the points of its units."""

from dataclasses import dataclass

import numpy as np

from tinyembed.explorer.maps import NEAREST, pca_map
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.pieces import PieceSearch, typical

NEIGHBOURS = 10  # of a unit or a piece


@dataclass(frozen=True)
class PieceMap:
    """p pieces, in the order of the collection.

    pieces:           (p,) int, their indices in the collection
    unit:             (p,) int, the unit shown and played for each, an index into the page's units
    positions:        (p, 2) float64
    map_description:  what the positions are, in words
    neighbours:       (p, 10) int64, the nearest pieces, nearest first, as indices into `pieces`; -1
                      where there are no more
    cosines:          (p, 10) float64, of the neighbours; 0 where there is none
    """

    pieces: np.ndarray
    unit: np.ndarray
    positions: np.ndarray
    map_description: str
    neighbours: np.ndarray
    cosines: np.ndarray

    @classmethod
    def of(cls, collection, rows, layout, seed=0, progress=None):
        """The pieces of some units of a `Collection`, as `PieceSearch` compares them.

        rows: (n,) rows of its index, ascending; the most typical of a piece's units among them
        stands for it; layout, seed, progress: as in `Contents.of`. Of too few pieces for UMAP the
        map is PCA's. A piece without an onset among its units is left out.
        """
        labels = collection.index.labels
        sounds = labels.sounds[rows]
        pieces = np.unique(labels.piece[rows][sounds])
        search = PieceSearch(collection)
        vectors = search.standardized(search.vectors)[pieces].astype(np.float32)
        place = layout if len(pieces) > NEAREST else pca_map
        positions, description = place(vectors, seed, progress)
        unit = []
        for piece in pieces:
            own = np.flatnonzero(labels.piece[rows] == piece)
            embeddings = collection.index.embeddings[rows[own]]
            unit.append(own[typical(embeddings, sounds[own])])
        shape = (len(pieces), NEIGHBOURS)
        neighbours, cosines = np.full(shape, -1), np.zeros(shape)
        if k := min(NEIGHBOURS, len(pieces) - 1):
            names = Labels.of(np.arange(len(pieces)).astype(str), composer=[""] * len(pieces))
            others = Index(vectors, names)
            found = others.search(vectors, k, not_piece=names.piece)
            neighbours[:, :k], cosines[:, :k] = found.rows, found.cosines
        return cls(pieces, np.array(unit), positions, description, neighbours, cosines)
