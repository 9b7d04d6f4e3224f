"""The stand-in adds as CuPy's kernels add, and counts their blocks as CuPy does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import to_host


@pytest.fixture(autouse=True)
def only_the_standin(standin):
    pass


@pytest.fixture(scope="module")
def launches(standin):
    """The stand-in's module of block counts, importable once the stand-in is."""
    from cupy import _launches

    return _launches


def test_blocks_of_sums_over_rows(launches):
    """What CuPy's own `_get_block_specs` returns: (in, out, contiguous) -> (stride, blocks)."""
    for sizes, expected in {
        (8000 * 32, 32, 32): (32, 1),
        (8000 * 100, 100, 100): (32, 4),
        (576_000, 1, 1): (1, 1),
        (576_000, 1, 576_000): (32, 1),
        (512 * 100, 100, 1): (1, 100),
        (400 * 100, 100, 1): (1, 100),
        (20 * 5000, 5000, 1): (16, 313),
        (3 * 5000, 5000, 1): (128, 40),
        (5000, 5000, 5000): (512, 10),
    }.items():
        assert launches.block_specs(*sizes) == expected


def squares(x):
    import cupy

    return cupy.sum(x * x, axis=0)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda x, gpu: x + x, [(313, 128)]),
        (lambda x, gpu: x.sum(axis=0), [(2, 512)]),  # a block per 32 columns
        (lambda x, gpu: x.T.sum(axis=1), [(2, 512)]),
        (lambda x, gpu: x.T.sum(axis=0), [(1000, 256)]),  # CUB, a block per result
        (lambda x, gpu: x.sum(axis=1), [(1000, 256)]),
        (lambda x, gpu: x.sum(), [(10, 256), (1, 256)]),
        (lambda x, gpu: x[:100].sum(), [(1, 256)]),
        (lambda x, gpu: x.max(), [(10, 256), (1, 256)]),
        (lambda x, gpu: x.argmax(axis=1), [(125, 512)]),
        (lambda x, gpu: x.mean(), [(10, 256), (1, 256), (1, 128)]),
        (lambda x, gpu: x.mean(axis=0), [(2, 512)]),
        (lambda x, gpu: x[:, :9].sum(), [(1, 512)]),
        (lambda x, gpu: (x > 0).all(), [(313, 128), (1, 512)]),
        (lambda x, gpu: x[3:5], []),
        (lambda x, gpu: x[gpu.arange(50)], [(1, 128), (16, 128)]),
        (lambda x, gpu: x.__setitem__(slice(2), 0), [(1, 128)]),
        (lambda x, gpu: gpu.concatenate([x, x[:1]]), [(313, 128), (1, 128)]),
        (lambda x, gpu: gpu.fuse(squares)(x), [(2, 512)]),
        (lambda x, gpu: gpu.zeros(1000), [(8, 128)]),
    ],
)
def test_blocks_of_what_is_started(gpu, standin, work, expected):
    x = gpu.ones((1000, 40), np.float32)
    standin.reset()
    with standin.watch() as seen:
        work(x, gpu)
    assert [(launch.blocks, launch.threads) for launch in seen] == expected
    assert standin.counts()["launches"] == len(expected)
    assert seen == [] or max(seen, key=lambda launch: launch.elements).elements >= 80


def test_without_cub(gpu, standin, monkeypatch):
    monkeypatch.setenv("CUPY_ACCELERATORS", "")
    x = gpu.ones((1000, 40), np.float32)
    with standin.watch() as seen:
        x.sum(), x.sum(axis=1)
    assert [(launch.blocks, launch.threads) for launch in seen] == [(1, 512), (125, 512)]


def test_the_kernels_of_a_graph_are_its_nodes(gpu, standin):
    x, stream, pool = gpu.ones((1000, 40), np.float32), gpu.cuda.Stream(), gpu.cuda.MemoryPool()
    with stream, gpu.cuda.using_allocator(pool.malloc), standin.watch() as seen:
        stream.begin_capture()
        x[...] = gpu.concatenate([x[:500], x[500:]]) + x.mean()
        graph = stream.end_capture()
    assert len(seen) == 7 and all(launch.recorded for launch in seen)
    standin.reset()
    graph.launch()
    assert standin.counts()["replayed"] == 7 and standin.counts()["launches"] == 0


def added_by_threads(column, threads, tree):
    """One result of a reduction: each thread's sum, then halves of them, in one precision."""
    sums = np.zeros(threads, column.dtype)
    for j, value in enumerate(column):
        sums[j % threads] = sums[j % threads] + value
    while tree > 1:
        tree //= 2
        for t in range(tree):
            sums[t] = sums[t] + sums[t + tree]
    return sums[0]


@given(
    rows=st.integers(1, 1200), columns=st.integers(1, 40), seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64, np.complex64]), fused=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_sum_rounds_as_threads_and_a_tree_do(gpu, launches, rows, columns, seed, dtype, fused):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-3, 4, (rows, 1))).astype(
        dtype
    )
    total = gpu.fuse(kernel_name="k")(lambda a: gpu.sum(a, axis=0)) if fused else gpu.sum
    found = to_host(total(gpu.asarray(x)) if fused else total(gpu.asarray(x), axis=0))
    assert found.dtype == dtype and found.shape == (columns,)
    if not fused and launches.cub_reduction("sum", x, 0):  # one row, say: another kernel
        return
    stride, _ = launches.reduction_specs([x], 0)
    for c in range(columns):
        assert found[c] == added_by_threads(x[:, c], 512 // stride, 512 // stride)


def test_a_sum_loses_what_its_precision_loses(gpu):
    """In float32, a thread that has come to 2^24 does not see another 1."""
    x = np.ones((64 * 16, 32), np.float32)
    x[:16] = 2.0**24
    found = to_host(gpu.sum(gpu.asarray(x), axis=0))  # 16 threads per column
    assert (found == 16 * 2.0**24).all()
    assert (to_host(gpu.sum(gpu.asarray(x, np.float64), axis=0)) == 16 * 2.0**24 + 63 * 16).all()
    assert float(gpu.asarray(x).mean()) == pytest.approx(float(x.mean(dtype=float)), rel=1e-4)


def test_sums_of_other_shapes_and_kinds(gpu):
    """Against NumPy: along any axes, of whole numbers, of nothing."""
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (4, 5, 6)).astype(np.float32)  # whole, so that all orders agree
    for axis in (None, 0, 1, 2, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        for keepdims in (False, True):
            for a in (x, x.astype(int), x > 0, x[:0] if axis is None else x):
                found = to_host(gpu.sum(gpu.asarray(a), axis=axis, keepdims=keepdims))
                expected = np.sum(a, axis=axis, keepdims=keepdims)
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == expected.dtype
            found = to_host(gpu.asarray(x).mean(axis=axis, keepdims=keepdims))
            np.testing.assert_allclose(found, x.mean(axis=axis, keepdims=keepdims), rtol=1e-6)
    np.testing.assert_array_equal(to_host(gpu.asarray(x).T.sum(axis=0)), x.T.sum(axis=0))
    assert float(gpu.asarray(x).astype(int).mean()) == x.mean(dtype=float)
