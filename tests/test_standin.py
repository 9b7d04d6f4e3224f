"""The stand-in refuses what CuPy refuses. (On a real GPU these tests have nothing to say.)"""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import STANDIN

from tinyembed.backends.arrays import to_host

SUMS = "tinyembed_sums"


@pytest.fixture(autouse=True)
def only_the_standin(standin):
    pass


@pytest.mark.parametrize(
    "mixes",
    [
        lambda cp, x, n: x + n,
        lambda cp, x, n: n + x,
        lambda cp, x, n: n @ x,
        lambda cp, x, n: x @ n,
        lambda cp, x, n: cp.maximum(x, n),
        lambda cp, x, n: cp.concatenate([x, n]),
        lambda cp, x, n: cp.where(x > 0, x, n),
        lambda cp, x, n: cp.fuse(kernel_name="k")(lambda a, b: a + b)(x, n),
        lambda cp, x, n: x.__iadd__(n),
        lambda cp, x, n: x.__setitem__(..., n),
        lambda cp, x, n: x[np.array([0, 1])],
        lambda cp, x, n: x[[0, 1]],
        lambda cp, x, n: np.asarray(x),
        lambda cp, x, n: np.exp(x),
        lambda cp, x, n: np.sum(x),
        lambda cp, x, n: np.concatenate([x, x]),
        lambda cp, x, n: cp.stack([n, n]),
        lambda cp, x, n: cp.asarray([x, x]),
        lambda cp, x, n: cp.zeros(x),
        lambda cp, x, n: cp.lexsort((x[0], x[1])),
        lambda cp, x, n: cp.repeat(x, cp.arange(2)),
    ],
)
def test_arrays_of_both_sides_do_not_mix(gpu, mixes):
    x, n = gpu.ones((2, 2)), np.ones((2, 2))
    with pytest.raises(TypeError):
        mixes(gpu, x, n)


def test_numbers_are_welcome(gpu):
    x = gpu.ones(3, np.float32)
    for y in (x * 2, 2 * x, x + np.float32(1), np.float32(2) * x, 1 - x, x**-0.5, gpu.exp(x)):
        assert isinstance(y, gpu.ndarray) and y.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64


def test_what_asks_for_an_answer_is_counted_and_can_be_forbidden(gpu, standin):
    x = gpu.arange(3)
    asks = [
        lambda: float(x[0]), lambda: int(x[1]), lambda: bool(x[2]), lambda: x.get(),
        lambda: x.tolist(), lambda: gpu.asnumpy(x), lambda: x[0].item(), lambda: f"{x}",
        lambda: x[x > 1], lambda: gpu.flatnonzero(x), lambda: gpu.unique(x),
        lambda: gpu.bincount(x), lambda: gpu.cuda.Device().synchronize(),
        lambda: gpu.cuda.get_current_stream().synchronize(),
    ]  # fmt: skip
    for ask in asks:
        standin.reset()
        ask()
        assert standin.counts()["synchronisations"] == 1
        with standin.forbid_synchronisation(), pytest.raises(standin.Forbidden):
            ask()
    with standin.forbid_synchronisation(), pytest.raises(standin.Forbidden):
        gpu.asarray(np.ones(3))


def test_everything_that_is_started_is_counted(gpu, standin):
    x = gpu.ones((3, 4), np.float32)
    formula = gpu.fuse(kernel_name="k")(lambda a, b: a * b + a - b)
    total = gpu.fuse(kernel_name="k")(lambda a: gpu.sum(a * a, axis=0))
    started = {
        lambda: x + x: 1, lambda: x.sum(axis=0): 1, lambda: x @ x.T: 1, lambda: x.copy(): 1,
        lambda: x[gpu.asarray(x[:, 0], int)]: 2, lambda: x.T: 0, lambda: x[1:]: 0,
        lambda: x.reshape(2, 6): 0, lambda: x.T.reshape(12): 1, lambda: formula(x, x): 1,
        lambda: total(x): 1, lambda: gpu.zeros(3): 1, lambda: gpu.empty(3): 0,
        lambda: x.fill(1): 1, lambda: gpu.concatenate([x, x]): 2,
    }  # fmt: skip
    for start, launches in started.items():
        standin.reset()
        start()
        assert standin.counts()["launches"] == launches


def test_new_memory_holds_rubbish(gpu):
    assert np.isnan(to_host(gpu.empty(3, np.float32))).all()
    assert to_host(gpu.empty(3, np.int32)).all()


def test_reductions_give_arrays(gpu):
    x = gpu.ones((2, 3), np.float32)
    for y in (x.sum(), x.mean(), x.max(), x[0, 0], (x > 0).all()):
        assert isinstance(y, gpu.ndarray) and y.shape == ()


