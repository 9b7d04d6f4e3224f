"""Made-up collections: like real pieces in length, density and size, and what truth.json says."""

import io
from collections import Counter

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import synthetic
from benchmarks.synthetic import COMPOSERS, FILES_PER_FOLDER, Plan, name_of, write_collection
from benchmarks.synthetic_music import Style, as_midi, make_up
from benchmarks.synthetic_shape import LEVELS, PIANO, Shape, measure
from tinyembed.cli.running import exit_status
from tinyembed.errors import MusicError
from tinyembed.music.corpus import Corpus
from tinyembed.music.duplicates import unique_units
from tinyembed.music.midi import read_midi
from tinyembed.music.piece import TICKS_PER_BEAT

FILES = 60
SHAPES = st.builds(
    Shape,
    beats=st.integers(4, 80),
    onsets_per_beat=st.floats(0.5, 20),
    onsets_per_instant=st.floats(1, 5),
    bytes_per_onset=st.floats(6, 18),
    tracks=st.integers(2, 18),
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A folder with 60 files, and its truth. Not to be written to."""
    folder = tmp_path_factory.mktemp("synthetic") / "collection"
    return folder, write_collection(folder, FILES, seed=1, progress=False)


@pytest.fixture(scope="module")
def corpus(collection):
    return Corpus.from_folder(collection[0], cache=False, progress=False)


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.mid")}


def notes_of(corpus, name):
    """(n, 2): the ticks from the beginning of a piece, and the pitches."""
    piece = corpus.names.index(name)
    first, after = corpus.piece_beats[piece : piece + 2]
    part = slice(corpus.beat_start[first], corpus.beat_start[after])
    ticks = corpus.ticks[part] - TICKS_PER_BEAT * first
    return np.stack([ticks, corpus.pitches[part].astype(int)], axis=1)


def test_the_shapes_follow_the_table():
    rng = np.random.default_rng(0)
    drawn = [Shape.draw(PIANO, rng) for _ in range(4000)]
    for name, row in PIANO.items():
        found = np.quantile([vars(shape)[name] for shape in drawn], LEVELS[2:-2:4])
        np.testing.assert_allclose(found, row[2:-2:4], rtol=0.08, err_msg=name)


def test_the_table_is_that_of_real_pieces(shared_corpus):
    for name, row in measure(shared_corpus / "piano").items():
        np.testing.assert_allclose(row, PIANO[name], rtol=1e-3, err_msg=name)


def test_the_music_follows_its_shape():
    ratios = []
    for n in range(40):
        rng = np.random.default_rng(n)
        shape = Shape.draw(PIANO, rng)
        data = as_midi(rng, make_up(rng, Style.draw(rng), shape), shape)
        piece = read_midi(data)
        assert piece.n_beats == shape.beats and piece.on_grid == 1 and not piece.repairs
        onsets, instants = len(piece.ticks), len(np.unique(piece.ticks))
        ratios.append(
            (
                onsets / piece.n_beats / shape.onsets_per_beat,
                onsets / instants / shape.onsets_per_instant,
                len(data) / onsets / shape.bytes_per_onset,
            )
        )
    np.testing.assert_allclose(np.median(ratios, axis=0), 1, atol=0.05)
    np.testing.assert_allclose(np.std(ratios, axis=0), 0, atol=0.15)


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 999), semitones=st.integers(-5, 6))
def test_mido_and_our_reader_read_the_notes_back(shape, seed, semitones):
    rng = np.random.default_rng(seed)
    notes = make_up(rng, Style.draw(rng), shape)
    data = as_midi(rng, notes, shape, semitones)
    expected = sorted(zip(notes.times.tolist(), (notes.pitches + semitones).tolist(), strict=True))
    midi = mido.MidiFile(file=io.BytesIO(data))
    assert len(midi.tracks) == max(3, shape.tracks)
    starts, sounding = [], Counter()
    for track in midi.tracks:
        now = 0
        for message in track:
            now += message.time
            if message.type == "note_on":
                on = message.velocity > 0
                sounding[message.channel, message.note] += 1 if on else -1
                if on:
                    starts.append((now * TICKS_PER_BEAT // midi.ticks_per_beat, message.note))
    assert sorted(starts) == expected
    assert set(sounding.values()) <= {0}  # every note ends
    if expected:
        piece = read_midi(data)
        assert list(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True)) == sorted(
            set(expected)
        )


def test_reading_finds_the_truth(collection, corpus):
    folder, truth = collection
    assert synthetic.read_truth(folder) == {**truth, "table": {k: [*v] for k, v in PIANO.items()}}
    assert truth["files"] == FILES == len(files_below(folder))
    assert truth["bytes"] == sum(map(len, files_below(folder).values()))
    assert [name for name, _ in corpus.left_out] == sorted(name for name, _ in truth["broken"])
    assert len(truth["broken"]) == 1 and not corpus.repaired
    assert sum(semitones == 0 for _, _, semitones in truth["copies"]) == 2
    assert sum(semitones != 0 for _, _, semitones in truth["copies"]) == 1
    for name, origin, semitones in truth["copies"]:
        moved = notes_of(corpus, origin) + np.array([0, semitones])
        np.testing.assert_array_equal(notes_of(corpus, name), moved)
    music = {notes_of(corpus, name).tobytes() for name in corpus.names}
    assert len(music) == truth["pieces"] + 1  # the moved copy has other pitches


def test_copies_in_the_same_key_are_the_same_bytes(collection):
    folder, truth = collection
    files = files_below(folder)
    for name, origin, semitones in truth["copies"]:
        assert (files[name] == files[origin]) == (semitones == 0)


def test_units_are_neither_all_different_nor_all_alike(corpus):
    units = corpus.unit_beats()
    assert 0.5 < len(unique_units(corpus, units, (0,))) / len(units) < 0.85  # 0.69 in real pieces


def test_the_same_seed_gives_the_same_bytes_by_any_number_of_processes(
    collection, tmp_path, monkeypatch
):
    monkeypatch.setattr(synthetic, "SERIAL_FILES", 0)
    monkeypatch.setattr(synthetic, "FILES_PER_TASK", 16)
    again = write_collection(tmp_path / "again", FILES, seed=1, progress=False)
    assert again == collection[1]
    assert files_below(tmp_path / "again") == files_below(collection[0])
    monkeypatch.setattr(synthetic, "SERIAL_FILES", FILES)
    write_collection(tmp_path / "other", 3, seed=2, progress=False)
    other = files_below(tmp_path / "other")
    assert len(other) == 3 and not set(other.values()) & set(files_below(collection[0]).values())


def test_every_damage_is_found():
    for damage in range(1, 1 + len(synthetic.DAMAGES)):
        for number in range(20):
            data = synthetic.file_bytes(number, number, 0, damage, 0, PIANO)
            with pytest.raises(MusicError):
                read_midi(data)


@given(n=st.integers(1, 3000), seed=st.integers(0, 99))
def test_no_file_has_two_parts(n, seed):
    """A copy's origin is neither a copy nor broken, and nothing has two copies."""
    plan = Plan.draw(n, seed)
    copies = plan.origin != np.arange(n)
    origins = plan.origin[copies]
    assert len(set(origins.tolist())) == len(origins)
    assert not copies[origins].any() and not plan.damage[origins].any()
    assert not plan.damage[copies].any() and copies[plan.semitones != 0].all()
    assert len(plan.truth()["broken"]) == round(synthetic.BROKEN * n)


def test_no_folder_holds_more_than_a_thousand_files():
    names = [name_of(n) for n in range(0, 2 * COMPOSERS * FILES_PER_FOLDER + 1)]
    assert len(set(names)) == len(names)
    folders = Counter(name.rpartition("/")[0] for name in names)
    assert max(folders.values()) == FILES_PER_FOLDER
    assert len({name.partition("/")[0] for name in names}) == COMPOSERS


def test_the_command(tmp_path, capsys):
    words = ["3", "-o", str(tmp_path / "new")]
    assert exit_status(lambda: synthetic.main(words)) == 0
    assert capsys.readouterr().out.startswith("3 files, 0.")
    assert exit_status(lambda: synthetic.main(words)) == 2
    assert "there is something already" in capsys.readouterr().err
    assert exit_status(lambda: synthetic.main(["0", "-o", str(tmp_path / "none")])) == 2


def test_another_folder_is_measured(collection, tmp_path):
    out = tmp_path / "like it"
    words = ["2", "-o", str(out), "--data", str(collection[0])]
    assert exit_status(lambda: synthetic.main(words)) == 0
    table = synthetic.read_truth(out)["table"]
    assert table == {k: [*v] for k, v in measure(str(collection[0])).items()}
    assert table["beats"] != PIANO["beats"]
