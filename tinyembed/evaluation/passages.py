"""Pieces as rows of embeddings, so that a sequence of units is eight row indices (section 5.0.1).

A *passage* is one piece in one key. Its units, one per beat, are consecutive rows, so the unit four
beats later is four rows further on.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.errors import WorkError
from tinyembed.music.corpus import Corpus
from tinyembed.music.roll import BEATS_PER_UNIT, KEYS
from tinyembed.storage.progress import progress_bar

SEQUENCE = 8  # seven units as input and one to predict
ENCODED_AT_ONCE = 1000  # units: a GPU needs 0.5 GB for them at `paper` width, 0.2 at `small`
TRANSFERRED_AT_ONCE = 64  # such blocks: 26 MB of embeddings


@dataclass(frozen=True)
class Passages:
    """The units of some passages, row by row.

    piece: (P,) the piece of each passage; start: (P + 1,) its first row; beats, keys: (R,) the
    unit of each row; sounds: (R,) bool, whether that unit has an onset.
    """

    corpus: Corpus
    piece: np.ndarray
    start: np.ndarray
    beats: np.ndarray
    keys: np.ndarray
    sounds: np.ndarray

    @classmethod
    def of(cls, corpus, pieces, n_keys=1, rng=None):
        """The passages of some pieces, each in `n_keys` keys.

        n_keys: 1 takes a piece as written, 12 in all keys; with a value between, the keys other
        than the written one are drawn from rng, for each piece.
        """
        passages = []
        for piece in pieces:
            others = [key for key in KEYS if key != 0]
            if 1 < n_keys < len(KEYS):
                others = rng.permutation(others)
            passages += [(piece, key) for key in [0, *others][:n_keys]]
        units = [corpus.unit_beats([piece]) for piece, _ in passages]
        beats = np.concatenate(units)
        lengths = [len(u) for u in units]
        return cls(
            corpus=corpus,
            piece=np.array([piece for piece, _ in passages]),
            start=np.concatenate([[0], np.cumsum(lengths)]),
            beats=beats,
            keys=np.repeat([key for _, key in passages], lengths),
            sounds=corpus.has_onset(beats),
        )

    def __len__(self):
        """The number of rows."""
        return len(self.beats)

    def passage_of(self, rows):
        """The passage of each row."""
        return np.searchsorted(self.start, rows, side="right") - 1

    def piece_of(self, rows):
        """The piece of each row, by its index in the corpus."""
        return self.piece[self.passage_of(rows)]

    def sequences(self):
        """Every sequence of eight units, each four beats after the previous one: (S, 8) rows.

        Sequences whose last unit is silent are left out: there is nothing to predict.
        """
        span = BEATS_PER_UNIT * (SEQUENCE - 1)
        rows = np.arange(len(self))
        end = self.start[self.passage_of(rows) + 1]
        first = rows[rows + span < end]
        first = first[self.sounds[first + span]]
        return first[:, None] + BEATS_PER_UNIT * np.arange(SEQUENCE)

    def embed(self, encode, progress=None, desc="embedding", cut=None):
        """The embedding of every row: a NumPy array (R, D) of float32.

        encode: takes rolls (N, 60, 96) and returns (N, D), NumPy or CuPy; cut: makes the rolls
        from beats and keys (default: `Corpus.rolls`).
        Raises WorkError where an embedding is not a number.
        """
        cut = cut or self.corpus.rolls
        blocks = [slice(i, i + ENCODED_AT_ONCE) for i in range(0, len(self), ENCODED_AT_ONCE)]
        parts, waiting = [], []
        for n, block in enumerate(progress_bar(progress, blocks, desc=desc, leave=False), start=1):
            waiting.append(encode(cut(self.beats[block], self.keys[block])))
            if n % TRANSFERRED_AT_ONCE == 0 or n == len(blocks):
                parts.append(to_host(array_module(waiting[0]).concatenate(waiting)))
                self._check(parts[-1], block.stop)
                waiting = []
        return np.concatenate(parts)

    def _check(self, embeddings, end):
        """Raise WorkError unless all are finite. embeddings: of the last rows before `end`."""
        bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if len(bad):
            row = min(end, len(self)) - len(embeddings) + bad[0]
            name = self.corpus.names[self.corpus.beat_piece[self.beats[row]]]
            raise WorkError(f"an embedding is not a number, first in {name}; train again")
