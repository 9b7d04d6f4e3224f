"""Hand-written kernels: the same numbers as the definitions, in sums of any size.

On a GPU the kernels themselves run. Without one, the stand-in runs the NumPy function that comes
with each; test_gpu_semantics.py compiles their code as C++ and compares.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import add_column_sums, column_sums, to_host
from tinyembed.layers.batchnorm import training_statistics
from tinyembed.layers.batchnorm_elu import norm_gradients_elu
from tinyembed.layers.im2col import col2im, im2col

kernels = pytest.importorskip("tinyembed.backends.cupy.kernels")

from tinyembed.backends.cupy import column_sums as sums  # noqa: E402
from tinyembed.backends.cupy.im2col import im2col_kernel  # noqa: E402

pytestmark = pytest.mark.usefixtures("engine")


def test_all_kernels_are_listed_with_examples():
    found = kernels.all_kernels()
    names = {kernel.name for kernel, *_ in found}
    assert len(names) == 13 and all(name.startswith("tinyembed_") for name in names)
    for kernel, examples, same in found:
        count = len(kernel.inputs.split(",")) + len(kernel.outputs.split(","))
        assert examples and all(len(arguments) == count for arguments in examples)
        for arguments in examples:
            copies = [np.copy(x) if isinstance(x, np.ndarray) else x for x in arguments]
            same(*copies)
            outputs = copies[len(kernel.inputs.split(",")) :]
            assert all(np.isfinite(x).all() for x in outputs)
            pairs = list(zip(copies, arguments, strict=True))
            inputs, written = pairs[: -len(outputs)], pairs[-len(outputs) :]
            assert all(np.array_equal(a, b) for a, b in inputs)
            assert not any(np.array_equal(a, b) for a, b in written)


# Sums of columns


SHAPES = [
    (1, 1), (3, 5000), (100, 100), (100, 256), (129, 3), (257, 1), (400, 256), (1000, 10),
    (8000, 32), (3200, 64), (80_000, 32), (576_000, 1), (5_760_000, 1), (400, 800), (9, 70_000),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_every_stage_keeps_many_threads_busy(rows, columns):
    """At least 32 blocks of 128 threads over 10,000 numbers, and no long loops elsewhere."""
    groups = sums.stages(rows, columns)
    for count in (*groups, 1):
        threads = count * columns
        if rows * columns > 10_000:
            assert -(-threads // 128) >= 32
        assert count == rows == 1 or count < rows
        assert -(-rows // count) <= max(256, rows * columns / 2**16 + 1)
        rows = count


@given(rows=st.integers(1, 10**7), columns=st.integers(1, 5000))
@settings(deadline=None)
def test_stages_of_any_shape(rows, columns):
    assume(rows * columns < 10**8)
    test_every_stage_keeps_many_threads_busy(rows, columns)
    assert len(sums.stages(rows, columns)) <= 4


@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (300, 7), (8000, 32), (40_000, 9)])
def test_sums_in_single_precision(gpu, rows, columns):
    """As exact as a tree of sums: adding row after row would be ten times less."""
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32) + 3
    there, exact = gpu.asarray(x), x.sum(axis=0, dtype=float)
    found = column_sums(there)
    assert found.dtype == np.float32
    np.testing.assert_allclose(to_host(found), exact, rtol=1e-6)
    total = gpu.ones(columns, np.float32)
    add_column_sums(total, there)
    np.testing.assert_allclose(to_host(total), exact + 1, rtol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (300, 7), (8000, 32), (40_000, 9)])
@pytest.mark.parametrize("far", [0, 100])
def test_statistics_in_single_precision(gpu, rows, columns, far):
    """Means far from zero do not cancel the variance."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, columns)).astype(np.float32) + far
    running = gpu.zeros(columns, np.float32), gpu.ones(columns, np.float32)
    mean, var, n = training_statistics(gpu.asarray(x), *running, 0.25)
    exact = x.mean(axis=0, dtype=float), x.var(axis=0, dtype=float)
    assert n == rows
    np.testing.assert_allclose(to_host(mean), exact[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(to_host(var), exact[1], rtol=1e-5)
    np.testing.assert_allclose(to_host(running[0]), exact[0] / 4, rtol=1e-6, atol=1e-6)
    unbiased = exact[1] * rows / (rows - 1)
    np.testing.assert_allclose(to_host(running[1]), 0.75 + unbiased / 4, rtol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (300, 7), (8000, 32), (40_000, 9)])
def test_gradients_of_batch_norm_in_single_precision(gpu, rows, columns):
    rng = np.random.default_rng(0)
    dy, y, x = (rng.standard_normal((rows, columns)).astype(np.float32) for _ in range(3))
    mean, var = x.mean(axis=0), x.var(axis=0)
    grads = [np.ones(columns, np.float32) for _ in range(2)]
    there = [gpu.asarray(a) for a in (dy, y, x, mean, var, *grads)]
    found = norm_gradients_elu(*there, 1e-5)
    exact = [a.astype(float) for a in (dy, y, x, mean, var, *grads)]
    expected = norm_gradients_elu(*exact, 1e-5)
    for a, b in zip((*found, *there[-2:]), (*expected, *exact[-2:]), strict=True):
        np.testing.assert_allclose(to_host(a), b, rtol=1e-4, atol=2e-4 * rows**0.5)


# im2col and col2im


@st.composite
def cases(draw):
    """An image's shape, a kernel's, stride and padding: they fit or leave a rest."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    n, h, w, c = (
        draw(st.integers(1, 3)),
        *draw(st.tuples(*[st.integers(1, 7)] * 2)),
        draw(st.integers(1, 3)),
    )
    assume(h + 2 * padding[0] >= kernel[0] and w + 2 * padding[1] >= kernel[1])
    return (n, h, w, c), kernel, stride, padding


@given(case=cases(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_gpu_lays_out_and_folds_as_a_cpu(gpu, case, seed):
    shape, *geometry = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    patches = im2col(x, *geometry)
    np.testing.assert_array_equal(to_host(im2col(gpu.asarray(x), *geometry)), patches)
    other = rng.standard_normal(patches.shape)
    found = to_host(col2im(gpu.asarray(other), shape, *geometry))
    np.testing.assert_allclose(found, col2im(other, shape, *geometry), rtol=1e-13, atol=1e-13)


def test_each_is_one_launch_of_a_kernel_that_is_compiled_once(gpu, standin):
    x = gpu.ones((2, 4, 6, 3), np.float32)
    for _ in range(2):
        made = im2col_kernel.cache_info().misses
        standin.reset()
        patches = im2col(x, (2, 4), (1, 2), (0, 1))
        col2im(patches, x.shape, (2, 4), (1, 2), (0, 1))
        assert standin.counts()["launches"] == 2
    assert im2col_kernel.cache_info().misses == made


def test_indices_of_more_than_31_bits(monkeypatch):
    """At `paper` width from a batch of 83,887 on."""
    from tinyembed.backends.cupy import im2col as room

    class Sized:
        def __init__(self, size):
            self.size = size

    assert not room._wide(Sized(2**31 - 1), Sized(5)) and room._wide(Sized(5), Sized(2**31))
    sizes = (5, 16, 3, 4, 8, 2, 4, 1, 2, 0, 1)
    narrow, wide = (im2col_kernel(sizes, wide).loop_prep for wide in (False, True))
    assert "typedef int Index;" in narrow and "typedef long long Index;" in wide
    assert "const Index kw = 4;" in narrow