def test_one_number_is_a_view_too(gpu):
    x = gpu.zeros(3)
    first = x[0]
    x += 1
    assert float(first) == 1


def test_several_values_for_one_place(gpu):
    x = gpu.zeros(3)
    twice = gpu.asarray([1, 1])
    with pytest.raises(ValueError, match="undefined"):
        x[twice] = gpu.asarray([1.0, 2.0])
    x[twice] = 5  # one value for both is not in doubt
    assert x.tolist() == [0, 5, 0]


def test_a_fused_formula_has_operators_and_functions_only(gpu):
    x = gpu.ones((2, 3))
    with pytest.raises(AttributeError):
        gpu.fuse(kernel_name="k")(lambda a: a.sum())(x)
    with pytest.raises(ValueError, match="name"):
        gpu.fuse(lambda a: a)
    with pytest.raises(AttributeError):
        gpu.fuse(kernel_name="k")(lambda a: a.reshape(-1))(x)
    with pytest.raises(TypeError):
        gpu.fuse(kernel_name="k")(lambda a: a if a > 0 else -a)(x)
    with pytest.raises(TypeError, match="added up"):
        gpu.fuse(kernel_name="k")(lambda a: gpu.sum(a, axis=1) + a)(x)

    def writes(a, b):
        a += 1
        return b

    with pytest.raises(ValueError, match="another shape"):
        gpu.fuse(writes)(x[0], x)


def test_a_fused_formula_writes_and_returns_at_once(gpu, standin):
    x, y = gpu.ones(3), gpu.ones(3)

    def formula(a, b):
        a += b
        return a * 2, a - b

    fused = gpu.fuse(formula)
    standin.reset()
    twice, same = fused(x, y)
    assert standin.counts()["launches"] == 1
    assert (x.tolist(), twice.tolist(), same.tolist()) == ([2.0] * 3, [4.0] * 3, [1.0] * 3)


def test_a_pool_has_a_limit_and_gets_its_memory_back(gpu):
    pool = gpu.cuda.MemoryPool()
    pool.set_limit(size=1000)
    with gpu.cuda.using_allocator(pool.malloc):
        x = gpu.zeros(100)
        assert pool.used_bytes() == 800
        with pytest.raises(gpu.cuda.memory.OutOfMemoryError, match="Out of memory allocating"):
            gpu.zeros(100)
        del x
        gpu.zeros(100)
    assert pool.used_bytes() == 0


def capture(gpu, work, pool):
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream, gpu.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            work()
        finally:
            graph = stream.end_capture()
    return graph


def in_a_capture(gpu, work):
    """Do it there, and end the capture whatever comes of it."""
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            work()
        finally:
            with pytest.raises(gpu.cuda.runtime.CUDARuntimeError, match="Invalidated"):
                stream.end_capture()


def test_nine_small_arrays_are_joined_by_one_kernel_that_the_host_feeds(gpu, standin):
    x = gpu.zeros(3)
    for joined, launches, transfers in ((8, 8, 0), (9, 1, 1)):
        standin.reset()
        gpu.stack([x] * joined)
        counts = standin.counts()
        assert (counts["launches"], counts["to_device"]) == (launches, transfers)
    with standin.forbid_synchronisation(), pytest.raises(standin.Forbidden):
        gpu.stack([x] * 9)


def test_a_dropped_pool_keeps_what_was_not_given_back(gpu, standin):
    def lost():
        return standin.counts()["bytes_lost"]

    before = lost()
    for give_back, expected in ((True, 0), (False, 800)):
        pool = gpu.cuda.MemoryPool()
        with gpu.cuda.using_allocator(pool.malloc):
            gpu.zeros(100)
        assert (pool.used_bytes(), pool.total_bytes(), pool.n_free_blocks()) == (0, 800, 1)
        if give_back:
            pool.free_all_blocks()
        assert lost() == before
        del pool
        assert lost() == before + expected


def test_a_kernel_takes_what_cupy_takes(gpu):
    kernel = gpu.ElementwiseKernel("raw T x, int64 size, int64 stride", "T total", "", SUMS)
    x, total = gpu.ones((4, 3), np.float32), gpu.zeros(3, np.float32)
    kernel(x, 12, 3, total)
    assert total.tolist() == [4, 4, 4]
    with pytest.raises(TypeError, match="Type is mismatched"):
        kernel(x, 12, 3, gpu.zeros(3))
    with pytest.raises(TypeError, match="takes 4 arguments"):
        kernel(x, 12, total)
    with pytest.raises(TypeError, match="Unsupported type"):
        kernel(x, 12, 3, np.zeros(3, np.float32))
    with pytest.raises(NotImplementedError, match="does not know"):
        gpu.ElementwiseKernel("T x", "T y", "y = x", "unheard_of")
    step = gpu.ElementwiseKernel("T x, raw int64 y", "T z", "", SUMS)
    with pytest.raises(ValueError, match="shape"):
        step(x, gpu.arange(3), gpu.zeros((4, 1), np.float32))


