"""What a collection of ranks is like: Table 2's numbers, and how sure they are (section 5.1).

Sequences that start one beat apart share most of their music, and all sequences of a piece share
a style, so they are not independent: a formula that takes 325,219 sequences for as many separate
observations claims far too much. The bootstrap here draws whole *pieces* with replacement, and
asks how much the number changes from draw to draw.
"""

import numpy as np
from scipy import stats

RESAMPLES = 2000
TOP = 10  # recall_at_10
_BLOCK = 250  # resamples at a time: 250 x 1,999 distinct ranks take 4 MB


def describe(ranks, pieces, seed=0):
    """Median, spread and skew, as in Table 2, and what else tells models apart.

    ranks: (n,) floats, 0 is best; pieces: (n,) ints, the piece of each. Returns a dict of floats:
    median; iqr (between the quartiles: the paper's "spread"); std; skew; mrr, the mean of
    1 / (rank + 1); recall_at_10, the share of ranks under 10; interval, the 95% bootstrap
    interval [low, high] of the median, resampled by piece; and n, an int.
    """
    ranks = _checked(ranks)
    q1, median, q3 = np.percentile(ranks, [25, 50, 75])
    std = ranks.std()
    medians = resampled_medians(ranks, pieces, seed)
    return {
        "median": float(median),
        "iqr": float(q3 - q1),
        "std": float(std),
        "skew": float(stats.skew(ranks)) if std > 0 else 0.0,  # equal ranks lean nowhere
        "mrr": float(np.mean(1 / (ranks + 1))),
        "recall_at_10": float(np.mean(ranks < TOP)),
        "interval": interval(medians),
        "n": len(ranks),
    }


def box(ranks):
    """The five numbers of a boxplot (Figure 3), named as matplotlib's `Axes.bxp` names them.

    ranks: (n,). Returns med, q1, q3, and the whiskers whislo and whishi: the outermost ranks that
    lie within 1.5 interquartile ranges of the box.
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
    """How often each piece is drawn when as many pieces as there are are drawn with replacement.

    Returns (resamples, n_pieces) floats, each row summing to n_pieces.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_pieces, np.full(n_pieces, 1 / n_pieces), resamples).astype(float)


def resampled_medians(ranks, pieces, seed=0, resamples=RESAMPLES):
    """The median of every bootstrap resample by piece: (resamples,).

    A rank takes one of at most 1,999 values, so a piece is its histogram, a resample is a weighted
    sum of histograms (one matrix product for all), and its median is read off the running count.
    """
    values, which = np.unique(ranks, return_inverse=True)  # (V,), (n,)
    names, piece = np.unique(pieces, return_inverse=True)  # (P,), (n,)
    shape = len(names), len(values)
    counts = np.bincount(piece * shape[1] + which, minlength=shape[0] * shape[1])
    counts = counts.reshape(shape).astype(float)  # whole numbers far below 2**53: sums are exact
    weights = piece_weights(len(names), seed, resamples)
    return np.concatenate(
        [
            weighted_medians(values, weights[start : start + _BLOCK] @ counts)
            for start in range(0, resamples, _BLOCK)
        ]
    )


def weighted_medians(values, counts):
    """np.median of `values` repeated `counts` times, a row at a time.

    values: (V,) ascending; counts: (R, V) whole numbers, at least one in a row over zero.
    Returns (R,).
    """
    running = counts.cumsum(axis=1)  # (R, V): how many are at most this value
    total = running[:, -1]
    middle = []
    for position in (total - 1) // 2, total // 2:  # the same one if the total is odd
        middle.append(values[(running > position[:, None]).argmax(axis=1)])
    return (middle[0] + middle[1]) / 2


def interval(samples):
    """The middle 95% of bootstrap samples, [low, high]."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return [float(low), float(high)]


def _checked(ranks):
    ranks = np.asarray(ranks, float)
    if not len(ranks) or not np.isfinite(ranks).all():
        raise ValueError("ranks must be finite, and at least one")
    return ranks
