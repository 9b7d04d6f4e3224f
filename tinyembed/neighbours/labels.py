"""What the rows of an index are: units of pieces by composers."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from tinyembed.errors import InputError


@dataclass(frozen=True)
class Labels:
    """A label of each kind for each of N rows.

    piece:           (N,) int32, index into `pieces`
    beat:            (N,) int32, the unit's first beat, counted from the piece's own first, 0
    sounds:          (N,) bool, whether the unit has an onset; one that has none keeps its row
                     and is nobody's neighbour
    seconds:         (N,) float32, when that beat is heard, nan where nobody knows
    piece_composer:  (P,) int32, index into `composers`
    pieces:          P names, of which "composer/file.mid" is one
    composers:       their names
    """

    piece: np.ndarray
    beat: np.ndarray
    sounds: np.ndarray
    seconds: np.ndarray
    piece_composer: np.ndarray
    pieces: list
    composers: list

    def __post_init__(self):
        """Raises InputError where the parts do not fit together."""
        n, p = len(self.piece), len(self.pieces)
        lengths = {len(self.beat), len(self.sounds), len(self.seconds)}
        if lengths != {n} or len(self.piece_composer) != p:
            raise InputError("labels: there must be one of each kind for every row")
        if not _inside(self.piece, p) or not _inside(self.piece_composer, len(self.composers)):
            raise InputError("labels: a piece or a composer is named that there is not")

    @classmethod
    def of(cls, piece, composer=None, beat=None, sounds=None, seconds=None):
        """Labels from a name a row.

        piece: (N,) str; composer: (N,) str, the same for all rows of a piece, by default what
        stands before the piece's first "/"; beat: (N,), by default rows count through a piece;
        sounds: (N,) bool, by default all do; seconds: (N,), by default nobody knows.
        """
        pieces, first, codes = np.unique(np.asarray(piece), return_index=True, return_inverse=True)
        if composer is None:
            by_piece = [name.partition("/")[0] if "/" in name else "" for name in pieces.tolist()]
        else:
            by_piece = np.asarray(composer)[first]
            if (by_piece[codes] != np.asarray(composer)).any():
                raise InputError("labels: a piece has two composers")
        composers, piece_composer = np.unique(by_piece, return_inverse=True)
        n = len(codes)
        if beat is None:
            order = np.argsort(codes, kind="stable")
            begin = np.searchsorted(codes[order], np.arange(len(pieces)))
            beat = np.empty(n, np.int32)
            beat[order] = np.arange(n) - begin[codes[order]]
        return cls(
            piece=codes.astype(np.int32),
            beat=np.asarray(beat, np.int32),
            sounds=np.ones(n, bool) if sounds is None else np.asarray(sounds, bool),
            seconds=np.full(n, np.nan, np.float32)
            if seconds is None
            else np.asarray(seconds, np.float32),
            piece_composer=piece_composer.astype(np.int32),
            pieces=pieces.tolist(),
            composers=composers.tolist(),
        )

    @classmethod
    def of_corpus(cls, corpus, seconds=None):
        """Labels of all units of a `Corpus`, in the order of `corpus.unit_beats()`."""
        beats = corpus.unit_beats()
        piece = corpus.beat_piece[beats]
        return cls(
            piece=piece,
            beat=beats - corpus.piece_beats[piece],
            sounds=corpus.has_onset(beats),
            seconds=np.full(len(beats), np.nan, np.float32) if seconds is None else seconds,
            piece_composer=corpus.piece_composer,
            pieces=corpus.names,
            composers=corpus.composers,
        )

    def __len__(self):
        """How many rows there are."""
        return len(self.piece)

    @cached_property
    def composer(self):
        """(N,) int32, index into `composers`."""
        return self.piece_composer[self.piece]

    def row(self, row):
        """The labels of one row: composer, piece, beat, seconds (None where nobody knows)."""
        piece, seconds = self.piece[row], float(self.seconds[row])
        return {
            "composer": self.composers[self.piece_composer[piece]],
            "piece": self.pieces[piece],
            "beat": int(self.beat[row]),
            "seconds": round(seconds, 3) if np.isfinite(seconds) else None,
        }

    def arrays(self):
        """{name: array} of all but the names of pieces and composers."""
        made = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in made.items() if isinstance(value, np.ndarray)}


def _inside(codes, n):
    return len(codes) == 0 or (codes.min() >= 0 and codes.max() < n)
