"""What the rows of an index are: units of pieces by composers."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from tinyembed.errors import InputError


@dataclass(frozen=True)
class Labels:
    """The labels of N rows.

    piece:           (N,) int32, index into `pieces`
    beat:            (N,) int32, the unit's first beat, counted from the piece's first beat, 0
    sounds:          (N,) bool, whether the unit has an onset; a row without one keeps its index
                     but is never found
    seconds:         (N,) float32, the time of that beat, nan if unknown
    piece_composer:  (P,) int32, index into `composers`
    pieces:          P names, such as "composer/file.mid"
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
        """Raises InputError if the parts do not fit together."""
        n, p = len(self.piece), len(self.pieces)
        lengths = {len(self.beat), len(self.sounds), len(self.seconds)}
        if lengths != {n} or len(self.piece_composer) != p:
            raise InputError("labels: every row needs one label of each kind")
        if not _inside(self.piece, p) or not _inside(self.piece_composer, len(self.composers)):
            raise InputError("labels: the index of a piece or a composer is out of range")

    @classmethod
    def of(cls, piece, composer=None, beat=None, sounds=None, seconds=None):
        """Labels from one name per row.

        piece: (N,) str; composer: (N,) str, the same for all rows of a piece, by default the text
        before the first "/" of the piece's name; beat: (N,), by default counted through the piece;
        sounds: (N,) bool, by default true; seconds: (N,), by default unknown.
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
            seconds=_seconds_or_unknown(seconds, n),
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
            seconds=_seconds_or_unknown(seconds, len(beats)),
            piece_composer=corpus.piece_composer,
            pieces=corpus.names,
            composers=corpus.composers,
        )

    @classmethod
    def of_arrays(cls, arrays, pieces, composers):
        """Labels from `arrays()`, or a dict that contains it, and the two lists of names."""
        names = [f.name for f in fields(cls) if f.type is np.ndarray]
        codes = {name: np.asarray(arrays[name]) for name in names}
        return cls(**codes, pieces=pieces, composers=composers)

    def arrays(self):
        """{name: array} of everything except the names of pieces and composers."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.type is np.ndarray}

    def __len__(self):
        """The number of rows."""
        return len(self.piece)

    @cached_property
    def composer(self):
        """(N,) int32, index into `composers`."""
        return self.piece_composer[self.piece]

    def row(self, row):
        """The labels of one row: composer, piece, beat, seconds (None if unknown)."""
        piece, seconds = self.piece[row], float(self.seconds[row])
        return {
            "composer": self.composers[self.piece_composer[piece]],
            "piece": self.pieces[piece],
            "beat": int(self.beat[row]),
            "seconds": round(seconds, 3) if np.isfinite(seconds) else None,
        }


def _seconds_or_unknown(seconds, n):
    return np.full(n, np.nan, np.float32) if seconds is None else np.asarray(seconds, np.float32)


def _inside(codes, n):
    return len(codes) == 0 or (codes.min() >= 0 and codes.max() < n)
