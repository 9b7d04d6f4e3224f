"""benchmarks/gpu.py: its message without a GPU, and all of its code against a mock of CuPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import STANDIN

pytest.importorskip("torch")

from benchmarks.gpu import fastest, lines_of
from benchmarks.gpu_pass import made_up_corpus
from benchmarks.gpu_profile import is_product, summed
from benchmarks.machine import RESULTS, side_by_side

pytestmark = pytest.mark.usefixtures("engine")

HOME = Path(__file__).resolve().parents[1]


def bench(*words, **more):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        capture_output=True, text=True, env=environment, cwd=HOME, timeout=500,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checked(gpu):
    """The result of a check, on a GPU or on the mock of CuPy. Nothing is written."""
    before = sorted(RESULTS.iterdir())
    more = {"PYTHONPATH": str(STANDIN)} if hasattr(gpu, "standin") else {}
    done = bench("--check", "--json", **more)
    assert done.returncode == 0, done.stderr
    assert sorted(RESULTS.iterdir()) == before
    return json.loads(done.stdout)


def test_everything_is_measured(checked):
    assert [(e["width"], e["tf32"]) for e in checked["steps"]] == [
        ("small", True),
        ("small", False),
    ]
    assert [e["tf32"] for e in checked["lstm"]] == [True, False]
    for entry in checked["steps"] + checked["lstm"]:
        ways = entry["ways"]
        assert {"tinyembed", "tinyembed, graph", "torch eager", "torch compiled"} <= set(ways)
        for way in ways.values():
            assert way["ms"]["q1"] <= way["ms"]["median"] <= way["ms"]["q3"]
        assert ways["tinyembed"]["launches"] > 50
        assert entry["ours"] in ways and entry["arithmetic_ms"] > 0
        for found in entry["times_faster_than"].values():
            assert found["of"] in ways and found["ratio"] > 0
    (whole,) = checked["passes"]
    per_batch = whole["timed_seconds"] / whole["timed_batches"]
    assert whole["seconds"] == pytest.approx(per_batch * 4_000_000 / whole["batch_size"])


def test_the_table(checked):
    lines = "\n".join(line for e in checked["steps"] + checked["passes"] for line in lines_of(e))
    assert "small width, batch 10, FP32" in lines and "times as fast as torch eager" in lines
    assert "one pass over 4,000,000 units" in lines


def test_without_a_gpu(gpu):
    if not hasattr(gpu, "standin"):
        pytest.skip("there is a GPU")
    for more in ({}, {"PYTHONPATH": str(STANDIN)}):  # no CuPy, or a PyTorch that finds no GPU
        done = bench("--width", "paper", "--batch", "100", "--name", "x", **more)
        assert done.returncode == 1 and done.stdout == ""
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and "GPU" in lines[0] and "--check" in lines[0], done.stderr


def test_a_name_that_cannot_name_a_file():
    done = bench("--name", "../elsewhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_the_clock_is_read_when_the_gpu_is_done():
    """Each turn waits for the GPU before and after it, so it times no other way's work."""
    said = []
    rivals = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    side_by_side(rivals, 2, 0, wait=lambda: said.append("wait"))
    turns = "".join(word[0] for word in said)
    assert turns == "a" + "waw" + "b" + "wbw" + 2 * ("waw" + "wbw")


def test_the_fastest_of_each_kind():
    taken = {
        "tinyembed": [3, 3], "tinyembed, graph": [1, 1], "torch eager": [5, 5],
        "torch eager, channels last": [4, 4], "torch compiled": [3, 3],
        "torch compiled, graph": [0.5, 0.5], "torch graph": [2, 2],
    }  # fmt: skip
    assert fastest(taken, "tinyembed") == "tinyembed, graph"
    assert fastest(taken, "torch eager") == "torch eager, channels last"
    assert fastest(taken, "torch compiled") == "torch compiled"
    assert fastest(taken, "torch graph") == "torch graph"
    assert fastest(taken, "torch") == "torch compiled, graph"
    assert fastest({"tinyembed": [1]}, "torch") is None


def test_kernels_are_added_up():
    names = ("sm90_xmma_gemm_f32f32_tf32", "cudnn_convolve_wgrad", "nvjet_tst_64x8", "cutlass_80")
    assert all(map(is_product, names))
    assert not any(map(is_product, ("elementwise_kernel", "cupy_add", "convertTensor_kernel")))
    found = summed({"sgemm": (6.0, 20), "cupy_add": (2.0, 40)}, 10)
    assert found["launches"] == 6 and found["kernel_ms"] == 0.8 and found["product_ms"] == 0.6
    assert found["top"] == [["sgemm", 0.6, 2.0], ["cupy_add", 0.2, 4.0]]


def test_generated_music():
    corpus = made_up_corpus(20, 30)
    assert (corpus.n_pieces, corpus.n_beats, corpus.piece_is_test.sum()) == (20, 600, 2)
    onsets = np.diff(corpus.beat_start)
    assert 5 < onsets.mean() <= 6 and corpus.has_onset(corpus.unit_beats()).all()
    assert (np.diff(corpus.ticks) >= 0).all()
