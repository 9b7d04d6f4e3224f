"""Leakage: whether test music also occurs in training."""

import numpy as np

from tinyembed.music.duplicates import unique_units
from tinyembed.music.piece import TICKS_PER_BEAT


def check_split(corpus):
    """Whether test music also occurs in training.

    Returns unique_train_units, over all keys; pieces_in_both, which is not 0 where files of both
    splits hold the same notes; and the number and share of test units, as written, that also occur
    in training in some key.
    """
    splits_of = {}  # {the notes of a piece: the splits it is in}
    for piece in range(corpus.n_pieces):
        first, last = corpus.piece_beats[piece : piece + 2]
        onsets = slice(corpus.beat_start[first], corpus.beat_start[last])
        ticks = corpus.ticks[onsets] - TICKS_PER_BEAT * first
        notes = ticks.tobytes() + corpus.pitches[onsets].tobytes()
        splits_of.setdefault(notes, set()).add(bool(corpus.piece_is_test[piece]))
    units = unique_units(corpus, corpus.unit_beats())
    is_test = corpus.piece_is_test[corpus.beat_piece[units.occurrence_beat]]
    in_training = np.logical_or.reduceat(~is_test, units.group_start[:-1])
    seen = np.repeat(in_training, np.diff(units.group_start))
    written = is_test & (units.occurrence_key == 0)
    return {
        "unique_train_units": int(in_training.sum()),
        "pieces_in_both": sum(len(splits) == 2 for splits in splits_of.values()),
        "test_units_in_training": int((written & seen).sum()),
        "test_units_in_training_share": float((written & seen).sum() / max(written.sum(), 1)),
    }
