"""The training pieces in parts, so that each can be judged by a model that has not heard it.

The test pieces may be looked at once, and a tenth of the rest is too few to choose a model by: 37
pieces prefer by .05 what 66 others do not. In turn, all 368 can be asked.
"""

from dataclasses import replace

import numpy as np

from tinyembed.errors import InputError


def folds_of(corpus, n, seed=0):
    """Deal the training pieces out to n parts, one composer after the other.

    Returns (n_pieces,) int, 0 to n - 1, and -1 for test pieces.
    Raises InputError where a part would have no piece, or leave none to train on.
    """
    pieces = np.random.default_rng(seed).permutation(np.flatnonzero(~corpus.piece_is_test))
    if not 2 <= n <= len(pieces):
        raise InputError(f"--folds {n}: 2 to {len(pieces)}, as many as there are training pieces")
    pieces = pieces[np.argsort(corpus.piece_composer[pieces], kind="stable")]
    fold = np.full(corpus.n_pieces, -1)
    fold[pieces] = np.arange(len(pieces)) % n
    return fold


def holding_out(corpus, held_out):
    """The same corpus, where some more pieces are not to be trained on. held_out: (n_pieces,) bool.

    The pieces of its test are then these and the test pieces.
    """
    return replace(corpus, piece_is_test=corpus.piece_is_test | held_out)


def as_in_the_test(scores, corpus):
    """What the accuracy would be if composers came as often as among the test pieces.

    scores: of `composer_scores`, about other pieces. Beethoven has a seventh of the training
    units and Mussorgsky hardly any; of the test pieces nearly every composer has two or three.
    """
    is_test = corpus.piece_is_test[corpus.beat_piece[corpus.unit_beats()]]
    units = corpus.unit_beats()[is_test]
    units = units[corpus.has_onset(units)]
    pieces = corpus.piece_composer[corpus.piece_is_test]
    found = {}
    for kind, of, composer in (
        ("units", scores, corpus.composer_of(units)),
        ("pieces", scores["pieces"], pieces),
    ):
        support, recall = (
            np.array([row[key] for row in of["per_composer"]]) for key in ("support", "recall")
        )
        share = np.bincount(composer, minlength=len(support)) * (support > 0)
        found[kind] = float(share @ recall / max(share.sum(), 1))
    return found
