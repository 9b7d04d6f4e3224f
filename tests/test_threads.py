"""Blocks on several threads: the same numbers as all at once on one."""

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyembed.backends.cpu import threads
from tinyembed.backends.cpu.blocks import elementwise, in_blocks


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


def test_silenced_warnings_are_silent_in_every_thread(small_blocks):
    x = np.full((40, 2), 1e30, np.float32)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(elementwise(lambda x: x * x, x)).all()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        elementwise(lambda x: x * x, x)


def test_an_error_in_a_block_comes_out(small_blocks):
    def work(block):
        if block.start > 4:
            raise ValueError("in a block")

    with pytest.raises(ValueError, match="in a block"):
        in_blocks(work, np.zeros((40, 2)))


def test_only_long_arrays_are_handed_to_other_threads(small_blocks):
    def names(work_of):
        return set(in_blocks(lambda block: threading.current_thread().name, work_of))

    few = {"MainThread"}
    x = np.zeros((40, 2))
    assert names(x) == few if threads.workers() == 1 else names(x) > few
    threads.SMALL = x.size  # restored by the fixture
    assert names(x) == few
