"""Training on a GPU: the same losses as on a CPU, no wait in a step, graphs, memory, devices.

Where there is no GPU, all of it runs over the stand-in, in real processes too.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import STANDIN
from small_networks import nearly_same_weights

from tinyembed.backends.arrays import to_host
from tinyembed.backends.choice import engine_for
from tinyembed.backends.cupy import batches
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.errors import InputError, WorkError
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.storage.arrays import load_arrays
from tinyembed.train import main
from tinyembed.training.optimizers import Adam, Flat
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("engine", "tiny_width")


@pytest.fixture(scope="module")
def corpus(piano_folder):
    return Corpus.from_folder(piano_folder, progress=False)


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory):
    """With excerpts for the contrastive model: pieces of sixteen units and more."""
    from music import write_corpus

    folder = write_corpus(tmp_path_factory.mktemp("long") / "piano", beats=80)
    return Corpus.from_folder(folder, progress=False)


def config(name="context", examples=600, batch_size=10):
    return {
        "model": name, "width": "tiny", "examples": examples, "batch_size": batch_size,
        "seed": 0, "learning_rate": 5e-3, "temperature": MODELS[name].temperature,
    }  # fmt: skip


def trainer_of(corpus, xp, graph=True, run=None, **settings):
    return Trainer(run, config(**settings), corpus, engine_for(xp, graph))


def each_loss(trainer, steps):
    """The sum of the losses of each of some steps."""
    found = []
    with trainer.engine.running(), np.errstate(all="ignore"):
        for _ in range(steps):
            trainer.take_step()
            found.append(sum(float(to_host(s)) for s in trainer._sums.values()))
            for name in trainer._sums:
                trainer._sums[name] *= 0
    return np.array(found)


def test_the_first_hundred_losses_are_those_of_the_cpu(corpus, gpu):
    here = each_loss(trainer_of(corpus, np, examples=2000, batch_size=20), 100)
    there = each_loss(trainer_of(corpus, gpu, examples=2000, batch_size=20), 100)
    np.testing.assert_allclose(there, here, rtol=1e-4)
    assert np.ptp(here) > 0.01  # and they are not constant


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_on_both(corpus, long_corpus, gpu, name):
    excerpt = MODELS[name].excerpt
    settings = {"name": name, "examples": 1280 if excerpt else 200, "batch_size": 10}
    music = long_corpus if excerpt else corpus
    if excerpt:
        settings["batch_size"] = 128
    here = each_loss(trainer_of(music, np, **settings), 6)
    there = each_loss(trainer_of(music, gpu, **settings), 6)
    np.testing.assert_allclose(there, here, rtol=1e-4)


def test_a_step_is_forward_backward_and_adam_with_its_decay(corpus, xp):
    """Beside the same written out once more, on the CPU."""
    trainer, plain = trainer_of(corpus, xp, examples=80), trainer_of(corpus, np, examples=80)
    each_loss(trainer, 8)
    model, adam = plain.model, Adam(Flat(plain.model.parameters()))
    for step in range(8):
        _, cache = model.loss(plain.examples.batch(step, 10), training=True)
        model.loss_backward(cache)
        adam.step(5e-3 * 0.5 * (1 + math.cos(math.pi * step / 8)))
    found = to_host(trainer.optimizer.flat.values)
    if xp is np:
        np.testing.assert_array_equal(found, adam.flat.values)
    else:  # where a gradient is next to nothing, its sign is rounding's
        assert np.mean(np.abs(found - adam.flat.values) > 1e-4) < 0.02
    assert trainer.optimizer.t == 8


def test_the_log_has_the_mean_of_the_losses_since_the_last_line(corpus, xp, tmp_path):
    run = Run.create(tmp_path / "run", {})
    trainer = trainer_of(corpus, xp, run=run, examples=200)
    each = each_loss(trainer_of(corpus, xp, examples=200), 10)
    with own_stream(xp):
        for first, last in ((0, 4), (4, 10)):
            for _ in range(first, last):
                trainer.take_step()
            trainer.write_log(1.0)
    lines = [entry["loss"] for entry in run.read_log()]
    assert lines == pytest.approx([each[:4].mean(), each[4:].mean()], rel=1e-6)


@pytest.mark.parametrize("name", ["regularized", "note_drop"])
def test_a_graph_changes_no_bit(corpus, gpu, name, monkeypatch):
    """Weights, Adam's means and running statistics, past the end of the drawn steps."""
    monkeypatch.setattr(batches, "STEPS_AT_ONCE", 6)
    kinds = [trainer_of(corpus, gpu, graph, name=name) for graph in (True, False)]
    found = [each_loss(trainer, 15) for trainer in kinds]
    assert kinds[0]._run_step.graph and not kinds[1]._run_step.graph
    np.testing.assert_array_equal(*found)
    states = [trainer.model.state() for trainer in kinds]
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)
    for means in ("m", "v"):
        np.testing.assert_array_equal(
            *(to_host(getattr(trainer.optimizer, means)) for trainer in kinds)
        )


@pytest.mark.parametrize("name", ["context", "note_drop", "regularized"])
def test_a_step_without_a_graph_neither_waits_nor_crosses_the_bus(corpus, gpu, standin, name):
    """tests/test_gpu_launches.py counts what a recorded one does."""
    trainer = trainer_of(corpus, gpu, graph=False, name=name)
    with own_stream(gpu):
        trainer.batches.look_ahead(0)
        standin.reset()
        for _ in range(10):
            with standin.forbid_synchronisation():
                trainer.take_step()
        counts = standin.counts()
    assert counts["to_device"] == counts["to_host"] == counts["synchronisations"] == 0
    assert counts["graph_launches"] == 0


