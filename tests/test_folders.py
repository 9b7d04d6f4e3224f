"""What a folder of music holds: every command finds the same files in it, and the same trouble."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from music import write_midi

from tinyembed import corpus as corpus_command
from tinyembed import explore, search
from tinyembed.cli.running import exit_status
from tinyembed.embed import main as embed_main
from tinyembed.embedding.embed import EmbeddingWarning, embed
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights
from tinyembed.music import folders
from tinyembed.music.corpus import Corpus
from tinyembed.music.folders import MIDI, NOT_REGULAR, READ, find_files, find_pieces, trouble_with
from tinyembed.music.inputs import read_file, read_music
from tinyembed.neighbours.collection import Collection

NOTES = [(480 * beat, 480, 60 + beat % 5) for beat in range(12)]
ABC = "X:1\nT:t\nM:4/4\nL:1/4\nQ:1/4=60\nK:C\nC D E F|G A B c|G F E D|\n"
with_music21 = pytest.mark.peer("music21")


@pytest.fixture(scope="module")
def model():
    return Model("context", "small", ["A"], np.random.default_rng(0))


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.npz"
    save_weights(path, model)
    return path


def tree(folder, *names):
    for i, name in enumerate(names):
        write_midi(folder / name, [(t + 20 * i, d, p) for t, d, p in NOTES])
    return folder


def names_of(found):
    return [name for name, _ in found.files]


def call(capsys, main, *words):
    """A command in this process: its exit status, and what it printed to both streams."""
    status = exit_status(lambda: main([str(word) for word in words]))
    return status, *capsys.readouterr()


def make_links(folder, music):
    """Linked folders and files, a loop, a folder that is closed, a broken link and a pipe."""
    (folder / "real" / "Clementi").mkdir(parents=True)
    (folder / "links" / "A").mkdir(parents=True)
    (folder / "links" / "Closed").mkdir()
    for name in ("real/Clementi/s.mid", "links/A/own.mid", "links/Closed/c.mid"):
        shutil.copy(music, folder / name)
    (folder / "links" / "Clementi").symlink_to("../real/Clementi")
    (folder / "links" / "A" / "link.mid").symlink_to("../../real/Clementi/s.mid")
    (folder / "links" / "A" / "broken.mid").symlink_to("nowhere.mid")
    (folder / "links" / "A" / "loop").symlink_to("..")
    (folder / "links" / "Closed").chmod(0)
    os.mkfifo(folder / "links" / "A" / "pipe.mid")
    return folder / "links"


IN_LINKS = ["A/link.mid", "A/own.mid", "Clementi/s.mid"]
CLOSED = ("Closed", "cannot be read: Permission denied")
TROUBLE = [("A/broken.mid", NOT_REGULAR), ("A/pipe.mid", NOT_REGULAR), CLOSED]


@pytest.fixture
def links(monkeypatch):
    """Such a folder, relative to the current one, as somebody sees it who is not root."""
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        monkeypatch.chdir(home)
        folder = make_links(Path("."), write_midi(Path("s.mid"), NOTES))
        yield folder
        (folder / "Closed").chmod(0o755)


@contextmanager
def not_root():
    """Nobody's rights, where the tests run as root, whom no folder is closed to."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def closed(monkeypatch):
    """Whole commands with the rights of root, which nobody lacks, see no folder called Closed."""

    def listdir(folder):
        if os.path.basename(folder) == "Closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return real(folder)

    real = os.listdir
    if os.geteuid() == 0:
        monkeypatch.setattr(folders.os, "listdir", listdir)


def test_links_and_trouble(links):
    with not_root():
        found = find_files(links)
        items, left_out, notes = find_pieces(links)
    assert names_of(found) == [name for _, name, _ in items] == IN_LINKS
    assert found.left_out == left_out == TROUBLE and notes == []
    assert found.files[0][1] == "links/A/link.mid"


