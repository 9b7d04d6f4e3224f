"""python -m tinyembed.train as a person runs it: real processes, killed for real."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_networks import use_small_networks

from tinyembed.cli.running import exit_status
from tinyembed.errors import WorkError
from tinyembed.models.weights import load_weights
from tinyembed.storage.arrays import load_arrays
from tinyembed.train import main
from tinyembed.training.trainer import Trainer

QUICK = ("--examples", "600", "--batch-size", "10")
# One thread each: the tests of several processes would otherwise wait for each other's threads.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(*options, data=None, out=None):
    words = [sys.executable, "-m", "tinyembed.train", *map(str, options)]
    words += ["--data", str(data)] if data else []
    return words + (["--out", str(out)] if out else [])


def train(*options, data=None, out=None, **keywords):
    return subprocess.run(
        command(*options, data=data, out=out),
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT},
        timeout=300,
        **keywords,
    )


def train_here(capsys, *options, data=None, out=None):
    """The same without a process of its own, where it is not about the process."""
    status = exit_status(lambda: main(command(*options, data=data, out=out)[3:]))
    return subprocess.CompletedProcess(options, status, *capsys.readouterr())


def start(*options, data=None, out=None):
    return subprocess.Popen(
        command(*options, data=data, out=out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
        # What a background shell starts ignores Ctrl-C; a person's command does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def fails_with_one_line(done, status, *words):
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(piano_folder, tmp_path_factory):
    """One run from beginning to end."""
    out = tmp_path_factory.mktemp("finished") / "context"
    done = train(*QUICK, data=piano_folder, out=out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_what_a_run_leaves(finished):
    out, done = finished
    assert {p.name for p in out.iterdir()} == {
        "config.json", "log.jsonl", "weights.npz", "checkpoint.npz", "checkpoint-before.npz",
        "summary.json", "loss.png", "reconstruction.png",
    }  # fmt: skip
    assert done.stderr == ""  # no progress bar where there is no terminal
    for words in ("this model", "mean training target", "uncorrupted input", "1.609", "Next: "):
        assert words in done.stdout
    config = json.loads((out / "config.json").read_text())
    assert config["model"] == "context" and config["examples"] == 600
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [e["step"] for e in log if "validation_loss" in e] == list(range(3, 61, 3))
    assert {"step", "examples", "loss", "examples_per_s"} <= set(log[0])
    model, about = load_weights(out / "weights.npz")
    assert model.encode(np.zeros((1, 60, 96), np.float32)).shape == (1, 100)
    assert about["validation_loss"] == min(e["validation_loss"] for e in log if len(e) == 3)
    for picture in ("loss.png", "reconstruction.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


def test_it_learns(capsys, piano_folder, tmp_path):
    options = "--examples", 4000, "--batch-size", 20, "--json"
    done = train_here(capsys, *options, data=piano_folder, out=tmp_path / "a")
    summary = json.loads(done.stdout)
    scores = summary["reconstruction"]
    assert scores["this model"]["loss"] < scores["mean training target"]["loss"] - 0.05
    assert scores["this model"]["median_rank"] < 300


@pytest.mark.parametrize("name", ["note_drop", "composer", "regularized"])
def test_other_models(capsys, name, piano_folder, tmp_path):
    options = "--model", name, "--examples", 100, "--batch-size", 10, "--json"
    done = train_here(capsys, *options, data=piano_folder, out=tmp_path / name)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert ("reconstruction" in summary) == (name != "composer")
    assert ("composer" in summary) == (name != "note_drop")
    assert (tmp_path / name / "reconstruction.png").exists() == (name != "composer")


def same_weights(a, b):
    for name in ("weights.npz", "checkpoint.npz"):
        ours, theirs = load_arrays(a / name), load_arrays(b / name)
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"standing"}:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name}: {key}")


def test_killed_again_and_again_it_ends_at_the_same_weights(finished, piano_folder, tmp_path):
    """kill -9 at random moments, from start-up on, until the run is through."""
    out, chance = tmp_path / "killed", random.Random(0)
    kills = during_training = 0
    while True:
        if kills == 5:  # as if it had died between a line of the log and the checkpoint
            with open(out / "log.jsonl", "a") as log:
                log.write('{"step": 59, "validation_loss": 0}\n{"step": 60, "lo')
        resume = (out / "config.json").exists()
        if resume:
            running = start("--resume", out=out)
        else:
            running = start(*QUICK, data=piano_folder, out=out)
        if kills >= 6:  # and now let it finish
            _, errors = running.communicate(timeout=120)
            assert running.returncode == 0, errors
            break
        before = (out / "log.jsonl").stat().st_size if (out / "log.jsonl").exists() else 0
        if kills >= 2:  # the first two may die at any time; the others after some steps
            wait_for(
                lambda before=before: (
                    (out / "log.jsonl").exists() and (out / "log.jsonl").stat().st_size != before
                )
            )
            during_training += 1
        time.sleep(chance.uniform(0, 0.4))
        running.kill()
        running.communicate()
        kills += 1
    assert during_training == 4
    same_weights(out, finished[0])
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    validated = [e["step"] for e in log if "validation_loss" in e]
    assert validated == list(range(3, 61, 3))  # no step is logged twice


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(number, finished, piano_folder, tmp_path):
    out = tmp_path / "stopped"
    running = start(*QUICK, data=piano_folder, out=out)
    wait_for(lambda: (out / "log.jsonl").exists())
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    (line,) = errors.strip().splitlines()
    assert "all saved" in line
    hint = line.split("continue with: ")[1].split()
    assert hint[:3] == ["python", "-m", "tinyembed.train"]
    done = train(*hint[3:])
    assert done.returncode == 0, done.stderr
    same_weights(out, finished[0])


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux's /proc")
@pytest.mark.parametrize("module", ["numpy", "matplotlib"])
def test_ctrl_c_while_python_is_still_importing(module, piano_folder, tmp_path):
    running = start(*QUICK, data=piano_folder, out=tmp_path / "a")

    def importing():
        with open(f"/proc/{running.pid}/maps") as maps:
            return f"/{module}/" in maps.read()

    wait_for(importing)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode in (130, -signal.SIGINT)
    assert len(errors.splitlines()) <= 1 and "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_training(number, piano_folder, tmp_path):
    out = tmp_path / "a"
    running = start(*QUICK, data=piano_folder, out=out)
    assert running.stdout.readline().startswith("note:")  # the music is read
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert len(errors.strip().splitlines()) == 1 and "Traceback" not in errors
    assert list(tmp_path.iterdir()) in ([], [out])  # nothing, or a run to resume


@pytest.mark.parametrize(
    ("rate", "what", "where"),
    [
        ("1e10", "validation loss", "running_var, after the update, with batch 1 of seed 0"),
        ("1e13", "sum of all weights", "dense_norm1, in the forward pass, with batch 1 of seed 0"),
    ],
)
def test_numbers_that_are_not_finite(
    rate, what, where, capsys, piano_folder, tmp_path, monkeypatch
):
    use_small_networks(monkeypatch)
    options = "--width", "tiny", *QUICK, "--learning-rate", rate
    done = train_here(capsys, *options, data=piano_folder, out=tmp_path / "a")
    fails_with_one_line(done, 1, f"the {what} is nan", "--learning-rate", where)


def test_a_weight_that_becomes_infinite_is_found_and_the_last_good_ones_are_kept(
    piano_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    use_small_networks(monkeypatch)
    begun = ["--width", "tiny", *QUICK, "--data", str(piano_folder), "--out", "a"]
    taken = Trainer.take_step

    def break_one_step(trainer):
        if trainer.step == 33:
            trainer.model.parameters()[3].grad.ravel()[0] = np.inf
        taken(trainer)

    monkeypatch.setattr(Trainer, "take_step", break_one_step)
    with pytest.raises(WorkError, match=r"it began in .* with batch 33 of seed 0") as caught:
        main(begun)
    assert "the best weights, of step" in str(caught.value)
    before = load_weights("a/weights.npz")[0].state()
    assert all(np.isfinite(array).all() for array in before.values())
    monkeypatch.setattr(Trainer, "take_step", taken)
    assert main(["--resume", "--out", "a"]) == 0


def test_a_second_training_in_the_same_folder(capsys, piano_folder, tmp_path):
    out = tmp_path / "a"
    running = start("--examples", 100_000, data=piano_folder, out=out)
    try:
        wait_for(lambda: (out / "log.jsonl").exists())
        log = (out / "log.jsonl").read_bytes()
        done = train_here(capsys, "--resume", out=out)
        fails_with_one_line(done, 2, f"--out {out}: process {running.pid} on ", "is working in it")
        assert (out / "log.jsonl").read_bytes().startswith(log)
    finally:
        running.kill()
        running.communicate()
    done = train_here(capsys, "--resume", "--width", "paper", out=out)
    fails_with_one_line(done, 2, "--width paper")  # the lock of a killed training is no obstacle


def test_a_full_disk(capsys, piano_folder, tmp_path):
    """No file may grow past a limit: the same OSError as on a full disk, in the same place."""
    out = tmp_path / "a"

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    few = "--examples", 100, "--batch-size", 10
    done = train(*few, data=piano_folder, out=out, preexec_fn=limit_files)
    fails_with_one_line(done, 1, "weights.npz")
    assert json.loads((out / "config.json").read_text())["model"] == "context"
    assert not list(out.glob("*.tmp")) and not list(out.glob(".*"))
    done = train_here(capsys, "--resume", out=out)  # there is space again
    assert done.returncode == 0, done.stderr


def test_an_out_that_exists(capsys, finished, piano_folder):
    out, _ = finished
    before = load_arrays(out / "weights.npz")
    done = train_here(capsys, *QUICK, data=piano_folder, out=out)
    fails_with_one_line(done, 2, str(out), "--resume")
    after = load_arrays(out / "weights.npz")
    assert all((before[name] == after[name]).all() for name in before)


def test_resuming_what_is_not_there(capsys, tmp_path):
    done = train_here(capsys, "--resume", out=tmp_path / "a")
    fails_with_one_line(done, 2, "there is no run")


def test_resuming_with_other_settings(capsys, finished):
    done = train_here(capsys, "--resume", "--examples", 700, out=finished[0])
    fails_with_one_line(done, 2, "--examples 700", "600")


def test_resuming_a_finished_run_only_prints_its_results_again(capsys, finished):
    out, first = finished
    done = train_here(capsys, "--resume", out=out)
    assert done.returncode == 0
    assert done.stdout.split("On ")[1] == first.stdout.split("On ")[1]


def test_an_older_run_counts_no_intervals(capsys, piano_folder, tmp_path):
    out = tmp_path / "a"
    options = ("--model", "composer", "--examples", 50, "--batch-size", 10)
    assert train_here(capsys, *options, data=piano_folder, out=out).returncode == 0
    config = json.loads((out / "config.json").read_text())
    assert config.pop("intervals") == 0 and config.pop("checksum")
    (out / "config.json").write_text(json.dumps(config))
    done = train_here(capsys, "--resume", "--intervals", 5, out=out)
    fails_with_one_line(done, 2, "--intervals 5", "the run to resume has 0")
    assert train_here(capsys, "--resume", out=out).returncode == 0


def test_resuming_on_other_music(capsys, finished, piano_folder, tmp_path):
    data, out = tmp_path / "piano", tmp_path / "a"
    shutil.copytree(piano_folder, data)
    shutil.copytree(finished[0], out)
    config = json.loads((out / "config.json").read_text()) | {"data": str(data)}
    (out / "config.json").write_text(json.dumps(config))
    fails_with_one_line(train_here(capsys, "--resume", out=out), 2, "config.json", '"checksum"')
    del config["checksum"]  # as the line says
    (out / "config.json").write_text(json.dumps(config))
    assert train_here(capsys, "--resume", out=out).returncode == 0  # a copy is the same music
    next(data.rglob("*.mid")).unlink()
    done = train_here(capsys, "--resume", out=out)
    fails_with_one_line(done, 2, "is not what the run")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "contest"), ("--model", "context")),
        (("--width", "huge"), ("--width", "paper")),
        (("--examples", "many"), ("--examples", "whole number")),
        (("--batch-size", "4"), ("--batch-size 4", "5")),
        (("--learning-rate", "-1"), ("--learning-rate", "above 0")),
        (("--exam", "100"), ("--exam",)),
        # said before any music is read
        (("--intervals", "8", "--data", "no/such"), ("--intervals 8", "decoder", "contrastive")),
        (
            ("--batch-size", "999999999", "--examples", "9999999999", "--data", "no/such"),
            ("--batch-size 999999999: takes 23,040 GB or more",),
        ),
        (("--data", "no/such/folder"), ("no/such/folder",)),
        (("--data", ""), ("--data", "empty")),
    ],
)
def test_wrong_use(capsys, options, words, tmp_path):
    done = train_here(capsys, *options, out=tmp_path / "a")
    fails_with_one_line(done, 2, *words)
    assert not (tmp_path / "a").exists()


def test_no_gpu(capsys, piano_folder, tmp_path):
    from tinyembed.backends.arrays import device_module

    if device_module("auto") is not np:
        pytest.skip("there is a GPU")
    done = train_here(capsys, "--device", "gpu", data=piano_folder, out=tmp_path / "a")
    fails_with_one_line(done, 2, "--device gpu", "--device cpu")


def test_too_little_music(capsys, tmp_path):
    from music import write_corpus

    done = train_here(capsys, data=write_corpus(tmp_path / "one", 1, 1), out=tmp_path / "a")
    fails_with_one_line(done, 2, "training")
    short = write_corpus(tmp_path / "short", 1, 6, beats=8)  # no unit has both neighbours
    done = train_here(capsys, data=short, out=tmp_path / "a")
    fails_with_one_line(done, 2)
    assert not (tmp_path / "a").exists()
