"""Products that take turns with other programs: the same bits in every way, and which way when."""

import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus

from tinyembed.backends import choice, sharing
from tinyembed.backends.arrays import matmul
from tinyembed.backends.choice import engine_for
from tinyembed.backends.cpu import threads, turns
from tinyembed.backends.engine import Engine

OLD = np.matmul


def blas_threads():
    return {one["num_threads"] for one in sharing.blas().info()}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, and BLAS with two of its own, whatever the machine has."""
    monkeypatch.setattr(threads, "workers", lambda: 2)
    threads._pool.cache_clear()
    turns._turns.cache_clear()
    with sharing.blas().limit(limits=2):
        yield
    threads._pool.cache_clear()
    turns._turns.cache_clear()


@st.composite
def factors(draw, most=500):
    """Two matrices, each as it lies in memory or transposed."""
    m, k, n = (draw(st.integers(1, most)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    a, b = (rng.standard_normal(s, dtype=np.float32) for s in ((m, k), (k, n)))
    flipped = [np.ascontiguousarray(x.T).T if draw(st.booleans()) else x for x in (a, b)]
    return flipped


@given(factors(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_product_has_the_bits_of_blas_on_one_thread(given, waits):
    a, b = given
    with pytest.MonkeyPatch.context() as patch, sharing.one_blas_thread():
        patch.setattr(turns, "LARGE", 6_000_000)  # parts of a fifth of it and more
        patch.setattr(turns, "ALONE", 0)
        expected = matmul(a, b)
        with turns.taking_turns():
            now = turns._now
            for _ in range(3):  # compared, then in whichever way
                now.waiting = 99 if waits else 0
                np.testing.assert_array_equal(now.multiply(OLD, a, b), OLD(a, b))
                np.testing.assert_array_equal(matmul(a, b), expected)


@given(st.integers(1, 3000), st.integers(1, 9))
def test_cuts_cover_everything_in_large_parts(size, count):
    cuts = turns.cuts_of(size, count)
    assert [i for cut in cuts for i in range(size)[cut]] == list(range(size))
    assert len(cuts) <= count
    assert len(cuts) == 1 or min(cut.stop - cut.start for cut in cuts) >= turns.MULTIPLE
    assert all(cut.start % turns.MULTIPLE == 0 for cut in cuts)


def test_all_parts_are_multiplied_by_both_threads():
    seen = []

    def watched(a, b):
        seen.append((a.shape, b.shape, blas_threads()))
        return OLD(a, b)

    rng = np.random.default_rng(0)
    for shapes in (((2000, 300), (300, 50)), ((50, 300), (300, 2000))):
        a, b = (rng.standard_normal(s, dtype=np.float32) for s in shapes)
        with turns.taking_turns():
            turns._now.waiting = 9
            assert (turns.multiply(watched, a, b) == OLD(a, b)).all()
            seen.clear()
            turns.multiply(watched, a, b)
        assert len(seen) == 2 and all(one == {1} for *_, one in seen)
        longer = [max(left[0], right[1]) for left, right, _ in seen]
        assert sum(longer) == 2000 and min(longer) > 900


def test_a_slow_product_sends_the_next_ones_to_our_threads():
    a = np.ones((600, 300), np.float32)
    late = [0.0]

    def sometimes_late(left, right):
        if blas_threads() == {2}:
            time.sleep(late[0])
        return OLD(left, right)

    with turns.taking_turns():
        now = turns._now
        for _ in range(4):
            turns.multiply(sometimes_late, a, a.T)
        shape = next(iter(now.equal))
        now.equal[shape] = True
        turns.multiply(sometimes_late, a, a.T)
        assert blas_threads() == {2}
        now.waiting, now.fastest[shape], now.patience = 0, 1e-3, turns.PATIENCE
        late[0] = 0.05
        patience = []
        for _ in range(3):
            turns.multiply(sometimes_late, a, a.T)
            patience.append(now.waiting)
            for left in range(now.waiting - 1, 0, -1):
                turns.multiply(sometimes_late, a, a.T)
                assert blas_threads() == {1} and now.waiting == left
        assert patience == [turns.PATIENCE, 2 * turns.PATIENCE, 4 * turns.PATIENCE]


def test_shapes_are_compared_by_numbers_that_show_a_difference():
    """Zeros, such as a first gradient, are equal however they are added up."""
    rng, zeros = np.random.default_rng(0), np.zeros((600, 300), np.float32)

    def order_matters(left, right):  # as if BLAS added up in another order on two threads
        return OLD(left, right) * (np.float32(1.0001) if blas_threads() == {2} else 1)

    with turns.taking_turns():
        turns.multiply(order_matters, zeros, zeros.T)
        assert list(turns._now.equal.values()) == [False]
        x = rng.standard_normal((600, 300), dtype=np.float32)
        np.testing.assert_array_equal(turns.multiply(order_matters, x, x.T), OLD(x, x.T))


def test_small_products_are_compared_where_one_factor_is_a_vector():
    with turns.taking_turns():
        for m, k, n in ((30, 40, 50), (1, 400, 50), (50, 400, 1)):
            turns.multiply(OLD, np.ones((m, k), np.float32), np.ones((k, n), np.float32))
        assert [shape[:3] for shape in turns._now.equal] == [(1, 400, 50), (50, 400, 1)]


def test_blas_is_left_as_it_was():
    with pytest.raises(ValueError, match="no"), turns.taking_turns():
        assert blas_threads() == {1}
        a = np.ones((600, 300), np.float32)
        for _ in range(3):
            matmul(a, a.T)
        with turns.taking_turns():  # within itself it changes nothing
            pass
        assert turns._now is not None
        raise ValueError("no")
    assert blas_threads() == {2} and turns._now is None


def test_what_is_no_float32_matrix_has_one_thread():
    seen = []

    def plain(a, b):
        seen.append(blas_threads())
        return OLD(a, b)

    with turns.taking_turns():
        turns._now.set_threads(2)
        turns.on_one_thread(plain, np.ones((2, 3, 3)), np.ones((3, 3)))
    assert seen == [{1}]


def test_the_plain_backend_does_without(monkeypatch):
    assert type(engine_for(np)) is not Engine
    monkeypatch.setattr(choice, "_in_use", "plain")
    assert type(engine_for(np)) is Engine


TRAINED = """
import sys
from tests.small_networks import use_small_networks
import pytest
from tinyembed import train
from tinyembed.backends.cpu import turns
patch = pytest.MonkeyPatch()
use_small_networks(patch)
turns.LARGE, turns.ALONE = 1_500_000, 1 << 12
sys.exit(train.main(["--data", sys.argv[1], "--width", "small", "--examples", "600", "--out",
                     sys.argv[2], "--model", sys.argv[3], "--device", "cpu", "--json"]))
"""


@pytest.mark.parametrize("model", ["regularized"])
def test_a_training_ends_at_the_same_bits_on_any_number_of_threads(tmp_path, model):
    music = write_corpus(tmp_path / "music", composers=2, pieces=4, beats=60)
    found = set()
    for n in ("1", "2", "3"):
        out = tmp_path / n
        done = subprocess.run(
            [sys.executable, "-c", TRAINED, str(music), str(out), model],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with np.load(out / "weights.npz") as weights:
            arrays = [weights[name].tobytes() for name in sorted(weights.files) if name != "config"]
        found.add(hashlib.sha256(b"".join(arrays)).hexdigest())
    assert len(found) == 1