def test_one_transfer_for_fifty_steps_and_one_answer_a_line_of_the_log(
    corpus, gpu, standin, tmp_path
):
    run = Run.create(tmp_path / "run", {})
    trainer = trainer_of(corpus, gpu, run=run, examples=2000)  # 200 steps
    with own_stream(gpu):
        standin.reset()
        for _ in range(100):
            trainer.take_step()
        counts = standin.counts()
        assert counts["to_device"] == 3 and counts["synchronisations"] == 0
        trainer.write_log(1.0)
        counts = standin.counts()
    assert counts["to_host"] == counts["synchronisations"] == 1


def test_validation_and_log_are_the_same_with_a_graph(corpus, gpu, tmp_path):
    logs = []
    for graph in (True, False):
        run = Run.create(tmp_path / f"run{graph}", {})
        trainer_of(corpus, gpu, graph, run=run, examples=110).train(progress=False)
        entries = run.read_log()
        assert [e["step"] for e in entries if "validation_loss" in e] == list(range(1, 12))
        logs.append([{k: v for k, v in e.items() if k != "examples_per_s"} for e in entries])
    assert logs[0] == logs[1]


def test_out_of_memory_while_training(corpus, gpu, standin, tmp_path):
    """In the middle of it: what is saved stays, and one line says what to try."""
    run = Run.create(tmp_path / "run", {})
    trainer = trainer_of(corpus, gpu, run=run, examples=200)
    pool = gpu.get_default_memory_pool()
    before = pool.get_limit()
    validate, done = trainer.validate, []

    def validate_and_fill_up():
        validate()
        done.append(trainer.step)
        if len(done) == 3:
            pool.set_limit(size=pool.used_bytes() + 1000)

    trainer.validate = validate_and_fill_up
    try:
        with pytest.raises(WorkError, match=r"--batch-size 10; try --batch-size 5"):
            trainer.train(progress=False)
    finally:
        pool.set_limit(size=before)
    assert run.checkpoint_file.exists() and run.weights_file.exists()


# Real processes.

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def words_of(*options, device, data=None, out=None):
    words = [sys.executable, "-m", "tinyembed.train", *map(str, options), "--device", device]
    words += ["--data", str(data)] if data else []
    return [*words, "--out", str(out)] if out else words


def environment(gpu, **more):
    path = os.environ.get("PYTHONPATH", "")
    if hasattr(gpu, "standin"):
        path = os.pathsep.join([str(STANDIN), *filter(None, [path])])
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": path, **more}


def train(gpu, *options, device, more=None, **places):
    return subprocess.run(
        words_of(*options, device=device, **places),
        capture_output=True, text=True, timeout=300, env=environment(gpu, **(more or {})),
    )  # fmt: skip


QUICK = ("--examples", 200, "--batch-size", 10)


@pytest.fixture(scope="module")
def finished(gpu, piano_folder, tmp_path_factory):
    """One run on a CPU, from beginning to end."""
    out = tmp_path_factory.mktemp("finished") / "cpu"
    done = train(gpu, *QUICK, device="cpu", data=piano_folder, out=out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_whole_run_in_tf32(gpu, finished, piano_folder, tmp_path):
    """Which the stand-in's library is told, but computes as ever."""
    out = tmp_path / "gpu"
    done = train(gpu, *QUICK, "--tf32", device="gpu", data=piano_folder, out=out)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "on the gpu in TF32:" in done.stdout
    assert {p.name for p in out.iterdir()} == {p.name for p in finished.iterdir()}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["device"] == "gpu" and summary["tf32"] is True
    assert all(e["tf32"] for e in Run(out).read_log() if "loss" in e)
    if hasattr(gpu, "standin"):
        nearly_same_weights(out, finished)


def test_tf32_without_a_gpu(tmp_path):
    with pytest.raises(InputError, match=r"--tf32: .*--device gpu"):
        main(["--tf32", "--device", "cpu", "--out", str(tmp_path / "a")])
    assert not (tmp_path / "a").exists()


def kill_after_a_checkpoint(running, out, before):
    """Returns the step it had come to."""
    end, checkpoint = time.monotonic() + 60, out / "checkpoint.npz"
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    return json.loads(str(load_arrays(checkpoint)["standing"]))["step"]


def test_killed_on_one_device_resumed_on_the_other_and_back(gpu, finished, piano_folder, tmp_path):
    out = tmp_path / "run"
    at, before = [0], None
    for device in ("gpu", "cpu"):
        options = ("--resume",) if before else QUICK
        running = subprocess.Popen(
            words_of(*options, device=device, data=None if before else piano_folder, out=out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(gpu),
        )  # fmt: skip
        at.append(kill_after_a_checkpoint(running, out, before))
        before = (out / "checkpoint.npz").stat().st_mtime_ns
    assert at[0] < at[1] < at[2] < 20
    done = train(gpu, "--resume", device="gpu", out=out)
    assert done.returncode == 0, done.stderr
    assert "on the gpu:" in done.stdout and f"resuming at step {at[2]}" in done.stdout
    nearly_same_weights(out, finished)


def test_too_little_memory(gpu, standin, piano_folder, tmp_path):
    """CuPy itself reads the limit, which is too small for the step."""
    done = train(gpu, "--examples", 200, "--batch-size", 100, device="gpu", data=piano_folder,
                 out=tmp_path / "a", more={"CUPY_GPU_MEMORY_LIMIT": "60000000"})  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "--batch-size 100" in line and "try --batch-size 50" in line
