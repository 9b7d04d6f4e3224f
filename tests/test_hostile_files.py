"""Files by somebody who means harm: one line each, little memory, no time."""

import contextlib
import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile_files import ESCAPE, archive, bomb, fault, npy, pack

from benchmarks import damage, resealed
from tinyembed.embedding.embed import embed
from tinyembed.errors import InputError, WorkError
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.neighbours.collection import Collection
from tinyembed.storage.arrays import load_arrays, open_arrays
from tinyembed.storage.mapped import load_mapped
from tinyembed.training.runs import Run

RIGHT = {"right", "right, without a seal"}
MEGABYTES, SECONDS = 100, 2
CONFIG = {
    "model": "note_drop", "width": "small", "data": None, "splits": None, "any_meter": False,
    "corpus": "abc", "seed": 0, "split_seed": 0, "examples": 20, "batch_size": 5,
    "negatives": None, "intervals": 0, "learning_rate": 1e-3, "temperature": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "least"), [("weights", 130), ("checkpoint", 120), ("index", 150)])
def test_no_hostile_file_is_let_in(kind, least, tmp_path):
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("the memory of a process is measured on Linux only")
    command = [sys.executable, "-m", "tests.hostile_files", kind, str(tmp_path)]
    home = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    canary, *entries = (json.loads(line) for line in done.stdout.splitlines())
    assert canary["megabytes"] > 40 and canary["outcome"] == "let in"
    assert len(entries) >= least
    for entry in entries:
        if entry["name"] in RIGHT:
            assert entry["outcome"] == "let in"
        else:
            assert entry["outcome"].startswith("refused: "), entry
        assert entry["megabytes"] < MEGABYTES and entry["seconds"] < SECONDS, entry


def test_a_bomb_is_not_unfolded(tmp_path):
    """Where nothing says how large an array must be, and where something does."""
    path = tmp_path / "a.npz"
    path.write_bytes(bomb({"x": np.arange(3)}, "y", npy(shape="(3,)")))
    with open_arrays(path, "arrays", "file") as archive_:
        with pytest.raises(ValueError, match="not as large as it claims"):
            archive_.array("y", ("<f4",), (3,))
    with pytest.raises(InputError, match="would unfold"):
        load_arrays(path)


def test_only_the_arrays_that_are_needed_are_read(tmp_path):
    with damage.small():
        path = tmp_path / "w.npz"
        save_weights(path, damage.a_model())
        arrays = load_arrays(path)
        path.write_bytes(archive({**arrays, "more": npy(descr="'|O'"), "text": ESCAPE}))
        model, _ = load_weights(path)
        np.testing.assert_array_equal(
            model.encoder.conv1.weight.value, arrays["encoder.conv1.weight"]
        )


def test_names_in_an_index_cannot_command_a_terminal(tmp_path):
    path = tmp_path / "a.index"
    with damage.small():
        Collection.of(damage.a_corpus(), damage.a_model(), progress=False).save(path)
    arrays, about = load_mapped(path, "index", "index")
    about["pieces"][0], about["composers"][0] = ESCAPE, "\x9b31mred\ud800"
    path.write_bytes(pack(arrays, about))
    loaded = Collection.load(path)
    row = loaded.index.labels.row(0)
    assert row["piece"] == r"\x1b]0;owned\x07\n" and row["composer"] == r"\x9b31mred\ud800"
    assert loaded.corpus.names == loaded.index.labels.pieces


def use_weights(path):
    model, _ = load_weights(path)
    with np.errstate(all="ignore"), contextlib.suppress(WorkError):  # large weights
        embed(np.eye(60, 96, dtype=np.float32), model)


def use_index(path):
    index = Collection.load(path).index
    try:
        index.search(np.ones(100), k=1)
    except InputError as error:  # the search does not know the file
        assert not fault(str(error), None), str(error)


@pytest.mark.parametrize(
    ("name", "change", "use", "least"),
    [
        ("weights", resealed.change_archive, use_weights, 50),
        ("weights, former", lambda data, rng, bytewise: bytewise(data), use_weights, 5),
        ("index", resealed.change_index, use_index, 50),
    ],
)
@pytest.mark.filterwarnings("error")
def test_every_refusal_is_in_words_for_a_user(name, change, use, least, tmp_path):
    """Of files changed by somebody who knows the format; no warning is printed."""
    with damage.small():
        path, _ = damage.KINDS[name](tmp_path)
        data, refused = path.read_bytes(), set()
        for n in range(250):
            rng = random.Random(n)
            path.write_bytes(change(data, rng, partial(resealed.some_bytes, rng=rng)))
            try:
                use(path)
            except InputError as error:
                assert not fault(str(error), path), str(error)
                refused.add(str(error))
    assert len(refused) > least


def test_what_is_no_line_for_a_user_is_told():
    assert fault("a.index: damaged", "a.index") is None
    for text in (
        *("a.index: damaged\n", "damaged", "a.index: 'NoneType' object is not iterable"),
        *("a.index: string indices must be integers", "a.index: [Errno 22] Invalid argument"),
    ):
        assert fault(text, "a.index")


@pytest.mark.parametrize(
    "wrong",
    [
        {"examples": "x"}, {"examples": 0}, {"examples": 1.5}, {"seed": -3}, {"seed": None},
        {"seed": True}, {"split_seed": "1"}, {"temperature": float("nan")}, {"temperature": -1},
        {"temperature": "1"}, {"learning_rate": float("inf")}, {"learning_rate": 0},
        {"intervals": 10**12}, {"intervals": 10**6}, {"batch_size": [5]}, {"batch_size": -5},
        {"negatives": -1}, {"any_meter": "yes"}, {"data": 3}, {"splits": {}}, {"corpus": None},
        {"model": "best"}, {"model": ESCAPE}, {"width": 3}, {"data": "x" * 10**5},
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_run_is_one_line(wrong, tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    assert Run.open(run.folder)[1] == CONFIG
    run.config_file.write_text(json.dumps({**CONFIG, **wrong}))
    with pytest.raises(InputError) as caught:
        Run.open(run.folder)
    assert str(run.config_file) in str(caught.value) and str(caught.value).isprintable()
    assert f"{next(iter(wrong))} is " in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 100_000, '"a"', "\x00", "[]"])
def test_a_config_that_is_none_is_one_line(text, tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    run.config_file.write_text(text)
    with pytest.raises(InputError) as caught:
        Run.open(run.folder)
    assert str(run.folder) in str(caught.value) and str(caught.value).isprintable()
