"""The command tinyembed.embed, and the transformer for scikit-learn pipelines."""

import csv
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from music import write_midi

import tinyembed
from tinyembed.cli.running import exit_status
from tinyembed.embed import main
from tinyembed.errors import InputError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import piece_rolls, units_have_onsets
from tinyembed.storage.arrays import load_arrays
from tinyembed.storage.files import digest

with_sklearn = pytest.mark.peer("sklearn")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.npz"
    save_weights(path, Model("context", "small", ["A", "B"], np.random.default_rng(0)))
    return path


@pytest.fixture
def music(tmp_path, monkeypatch):
    """The current folder, with three good files, one of which is short, and two bad ones."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, beats in (("a.mid", 12), ("more/b.mid", 40), ("more/short.mid", 2)):
        notes = [(480 * b, 480, int(rng.integers(36, 96))) for b in range(beats)]
        write_midi(name, notes[:3] + notes[8:] if beats > 8 else notes)
    (tmp_path / "bad.mid").write_bytes((tmp_path / "a.mid").read_bytes()[:60])
    write_midi("waltz.mid", [(240 * i, 240, 60) for i in range(24)], meter=(3, 8))
    return tmp_path


def run(capsys, *words):
    """The command in this process: its exit status, and what it printed to both streams."""
    status = exit_status(lambda: main([str(word) for word in words]))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def process(*words):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tinyembed.embed", *map(os.fsdecode, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8:strict"},
    )


def test_a_table_of_files_beats_and_times(music, weights):
    done = process("a.mid", "more", "-o", "out.npz", "--model", weights)
    assert (done.returncode, done.stderr) == (0, "")
    table = load_arrays("out.npz")
    files = ["a.mid", os.path.join("more", "b.mid"), os.path.join("more", "short.mid")]
    assert table["files"].tolist() == files
    assert table["file_index"].tolist() == [0] * 9 + [1] * 37 + [2]
    assert table["beat"].tolist() == [*range(9), *range(37), 0]
    assert table["time"].tolist() == (table["beat"] / 2).tolist()  # at 120 beats a minute
    rows = [tinyembed.embed(read_midi(f), str(weights), device="cpu") for f in files[:2]]
    np.testing.assert_array_equal(table["embeddings"][:46], np.concatenate(rows))
    sounds = [units_have_onsets(read_midi(f)) for f in files]
    assert table["sounds"].tolist() == np.concatenate(sounds).tolist()
    assert not table["sounds"].all()
    about = json.loads(str(table["about"]))
    assert about["weights"] == digest(weights) and about["model"] == str(weights)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"note: {files[2]}: fewer than four beats, padded")
    assert lines[1] == "47 units of 3 files, in out.npz"
    words = f"Next: python -m tinyembed.search a.mid --beat 0 --in more --model {weights}"
    assert lines[2:] == [words]
    # Another process writes the same bytes.
    assert process("a.mid", "more", "-o", "again.npz", "--model", weights).returncode == 0
    assert (music / "again.npz").read_bytes() == (music / "out.npz").read_bytes()


def test_text_holds_the_same_values_as_the_arrays(music, weights, capsys):
    write_midi('more/odd, "name"\t.mid', [(0, 4 * 480, 60)])
    for out in ("out.npz", "out.csv", "out.tsv"):
        assert run(capsys, "a.mid", "more", "-o", out, "--model", weights)[0] == 0
    table = load_arrays("out.npz")
    with open("out.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "beat", "time", "sounds", *(f"embedding_{i}" for i in range(100))]
    labels = [
        [table["files"][f], str(b), f"{t:.3f}", str(int(s))]
        for f, b, t, s in zip(
            *(table[name] for name in ("file_index", "beat", "time", "sounds")), strict=True
        )
    ]
    assert [row[:4] for row in rows] == labels
    values = np.array([row[4:] for row in rows], np.float32)
    np.testing.assert_array_equal(values, table["embeddings"])
    # The projector splits at tabs and line ends, and does not interpret quotes.
    metadata = (music / "out-metadata.tsv").read_text().splitlines()
    assert len(metadata) == 1 + len(rows) and all(line.count("\t") == 3 for line in metadata)
    assert metadata[0] == "file\tbeat\ttime\tsounds"
    vectors = [line.split("\t") for line in (music / "out.tsv").read_text().splitlines()]
    np.testing.assert_array_equal(np.array(vectors, np.float32), table["embeddings"])


def test_good_files_are_embedded_and_each_bad_one_has_a_line(music, weights, capsys):
    (music / "empty").mkdir()
    words = ("bad.mid", "gone.mid", "a.mid", "waltz.mid", "empty", "a.mid")
    status, out, err = run(capsys, *words, "-o", "out.npz", "--model", weights)
    lines = err.splitlines()
    assert status == 1 and all(line.startswith("tinyembed: ") for line in lines)
    parts = ("empty: no MIDI", "bad.mid: truncated", "gone.mid: no such file", "--any-meter, takes")
    for line, part in zip(lines, parts, strict=True):
        assert part in line
    table = load_arrays("out.npz")
    assert table["files"].tolist() == ["a.mid", "a.mid"]
    np.testing.assert_array_equal(table["embeddings"][:9], table["embeddings"][9:])
    assert "left out: 4 of 6" in out


def test_json(music, weights, capsys):
    words = ("a.mid", "bad.mid", "more", "waltz.mid", "--any-meter", "--json", "--device", "cpu")
    status, out, err = run(capsys, *words, "--model", weights)
    assert status == 1 and len(err.splitlines()) == 1
    short = os.path.join("more", "short.mid")
    assert json.loads(out) == {
        "out": ["embeddings.npz"],
        "model": str(weights),
        "weights": digest(weights),
        "device": "cpu",
        "rows": 9 + 37 + 1 + 9,
        "files": [
            {"file": "a.mid", "rows": 9},
            {"file": os.path.join("more", "b.mid"), "rows": 37},
            {"file": short, "rows": 1},
            {"file": "waltz.mid", "rows": 9},
        ],
        "padded": [short],
        "repaired": [],
        "notes": [],
        "left_out": [err.strip().removeprefix("tinyembed: ")],
    }


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ([], 2, "PATH"),
        (["gone.mid"], 2, "gone.mid: no such file"),
        (["empty"], 2, "empty: no MIDI file and no score in it"),
        (["bad.mid"], 1, "bad.mid: truncated"),
        (["a.mid", "--model", "nonsense"], 2, "nonsense: no such model"),
        (["a.mid", "--model", "a.mid"], 2, "a.mid: not a readable weight file"),
        (["a.mid", "--model", "empty"], 2, "empty: a folder without weights.npz"),
        (["a.mid", "-o", "out.txt"], 2, "must end in .npz, .csv, .tsv"),
        (["a.mid", "-o", "none/out.npz"], 2, "there is no folder none"),
        (["a.mid", "-o", "bad.mid/out.npz"], 2, "there is no folder bad.mid"),
        (
            ["a.mid", "-o", "foreign.csv"],
            2,
            "foreign.csv: exists and is not a file of this command",
        ),
        (["a.mid", "-o", "foreign.tsv"], 2, "foreign-metadata.tsv: exists"),
        (["a.mid", "--device", "tpu"], 2, "--device"),
    ],
)
def test_wrong_use_and_bad_files_print_one_line(words, status, line, music, weights, capsys):
    (music / "empty").mkdir()
    (music / "foreign.csv").write_text("mine,own\n")
    (music / "foreign-metadata.tsv").write_text("mine\town\n")
    before = {path: path.stat().st_mtime_ns for path in music.rglob("*")}
    given = words if "--model" in words else [*words, "--model", weights]
    code, out, err = run(capsys, *given)
    assert (code, out) == (status, "") and line in err and len(err.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in music.rglob("*")} == before


def test_a_table_is_replaced_and_other_files_are_not(music, weights, capsys):
    for out in ("out.npz", "out.csv", "out.tsv"):
        for file in ("a.mid", "more/b.mid"):
            assert run(capsys, file, "-o", out, "--model", weights)[0] == 0
    assert len(load_arrays("out.npz")["beat"]) == 37
    assert len((music / "out.csv").read_text().splitlines()) == 1 + 37
    assert len((music / "out.tsv").read_text().splitlines()) == 37
    kept = weights.read_bytes()
    status, _, err = run(capsys, "a.mid", "-o", weights, "--model", weights)
    assert status == 2 and "not a file of this command" in err and weights.read_bytes() == kept


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_file_names_that_are_not_text(music, weights):
    os.rename(b"more/b.mid", b"more/\xff\n.mid")
    done = process(b"more/\xff\n.mid", "-o", "out.csv", "--model", weights)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tinyembed.search $'more/\\377\\012.mid' --beat 0 --in more" in done.stdout
    assert "more/\\xff\\n.mid,0,0.000,1," in (music / "out.csv").read_text()


def repaired_files(folder, *names):
    """Files that declare nine tracks and have one, which costs no note."""
    for name in names:
        file = write_midi(folder / name, [(480 * b, 480, 60 + b) for b in range(8)])
        data = file.read_bytes()
        file.write_bytes(data[:10] + b"\0\x09" + data[12:])


def test_repairs_are_said_once_per_kind(tmp_path, weights, capsys):
    repaired_files(tmp_path / "one", "a.mid")
    repaired_files(tmp_path / "two", "a.mid", "b/c.mid")
    kind = read_midi(tmp_path / "one" / "a.mid").repairs[0]
    words = ("-o", tmp_path / "out.npz", "--model", weights)
    status, out, err = run(capsys, tmp_path / "two", tmp_path / "one", *words)
    assert (status, err) == (0, "") and out.count("repaired") == 1
    assert out.startswith(f"note: 3 files repaired: {kind}\n")
    status, out, _ = run(capsys, tmp_path / "one" / "a.mid", *words)
    assert out.startswith(f"note: {tmp_path}/one/a.mid: repaired: {kind}\n")
    found = json.loads(run(capsys, tmp_path / "two", *words, "--json")[1])
    assert found["repaired"] == [
        {"file": str(tmp_path / "two" / name), "kind": kind} for name in ("a.mid", "b/c.mid")
    ]
    for music, note in (
        (tmp_path / "two", f"2 files repaired: {kind}"),
        (tmp_path / "one", f"{tmp_path}/one/a.mid: repaired: {kind}"),
        (tmp_path / "one" / "a.mid", f"{tmp_path}/one/a.mid: repaired: {kind}"),
        ([tmp_path / "one" / "a.mid"] * 2, f"2 files repaired: {kind}"),
    ):
        with pytest.warns(tinyembed.EmbeddingWarning) as heard:
            tinyembed.embed(music, str(weights), device="cpu")
        assert [str(warning.message) for warning in heard] == [note]


# scikit-learn.


@pytest.fixture
def labelled(piano_folder):
    """Paths of pieces, and their composers."""
    folders = [piano_folder / name for name in ("Adagio", "Bolero")]
    paths = [path for folder in folders for path in sorted(folder.glob("*.mid"))[:3]]
    return [str(path) for path in paths], [path.parent.name for path in paths]


def test_a_row_is_the_mean_of_the_units_with_an_onset(music, weights):
    embedder = tinyembed.Embedder(str(weights), device="cpu")
    piece = read_midi("a.mid")
    rows = tinyembed.embed(piece, str(weights), device="cpu")[units_have_onsets(piece)]
    assert len(rows) < 9
    made = embedder.fit_transform(["a.mid", piece_rolls(piece), (music / "a.mid").read_bytes()])
    assert made.shape == (3, 100) and made.dtype == np.float32
    np.testing.assert_allclose(made, np.tile(rows.mean(axis=0), (3, 1)), rtol=1e-6)
    largest = embedder.set_params(pool="max").transform(["a.mid"])
    np.testing.assert_array_equal(largest[0], rows.max(axis=0))
    units = embedder.transform(piece_rolls(piece))  # rolls: one row per unit
    np.testing.assert_array_equal(units, tinyembed.embed(piece, str(weights), device="cpu"))
    assert embedder.transform([]).shape == (0, 100)
    assert np.isfinite(embedder.transform([np.zeros((60, 96))])).all()
    assert embedder.get_feature_names_out().tolist() == [f"embedder{i}" for i in range(100)]


def test_wrong_parameters_and_bad_input(music, weights):
    with pytest.raises(InputError, match="pool 'sum': choose one of mean, max"):
        tinyembed.Embedder(str(weights), pool="sum").fit(["a.mid"])
    with pytest.raises(InputError, match="no such model"):
        tinyembed.Embedder("nonsense").fit(["a.mid"])
    with pytest.raises(InputError, match="depth: an Embedder has model, pool"):
        tinyembed.Embedder().set_params(depth=3)
    embedder = tinyembed.Embedder(str(weights))
    with pytest.raises(WorkError, match=r"bad\.mid: truncated"):
        embedder.transform(["a.mid", "bad.mid"])
    with pytest.raises(InputError, match=r"gone\.mid: no such file"):
        embedder.transform(["gone.mid"])
    with pytest.raises(InputError, match=r"\(2, 60, 95\)"):
        embedder.transform(np.zeros((2, 60, 95)))


@with_sklearn
def test_it_works_in_a_pipeline(labelled, weights):
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import StandardScaler

    paths, composers = labelled
    embedder = tinyembed.Embedder(str(weights), device="cpu")
    steps = [("embed", embedder), ("scale", StandardScaler()), ("name", LogisticRegression())]
    pipeline = Pipeline(steps).fit(paths, composers)
    assert pipeline.score(paths, composers) == 1.0
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.predict(np.array(paths)).tolist() == composers
    copy = clone(embedder.set_params(pool="max"))
    assert copy is not embedder and copy.get_params() == embedder.get_params()
    assert "embed__pool" in pipeline.get_params() and "pool='max'" in repr(pipeline)
    search = GridSearchCV(pipeline, {"embed__pool": ["mean", "max"]}, cv=2)
    assert search.fit(paths, composers).best_params_["embed__pool"] in ("mean", "max")
    both = FeatureUnion([("a", clone(embedder)), ("b", clone(embedder).set_params(pool="mean"))])
    assert both.fit_transform(paths[:2]).shape == (2, 200)
    assert both.get_feature_names_out()[100] == "b__embedder0"
