"""Stores: large collections on disk. Real processes build them, and are killed."""

import csv
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
from hypothesis import given, settings
from hypothesis import strategies as st
from music import midi_file, write_corpus, write_midi

from tinyembed import corpus as corpus_command
from tinyembed import search
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.records import read_record, write_record
from tinyembed.storage.text import printable
from tinyembed.stores import large, unique
from tinyembed.stores.journal import Journal
from tinyembed.stores.plan import make_plan, open_plan
from tinyembed.stores.same import unit_numbers
from tinyembed.stores.shards import KIND, Shard
from tinyembed.stores.sources import open_corpus
from tinyembed.stores.store import Store, is_store
from tinyembed.stores.tasks import (
    blame,
    is_done,
    journal_file,
    packed,
    read_task,
    shard_file,
    unpacked,
)

HERE = Path(__file__).resolve().parents[1]
BUILD = [sys.executable, "-m", "tinyembed.corpus", "build"]
QUICK = {"OPENBLAS_NUM_THREADS": "1", "TINYEMBED_BACKEND": "cpu"}


def build(*words, status=0):
    assert exit_status(lambda: corpus_command.main(["build", *map(str, words)])) == status


def start(*words, **more):
    return subprocess.Popen(
        [*BUILD, *map(str, words)], cwd=HERE, env={**os.environ, **QUICK}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def left_out(folder):
    with open(folder / "left_out.tsv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, delimiter="\t")
    assert head == ["file", "reason"]
    return dict(rows)


def all_pieces(store):
    return {name: piece for shard in store.shards for _, name, piece, _ in shard.pieces()}


@pytest.fixture(scope="module")
def store(piano_folder, tmp_path_factory):
    """A store of 18 pieces in shards of five. Not to be written to."""
    out = tmp_path_factory.mktemp("stores") / "store"
    build(piano_folder, "-o", out, "--files-per-task", 5, "--json")
    return out


# What a store holds


def test_it_holds_what_the_folder_holds(piano_folder, store):
    corpus = Corpus.from_folder(piano_folder, progress=False)
    found = open_corpus(store)
    assert is_store(store) and not is_store(piano_folder) and not is_store(None)
    assert found.names == corpus.names and found.composers == corpus.composers
    for name in ("ticks", "pitches", "beat_start", "piece_beats", "piece_composer"):
        np.testing.assert_array_equal(getattr(found, name), getattr(corpus, name))
    np.testing.assert_array_equal(found.piece_is_test, corpus.piece_is_test)
    assert len(Store.open(store).shards) == 4


notes = st.lists(
    st.tuples(st.integers(0, 24 * 9 - 1), st.integers(50, 62)), max_size=25, unique=True
)


@given(music=st.lists(notes, min_size=1, max_size=3), copied=st.integers(-4, 4))
@settings(deadline=None)
def test_equal_numbers_mean_equal_notes_in_any_key(music, copied):
    music = [*music, [(t, p + copied) for t, p in music[0]]]
    pieces = [("A", f"A/{n}", as_piece(notes)) for n, notes in enumerate(music)]
    corpus = Corpus.from_pieces(pieces)
    beats = corpus.unit_beats()
    numbers = unit_numbers(corpus)[beats]
    expected = [canonical(corpus, beat) for beat in beats]
    for i in range(len(beats)):
        for j in range(i):
            assert (numbers[i] == numbers[j]) == (expected[i] == expected[j])


def as_piece(notes):
    ticks, pitches = np.array(sorted(notes), np.int32).reshape(-1, 2).T
    return Piece(ticks, pitches.astype(np.uint8), 9)


def canonical(corpus, beat):
    """The notes of a unit, the slow way: what time it is, and how far above the lowest pitch."""
    inside = (corpus.ticks >= 24 * beat) & (corpus.ticks < 24 * (beat + 4))
    ticks, pitches = corpus.ticks[inside] - 24 * beat, corpus.pitches[inside].astype(int)
    lowest = pitches.min(initial=128)
    return frozenset(zip(ticks.tolist(), (pitches - lowest).tolist(), strict=True))


@pytest.mark.parametrize("at_once", [1_000_000, 7])
def test_what_occurs_again_is_left_out(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(unique, "AT_ONCE", at_once)
    tune = [(480 * n, 400, 60 + 3 * n % 14) for n in range(12)]
    changed = [*tune[:-1], (480 * 11, 400, 70)]
    write_midi(tmp_path / "in/b/tune.mid", tune)
    write_midi(tmp_path / "in/a/higher.mid", [(t, d, p + 5) for t, d, p in tune])
    write_midi(tmp_path / "in/c/later.mid", [(t + 960, d, p) for t, d, p in tune])
    write_midi(tmp_path / "in/c/changed.mid", changed)
    write_midi(tmp_path / "in/c/rest.mid", [(480 * n, 400, 60 + n) for n in (0, 1, 12, 13)])
    (tmp_path / "in/c/broken.mid").write_bytes(b"MThd" + bytes(20))
    build(tmp_path / "in", "-o", tmp_path / "out", "--files-per-task", 2)
    reasons = left_out(tmp_path / "out")
    assert reasons.keys() == {"b/tune.mid", "c/later.mid", "c/broken.mid"}
    assert reasons["b/tune.mid"] == reasons["c/later.mid"] == "the same music as a/higher.mid"
    store = Store.open(tmp_path / "out")
    assert all_pieces(store).keys() == {"a/higher.mid", "c/changed.mid", "c/rest.mid"}
    seen, expected = set(), {}
    for shard in store.shards:
        for _, name, piece, kept in shard.pieces():
            corpus = Corpus.from_pieces([("x", name, piece)])
            found = [canonical(corpus, beat) for beat in corpus.unit_beats()]
            expected[name] = [bool(unit) and not (unit in seen or seen.add(unit)) for unit in found]
            assert kept.tolist() == expected[name]
    assert frozenset() in found  # silent, in c/rest.mid
    assert store.n_units == sum(map(sum, expected.values())) < sum(map(len, expected.values()))


def test_sources_are_folders_files_and_lists(tmp_path, capsys):
    write_corpus(tmp_path / "one/two", composers=2, pieces=1)
    single = write_midi(tmp_path / "single.mid", [(480 * n, 400, 60 + n) for n in range(9)])
    (tmp_path / "one/list.txt").write_text("two/Bolero/piece_00.mid\nnothing/there.mid\n")
    build(tmp_path / "one/two", single, tmp_path / "one/list.txt", "-o", tmp_path / "out")
    assert "4 of 5 files" not in (said := capsys.readouterr().out)
    assert "Next: python -m tinyembed.train --data" in said
    store = Store.open(tmp_path / "out")
    single_name = f"{tmp_path.name}/single.mid"
    assert set(all_pieces(store)) == {"Adagio/piece_00.mid", "Bolero/piece_00.mid", single_name}
    assert left_out(tmp_path / "out") == {
        "two/Bolero/piece_00.mid": "the same music as Bolero/piece_00.mid",
        "nothing/there.mid": "no such file",
    }
    assert store.composers == sorted(["Adagio", "Bolero", printable(tmp_path.name)])


# Journals


@given(
    records=st.lists(st.binary(max_size=30), max_size=6), cut=st.integers(0, 200),
    damaged=st.none() | st.integers(0, 10**6),
)  # fmt: skip
@settings(deadline=None)
def test_a_journal_gives_back_whole_records_from_the_first_on(
    tmp_path_factory, records, cut, damaged
):
    path = tmp_path_factory.mktemp("journal") / "a.journal"
    journal = Journal(path)
    for record in records:
        journal.append(record)
    journal.close()
    data = bytearray(path.read_bytes())
    if damaged is not None and data:
        data[damaged % len(data)] ^= 1 + damaged % 255
    path.write_bytes(data[: len(data) - min(cut, len(data))])
    journal = Journal(path)
    found = list(journal.records())
    assert found == records[: len(found)] and journal.count == len(found)
    if not cut and damaged is None:
        assert found == records
    journal.append(b"more")
    assert [*journal.records()] == [*found, b"more"]
    journal.close()


@given(notes=notes, beats=st.integers(9, 12), repairs=st.lists(st.text(max_size=9), max_size=2))
@settings(deadline=None)
def test_a_record_is_the_piece(notes, beats, repairs):
    piece = as_piece(notes)
    piece = Piece(piece.ticks, piece.pitches, beats, 0.1, (), tuple(repairs))
    again = unpacked(packed(piece))
    np.testing.assert_array_equal(again.ticks, piece.ticks)
    np.testing.assert_array_equal(again.pitches, piece.pitches)
    assert (again.n_beats, again.on_grid, again.repairs) == (beats, 0.1, tuple(repairs))
    assert unpacked(packed("a reason\nof two lines")) == "a reason\nof two lines"


def test_a_record_that_does_not_fit_is_not_there(tmp_path):
    """Not in part either, so that the next one can be added where there is room again."""
    journal, limits = Journal(tmp_path / "a.journal"), resource.getrlimit(resource.RLIMIT_FSIZE)
    journal.append(b"first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*a\.journal"):
            journal.append(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.append(b"second")
    assert [*journal.records()] == [b"first", b"second"] and journal.count == 2
    journal.close()
    again = Journal(tmp_path / "a.journal")
    assert [*again.records()] == [b"first", b"second"]
    again.close()


def test_two_processes_do_not_read_the_same_files(tmp_path):
    journal = Journal(tmp_path / "a.journal")
    with pytest.raises(InputError, match="another process is reading these files"):
        Journal(tmp_path / "a.journal")
    journal.close()
    Journal(tmp_path / "a.journal").close()


# Kills


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """400 files in two tasks, which take a process more than a second."""
    folder = tmp_path_factory.mktemp("many") / "in"
    write_corpus(folder, composers=3, pieces=2, beats=200)
    originals = sorted(folder.glob("*/*.mid"))
    for n in range(394):
        path = folder / f"more{n % 3}" / f"{n:03}.mid"
        path.parent.mkdir(exist_ok=True)
        midi_file([(480 * i, 400, 40 + (i * (n + 3) + n) % 40) for i in range(120)]).save(path)
    assert originals
    return folder


def known(out):
    """How many files the journals know."""
    count = 0
    for path in (out / "shards").glob("*.journal"):
        with open(path, "rb") as file:
            while head := file.read(8):
                size = int.from_bytes(head[:4], "little")
                count += len(head) == 8 and len(file.read(size)) == size
    return count


def wait_for(out, n, running):
    end = time.monotonic() + 60
    while known(out) < n:
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_build_goes_on_and_reads_no_file_twice(many, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(many, source)
    words = source, "-o", out, "--files-per-task", 200, "--workers", 1
    expected = tmp_path / "expected"
    build(source, "-o", expected, "--files-per-task", 200, "--json")
    running = start(*words)
    wait_for(out, 40, running)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    time.sleep(0.2)  # its worker ends too
    n = known(out)
    assert 40 <= n < 400 and not is_finished(out)
    lines = (out / "files.txt").read_text().splitlines()
    for line in lines[:n]:  # what is gone cannot be read again
        os.unlink(json.loads(line)[2])
    build(*words)
    assert known(out) == 0 and not list((out / "shards").glob("*.journal"))
    for path in expected.rglob("*"):
        if path.suffix in (".shard", ".kept", ".tsv"):
            assert (out / path.relative_to(expected)).read_bytes() == path.read_bytes()


def is_finished(out):
    return (out / "store.json").exists()


def workers_of(process):
    """The processes that read files: not the one that Python starts to watch over them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if parent == str(process) and "spawn_main" in command:
            found.append(int(folder.name))
    return found


def test_a_worker_that_dies_costs_one_file(many, tmp_path):
    out = tmp_path / "out"
    running = start(many, "-o", out, "--files-per-task", 200, "--workers", 1)
    deaths = 0
    for n in (20, 120):
        wait_for(out, n, running)
        while len(workers := workers_of(running.pid)) != 1:  # one follows another
            assert running.poll() is None
            time.sleep(0.01)
        os.kill(workers[0], signal.SIGKILL)
        deaths += 1
    _, errors = running.communicate(timeout=100)
    assert running.returncode == 0, errors
    lost = {f: r for f, r in left_out(out).items() if "same music as" not in r}
    assert len(lost) <= deaths and set(lost.values()) <= {
        "the process that read it died (signal 9)"
    }
    assert len(all_pieces(Store.open(out))) + len(left_out(out)) == 400


def test_a_full_disk_loses_nothing(many, tmp_path):
    out = tmp_path / "out"
    words = many, "-o", out, "--files-per-task", 200, "--workers", 1

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, resource.RLIM_INFINITY))

    running = start(*words, preexec_fn=limit)
    _, errors = running.communicate(timeout=100)
    (line,) = errors.strip().splitlines()
    assert running.returncode == 1 and ".journal: File too large" in line
    assert (n := known(out)) > 50
    running = start(*words)
    _, errors = running.communicate(timeout=100)
    assert running.returncode == 0, errors
    assert len(all_pieces(Store.open(out))) + len(left_out(out)) == 400 > n


def test_the_file_that_a_worker_died_with_is_left_out(piano_folder, tmp_path):
    plan = make_plan(tmp_path / "out", [piano_folder], files_per_task=18, progress=False)
    (tmp_path / "out/shards").mkdir()
    journal = Journal(journal_file(plan.folder, 0))
    journal.append(packed(as_piece([(0, 60)])))
    journal.close()
    assert blame(plan, 0, "it died")
    told = []
    read_task(plan, 0, told.append)
    shard = Shard(shard_file(plan.folder, 0))
    assert told == list(range(2, 19)) and shard.n_pieces == 17
    assert shard.left_out == [(plan.items(0)[1][1], "it died")]


def test_no_file_is_blamed_where_all_were_read(piano_folder, tmp_path):
    """A worker may also die while it makes the shard."""
    plan = make_plan(tmp_path / "out", [piano_folder], files_per_task=18, progress=False)
    (tmp_path / "out/shards").mkdir()
    journal = Journal(journal_file(plan.folder, 0))
    for _ in plan.items(0):
        journal.append(packed(as_piece([(0, 60)])))
    journal.close()
    assert not blame(plan, 0, "it died")
    read_task(plan, 0)
    shard = Shard(shard_file(plan.folder, 0))
    assert (shard.n_pieces, shard.left_out) == (18, [])


def test_a_kill_between_the_shard_and_the_end_of_its_journal(store, tmp_path):
    out = tmp_path / "store"
    shutil.copytree(store, out)
    plan = open_plan(out)
    before = shard_file(out, 2).read_bytes()
    Journal(journal_file(out, 2)).close()
    assert not is_done(out, 2)
    build(*plan.sources, "-o", out, "--files-per-task", 5, "--json")
    assert is_done(out, 2) and shard_file(out, 2).read_bytes() == before


# Shares of several jobs


def test_shares_that_are_joined_are_one_build(piano_folder, store, tmp_path, capsys):
    out = tmp_path / "out"
    words = piano_folder, "-o", out, "--files-per-task", 5
    for share in ("2/3", "1/3"):
        build(*words, "--shard", share)
        assert "when all are, python -m tinyembed.corpus join" in capsys.readouterr().out
        assert exit_status(lambda: open_corpus(out)) == 2
        assert "not finished" in capsys.readouterr().err
    assert exit_status(lambda: corpus_command.main(["join", str(out)])) == 2
    line = capsys.readouterr().err
    assert "00002.shard: missing; run the command that reads its files again" in line
    build(*words, "--shard", "3/3")  # the last one joins
    assert "18 pieces of 3 composers" in capsys.readouterr().out
    for path in store.rglob("*.*"):
        if path.name != "plan.json":
            assert (out / path.relative_to(store)).read_bytes() == path.read_bytes()
    assert corpus_command.main(["join", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"] == 18


# What is wrong


@pytest.mark.parametrize(
    "words, line",
    [
        (["nowhere", "-o", "out"], "nowhere: no such file"),
        (["empty", "-o", "out"], "empty: no MIDI file and no score"),
        (["music", "-o", "out", "--shard", "3/2"], "'3/2' is not I/N"),
        (["music", "-o", "out", "--files-per-task", "0"], "--files-per-task 0"),
        (["music"], "-o"),
    ],
)
def test_wrong_use(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_midi(tmp_path / "music/a.mid", [(0, 480, 60)])
    build(*words, status=2)
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert line in said
    assert not is_store("out")


def test_not_one_usable_file(tmp_path, capsys):
    (tmp_path / "a.mid").write_bytes(b"nothing")
    build(tmp_path / "a.mid", "-o", tmp_path / "out", status=1)
    assert f"not one of 1 files can be used; {tmp_path.name}/a.mid: " in capsys.readouterr().err


def damage(path, place):
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["shards/00001.shard", "kept/00001.kept"])
@pytest.mark.parametrize("place", [30, 700, -3])
def test_a_damaged_byte_is_noticed(store, tmp_path, name, place):
    out = tmp_path / "store"
    shutil.copytree(store, out)
    damage(out / name, place)
    with pytest.raises(InputError, match=Path(name).name):
        open_corpus(out)


@pytest.mark.parametrize(
    "name, place, value",
    [
        ("pitches", 3, 200),
        ("piece_composer", 1, 9),
        ("piece_composer", 1, -1),
        ("unit_order", 0, -1),
        ("unit_order", 0, 10**6),
        ("piece_beats", 1, -4),
        ("piece_beats", -1, 10**6),
        ("beat_start", 2, 10**6),
        ("beat_start", 0, 1),
    ],
)
def test_numbers_that_point_outside_are_refused(store, tmp_path, name, place, value):
    """Their checksums are right: somebody made the file so."""
    shard = Shard(shard_file(store, 1))
    arrays = {key: np.array(array) for key, array in shard.arrays.items()}
    arrays[name][place] = value
    about = {key: getattr(shard, key) for key in ("names", "composers", "left_out", "repaired")}
    save_mapped(tmp_path / "a.shard", KIND, arrays, about)
    with pytest.raises(InputError, match=f"a\\.shard: .*({name}|fit each other)"):
        Shard(tmp_path / "a.shard")


def test_other_versions_and_options(store, piano_folder, tmp_path, capsys):
    out = tmp_path / "store"
    shutil.copytree(store, out)
    build(piano_folder, "-o", out, "--any-meter", "--files-per-task", 5, status=2)
    assert "begun with other --any-meter" in capsys.readouterr().err
    build(tmp_path, "-o", out, "--files-per-task", 5, status=2)
    assert "begun with other sources" in capsys.readouterr().err
    with open(out / "files.txt", "a") as file:
        file.write("\n")
    build(piano_folder, "-o", out, "--files-per-task", 5, status=2)
    assert "files.txt" in capsys.readouterr().err
    for name in ("store.json", "plan.json"):
        write_record(out / name, {**read_record(out / name), "version": 9})
        build(piano_folder, "-o", out, "--files-per-task", 5, status=2)
        assert exit_status(lambda: open_corpus(out)) == 2
        assert "of another version (9, this one" in capsys.readouterr().err
    os.unlink(out / "store.json")
    os.unlink(out / "plan.json")
    with pytest.raises(InputError, match=r"no store; python -m tinyembed.corpus build"):
        Store.open(out)


def test_a_shard_of_another_store(store, tmp_path):
    out = tmp_path / "store"
    shutil.copytree(store, out)
    shutil.copy(shard_file(out, 1), shard_file(out, 2))
    with pytest.raises(InputError, match=r"not that of 00002\.shard"):
        open_corpus(out)


def test_what_cannot_take_a_large_store_says_so(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(large, "IN_MEMORY", 100)
    monkeypatch.setattr(corpus_command, "IN_MEMORY", 100)
    assert exit_status(lambda: search.main(["x.mid", "--in", str(store)])) == 2
    capsys.readouterr()
    assert corpus_command.main([str(store)]) is None
    assert "18 pieces of 3 composers" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"too large to be read as a whole.*tinyembed.embed --in"):
        open_corpus(store)
    sample = open_corpus(store, large="sample")
    assert 1 <= sample.n_pieces < 18 and "piece of the store" in sample.notes[0]
    assert sample.composers == ["Adagio", "Bolero", "Canzona"]
