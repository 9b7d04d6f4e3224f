"""Features of whole pieces: one row of numbers per piece, from its embeddings or its notes.

`embedding_features` are the mean and the standard deviation of the embeddings of a piece's units.
`count_features` need no training; they count in the notes of a piece, as written, without octaves
being folded except for the intervals:

    register    31   pitches: the share of each group of three semitones
    chords       8   the share of moments with 1, 2, ... 7, 8 or more notes
    beat        24   the share of onsets on each of the 24 ticks of a beat
    intervals  113   pairs of onsets that lie within a unit: the share of each class, an interval
                     and a range of lags, of layers/intervals.py
    size         2   log of the onsets per beat, and of the number of beats

Shares enter by their square roots, so that rare events count beside common ones, and differences of
two shares vary by chance about as much whether they are large or small.
"""

import numpy as np

from tinyembed.layers.intervals import EDGES, WIDEST, interval_counts
from tinyembed.models.pooling import piece_vector
from tinyembed.music.piece import TICKS_PER_BEAT

LOWEST, SEMITONES = 21, 3  # the piano's lowest note; of a group
REGISTERS = 31  # up to note 113, five above the piano's highest
MOST_AT_ONCE = 8
UNITS_AT_ONCE = 500


def embedding_features(passages, embeddings):
    """The mean and standard deviation of each piece's embeddings: (P, 2 D).

    passages: one `Passages` row by row, each piece in one key; embeddings: (R, D), of its rows.
    Units without an onset are left out, since the embedding of silence says nothing about a piece.
    """
    found = []
    for first, last in zip(passages.start[:-1], passages.start[1:], strict=True):
        rows = embeddings[first:last].astype(np.float64)
        found.append(piece_vector(rows, passages.sounds[first:last]))
    return np.stack(found)


def count_features(corpus, pieces):
    """Counts of whole pieces: (P, 178). pieces: (P,) indices."""
    return np.stack([_counts(corpus, piece) for piece in pieces])


def _counts(corpus, piece):
    first, last = corpus.piece_beats[piece : piece + 2]
    onsets = slice(corpus.beat_start[first], corpus.beat_start[last])
    ticks, pitches = corpus.ticks[onsets], corpus.pitches[onsets].astype(int)
    register = np.clip((pitches - LOWEST) // SEMITONES, 0, REGISTERS - 1)
    _, at_once = np.unique(ticks, return_counts=True)
    size = np.log([len(ticks) / (last - first), last - first])
    return np.concatenate(
        [
            _roots(np.bincount(register, minlength=REGISTERS)),
            _roots(np.bincount(np.minimum(at_once, MOST_AT_ONCE), minlength=MOST_AT_ONCE + 1)[1:]),
            _roots(np.bincount(ticks % TICKS_PER_BEAT, minlength=TICKS_PER_BEAT)),
            _roots(_intervals(corpus, piece)),
            size,
        ]
    )


def _intervals(corpus, piece):
    """Pairs of onsets by interval and lag, over the units of a piece: (113,)."""
    units = corpus.unit_beats([piece])
    total = 0
    for i in range(0, len(units), UNITS_AT_ONCE):
        rolls = corpus.rolls(units[i : i + UNITS_AT_ONCE])
        total = total + interval_counts(rolls, WIDEST, EDGES).sum(axis=0, dtype=np.float64)
    return total


def _roots(counts):
    """The square roots of shares."""
    return np.sqrt(counts / counts.sum())
