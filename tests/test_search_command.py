"""The command tinyembed.search, on small corpora, with small models."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import mido
import numpy as np
import pytest
from called import calls_of
from music import midi_file, write_corpus, write_midi

from tinyembed import search
from tinyembed.embedding.embed import embed
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music import public_corpora
from tinyembed.music.corpus import Corpus
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import onset_roll
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.storage import mapped
from tinyembed.storage.cache import cache_folder

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def run(*words, **options):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tinyembed.search", *map(str, words)],
        capture_output=True, text=True, env={**ENVIRONMENT, **os.environ}, timeout=100, **options,
    )  # fmt: skip


call, fails = calls_of(search.main)


def ask(capsys, *words):
    """The JSON object that the command prints."""
    status, out, err = call(capsys, *words, "--json")
    assert (status, err) == (0, ""), err
    return json.loads(out)


def save_model(path, seed):
    """A model with running statistics of some rolls, so that its embeddings differ."""
    model = Model("context", "small", ["A"], np.random.default_rng(seed))
    rolls = np.random.default_rng(seed).random((40, 60, 96)) < 0.03
    for _ in range(10):
        model.encoder.forward(rolls[..., None].astype(np.float32), training=True)
    save_weights(path, model)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "a.npz", 0)


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "b.npz", 1)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A folder with 3 composers and 9 pieces of 9 units. Not to be written to."""
    return write_corpus(tmp_path_factory.mktemp("music") / "piano", pieces=3, beats=12)


@pytest.fixture(scope="module")
def options(music, weights):
    return ("--in", music, "--model", weights)


def test_the_table_and_the_music(music, options, tmp_path):
    """In a process of its own: the neighbours are those of brute force."""
    query, out = music / "Bolero" / "piece_02.mid", tmp_path / "n.mid"
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

    corpus = Corpus.from_folder(music)
    model, _ = load_weights(options[3])
    embeddings = [embed(music / name, model).astype(np.float64) for name in corpus.names]
    units = [(name, b) for name, rows in zip(corpus.names, embeddings, strict=True)
             for b in range(len(rows))]  # fmt: skip
    x = np.concatenate(embeddings)
    x /= np.sqrt((x**2).sum(axis=1, keepdims=True))
    cosines = x @ x[units.index(("Bolero/piece_02.mid", 5))]
    best = sorted(range(len(x)), key=lambda i: (-round(cosines[i], 12), i))[:4]
    assert rows == [
        [str(rank), f"{cosines[i]:.3f}", *units[i][0].split("/"), str(units[i][1]),
         f"0:{units[i][1] / 2:04.1f}"]  # at 120 beats a minute
        for rank, i in enumerate(best, start=1)
    ]  # fmt: skip
    assert rows[0][2:5] == ["Bolero", "piece_02.mid", "5"] and rows[0][1] == "1.000"

    heard = [onset_roll(out, 5 * i) for i in range(5)]  # one beat of silence after each
    np.testing.assert_array_equal(heard[0], onset_roll(query, 5))
    for roll, i in zip(heard[1:], best, strict=True):
        np.testing.assert_array_equal(roll, onset_roll(music / units[i][0], units[i][1]))
    markers = [m.text for m in mido.MidiFile(out, charset="utf-8").tracks[1] if m.type == "marker"]
    assert markers[0].endswith("piece_02.mid, beat 5")
    assert markers[1] == "1: Bolero/piece_02.mid, beat 5"


def test_the_second_search_reads_the_index(music, options, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))  # holds no index of another test
    query = music / "Adagio" / "piece_00.mid"
    first = ask(capsys, query, *options)
    (index,) = (cache_folder() / "indexes").glob("*.index")
    before = index.stat()
    assert ask(capsys, query, *options) == first
    assert index.stat().st_mtime_ns == before.st_mtime_ns
    # A damaged index is made again.
    index.write_bytes(index.read_bytes()[:5000])
    assert ask(capsys, query, *options) == first
    assert index.stat().st_size == before.st_size
    assert first["certified"] is True and first["searched"] == first["units"] == 9 * 9


def test_a_cache_that_cannot_be_written(music, options, tmp_path, capsys, monkeypatch):
    (tmp_path / "indexes").write_text("in the way")
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))
    status, out, err = call(capsys, music / "Adagio" / "piece_00.mid", *options)
    assert (status, err) == (0, "") and "embedded again next time" in out