def test_every_command_finds_the_same(links, closed, weights, capsys):
    words = ("--model", weights, "--json")
    status, out, err = call(capsys, embed_main, links, "-o", "out.npz", *words)
    embedded = json.loads(out)
    assert status == 1
    assert [entry["file"] for entry in embedded["files"]] == [f"links/{n}" for n in IN_LINKS]
    assert err.splitlines() == [f"tinyembed: links/{name}: {why}" for name, why in TROUBLE]
    assert embedded["left_out"] == [f"links/{name}: {why}" for name, why in TROUBLE]

    with pytest.warns(EmbeddingWarning) as heard:
        rows = embed(links, weights, device="cpu")
    assert list(rows) == IN_LINKS
    said = [str(warning.message) for warning in heard]
    assert said == [f"links/{name}: {why}; left out" for name, why in TROUBLE]

    status, out, err = call(capsys, corpus_command.main, links, "--json")
    counted = json.loads(out)
    assert (status, err) == (0, "") and sum(counted["pieces"].values()) == 3
    assert counted["left_out"] == [{"file": name, "reason": why} for name, why in TROUBLE]
    assert Corpus.from_folder(links).names == IN_LINKS  # what train and evaluate open

    status, out, err = call(capsys, search.main, links / "A" / "own.mid", "--in", links, *words)
    assert (status, err) == (0, "") and json.loads(out)["pieces"] == 3
    status, out, err = call(capsys, explore.main, "--data", links, "-o", "map.html", *words)
    assert (status, err) == (0, "") and json.loads(out)["pieces"] == 3
    told = "note: 3 files left out; python -m tinyembed.corpus --data links says which, and why\n"
    words = ("--model", weights)
    out = call(capsys, search.main, links / "A" / "own.mid", "--in", links, *words)[1]
    assert out.startswith(told)
    assert call(capsys, explore.main, "--data", links, "-o", "map.html", *words)[1].startswith(told)


