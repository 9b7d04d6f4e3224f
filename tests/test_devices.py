"""--device: which array module it means, and what is said where a GPU cannot be used."""

import numpy as np
import pytest

from tinyembed.backends import arrays
from tinyembed.backends.arrays import device_module
from tinyembed.errors import InputError


@pytest.fixture
def answering(gpu, monkeypatch):
    """CuPy with a device that answers, of any version and with any driver."""

    def pretend(cupy="14.2.0", runtime=13000, driver=13000, device=True):
        monkeypatch.setattr(gpu, "__version__", cupy)
        monkeypatch.setattr(gpu.cuda.runtime, "runtimeGetVersion", lambda: runtime)
        monkeypatch.setattr(gpu.cuda.runtime, "driverGetVersion", lambda: driver)
        monkeypatch.setattr(gpu.cuda, "is_available", lambda: device)

    arrays._note.cache_clear()
    yield pretend
    arrays._note.cache_clear()


def test_a_gpu_that_answers(gpu, answering, capsys):
    answering()
    assert device_module("auto") is device_module("gpu") is gpu
    answering(runtime=12090, driver=12020)  # a newer minor version needs no newer driver
    assert device_module("auto") is gpu
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"driver": 12040}, "CUDA up to 12.4 and CuPy is for CUDA 13; update the driver to 580 or"),
        ({"driver": 12040}, 'or newer, or pip install "tinyembed[gpu12]"'),
        ({"runtime": 12090, "driver": 11080}, "update the driver to 525 or newer; --device cpu"),
        ({"cupy": "13.6.0"}, "CuPy 13.6.0 is too old, 14 or newer is needed (pip install"),
    ],
)
def test_what_is_too_old(answering, capsys, found, words):
    answering(**found, device="cupy" in found)
    with pytest.raises(InputError) as caught:
        device_module("gpu")
    said = str(caught.value)
    assert said.startswith("--device gpu: ") and words in said and "\n" not in said
    assert capsys.readouterr().err == ""
    for _ in range(2):
        assert device_module("auto") is np
    (line,) = capsys.readouterr().err.splitlines()  # said once
    assert line.startswith("note: no GPU is used: ") and words.split("; --")[0] in line
    assert device_module("cpu") is np and capsys.readouterr().err == ""


@pytest.mark.parametrize("driver", [0, 13000])
def test_no_gpu_is_nothing_to_speak_of(answering, capsys, driver):
    answering(driver=driver, device=False)
    assert device_module("auto") is np and capsys.readouterr().err == ""
    with pytest.raises(InputError, match="no NVIDIA GPU or driver; --device cpu"):
        device_module("gpu")


def test_without_cupy(monkeypatch, capsys):
    def missing():
        raise ImportError

    monkeypatch.setattr(arrays, "import_cupy", missing)
    assert device_module("auto") is np and capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"CuPy is not installed \(pip install"):
        device_module("gpu")
