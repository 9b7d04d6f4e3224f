"""Embeddings of music: the same rows for every kind of input, and one clear reason if it is bad."""

import functools
import hashlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import midi_file, write_midi

import tinyembed
from tinyembed.backends import choice, sharing
from tinyembed.backends.cpu import threads
from tinyembed.embedding import trained
from tinyembed.embedding.embed import CPU_BLOCK, EmbeddingWarning, embed
from tinyembed.embedding.trained import load
from tinyembed.errors import InputError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import piece_rolls, roll_to_midi, units_have_onsets
from tinyembed.storage.files import digest

with_music21 = pytest.mark.peer("music21")


def make_model(name="context", seed=0, width="small"):
    """A model with other running statistics than a new one, as if trained a little."""
    model = Model(name, width, ["A", "B"], np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    for owner, buffer in model.named_buffers().values():
        value = getattr(owner, buffer)
        value += 0.1 * rng.random(value.shape, np.float32)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.npz"
    save_weights(path, model)
    return path


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """A piece of 80 beats, more than a block of units, with a silence in the middle."""
    rng = np.random.default_rng(0)
    notes = [
        (480 * beat + 120 * int(rng.integers(4)), 100, int(rng.integers(30, 100)))
        for beat in [*range(10), *range(18, 80)]
        for _ in range(3)
    ]
    return write_midi(tmp_path_factory.mktemp("song") / "song.mid", [*notes, (480 * 79, 480, 60)])


def test_there_is_one_row_per_beat_and_it_is_the_encoding_of_its_unit(song, model):
    rows = embed(song, model)
    assert rows.shape == (77, 100) and rows.dtype == np.float32 and 77 > CPU_BLOCK
    np.testing.assert_allclose(rows, model.encode(piece_rolls(read_midi(song))), atol=1e-6)
    silent = ~units_have_onsets(read_midi(song))
    assert silent.sum() == 5  # silent units have rows too
    np.testing.assert_allclose(rows[silent], rows[silent][[0] * 5], atol=1e-6)
    assert not (np.abs(rows[~silent] - rows[silent][0]) < 1e-6).all()


def test_every_kind_of_input_gives_the_same_bits(song, model, weights):
    expected = embed(str(song), model)
    data = song.read_bytes()
    piece = read_midi(song)
    with open(song, "rb") as file:
        inputs = [
            song, data, bytearray(data), memoryview(data), file, io.BytesIO(data),
            mido.MidiFile(song), piece, piece_rolls(piece), piece_rolls(piece).astype(bool),
        ]  # fmt: skip
        for music in inputs:
            np.testing.assert_array_equal(embed(music, model), expected)
    for which in (weights, str(weights)):
        np.testing.assert_array_equal(embed(song, which, device="cpu"), expected)
    np.testing.assert_array_equal(embed(piece_rolls(piece)[12], model), expected[12:13])
    assert embed(np.zeros((0, 60, 96)), model).shape == (0, 100)


@pytest.fixture(params=[("cpu", 1), ("cpu", 3), ("numba", 2)], ids=str)
def backend_and_threads(request, engine, monkeypatch):
    """A backend, and as many threads as if there were so many cores."""
    name, n_threads = request.param
    if choice.use(name) != name:
        pytest.skip("numba not installed")
    monkeypatch.setattr(threads, "workers", lambda: n_threads)
    threads._pool.cache_clear()
    yield request.param
    threads._pool.cache_clear()


@pytest.mark.parametrize("name", ["context", "contrastive"])
def test_the_bits_of_a_row_do_not_depend_on_the_other_rows(name, backend_and_threads):
    """Silent or sounding, any number of them. BLAS may know in which row of twelve it is."""
    model = make_model(name)

    @functools.cache
    def beside_silence(which, place):
        units = np.zeros((12, 60, 96), np.float32)
        units[place] = _UNITS[which]
        return embed(units, model)[place]

    @given(st.lists(st.integers(0, 63), min_size=1, max_size=200))
    @settings(max_examples=12, deadline=None)
    def check(chosen):
        for place, (which, row) in enumerate(
            zip(chosen, embed(_UNITS[chosen], model), strict=True)
        ):
            np.testing.assert_array_equal(row, beside_silence(which, place % 12))

    check()


def test_the_bits_of_a_row_do_not_depend_on_its_place(engine):
    if {one.get("architecture") for one in sharing.blas().info()} != {"SkylakeX"}:
        pytest.skip("NumPy's BLAS adds up in another order at another place")
    rows = np.concatenate([embed(unit, _MODEL) for unit in _UNITS])

    @given(st.lists(st.integers(0, 63), min_size=1, max_size=200))
    @settings(max_examples=12, deadline=None)
    def check(chosen):
        np.testing.assert_array_equal(embed(_UNITS[chosen], _MODEL), rows[chosen])

    check()


@pytest.mark.parametrize("width", ["small", "paper"])
def test_the_bits_of_a_sparse_row_do_not_depend_on_dense_ones(width, backend_and_threads):
    """One or two flourishes, beside rolls with an onset in every cell."""
    model = make_model(width=width)
    dense = np.random.default_rng(0).standard_normal((12, 60, 96))
    units = np.zeros((3, 60, 96), np.float32)
    for beat in range(4):  # some ten onsets in one patch
        flourish = np.random.default_rng(beat).random((12, 6)) < 0.15
        units[0, 24:36, 24 * beat : 24 * beat + 6] = flourish
    units[1, 30, 0] = 1
    for unit in units:
        alone = embed(unit, model)
        for company in (units, _UNITS, dense):
            together = embed(np.concatenate([unit[None], company]), model)
            np.testing.assert_array_equal(alone[0], together[0])


_MODEL = make_model()
_UNITS = (np.random.default_rng(0).random((64, 60, 96)) < 0.01).astype(np.float32)
_ROWS = np.concatenate([embed(unit, _MODEL) for unit in _UNITS])


def test_the_bits_of_a_file_do_not_depend_on_other_files(piano_folder, model, backend_and_threads):
    piano_folder = piano_folder / "Adagio"
    files = sorted(piano_folder.rglob("*.mid"))
    together = embed(files, model)
    for path, rows in zip(files, together, strict=True):
        np.testing.assert_array_equal(embed(path, model), rows)
    folder = embed(piano_folder, model)
    assert list(folder) == [path.relative_to(piano_folder).as_posix() for path in files]
    for rows, again in zip(folder.values(), together, strict=True):
        np.testing.assert_array_equal(rows, again)
    for several in (map(str, files), np.array([str(f) for f in files])):
        for rows, again in zip(embed(several, model), together, strict=True):
            np.testing.assert_array_equal(rows, again)


def test_the_bits_do_not_depend_on_the_number_of_cores(song, model, engine, monkeypatch):
    found = []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr(threads, "workers", lambda n=n_threads: n)
        threads._pool.cache_clear()
        found.append(embed([song] * 3, model))
    threads._pool.cache_clear()
    np.testing.assert_array_equal(found, [[found[0][0]] * 3] * 3)


def test_another_process_gives_the_same_bits(song, weights):
    rows = embed(song, weights, device="cpu")
    code = (
        "import sys, hashlib, tinyembed\n"
        "rows = tinyembed.embed(sys.argv[1], sys.argv[2], device='cpu')\n"
        "print(hashlib.sha256(rows.tobytes()).hexdigest())\n"
        "heavy = {'matplotlib', 'scipy', 'music21', 'sklearn', 'pooch'} & set(sys.modules)\n"
        "print(*heavy)"
    )
    words = [sys.executable, "-c", code, str(song), str(weights)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # The digest alone: nothing heavy was imported.
    assert said.split() == [hashlib.sha256(rows.tobytes()).hexdigest()]


def test_in_a_list_the_good_are_embedded_and_the_bad_named(song, model, tmp_path):
    bad = tmp_path / "bad.mid"
    bad.write_bytes(song.read_bytes()[:100])
    rolls = piece_rolls(read_midi(song))
    sources = [bad, song, "gone.mid", song.read_bytes(), rolls, rolls[0].T]
    with pytest.warns(EmbeddingWarning) as heard:
        results = embed(sources, model)
    assert [r is None for r in results] == [True, False, True, False, False, True]
    for rows in (results[1], results[3], results[4]):
        np.testing.assert_array_equal(rows, embed(song, model))
    said = [str(w.message) for w in heard]
    assert len(said) == 3 and all(w.filename == __file__ for w in heard)
    assert said[0].startswith(f"{bad}: truncated") and said[1] == "gone.mid: no such file; left out"
    assert "(96, 60)" in said[2]
    with pytest.raises(WorkError, match=r"bad\.mid: truncated.*none of 2 can be embedded"):
        embed([bad, "gone.mid"], model)
    assert embed([], model) == []


def test_unreadable_files_in_a_folder_are_left_out(song, model, tmp_path):
    for name in ("a/deep/x.mid", "y.MID", ".hidden/z.mid", "a/.z.mid", "bad.midi", "text.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no music" if name == "bad.midi" else song.read_bytes())
    (tmp_path / "a" / "none").mkdir()
    with pytest.warns(EmbeddingWarning, match=r"bad\.midi: not a MIDI file; left out") as heard:
        rows = embed(tmp_path, model)
    assert list(rows) == ["a/deep/x.mid", "y.MID"] and len(heard) == 1
    with pytest.raises(InputError, match="no MIDI file and no score"):
        embed(tmp_path / "a" / "none", model)


def test_a_piece_of_fewer_than_four_beats_is_padded_with_a_warning(model, tmp_path):
    path = write_midi(tmp_path / "short.mid", [(0, 240, 60), (1000, 100, 72)])
    with pytest.warns(EmbeddingWarning, match=r"short\.mid: only 3 beats, padded"):
        rows = embed(path, model)
    roll = np.zeros((60, 96), np.float32)
    roll[24, 0] = roll[36, 50] = 1
    np.testing.assert_array_equal(rows, embed(roll, model))
    four = write_midi(tmp_path / "four.mid", [(0, 4 * 480, 60)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embed(four, model).shape == (1, 100)


def test_a_meter_that_does_not_count_in_quarter_notes(model, tmp_path):
    path = write_midi(tmp_path / "waltz.mid", [(240 * i, 240, 60) for i in range(24)], meter=(6, 8))
    with pytest.raises(WorkError, match=r"waltz\.mid: .* 1/8, not in quarter .*any_meter=True"):
        embed(path, model)
    assert embed(path, model, any_meter=True).shape == (9, 100)
    with pytest.warns(EmbeddingWarning, match="any_meter=True"):
        assert embed([path, midi_file([(0, 1920, 60)])], model)[0] is None
    assert embed([path], model, any_meter=True)[0].shape == (9, 100)


@pytest.mark.parametrize(
    ("music", "words"),
    [
        ("gone.mid", "gone.mid: no such file"),
        (b"", "the bytes: empty file"),
        (b"MThd", "the bytes: truncated"),
        (b"RIFF....", "the bytes: not a MIDI file"),
        (io.StringIO("MThd"), "the StringIO: .*open as text"),
        (mido.MidiFile(), "the MidiFile: no notes"),
        (None, "the NoneType: music is a path, bytes"),
        (7, "the int: music is"),
        (np.zeros((60, 95)), r"\(60, 95\)"),
        (np.zeros((2, 3, 60, 96)), r"\(2, 3, 60, 96\)"),
        (np.zeros(3), r"\(3,\)"),
        (np.full((60, 96), np.nan), "finite numbers"),
        (np.zeros((60, 96), complex), "finite numbers"),
    ],
)
def test_bad_input(music, words, model):
    with pytest.raises((InputError, WorkError), match=words):
        embed(music, model)


def test_a_closed_file(song, model):
    with open(song, "rb") as file:
        pass
    with pytest.raises(WorkError, match=r"song\.mid: cannot be read"):
        embed(file, model)


def music_xml(steps="CDEFGABC"):
    """Two bars of quarter notes, ascending from middle C."""
    notes = [
        f"<note><pitch><step>{step}</step><octave>{4 + i // 7}</octave></pitch>"
        "<duration>1</duration></note>"
        for i, step in enumerate(steps)
    ]
    time = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    return (
        "<?xml version='1.0'?><score-partwise version='3.0'>"
        "<part-list><score-part id='P'><part-name/></score-part></part-list><part id='P'>"
        f"<measure number='1'><attributes><divisions>1</divisions>{time}</attributes>"
        f"{''.join(notes[:4])}</measure><measure number='2'>{''.join(notes[4:])}</measure>"
        "</part></score-partwise>"
    )


SCORES = {
    "a.abc": "X:1\nT:t\nM:4/4\nL:1/4\nK:C\nC D E F|G A B c|\n",
    "a.krn": "**kern\n*M4/4\n4c\n4d\n4e\n4f\n=\n4g\n4a\n4b\n4cc\n==\n*-\n",
    "a.musicxml": music_xml(),
    "A.XML": music_xml(),
}


@with_music21
def test_scores_give_the_same_rows_as_midi(model, tmp_path):
    pitches = (60, 62, 64, 65, 67, 69, 71, 72)
    expected = embed(midi_file([(480 * i, 480, p) for i, p in enumerate(pitches)]), model)
    for name, text in SCORES.items():
        (tmp_path / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "a.mxl", "w") as file:
        root = "<container><rootfiles><rootfile full-path='a.xml'/></rootfiles></container>"
        file.writestr("META-INF/container.xml", root)
        file.writestr("a.xml", SCORES["a.musicxml"])
    rows = embed(tmp_path, model)
    assert list(rows) == ["A.XML", "a.abc", "a.krn", "a.musicxml", "a.mxl"]
    for name, each in rows.items():
        np.testing.assert_array_equal(each, expected, err_msg=name)


def test_without_music21_only_the_scores_are_left_out(song, model, tmp_path, monkeypatch):
    (tmp_path / "a.abc").write_text(SCORES["a.abc"])
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.warns(EmbeddingWarning, match=r'pip install "tinyembed\[scores\]"') as heard:
        score, midi = embed([tmp_path / "a.abc", song], model)
    assert score is None and midi.shape == (77, 100) and len(heard) == 1


# Models by name, by the folder of a run, by file.


@pytest.fixture(scope="module")
def three_models(tmp_path_factory):
    """A folder with three weight files. Not to be written to."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("contrastive", "context", "regularized")):
        save_weights(folder / f"{name}.npz", make_model(name, seed), matrices=np.float16)
    return folder


@pytest.fixture
def package(three_models, tmp_path, monkeypatch):
    """A folder with a copy of `three_models` that takes the place of the package's weights."""
    shutil.copytree(three_models, tmp_path / "weights")
    monkeypatch.setattr(trained, "WEIGHTS", tmp_path / "weights")
    return tmp_path


def test_models_of_the_package(package, monkeypatch, song):
    assert load().name == load("contrastive").name == "contrastive"
    assert load("context").name == "context"
    assert load("regularized").name == "regularized"
    rows = embed(song, device="cpu")
    np.testing.assert_array_equal(rows, embed(song, load()))
    assert np.abs(rows - embed(song, "regularized", device="cpu")).max() > 0.01
    with pytest.raises(InputError, match="contxt: no such model; choose one of context, contr"):
        load("contxt")
    monkeypatch.chdir(package)
    save_weights(package / "named.npz", make_model("forward"))
    (package / "context").mkdir()
    with pytest.raises(InputError, match=r"\./context: a folder without weights\.npz"):
        load("./context")
    assert load("context").name == "context"  # the package's, not the folder's
    os.replace("named.npz", "context/weights.npz")
    assert load("./context").name == load(package / "context").name == "forward"


def test_weights_in_half_the_bytes_are_loaded_as_float32(model, tmp_path):
    path, half = tmp_path / "full.npz", tmp_path / "half.npz"
    save_weights(path, model)
    save_weights(half, model, matrices=np.float16)
    assert half.stat().st_size < 0.53 * path.stat().st_size
    loaded = load(half)
    states = model.state(), loaded.state()
    assert {a.dtype for a in states[1].values()} == {np.dtype(np.float32)}
    for name, exact in states[0].items():
        rounded = exact.astype(np.float16).astype(np.float32) if exact.ndim > 1 else exact
        np.testing.assert_array_equal(states[1][name], rounded)
    np.testing.assert_allclose(embed(_UNITS, loaded), _ROWS, atol=2e-3)


def test_changed_weights_are_loaded_again(package, song):
    before = embed(song, device="cpu")
    np.testing.assert_array_equal(embed(song, device="cpu"), before)
    save_weights(package / "weights" / "contrastive.npz", make_model("contrastive", 7))
    assert np.abs(embed(song, device="cpu") - before).max() > 0.01


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_weight_file_is_rejected_or_harmless(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    whole = _weight_bytes(path)
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        # A changed byte in a header may mean anything. Checksums protect the rest.
        spots = st.one_of(st.integers(0, 2000), st.integers(len(whole) - 5000, len(whole) - 1))
        damaged = bytearray(whole)
        for spot in data.draw(st.lists(spots, min_size=1, max_size=3)):
            damaged[spot] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        rows = embed(_UNITS[:1], load(path))
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        np.testing.assert_array_equal(rows, _ROWS[:1])


def _weight_bytes(path, kept={}):  # noqa: B006
    if not kept:
        save_weights(path, _MODEL)
        kept["bytes"] = path.read_bytes()
    return kept["bytes"]


def test_files_that_are_not_weights_are_rejected(tmp_path, model):
    def rejected(name, words):
        with pytest.raises(InputError, match=words):
            load(tmp_path / name)

    (tmp_path / "text.npz").write_text("hello")
    rejected("text.npz", r"text\.npz: not a readable weight file")
    np.save(tmp_path / "one.npy", np.zeros(3))
    rejected("one.npy", r"one\.npy: not a readable weight file")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    rejected("other.npz", r"other\.npz: not a weight file of tinyembed")
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    rejected("pickle.npz", r"pickle\.npz: not a weight file of tinyembed")
    state = model.state()
    config = {"model": "context", "width": "small", "composers": [], "temperature": 1.0}
    for name, changed, words in (
        ("strange.npz", {"config": "[1, 2]"}, "not a weight file of tinyembed"),
        ("no.npz", {"config": json.dumps({**config, "model": "best"})}, "not a weight file"),
        ("paper.npz", {"config": json.dumps({**config, "width": "paper"})}, "another width"),
        ("text.npz", {"encoder.conv1.weight": np.full((72, 32), "x")}, "not a weight file"),
        ("nan.npz", {"encoder.conv1.weight": np.full((72, 32), np.nan, "f4")}, "not numbers"),
        ("few.npz", {"encoder.conv1.weight": None}, "no encoder.conv1.weight"),
    ):
        arrays = {**state, "config": json.dumps(config), **changed}
        np.savez(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        rejected(name, words)
    (tmp_path / "folder").mkdir()
    rejected("folder", "a folder without")
    with pytest.raises(InputError, match="by name or path, not by int"):
        load(7)


def test_the_weights_in_the_package():
    """Less than 4 MB in total, and each model has a card that describes its file."""
    files = sorted(trained.WEIGHTS.glob("*.npz"))
    assert {"contrastive", "context", "regularized"} <= {path.stem for path in files}
    assert sum(path.stat().st_size for path in files) < 4_000_000
    for path in files:
        model, about = load_weights(path)
        assert (model.name, model.width) == (path.stem, "small") and about["examples"] > 10_000
        card = path.with_suffix(".md").read_text()
        assert digest(path) in card and "CC BY-NC-SA" in card and "benchmarks.weights" in card
        assert model.encode(_UNITS[:2]).shape == (2, 100)


def test_embed_is_callable_whatever_was_imported(song, weights):
    code = (
        "import sys, numpy as np, tinyembed\n"
        "function = tinyembed.embed\n"
        "import tinyembed.embed\n"
        "from tinyembed import embed\n"
        "assert tinyembed.embed is embed is sys.modules['tinyembed.embed']\n"
        "a, b = (f(sys.argv[1], sys.argv[2], device='cpu') for f in (function, embed))\n"
        "np.testing.assert_array_equal(a, b)\n"
        "import inspect; print(*inspect.signature(embed).parameters)"
    )
    words = [sys.executable, "-c", code, str(song), str(weights)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.split() == list(inspect.signature(embed).parameters)
    assert callable(tinyembed.embed)


# The times of beats.

tempo_changes = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4000), st.integers(1, 2_000_000)), max_size=6
)


@given(tempo_changes, st.integers(1, 960), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_seconds_agree_with_mido(changes, ticks_per_beat, beats):
    midi = mido.MidiFile(type=1, ticks_per_beat=ticks_per_beat)
    for number in (0, 1):
        now, track = 0, mido.MidiTrack()
        for at, tempo in sorted((at, tempo) for n, at, tempo in changes if n == number):
            track.append(mido.MetaMessage("set_tempo", tempo=tempo, time=at - now))
            now = at
        midi.tracks.append(track)
    notes = mido.MidiTrack()
    for i in range(beats):
        pause = ticks_per_beat if i else 0
        notes.append(mido.Message("note_on", note=60, velocity=64, time=pause))
    midi.tracks.append(notes)
    heard, now = [], 0.0
    for message in midi:  # mido computes the seconds itself
        now += message.time
        heard += [now] if message.type == "note_on" else []
    # mido merges tracks in order, so of two tempi at one time that of the second track holds.
    piece_seconds = read_midi(midi).seconds(np.arange(beats)) if beats > 1 else [heard[0]]
    np.testing.assert_allclose(piece_seconds, heard, rtol=1e-9, atol=1e-9)


def test_seconds_without_a_tempo_and_between_beats():
    piece = read_midi(midi_file([(0, 480, 60)]))
    assert piece.tempi == () and piece.seconds([0, 1, 2.5]).tolist() == [0, 0.5, 1.25]


# Reconstructions, and rolls as MIDI.


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.context])
def test_reconstruct_is_the_decoder_in_evaluation_mode(name):
    model = make_model(name)
    before = {k: v.copy() for k, v in model.state().items()}
    made = model.reconstruct(_UNITS[:5])
    np.testing.assert_array_equal(made, model.forward(_UNITS[:5])[0].reconstruction)
    assert made.shape == (5, 60, 96) and model.reconstruct(_UNITS[0]).shape == (60, 96)
    np.testing.assert_allclose(model.reconstruct(_UNITS[1]), made[1], atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(_UNITS[:5], batch_size=2), made, atol=1e-5)
    assert model.reconstruct(_UNITS[:0]).shape == (0, 60, 96)
    for key, value in model.state().items():
        np.testing.assert_array_equal(value, before[key])
    with pytest.raises(InputError, match=r"\(60, 95\)"):
        model.reconstruct(_UNITS[0, :, :95])


def test_a_model_without_a_decoder_cannot_reconstruct():
    with pytest.raises(InputError, match=r"composer model has no decoder.*note_drop, .*context"):
        make_model("composer").reconstruct(_UNITS[0])


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(0, 400),
    st.sampled_from([0.1, 50]),
)
@settings(max_examples=50, deadline=None)
def test_the_strongest_cells_become_notes_at_any_scale(seed, length, onsets, scale):
    roll = np.random.default_rng(seed).integers(-9, 2 + seed % 2, (60, length)) / 8  # many ties
    ranked = sorted((-value, i) for i, value in enumerate(roll.ravel()) if value > 0)[:onsets]
    expected = sorted((i % length, i // length + 36) for _, i in ranked)
    heard, now = [], 0
    for message in roll_to_midi(scale * roll, onsets=onsets).tracks[0]:
        now += message.time
        heard += [(now, message.note)] if message.type == "note_on" else []
    assert heard == expected


def test_wrong_rolls_do_not_become_midi():
    for roll in (np.zeros((96, 60)), np.zeros((1, 60, 96)), np.full((60, 4), np.nan)):
        with pytest.raises(InputError, match="a roll is"):
            roll_to_midi(roll)