def test_other_music_and_other_models_have_other_indexes(
    music, weights, other_weights, options, tmp_path, capsys
):
    query = music / "Adagio" / "piece_00.mid"
    less = shutil.copytree(music, tmp_path / "piano")
    (less / "Bolero" / "piece_00.mid").unlink()
    fewer = ask(capsys, query, "--in", less, "--model", weights)
    assert fewer["pieces"] == 8 and fewer["units"] == 8 * 9
    other = ask(capsys, query, "--in", music, "--model", other_weights)
    assert other["neighbours"] != ask(capsys, query, *options)["neighbours"]


def test_filters(music, options, tmp_path, capsys):
    inside = music / "Canzona" / "piece_02.mid"
    copied = write_midi(tmp_path / "song.mid", [(0, 480, 60)])
    shutil.copy(inside, copied)  # a piece is recognized by its notes, whatever its name
    for query in (inside, copied):
        found = ask(capsys, query, "--beat", 3, *options, "--other-piece", "-k", 72)
        assert found["searched"] == 8 * 9
        assert all(n["piece"] != "Canzona/piece_02.mid" for n in found["neighbours"])
        assert any(n["composer"] == "Canzona" for n in found["neighbours"])
        found = ask(capsys, query, "--beat", 3, *options, "--other-composer", "-k", 50)
        assert found["searched"] == 6 * 9
        assert {n["composer"] for n in found["neighbours"]} == {"Adagio", "Bolero"}

    notes = [(480 * i, 400, 50 + 3 * i) for i in range(8)]
    stranger = write_midi(tmp_path / "stranger.mid", notes)
    saved = tmp_path / "a.index"  # is kept, though the search is refused: it took the time
    words = *options, "--save", saved, "--other-composer"
    fails(capsys, 2, stranger, *words, ["--other-composer", stranger])
    assert saved.exists()
    status, out, _ = call(capsys, stranger, *options, "--other-piece")
    assert status == 0 and "is not among these pieces" in out
    namesake = write_midi(tmp_path / "Bolero" / "stranger.mid", notes)
    found = ask(capsys, namesake, *options, "--other-composer", "-k", 50)
    assert {n["composer"] for n in found["neighbours"]} == {"Adagio", "Canzona"}


def test_a_saved_index_needs_no_music(music, weights, other_weights, tmp_path, capsys):
    """The file contains the neighbours, their times and their notes."""
    copy, saved = shutil.copytree(music, tmp_path / "music"), tmp_path / "a.index"
    query = music / "Bolero" / "piece_01.mid"
    words = (query, "--beat", 2, "--other-piece", "--model", weights)
    first = ask(capsys, *words, "--in", copy, "--save", saved, "--out", tmp_path / "1.mid")
    shutil.rmtree(copy)
    second = ask(capsys, *words, "--in", saved, "--out", tmp_path / "2.mid")
    assert first["neighbours"] == second["neighbours"]
    assert first["neighbours"][0]["seconds"] == first["neighbours"][0]["beat"] / 2
    assert (tmp_path / "1.mid").read_bytes() == (tmp_path / "2.mid").read_bytes()
    fails(capsys, 2, query, "--in", saved, "--model", other_weights, [saved, "another model"])
    bare = tmp_path / "bare.index"
    Index(np.ones((30, 100), np.float32)).save(bare)
    model, _ = load_weights(weights)
    Index(np.ones((30, 100), np.float32), model=model).save(bare)
    fails(capsys, 2, query, "--in", bare, "--model", weights, [bare, "without its music"])
    saved.write_bytes(saved.read_bytes()[:3000])
    fails(capsys, 2, query, "--in", saved, "--model", weights, [saved, "not a readable index"])