def test_the_shared_case(shared_cases, tmp_path, monkeypatch):
    subprocess.run(["sh", shared_cases / "24-links" / "make.sh"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    found = find_files("links")
    assert [name for name in names_of(found) if not name.startswith("Closed")] == IN_LINKS
    assert [one for one in found.left_out if one != CLOSED] == TROUBLE[:2]


def test_a_folder_that_cannot_be_read_at_all(links):
    with not_root(), pytest.raises(InputError, match="links/Closed: cannot be read: Permission"):
        find_files(links / "Closed")


def test_hidden_files_and_folders_with_an_ending(tmp_path):
    tree(tmp_path, "Bach/a.mid", ".git/b.mid", "Bach/.hidden/c.mid", "Bach/d.mid/e.mid")
    tree(tmp_path, "__MACOSX/f.mid", "Bach/not-music.txt")
    (tmp_path / "Bach" / "._a.mid").write_bytes(b"\0\5\26\7")
    assert names_of(find_files(tmp_path)) == ["Bach/a.mid", "Bach/d.mid/e.mid"]


def test_a_link_to_a_folder_above_the_one_that_is_read(tmp_path, monkeypatch):
    """Also where that one was reached by a link, or is named from within."""
    tree(tmp_path, "outside.mid", "shelf/beside.mid", "shelf/music/Bach/a.mid")
    for n, target in enumerate(("..", "../..", tmp_path, "/")):
        (tmp_path / "shelf" / "music" / f"up{n}").symlink_to(target)
    (tmp_path / "shortcut").symlink_to("shelf/music")
    monkeypatch.chdir(tmp_path / "shelf" / "music")
    for folder in (".", "../music", "../../shortcut", tmp_path / "shortcut"):
        assert names_of(find_files(folder)) == ["Bach/a.mid"]


def test_links_among_many_folders_end(tmp_path):
    """Fourteen folders, each with a link to each of the others, are joined by 14! paths."""
    for i in range(14):
        tree(tmp_path, f"{i}/deep/a.mid")
        for j in set(range(14)) - {i}:
            (tmp_path / str(i) / f"to{j}").symlink_to(f"../{j}")
    names = names_of(find_files(tmp_path))
    assert {f"{i}/deep/a.mid" for i in range(14)} <= set(names) and len(names) < 14**3


def test_a_link_that_leads_nowhere_is_named_whatever_it_was(tmp_path):
    tree(tmp_path, "Bach/a.mid")
    (tmp_path / "Mozart").symlink_to("/nowhere/Mozart")  # a composer's folder, on a disk elsewhere
    (tmp_path / "Bach" / "itself.mid").symlink_to("itself.mid")
    assert find_files(tmp_path).left_out == [
        ("Bach/itself.mid", NOT_REGULAR),
        ("Mozart", NOT_REGULAR),
    ]


def test_all_endings_in_any_capitals(tmp_path):
    assert set(READ) == {
        ".mid", ".midi", ".kar", ".rmi", ".rmid", ".musicxml", ".mxl", ".xml", ".krn", ".abc",
    }  # fmt: skip
    names = [f"{n}{e}" for n, ending in enumerate(READ) for e in (ending, ending.upper())]
    tree(tmp_path / "Bach", *names)
    assert names_of(find_files(tmp_path / "Bach")) == sorted(names)
    assert [name for _, name, _ in find_pieces(tmp_path)[0]] == sorted(f"Bach/{n}" for n in names)
    for name in names:
        if name.lower().endswith(MIDI):
            assert len(read_music(tmp_path / "Bach" / name).ticks) == 12


def test_endings_that_are_passed_over(tmp_path, weights, capsys, model):
    tree(tmp_path, "Bach/a.mid")
    for name in ("Bach/b.mscz", "Bach/c.MSCZ", "d.mp3", "Bach/notes.txt", "Bach/makefile"):
        (tmp_path / name).touch()
    notes = ["passed over: 1 .mp3", "passed over: 2 .mscz"]
    assert find_pieces(tmp_path)[2] == notes
    said = "".join(f"note: {note}\n" for note in notes)
    out = tmp_path / "out.npz"
    assert call(capsys, embed_main, tmp_path, "--model", weights, "-o", out)[1].startswith(said)
    assert said in call(capsys, corpus_command.main, tmp_path)[1]
    query = tmp_path / "Bach" / "a.mid"
    words = (query, "--in", tmp_path, "--model", weights)
    assert call(capsys, search.main, *words)[1].startswith(said)
    with pytest.warns(EmbeddingWarning) as heard:
        embed(tmp_path, model)
    assert [str(warning.message) for warning in heard] == notes
    query.unlink()
    nothing = (
        r"no MIDI file and no score in it \(\.mid .*\.abc\); passed over: 1 \.mp3; passed over: 2"
    )
    for find in (find_files, find_pieces, lambda folder: embed(folder, model)):
        with pytest.raises(InputError, match=nothing):
            find(tmp_path)


def test_only_trouble(tmp_path, model):
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(WorkError, match=rf"not one of 1 files .*pipe\.mid: {NOT_REGULAR}"):
        Corpus.from_folder(tmp_path)
    with pytest.raises(WorkError, match=rf"{tmp_path}/pipe\.mid: {NOT_REGULAR}"):
        embed(tmp_path, model)


def test_two_names_that_are_one_text(tmp_path):
    composed = unicodedata.normalize("NFC", "Dvořák")
    decomposed = unicodedata.normalize("NFD", composed)
    tree(tmp_path, f"A/{composed}.mid", f"A/{decomposed}.mid")
    found = find_files(tmp_path)
    assert names_of(found) == [f"A/{composed}.mid"]
    assert found.left_out == [(f"A/{composed}.mid", "another file has the same name")]


def test_unprintable_names_are_escaped(tmp_path):
    tree(tmp_path, "Bach/a\nb.mid")
    write_midi(os.fsdecode(os.fsencode(tmp_path) + b"/Bach/\xff.mid"), NOTES)
    assert Corpus.from_folder(tmp_path).names == ["Bach/\\xff.mid", "Bach/a\\nb.mid"]


# Pipes.


def test_nobody_waits_at_a_pipe(tmp_path, weights, capsys):
    pipe = tmp_path / "a-pipe.mid"
    os.mkfifo(pipe)
    for words in ((pipe,), (pipe, pipe)):
        status, out, err = call(capsys, embed_main, *words, "--model", weights)
        assert (status, out) == (2, "")
        assert err == f"tinyembed: {pipe}: {NOT_REGULAR}\n" * len(words)
    status, _, err = call(capsys, search.main, pipe, "--in", tmp_path, "--model", weights)
    assert (status, err) == (2, f"tinyembed: {pipe}: {NOT_REGULAR}\n")
    with pytest.raises(InputError, match=NOT_REGULAR):
        embed(pipe, weights)
    tree(tmp_path / "music", "A/a.mid")
    os.mkfifo(tmp_path / "splits.tsv")  # beside the folder, where a table would be read
    assert Corpus.from_folder(tmp_path / "music").n_pieces == 1
    for name, why in (("gone.mid", "no such file"), (tmp_path, "a folder, not a file")):
        assert trouble_with(name) == why
    assert trouble_with("/dev/null") == NOT_REGULAR and trouble_with("a\0b") == "no such file"


def test_nobody_waits_at_a_pipe_to_write(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    song = write_midi(tmp_path / "a.mid", [(0, 480, 60)])
    status, _, err = call(capsys, embed_main, song, "-o", tmp_path / "pipe.csv")
    assert status == 2 and "pipe.csv: exists and is not a file of this command" in err


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_a_pipe_that_the_user_connects_is_read(tmp_path, weights):
    """But it is not what the next step is about: it would be another file there."""
    song = write_midi(tmp_path / "song.mid", NOTES)
    script = '"$0" -m tinyembed.embed <(cat song.mid) --model "$1" && cat song.mid | "$0" -m '
    script += 'tinyembed.search /dev/stdin --in "$PWD" --model "$1" -k 1'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, weights],
        cwd=song.parent, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "9 units of 1 file," in done.stdout and "song.mid" in done.stdout
    assert "Next:" not in done.stdout


# Scores.


@pytest.fixture
def scores(tmp_path):
    """A folder with two scores and no MIDI file, and another with the same music in MIDI."""
    pitches = (60, 62, 64, 65, 67, 69, 71, 72, 67, 65, 64, 62)
    notes = [(480 * beat, 480, pitch) for beat, pitch in enumerate(pitches)]
    (tmp_path / "scores" / "A").mkdir(parents=True)
    for name in ("one", "two"):
        write_midi(tmp_path / "midi" / "A" / f"{name}.mid", notes)
        (tmp_path / "scores" / "A" / f"{name}.ABC").write_text(ABC)
    return tmp_path / "scores"


@with_music21
def test_a_folder_of_scores_from_embed_to_search(scores, weights, capsys, monkeypatch):
    monkeypatch.chdir(scores.parent)
    corpus, twin = Corpus.from_folder("scores"), Corpus.from_folder("midi")
    assert corpus.names == ["A/one.ABC", "A/two.ABC"] and corpus.left_out == []
    np.testing.assert_array_equal(corpus.ticks, twin.ticks)
    np.testing.assert_array_equal(corpus.pitches, twin.pitches)
    status, out, err = call(capsys, embed_main, "scores", "--model", weights)
    assert (status, err) == (0, "") and "18 units of 2 files" in out
    words = out.splitlines()[-1].split()[4:]
    assert words[:5] == ["scores/A/one.ABC", "--beat", "0", "--in", "scores"]
    status, out, err = call(capsys, search.main, *words, "--json")
    first, second = json.loads(out)["neighbours"][:2]
    assert (status, err) == (0, "")
    assert [(n["piece"], n["beat"], n["cosine"]) for n in (first, second)] == [
        ("A/one.ABC", 0, 1.0), ("A/two.ABC", 0, 1.0),
    ]  # fmt: skip


@with_music21
def test_the_tempo_of_a_score(scores, model, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    for _ in range(2):  # embedded, and from the cache
        collection, _ = Collection.open(str(scores), model, progress=False)
        labels = collection.index.labels
        np.testing.assert_allclose(labels.seconds, labels.beat, rtol=1e-6)  # a quarter lasts 1 s


@with_music21
def test_without_music21_scores_are_left_out_and_nothing_ends(scores, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    shutil.copy(tmp_path / "midi" / "A" / "one.mid", scores / "A" / "z.mid")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "music21", None)
        patch.setattr("importlib.metadata.version", no_version)
        with pytest.raises(MusicError, match="pip install"):
            read_file(scores / "A" / "one.ABC")
        for _ in range(2):
            corpus = Corpus.from_folder(scores)
            assert corpus.names == ["A/z.mid"]
            assert [name for name, _ in corpus.left_out] == ["A/one.ABC", "A/two.ABC"]
            assert all('pip install "tinyembed[scores]"' in why for _, why in corpus.left_out)
    assert Corpus.from_folder(scores).n_pieces == 3  # once it is installed


def no_version(name):
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)
