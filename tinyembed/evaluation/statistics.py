"""Descriptive statistics of ranks: the values of Table 2, with bootstrap intervals (section 5.1).

Sequences that start one beat apart share most of their music, and all sequences of a piece share
a style, so they are not independent: a formula that treats 325,219 sequences as independent
observations gives intervals that are far too narrow. The bootstrap here resamples whole *pieces*
with replacement and measures how much a statistic varies between resamples. Where a model was
trained with several seeds, seeds are resampled too, independently of the pieces: every training is
asked about the same pieces.
"""

import numpy as np
from scipy import stats
from scipy.stats import contingency

RESAMPLES = 2000
TOP = 10  # recall_at_10
_BLOCK = 250  # resamples at once: 250 x 1,999 distinct ranks take 4 MB


def describe(ranks, pieces, seeds=None, seed=0):
    """Median, spread and skew, as in Table 2, and further statistics.

    ranks: (n,) floats, 0 is best; pieces: (n,) ints, the piece of each rank; seeds: (n,) ints, the
    training that each rank is by, or None for one training. Returns a dict of floats: median; iqr
    (the interquartile range, the paper's "spread"); std; skew; mrr, the mean of 1 / (rank + 1);
    recall_at_10, the share of ranks below 10; interval, the 95% bootstrap interval [low, high] of
    the median, resampled by piece and by training; and n, an int.
    """
    ranks = _checked(ranks)
    q1, median, q3 = np.percentile(ranks, [25, 50, 75])
    std = ranks.std()
    return {
        "median": float(median),
        "iqr": float(q3 - q1),
        "std": float(std),
        "skew": float(stats.skew(ranks)) if std > 0 else 0.0,  # equal ranks have no skew
        "mrr": float(np.mean(1 / (ranks + 1))),
        "recall_at_10": float(np.mean(ranks < TOP)),
        "interval": interval(resampled_medians(ranks, pieces, seeds, seed)),
        "n": len(ranks),
    }


def box(ranks):
    """The five values of a box plot (Figure 3), under the names of matplotlib's `Axes.bxp`.

    ranks: (n,). Returns med, q1, q3, and the whiskers whislo and whishi: the outermost ranks
    within 1.5 interquartile ranges of the box.
    """
    ranks = _checked(ranks)
    q1, median, q3 = np.percentile(ranks, [25, 50, 75])
    reach = 1.5 * (q3 - q1)
    return {
        "med": float(median),
        "q1": float(q1),
        "q3": float(q3),
        "whislo": float(min(q1, ranks[ranks >= q1 - reach].min())),
        "whishi": float(max(q3, ranks[ranks <= q3 + reach].max())),
    }


def piece_weights(n_pieces, seed, resamples=RESAMPLES):
    """Bootstrap weights: how often each piece occurs in each resample of n_pieces pieces.

    Returns (resamples, n_pieces) floats; each row sums to n_pieces.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_pieces, np.full(n_pieces, 1 / n_pieces), resamples).astype(float)


def resampled_groups(pieces, seeds=None, seed=0, resamples=RESAMPLES):
    """The groups that a bootstrap resamples, and how often each occurs in each resample.

    pieces: (n,) ints; seeds: (n,) ints, the training that each observation is by, or None for one.
    A group is what one training says of one piece, and occurs as often as the training times as
    often as the piece. Returns group, (n,) ints, and weights, (resamples, G) floats.
    """
    names, piece = np.unique(pieces, return_inverse=True)
    weights = piece_weights(len(names), seed, resamples)
    trainings, training = np.unique([0] if seeds is None else seeds, return_inverse=True)
    if len(trainings) == 1:
        return piece, weights
    of_training = piece_weights(len(trainings), [seed, 1], resamples)
    both = (of_training[:, :, None] * weights[:, None, :]).reshape(resamples, -1)
    return training * len(names) + piece, both


def resampled_medians(ranks, pieces, seeds=None, seed=0, resamples=RESAMPLES):
    """The median of every bootstrap resample that has a rank: (resamples,), or fewer.

    A rank has one of at most 1,999 values, so each group is a histogram, a resample is a weighted
    sum of histograms (one matrix product for all), and its median is found in the cumulative sum.
    """
    groups, weights = resampled_groups(pieces, seeds, seed, resamples)
    (present, values), counts = contingency.crosstab(groups, ranks)  # (V,), (G, V)
    counts = counts.astype(float)  # integers far below 2**53: sums are exact
    weights = weights[:, present]
    weights = weights[weights.any(axis=1)]  # all, where each training is asked about each piece
    return np.concatenate(
        [
            weighted_medians(values, weights[start : start + _BLOCK] @ counts)
            for start in range(0, len(weights), _BLOCK)
        ]
    )


def weighted_medians(values, counts):
    """For each row of counts, np.median of `values` repeated `counts` times.

    values: (V,) ascending; counts: (R, V) whole numbers, at least one of each row above zero.
    Returns (R,).
    """
    cumulative = counts.cumsum(axis=1)  # (R, V): how many are at most this value
    total = cumulative[:, -1]
    lower, upper = (
        values[(cumulative > index[:, None]).argmax(axis=1)]
        for index in ((total - 1) // 2, total // 2)  # the same index if the total is odd
    )
    return (lower + upper) / 2


def interval(samples):
    """The central 95% of bootstrap samples, [low, high]."""
    return np.percentile(samples, [2.5, 97.5]).tolist()


def _checked(ranks):
    ranks = np.asarray(ranks, float)
    if not len(ranks) or not np.isfinite(ranks).all():
        raise ValueError("ranks must be finite, and at least one")
    return ranks
