"""Models judged by pieces that they were not trained on, other than the test pieces.

The folds are those of evaluation/piece_folds.py.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from tinyembed.evaluation.pieces import compare_by_piece
from tinyembed.evaluation.results import KINDS
from tinyembed.evaluation.significance import compare


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


def between(found):
    """Every two rows, piece by piece, over the seeds that both have. found: {row: [`Answers`]}.

    Returns a list of dicts: first, second; units, and the kinds of ranks where there are any: the
    mean difference first - second per piece (of the share of correct units, or of the mean rank)
    with Wilcoxon's p; pieces: won, lost and McNemar's p. The p values are not corrected.
    """
    rows = []
    for first, second in combinations([name for name in found if found[name]], 2):
        pairs = list(zip(found[first], found[second], strict=False))
        row = {"first": first, "second": second}
        units = [_of_units(*pair) for pair in pairs]
        row["units"] = _by_piece(*(np.concatenate(part) for part in zip(*units, strict=True)))
        row["pieces"] = _of_pieces(pairs)
        for kind in KINDS:
            if all(answers.prediction for pair in pairs for answers in pair):
                row[kind] = _of_ranks(pairs, kind)
        rows.append(row)
    return rows


def _of_units(first, second):
    """1 for each unit that a row names correctly, of both rows, and the piece of each unit."""
    correct = [
        np.concatenate([c["predicted"] == c["truth"] for c in answers.composers])
        for answers in (first, second)
    ]
    return *correct, np.concatenate([c["unit_piece"] for c in first.composers])


def _of_pieces(pairs):
    truth = np.concatenate([c["piece_truth"] for first, _ in pairs for c in first.composers])
    predicted = [
        np.concatenate([c["piece_predicted"] for pair in pairs for c in pair[k].composers])
        for k in (0, 1)
    ]
    return compare_by_piece(truth, *predicted)


def _of_ranks(pairs, kind):
    ranks = [np.concatenate([pair[k].ranks(kind)[0] for pair in pairs]) for k in (0, 1)]
    pieces = np.concatenate([first.ranks(kind)[1] for first, _ in pairs])
    return _by_piece(*ranks, pieces)


def _by_piece(first, second, pieces):
    found = compare(first, second, pieces)["pieces"]
    return {"mean_difference": found["mean_difference"], "p": found["wilcoxon"]["p"]}
