"""How often the right composer is named: Table 3's numbers (section 5.1), from two lists.

With one label a unit, micro-F1 is accuracy: every unit named wrongly is one false positive and
one false negative, so TP / (TP + (FP + FN) / 2) = TP / n. See paper.py for what that says about
Table 3.
"""

import numpy as np

from tinyembed.evaluation.statistics import RESAMPLES, interval, piece_weights


def confusion_matrix(truth, predicted, n_classes):
    """How many units of each composer (row) were taken for each composer (column): (C, C) ints."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    pairs = np.bincount(truth * n_classes + predicted, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes)


def classification_scores(truth, predicted, n_classes):
    """Score the composers named against the true ones.

    truth, predicted: (n,) ints, 0 to n_classes - 1. Returns a dict:

    accuracy      the share named rightly, which is micro-F1
    macro_f1      the plain mean of the composers' F1, over those that occur in the truth or among
                  the predictions (scikit-learn's default)
    weighted_f1   the mean weighted by support (what the paper calls Macro-F1)
    per_composer  a list of precision, recall, f1 and support; 0 where 0 / 0
    confusion     (C, C) nested lists, truth by prediction
    n             how many were scored
    """
    return scores_of(confusion_matrix(truth, predicted, n_classes))


def scores_of(confusion):
    """The scores of a (C, C) confusion matrix, as `classification_scores` returns them."""
    hits = np.diag(confusion)
    support, named = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = _ratio(2 * hits, support + named)
    occurs = support + named > 0
    columns = {
        "precision": _ratio(hits, named),
        "recall": _ratio(hits, support),
        "f1": f1,
        "support": support,
    }
    return {
        "accuracy": float(hits.sum() / support.sum()),
        "macro_f1": float(f1[occurs].mean()),
        "weighted_f1": float((f1 * support).sum() / support.sum()),
        "per_composer": [
            dict(zip(columns, row, strict=True))
            for row in zip(*(column.tolist() for column in columns.values()), strict=True)
        ],
        "confusion": confusion.tolist(),
        "n": int(support.sum()),
    }


def interval_of_accuracy(truth, predicted, pieces, seed=0, resamples=RESAMPLES):
    """The 95% bootstrap interval [low, high] of the accuracy, resampled by piece.

    truth, predicted, pieces: (n,) ints.
    """
    _, piece = np.unique(pieces, return_inverse=True)
    units = np.bincount(piece)  # (P,)
    right = np.bincount(piece, weights=np.asarray(truth) == np.asarray(predicted))
    weights = piece_weights(len(units), seed, resamples)  # (resamples, P)
    return interval((weights @ right) / (weights @ units))


def _ratio(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
