"""python -m tinyembed.reproduce and .evaluate as a person runs them, killed on the way."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from music import write_corpus

from tinyembed.models.table import PAPER_MODELS
from tinyembed.storage.files import load_arrays, save_arrays

QUICK = (
    "--examples", "100", "--batch-size", "20", "--lstm-steps", "4", "--classifier-steps", "10",
)  # fmt: skip
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def words(verb, *options):
    return [sys.executable, "-m", f"tinyembed.{verb}", *map(str, options)]


def run(verb, *options):
    return subprocess.run(
        words(verb, *options), capture_output=True, text=True, env=ENVIRONMENT, timeout=500
    )


def fails_with_one_line(done, status, *parts):
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert all(part in lines[0] for part in parts), lines


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("long") / "music", 3, 5, beats=40)


@pytest.fixture(scope="module")
def reproduced(music, tmp_path_factory):
    """A whole reproduction, killed twice: in a training, and after the first answers."""
    out = tmp_path_factory.mktemp("report") / "report"
    signs = (out / "models" / "octave_split-seed0" / "log.jsonl", out / "answers")
    for sign in signs:
        running = subprocess.Popen(
            words("reproduce", "--data", music, *QUICK, "--out", out),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        end = time.monotonic() + 200
        while not (sign.exists() and (sign.is_file() or len(list(sign.glob("*ion.npz"))) > 1)):
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < end, f"waited in vain for {sign}"
            time.sleep(0.02)
        running.kill()
        running.communicate()
    kept = {file: file.stat().st_mtime_ns for file in out.glob("answers/*ion.npz")}
    done = run("reproduce", "--data", music, *QUICK, "--out", out)
    assert done.returncode == 0, done.stderr
    assert kept and all(file.stat().st_mtime_ns == when for file, when in kept.items())
    return out, done


def test_the_report_and_the_numbers(reproduced):
    out, done = reproduced
    results = json.loads((out / "results.json").read_text())
    assert list(results["models"]) == list(PAPER_MODELS)
    for entry in (*results["models"].values(), results["baselines"]["pca"]):
        for kind in ("rank", "rank_same_piece"):
            assert {
                "median", "iqr", "std", "skew", "mrr", "recall_at_10", "interval", "n",
            } <= set(entry[kind])  # fmt: skip
        assert {"accuracy", "macro_f1", "weighted_f1"} <= set(entry["composers"])
    assert set(results["baselines"]) == {"untrained", "pca", "mean", "majority", "repetition"}
    assert set(results["baselines"]["repetition"]) == set(PAPER_MODELS)
    assert len(results["tests"]["rank"]["pairs"]) == 21
    assert results["corpus"]["pieces_in_both"] == 0
    assert results["corpus"]["candidates"] < 1000  # and so the report says
    assert "and not among 1,000" in (out / "report.md").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert not list(out.glob("answers/*embeddings*"))
    assert "report.md" in done.stdout and done.stderr == ""


def test_ranks_are_what_the_answers_say(reproduced):
    out, _ = reproduced
    results = json.loads((out / "results.json").read_text())
    answers = load_arrays(out / "answers" / "context-seed0-prediction.npz")
    rank = results["models"]["context"]["rank"]
    assert rank["median"] == np.median(answers["rank"]) and rank["n"] == len(answers["rank"])
    repeated = results["baselines"]["repetition"]["context"]["rank"]
    assert repeated["median"] == np.median(answers["repetition_rank"])
    scores = results["models"]["context"]["composers"]
    answers = load_arrays(out / "answers" / "context-seed0-composers.npz")
    assert scores["accuracy"] == pytest.approx((answers["truth"] == answers["predicted"]).mean())


def test_once_more_is_done_at_once(reproduced, music):
    out, _ = reproduced
    before = json.loads((out / "results.json").read_text())
    done = run("reproduce", "--data", music, *QUICK, "--out", out, "--json")
    after = json.loads(done.stdout)
    for part in ("models", "baselines", "tests"):
        assert after[part] == before[part]


def test_other_options_are_refused(reproduced, music):
    out, _ = reproduced
    done = run("reproduce", "--data", music, *QUICK, "--keys", "12", "--out", out)
    fails_with_one_line(done, 2, "--out", "--keys")


def test_evaluate_one_model(reproduced):
    out, _ = reproduced
    model = out / "models" / "context-seed0"
    steps = ("--lstm-steps", "4", "--classifier-steps", "10")
    done = run("evaluate", model, *steps, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    whole = json.loads((out / "results.json").read_text())
    assert results["models"]["context"]["rank"] == whole["models"]["context"]["rank"]
    assert "Table 2" in (model / "evaluation" / "report.md").read_text()


def test_evaluate_what_cannot_be(reproduced, tmp_path):
    fails_with_one_line(run("evaluate", tmp_path / "none"), 2, "none")
    out, _ = reproduced
    broken = tmp_path / "broken"
    broken.mkdir()
    model = out / "models" / "context-seed0"
    (broken / "config.json").write_bytes((model / "config.json").read_bytes())
    (broken / "weights.npz").write_bytes((model / "weights.npz").read_bytes()[:9000])
    fails_with_one_line(run("evaluate", broken), 2, "weights.npz")
    # NaN among the weights: named, not reported as a result.
    arrays = load_arrays(model / "weights.npz")
    arrays["encoder.dense3.weight"][0, 0] = np.nan
    config = json.loads(str(arrays.pop("config")))
    save_arrays(broken / "weights.npz", arrays, config=config)
    fails_with_one_line(run("evaluate", broken), 1, "not a number")


def test_too_short_music(tmp_path):
    short = write_corpus(tmp_path / "short", 2, 6, beats=20)
    done = run("reproduce", "--data", short, *QUICK, "--out", tmp_path / "report")
    fails_with_one_line(done, 2, "32 beats")
