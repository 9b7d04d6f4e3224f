"""What the explorer shows: some units of a collection, where they lie, what is like them."""

from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from tinyembed.music.midi import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, fold, ragged
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index

NEIGHBOURS = 10
TOGETHER = 1024  # units whose neighbours are asked for at once, so that a bar can move


@dataclass(frozen=True)
class Contents:
    """n units of a `Collection`, in the order of its rows; all arrays are on the host.

    rows:        (n,) int64, their rows in the collection's index
    placed:      (n,) bool, whether a unit lies on the map and may be a neighbour: it has an onset
    positions:   (n, 2) float64, where; nan for a unit that is not placed
    map_words:   what the positions are, in words
    neighbours:  (n, 10) int64, the units nearest to each in other pieces, the nearest first, as
                 places in `rows`; -1 where there are no more, and for a unit that is not placed
    cosines:     (n, 10) float64, of the neighbours; 0 where there is none
    """

    collection: Collection
    rows: np.ndarray
    placed: np.ndarray
    positions: np.ndarray
    map_words: str
    neighbours: np.ndarray
    cosines: np.ndarray

    @classmethod
    def of(cls, collection, units, place, seed=0, progress=None):
        """Draw units, lay out their map and find their neighbours among them.

        units: how many at most; place: one of `maps.MAPS`; seed: of the draw and of the map;
        progress: False for no bars.
        """
        index = collection.index
        rows = draw_rows(len(index), units, seed)
        placed = index.findable[rows]
        positions, words = np.full((len(rows), 2), np.nan), "no unit has an onset"
        if placed.any():
            positions[placed], words = place(index.embeddings[rows[placed]], seed, progress)
        neighbours, cosines = find_neighbours(index, rows, progress)
        return cls(collection, rows, placed, positions, words, neighbours, cosines)

    def __len__(self):
        return len(self.rows)


def draw_rows(n_rows, units, seed):
    """All rows, or so many of them drawn with a seed, each as likely: ascending, int64."""
    if n_rows <= units:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, units, replace=False))


def find_neighbours(index, rows, progress=None):
    """The nearest of `rows`, in other pieces, to each of them: see `Contents`.

    They are exactly those that `index.search` finds with `where` these rows and `not_piece` the
    unit's own; an index of these rows alone finds them sooner.
    """
    per_row = {n: getattr(index.labels, n)[rows] for n in ("piece", "beat", "sounds", "seconds")}
    index = Index(index.embeddings[rows], replace(index.labels, **per_row))
    piece = index.labels.piece
    in_piece = np.bincount(piece[index.findable], minlength=len(index.labels.pieces))
    room = np.minimum(index.n_findable - in_piece[piece], NEIGHBOURS) * index.findable
    shape = (len(rows), NEIGHBOURS)
    neighbours, cosines = np.full(shape, -1), np.zeros(shape)
    hidden = None if progress is None else not progress
    with tqdm(total=len(rows), desc="neighbours", unit=" units", delay=1, disable=hidden) as bar:
        bar.update(int((room == 0).sum()))
        for k in np.unique(room[room > 0]).tolist():  # in a tiny corpus some have fewer than others
            alike = np.flatnonzero(room == k)
            for some in np.array_split(alike, -(-len(alike) // TOGETHER)):
                found = index.search(index.embeddings[some], k, not_piece=piece[some])
                neighbours[some, :k], cosines[some, :k] = found.rows, found.cosines
                bar.update(len(some))
    return neighbours, cosines


def cut_notes(corpus, beats):
    """The onsets of units, each beat of the music once, however many units it is part of.

    beats: (n,) ascending, the first beat of each unit in the `Corpus`.
    Returns first: (n,), each unit's first beat among the B beats that are kept, of which its
    other three are the next; beat_start: (B + 1,), the first onset of each kept beat; and
    notes: (M,), the onsets as 24 * row + tick, rows 0-59 as in a roll, ticks 0-23 of the beat,
    sorted and all different within a beat.
    """
    kept = np.unique(beats[:, None] + np.arange(BEATS_PER_UNIT))
    onsets, owner = ragged(corpus.beat_start[kept], corpus.beat_start[kept + 1])
    ticks = corpus.ticks[onsets] - kept[owner] * TICKS_PER_BEAT
    cells = fold(corpus.pitches[onsets]).astype(np.int64) * TICKS_PER_BEAT + ticks
    per_beat = 1 << 16
    cells = np.unique(owner * per_beat + cells)  # two notes that fold into one cell are one
    beat_start = np.searchsorted(cells, np.arange(len(kept) + 1) * per_beat)
    return np.searchsorted(kept, beats), beat_start, cells % per_beat
