"""Blocks on several threads: the same numbers as all at once on one."""

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.cpu import threads
from tinyembed.backends.formulas import fuse, in_blocks, sum_rows
from tinyembed.layers.im2col import columns, fold
from tinyembed.layers.lstm import Lstm

sizes = st.integers(1, 30)


@pytest.fixture(params=[1, 2, 3])
def small_blocks(request, monkeypatch):
    """Blocks of 8 numbers, on one, two and three threads."""
    threads.workers.cache_clear()
    threads._pool.cache_clear()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", str(request.param))
    monkeypatch.setattr(threads, "BLOCK", 8)
    monkeypatch.setattr(threads, "SMALL", 0)
    assert threads.workers() == request.param
    yield
    threads.workers.cache_clear()
    threads._pool.cache_clear()


@given(rows=st.integers(0, 100), row_size=st.integers(0, 20))
def test_blocks_cover_every_row_once_in_order(rows, row_size):
    blocks = threads.run_blocks(lambda block: range(rows)[block], rows, row_size)
    assert [row for block in blocks for row in block] == list(range(rows))


def test_formulas_in_blocks(small_blocks):
    @given(rows=sizes, columns=sizes, seed=st.integers(0, 99))
    @settings(max_examples=30, deadline=None)
    def check(rows, columns, seed):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, rows, columns), dtype=np.float32)
        per_row = rng.standard_normal((rows, 1), dtype=np.float32)
        per_column = rng.standard_normal(columns, dtype=np.float32)

        def formula(x, y, per_row, per_column):
            return x * per_row - y / (1 + per_column * per_column)

        expected = formula(x, y, per_row, per_column)
        np.testing.assert_array_equal(fuse(formula)(x, y, per_row, per_column), expected)
        np.testing.assert_allclose(
            sum_rows(formula)(x, y, per_row, per_column), expected.sum(axis=0), atol=1e-4
        )

    check()


def test_sums_do_not_depend_on_the_number_of_threads(monkeypatch):
    x = np.random.default_rng(0).standard_normal((1000, 7), dtype=np.float32)
    monkeypatch.setattr(threads, "BLOCK", 64)
    monkeypatch.setattr(threads, "SMALL", 0)
    found = []
    for n in "1234":
        threads.workers.cache_clear()
        threads._pool.cache_clear()
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", n)
        found.append(sum_rows(lambda x: x * x)(x))
    threads.workers.cache_clear()
    threads._pool.cache_clear()
    assert all((f == found[0]).all() for f in found)


def test_convolution_in_blocks(small_blocks):
    @given(data=st.data(), seed=st.integers(0, 99))
    @settings(max_examples=30, deadline=None)
    def check(data, seed):
        draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
        n, c = draw(1, 9), draw(1, 3)
        kernel, stride = (draw(1, 3), draw(1, 4)), (draw(1, 3), draw(1, 3))
        padding = draw(0, 1), draw(0, 2)
        x = np.random.default_rng(seed).standard_normal((n, draw(3, 5), draw(4, 7), c))
        geometry = kernel, stride, padding
        before, threads.BLOCK = threads.BLOCK, 1 << 30
        patches = columns(x, *geometry)
        image = fold(patches, x.shape, *geometry)
        threads.BLOCK = before
        np.testing.assert_array_equal(columns(x, *geometry), patches)
        np.testing.assert_array_equal(fold(patches, x.shape, *geometry), image)

    check()


def test_an_lstm_in_blocks(small_blocks):
    rng = np.random.default_rng(0)
    layer = Lstm(3, 4, rng=rng)
    x = rng.standard_normal((5, 9, 3), dtype=np.float32)
    dy = rng.standard_normal((5, 9, 4), dtype=np.float32)

    def both():
        y, cache = layer.forward(x)
        return y, layer.backward(dy, cache)

    in_parts = both()
    threads.BLOCK = 1 << 30  # restored by the fixture
    for a, b in zip(in_parts, both(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_silenced_warnings_are_silent_in_every_thread(small_blocks):
    x = np.full((40, 2), 1e30, np.float32)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(fuse(lambda x: x * x)(x)).all()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        fuse(lambda x: x * x)(x)


def test_an_error_in_a_block_comes_out(small_blocks):
    def work(block):
        if block.start > 4:
            raise ValueError("in a block")

    with pytest.raises(ValueError, match="in a block"):
        in_blocks(work, np.zeros((40, 2)))


def test_several_sums_at_once(small_blocks):
    @sum_rows
    def sums(x, y):
        return x, x * y

    x, y = np.random.default_rng(0).standard_normal((2, 501, 3))
    np.testing.assert_allclose(sums(x, y), [x.sum(axis=0), (x * y).sum(axis=0)], atol=1e-10)
    of_nothing, of_no_products = sums(x[:0], y[:0])
    assert of_nothing.tolist() == of_no_products.tolist() == [0, 0, 0]


def test_only_long_arrays_are_handed_to_other_threads(small_blocks):
    def names(work_of):
        return set(in_blocks(lambda block: threading.current_thread().name, work_of))

    few = {"MainThread"}
    x = np.zeros((40, 2))
    assert names(x) == few if threads.workers() == 1 else names(x) > few
    threads.SMALL = x.size  # restored by the fixture
    assert names(x) == few
