"""Work shared out among threads: every item once, BLAS on one thread, and back as it was."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from tinyembed.backends import sharing
from tinyembed.backends.arrays import matmul
from tinyembed.backends.cpu import threads
from tinyembed.backends.cpu.blocks import in_blocks
from tinyembed.backends.sharing import one_blas_thread, share_out


def blas_threads():
    """Of NumPy's BLAS. Another module may have loaded one of its own."""
    return {one["num_threads"] for one in sharing.blas().info()}


@pytest.fixture(params=[1, 2, 3])
def n_threads(request, monkeypatch):
    monkeypatch.setattr(threads, "workers", lambda: request.param)
    threads._pool.cache_clear()
    yield request.param
    threads._pool.cache_clear()


def test_every_item_is_worked_on_once_and_results_are_in_order(n_threads):
    @given(st.lists(st.integers(), max_size=50))
    def check(items):
        seen = []

        def work(item):
            seen.append(item)
            return [item]

        assert share_out(work, items) == [[item] for item in items]
        assert sorted(seen) == sorted(items)

    check()


def test_there_are_as_many_threads_as_cores_and_each_multiplies_alone(n_threads):
    everyone = threading.Barrier(n_threads, timeout=20)
    before = blas_threads()

    def work(_):
        everyone.wait()  # fails unless so many threads come here at once
        return threading.get_ident(), blas_threads()

    found = share_out(work, range(n_threads))
    assert len({thread for thread, _ in found}) == n_threads
    assert all(blas == {1} for _, blas in found)
    assert blas_threads() == before


def test_work_within_such_work_stays_on_its_thread(n_threads, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "BLOCK", 8)

    def work(_):
        inside = share_out(lambda _: threading.get_ident(), range(5))
        inside += in_blocks(lambda block: threading.get_ident(), np.zeros((40, 2)))
        return set(inside) == {threading.get_ident()}

    assert n_threads == 1 or all(share_out(work, range(8)))


def test_an_error_ends_the_work_and_comes_out(n_threads):
    before, done = blas_threads(), []

    def work(item):
        done.append(item)
        if item == 3:
            raise ValueError("item 3")

    with pytest.raises(ValueError, match="item 3"):
        share_out(work, range(1000))
    assert len(done) < 1000 and blas_threads() == before


def test_silenced_warnings_are_silent_in_every_thread(n_threads):
    x = np.full(3, 1e30, np.float32)
    with np.errstate(over="ignore"):
        share_out(lambda _: x * x, range(20))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        share_out(lambda _: x * x, range(20))


@given(st.lists(st.booleans(), max_size=12))
def test_blas_has_its_threads_back_when_the_last_of_several_callers_is_done(order):
    """Callers on several threads begin and end in any order."""
    before, running = blas_threads(), []
    for begins in order:
        if begins or not running:
            running.append(one_blas_thread())
            running[-1].__enter__()
        else:
            running.pop(0).__exit__(None, None, None)
        assert blas_threads() == ({1} if running else before)
    for context in running:
        context.__exit__(None, None, None)
    assert blas_threads() == before


def test_on_a_gpu_it_is_a_loop(gpu, monkeypatch):
    monkeypatch.setattr(threads, "workers", lambda: 3)
    threads._pool.cache_clear()
    found = share_out(lambda _: threading.get_ident(), range(9), gpu)
    assert set(found) == {threading.get_ident()}


# Rows of products

ROWS = """
import sys
import numpy as np
from tinyembed.backends import sharing
from tinyembed.backends.arrays import matmul

rng = np.random.default_rng(0)
for k, m in ((113, 64), (128, 100), (256, 128), (400, 100), (1024, 256), (1088, 256), (3264, 800)):
    weight = rng.standard_normal((k, m)).astype(np.float32)
    x = rng.standard_normal((300, k)).astype(np.float32)
    whole = matmul(x, weight)
    for n in range(0, 121, 12):
        for start in (0, 12, 180):
            some = slice(start, start + n)
            assert np.array_equal(matmul(x[some], weight), whole[some]), (k, m, n, start)
print("equal")
"""


@pytest.mark.parametrize("processor", ["", "Haswell", "Sandybridge", "Nehalem"])
def test_a_row_of_a_product_does_not_depend_on_how_many_rows_there_are(processor):
    """In twelves, at least, with what OpenBLAS runs on several kinds of x86 processors."""
    if processor and not _runs_on_avx2():
        pytest.skip("this processor cannot run what OpenBLAS runs on others")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TINYEMBED_BACKEND": "cpu"}
    if processor:
        environment["OPENBLAS_CORETYPE"] = processor
    done = subprocess.run(
        [sys.executable, "-c", ROWS], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "equal\n", done.stderr


def _runs_on_avx2():
    kinds = {one.get("architecture") for one in threadpool_info()}
    return bool(kinds & {"SkylakeX", "Cooperlake", "SapphireRapids", "Haswell", "Zen"})


def test_few_rows_of_a_product_are_what_numpy_computes(engine):
    rng = np.random.default_rng(0)
    for k, m, n in ((128, 100, 0), (128, 100, 1), (128, 100, 30), (72, 32, 80), (3, 2, 5)):
        a, b = rng.standard_normal((n, k)), rng.standard_normal((k, m))
        for dtype, close in ((np.float32, 1e-4), (np.float64, 1e-12)):
            for x in (a.astype(dtype), np.asfortranarray(a.astype(dtype))):
                y = matmul(x, b.astype(dtype))
                assert y.dtype == dtype and y.shape == (n, m)
                np.testing.assert_allclose(y, a @ b, rtol=0, atol=close)