def test_verify_reads_what_a_search_does_not(music, options, tmp_path, capsys, monkeypatch):
    """A saved index is checked as far as it is read: in full only with --verify."""
    monkeypatch.setattr(mapped, "LAZY", 0)  # as for a large index,
    monkeypatch.setattr(mapped, "BLOCK", 64)  # whose blocks hold few of its rows
    saved, query = tmp_path / "a.index", (music / "Bolero" / "piece_01.mid", *options[2:])
    last = ask(capsys, *query, "-k", 81, *options[:2], "--save", saved)["neighbours"][-1]
    found = ask(capsys, *query, "--in", saved, "-k", 1, "--verify")["neighbours"]
    loaded = Collection.load(saved).index
    rows = [loaded.labels.row(row) for row in range(81)]
    (far,) = (n for n, row in enumerate(rows) if row.items() <= last.items())
    data = bytearray(saved.read_bytes())
    data[data.index(loaded.embeddings[[far]].tobytes()) + 200] ^= 1
    saved.write_bytes(data)

    assert ask(capsys, *query, "--in", saved, "-k", 1)["neighbours"] == found
    for words in (["-k", 1, "--verify"], ["-k", 81]):
        fails(capsys, 2, *query, "--in", saved, *words, [saved, "damaged", "search ... --save"])
    monkeypatch.setattr(mapped, "LAZY", 1 << 26)  # a small one is always checked
    fails(capsys, 2, *query, "--in", saved, "-k", 1, [saved, "damaged", "search ... --save"])


def test_an_index_of_another_version_says_how_to_make_it_again(music, options, tmp_path, capsys):
    saved, query = tmp_path / "a.index", (music / "Bolero" / "piece_01.mid", *options[2:])
    Index(np.ones((3, 100), np.float32)).save(saved)
    later = saved.read_bytes().replace(b"index 2 ", b"index 3 ", 1)
    np.save(tmp_path / "former.npy", np.zeros(9, "u1"))  # how a file of the first version began
    for version, data in ((1, (tmp_path / "former.npy").read_bytes()), (3, later)):
        saved.write_bytes(data)
        parts = [saved, f"format {version}", "python -m tinyembed.search ... --save"]
        fails(capsys, 2, *query, "--in", saved, parts)


def test_a_unit_without_an_onset_is_neither_query_nor_neighbour(weights, tmp_path, capsys):
    music = tmp_path / "music"
    notes = [(480 * b, 400, 40 + b) for b in (0, 1, 2, 3, 10, 11, 12, 13)]  # rests in beats 4 to 9
    query = write_midi(music / "A" / "x.mid", notes)
    options = ("--in", music, "--model", weights)
    fails(capsys, 2, query, *options, "--beat", 5, ["--beat 5", query, "no note", "beat is 3"])
    found = ask(capsys, query, *options, "-k", 8)
    assert found["units"] == 8
    assert {n["beat"] for n in found["neighbours"]} == {0, 1, 2, 3, 7, 8, 9, 10}
    status, out, _ = call(capsys, query, *options)
    assert status == 0 and "note: 8 neighbours instead of 10: there are no more units" in out
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


def test_a_corpus_by_name(music, weights, tmp_path, capsys, monkeypatch):
    """A corpus that was downloaded before: its table names two files, and both exist."""
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(public_corpora, "TABLES", tmp_path)
    table = ["path\tsha256\tbytes"]
    files = {"Bach/a.mid": "Adagio/piece_00.mid", "Skrjabin/b.mid": "Bolero/piece_01.mid"}
    for path, source in files.items():
        there = public_corpora.folder_of("krueger") / "midis" / path
        there.parent.mkdir(parents=True)
        data = (music / source).read_bytes()
        there.write_bytes(data)
        table.append(f"midis/{path}\t{hashlib.sha256(data).hexdigest()}\t{len(data)}")
    (tmp_path / "krueger.tsv").write_text("\n".join(table) + "\n")
    query = music / "Bolero" / "piece_01.mid"
    found = ask(capsys, query, "--beat", 4, "--in", "krueger", "--model", weights, "-k", 1)
    assert found["pieces"] == 2 and found["neighbours"] == [
        {"rank": 1, "cosine": 1.0, "composer": "Scriabin", "piece": "Scriabin/b.mid", "beat": 4,
         "seconds": 2.0}
    ]  # fmt: skip
    words = ("--in", "krueger", "--model", weights, "--other-piece", "-k", 9)
    found = ask(capsys, query, *words)
    assert {n["composer"] for n in found["neighbours"]} == {"Bach"}