PLAYED = """
import cupy
runtime = cupy.cuda.runtime
print(cupy.__version__, runtime.runtimeGetVersion(), runtime.driverGetVersion())
print(cupy.cuda.is_available())
try:
    print(runtime.getDeviceCount())
except runtime.CUDARuntimeError as error:
    print(str(error).partition(":")[0])
"""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "14.2.0 13020 13020 True 1"),
        ({"STANDIN_CUPY": "13.6.0"}, "13.6.0 13020 13020 True 1"),
        ({"STANDIN_CUDA": "12090"}, "14.2.0 12090 13020 True 1"),
        ({"STANDIN_DRIVER": "13000"}, "14.2.0 13020 13000 True 1"),
        ({"STANDIN_DRIVER": "12080"}, "14.2.0 13020 12080 False cudaErrorInsufficientDriver"),
        ({"STANDIN_DRIVER": "0"}, "14.2.0 13020 0 False cudaErrorInsufficientDriver"),
        ({"STANDIN_DEVICES": "0"}, "14.2.0 13020 13020 False cudaErrorNoDevice"),
    ],
)
def test_what_is_played(variables, said):
    environment = {**os.environ, "PYTHONPATH": str(STANDIN), **variables}
    done = subprocess.run(
        [sys.executable, "-c", PLAYED], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == said.split(), done.stderr


def test_a_graph_runs_when_launched_and_not_before(gpu):
    x, pool = gpu.zeros(3), gpu.cuda.MemoryPool()

    def work():
        y = x * 2
        x[...] = y + 1

    graph = capture(gpu, work, pool)
    assert x.tolist() == [0] * 3
    graph.launch()
    graph.launch()
    assert x.tolist() == [3] * 3


def test_what_a_graph_may_not_do(gpu):
    x, pool, error = gpu.zeros(3), gpu.cuda.MemoryPool(), gpu.cuda.runtime.CUDARuntimeError
    kept = []
    for work in (
        lambda: float(x[0]),
        lambda: gpu.asarray(np.ones(3)),
        lambda: x.set(np.ones(3)),
        lambda: x.get(),
        lambda: bool(x[0]),
        lambda: gpu.asnumpy(x),
        lambda: x[x > 0],
        lambda: gpu.nonzero(x),
        lambda: gpu.stack([x] * 9),
        lambda: gpu.concatenate([x] * 9),
        lambda: gpu.argsort(x),
        lambda: x.sort(),
        lambda: gpu.lexsort(x[None]),
        lambda: gpu.linalg.eigh(gpu.zeros((2, 2))),
        lambda: kept.append(x + 1),
        lambda: gpu.cuda.get_current_stream().synchronize(),
    ):
        with pytest.raises(error):
            capture(gpu, work, pool)
        kept.clear()
    with pytest.raises(error, match="operation not permitted when stream is capturing"):
        in_a_capture(gpu, lambda: gpu.stack([x] * 9))
    for work in (
        lambda: x[...].__setitem__(..., gpu.concatenate([x] * 8)[:3]),
        lambda: gpu.concatenate([x] * 8 + [gpu.zeros(3, int)]),  # of two types: nine copies
        lambda: x.__setitem__(gpu.arange(2), 5),
    ):
        capture(gpu, work, pool).launch()
    with pytest.raises((NotImplementedError, error)):
        capture(gpu, lambda: x @ x, pool)
    with pytest.raises(error, match="null stream"):
        gpu.cuda.Stream.null.begin_capture()
    with pytest.raises(error, match="default pool"):
        capture(gpu, lambda: x + 1, gpu.get_default_memory_pool())


def test_a_graph_needs_its_memory(gpu):
    error = gpu.cuda.runtime.CUDARuntimeError
    x, held, pool = gpu.zeros(3), [gpu.zeros(3)], gpu.cuda.MemoryPool()

    def work():
        x[...] += held[0] * 2

    graph = capture(gpu, work, pool)
    graph.launch()
    del pool
    with pytest.raises(error, match="pool"):
        graph.launch()
    pool = gpu.cuda.MemoryPool()
    graph = capture(gpu, work, pool)
    held.clear()
    with pytest.raises(error, match="gone"):
        graph.launch()
