"""The two losses: their values, their gradients, and what no loss below them can reach."""

import math

import numpy as np
import pytest
import scipy.spatial
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import to_host
from tinyembed.layers.candidate_loss import (
    CandidateCosineLoss,
    candidate_cosines,
    candidate_cosines_backward,
)
from tinyembed.layers.contrastive_loss import BatchCosineLoss, ContrastiveLoss
from tinyembed.layers.cosine import CosineLoss, cosines
from tinyembed.layers.gradcheck import complex_step, relative_error
from tinyembed.layers.softmax import SoftmaxCrossEntropy, softmax
from tinyembed.training.examples import draw_candidates

seeds = st.integers(0, 2**32 - 1)


@given(n=st.integers(1, 6), classes=st.integers(2, 5), seed=seeds, scale=st.floats(0.1, 50))
@settings(deadline=None)
def test_cross_entropy(xp, n, classes, seed, scale):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, classes)) * scale
    target = rng.integers(classes, size=n)
    expected = -scipy.special.log_softmax(logits, axis=1)[np.arange(n), target].mean()
    probabilities = scipy.special.softmax(logits, axis=1)
    logits, target = xp.asarray(logits), xp.asarray(target)
    loss, cache = SoftmaxCrossEntropy().forward(logits, target)
    np.testing.assert_allclose(to_host(loss), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(to_host(softmax(logits)), probabilities, rtol=1e-12)
    step = complex_step(lambda z: SoftmaxCrossEntropy().forward(z, target)[0], logits)
    gradient = to_host(SoftmaxCrossEntropy().backward(cache))
    np.testing.assert_allclose(gradient, step, rtol=1e-10, atol=1e-14)


def test_cross_entropy_survives_huge_logits(xp):
    logits = xp.asarray([[1e4, 0.0], [0.0, -1e4]], np.float32)
    loss, cache = SoftmaxCrossEntropy().forward(logits, xp.asarray([1, 0]))
    assert loss == 5000 and xp.isfinite(SoftmaxCrossEntropy().backward(cache)).all()


def brute_force_loss(reconstruction, target, candidates, temperature):
    """Equations 1 to 3, one example after the other."""
    total = 0
    for n, row in enumerate(candidates):
        q = target[n].ravel()
        sims = []
        for d in row:
            r = reconstruction[d].ravel()
            sims.append(q @ r / math.sqrt((q @ q) * (r @ r)))
        weights = np.exp(np.array(sims) / temperature)
        total -= math.log(weights[0] / weights.sum())
    return total / len(candidates)


@given(n=st.integers(5, 8), seed=seeds, temperature=st.sampled_from([1.0, 0.1]))
@settings(max_examples=20, deadline=None)
def test_candidate_loss(xp, n, seed, temperature):
    rng = np.random.default_rng(seed)
    reconstruction = rng.standard_normal((n, 2, 3))
    target = (rng.random((n, 2, 3)) < 0.5) * 1.0
    target[:, 0, 0] = 1  # no silent target
    candidates = draw_candidates(n, rng)
    loss = CandidateCosineLoss(temperature)
    expected = brute_force_loss(reconstruction, target, candidates, temperature)
    reconstruction, target, candidates = map(xp.asarray, (reconstruction, target, candidates))
    value, cache = loss.forward(reconstruction, target, candidates)
    assert float(value) == pytest.approx(expected, rel=1e-10)
    step = complex_step(lambda r: loss.forward(r, target, candidates)[0], reconstruction)
    gradient = loss.backward(cache)
    assert gradient.shape == reconstruction.shape
    assert relative_error(gradient, step) < 1e-10


@given(n=st.integers(5, 8), seed=seeds, onsets=st.integers(0, 12), order=st.sampled_from("CF"))
@settings(max_examples=40, deadline=None)
def test_candidate_cosines_of_sparse_targets(n, seed, onsets, order):
    """Their gradient is the derivative, also where targets are silent."""
    rng = np.random.default_rng(seed)
    r = np.asarray(rng.standard_normal((n, 60)), order=order)
    q = np.zeros((n, 60))
    q.flat[rng.integers(q.size, size=min(onsets, n))] = rng.standard_normal(min(onsets, n))
    candidates = draw_candidates(n, rng)
    _, cache = candidate_cosines(q, r, candidates)
    dcosines = rng.standard_normal(candidates.shape)
    step = complex_step(lambda r: (candidate_cosines(q, r, candidates)[0] * dcosines).sum(), r)
    gradient = candidate_cosines_backward(dcosines, cache)
    assert relative_error(gradient, step) < 1e-10 if q.any() else not gradient.any()


def test_the_candidate_loss_stays_in_float32():
    rng = np.random.default_rng(0)
    r = rng.standard_normal((6, 5760), dtype=np.float32)
    q = (rng.random((6, 5760)) < 20 / 5760).astype(np.float32)
    loss = CandidateCosineLoss()
    value, cache = loss.forward(r, q, draw_candidates(6, rng))
    assert value.dtype == loss.backward(cache).dtype == np.float32


def test_the_gradient_reaches_all_five_candidates():
    rng = np.random.default_rng(0)
    n = 10
    reconstruction, target = rng.standard_normal((2, n, 20))
    candidates = np.tile(np.arange(5), (n, 1))
    loss = CandidateCosineLoss()
    gradient = loss.backward(loss.forward(reconstruction, target, candidates)[1])
    reached = np.abs(gradient).sum(axis=1) > 0
    assert reached[:5].all() and not reached[5:].any()


def test_what_the_loss_can_and_cannot_reach():
    """Chance is log 5; perfect reconstruction of targets at right angles is still 0.905."""
    loss = CandidateCosineLoss()
    candidates = (np.arange(6)[:, None] + np.arange(5)) % 6
    perfect, _ = loss.forward(np.eye(6), np.eye(6), candidates)
    assert perfect == pytest.approx(-math.log(math.e / (math.e + 4)))
    assert round(float(perfect), 3) == 0.905
    constant, _ = loss.forward(np.ones((6, 6)), np.eye(6), candidates)
    assert constant == pytest.approx(math.log(5))


def test_a_silent_reconstruction_has_a_finite_loss_and_gradient(xp):
    loss = CandidateCosineLoss()
    zeros = xp.zeros((5, 3), np.float32)
    candidates = (xp.arange(5)[:, None] + xp.arange(5)) % 5
    value, cache = loss.forward(zeros, zeros + 1, candidates)
    gradient = loss.backward(cache)
    assert xp.isfinite(value) and xp.isfinite(gradient).all() and gradient.dtype == np.float32


@given(n=st.integers(1, 6), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_cosine_loss(xp, n, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.standard_normal((2, n, 4))
    expected = np.mean(
        [scipy.spatial.distance.cosine(*pair) for pair in zip(prediction, target, strict=True)]
    )
    prediction, target = xp.asarray(prediction), xp.asarray(target)
    value, cache = CosineLoss().forward(prediction, target)
    np.testing.assert_allclose(to_host(value), expected, rtol=1e-9, atol=1e-12)
    step = complex_step(lambda p: CosineLoss().forward(p, target)[0], prediction)
    assert relative_error(CosineLoss().backward(cache), step) < 1e-10


@given(n=st.integers(1, 6), seed=seeds, temperature=st.sampled_from([1.0, 0.1]))
@settings(max_examples=20, deadline=None)
def test_batch_cosine_loss(xp, n, seed, temperature):
    rng = np.random.default_rng(seed)
    prediction, target = rng.standard_normal((2, n, 4))
    loss = BatchCosineLoss(temperature)
    logits = 1 - scipy.spatial.distance.cdist(prediction, target, "cosine")
    expected = -np.diag(scipy.special.log_softmax(logits / temperature, axis=1)).mean()
    prediction, target = xp.asarray(prediction), xp.asarray(target)
    value, cache = loss.forward(prediction, target)
    np.testing.assert_allclose(to_host(value), expected, rtol=1e-9, atol=1e-12)
    step = complex_step(lambda p: loss.forward(p, target)[0], prediction)
    np.testing.assert_allclose(to_host(loss.backward(cache)), step, rtol=1e-9, atol=1e-12)


@given(m=st.integers(1, 6), n=st.integers(2, 7), seed=seeds, temperature=st.floats(0.05, 2))
@settings(deadline=None)
def test_contrastive_loss(m, n, seed, temperature):
    """Against SciPy; the gradients of queries and keys by complex step, hidden keys left out."""
    rng = np.random.default_rng(seed)
    queries, keys = rng.standard_normal((m, 4)), rng.standard_normal((n, 4))
    right = rng.integers(n, size=m)
    hidden = rng.integers(2, size=(m, n))
    hidden[np.arange(m), right] = 0
    loss = ContrastiveLoss(temperature)
    value, cache = loss.forward(queries, keys, right, hidden)
    logits = 1 - scipy.spatial.distance.cdist(queries, keys, "cosine")
    logits = np.where(hidden, -np.inf, logits / temperature)
    expected = -scipy.special.log_softmax(logits, axis=1)[np.arange(m), right].mean()
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
    dqueries, dkeys = loss.backward(cache)
    step = complex_step(lambda q: loss.forward(q, keys, right, hidden)[0], queries)
    np.testing.assert_allclose(dqueries, step, rtol=1e-9, atol=1e-12)
    step = complex_step(lambda k: loss.forward(queries, k, right, hidden)[0], keys)
    np.testing.assert_allclose(dkeys, step, rtol=1e-9, atol=1e-12)


def test_one_array_as_queries_and_keys():
    """Embeddings that look for each other: the two gradients add up."""
    h = np.random.default_rng(0).standard_normal((5, 4))
    right = np.array([1, 2, 3, 4, 0])
    loss = ContrastiveLoss()
    hidden = np.eye(5, dtype=int)
    _, cache = loss.forward(h, h, right, hidden)
    step = complex_step(lambda h: loss.forward(h, h, right, hidden)[0], h)
    np.testing.assert_allclose(sum(loss.backward(cache)), step, rtol=1e-9, atol=1e-12)


def test_cosines(xp):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 5)), rng.standard_normal((4, 5))
    expected = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    found = cosines(xp.asarray(a), xp.asarray(b))
    np.testing.assert_allclose(to_host(found), expected)


@given(n=st.integers(5, 40), seed=seeds)
@settings(deadline=None)
def test_candidates_are_oneself_and_four_different_others(n, seed):
    candidates = draw_candidates(n, np.random.default_rng(seed))
    assert candidates.shape == (n, 5)
    assert (candidates[:, 0] == np.arange(n)).all()
    assert all(len(set(row)) == 5 for row in candidates)
    assert candidates.min() >= 0 and candidates.max() < n


def test_every_other_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw_candidates(8, rng)[3, 1:] for _ in range(7000)])
    counts = np.bincount(drawn, minlength=8)
    assert counts[3] == 0
    expected = 4000  # 7,000 draws of four out of seven
    assert np.abs(np.delete(counts, 3) - expected).max() < 5 * math.sqrt(expected)
