"""Shrinking a prediction towards the last unit.

A predictor overfits the training pieces. So the simplest prediction, the last unit repeated, is
added to its own, both scaled to length 1; a larger weight of the last unit is the more cautious
choice. The weight is chosen on the validation pieces, separately for each embedding.
"""

import numpy as np

from tinyembed.layers.cosine import normalized

WEIGHTS = (0.0, 0.1, 0.25, 0.5)  # of the last unit


def shrink(predicted, last, weight):
    """predicted / |predicted| + weight * last / |last|, all of them (S, D).

    A weight of 0 returns the predictions as they are, since their length changes no cosine.
    """
    return predicted if weight == 0 else normalized(predicted)[0] + weight * normalized(last)[0]


def choose_weight(weights, rank):
    """The weight with the lowest mean rank; the first of them where several tie.

    rank: weight -> {"rank": (S,), "rank_same_piece": (S,)} on validation pieces. Ranks among units
    of the same piece decide where there are any: among those a prediction can be worse than
    repetition.
    """

    def mean(weight):
        ranks = rank(weight)
        for kind in ("rank_same_piece", "rank"):
            values = ranks[kind][~np.isnan(ranks[kind])]
            if len(values):
                return values.mean()
        return np.inf  # there is no rank to compare

    return min(weights, key=mean)
