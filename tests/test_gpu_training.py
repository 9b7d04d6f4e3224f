"""Training on a GPU: the same losses as on a CPU, no wait in a step, graphs, memory, devices.

Where there is no GPU, all of it runs over the stand-in, in real processes too.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import STANDIN

from tinyembed.arrays import to_host
from tinyembed.errors import WorkError
from tinyembed.graphs import own_stream
from tinyembed.models import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.runs import Run, load_arrays
from tinyembed.trainer import Trainer

LAUNCHES = 240  # of a step of the context model: more would be a step backwards


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
        "model": name, "width": "small", "examples": examples, "batch_size": batch_size,
        "seed": 0, "learning_rate": 1e-3, "temperature": MODELS[name].temperature,
    }  # fmt: skip


def trainer_of(corpus, xp, graph=True, run=None, **settings):
    return Trainer(run, config(**settings), corpus, xp, graph)


def losses_of(trainer, steps):
    """The sum of the losses of each of some steps."""
    found, before = [], 0.0
    with own_stream(trainer.xp), np.errstate(all="ignore"):
        for _ in range(steps):
            trainer.take_step()
            total = float(sum(float(to_host(s)) for s in trainer._sums.values()))
            found.append(total - before)
            before = total
    return np.array(found)


def each_loss(trainer, steps):
    """As `losses_of`, each step's by itself, in full precision."""
    found = []
    with own_stream(trainer.xp), np.errstate(all="ignore"):
        for _ in range(steps):
            trainer.take_step()
            found.append(sum(float(to_host(s)) for s in trainer._sums.values()))
            for name in trainer._sums:
                trainer._sums[name] *= 0
    return np.array(found)


def test_the_first_hundred_losses_are_those_of_the_cpu(corpus, gpu):
    here = each_loss(trainer_of(corpus, np, examples=1000), 100)
    there = each_loss(trainer_of(corpus, gpu, examples=1000), 100)
    np.testing.assert_allclose(there, here, rtol=1e-4)
    assert here[-1] < here[0] - 0.05  # and they are not constant


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


@pytest.mark.parametrize("name", ["regularized", "note_drop"])
def test_a_graph_changes_no_bit(corpus, gpu, name):
    """Weights, Adam's means and running statistics, past the end of the drawn steps."""
    kinds = [trainer_of(corpus, gpu, graph, name=name) for graph in (True, False)]
    found = [each_loss(trainer, 55) for trainer in kinds]
    assert kinds[0]._run_step.graph and not kinds[1]._run_step.graph
    np.testing.assert_array_equal(*found)
    states = [trainer.model.state() for trainer in kinds]
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)
    for means in ("m", "v"):
        np.testing.assert_array_equal(
            *(to_host(getattr(trainer.optimizer, means)) for trainer in kinds)
        )


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("name", ["context", "note_drop", "regularized"])
def test_a_step_neither_waits_nor_crosses_the_bus(corpus, gpu, standin, name, graph):
    trainer = trainer_of(corpus, gpu, graph, name=name)
    with own_stream(gpu):
        trainer.feed.look_ahead(0)
        standin.reset()
        for _ in range(40):
            with standin.forbid_synchronisation():
                trainer.take_step()
        counts = standin.counts()
    assert counts["to_device"] == counts["to_host"] == counts["synchronisations"] == 0
    if graph:
        assert counts["graph_launches"] == 38
        assert counts["replayed"] / 38 <= LAUNCHES + 20
    else:
        assert counts["launches"] / 40 <= LAUNCHES + 28


def test_launches_of_a_step(corpus, gpu, standin):
    """Forward, backward and Adam of the context model, without the batch."""
    trainer = trainer_of(corpus, gpu, graph=False)
    with own_stream(gpu):
        for _ in range(2):
            trainer.take_step()
        standin.reset()
        trainer._work()
    assert standin.counts()["launches"] <= LAUNCHES


def test_one_transfer_for_fifty_steps_and_one_answer_a_line_of_the_log(
    corpus, gpu, standin, tmp_path
):
    run = Run.create(tmp_path / "run", {})
    trainer = trainer_of(corpus, gpu, run=run, examples=2000)  # 200 steps
    with own_stream(gpu):
        standin.reset()
        for _ in range(150):
            trainer.take_step()
        counts = standin.counts()
        assert counts["to_device"] == 4 and counts["synchronisations"] == 0
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


QUICK = ("--examples", 300, "--batch-size", 10)


@pytest.fixture(scope="module")
def finished(gpu, piano_folder, tmp_path_factory):
    """One run on a CPU, from beginning to end."""
    out = tmp_path_factory.mktemp("finished") / "cpu"
    done = train(gpu, *QUICK, device="cpu", data=piano_folder, out=out)
    assert done.returncode == 0, done.stderr
    return out


def nearly_same_weights(a, b):
    ours, theirs = load_arrays(a / "checkpoint.npz"), load_arrays(b / "checkpoint.npz")
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"standing"}:
        # Where a gradient is next to nothing, Adam divides it by itself: a step either way.
        apart = np.abs(ours[key] - theirs[key])
        assert np.mean(apart > 1e-3 * np.abs(theirs[key]).max()) < 0.05, key


def test_a_whole_run(gpu, finished, piano_folder, tmp_path):
    out = tmp_path / "gpu"
    done = train(gpu, *QUICK, device="gpu", data=piano_folder, out=out)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "on the gpu:" in done.stdout
    assert {p.name for p in out.iterdir()} == {p.name for p in finished.iterdir()}
    assert json.loads((out / "summary.json").read_text())["device"] == "gpu"
    nearly_same_weights(out, finished)


def test_tf32_is_said(gpu, piano_folder, tmp_path):
    out = tmp_path / "gpu"
    done = train(gpu, "--tf32", "--no-graph", "--examples", 50, "--batch-size", 10,
                 device="gpu", data=piano_folder, out=out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "on the gpu in TF32:" in done.stdout
    assert all(e["tf32"] for e in Run(out).read_log() if "loss" in e)
    assert json.loads((out / "summary.json").read_text())["tf32"] is True
    done = train(gpu, "--tf32", device="cpu", data=piano_folder, out=tmp_path / "cpu")
    assert done.returncode == 2 and "--tf32" in done.stderr and not (tmp_path / "cpu").exists()
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("first", "then"), [("gpu", "cpu"), ("cpu", "gpu")])
def test_killed_on_one_device_resumed_on_the_other(gpu, finished, piano_folder, tmp_path, first, then):
    out = tmp_path / "run"
    running = subprocess.Popen(
        words_of(*QUICK, device=first, data=piano_folder, out=out),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(gpu),
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (out / "checkpoint.npz").exists():
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    at = json.loads(str(load_arrays(out / "checkpoint.npz")["standing"]))["step"]
    assert at < 30
    done = train(gpu, "--resume", device=then, out=out)
    assert done.returncode == 0, done.stderr
    assert f"going on at step {at}" in done.stdout
    nearly_same_weights(out, finished)


def test_too_little_memory(gpu, standin, piano_folder, tmp_path):
    """CuPy itself reads the limit, which is too small for the step."""
    done = train(gpu, "--examples", 200, "--batch-size", 100, device="gpu", data=piano_folder,
                 out=tmp_path / "a", more={"CUPY_GPU_MEMORY_LIMIT": "60000000"})  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "--batch-size 100" in line and "try --batch-size 50" in line
