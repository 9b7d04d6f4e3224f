"""One module for both devices: transfers, products in TF32, and running out of memory."""

import ctypes

import numpy as np
import pytest
from cplusplus import COMPILER, compile_cpp

from tinyembed.backends import arrays
from tinyembed.backends.arrays import (
    array_module,
    device_module,
    on_gpu,
    to_device,
    to_host,
)
from tinyembed.backends.cupy.products import in_tf32, use_tf32
from tinyembed.backends.memory import suggest_smaller
from tinyembed.cli.devices import choose_device
from tinyembed.errors import InputError, WorkError


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


def test_tf32(engine, gpu, standin):
    """Said to the library at every product, and to CuPy, which does the rest."""
    import ctypes

    library = ctypes.CDLL("libcublas.so.13")
    x = gpu.ones((2, 2), np.float32)
    try:
        use_tf32()
        assert in_tf32()
        arrays.matmul(x, x)
        assert 3 in {handle.math_mode for handle in library.handles.values()}
        assert gpu._core.get_compute_type(np.float32) == 7
    finally:
        use_tf32(False)
    arrays.matmul(x, x)
    assert not in_tf32() and gpu._core.get_compute_type(np.float32) == 1


def test_no_tf32(gpu, monkeypatch):
    with pytest.raises(InputError, match=r"--tf32: .*--device gpu"):
        choose_device("cpu", tf32=True)
    assert choose_device("cpu") is np
    monkeypatch.setattr(type(gpu.cuda.Device()), "compute_capability", "75", raising=False)
    with pytest.raises(InputError, match="none"):
        use_tf32()


@pytest.mark.parametrize(
    ("size", "words"), [(100, "try --batch-size 50"), (6, "try --batch-size 5"), (5, "larger")]
)
def test_memory_that_ends_is_one_line(size, words):
    with pytest.raises(WorkError) as caught, suggest_smaller("--batch-size", size, 5):
        raise MemoryError("Unable to allocate")
    assert words in str(caught.value) and f"--batch-size {size}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_gpus_memory_is_meant_too(gpu, standin):
    pool = gpu.cuda.MemoryPool()
    pool.set_limit(size=10)
    with (
        pytest.raises(WorkError, match="try --rows 4"),
        suggest_smaller("--rows", 8),
        gpu.cuda.using_allocator(pool.malloc),
    ):
        gpu.zeros(8)


DIRTY = """
extern "C" void dirty() {
    volatile unsigned memory[200000];
    for (int i = 0; i < 200000; i++) memory[i] = 0x7f800001;  // a signalling NaN
}
"""


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_a_product_warns_of_nothing_that_is_not_in_it(tmp_path):
    """Whatever an earlier function left on the stack, where OpenBLAS may work."""
    (tmp_path / "dirty.cpp").write_text(DIRTY)
    compile_cpp(tmp_path / "dirty.cpp", tmp_path / "dirty.so", "-shared", "-fPIC")
    dirty = ctypes.CDLL(tmp_path / "dirty.so").dirty
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 15, 31, 138):
        a, b = rng.random((1, 5), np.float32), rng.random((n, 5), np.float32)
        dirty()
        product = arrays.matmul(a, b.T)  # a warning is an error here
        np.testing.assert_allclose(product, (a * b).sum(axis=1)[None], rtol=1e-6)
