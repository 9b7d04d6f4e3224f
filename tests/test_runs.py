"""The files of a run: whole at every moment, refused where they are not ours."""

import json
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.training.runs import Run, open_or_create


def test_arrays_go_round(tmp_path):
    path = tmp_path / "a.npz"
    save_arrays(path, {"x": np.arange(3)}, about={"name": "é", "n": 1})
    loaded = load_arrays(path)
    np.testing.assert_array_equal(loaded["x"], [0, 1, 2])
    assert json.loads(str(loaded["about"])) == {"name": "é", "n": 1}


def test_a_weight_file_builds_its_model(tmp_path):
    model = Model("regularized", "small", ["Bach", "Ravel"], np.random.default_rng(0), 0.5)
    rolls = (np.random.default_rng(1).random((6, 60, 96)) < 0.02).astype(np.float32)
    model.forward(rolls, training=True)
    save_weights(tmp_path / "w.npz", model, step=7)
    loaded, config = load_weights(tmp_path / "w.npz")
    assert (loaded.name, loaded.width, loaded.composers) == (
        "regularized",
        "small",
        ["Bach", "Ravel"],
    )
    assert loaded.candidate_loss.temperature == 0.5 and config["step"] == 7
    np.testing.assert_array_equal(loaded.encode(rolls), model.encode(rolls))


def test_a_weight_file_says_whether_intervals_are_counted(tmp_path):
    rolls = (np.random.default_rng(1).random((6, 60, 96)) < 0.02).astype(np.float32)
    for intervals in (0, 5, None):
        rng = np.random.default_rng(0)
        model = Model("contrastive", "small", ["Bach", "Ravel"], rng, intervals=intervals)
        save_weights(tmp_path / "w.npz", model)
        loaded, config = load_weights(tmp_path / "w.npz")
        np.testing.assert_array_equal(loaded.encode(rolls), model.encode(rolls))
        if intervals == 0:  # older files say nothing of it
            arrays = load_arrays(tmp_path / "w.npz")
            del config["intervals"]
            arrays["config"] = np.array(json.dumps(config))
            save_arrays(tmp_path / "w.npz", arrays, "weights")
            loaded, _ = load_weights(tmp_path / "w.npz")
            np.testing.assert_array_equal(loaded.encode(rolls), model.encode(rolls))


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "pickle", "foreign"])
def test_a_bad_weight_file_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "w.npz"
    model = Model("context", "small", ["Bach"], np.random.default_rng(0))
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "cut":
        save_weights(path, model)
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"x": 1}))
    elif damage == "foreign":
        np.savez(path, x=np.arange(3))
    with pytest.raises(InputError) as caught:
        load_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_is_whole_however_its_writer_is_killed(tmp_path):
    """A process that does nothing but replace a file is killed again and again."""
    path = tmp_path / "a.npz"
    save_arrays(path, {"x": np.zeros(300_000)})
    code = (
        "import sys, numpy as np; from tinyembed.storage.arrays import save_arrays\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; save_arrays(sys.argv[1], {'x': np.full(300_000, n)})\n"
        "    print(n, flush=True)"
    )
    for round_ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()
        time.sleep(0.003 * round_)
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        x = load_arrays(path)["x"]
        assert x.shape == (300_000,) and (x == x[0]).all() and x[0] >= 1


def test_create_and_open(tmp_path):
    run = Run.create(tmp_path / "runs" / "a", {"model": "context"})
    assert [p.name for p in run.folder.iterdir()] == ["config.json"]
    assert Run.open(run.folder)[1] == {"model": "context"}
    assert [p.name for p in run.folder.parent.iterdir()] == ["a"]
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", {})


@pytest.mark.parametrize("kind", ["run", "file", "full folder"])
def test_what_exists_is_not_overwritten(tmp_path, kind):
    place = tmp_path / "a"
    if kind == "run":
        Run.create(place, {})
    elif kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="--out"):
        Run.create(place, {})
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_the_log_forgets_what_came_after_a_checkpoint(tmp_path):
    run = Run.create(tmp_path / "a", {})
    run.append_log({"step": 1})
    size = run.log_size()
    run.append_log({"step": 2})
    with open(run.log_file, "a") as file:
        file.write('{"step": 3, "lo')  # killed in the middle of a line
    run.cut_log(size)
    assert run.read_log() == [{"step": 1}]


def test_work_begun_with_another_predictor_is_not_gone_on_with(tmp_path):
    """Answers of two versions' predictors must not stand in one table."""
    open_or_create(tmp_path / "work", {"predictor": "as it was"})
    open_or_create(tmp_path / "work", {"predictor": "as it was"})
    with pytest.raises(InputError, match="begun with another predictor"):
        open_or_create(tmp_path / "work", {"predictor": "as it is"})
