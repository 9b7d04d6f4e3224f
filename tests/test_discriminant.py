"""The shrinkage discriminant: against scikit-learn, against its formulas, on few rows."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from tinyembed.evaluation.discriminant import Discriminant, class_covariance, ledoit_wolf


@st.composite
def labelled_rows(draw):
    """Rows of 2 to 6 classes of 1 to 12 rows, 1 to 30 numbers: also more numbers than rows.

    Scales differ; some numbers are the same in all rows of a class, or in all rows.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=6))
    assume(sum(sizes) > len(sizes))
    d = draw(st.integers(1, 30))
    labels = rng.permutation(np.repeat(rng.choice(99, len(sizes), replace=False), sizes))
    mix = rng.standard_normal((d, d)) * draw(st.sampled_from([0.0, 0.3, 1.0])) + np.eye(d)
    rows = rng.standard_normal((len(labels), d)) @ mix + labels[:, None] % 7 / 3
    rows *= 10 ** rng.uniform(-1, 1, d)
    if draw(st.booleans()):
        rows[labels == labels[0], : max(1, d // 3)] = 0.7
    if draw(st.booleans()):
        rows[:, -1] = 0.1
    return rows, labels, rng.standard_normal((7, d)) * rows.std(axis=0) + rows.mean(axis=0)


@pytest.mark.peer("sklearn")
@given(labelled_rows())
@settings(max_examples=100, deadline=None)
def test_equals_scikit_learn(data):
    from sklearn import discriminant_analysis as sklearn

    rows, labels, asked = data
    ours = Discriminant.fit(rows, labels)
    theirs = sklearn.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only one sample available")
        theirs.fit(rows, labels)
    # Two solutions of a nearly singular system agree to fewer digits.
    assume(np.linalg.cond(theirs.covariance_) < 1e7)
    values, size = ours.decision_values(asked), len(ours.classes)
    reference = asked @ theirs.coef_.T + theirs.intercept_ if size > 2 else None
    if size == 2:
        values = values[:, 1] - values[:, 0]
        reference = theirs.decision_function(asked)
    scale = max(1.0, np.abs(ours.decision_values(asked)).max())
    np.testing.assert_allclose(values, reference, rtol=0, atol=1e-8 * scale)
    probabilities = np.exp(ours.log_probabilities(asked))
    np.testing.assert_allclose(probabilities, theirs.predict_proba(asked), atol=1e-8 * scale)
    np.testing.assert_array_equal(ours.predict(asked), theirs.predict(asked))


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_covariance_is_shrunk_as_the_paper_defines(n, d, seed):
    """The definition, with a loop over the rows and the matrix of each."""
    x = np.random.default_rng(seed).standard_normal((n, d)) * np.linspace(0.5, 2, d)
    x -= x.mean(axis=0)
    s = np.mean([np.outer(row, row) for row in x], axis=0)
    identity = np.trace(s) / d * np.eye(d)

    def norm2(matrix):
        return (matrix**2).sum() / d

    d2 = norm2(s - identity)
    b2 = min(d2, sum(norm2(np.outer(row, row) - s) for row in x) / n**2)
    covariance, shrinkage = ledoit_wolf(x)
    assert shrinkage == pytest.approx(b2 / d2, abs=1e-9)
    np.testing.assert_allclose(covariance, (b2 * identity + (d2 - b2) * s) / d2, atol=1e-9)


def test_many_rows_are_hardly_shrunk_and_few_of_no_structure_wholly():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 5)) * [1, 2, 3, 4, 5]
    assert ledoit_wolf(x - x.mean(axis=0))[1] < 0.01
    x = rng.standard_normal((40, 300))
    assert ledoit_wolf(x - x.mean(axis=0))[1] > 0.9


def test_probabilities_are_those_of_normal_distributions():
    """With the means and the covariance that it found, by Bayes' rule."""
    rng = np.random.default_rng(1)
    labels = np.repeat([3, 5, 9], [40, 25, 10])
    rows = rng.standard_normal((75, 4)) @ rng.standard_normal((4, 4)) + labels[:, None] / 4
    covariance = sum((labels == c).mean() * class_covariance(rows[labels == c]) for c in (3, 5, 9))
    densities = np.stack(
        [
            (labels == c).mean()
            * multivariate_normal(rows[labels == c].mean(axis=0), covariance).pdf(rows)
            for c in (3, 5, 9)
        ],
        axis=1,
    )
    expected = densities / densities.sum(axis=1, keepdims=True)
    found = np.exp(Discriminant.fit(rows, labels).log_probabilities(rows))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_scale_of_a_number_does_not_matter():
    rng = np.random.default_rng(2)
    labels = np.arange(30) % 3
    rows = rng.standard_normal((30, 50)) + labels[:, None]
    factors = 10 ** rng.uniform(-2, 2, 50)
    plain, scaled = (Discriminant.fit(x, labels) for x in (rows, rows * factors))
    a, b = plain.decision_values(rows), scaled.decision_values(rows * factors)
    np.testing.assert_allclose(a, b, rtol=1e-8)


def test_more_numbers_than_rows_and_a_class_of_one():
    rng = np.random.default_rng(3)
    labels = np.array([0] * 6 + [1] * 6 + [2])
    centres = rng.standard_normal((3, 200)) * 2
    rows = centres[labels] + rng.standard_normal((13, 200))
    found = Discriminant.fit(rows.astype(np.float32), labels)
    assert np.isfinite(found.coefficients).all()
    asked = centres[[0, 1, 2, 1]] + rng.standard_normal((4, 200))
    assert found.predict(asked).tolist() == [0, 1, 2, 1]
