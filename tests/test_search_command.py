"""python -m tinyembed.search as a person runs it, on small corpora, with small models."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import mido
import numpy as np
import pytest
from music import midi_file, write_midi

from tinyembed import search
from tinyembed.cli.running import exit_status
from tinyembed.embedding.embed import embed
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music import public_corpora
from tinyembed.music.corpus import Corpus
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import onset_roll
from tinyembed.neighbours.collection import Collection, piece_of
from tinyembed.neighbours.index import Index
from tinyembed.storage.cache import cache_folder

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def run(*words, **options):
    """A real process."""
    return subprocess.run(
        [sys.executable, "-m", "tinyembed.search", *map(str, words)],
        capture_output=True, text=True, env={**ENVIRONMENT, **os.environ}, timeout=100, **options,
    )  # fmt: skip


def call(capsys, *words):
    """The same command in this process: exit status, what it printed, what it complained of."""
    status = exit_status(lambda: search.main([str(word) for word in words]))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def ask(capsys, *words):
    """The JSON object that the command prints."""
    status, out, err = call(capsys, *words, "--json")
    assert (status, err) == (0, ""), err
    return json.loads(out)


def fails(capsys, status, *words_and_parts):
    """The command fails with one line that holds all of some parts, the last argument."""
    *words, parts = words_and_parts
    got, out, err = call(capsys, *words)
    assert (got, out) == (status, ""), err
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert all(str(part) in err for part in parts), err


def save_model(path, seed):
    """A model that has seen a little, so that its embeddings are not all alike."""
    model = Model("context", "small", ["A"], np.random.default_rng(seed))
    rolls = np.random.default_rng(seed).random((200, 60, 96)) < 0.03
    for _ in range(10):
        model.encoder.forward(rolls[..., None].astype(np.float32), training=True)
    save_weights(path, model)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "a.npz", 0)


@pytest.fixture(scope="module")
def options(piano_folder, weights):
    return ("--in", piano_folder, "--model", weights)


def test_the_table_and_the_music(piano_folder, options, tmp_path):
    """All of it once, in a real process: the neighbours are those that brute force finds."""
    query, out = piano_folder / "Bolero" / "piece_03.mid", tmp_path / "n.mid"
    done = run(query, "--beat", 5, *options, "-k", 4, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where there is no terminal
    lines = done.stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("rank"))
    assert lines[header].split() == ["rank", "cosine", "composer", "piece", "beat", "time"]
    rows = [line.split() for line in lines[header + 1 : header + 5]]
    assert (
        lines[-1] == f"Next: listen to {out}: the query first, then the neighbours, a beat between"
    )

    corpus = Corpus.from_folder(piano_folder)
    model, _ = load_weights(options[3])
    embeddings = [embed(piano_folder / name, model).astype(np.float64) for name in corpus.names]
    units = [(name, b) for name, rows in zip(corpus.names, embeddings, strict=True)
             for b in range(len(rows))]  # fmt: skip
    x = np.concatenate(embeddings)
    x /= np.sqrt((x**2).sum(axis=1, keepdims=True))
    cosines = x @ x[units.index(("Bolero/piece_03.mid", 5))]
    best = sorted(range(len(x)), key=lambda i: (-round(cosines[i], 12), i))[:4]
    assert rows == [
        [str(rank), f"{cosines[i]:.3f}", *units[i][0].split("/"), str(units[i][1]),
         f"0:{units[i][1] / 2:04.1f}"]  # at 120 beats a minute
        for rank, i in enumerate(best, start=1)
    ]  # fmt: skip
    assert rows[0][2:5] == ["Bolero", "piece_03.mid", "5"] and rows[0][1] == "1.000"

    heard = [onset_roll(out, 5 * i) for i in range(5)]  # a beat of silence after each
    np.testing.assert_array_equal(heard[0], onset_roll(query, 5))
    for roll, i in zip(heard[1:], best, strict=True):
        np.testing.assert_array_equal(roll, onset_roll(piano_folder / units[i][0], units[i][1]))
    markers = [m.text for m in mido.MidiFile(out, charset="utf-8").tracks[1] if m.type == "marker"]
    assert markers[0].endswith("piece_03.mid, beat 5")
    assert markers[1] == "1: Bolero/piece_03.mid, beat 5"


def test_the_second_search_reads_the_index(piano_folder, options, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))  # where no other test left an index
    query = piano_folder / "Adagio" / "piece_00.mid"
    first = ask(capsys, query, *options)
    (index,) = (cache_folder() / "indexes").glob("*.index")
    before = index.stat()
    assert ask(capsys, query, *options) == first
    assert index.stat().st_mtime_ns == before.st_mtime_ns
    # Damaged, it is made again; without a place for it, nothing is kept and nothing lost.
    index.write_bytes(index.read_bytes()[:5000])
    assert ask(capsys, query, *options) == first
    assert index.stat().st_size == before.st_size
    assert first["certified"] is True and first["searched"] == first["units"] == 18 * 21


def test_a_cache_that_cannot_be_written(piano_folder, options, tmp_path, capsys, monkeypatch):
    (tmp_path / "indexes").write_text("in the way")
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))
    status, out, err = call(capsys, piano_folder / "Adagio" / "piece_00.mid", *options)
    assert (status, err) == (0, "") and "embedded again next time" in out


def test_other_music_and_other_models_have_other_indexes(
    piano_folder, weights, options, tmp_path, capsys
):
    query = piano_folder / "Adagio" / "piece_00.mid"
    music = tmp_path / "piano"
    shutil.copytree(piano_folder, music)
    (music / "Bolero" / "piece_00.mid").unlink()
    fewer = ask(capsys, query, "--in", music, "--model", weights)
    assert fewer["pieces"] == 17 and fewer["units"] == 17 * 21
    other = ask(capsys, query, "--in", piano_folder, "--model", save_model(tmp_path / "b.npz", 1))
    assert other["neighbours"] != ask(capsys, query, *options)["neighbours"]


def test_filters(piano_folder, options, tmp_path, capsys):
    inside = piano_folder / "Canzona" / "piece_02.mid"
    copied = write_midi(tmp_path / "song.mid", [(0, 480, 60)])
    shutil.copy(inside, copied)  # known by its notes, whatever it is called
    for query in (inside, copied):
        found = ask(capsys, query, "--beat", 3, *options, "--other-piece", "-k", 357)
        assert found["searched"] == 17 * 21
        assert all(n["piece"] != "Canzona/piece_02.mid" for n in found["neighbours"])
        assert any(n["composer"] == "Canzona" for n in found["neighbours"])
        found = ask(capsys, query, "--beat", 3, *options, "--other-composer", "-k", 50)
        assert found["searched"] == 12 * 21
        assert {n["composer"] for n in found["neighbours"]} == {"Adagio", "Bolero"}

    notes = [(480 * i, 400, 50 + 3 * i) for i in range(8)]
    stranger = write_midi(tmp_path / "stranger.mid", notes)
    fails(capsys, 2, stranger, *options, "--other-composer", ["--other-composer", stranger])
    status, out, _ = call(capsys, stranger, *options, "--other-piece")
    assert status == 0 and "is not among these pieces" in out
    namesake = write_midi(tmp_path / "Bolero" / "stranger.mid", notes)
    found = ask(capsys, namesake, *options, "--other-composer", "-k", 50)
    assert {n["composer"] for n in found["neighbours"]} == {"Adagio", "Canzona"}
    fails(capsys, 2, inside, *options, "--other-piece", "-k", 358, ["k 358", "only 357"])


def test_a_saved_index_is_enough(piano_folder, weights, options, tmp_path, capsys):
    """Without its folder: the neighbours, their times and their music are in the file."""
    music, saved = tmp_path / "music", tmp_path / "a.index"
    shutil.copytree(piano_folder, music)
    query = piano_folder / "Bolero" / "piece_01.mid"
    words = (query, "--beat", 2, "--other-piece", "--model", weights)
    first = ask(capsys, *words, "--in", music, "--save", saved, "--out", tmp_path / "1.mid")
    shutil.rmtree(music)
    second = ask(capsys, *words, "--in", saved, "--out", tmp_path / "2.mid")
    assert first["neighbours"] == second["neighbours"]
    assert first["neighbours"][0]["seconds"] == first["neighbours"][0]["beat"] / 2
    assert (tmp_path / "1.mid").read_bytes() == (tmp_path / "2.mid").read_bytes()
    other = save_model(tmp_path / "b.npz", 1)
    fails(capsys, 2, query, "--in", saved, "--model", other, [saved, "another model"])
    bare = tmp_path / "bare.index"
    Index(np.ones((30, 100), np.float32)).save(bare)
    model, _ = load_weights(weights)
    Index(np.ones((30, 100), np.float32), model=model).save(bare)
    fails(capsys, 2, query, "--in", bare, "--model", weights, [bare, "without its music"])
    saved.write_bytes(saved.read_bytes()[:3000])
    fails(capsys, 2, query, "--in", saved, "--model", weights, [saved, "not a readable index"])


def test_a_silent_unit_is_neither_query_nor_neighbour(weights, tmp_path, capsys):
    music = tmp_path / "music"
    notes = [(480 * b, 400, 40 + b) for b in (0, 1, 2, 3, 10, 11, 12, 13)]  # rests in beats 4 to 9
    query = write_midi(music / "A" / "x.mid", notes)
    options = ("--in", music, "--model", weights)
    fails(capsys, 2, query, *options, "--beat", 5, ["--beat 5", query, "no note", "beat is 3"])
    found = ask(capsys, query, *options, "-k", 8)
    assert found["units"] == 8
    assert {n["beat"] for n in found["neighbours"]} == {0, 1, 2, 3, 7, 8, 9, 10}
    fails(capsys, 2, query, *options, "-k", 9, ["k 9", "only 8 units"])
    assert len(Collection.open(str(music), load_weights(weights)[0])[0].index) == 11


def test_tempo(weights, tmp_path, capsys):
    before = (mido.MetaMessage("set_tempo", tempo=1_500_000),)
    midi = midi_file([(480 * b, 400, 40 + b) for b in range(60)], before=before)
    query = tmp_path / "music" / "A" / "slow.mid"
    query.parent.mkdir(parents=True)
    midi.save(query)
    done = ask(capsys, query, "--beat", 50, "--in", tmp_path / "music", "--model", weights, "-k", 1)
    assert done["query"]["seconds"] == done["neighbours"][0]["seconds"] == 75
    status, out, _ = call(
        capsys, query, "--beat", 50, "--in", tmp_path / "music", "--model", weights, "-k", 1
    )
    assert status == 0 and out.count("1:15.0") == 2


def test_a_corpus_by_name(piano_folder, weights, tmp_path, capsys, monkeypatch):
    """One that was downloaded before: its table names two files, and both are there."""
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(public_corpora, "TABLES", tmp_path)
    table = ["path\tsha256\tbytes"]
    files = {"Bach/a.mid": "Adagio/piece_00.mid", "Skrjabin/b.mid": "Bolero/piece_01.mid"}
    for path, source in files.items():
        there = public_corpora.folder_of("krueger") / "midis" / path
        there.parent.mkdir(parents=True)
        data = (piano_folder / source).read_bytes()
        there.write_bytes(data)
        table.append(f"midis/{path}\t{hashlib.sha256(data).hexdigest()}\t{len(data)}")
    (tmp_path / "krueger.tsv").write_text("\n".join(table) + "\n")
    query = piano_folder / "Bolero" / "piece_01.mid"
    found = ask(capsys, query, "--beat", 4, "--in", "krueger", "--model", weights, "-k", 1)
    assert found["pieces"] == 2 and found["neighbours"] == [
        {"rank": 1, "cosine": 1.0, "composer": "Scriabin", "piece": "Scriabin/b.mid", "beat": 4,
         "seconds": 2.0}
    ]  # fmt: skip
    found = ask(capsys, query, "--in", "krueger", "--model", weights, "--other-piece")
    assert {n["composer"] for n in found["neighbours"]} == {"Bach"}


def test_a_short_query_is_padded_and_said_so(options, tmp_path, capsys):
    short = write_midi(tmp_path / "short.mid", [(0, 480, 60), (480, 480, 64)])
    status, out, _ = call(capsys, short, *options)
    assert status == 0 and f"note: {short}: fewer than four beats" in out


def test_the_next_step_can_be_taken(piano_folder, options, tmp_path):
    query = piano_folder / "Bolero" / "piece_03.mid"
    done = run(query, *options, "--other-piece", "-k", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    command = (
        done.stdout.splitlines()[-1].removeprefix("Next: ").removesuffix(", to listen to them")
    )
    words = command.split()
    assert words[:3] == ["python", "-m", "tinyembed.search"]
    done = run(*words[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    piece = read_midi(tmp_path / "neighbours.mid")
    assert piece.n_beats == 20
    assert run(*words[3:], cwd=tmp_path).returncode == 0  # a file of ours is replaced


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["QUERY", "--beat", 21], ["--beat 21", "QUERY", "0 to 20"]),
        (["QUERY", "--beat", -1], ["--beat"]),
        (["QUERY", "-k", 0], ["-k 0"]),
        (["QUERY", "-k", 379], ["k 379", "only 378 units"]),
        (["QUERY", "--in", "/nowhere"], ["/nowhere", "no such folder"]),
        (["QUERY", "--in", "QUERY"], ["QUERY", "not a readable index"]),
        (["QUERY", "--model", "nothing"], ["nothing", "no such model"]),
        (["/nowhere/song.mid"], ["/nowhere/song.mid", "no such file"]),
        (["QUERY", "--out", "/nowhere/a.mid"], ["--out", "/nowhere"]),
        (["QUERY", "--save", "/nowhere/a.index"], ["--save", "/nowhere"]),
        (["QUERY", "--out", "QUERY"], ["--out", "not a file of this command"]),
        (["QUERY", "--save", "QUERY"], ["--save", "not a file of this command"]),
        (["QUERY", "--out", "/"], ["--out /", "a folder"]),
        ([], ["QUERY"]),
    ],
)
def test_bad_input(words, parts, piano_folder, options, capsys):
    query = piano_folder / "Bolero" / "piece_03.mid"
    before = query.read_bytes()
    words = [str(query) if word == "QUERY" else word for word in words]
    parts = [str(query) if part == "QUERY" and words else part for part in parts]
    fails(capsys, 2, *([] if "--in" in words else options[:2]), *options[2:], *words, parts)
    assert query.read_bytes() == before


def test_a_query_without_notes(options, tmp_path, capsys):
    empty = write_midi(tmp_path / "empty.mid", [])
    fails(capsys, 1, empty, *options, [empty, "no notes"])
    text = tmp_path / "text.mid"
    text.write_text("la la la")
    fails(capsys, 1, text, *options, [text, "not a MIDI file"])
    waltz = write_midi(tmp_path / "waltz.mid", [(480 * b, 99, 60) for b in range(9)], meter=(3, 8))
    fails(capsys, 1, waltz, *options, [waltz, "--any-meter"])
    assert call(capsys, waltz, *options, "--any-meter")[0] == 0


def test_a_row_is_what_embed_gives(piano_folder, weights):
    model, _ = load_weights(weights)
    corpus = Corpus.from_folder(piano_folder)
    collection = Collection.of(corpus, model, progress=False)
    for n in (0, 7):
        rows = collection.index.embeddings[collection.index.labels.piece == n]
        np.testing.assert_array_equal(rows, embed(piano_folder / corpus.names[n], model))
        piece = read_midi(piano_folder / corpus.names[n])
        assert collection.pieces_like(piece) == [n]
        np.testing.assert_array_equal(piece_of(corpus, n).ticks, piece.ticks)


def test_killed_while_it_writes(piano_folder, options, tmp_path):
    """An index is whole or not there, and what was there stays until the new one is whole."""
    saved = tmp_path / "a.index"
    assert run(piano_folder / "Adagio" / "piece_00.mid", *options, "--save", saved).returncode == 0
    before = saved.read_bytes()
    code = (
        "import sys, numpy as np\n"
        "from tinyembed.neighbours.index import Index\n"
        "index = Index(np.ones((30_000, 100), np.float32))\n"
        "print('ready', flush=True)\n"
        "while True: index.save(sys.argv[1])"
    )
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(saved)], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()
        time.sleep(0.01 + 0.05 * round_)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        assert saved.read_bytes() == before or len(Index.load(saved)) == 30_000
