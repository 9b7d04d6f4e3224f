"""python -m tinyembed.reproduce and .evaluate: killed and resumed, repeated, refused."""

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from music import write_corpus
from small_networks import use_small_networks

from tinyembed import evaluate, reproduce
from tinyembed.cli.running import exit_status
from tinyembed.models.table import PAPER_MODELS
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.training.runs import Run

QUICK = (
    "--width", "tiny", "--examples", "100", "--batch-size", "20", "--lstm-steps", "4",
    "--classifier-steps", "10",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        yield


def run(command, *words):
    """A command in this process: its exit status, and what it printed on either stream."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = exit_status(lambda: command.main([str(word) for word in words]))
    return status, out.getvalue(), err.getvalue()


def fails_with_one_line(done, status, *parts):
    found, _, err = done
    assert found == status, err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert all(part in lines[0] for part in parts), lines


def kill_when(reached, out, *words):
    """Start a reproduction in a process of its own, and kill it as soon as reached() is true."""
    program = [sys.executable, "-m", "tests.small_networks", "reproduce"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        [*program, *map(str, words), "--out", str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    end = time.monotonic() + 200
    while not reached():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
    running.kill()
    running.communicate()


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("long") / "music", 3, 5, beats=48)


@pytest.fixture(scope="module")
def reproduced(music, tmp_path_factory):
    """A whole reproduction, killed twice: in a training, and after some of the answers."""
    out = tmp_path_factory.mktemp("report") / "report"
    words = ("--data", music, *QUICK)
    kill_when((out / "models" / "octave_split-seed0" / "log.jsonl").exists, out, *words)
    assert not (out / "answers").exists()
    kill_when(lambda: len(list(out.glob("answers/*ion.npz"))) > 1, out, *words)
    kept = {file: file.stat().st_mtime_ns for file in out.glob("answers/*ion.npz")}
    status, printed, err = run(reproduce, *words, "--out", out)
    assert (status, err) == (0, "")
    assert 1 < len(kept) < 9
    assert all(file.stat().st_mtime_ns == when for file, when in kept.items())
    return out, printed


@pytest.fixture(scope="module")
def results(reproduced):
    out, _ = reproduced
    return json.loads((out / "results.json").read_text())


def test_the_report_and_the_results(reproduced, results):
    out, printed = reproduced
    assert list(results["models"]) == list(PAPER_MODELS)
    for entry in (*results["models"].values(), results["baselines"]["pca"]):
        for kind in ("rank", "rank_same_piece"):
            assert {
                "median", "iqr", "std", "skew", "mrr", "recall_at_10", "interval", "n",
            } <= set(entry[kind])  # fmt: skip
        assert {"accuracy", "macro_f1", "weighted_f1"} <= set(entry["composers"])
    assert set(results["baselines"]) == {"untrained", "pca", "mean", "majority", "repetition"}
    assert set(results["baselines"]["repetition"]) == {*PAPER_MODELS, "untrained", "pca"}
    assert len(results["tests"]["rank"]["pairs"]) == 21
    assert results["corpus"]["pieces_in_both"] == 0
    assert results["corpus"]["candidates"] < 1000  # and the report says so
    assert "and not among 1,000" in (out / "report.md").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert not list(out.glob("answers/*embeddings*"))
    assert "report.md" in printed


def test_rows_beside_the_papers(tmp_path):
    music, out = write_corpus(tmp_path / "music", 3, 6, beats=80), tmp_path / "report"
    status, printed, err = run(
        reproduce, "--data", music, *QUICK, "--models", "contrastive_alone", "context",
        "contrastive", "--out", out, "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    results = json.loads(printed)
    assert list(results["models"]) == ["context"]
    assert list(results["others"]) == ["contrastive", "contrastive_alone"]
    report = (out / "report.md").read_text()
    assert "| Contrastive, without counts of intervals |" in report
    assert "| Contrastive against Predict Context | random units |" in report
    ours, theirs = (
        load_arrays(out / "answers" / f"{name}-seed0-prediction.npz")["rank_same_piece"]
        for name in ("contrastive_alone", "context")
    )
    _, test = results["tests"]["others"]["rank_same_piece"]
    assert (test["first"], test["second"]) == ("contrastive_alone", "context")
    assert test["better"] == np.mean(ours < theirs)
    assert results["baselines"]["repetition"].keys() >= {"contrastive", "contrastive_alone"}
    configs = {name: Run(out / "models" / f"{name}-seed0") for name in results["others"]}
    intervals = {n: Run.open(run.folder)[1]["intervals"] for n, run in configs.items()}
    assert intervals == {"contrastive": 64, "contrastive_alone": 0}
    command = results["others"]["contrastive_alone"]["commands"]["train, seed 0"]
    assert "--model contrastive --batch-size 512 --intervals 0" in command


def test_ranks_are_those_of_the_answers(reproduced, results):
    out, _ = reproduced
    answers = load_arrays(out / "answers" / "context-seed0-prediction.npz")
    rank = results["models"]["context"]["rank"]
    assert rank["median"] == np.median(answers["rank"]) and rank["n"] == len(answers["rank"])
    repeated = results["baselines"]["repetition"]["context"]["rank"]
    assert repeated["median"] == np.median(answers["repetition_rank"])
    scores = results["models"]["context"]["composers"]
    answers = load_arrays(out / "answers" / "context-seed0-composers.npz")
    assert scores["accuracy"] == pytest.approx((answers["truth"] == answers["predicted"]).mean())


def test_repeating_it_changes_nothing(reproduced, results, music):
    out, _ = reproduced
    status, printed, _ = run(reproduce, "--data", music, *QUICK, "--out", out, "--json")
    assert status == 0
    repeated = json.loads(printed)
    for part in ("models", "baselines", "tests"):
        assert repeated[part] == results[part]


def test_other_options_are_refused(reproduced, music):
    out, _ = reproduced
    done = run(reproduce, "--data", music, *QUICK, "--keys", "12", "--out", out)
    fails_with_one_line(done, 2, "--out", "--keys")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--seeds", "0"), "--seeds 0"),
        (("--lstm-steps", "0"), "--lstm-steps 0"),
        (("--batch-size", "4"), "--batch-size 4: at least 5"),
    ],
)
def test_values_that_are_too_small(words, part, tmp_path):
    out = tmp_path / "report"
    fails_with_one_line(run(reproduce, *words, "--out", out), 2, part)
    assert not out.exists()


def test_evaluating_one_model_gives_the_same_ranks(reproduced, results):
    """By the command that the report names."""
    out, _ = reproduced
    model = out / "models" / "context-seed0"
    command = shlex.split(results["models"]["context"]["commands"]["evaluate, seed 0"])
    assert command[:4] == ["python", "-m", "tinyembed.evaluate", str(model)]
    status, printed, err = run(evaluate, *command[3:], "--json")
    assert status == 0, err
    alone = json.loads(printed)
    assert alone["models"]["context"]["rank"] == results["models"]["context"]["rank"]
    assert "Table 2" in (model / "evaluation" / "report.md").read_text()


def test_models_that_cannot_be_evaluated(reproduced, tmp_path):
    fails_with_one_line(run(evaluate, tmp_path / "none"), 2, "none")
    out, _ = reproduced
    broken = tmp_path / "broken"
    broken.mkdir()
    model = out / "models" / "context-seed0"
    (broken / "config.json").write_bytes((model / "config.json").read_bytes())
    (broken / "weights.npz").write_bytes((model / "weights.npz").read_bytes()[:9000])
    fails_with_one_line(run(evaluate, broken), 2, "weights.npz")
    # NaN among the weights is reported as such, and gives no result.
    arrays = load_arrays(model / "weights.npz")
    arrays["encoder.dense3.weight"][0, 0] = np.nan
    config = json.loads(str(arrays.pop("config")))
    save_arrays(broken / "weights.npz", arrays, "weights", config=config)
    fails_with_one_line(run(evaluate, broken), 2, "not numbers")
    assert not (broken / "evaluation" / "results.json").exists()


def test_music_that_is_too_short(tmp_path):
    short = write_corpus(tmp_path / "short", 2, 6, beats=20)
    done = run(reproduce, "--data", short, *QUICK, "--out", tmp_path / "report")
    fails_with_one_line(done, 2, "32 beats")
