"""`tinyembed.embed --in STORE`: float16 shards, which can be continued, shared out and checked."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from called import calls_of
from music import write_corpus, write_midi

from tinyembed import corpus as corpus_command
from tinyembed.embed import main
from tinyembed.embedding.embed import embed_piece
from tinyembed.embedding.shards import Embeddings
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.storage.records import read_record, write_record
from tinyembed.stores.store import Store

HERE = Path(__file__).resolve().parents[1]
QUICK = {"OPENBLAS_NUM_THREADS": "1", "TINYEMBED_BACKEND": "cpu"}


call, fails = calls_of(main)


def start(*words, launched=None, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "tinyembed.embed", *map(str, words)], cwd=HERE, text=True,
        env={**os.environ, **QUICK, **(launched or {})}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def save_model(path, seed, scale=1.0):
    model = Model("context", "small", ["A"], np.random.default_rng(seed))
    model.parameters()[0].value *= np.float32(scale)
    save_weights(path, model)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "a.npz", 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of 14 pieces in shards of five. One of them begins like another and pauses, so some
    of its units are not kept. Only to be read."""
    here, rng = tmp_path_factory.mktemp("store"), np.random.default_rng(0)
    write_corpus(here / "music", composers=3, pieces=4, beats=16)
    notes = [(480 * beat, 480, int(rng.integers(40, 90))) for beat in range(12)]
    write_midi(here / "music" / "Adagio" / "same_a.mid", notes)
    write_midi(here / "music" / "Adagio" / "same_b.mid", [*notes, (480 * 20, 480, 60)])
    words = [here / "music", "-o", here / "store", "--files-per-task", 5, "--workers", 1, "--json"]
    assert corpus_command.main(["build", *map(str, words)]) == 0
    return here / "store"


@pytest.fixture(scope="module")
def made(store, weights, tmp_path_factory):
    """Its embeddings. Only to be read."""
    out = tmp_path_factory.mktemp("made") / "e"
    assert main(["--in", str(store), "-o", str(out), "--model", str(weights), "--json"]) == 0
    return out


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_row_is_what_embed_gives_for_the_unit(store, weights, made):
    found, model, left_out = Embeddings.open(made), load_weights(weights)[0], 0
    expected = Store.open(store)
    assert len(found) == expected.n_units and found.found["pieces"] == expected.n_pieces
    assert [path.name for path in found.paths] == ["00000.rows", "00001.rows", "00002.rows"]
    for n, shard in enumerate(expected.shards):
        ours, first = found.shard(n), 0
        assert ours.rows.dtype == np.float16 and len(ours.rows) == shard.n_units
        for i, (composer, name, piece, kept) in enumerate(shard.pieces()):
            rows = embed_piece(piece, model)[kept]
            part = slice(first, first + len(rows))
            np.testing.assert_array_equal(ours.rows[part], rows.astype(np.float16))
            assert (ours.piece[part] == i).all() and ours.names[i] == name
            np.testing.assert_array_equal(ours.beat[part], np.flatnonzero(kept))
            left_out += np.count_nonzero(~kept)
            assert ours.composers[ours.piece_composer[i]] == composer
            first += len(rows)
    assert left_out > 8


def test_what_it_prints(store, weights, tmp_path, capsys):
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)
    n = Store.open(store).n_units
    status, out, err = call(capsys, *words)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{n} units of 14 pieces, in 3 shards: {tmp_path / 'e'}",
        f"Next: python -m tinyembed.search build {tmp_path / 'e'} -o index",
    ]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "e").rglob("*.rows")}
    found = json.loads(call(capsys, *words, "--json")[1])
    assert (found["made"], found["found"], found["missing"], found["units"]) == (0, 3, 0, n)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_shares_are_the_whole(store, weights, made, tmp_path, capsys):
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)
    status, out, _ = call(capsys, *words, "--shard", "2/2")
    assert status == 0 and out == "1 shard made; 2 of 3 are still missing\n"
    with pytest.raises(InputError, match=r"2 of 3 shards are missing; repeat .* each --shard"):
        Embeddings.open(tmp_path / "e")
    status, out, _ = call(capsys, *words, "--shard", "1/2")
    assert status == 0 and "in 3 shards" in out
    assert files(tmp_path / "e") == files(made)


def test_processes_of_a_launcher_share_the_shards(store, weights, made, tmp_path):
    """Each does its part by itself, so the launcher's variables are enough."""
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)
    both = [start(*words, launched={"PMI_SIZE": "2", "PMI_RANK": rank}) for rank in "01"]
    for running in both:
        out, err = running.communicate(timeout=100)
        assert (running.returncode, err) == (0, "") and "there already" not in out
    assert files(tmp_path / "e") == files(made)


def test_a_killed_process_is_continued(weights, tmp_path, capsys):
    """The shards that it made are not made again, and the whole is what one process makes."""
    write_corpus(tmp_path / "music", composers=3, pieces=4, beats=300)
    words = [tmp_path / "music", "-o", tmp_path / "store", "--files-per-task", 2, "--workers", 1]
    assert corpus_command.main(["build", *map(str, words)]) == 0
    out = tmp_path / "e"
    words = ("--in", tmp_path / "store", "-o", out, "--model", weights)
    running = start(*words)
    deadline = time.monotonic() + 60
    while len(list(out.glob("shards/*.rows"))) < 2:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    made = {path: path.stat().st_mtime_ns for path in out.glob("shards/*.rows")}
    assert 2 <= len(made) < 6
    capsys.readouterr()
    status, printed, _ = call(capsys, *words, "--json")
    found = json.loads(printed)
    assert (status, found["found"], found["made"]) == (0, len(made), 6 - len(made))
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert main([*map(str, words[:2]), "-o", str(tmp_path / "f"), *map(str, words[4:])]) == 0
    assert files(out) == files(tmp_path / "f")


