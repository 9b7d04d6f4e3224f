"""Counts of intervals, against two loops over all pairs of onsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends import choice
from tinyembed.backends.arrays import to_host
from tinyembed.layers.conv import Conv2d
from tinyembed.layers.dense import Dense
from tinyembed.layers.gradcheck import cast, layer_errors
from tinyembed.layers.intervals import (
    COUNTS,
    EDGES,
    WIDEST,
    IntervalCounts,
    interval_counts,
)
from tinyembed.layers.layer import Reshape, Sequential
from tinyembed.layers.parallel import Parallel


def expected(image):
    """Of one image, pair by pair."""
    onsets = [(t, p) for p, t in zip(*np.nonzero(image), strict=True)]  # from early to late
    at_once, later = np.zeros(WIDEST + 1), np.zeros((len(EDGES) - 1, 2 * WIDEST + 1))
    for i, (t, p) in enumerate(sorted(onsets)):
        for u, q in sorted(onsets)[i:]:
            product = image[p, t] * image[q, u]
            if abs(q - p) > WIDEST:
                continue
            if u == t:
                at_once[q - p] += product
            else:
                longer = sum(u - t >= edge for edge in EDGES) - 2
                later[longer, q - p + WIDEST] += product
    return np.concatenate([at_once, later.ravel()])


@st.composite
def images(draw, dtype=float):
    """A few images with few onsets, of 1 or of other numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(0, 3)), draw(st.integers(1, 60)), draw(st.integers(1, 96))
    onsets = rng.random(shape) < draw(st.sampled_from([0, 0.002, 0.01, 0.05]))
    values = rng.integers(1, 4, shape) if draw(st.booleans()) else 1
    return (onsets * values).astype(dtype)


@given(x=images())
@settings(max_examples=60, deadline=None)
def test_all_pairs_are_counted(xp, x):
    y, _ = IntervalCounts().forward(xp.asarray(x[..., None]))
    whole = [expected(image) for image in x]
    np.testing.assert_allclose(to_host(y), np.log1p(whole).reshape(-1, COUNTS), rtol=1e-12)


def test_a_pair_and_where_it_is_counted(xp):
    x = np.zeros((2, 60, 96, 1), np.float32)
    x[1, [30, 37], [0, 6]] = 1  # a fifth up, a sixteenth later
    y = to_host(IntervalCounts().forward(xp.asarray(x))[0])
    np.testing.assert_array_equal(np.flatnonzero(y[1]), [0, WIDEST + 1 + WIDEST + 7])
    np.testing.assert_allclose(y[1][y[1] > 0], np.log1p([2, 1]), rtol=1e-6)
    assert not y[0].any()


@given(
    seed=st.integers(0, 2**32 - 1), key=st.integers(-5, 6), start=st.integers(-40, 40),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_neither_key_nor_place_matters(seed, key, start, dtype):
    rng = np.random.default_rng(seed)
    x = np.zeros((1, 60, 96, 1), dtype)
    x[:, 6:54, 40:56] = rng.random((48, 16, 1)) < 0.02
    moved = np.roll(x, (key, start), axis=(1, 2))
    here, there = (IntervalCounts().forward(images)[0] for images in (x, moved))
    np.testing.assert_array_equal(here, there)
    assert here[0, 0] == pytest.approx(np.log1p(x.sum()))


@pytest.mark.parametrize("backend", ["plain", "cpu", "numba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_with_few_and_many_onsets(backend, dtype):
    """Some 6, 90 and 290: more than a list of pairs, or a loop over them, is made for."""
    choice.use(backend)
    share = np.array([0.001, 0.015, 0.05])[:, None, None]
    x = (np.random.default_rng(0).random((3, 60, 96)) < share).astype(dtype)
    y, _ = IntervalCounts().forward(x[..., None])
    close = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, np.log1p([expected(image) for image in x]), rtol=close)


def test_counts_are_whole_numbers_with_every_backend():
    x = (np.random.default_rng(0).random((20, 60, 96)) < 0.004).astype(np.float32)
    for backend in ("plain", "cpu", "numba"):
        choice.use(backend)
        found = interval_counts(x, WIDEST, EDGES)
        np.testing.assert_array_equal(found, [expected(image) for image in x])
        for i in (0, 7):  # alone, the same bits
            np.testing.assert_array_equal(interval_counts(x[i : i + 1], WIDEST, EDGES), found[[i]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, complex])
def test_the_dtype_stays(xp, dtype):
    x = xp.asarray((np.random.default_rng(0).random((3, 60, 96, 1)) < 0.005).astype(dtype))
    y, cache = IntervalCounts().forward(x)
    assert y.shape == (3, COUNTS) and y.dtype == dtype
    assert IntervalCounts().backward(y, cache) is None


@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_layers_side_by_side(seed):
    rng = np.random.default_rng(seed)
    beside = Parallel(
        convolved=Sequential(conv=Conv2d(1, 2, (2, 3), (2, 3), rng=rng), flatten=Reshape(24)),
        flat=Sequential(flatten=Reshape(72), dense=Dense(72, 5, rng=rng)),
        counted=Sequential(counts=IntervalCounts(), dense=Dense(COUNTS, 4, rng=rng)),
    )
    beside = cast(beside, float)
    x = (rng.random((3, 6, 12, 1)) < 0.2).astype(float)
    y, cache = beside.forward(x)
    assert y.shape == (3, 24 + 5 + 4)
    np.testing.assert_array_equal(y[:, 24:29], beside.flat.forward(x)[0])
    dy = rng.standard_normal(y.shape)
    errors = layer_errors(Parallel(counted=beside.counted), x, dy[:, 29:])
    assert errors and max(errors.values()) < 1e-10, errors
    both = Parallel(convolved=beside.convolved, flat=beside.flat)
    errors = layer_errors(both, x, dy[:, :29])
    assert "x" in errors and max(errors.values()) < 1e-10, errors
    np.testing.assert_allclose(
        beside.backward(dy, cache), both.backward(dy[:, :29], both.forward(x)[1])
    )
