"""What the commands say of a corpus: the same music in several files, and files repaired."""

import json

import mido
import numpy as np
import pytest
from music import write_corpus, write_midi

from tinyembed import corpus as corpus_command
from tinyembed import train
from tinyembed.cli.running import exit_status
from tinyembed.evaluation.leakage import check_split
from tinyembed.music.corpus import Corpus


def tune(up=0):
    """A melody with a bass, 16 beats: (tick, pitch) of each note."""
    rng = np.random.default_rng(0)
    notes = [(12 * i, 60 + up + int(p)) for i, p in enumerate(rng.integers(0, 15, 32))]
    return notes + [(24 * beat, 48 + up + int(rng.integers(0, 8))) for beat in range(16)]


CHANGES = {
    "Bolero/fifth.mid": {"up": 7},
    "Bolero/low.mid": {"up": -24},
    "Canzona/fast.mid": {"tempo": 250_000},
    "Canzona/coarse.mid": {"ticks_per_beat": 96},
    "Canzona/odd.mid": {"ticks_per_beat": 100},
}


def written(path, up=0, ticks_per_beat=480, tempo=None):
    """Save a tune as a MIDI file, in another key, resolution or tempo."""
    length = ticks_per_beat // 4
    notes = [(t * ticks_per_beat // 24, length, pitch) for t, pitch in tune(up)]
    before = [mido.MetaMessage("set_tempo", tempo=tempo)] if tempo else []
    return write_midi(path, notes, ticks_per_beat=ticks_per_beat, before=before)


@pytest.fixture
def folder(tmp_path):
    """Fourteen pieces of three composers; six files hold one piece, one of them for testing."""
    folder = write_corpus(tmp_path / "music", composers=2, pieces=4)
    written(folder / "Adagio" / "original.mid")
    for name, change in CHANGES.items():
        written(folder / name, **change)
    rows = ["composer\tfile\tsplit", "Bolero\tfifth.mid\ttest", "Adagio\tpiece_00.mid\ttest"]
    (folder / "splits.tsv").write_text("\n".join(rows))
    return folder


def run(capsys, *words):
    status = exit_status(lambda: corpus_command.main([*map(str, words)]))
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return out


def test_files_of_the_same_music(folder, capsys):
    found = json.loads(run(capsys, folder, "--json"))
    (group,) = found["same_music"]
    names = sorted([*CHANGES, "Adagio/original.mid"])
    files = [{"file": name, "split": "train"} for name in names]
    files[1]["split"] = "test"
    assert group["files"] == files
    assert len(group["pairs"]) == 5 and all(pair["share"] == 1 for pair in group["pairs"])
    shift = {name: change.get("up", 0) for name, change in CHANGES.items()}
    for pair in group["pairs"]:
        expected = shift.get(pair["second"], 0) - shift.get(pair["first"], 0)
        assert pair["semitones"] == (expected + 5) % 12 - 5
    (leak,) = found["test_music_in_training"]
    assert (leak["test"], leak["share"]) == ("Bolero/fifth.mid", 1)
    assert {"file": leak["train"], "split": "train"} in files


def test_the_command_lists_them(folder, capsys):
    out = run(capsys, folder)
    assert "100.0% of Bolero/fifth.mid is in " in out
    assert "the same music in several files: 6 files hold 1 piece; --duplicates lists them" in out
    lines = run(capsys, folder, "--duplicates").splitlines()
    listed = [line for line in lines if line.startswith("  100.0%  ")]
    assert len(listed) == 5 and sum("Bolero/fifth.mid (test)" in line for line in listed) >= 1
    assert any(line.endswith(", 5 semitones lower") for line in listed)


def test_a_folder_without_the_same_music(tmp_path, capsys):
    folder = write_corpus(tmp_path / "music", composers=2, pieces=5)
    out = run(capsys, folder, "--duplicates")
    assert "no test piece has 25% of its units in one training piece" in out
    assert "no two files hold the same music" in out
    found = json.loads(run(capsys, folder, "--json"))
    assert found["same_music"] == [] and found["repaired"] == []


@pytest.mark.peer("music21")
def test_scores_and_midi_files_of_the_same_music(tmp_path, capsys):
    import music21

    folder = write_corpus(tmp_path / "music", composers=1, pieces=3)
    notes = tune()
    parts = [music21.stream.Part(), music21.stream.Part()]
    for tick, pitch in notes:
        part, length = (parts[0], 0.5) if tick % 24 or pitch >= 60 else (parts[1], 1)
        part.insert(tick / 24, music21.note.Note(pitch, quarterLength=length))
    music21.stream.Score(parts).write("musicxml", folder / "Adagio" / "score.musicxml")
    written(folder / "Adagio" / "third.mid", up=4)
    (group,) = json.loads(run(capsys, folder, "--json"))["same_music"]
    (pair,) = group["pairs"]
    assert {pair["first"], pair["second"]} == {"Adagio/score.musicxml", "Adagio/third.mid"}
    assert (pair["share"], pair["semitones"]) == (1, 4)


def test_training_says_which_test_piece_it_was_shown(folder):
    source = {"data": str(folder), "split_seed": 3, "any_meter": False, "splits": None}
    said = []
    corpus = train.read_corpus(source, said.append)
    (line,) = [line for line in said if "test pieces" in line]
    assert line.startswith("note: test pieces that are also in training pieces: 1 of 2; 100.0% of")
    assert "tinyembed.corpus" in line and "--seed 3 --duplicates" in line
    assert check_split(corpus)["pieces_in_both"] == 1
    corpus.piece_is_test[corpus.names.index("Bolero/fifth.mid")] = False
    assert check_split(corpus)["pieces_in_both"] == 0
    (folder / "splits.tsv").write_text("composer\tfile\tsplit\nAdagio\tpiece_00.mid\ttest\n")
    said.clear()
    train.read_corpus(source, said.append)
    assert not any("test pieces" in line for line in said)


# Repairs


def test_repairs_are_counted_by_kind(tmp_path, capsys):
    folder = write_corpus(tmp_path / "music", composers=1, pieces=6)
    for n, path in enumerate(sorted((folder / "Adagio").iterdir())[:5]):
        data = bytearray(path.read_bytes())
        data[11] = 9  # the number of tracks that the header declares
        if n == 4:
            data[18:22] = bytes(4)  # the length of the track
        path.write_bytes(data)
    repaired = Corpus.from_folder(folder, progress=False).repaired
    of_file = [[kind for name, kind in repaired if name[-5] == str(n)] for n in range(6)]
    assert [len(kinds) for kinds in of_file[:4]] == [1] * 4 and of_file[5] == []
    (count,) = of_file[0]
    (length,) = {*of_file[4]} - {count}
    lines = run(capsys, folder).splitlines()
    at = lines.index("repaired: 5 files")
    names = [f"Adagio/piece_0{n}.mid" for n in range(5)]
    assert lines[at + 1] == f"  {count}: 5 ({', '.join(names[:3])} and 2 more)"
    assert lines[at + 2] == f"  {length}: 1 ({names[4]})"
    found = json.loads(run(capsys, folder, "--json"))["repaired"]
    assert found == [{"file": name, "kind": kind} for name, kind in repaired]
    said = []
    source = {"data": str(folder), "split_seed": 0, "any_meter": False, "splits": None}
    train.read_corpus(source, said.append)
    (line,) = [line for line in said if "repaired" in line]
    assert line.startswith(f"note: 5 files repaired: {count} (5), {length} (1); python -m ")
