"""One module for both devices: formulas, transfers, products in TF32, and memory that ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends import arrays
from tinyembed.backends.arrays import (
    array_module,
    device_module,
    in_tf32,
    on_gpu,
    to_device,
    to_host,
    use_tf32,
)
from tinyembed.backends.formulas import fuse, mean_rows, one_kernel, sum_rows
from tinyembed.backends.memory import room_for
from tinyembed.errors import InputError, WorkError

sizes = st.integers(1, 12)


def test_the_module_of_an_array(xp):
    x = xp.ones(3)
    assert array_module(x) is xp and on_gpu(x) == (xp is not np)
    assert isinstance(to_host(x), np.ndarray)
    assert array_module(np.float32(1)) is np and array_module(2.0) is np


def test_devices_by_name(gpu, monkeypatch):
    monkeypatch.setattr(gpu.cuda, "is_available", lambda: True)
    assert device_module("auto") is device_module("gpu") is gpu and device_module("cpu") is np
    monkeypatch.setattr(gpu.cuda, "is_available", lambda: False)
    assert device_module("auto") is np
    with pytest.raises(InputError, match=r"--device gpu: CuPy finds no .*--device cpu"):
        device_module("gpu")

    def missing():
        raise ImportError

    monkeypatch.setattr(arrays, "import_cupy", missing)
    assert device_module("auto") is np
    with pytest.raises(InputError, match=r"--device gpu: CuPy is not installed \(pip install"):
        device_module("gpu")
    with pytest.raises(InputError, match="choose auto, cpu or gpu"):
        device_module("tpu")


@given(rows=sizes, columns=sizes, seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_formulas(xp, rows, columns, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, rows, columns), dtype=np.float32)
    per_row = rng.standard_normal((rows, 1), dtype=np.float32)
    per_column = rng.standard_normal(columns, dtype=np.float32)

    def formula(x, y, per_row, per_column, number):
        return number * x * per_row - y / (1 + per_column * per_column)

    expected = formula(x, y, per_row, per_column, 0.3)
    given = [*map(xp.asarray, (x, y, per_row, per_column)), 0.3]
    close = {"rtol": 1e-5, "atol": 1e-5}
    for kind, value in (
        (fuse, expected),
        (one_kernel, expected),
        (sum_rows, expected.sum(axis=0)),
        (mean_rows, expected.mean(axis=0)),
    ):
        found = kind(formula)(*given)
        assert found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), value, **close)


def test_a_kernel_with_several_results_that_also_writes(xp):
    @one_kernel
    def both(a, b, number):
        a += b * number
        return a * 2, b - a

    a, b = xp.ones(4, np.float32), xp.ones(4, np.float32)
    twice, rest = both(a, b, 3)
    assert [x.tolist() for x in (a, twice, rest)] == [[4] * 4, [8] * 4, [-3] * 4]


def test_a_kernel_that_ends_in_a_sum(xp):
    @one_kernel
    def lengths(x):
        return array_module(x).sum(x * x, axis=1) ** 0.5

    assert lengths(xp.asarray([[3.0, 4.0], [0.0, 2.0]])).tolist() == [5, 2]


def test_each_is_one_launch(gpu, standin):
    x, y = gpu.ones((5, 3), np.float32), gpu.ones((5, 3), np.float32)

    def formula(x, y):
        return x * y + x - y

    for kind in (fuse, one_kernel, sum_rows, mean_rows):
        kernel = kind(formula)
        standin.reset()
        kernel(x, y)
        assert standin.counts()["launches"] == 1


def test_several_arrays_in_one_transfer(xp):
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.integers(9, size=(3, 5)).astype(np.uint8),
        "b": rng.random(7),
        "c": rng.integers(2, size=(2, 3, 1)).astype(bool),
        "none": None,
        "d": rng.standard_normal((4, 2)).astype(np.float32).T,
        "empty": np.zeros((0, 2), np.int64),
    }
    if hasattr(xp, "standin"):
        xp.standin.reset()
    there = to_device(xp, **arrays)
    if hasattr(xp, "standin"):
        assert xp.standin.counts()["to_device"] == 1
    assert there.keys() == arrays.keys() and there["none"] is None
    for name in arrays.keys() - {"none"}:
        assert array_module(there[name]) is xp
        assert there[name].dtype == arrays[name].dtype
        np.testing.assert_array_equal(to_host(there[name]), arrays[name])
    assert to_device(xp) == {}


def test_tf32(gpu, standin):
    """Said to the library at every product, and to CuPy, which does the rest."""
    import ctypes

    library = ctypes.CDLL("libcublas.so.13")
    x = gpu.ones((2, 2), np.float32)
    try:
        use_tf32(gpu)
        assert in_tf32(gpu) and not in_tf32(np)
        arrays.matmul(x, x)
        assert 3 in {handle.math_mode for handle in library.handles.values()}
        assert gpu._core.get_compute_type(np.float32) == 7
    finally:
        use_tf32(gpu, False)
    arrays.matmul(x, x)
    assert not in_tf32(gpu) and gpu._core.get_compute_type(np.float32) == 1


def test_no_tf32(gpu, monkeypatch):
    with pytest.raises(InputError, match=r"--tf32: .*--device gpu"):
        use_tf32(np)
    use_tf32(np, False)
    monkeypatch.setattr(type(gpu.cuda.Device()), "compute_capability", "75", raising=False)
    with pytest.raises(InputError, match="none"):
        use_tf32(gpu)


@pytest.mark.parametrize(
    ("size", "words"), [(100, "try --batch-size 50"), (6, "try --batch-size 5"), (5, "larger")]
)
def test_memory_that_ends_is_one_line(size, words):
    with pytest.raises(WorkError) as caught, room_for("--batch-size", size, 5):
        raise MemoryError("Unable to allocate")
    assert words in str(caught.value) and f"--batch-size {size}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_gpus_memory_is_meant_too(gpu, standin):
    pool = gpu.cuda.MemoryPool()
    pool.set_limit(size=10)
    with (
        pytest.raises(WorkError, match="try --rows 4"),
        room_for("--rows", 8),
        gpu.cuda.using_allocator(pool.malloc),
    ):
        gpu.zeros(8)
