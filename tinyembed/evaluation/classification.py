"""Classification scores: the values of Table 3 (section 5.1), from true and predicted labels.

With one label per unit, micro-F1 equals accuracy: every misclassified unit is one false positive
and one false negative, so TP / (TP + (FP + FN) / 2) = TP / n. See report/paper.py for what follows
about Table 3.
"""

import numpy as np
from scipy.stats import contingency

from tinyembed.evaluation.statistics import RESAMPLES, interval, resampled_groups


def confusion_matrix(truth, predicted, n_classes):
    """How many units of each composer (row) were classified as each (column): (C, C) ints."""
    levels = (range(n_classes), range(n_classes))
    return contingency.crosstab(truth, predicted, levels=levels).count


def classification_scores(truth, predicted, n_classes):
    """Score predicted composers against the true ones.

    truth, predicted: (n,) ints, 0 to n_classes - 1. Returns a dict:

    accuracy      the share classified correctly, which equals micro-F1
    macro_f1      the plain mean of the composers' F1, over those that occur in the truth or among
                  the predictions (scikit-learn's default)
    weighted_f1   their mean weighted by support (what the paper calls Macro-F1)
    per_composer  a list of {precision, recall, f1, support}; 0 where 0 / 0
    confusion     (C, C) nested lists, truth by prediction
    n             the number of units scored
    """
    return scores_of(confusion_matrix(truth, predicted, n_classes))


def scores_of(confusion):
    """The scores of a (C, C) confusion matrix, as `classification_scores` returns them."""
    hits = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = _ratio(2 * hits, support + predicted)
    occurs = support + predicted > 0
    columns = {
        "precision": _ratio(hits, predicted),
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


def interval_of_accuracy(truth, predicted, pieces, seeds=None, seed=0, resamples=RESAMPLES):
    """The 95% bootstrap interval [low, high] of the accuracy, resampled by piece and by training.

    truth, predicted, pieces: (n,) ints; seeds: the same, the training that predicted each, or None
    for one training.
    """
    group, weights = resampled_groups(pieces, seeds, seed, resamples)  # (n,), (resamples, G)
    n = weights.shape[1]
    units = np.bincount(group, minlength=n)  # (G,)
    is_right = np.asarray(truth) == np.asarray(predicted)
    correct = np.bincount(group, weights=is_right, minlength=n)
    drawn = weights @ units
    return interval((weights @ correct)[drawn > 0] / drawn[drawn > 0])


def _ratio(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
