"""benchmarks/gpu.py: its message without a GPU, and all of its code against a mock of CuPy."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import gpu as command
from benchmarks import gpu_memory, lstm
from benchmarks.gpu_device import find_peer
from benchmarks.gpu_operations import operations
from benchmarks.gpu_pass import made_up_corpus
from benchmarks.gpu_profile import is_product, summed
from benchmarks.gpu_table import lines_of_pass, lines_of_ways
from benchmarks.machine import RESULTS
from tinyembed.backends import choice, dispatch
from tinyembed.backends.arrays import add_matmul, matmul
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.errors import InputError, WorkError
from tinyembed.evaluation import predictor
from tinyembed.layers.elu import Elu

pytestmark = [pytest.mark.peer("torch"), pytest.mark.usefixtures("engine")]

HOME = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def small_lstm():
    """The same for networks of LSTM cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm, "UNITS", 16)
        patch.setattr(predictor, "UNITS", 16)
        yield


@pytest.fixture(scope="module")
def on_the_gpu(gpu):
    """--device auto is the GPU, or the mock of one."""
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(gpu, "standin"):
            patch.setattr(gpu.standin, "device", True)
        yield gpu


def run(*words):
    """(exit status, what is printed) of the command, in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = command.main(list(words))
    return status, printed.getvalue()


@pytest.fixture(scope="module")
def checked(on_the_gpu, tiny_width, small_lstm, tmp_path_factory):
    """The result of a check of all parts, on a GPU or on the mock of CuPy."""
    file = tmp_path_factory.mktemp("results") / "gpu.json"
    before = sorted(RESULTS.iterdir())
    choice.use("cpu")
    status, printed = run("--check", "--json", "--width", tiny_width, "--out", str(file))
    result = json.loads(printed)
    assert status == 0, result["failed"]
    assert json.loads(file.read_text()) == result and result["finished"]
    assert sorted(RESULTS.iterdir()) == before
    return result


def test_steps_are_measured_in_every_way(checked):
    for part in ("steps", "lstm", "contrastive", "predictor", "compiled"):
        entries = checked[part]
        assert {e["tf32"] for e in entries} == ({True} if part == "compiled" else {True, False})
        for entry in entries:
            assert {"tinyembed", "tinyembed, graph"} <= set(entry["ways"])
            assert entry["ways"]["tinyembed"].get("launches", 51) > 50  # the mock counts them
            assert entry["ours"] in entry["ways"]
            for way in entry["ways"].values():
                assert 0 < way["ms"]["q1"] <= way["ms"]["median"] <= way["ms"]["q3"]
    kinds = {"steps": ["eager", "graph"], "lstm": ["eager", "graph"], "compiled": ["compiled"]}
    for part, names in kinds.items():
        for name in names:
            assert all(f"torch {name}" in e["times_faster_than"] for e in checked[part])
    both = {name for e in checked["compiled"] for name in e["ways"]}
    assert {"torch compiled", "torch compiled, graph, channels last"} <= both


def test_the_rest_is_measured(checked):
    (whole,) = checked["passes"]
    per_batch = whole["timed_seconds"] / whole["timed_batches"]
    assert whole["seconds"] == pytest.approx(per_batch * 4_000_000 / whole["batch_size"])
    assert whole["timed_batches"] == 2  # of three, where the first is not counted
    (memory,) = checked["memory"]
    assert len(memory["after_bytes"]) == 2
    assert [e["model"] for e in checked["operations"]] == ["context", "contrastive", "predictor"]
    (profile,) = checked["profile"]
    assert {"tinyembed", "torch eager", "torch graph, channels last"} <= set(profile["ways"])
    assert {"name", "multiprocessors", "driver", "cuda", "cupy"} <= set(checked["gpu"])
    assert checked["torch"] and checked["machine"]["numpy"]
    assert set(checked["seconds"]) | {n["part"] for n in checked["left_out"]} == set(command.PARTS)
    assert {row["verdict"] for row in checked["to_reach"]} == {"not measured"}


def test_the_tables(checked):
    steps = "\n".join(line for e in checked["steps"] for line in lines_of_ways(e))
    assert "tiny width, batch 10, FP32" in steps and "times as fast as torch eager" in steps
    assert "4,000,000 units" in "\n".join(lines_of_pass(checked["passes"][0]))


def test_without_pytorch_its_parts_are_left_out(on_the_gpu, tiny_width, monkeypatch):
    peer, why = find_peer(on_the_gpu, check=False)
    assert peer or "finds no GPU" in why
    monkeypatch.setattr(command, "find_peer", lambda *given: (None, "PyTorch finds no GPU"))
    words = ("--check", "--parts", "compiled,profile,steps", "--width", tiny_width)
    status, printed = run(*words)
    assert status == 0 and "without PyTorch: PyTorch finds no GPU" in printed
    for part in ("compiled", "profile"):
        assert f"left out: {part}, all of it: PyTorch finds no GPU" in printed
    ways = [line[:36].strip() for line in printed.splitlines()]
    assert "tinyembed, graph" in ways and "torch eager" not in ways


def test_on_a_cpu_the_parts_of_a_gpu_are_left_out(tiny_width, small_lstm, monkeypatch):
    monkeypatch.setattr(command, "find_gpu", lambda check: np)
    parts = "memory,operations,kernels,predictor"
    status, printed = run("--check", "--json", "--parts", parts, "--width", tiny_width)
    result = json.loads(printed)
    assert status == 0 and not result["failed"] and len(result["predictor"]) == 2
    assert {n["part"] for n in result["left_out"]} == {"memory", "operations", "kernels"}


def test_without_a_gpu(standin, monkeypatch):
    monkeypatch.setattr(standin, "device", False)
    with pytest.raises(WorkError, match=r"NVIDIA GPU: .*; --check"):
        command.main([])
    words = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=HOME, timeout=100)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["--parts", "step"], ["--parts", ""], ["--seconds", "0"]])
def test_wrong_options(words):
    with pytest.raises(InputError, match=r"choose from steps, passes|above 0"):
        command.main(words)


def test_each_operation_is_timed_where_it_is_called_first(on_the_gpu, kernels):
    xp = on_the_gpu
    x = xp.asarray(np.random.default_rng(0).standard_normal((20, 20)), np.float32)
    whole = xp.asarray(np.ones((3, 3)), np.int32)  # whose add_matmul calls matmul
    before = dispatch._tables["cupy"]

    def step():
        add_matmul(whole, whole, whole)
        return Elu().forward(matmul(x, matmul(x, x)))

    with own_stream(xp):
        found = operations(step, xp, quick=True)
    calls = {name: calls for name, _, calls in found["operations"]}
    assert calls == {"add_matmul": 1, "matmul": 2, "elu": 1}
    assert all(ms > 0 for _, ms, _ in found["operations"]) and found["elsewhere_ms"] > 0
    assert dispatch._tables["cupy"] is before


def test_memory_that_stays_is_seen(on_the_gpu, tiny_width, monkeypatch):
    found = gpu_memory.trainings(tiny_width, on_the_gpu, 3, 10)
    kept, train = [], gpu_memory._train

    def leaky(*given):
        train(*given)
        kept.append(on_the_gpu.zeros(1 << 22, np.uint8))

    monkeypatch.setattr(gpu_memory, "_train", leaky)
    leaking = gpu_memory.trainings(tiny_width, on_the_gpu, 3, 10)
    assert found["growth_bytes"] < 1 << 22 <= leaking["growth_bytes"] // 2


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
