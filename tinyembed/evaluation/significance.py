"""Whether two models' ranks differ, and by how much (section 5.1).

The paper compares every pair of its seven models by a t-test on 325,219 ranks each. Two things
are missing there. All models rank the *same* targets, so the differences target by target say
more than two heaps of ranks do: hence the paired t-test, and, since ranks are skewed, Wilcoxon's
signed-rank test. And with that many ranks every difference is "significant", so each test stands
beside an effect size, which does not grow with n. Sequences of a piece are not independent, so
the paired tests are repeated on one mean rank a piece; those are the p values to believe.

A difference is always first minus second: negative where the first model ranks better.
"""

from itertools import combinations

import numpy as np
from scipy import stats

ALPHA = 0.05
SMALLEST_P = 1e-300  # below, a float soon is 0; a p value never is


def compare_pairs(ranks_by_model, pieces=None):
    """Every pair of models: a list of what `compare` returns, 21 dicts for seven models.

    ranks_by_model: {name: (n,)}, over the same targets in the same order; pieces: (n,).
    """
    pairs = list(combinations(ranks_by_model, 2))
    return [
        compare(
            ranks_by_model[first],
            ranks_by_model[second],
            pieces,
            comparisons=len(pairs),
            names=(first, second),
        )
        for first, second in pairs
    ]


def compare(first, second, pieces=None, comparisons=1, names=("first", "second")):
    """One model against another.

    first, second: (n,) ranks of the same targets; pieces: (n,) ints, the piece of each;
    comparisons: how many are made in all, for Bonferroni's correction. Returns a dict:

    first, second, n, comparisons
    mean_difference, median_difference   of first - second, target by target
    better, worse                        the shares of targets that first ranks lower, higher
    welch {t, p, p_bonferroni, significant}, cohen_d        as the paper: unpaired
    paired {t, ...}, d_z                                    the paired t-test
    wilcoxon {statistic, ...}, rank_biserial                -1: first always better; 1: never
    pieces {n, mean_difference, paired, d_z, wilcoxon, rank_biserial}   on means by piece

    A p too small for a float is 0.0 (`p_text` writes it honestly). A t or an effect size that
    is infinite, since all differences are the same but not zero, is None.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    differences = first - second
    result = {
        "first": names[0],
        "second": names[1],
        "n": len(first),
        "comparisons": comparisons,
        "better": float(np.mean(differences < 0)),
        "worse": float(np.mean(differences > 0)),
        "median_difference": float(np.median(differences)),
        **_welch(first, second, comparisons),
        **_paired(differences, comparisons),
    }
    if pieces is not None:
        result["pieces"] = _paired(means_by_piece(differences, pieces), comparisons)
    return result


def levene(ranks_by_model):
    """Whether the spreads differ: {"levene": ..., "brown_forsythe": ...}, each {statistic, p}.

    Levene's test (the paper's W) measures distances from the group's mean; Brown and Forsythe's
    from its median, which suits skewed ranks better. ranks_by_model: {name: (n,)}, two or more.
    """
    groups = [np.asarray(ranks, float) for ranks in ranks_by_model.values()]
    results = {}
    for name, center in ("levene", "mean"), ("brown_forsythe", "median"):
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic, p = stats.levene(*groups, center=center)
        if np.isnan(statistic):  # 0 / 0: no group spreads at all
            statistic, p = 0.0, 1.0
        results[name] = {"statistic": _finite(statistic), "p": float(p)}
    return results


def means_by_piece(values, pieces):
    """The mean of each piece's values, in ascending order of piece: (P,)."""
    _, piece = np.unique(pieces, return_inverse=True)
    return np.bincount(piece, weights=values) / np.bincount(piece)


def p_text(p):
    """A p value to print; one that underflows is not called zero."""
    if p < SMALLEST_P:
        return "< 1e-300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _welch(first, second, comparisons):
    """Welch's t-test and Cohen's d (pooled standard deviation, n - 1)."""
    n, m = len(first), len(second)
    difference = first.mean() - second.mean()
    deviations = [x.std(ddof=1) if len(x) > 1 else 0.0 for x in (first, second)]
    if max(deviations) == 0:
        t, p, d = _no_spread(difference, min(n, m))
    else:
        t, p = stats.ttest_ind_from_stats(
            first.mean(), deviations[0], n, second.mean(), deviations[1], m, equal_var=False
        )
        a, b = deviations
        d = difference / np.sqrt(((n - 1) * a * a + (m - 1) * b * b) / (n + m - 2))
    return {"welch": {"t": _finite(t), **_corrected(p, comparisons)}, "cohen_d": _finite(d)}


def _paired(differences, comparisons):
    """The paired t-test and Wilcoxon's, each with its effect size."""
    n, mean = len(differences), differences.mean()
    deviation = differences.std(ddof=1) if n > 1 else 0.0
    if deviation == 0:
        t, p, d = _no_spread(mean, n)
    else:
        d = mean / deviation
        t = d * np.sqrt(n)
        p = 2 * stats.t.sf(abs(t), n - 1)
    statistic, wilcoxon_p, biserial = _wilcoxon(differences)
    return {
        "n": n,
        "mean_difference": float(mean),
        "paired": {"t": _finite(t), **_corrected(p, comparisons)},
        "d_z": _finite(d),
        "wilcoxon": {"statistic": statistic, **_corrected(wilcoxon_p, comparisons)},
        "rank_biserial": biserial,
    }


def _wilcoxon(differences):
    """Wilcoxon's signed-rank test: the statistic, p, and the rank-biserial correlation.

    Differences of zero favour neither model and are left out, as Wilcoxon did.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0, 1.0, 0.0
    weight = stats.rankdata(abs(differences))  # the larger the difference, the more it counts
    worse, better = weight[differences > 0].sum(), weight[differences < 0].sum()
    statistic, p = stats.wilcoxon(differences)
    return float(statistic), p, float((worse - better) / (worse + better))


def _no_spread(difference, n):
    """t, p and effect size where nothing varies: no difference, or an infinitely clear one."""
    if difference == 0 or n < 2:
        return 0.0, 1.0, 0.0
    return None, 0.0, None


def _corrected(p, comparisons):
    """Bonferroni: as many tests as there are share one chance in twenty to be wrong."""
    p = float(p)
    return {
        "p": p,
        "p_bonferroni": min(1.0, p * comparisons),
        "significant": bool(p < ALPHA / comparisons),
    }


def _finite(x):
    return float(x) if x is not None and np.isfinite(x) else None
