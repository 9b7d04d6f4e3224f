"""Statistics against brute force, SciPy and scikit-learn, and the paper's against arithmetic."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.cbook import boxplot_stats
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from tinyembed.evaluation.classification import (
    classification_scores,
    confusion_matrix,
    interval_of_accuracy,
)
from tinyembed.evaluation.significance import (
    compare,
    compare_pairs,
    levene,
    means_by_piece,
    p_text,
)
from tinyembed.evaluation.statistics import (
    box,
    describe,
    interval,
    piece_weights,
    resampled_medians,
    weighted_medians,
)
from tinyembed.report import paper

half_ranks = st.integers(0, 40).map(lambda x: x / 2)
seeds = st.integers(0, 2**32 - 1)


def skewed_ranks(rng, n, mean=60):
    return np.minimum(999, np.floor(rng.exponential(mean, n) * 2) / 2)


# Table 2


def test_describe_by_hand():
    got = describe([0.0, 1.0, 1.5, 9.5, 10.0, 99.0], [0, 0, 0, 1, 1, 1])
    assert got["median"] == 5.5
    assert got["n"] == 6
    assert got["recall_at_10"] == 4 / 6
    assert_allclose(got["mrr"], (1 + 1 / 2 + 1 / 2.5 + 1 / 10.5 + 1 / 11 + 1 / 100) / 6)
    assert_allclose(got["iqr"], 9.875 - 1.125)
    assert got["interval"] == [1.0, 10.0]  # the first piece drawn twice, or the second


def test_describe_against_scipy():
    rng = np.random.default_rng(3)
    ranks = skewed_ranks(rng, 501)
    got = describe(ranks, rng.integers(0, 9, 501))
    assert_allclose(got["iqr"], stats.iqr(ranks))
    assert_allclose(got["skew"], stats.skew(ranks))
    assert_allclose(got["std"], np.std(ranks))
    assert got["skew"] > 1  # as for every model's ranks: most are low, a few are very high
    json.dumps(got, allow_nan=False)


def test_equal_ranks_have_no_spread():
    got = describe([7.5] * 5, [1, 1, 2, 2, 2])
    assert (got["iqr"], got["std"], got["skew"]) == (0, 0, 0)
    assert got["interval"] == [7.5, 7.5]
    assert set(box([7.5] * 5).values()) == {7.5}


@pytest.mark.parametrize("ranks", [[], [1.0, np.nan]])
def test_describe_refuses(ranks):
    with pytest.raises(ValueError, match="finite"):
        describe(ranks, np.zeros(len(ranks), int))


@given(st.lists(half_ranks, min_size=1, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_resampled_medians_are_those_of_the_repeated_ranks(ranks, data):
    pieces = data.draw(st.lists(st.integers(3, 7), min_size=len(ranks), max_size=len(ranks)))
    ranks, pieces = np.array(ranks), np.array(pieces)
    names = np.unique(pieces)
    seed = data.draw(seeds)
    got = resampled_medians(ranks, pieces, None, seed, resamples=8)
    for median, times in zip(got, piece_weights(len(names), seed, 8), strict=True):
        drawn = np.repeat(names, times.astype(int))
        assert median == np.median(np.concatenate([ranks[pieces == name] for name in drawn]))


@given(st.integers(2, 4), st.integers(1, 5), seeds)
@settings(max_examples=30, deadline=None)
def test_trainings_are_resampled_as_pieces_are(n_trainings, n_pieces, seed):
    """Every training is asked about every piece: each is drawn as often as both together."""
    rng = np.random.default_rng(seed)
    training, piece = (x.ravel() for x in np.indices((n_trainings, n_pieces)))
    times = rng.integers(1, 4, size=len(training))
    training, piece = np.repeat(training, times) * 7 + 3, np.repeat(piece, times) * 2
    ranks = np.floor(skewed_ranks(rng, len(piece)))
    truth, predicted = rng.integers(0, 2, (2, len(piece)))
    medians, shares = [], []
    for of_training, of_piece in zip(
        piece_weights(n_trainings, [seed, 1], 8), piece_weights(n_pieces, seed, 8), strict=True
    ):
        drawn = of_training[training // 7] * of_piece[piece // 2]
        medians.append(np.median(np.repeat(ranks, drawn.astype(int))))
        shares.append(np.average(truth == predicted, weights=drawn))
    found = resampled_medians(ranks, piece, training, seed, resamples=8)
    np.testing.assert_array_equal(found, medians)
    got = interval_of_accuracy(truth, predicted, piece, training, seed, resamples=8)
    assert_allclose(got, interval(shares))


def test_an_interval_over_trainings_is_wider():
    """Where trainings differ as much as pieces do."""
    rng = np.random.default_rng(2)
    training, piece = (np.repeat(x.ravel(), 20) for x in np.indices((3, 30)))
    ranks = np.floor(10 + 30 * training + rng.exponential(5, len(piece)))
    narrow, wide = (describe(ranks, piece, s)["interval"] for s in (None, training))
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert describe(ranks, piece, np.zeros(len(piece)))["interval"] == narrow


@given(st.lists(st.integers(0, 5), min_size=2, max_size=9).filter(any))
def test_weighted_median(counts):
    values = np.arange(len(counts)) ** 2 / 2
    got = weighted_medians(values, np.array([counts], float))
    assert got == np.median(np.repeat(values, counts))


def test_blocks_of_resamples_make_no_difference():
    rng = np.random.default_rng(0)
    ranks, pieces = skewed_ranks(rng, 300), rng.integers(0, 12, 300)
    assert_array_equal(
        resampled_medians(ranks, pieces, None, 5, 600)[:250],
        [
            np.median(np.concatenate([ranks[pieces == i] for i in np.repeat(range(12), times)]))
            for times in piece_weights(12, 5, 600)[:250].astype(int)
        ],
    )


def test_interval_is_wider_by_piece_than_by_sequence():
    rng = np.random.default_rng(1)
    pieces = np.repeat(np.arange(20), 100)
    ranks = np.floor(rng.exponential(30, 20))[pieces] + rng.integers(0, 5, 2000)  # pieces differ
    low, high = describe(ranks, pieces)["interval"]
    by_sequence = interval(resampled_medians(ranks, np.arange(2000), resamples=200))
    assert high - low > 2 * (by_sequence[1] - by_sequence[0])
    assert describe(ranks, pieces)["interval"] == [low, high]  # seeded
    assert low <= np.median(ranks) <= high


def test_describing_as_many_ranks_as_the_paper_takes_seconds():
    rng = np.random.default_rng(0)
    ranks = skewed_ranks(rng, paper.TEST_SEQUENCES)
    pieces = np.sort(rng.integers(0, 66, len(ranks)))
    start = time.perf_counter()
    describe(ranks, pieces)
    assert time.perf_counter() - start < 10  # half a second on an idle machine


@given(st.lists(half_ranks, min_size=1, max_size=40))
@settings(deadline=None)
def test_box_is_matplotlibs(ranks):
    (theirs,) = boxplot_stats(ranks)
    for name, value in box(ranks).items():
        assert_allclose(value, theirs[name])


# Pairs of models


def test_compare_against_scipy():
    rng = np.random.default_rng(2)
    first = skewed_ranks(rng, 400, 40)
    second = np.maximum(0, first + np.floor(rng.normal(6, 20, 400)))
    pieces = rng.integers(0, 30, 400)
    got = compare(first, second, pieces, comparisons=21, names=("a", "b"))
    assert (got["first"], got["second"], got["n"]) == ("a", "b", 400)
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert_allclose([got["welch"]["t"], got["welch"]["p"]], [theirs.statistic, theirs.pvalue])
    pooled = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)  # right for equal n
    assert_allclose(got["cohen_d"], (first.mean() - second.mean()) / pooled)
    for part, x, y in (
        (got, first, second),
        (got["pieces"], means_by_piece(first, pieces), means_by_piece(second, pieces)),
    ):
        theirs = stats.ttest_rel(x, y)
        assert_allclose([part["paired"]["t"], part["paired"]["p"]], theirs, rtol=1e-9)
        assert_allclose(part["d_z"], theirs.statistic / np.sqrt(len(x)))
        theirs = stats.wilcoxon(x, y)
        assert_allclose(
            [part["wilcoxon"]["statistic"], part["wilcoxon"]["p"]],
            [theirs.statistic, theirs.pvalue],
        )
        assert_allclose(part["mean_difference"], (x - y).mean())
    assert got["rank_biserial"] < 0  # the first has the lower, better ranks
    assert got["mean_difference"] < 0
    assert got["median_difference"] == np.median(first - second)
    assert got["better"] > got["worse"]


def test_means_by_piece():
    assert_allclose(means_by_piece([1, 2, 6, 8], [7, 3, 3, 3]), [16 / 3, 1])


@given(st.lists(st.tuples(half_ranks, half_ranks), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_rank_biserial_by_definition(pairs):
    differences = [a - b for a, b in pairs if a != b]
    sizes = [abs(d) for d in differences]
    weights = [sum(s < x for s in sizes) + (sum(s == x for s in sizes) + 1) / 2 for x in sizes]
    signed = sum(w if d > 0 else -w for w, d in zip(weights, differences, strict=True))
    got = compare(*zip(*pairs, strict=True))
    assert_allclose(got["rank_biserial"], signed / sum(weights) if weights else 0, atol=1e-12)
    json.dumps(got, allow_nan=False)


def test_swapping_models_flips_signs():
    rng = np.random.default_rng(4)
    a, b, pieces = skewed_ranks(rng, 90), skewed_ranks(rng, 90, 20), np.arange(90) // 7
    one, other = compare(a, b, pieces), compare(b, a, pieces)
    for key in "mean_difference", "median_difference", "cohen_d", "d_z", "rank_biserial":
        assert_allclose(one[key], -other[key])
    assert_allclose(one["pieces"]["rank_biserial"], -other["pieces"]["rank_biserial"])
    assert_allclose(one["wilcoxon"]["p"], other["wilcoxon"]["p"])
    assert one["better"] == other["worse"]


def test_pairs_are_corrected_for_their_number():
    rng = np.random.default_rng(5)
    ranks = {name: skewed_ranks(rng, 60) for name in paper.MODELS}
    pairs = compare_pairs(ranks, np.arange(60) // 4)
    assert len(pairs) == 21
    assert (pairs[0]["first"], pairs[0]["second"]) == ("note_drop", "beat_drop")
    for pair in pairs:
        for test in pair["welch"], pair["paired"], pair["pieces"]["wilcoxon"]:
            assert test["p_bonferroni"] == min(1, 21 * test["p"])
            assert test["significant"] == (test["p"] < 0.05 / 21)
    assert compare_pairs({"context": [1.0]}) == []


def test_equal_ranks_do_not_differ():
    ranks = np.array([3.0, 5.5, 900])
    got = compare(ranks, ranks.copy(), [0, 0, 1])
    for part in got, got["pieces"]:
        assert part["mean_difference"] == part["d_z"] == part["rank_biserial"] == 0
        assert part["paired"]["p"] == part["wilcoxon"]["p"] == 1
        assert not part["paired"]["significant"]
    assert got["welch"] == {"t": 0.0, "p": 1.0, "p_bonferroni": 1.0, "significant": False}


def test_constant_differences_and_single_targets():
    got = compare(np.array([3.0, 5, 7]), np.array([4.0, 6, 8]))
    assert (got["paired"]["t"], got["d_z"], got["paired"]["p"]) == (None, None, 0.0)
    got = compare([3.0], [4.0], [0])
    assert got["paired"]["p"] == got["welch"]["p"] == 1
    json.dumps(got, allow_nan=False)


def test_a_tiny_p_is_printed_as_a_bound():
    rng = np.random.default_rng(6)
    first = skewed_ranks(rng, 60_000, 10)
    got = compare(first, first + 20 + rng.integers(0, 3, len(first)))
    assert got["wilcoxon"]["significant"]
    assert p_text(got["wilcoxon"]["p"]) == p_text(got["paired"]["p"]) == "< 1e-300"
    assert [p_text(p) for p in (1.0, 0.0421, 0.000321)] == ["1.000", "0.042", "3.2e-04"]


def test_levene_against_scipy():
    rng = np.random.default_rng(7)
    groups = {"a": skewed_ranks(rng, 80, 20), "b": skewed_ranks(rng, 70, 60)}
    got = levene(groups)
    for name, center in ("levene", "mean"), ("brown_forsythe", "median"):
        theirs = stats.levene(*groups.values(), center=center)
        assert_allclose([got[name]["statistic"], got[name]["p"]], theirs)
    assert got["levene"]["statistic"] > got["brown_forsythe"]["statistic"]
    assert levene({"a": [1, 1], "b": [5, 5]})["levene"] == {"statistic": 0.0, "p": 1.0}
    assert levene({"a": [0, 2], "b": [0, 4]})["levene"]["statistic"] is None  # infinite


# Table 3

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def test_scores_by_hand():
    got = classification_scores([0, 0, 0, 1, 2], [0, 0, 1, 1, 1], 4)
    assert got["accuracy"] == 3 / 5
    assert got["confusion"] == [[2, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert_allclose([row["f1"] for row in got["per_composer"]], [0.8, 0.5, 0, 0])
    assert_allclose([row["precision"] for row in got["per_composer"]], [1, 1 / 3, 0, 0])
    assert_allclose([row["recall"] for row in got["per_composer"]], [2 / 3, 1, 0, 0])
    assert [row["support"] for row in got["per_composer"]] == [3, 1, 1, 0]
    assert_allclose(got["macro_f1"], 1.3 / 3)  # the fourth composer does not occur at all
    assert_allclose(got["weighted_f1"], (3 * 0.8 + 0.5) / 5)
    json.dumps(got, allow_nan=False)


@pytest.mark.peer("sklearn")
@given(labels)
@settings(max_examples=50, deadline=None)
def test_scores_against_sklearn(pairs):
    from sklearn import metrics

    truth, predicted = np.array(pairs).T
    got = classification_scores(truth, predicted, 5)
    theirs = {
        average: metrics.f1_score(truth, predicted, average=average, zero_division=0)
        for average in ("micro", "macro", "weighted")
    }
    assert_allclose(got["accuracy"], theirs["micro"])
    assert_allclose(got["macro_f1"], theirs["macro"])
    assert_allclose(got["weighted_f1"], theirs["weighted"])
    columns = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(5), zero_division=0
    )
    for name, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        assert_allclose([row[name] for row in got["per_composer"]], column)
    assert_array_equal(
        confusion_matrix(truth, predicted, 5),
        metrics.confusion_matrix(truth, predicted, labels=range(5)),
    )


def test_interval_of_accuracy_by_brute_force():
    rng = np.random.default_rng(8)
    pieces = rng.integers(0, 10, 200) * 3
    truth = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.1 + pieces / 50, truth, 0)
    names, correct = np.unique(pieces), truth == predicted
    shares = [
        np.concatenate([correct[pieces == name] for name in np.repeat(names, times)]).mean()
        for times in piece_weights(len(names), 3, 300).astype(int)
    ]
    got = interval_of_accuracy(truth, predicted, pieces, seed=3, resamples=300)
    assert_allclose(got, interval(shares))
    assert got[0] < correct.mean() < got[1]


# The paper's own numbers


@given(st.integers(1, 6), seeds, st.floats(0.05, 3))
@settings(max_examples=200, deadline=None)
def test_no_confusion_matrix_breaks_the_bound(n_classes, seed, tilt):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 200)
    share = rng.dirichlet(np.full(n_classes**2, tilt))
    truth, predicted = divmod(rng.choice(n_classes**2, size, p=share), n_classes)
    scores = classification_scores(truth, predicted, n_classes)
    bound = paper.weighted_f1_bound(scores["accuracy"])
    assert scores["weighted_f1"] < bound or scores["accuracy"] == 0


def test_the_bound_is_tight():
    # One large composer with precision 1, everything else misclassified: F1 = 2 TP / (n + TP).
    scores = classification_scores([0] * 1000, [0] + [1] * 999, 2)
    assert scores["weighted_f1"] > 0.99 * paper.weighted_f1_bound(scores["accuracy"])


def test_what_in_the_paper_cannot_hold():
    found = paper.impossibilities()
    by_claim = {entry["claim"]: entry for entry in found}
    table_3 = [entry for entry in found if entry["claim"].startswith("Table 3")]
    assert len(table_3) == 7
    assert all(entry["certain"] for entry in table_3)
    composer = next(entry for entry in table_3 if "composer:" in entry["claim"])
    assert "0.58" in composer["finding"]
    text = json.dumps(list(by_claim.values()))
    for number in "0.0024", "0.01 / 27", "61 notes", "27 rows", "516 training, 75 test":
        assert number in text
    assert sum(not entry["certain"] for entry in found) == 2  # the counts that 12 does not divide


def test_table_1():
    assert len(paper.COMPOSERS) == 27
    assert min(test for _, test in paper.COMPOSERS.values()) == 2
    assert paper.songs("Bach") == paper.songs("J. S. BACH") == (8, 2)
    assert paper.songs("Pyotr Tchaikovsky") == (13, 2)
    assert paper.songs("Joplin") == (57, 4)
    assert paper.songs("Satie") is paper.songs("???") is None
