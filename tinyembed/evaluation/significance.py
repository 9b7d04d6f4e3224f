"""Whether two models' ranks differ significantly, and by how much (section 5.1).

The paper compares every pair of its seven models by an unpaired t-test on 325,219 ranks each. We
add two things. All models rank the *same* targets, so paired tests on the differences per target
have more power: the paired t-test and, since ranks are skewed, Wilcoxon's signed-rank test. And
with that many ranks every difference is "significant", so each test comes with an effect size,
which does not grow with n. Sequences of one piece are not independent, so the paired tests are
repeated on one mean rank per piece; those are the p values to trust.

A difference is always first minus second: negative where the first model ranks better.
"""

from itertools import combinations

import numpy as np
from scipy import stats

ALPHA = 0.05
SMALLEST_P = 1e-300  # not far below it a float underflows to 0, which no p value is


def compare_pairs(ranks_by_model, pieces=None):
    """Compare every pair of models: a list of what `compare` returns, 21 dicts for seven models.

    ranks_by_model: {name: (n,)}, of the same targets in the same order; pieces: (n,).
    """
    pairs = list(combinations(ranks_by_model, 2))
    return [
        compare(*(ranks_by_model[name] for name in names), pieces, len(pairs), names)
        for names in pairs
    ]


def compare(first, second, pieces=None, comparisons=1, names=("first", "second")):
    """Compare two models.

    first, second: (n,) ranks of the same targets; pieces: (n,) ints, the piece of each target;
    comparisons: the number of comparisons made, for Bonferroni's correction. Returns a dict:

    first, second, n, comparisons
    mean_difference, median_difference   of first - second, per target
    better, worse                        the shares of targets that first ranks lower, higher
    welch {t, p, p_bonferroni, significant}, cohen_d        unpaired, as in the paper
    paired {t, ...}, d_z                                    the paired t-test
    wilcoxon {statistic, ...}, rank_biserial                -1: first always better; 1: never
    pieces {n, mean_difference, paired, d_z, wilcoxon, rank_biserial}   on means by piece

    A p value too small for a float is 0.0 (`p_text` prints it as a bound). A t or an effect size
    is None where it is infinite, because all differences are equal and not zero.
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
    """Test for equal spreads: {"levene": ..., "brown_forsythe": ...}, each {statistic, p}.

    Levene's test (the paper's W) uses distances from each group's mean; Brown and Forsythe's test
    uses its median, which suits skewed ranks better. ranks_by_model: {name: (n,)}, two or more.
    """
    groups = [np.asarray(ranks, float) for ranks in ranks_by_model.values()]
    results = {}
    for name, center in ("levene", "mean"), ("brown_forsythe", "median"):
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic, p = stats.levene(*groups, center=center)
        if np.isnan(statistic):  # 0 / 0: no group has any spread
            statistic, p = 0.0, 1.0
        results[name] = {"statistic": _finite(statistic), "p": float(p)}
    return results


def means_by_piece(values, pieces):
    """The mean of each piece's values, with pieces in ascending order: (P,)."""
    _, piece = np.unique(pieces, return_inverse=True)
    return np.bincount(piece, weights=values) / np.bincount(piece)


def p_text(p):
    """A p value to print; one that underflows is printed as a bound, not as zero."""
    if p < SMALLEST_P:
        return "< 1e-300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _welch(first, second, comparisons):
    """Welch's t-test and Cohen's d, by the pooled standard deviation (n - 1)."""
    n, means = len(first), (first.mean(), second.mean())  # both have n
    a, b = (x.std(ddof=1) if n > 1 else 0.0 for x in (first, second))
    if max(a, b) == 0:
        t, p, d = _no_spread(means[0] - means[1], n)
    else:
        t, p = stats.ttest_ind_from_stats(means[0], a, n, means[1], b, n, equal_var=False)
        d = (means[0] - means[1]) / np.sqrt((a * a + b * b) / 2)
    return {"welch": {"t": _finite(t), **_corrected(p, comparisons)}, "cohen_d": _finite(d)}


def _paired(differences, comparisons):
    """The paired t-test and Wilcoxon's test, each with its effect size."""
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

    Differences of zero favour neither model and are left out, as in Wilcoxon's original test.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0, 1.0, 0.0
    weight = stats.rankdata(abs(differences))  # a larger difference weighs more
    worse, better = weight[differences > 0].sum(), weight[differences < 0].sum()
    statistic, p = stats.wilcoxon(differences)
    return float(statistic), p, float((worse - better) / (worse + better))


def _no_spread(difference, n):
    """t, p and effect size at zero variance: no difference at all, or infinite values (None)."""
    if difference == 0 or n < 2:
        return 0.0, 1.0, 0.0
    return None, 0.0, None


def _corrected(p, comparisons):
    """A p value with Bonferroni's correction, which divides ALPHA among all comparisons."""
    p = float(p)
    return {
        "p": p,
        "p_bonferroni": min(1.0, p * comparisons),
        "significant": bool(p < ALPHA / comparisons),
    }


def _finite(x):
    return float(x) if x is not None and np.isfinite(x) else None
