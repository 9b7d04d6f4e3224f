"""How far a prediction is drawn back to the last unit.

A predictor has learned the training pieces, and trusts too much in what holds there. So its answer
and the simplest one of all, the last unit again, are added, each of length 1: the more of the last
unit, the less is risked. How much, the validation pieces decide, for each embedding by itself.
"""

import numpy as np

from tinyembed.arrays import array_module

SHARES = (0.0, 0.1, 0.25, 0.5)
TINY = 1e-12  # keeps the length of a prediction of zeros from dividing by zero


def shrink(predicted, last, share):
    """predicted / |predicted| + share * last / |last|: (S, D), of both (S, D)."""
    return predicted if share == 0 else unit(predicted) + share * unit(last)


def unit(x):
    """Each row with length 1."""
    return x * (array_module(x).square(x).sum(axis=1, keepdims=True) + TINY) ** -0.5


def choose_share(shares, rank):
    """The share with the least mean rank, the first of several.

    rank: share -> {"rank": (S,), "rank_same_piece": (S,)} on validation pieces. Units of the same
    piece decide, where there are any: they are what a prediction can do worse on than repetition.
    """

    def mean(share):
        ranks = rank(share)
        for kind in ("rank_same_piece", "rank"):
            values = ranks[kind][~np.isnan(ranks[kind])]
            if len(values):
                return values.mean()
        return np.inf  # nothing to go by

    return min(shares, key=mean)