def test_all_neighbours_that_there_are(music, options, tmp_path, capsys):
    """Fewer than were asked for are given with a note, none at all is an error."""
    query = music / "Bolero" / "piece_02.mid"
    status, out, _ = call(capsys, query, *options, "-k", 82)
    assert status == 0 and "note: 81 neighbours instead of 82: there are no more units" in out
    assert "-k 82" in out.splitlines()[-1]
    found = ask(capsys, query, *options, "--other-piece", "-k", 100)
    assert len(found["neighbours"]) == found["searched"] == 72
    assert "instead of" not in call(capsys, query, *options, "-k", 81)[1]
    alone = write_midi(tmp_path / "alone" / "song.mid", [(480 * b, 480, 60) for b in range(12)])
    words = (alone, "--in", alone.parent, "--model", options[3])
    assert len(ask(capsys, *words)["neighbours"]) == 9
    fails(capsys, 2, *words, "--other-piece", ["no unit to compare with"])


def test_a_short_query_is_padded_with_a_note(options, tmp_path, capsys):
    short = write_midi(tmp_path / "short.mid", [(0, 480, 60), (480, 480, 64)])
    status, out, _ = call(capsys, short, *options)
    assert status == 0 and f"note: {short}: fewer than four beats" in out


def test_what_was_repaired_in_the_query_is_said(options, tmp_path, capsys):
    query = write_midi(tmp_path / "song.mid", [(480 * b, 480, 60) for b in range(8)])
    data = query.read_bytes()
    query.write_bytes(data[:10] + b"\0\x09" + data[12:])  # it has one track
    status, out, _ = call(capsys, query, *options)
    assert status == 0 and f"note: {query}: repaired: {read_midi(query).repairs[0]}\n" in out


def test_the_printed_command_works(music, options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    query = music / "Bolero" / "piece_02.mid"
    status, out, _ = call(capsys, query, *options, "--other-piece", "-k", 3)
    assert status == 0
    line = out.splitlines()[-1]
    words = line.removeprefix("Next: ").split()
    assert words[:3] == ["python", "-m", "tinyembed.search"]
    for _ in range(2):  # the second call replaces the file
        assert call(capsys, *words[3:])[0] == 0
        assert read_midi("neighbours.mid").n_beats == 20


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["QUERY", "--beat", 9], ["--beat 9", "QUERY", "0 to 8"]),
        (["QUERY", "--beat", -1], ["--beat"]),
        (["QUERY", "-k", 0], ["-k 0"]),
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
def test_bad_input(words, parts, music, options, capsys):
    query = music / "Bolero" / "piece_02.mid"
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


def test_rows_equal_those_of_embed(music, weights):
    model, _ = load_weights(weights)
    corpus = Corpus.from_folder(music)
    collection = Collection.of(corpus, model, progress=False)
    for n in (0, 7):
        rows = collection.index.embeddings[collection.index.labels.piece == n]
        np.testing.assert_array_equal(rows, embed(music / corpus.names[n], model))
        piece = read_midi(music / corpus.names[n])
        assert collection.pieces_like(piece) == [n]
        np.testing.assert_array_equal(corpus.piece(n).ticks, piece.ticks)


def test_killed_while_it_writes(music, options, tmp_path, capsys):
    """The old index stays whole until the new one is whole."""
    saved = tmp_path / "a.index"
    ask(capsys, music / "Adagio" / "piece_00.mid", *options, "--save", saved)
    before = saved.read_bytes()
    code = (
        "import os, sys, numpy as np\n"
        "from tinyembed.neighbours.index import Index\n"
        "index = Index(np.ones((30_000, 100), np.float32))\n"
        "for _ in sys.stdin:\n"
        "    writer = os.fork()\n"
        "    while writer == 0: index.save(sys.argv[1])\n"
        "    print(writer, flush=True)\n"
        "    print(os.waitpid(writer, 0)[1], flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(saved)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=ENVIRONMENT,
    ) as starter:  # fmt: skip
        for attempt in range(4):
            starter.stdin.write("\n")
            writer = int(starter.stdout.readline())
            time.sleep(0.01 + 0.03 * attempt)
            os.kill(writer, signal.SIGKILL)
            assert int(starter.stdout.readline()) == signal.SIGKILL  # it was still writing
            assert saved.read_bytes() == before or len(Index.load(saved)) == 30_000