def test_a_full_disk(store, weights, made, tmp_path):
    """One line; the shards that were written stay. The disk is as good as full after 20 KB."""
    shutil.copytree(made, tmp_path / "e")
    for name in ("00001", "00002"):
        (tmp_path / "e" / "shards" / f"{name}.rows").unlink()
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))

    running = start(*words, preexec_fn=limit)
    out, err = running.communicate(timeout=100)
    assert (running.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"tinyembed: {tmp_path / 'e' / 'shards' / '00001.rows'}: ")
    assert [p.name for p in (tmp_path / "e" / "shards").iterdir()] == ["00000.rows"]
    assert main([*map(str, words), "--json"]) == 0
    assert files(tmp_path / "e") == files(made)


@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.999])
def test_a_damaged_shard_is_refused_and_made_again(
    store, weights, made, tmp_path, capsys, place
):  # fmt: skip
    shutil.copytree(made, tmp_path / "e")
    path = tmp_path / "e" / "shards" / "00001.rows"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        Embeddings.open(tmp_path / "e").shard(1)
    assert str(error.value).startswith(str(path)) and str(error.value).isprintable()
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)
    status, out, _ = call(capsys, *words)
    assert status == 0 and out.startswith(f"note: made again: {path}: ")
    assert files(tmp_path / "e") == files(made)


def test_other_models_stores_and_versions(store, weights, made, tmp_path, capsys):
    other = save_model(tmp_path / "b.npz", 1)
    words = ("--in", store, "-o", made, "--model")
    fails(capsys, 2, *words, other, [made, "of another model", weights.name, "another -o"])
    write_corpus(tmp_path / "music", composers=1, pieces=2, beats=16)
    build = ["build", str(tmp_path / "music"), "-o", str(tmp_path / "store"), "--workers", "1"]
    assert corpus_command.main(build) == 0
    capsys.readouterr()
    words = ("--in", tmp_path / "store", "-o", made, "--model", weights)
    fails(capsys, 2, *words, [made, "of another store", store, "another -o"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    words = ("--in", store, "-o", tmp_path / "full", "--model", weights)
    fails(capsys, 2, *words, [tmp_path / "full", "other files", "another -o"])

    shutil.copytree(made, tmp_path / "e")
    path = tmp_path / "e" / "embeddings.json"
    values = read_record(path)
    write_record(path, {**values, "version": 9})
    words = ("--in", store, "-o", tmp_path / "e", "--model", weights)
    fails(capsys, 2, *words, [tmp_path / "e", "another version (9, this one reads 1)"])
    for name, value in (("units", [1]), ("shards", ["../x"] * 3), ("dimensions", "x")):
        write_record(path, {**values, name: value})
        fails(capsys, 2, *words, [path])
    path.write_text(path.read_text().replace("x", "y"))
    fails(capsys, 2, *words, [path, "changed since it was written"])


def test_a_shard_of_another_store_is_noticed(made, tmp_path):
    shutil.copytree(made, tmp_path / "e")
    shards = tmp_path / "e" / "shards"
    (shards / "00001.rows").write_bytes((shards / "00000.rows").read_bytes())
    with pytest.raises(InputError, match=r"00001.rows: it is of another store or model"):
        Embeddings.open(tmp_path / "e").shard(1)


def test_embeddings_that_float16_cannot_hold(store, tmp_path, capsys):
    huge = save_model(tmp_path / "huge.npz", 0)
    model = load_weights(huge)[0]
    for parameter in model.encoder.parameters()[-2:]:
        parameter.value *= np.float32(1e6)
    save_weights(huge, model)
    words = ("--in", store, "-o", tmp_path / "e", "--model", huge)
    parts = [tmp_path / "e" / "shards" / "00000.rows", "float16 ends at 65,504", "another --model"]
    fails(capsys, 1, *words, parts)


def test_wrong_use(store, weights, made, tmp_path, capsys):
    music = store.parent / "music"
    fails(capsys, 2, ["a PATH of music is needed, or a store"])
    fails(capsys, 2, music, "--in", store, [music, "no other music"])
    fails(capsys, 2, "--in", store, "--per", "piece", ["--per piece", "row per unit"])
    fails(capsys, 2, "--in", store, "--any-meter", ["--any-meter", "corpus build"])
    fails(capsys, 2, music, "--shard", "1/2", ["--shard", "--in STORE"])
    for text in ("3/2", "0/2", "1", "a/b", "-1/2"):
        fails(capsys, 2, "--in", store, f"--shard={text}", [repr(text), "not I/N"])
    fails(capsys, 2, "--in", music, [music, "no store"])
    fails(capsys, 2, store, [store, "a store", "--in"])
    with pytest.raises(InputError, match="no embeddings of a store"):
        Embeddings.open(tmp_path)
