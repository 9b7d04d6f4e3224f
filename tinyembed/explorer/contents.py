"""What the explorer shows: units of a collection, their positions on a map, their neighbours."""

from dataclasses import dataclass, replace

import numpy as np

from tinyembed.explorer.pieces import NEIGHBOURS, PieceMap
from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, fold, ragged
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.storage.progress import progress_bar

QUERIES = 1024  # queries in one search; after each the progress bar moves


@dataclass(frozen=True)
class Contents:
    """n units of a `Collection`, in the order of its rows; all arrays are on the host.

    rows:             (n,) int64, their rows in the collection's index
    placed:           (n,) bool, whether the unit is on the map and may be a neighbour: whether it
                      has an onset
    positions:        (n, 2) float64; nan for a unit that is not placed
    map_description:  what the positions are, in words
    neighbours:       (n, 10) int64, the units of other pieces nearest to each, nearest first, as
                      indices into `rows`; -1 where there are no more, and for a unit not placed
    cosines:          (n, 10) float64, of the neighbours; 0 where there is none
    pieces:           the same pieces as points, or None
    """

    collection: Collection
    rows: np.ndarray
    placed: np.ndarray
    positions: np.ndarray
    map_description: str
    neighbours: np.ndarray
    cosines: np.ndarray
    pieces: PieceMap | None = None

    @classmethod
    def of(cls, collection, units, layout, seed=0, progress=None):
        """Draw units, lay out their map, and find their neighbours among them.

        units: the largest number of them; layout: one of `maps.MAPS`; seed: for the draw and the
        layout; progress: False for no progress bars.
        """
        index = collection.index
        rows = draw_rows(len(index), units, seed)
        placed = index.findable[rows]
        positions, description = np.full((len(rows), 2), np.nan), "no unit has an onset"
        pieces = None
        if placed.any():
            positions[placed], description = layout(index.embeddings[rows[placed]], seed, progress)
            pieces = PieceMap.of(collection, rows, layout, seed, progress)
        found = find_neighbours(index, rows, progress)
        return cls(collection, rows, placed, positions, description, *found, pieces)

    def __len__(self):
        return len(self.rows)


def draw_rows(n_rows, units, seed):
    """All rows, or `units` of them drawn uniformly with a seed: ascending, int64."""
    if n_rows <= units:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, units, replace=False))


def find_neighbours(index, rows, progress=None):
    """The nearest of `rows`, in other pieces, to each of them: see `Contents`.

    The result is that of `index.search` with `where` these rows and `not_piece` the unit's own
    piece; a smaller index of these rows alone is faster.
    """
    per_row = {n: getattr(index.labels, n)[rows] for n in ("piece", "beat", "sounds", "seconds")}
    index = Index(index.embeddings[rows], replace(index.labels, **per_row))
    piece = index.labels.piece
    in_piece = np.bincount(piece[index.findable], minlength=len(index.labels.pieces))
    available = np.minimum(index.n_findable - in_piece[piece], NEIGHBOURS) * index.findable
    shape = (len(rows), NEIGHBOURS)
    neighbours, cosines = np.full(shape, -1), np.zeros(shape)
    about = {"desc": "neighbours", "unit": " units", "delay": 1}
    with progress_bar(progress, total=len(rows), **about) as bar:
        bar.update(int((available == 0).sum()))
        for k in np.unique(available[available > 0]).tolist():  # below 10 only in a tiny corpus
            units = np.flatnonzero(available == k)
            for some in np.array_split(units, -(-len(units) // QUERIES)):
                found = index.search(index.embeddings[some], k, not_piece=piece[some])
                neighbours[some, :k], cosines[some, :k] = found.rows, found.cosines
                bar.update(len(some))
    return neighbours, cosines


def cut_notes(corpus, beats):
    """The onsets of units, each beat of the music once, even if several units contain it.

    beats: (n,) ascending, the first beat of each unit in the `Corpus`.
    Returns first: (n,), the index of each unit's first beat among the B beats that are kept; its
    other three beats follow. beat_start: (B + 1,), the index of each kept beat's first onset.
    notes: (M,), the onsets as 24 * row + tick, with rows 0-59 as in a roll and ticks 0-23 of the
    beat, sorted and distinct within a beat.
    """
    kept = np.unique(beats[:, None] + np.arange(BEATS_PER_UNIT))
    onsets, owner = ragged(corpus.beat_start[kept], corpus.beat_start[kept + 1])
    ticks = corpus.ticks[onsets] - kept[owner] * TICKS_PER_BEAT
    cells = fold(corpus.pitches[onsets]).astype(np.int64) * TICKS_PER_BEAT + ticks
    per_beat = 1 << 16
    cells = np.unique(owner * per_beat + cells)  # two notes that fold into one cell are one
    beat_start = np.searchsorted(cells, np.arange(len(kept) + 1) * per_beat)
    return np.searchsorted(kept, beats), beat_start, cells % per_beat
