"""Folders of music: finding, reading, splitting, caching and counting."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from music import midi_file, write_corpus, write_midi

from tinyembed import corpus as corpus_command
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music import corpus as corpus_module
from tinyembed.music import reading
from tinyembed.music.corpus import Corpus
from tinyembed.music.folders import find_pieces
from tinyembed.music.midi import read_midi
from tinyembed.music.piece import Piece
from tinyembed.music.reading import read_pieces
from tinyembed.music.roll import piece_rolls
from tinyembed.music.splits import read_splits, seeded_split, validation_pieces
from tinyembed.storage import cache
from tinyembed.stores.sources import as_typed

ROOT = Path(__file__).resolve().parents[1]
NOTES = [(480 * beat, 480, 60 + beat % 5) for beat in range(8)]


def open_folder(path, **options):
    return Corpus.from_folder(path, progress=False, **options)


def tree(folder, *names, notes=NOTES):
    for i, name in enumerate(names):
        write_midi(folder / name, [(t + 20 * i, d, p) for t, d, p in notes])
    return folder


# What is in a folder


def test_one_subfolder_per_composer_at_any_depth(tmp_path):
    tree(tmp_path, "Bach/b.mid", "Bach/suites/one/a.MID", "Alkan/x.midi", "Alkan/y.Mid")
    (tmp_path / "Alkan" / "notes.txt").write_text("not music")
    (tmp_path / "Empty").mkdir()
    corpus = open_folder(tmp_path)
    assert corpus.names == ["Alkan/x.midi", "Alkan/y.Mid", "Bach/b.mid", "Bach/suites/one/a.MID"]
    assert corpus.composers == ["Alkan", "Bach"]
    assert corpus.piece_composer.tolist() == [0, 0, 1, 1]
    assert "no MIDI file and no score in the folder Empty" in corpus.notes


def test_a_flat_folder_is_one_class(tmp_path, monkeypatch):
    folder = tree(tmp_path / "Liszt", "a.mid", "b.mid")
    corpus = open_folder(folder)
    assert (corpus.composers, corpus.names) == (["Liszt"], ["Liszt/a.mid", "Liszt/b.mid"])
    monkeypatch.chdir(folder)
    assert open_folder(".").composers == ["Liszt"]


def test_files_beside_the_composers_folders_are_left_out(tmp_path):
    tree(tmp_path, "Bach/a.mid", "stray.mid")
    assert open_folder(tmp_path).left_out == [("stray.mid", "not in a composer's folder")]


def test_folders_with_nothing_to_read(tmp_path):
    (tmp_path / "file.mid").write_bytes(b"")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    for name, words in {
        "nowhere": "no such folder",
        "file.mid": "a file, not a folder",
        "empty": "no MIDI file and no score in it",
    }.items():
        with pytest.raises(InputError, match=words) as failure:
            open_folder(tmp_path / name)
        assert str(tmp_path / name) in str(failure.value)


def test_broken_files_are_left_out_with_reasons(tmp_path):
    tree(tmp_path, "Bach/good.mid")
    (tmp_path / "Bach" / "empty.mid").write_bytes(b"")
    (tmp_path / "Bach" / "text.mid").write_text("hello")
    midi_file(NOTES, meter=(6, 8)).save(tmp_path / "Bach" / "jig.mid")
    corpus = open_folder(tmp_path)
    assert corpus.names == ["Bach/good.mid"]
    assert [name for name, _ in corpus.left_out] == [
        "Bach/empty.mid",
        "Bach/jig.mid",
        "Bach/text.mid",
    ]
    assert [why.split()[0] for _, why in corpus.left_out] == ["empty", "a", "not"]
    assert open_folder(tmp_path, any_meter=True).names == ["Bach/good.mid", "Bach/jig.mid"]
    (tmp_path / "Bach" / "good.mid").write_bytes(b"")
    with pytest.raises(WorkError, match=r"not one of 4 files.*Bach/empty\.mid: empty file"):
        open_folder(tmp_path)


# Reading in parallel


def strange_reader(path):
    if path == "boom":
        raise ZeroDivisionError("no\nway")
    if path == "die":
        os._exit(1)
    if path == "stop":
        raise InputError("impossible")
    if path == "slow":
        Path("started").touch()
        time.sleep(60)
    if path == "signals":
        raise MusicError(str(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    if path.startswith("bad"):
        raise MusicError("out of tune")
    return Piece(np.array([int(path)], np.int32), np.array([60], np.uint8), 4)


def items_of(paths):
    return [("A", f"A/{path}", path) for path in paths]


PATHS = [str(n) for n in range(20)] + ["bad1", "boom", "20", "signals"]


@pytest.mark.parametrize("workers", [1, 2])
def test_reading_keeps_the_order_and_reports_failures(workers):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    pieces, left_out = read_pieces(items_of(PATHS), strange_reader, workers, progress=False)
    assert [name for _, name, _ in pieces] == [f"A/{n}" for n in range(21)]
    assert [piece.ticks.tolist() for _, _, piece in pieces] == [[n] for n in range(21)]
    boom = "unexpected ZeroDivisionError: no way"
    assert left_out[:2] == [("A/bad1", "out of tune"), ("A/boom", boom)]
    # Workers block Ctrl-C, from before they start; this process does not.
    (name, blocked), after = left_out[2], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert name == "A/signals" and after == before
    assert ("SIGINT" in blocked) == (workers > 1 or signal.SIGINT in before)


def test_parallel_reading_equals_serial(piano_folder, capfd):
    items, _, _ = find_pieces(piano_folder)
    for serial, parallel in zip(
        read_pieces(items, read_midi, 1)[0], read_pieces(items, read_midi, 2)[0], strict=True
    ):
        assert serial[:2] == parallel[:2]
        np.testing.assert_array_equal(serial[2].ticks, parallel[2].ticks)
        np.testing.assert_array_equal(serial[2].pitches, parallel[2].pitches)
    assert capfd.readouterr() == ("", "")  # no progress bar if the error stream is not a terminal


def test_processes_are_started_where_they_save_time(monkeypatch):
    monkeypatch.setattr(reading, "usable_cores", lambda: 8)
    for n_midi, n_scores, workers in (
        (200, 0, 1),
        (201, 0, 8),
        (0, 12, 1),
        (0, 13, 8),
        (20, 12, 8),
    ):
        assert reading._enough_workers(["a.mid"] * n_midi + ["b.MXL"] * n_scores) == workers


@pytest.mark.parametrize("workers", [1, 2])
def test_an_input_error_ends_the_reading(workers):
    with pytest.raises(InputError, match="impossible"):
        read_pieces(items_of(["stop"] + ["1"] * 20), strange_reader, workers, progress=False)


def test_a_process_that_dies_is_an_error_not_a_hang():
    with pytest.raises(WorkError, match="died"):
        read_pieces(items_of(["die"] + ["1"] * 20), strange_reader, 2, progress=False)


def start(code, cwd, **options):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, *code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_script_without_a_main_guard_runs_once(piano_folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('hello')\n"
        "from tinyembed.music.corpus import Corpus\n"
        f"print(Corpus.from_folder({str(piano_folder)!r}, cache=False, workers=2).n_pieces)\n"
    )
    process = start([str(script)], tmp_path)
    assert process.communicate(timeout=60) == ("hello\n18\n", "")


def test_ctrl_c_ends_all_processes_at_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import signal\n"  # where the tests run in the background, Ctrl-C is ignored and inherited
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from test_corpus import items_of, strange_reader\n"
        "from tinyembed.cli.running import run\n"
        "from tinyembed.music.reading import read_pieces\n"
        "run(lambda: read_pieces(items_of(['slow'] * 40), strange_reader, workers=2))\n"
    )
    process = start([str(script)], tmp_path, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and workers
    try:
        out, err = process.communicate(timeout=30)  # and for the workers, which hold the pipes
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert time.monotonic() - began < 10
    assert (out, err, process.returncode) == ("", "tinyembed: interrupted\n", 130)


# Units


@pytest.fixture
def small():
    """Three pieces of 6, 2 (padded to 4) and 5 beats."""
    pieces = [
        Piece(np.array([0, 30, 143], np.int32), np.array([60, 61, 100], np.uint8), 6, 1.0),
        Piece(np.array([5], np.int32), np.array([30], np.uint8), 2, 0.5),
        Piece(np.array([96, 97], np.int32), np.array([70, 71], np.uint8), 5, 0.0),
    ]
    return Corpus.from_pieces(
        [(c, f"{c}/{i}", p) for i, (c, p) in enumerate(zip("BAB", pieces, strict=True))]
    )


def test_pieces_are_concatenated(small):
    assert small.piece_beats.tolist() == [0, 6, 10, 15]
    assert small.ticks.tolist() == [0, 30, 143, 149, 336, 337]
    assert small.beat_start.tolist() == [0, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 6]
    assert small.beat_piece.tolist() == [0] * 6 + [1] * 4 + [2] * 5
    assert small.composers == ["A", "B"] and small.piece_composer.tolist() == [1, 0, 1]
    assert small.on_grid == pytest.approx((3 * 1 + 1 * 0.5 + 2 * 0) / 6)
    types = {small.ticks.dtype, small.beat_start.dtype, small.piece_beats.dtype}
    assert types == {np.dtype(np.int32)} and small.pitches.dtype == np.uint8
    assert small.nbytes >= 6 * 5 + 16 * 4


def test_units_never_cross_into_the_next_piece(small):
    assert small.unit_beats().tolist() == [0, 1, 2, 6, 10, 11]
    assert small.unit_beats([2, 1]).tolist() == [10, 11, 6]
    assert small.unit_beats(np.array([True, False, True])).tolist() == [0, 1, 2, 10, 11]
    assert small.unit_beats(np.array([], int)).tolist() == []
    assert small.has_onset([0, 2, 6, 10, 11]).tolist() == [True, True, True, False, True]
    assert small.composer_of([0, 6, 10]).tolist() == [1, 0, 1]


def test_neighbours_are_in_the_same_piece():
    twelve = Piece(np.array([0], np.int32), np.array([60], np.uint8), 12)
    corpus = Corpus.from_pieces([("A", "A/1", twelve), ("A", "A/2", twelve)])
    beats = np.array([0, 3, 4, 5, 8, 12, 16, 20])
    assert corpus.has_neighbour(beats, 4).tolist() == [1, 1, 1, 0, 0, 1, 1, 0]
    assert corpus.has_neighbour(beats, -4).tolist() == [0, 0, 1, 1, 1, 0, 1, 1]
    assert corpus.has_neighbour(beats, 0).all()
    assert corpus.has_neighbour(beats, 8).tolist() == [1, 0, 0, 0, 0, 1, 0, 0]


def test_rolls_equal_those_of_the_single_pieces(piano_folder):
    corpus = open_folder(piano_folder)
    items, _, _ = find_pieces(piano_folder)
    for p in (0, 7, 17):
        beats = corpus.unit_beats([p])
        expected = piece_rolls(read_midi(items[p][2]), key=-3)
        np.testing.assert_array_equal(corpus.rolls(beats, -3), expected)
    mixed = corpus.rolls(beats[:2], [5, -3], np.uint8)
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed[1], expected[1])


# The cache


@pytest.fixture
def counted(monkeypatch):
    """The number of files read, not cached, per call."""
    read = []

    def count_and_read(items, *rest):
        read.append(len(items))
        return read_pieces(items, *rest)

    monkeypatch.setattr(corpus_module, "read_pieces", count_and_read)
    return read


@pytest.fixture
def cache_here(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


def same(a, b):
    assert (a.names, a.composers, a.left_out) == (b.names, b.composers, b.left_out)
    for name in ("ticks", "pitches", "beat_start", "piece_beats", "piece_on_grid"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype


def test_the_second_reading_uses_the_cache(tmp_path, cache_here, counted):
    folder = write_corpus(tmp_path / "music", composers=2, pieces=2)
    (folder / "Adagio" / "bad.mid").write_bytes(b"bad")
    first, second = open_folder(folder), open_folder(folder)
    assert counted == [5]
    same(first, second)
    assert second.left_out == [("Adagio/bad.mid", "not a MIDI file")]
    assert len(list(cache_here.iterdir())) == 1  # and no temporary file beside it

    (folder / "Adagio" / "bad.mid").unlink()
    assert open_folder(folder).left_out == []
    os.utime(folder / "Adagio" / "piece_00.mid", ns=(1, 1))
    open_folder(folder)
    (folder / "Adagio" / "piece_00.mid").rename(folder / "Adagio" / "other.mid")
    assert "Adagio/other.mid" in open_folder(folder).names
    assert counted == [5, 4, 4, 4]
    assert len(list(cache_here.iterdir())) == 1  # an outdated file is replaced
    open_folder(folder, any_meter=True)
    assert counted == [5, 4, 4, 4, 4]
    open_folder(folder, cache=False)
    assert counted == [5, 4, 4, 4, 4, 4]


def test_the_split_is_not_cached(tmp_path, cache_here, counted):
    folder = write_corpus(tmp_path / "music", composers=1, pieces=12, beats=4)
    masks = {tuple(open_folder(folder, seed=seed).piece_is_test) for seed in range(5)}
    assert len(masks) > 1 and counted == [12]
    assert all(sum(mask) == 2 for mask in masks)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "pickle"])
def test_a_damaged_cache_is_replaced(tmp_path, cache_here, counted, damage):
    folder = write_corpus(tmp_path / "music", composers=1, pieces=2)
    first = open_folder(folder)
    (file,) = cache_here.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        with np.load(file) as saved:
            cache.save(file, str(saved["key"]), {"ticks": np.zeros(3)})
    else:
        with np.load(file) as saved:
            arrays = dict(saved)
        np.savez(file, **arrays | {"ticks": np.array([{}], object)})
    same(first, open_folder(folder))
    open_folder(folder)
    assert counted == [2, 2]


def test_an_unwritable_cache_is_only_reported(tmp_path, monkeypatch, counted):
    folder = write_corpus(tmp_path / "music", composers=1, pieces=2)
    (tmp_path / "file").write_text("where the cache's folder should be")
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        corpus = open_folder(folder)
        assert any("no cache in" in note for note in corpus.notes)
    assert counted == [2, 2]


def test_unopened_files_are_not_cached(tmp_path, cache_here, counted, monkeypatch):
    folder = write_corpus(tmp_path / "music", composers=1, pieces=2)

    def locked(path, any_meter):
        raise MusicError("cannot be read: Permission denied") if "00" in path else MusicError("x")

    monkeypatch.setattr(corpus_module, "read_file", locked)
    with pytest.raises(WorkError):
        open_folder(folder)
    assert not cache_here.exists()


def test_a_full_disk_leaves_no_partial_file(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.npz"
    assert cache.save(path, "key", {"x": np.arange(3)}) is None
    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in cache.save(path, "key", {"x": np.arange(4)})
    assert os.listdir(tmp_path) == ["a.npz"]
    np.testing.assert_array_equal(cache.load(path, "key")["x"], [0, 1, 2])
    assert cache.load(path, "another key") is None


# Splits


def write_splits(path, *rows, header="composer\tfile\tsplit"):
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", "utf-8")
    return path


def held_out(corpus):
    return [n for n, held in zip(corpus.names, corpus.piece_is_test, strict=True) if held]


@pytest.mark.parametrize("place", ["data/splits.tsv", "splits.tsv", "given.tsv"])
def test_a_table_of_splits(tmp_path, place):
    folder = tree(tmp_path / "data", "A/1.mid", "A/2.mid", "A/sub/3.mid", "B/1.mid")
    rows = [("A", "2.mid", "test"), ("A", "sub/3.mid", "test"), ("A", "1.mid", "train")]
    gone = [("Čiurlionis", f"{n}.mid", "test") for n in range(11)]
    path = write_splits(tmp_path / place, *rows, *gone)
    corpus = open_folder(folder, splits=path if "given" in place else None)
    assert held_out(corpus) == ["A/2.mid", "A/sub/3.mid"]
    notes = "\n".join(corpus.notes)
    first = ", ".join(f"Čiurlionis/{n}.mid" for n in range(8))
    assert f"{Path(place).name} names files that are not there: {first} and 3 more" in notes
    assert "not in " + Path(place).name + ", so for training: B/1.mid" in notes


def test_an_unusable_file_is_not_counted_as_missing(tmp_path):
    tree(tmp_path, "A/1.mid")
    (tmp_path / "A" / "2.mid").write_bytes(b"")
    write_splits(tmp_path / "splits.tsv", ("A", "1.mid", "train"), ("A", "2.mid", "test"))
    assert not any("not there" in note for note in open_folder(tmp_path).notes)


def test_splits_name_a_flat_folder_by_its_own_name(tmp_path):
    folder = tree(tmp_path / "Liszt", "a.mid", "b.mid")
    write_splits(folder / "splits.tsv", ("Liszt", "b.mid", "test"))
    assert held_out(open_folder(folder)) == ["Liszt/b.mid"]


@pytest.mark.parametrize(
    "text", ["something\telse\n1\t2\n", "composer\tfile\tsplit\nZ\tz.mid\tx\n"]
)
def test_an_unrelated_table_beside_the_folder_is_ignored(tmp_path, text):
    folder = tree(tmp_path / "data", *(f"A/{i}.mid" for i in range(4)))
    (tmp_path / "splits.tsv").write_text(text)
    corpus = open_folder(folder)
    assert corpus.piece_is_test.sum() == 2
    assert corpus.notes[-1].startswith("no splits.tsv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: no column composer or file or split"),
        ("composer,file,split\nA,1.mid,test\n", "line 1: no column .*tabs"),
        ("composer\tfile\nA\t1.mid\n", "line 1: no column split"),
        ("composer\tfile\tsplit\n\nA\t1.mid\tdev\n", "line 3: the split is 'dev'"),
        ("composer\tfile\tsplit\nA\t1.mid\n", "line 2: 2 columns of 3"),
        (
            "composer\tfile\tsplit\nA\t1.mid\ttest\nA\t1.mid\ttest\nA\t1.mid\ttrain\n",
            "line 4: A/1.mid is for both",
        ),
    ],
)
def test_bad_tables_name_file_and_line(tmp_path, text, words):
    path = tree(tmp_path, "A/1.mid") / "splits.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as failure:
        open_folder(tmp_path)
    assert str(path) in str(failure.value)


def test_tables_as_editors_save_them(tmp_path):
    path = tmp_path / "splits.tsv"
    path.write_bytes("\ufeffsplit\tfile\tmore\tcomposer\r\ntest\ta b.mid\t\tDvořák\r\n".encode())
    assert read_splits(path) == {"Dvořák/a b.mid": True}
    path.write_bytes(b"composer\tfile\tsplit\n\xff\tx\ttest\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_splits(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_splits(tmp_path / "nowhere.tsv")


def test_the_seeded_split_holds_out_pieces_of_each_composer():
    sizes = {"A": 1, "B": 3, "C": 4, "D": 15, "E": 23, "F": 61}
    composers = [c for c, n in sizes.items() for _ in range(n)]
    names = [f"{c}/{i}" for i, c in enumerate(composers)]
    is_test, notes = seeded_split(names, composers, seed=3)
    held = {c: int(is_test[np.array(composers) == c].sum()) for c in sizes}
    assert held == {"A": 0, "B": 0, "C": 2, "D": 2, "E": 3, "F": 8}
    assert notes == ["fewer than 4 pieces, so all for training: A (1), B (3)"]
    again, _ = seeded_split(names, composers, seed=3)
    other, _ = seeded_split(names, composers, seed=4)
    assert (is_test == again).all() and (is_test != other).any()


def corpus_with(sizes, tests=()):
    piece = Piece(np.array([0], np.int32), np.array([60], np.uint8), 4)
    pieces = [(f"C{c}", f"C{c}/{i}", piece) for c, n in enumerate(sizes) for i in range(n)]
    corpus = Corpus.from_pieces(pieces)
    corpus.piece_is_test[list(tests)] = True
    return corpus


def test_validation_takes_a_tenth_spread_over_composers():
    corpus = corpus_with([40, 30, 30], tests=range(10))
    chosen = validation_pieces(corpus, seed=1)
    assert len(chosen) == 9 and len(set(chosen)) == 9 and (np.diff(chosen) > 0).all()
    assert not corpus.piece_is_test[chosen].any()
    assert np.bincount(corpus.piece_composer[chosen]).tolist() == [3, 3, 3]
    assert validation_pieces(corpus, seed=1).tolist() == chosen.tolist()
    assert validation_pieces(corpus, seed=2).tolist() != chosen.tolist()


@pytest.mark.parametrize(
    "sizes", [[2], [3], [1, 1], [1, 2], [1] * 30, [2] * 12, [2, 1, 2], [1, 1, 2]]
)
def test_validation_leaves_pieces_for_training(sizes):
    for seed in range(20):
        corpus = corpus_with(sizes)
        chosen = validation_pieces(corpus, seed)
        assert 1 <= len(chosen) < sum(sizes)
        left = np.bincount(np.delete(corpus.piece_composer, chosen), minlength=len(sizes))
        if max(sizes) > 1:
            assert left.min() > 0


def test_validation_needs_two_training_pieces():
    with pytest.raises(InputError, match="it takes two"):
        validation_pieces(corpus_with([1]))


# The command


@pytest.fixture
def command(capsys):
    """Runs the command in this process. Returns its exit status and what it printed."""

    def run(*arguments):
        status = exit_status(lambda: corpus_command.main([*map(str, arguments)]))
        return status, *capsys.readouterr()

    return run


def test_the_command_prints_one_object(tmp_path, command):
    folder = write_corpus(tmp_path / "music", composers=2, pieces=5, beats=12)
    (folder / "Bolero" / "bad.mid").write_bytes(b"MThd")
    status, out, err = command(folder, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    corpus = open_folder(folder)
    for split, mask in (("train", ~corpus.piece_is_test), ("test", corpus.piece_is_test)):
        rolls = [corpus.rolls(corpus.unit_beats(mask), key) for key in range(-5, 7)]
        unique = {roll.tobytes() for key in rolls for roll in key if roll.any()}
        assert found["pieces"][split] == mask.sum()
        assert found["units"][split] == sum(roll.any() for roll in rolls[0])
        assert found["unique_12_keys"][split] == len(unique)
    assert found["pieces"] == {"train": 6, "test": 4}
    assert [entry["file"] for entry in found["left_out"]] == ["Bolero/bad.mid"]
    assert "truncated" in found["left_out"][0]["reason"]
    assert found["on_grid"] == 1.0


def test_the_command_prints_table_1(tmp_path):
    folder = write_corpus(tmp_path / "some music", composers=2, pieces=5, beats=12)
    (folder / "Adagio" / "bad.mid").write_bytes(b"")
    off = [(7 + 480 * i, 100, 60) for i in range(200)]
    write_midi(folder / "Adagio" / "played.mid", off)
    words = ["-m", "tinyembed.corpus", "--data", str(folder), "--seed", "4"]
    process = start(words, ROOT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[1:4] == [["Adagio", "4", "2"], ["Bolero", "3", "2"], ["all", "7", "4"]]
    assert "Adagio/bad.mid: empty file" in out
    assert "0.0%  Adagio/played.mid" in out
    assert "warning" in out and "Performed MIDI" in out
    last = out.splitlines()[-1]
    assert last == f"Next: python -m tinyembed.train --data '{as_typed(folder)}' --seed 4"


def test_music_on_the_grid_gets_no_warning(piano_folder, command):
    status, out, _ = command(piano_folder)
    assert status == 0 and "warning" not in out and "100.0% of the onsets" in out


def test_the_command_fails_with_one_line(tmp_path, command):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.mid").write_bytes(b"x")
    for arguments, status, words in [
        ([tmp_path / "nowhere"], 2, "no such folder"),
        ([broken], 1, "broken/a.mid: not a MIDI file"),
        ([broken, "--data", broken], 2, "given twice"),
        ([broken, "--splits", tmp_path / "none.tsv", "--json"], 1, "not one of 1 files"),
        ([broken, "--colour"], 2, "--colour"),
        ([broken, "--seed", "x"], 2, "'x'"),
    ]:
        found, out, err = command(*arguments)
        assert (found, out) == (status, "")
        assert err.startswith("tinyembed: ") and err.count("\n") == 1 and words in err


def test_the_real_corpus(shared_corpus, tmp_path, cache_here):
    """A few of its composers, as links, with a splits.tsv beside them; and the cache's time."""
    folder = tmp_path / "piano"
    folder.mkdir()
    for composer in ("Ravel", "Borodin", "Galuppi"):
        (folder / composer).symlink_to(shared_corpus / "piano" / composer)
    (tmp_path / "splits.tsv").write_text((shared_corpus / "splits.tsv").read_text())
    corpus = open_folder(folder)
    assert np.bincount(corpus.piece_composer[~corpus.piece_is_test]).tolist() == [4, 1, 2]
    assert np.bincount(corpus.piece_composer[corpus.piece_is_test]).tolist() == [2, 1, 2]
    assert corpus.left_out == []
    began = time.perf_counter()
    same(corpus, open_folder(folder))
    assert time.perf_counter() - began < 0.3
