"""Every command that is printed as the next step works when it is pasted into a shell."""

import io
import os
import shutil
import subprocess
import sys
from importlib import util

import numpy as np
import pytest
from music import write_corpus, write_midi

from tinyembed import corpus, evaluate, explore, reproduce, search, train
from tinyembed.cli import next_runs, next_searches
from tinyembed.cli.running import exit_status
from tinyembed.embed import main as embed_main
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights
from tinyembed.music.corpus import Corpus
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
NOTES = [(480 * beat, 480, 60 + beat % 5) for beat in range(12)]  # nine units
MAINS = {
    "corpus": corpus.main,
    "embed": embed_main,
    "evaluate": evaluate.main,
    "explore": explore.main,
    "reproduce": reproduce.main,
    "search": search.main,
    "train": train.main,
}
ODD = [
    "song", "-dash", "--in", "two words", "it's \"quoted\"", "$HOME `ls` \\n", "a\nb\tc",
    "Dvo\u0159\u00e1k", "Dvor\u030cak", "\udcff", "asap", "contrastive", "!x", "~", "*?", "#",
    "a=b;c&d|e>f",
]  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty current folder, with weights beside it."""
    save_weights(
        tmp_path / "own model.npz", Model("context", "small", ["A"], np.random.default_rng(0))
    )
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def run(capsys, main, *words):
    """A command in this process, which must succeed: what it printed."""
    status = exit_status(lambda: main([str(word) for word in words]))
    out, err = capsys.readouterr()
    assert (status, err) == (0, ""), err
    return out


def pasted(line):
    """The words that a shell reads in a command: the main function, and its arguments."""
    script = os.fsencode(f"printf '%s\\0' {line}")
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stderr == b""
    words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    assert words[:2] == ["python", "-m"]
    return MAINS[words[2].removeprefix("tinyembed.")], words[3:]


def next_of(out):
    """The command on the last line."""
    return out.splitlines()[-1].removeprefix("Next: ")


def follow(capsys, out):
    """Run the next steps from `embed` to the neighbours as music. Returns the searches' words."""
    searches = []
    for _ in range(2):
        main, words = pasted(next_of(out))
        assert main is search.main
        searches.append(words)
        out = run(capsys, main, *words)
    assert f"Next: listen to {words[-1]}: " in out and os.path.isfile(words[-1])
    return searches


MODEL = ("--model", "../own model.npz")


@pytest.mark.parametrize("name", ODD)
def test_files_and_folders_of_any_name(home, capsys, name):
    song = write_midi(home / name / f"{name}.mid", NOTES)
    given = os.path.relpath(song)  # begins with the name, so maybe with a dash
    separator = ["--"] * given.startswith("-")
    first, _ = follow(capsys, run(capsys, embed_main, *MODEL, *separator, given))
    assert os.path.samefile(first[0], song) and os.path.samefile(first[4], song.parent)
    folder = os.path.dirname(given)
    (home / "neighbours.mid").unlink()
    first, second = follow(capsys, run(capsys, embed_main, *MODEL, *separator, folder))
    assert os.path.samefile(first[0], song) and os.path.samefile(first[4], song.parent)
    assert second[-2:] == ["--out", "neighbours.mid"]
    os.chdir(song.parent)
    for words in ([*separator, f"{name}.mid"], ["."]):
        first, _ = follow(capsys, run(capsys, embed_main, "--model", "../../own model.npz", *words))
        assert os.path.samefile(first[0], song) and first[3:5] == ["--in", "."]
        os.remove("neighbours.mid")  # which is a piece of this folder now


def test_a_terminal_with_ascii_alone(home, monkeypatch, capsys):
    song = write_midi(home / "Dvo\u0159\u00e1k" / "\u00e9.mid", NOTES)
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert embed_main([str(song), *MODEL]) == 0
    terminal.flush()
    first, _ = follow(capsys, terminal.buffer.getvalue().decode("ascii"))
    assert os.path.samefile(first[0], song)


def test_a_song_of_nine_units_in_real_processes(home):
    """The commands to the letter."""
    write_midi(home / "-dash.mid", NOTES)
    line = "python -m tinyembed.embed --model '../own model.npz' -- -dash.mid"
    for _ in range(3):
        script = f'python() {{ "{sys.executable}" "$@"; }}; {line}'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert "tinyembed.search" not in line or "note: 9 neighbours instead of 10" in done.stdout
        line = next_of(done.stdout)
    assert line.startswith("listen to neighbours.mid")


def test_other_options_are_kept(home, capsys):
    write_midi(
        home / "A" / "waltz.mid", [(240 * i, 240, 60 + i % 7) for i in range(24)], meter=(3, 8)
    )
    write_midi(home / "B" / "song.mid", NOTES)
    out = run(capsys, embed_main, ".", "--any-meter", *MODEL)
    main, words = pasted(next_of(out))
    assert words[0] == "A/waltz.mid" and words[-1] == "--any-meter"
    out = run(capsys, main, *words, "--other-composer", "--other-piece", "-k", 3)
    main, words = pasted(next_of(out))
    assert {"--other-composer", "--other-piece", "--any-meter"} <= set(words)
    assert words[words.index("-k") + 1] == "3"
    run(capsys, main, *words)
    run(capsys, main, "B/song.mid", "--in", ".", *MODEL, "--save", "./-a.index")
    main, words = pasted(next_of(run(capsys, main, "B/song.mid", "--in=-a.index", *MODEL)))
    assert words[3:5] == ["--in", "./-a.index"]
    run(capsys, main, *words)


def test_neighbours_never_replace_another_file_nor_the_query(home, capsys):
    song = write_midi(home / "music" / "song.mid", NOTES)
    write_midi(home / "neighbours.mid", NOTES)
    before = (home / "neighbours.mid").read_bytes()
    for _ in range(2):  # an earlier file of neighbours is replaced
        _, words = follow(capsys, run(capsys, embed_main, song, *MODEL))
        assert words[-1] == "neighbours-2.mid" and (home / words[-1]).is_file()
    assert (home / "neighbours.mid").read_bytes() == before
    out = run(capsys, search.main, "neighbours-2.mid", "--in", "music", *MODEL)
    assert pasted(next_of(out))[1][-1] == "neighbours-3.mid"


def test_where_a_search_finds_nothing_of_it_there_is_no_next_step(home, capsys, monkeypatch):
    """Files beside composers' folders have no composer; then it is the default corpus, if any."""
    write_midi(home / "stray.mid", NOTES)
    write_midi(home / "Bach" / "a.mid", NOTES)
    (home / "broken").mkdir()
    (home / "broken" / "bad.mid").write_text("no music")
    words = (*MODEL, "stray.mid")
    os.mkfifo(home / "broken" / "pipe.mid")
    assert exit_status(lambda: embed_main([*words, "broken", "Bach"])) == 1  # some are left out
    first, _ = follow(capsys, capsys.readouterr().out)
    assert first[0] == "stray.mid" and first[4] == "Bach"
    if util.find_spec("music21"):
        assert "--in" not in next_of(run(capsys, embed_main, *words))
    monkeypatch.setattr(next_searches, "_has_default_corpus", lambda: False)
    assert "Next:" not in run(capsys, embed_main, *words)
    first, _ = follow(capsys, run(capsys, embed_main, *MODEL, "Bach/a.mid"))
    assert first[4] == "Bach"


def test_notes_name_a_command_too(home, capsys):
    folder = write_corpus(home / "some music", composers=2, pieces=2)
    (folder / "Adagio" / "bad.mid").write_text("no music")
    words = ("-k", 1, *MODEL, "--in", folder)
    out = run(capsys, search.main, folder / "Adagio" / "piece_00.mid", *words)
    (note,) = [line for line in out.splitlines() if "left out" in line]
    line = note.removeprefix("note: 1 file left out; ").removesuffix(" says which, and why")
    main, words = pasted(line)
    assert main is corpus.main and "Adagio/bad.mid: not a MIDI file" in run(capsys, main, *words)


DATA = ("--data", "./-some music")


def settings_of(**others):
    return {
        "data": os.path.abspath("-some music"), "any_meter": False, "splits": None,
        "width": "small", "seed": 0, "split_seed": 0, "model": "context", **others,
    }  # fmt: skip


def test_from_a_corpus_to_its_training(home, capsys):
    write_corpus("-some music", composers=2, pieces=5, beats=16)
    out = run(capsys, corpus.main, "--seed", 3, "--", "-some music")
    main, words = pasted(next_of(out))
    assert main is train.main
    out = run(capsys, main, *words, "--examples", 100, "--out=-run", "--device", "cpu")
    run(capsys, explore.main, "--model=-run", *DATA)


def test_a_run_in_the_usual_folder_is_not_in_the_way(home):
    """Of a training, the same again, and the report on all models."""
    write_corpus("-some music", composers=2, pieces=4, beats=40)
    music = Corpus.from_folder("-some music")
    for out in ([], ["--out", "runs/context-2"], ["--out", "runs/context-3"]):
        main, words = pasted(next_runs.after_corpus(music, settings_of()))
        assert main is train.main and words == [*DATA, *out]
        Run.create(train.build_parser().parse_args(words).out or "runs/context", {})
    main, words = pasted(next_runs.after_train(music, settings_of(), "runs/context"))
    assert main is evaluate.main and words == ["runs/context"]
    for out in ([], ["--out", "report-2"]):
        main, words = pasted(next_runs.after_evaluate(settings_of(), 4))
        assert main is reproduce.main and words == [*DATA, "--seed", "4", *out]
        os.makedirs("report", exist_ok=True)


def trains(music, model, home):
    """Whether a training begins, and has something to validate with."""
    settings = train.read_settings(train.build_parser().parse_args(["--model", model]))
    try:
        Trainer(Run(home / "nowhere"), settings, music)
    except InputError:
        return False
    return True


@pytest.mark.parametrize(
    ("sizes", "beats"),
    [
        ([1], 12),
        ([2], 12),
        ([2], 3),
        ([1, 1], 12),
        ([2], 11),
        ([5, 5], 11),
        ([5, 5], 12),
        ([4], 40),
    ],
)
def test_what_is_proposed_for_a_small_corpus_is_possible(sizes, beats, home, capsys):
    for c, n in enumerate(sizes):
        for i in range(n):
            notes = [(480 * beat, 480, 60 + i + beat % (5 + c)) for beat in range(beats)]
            write_midi(home / "-some music" / f"composer {c}" / f"{i}.mid", notes)
    music = Corpus.from_folder("-some music")
    for model in ("context", "note_drop"):
        assert next_runs.has_examples(music, model) == trains(music, model, home)
        if not next_runs.has_examples(music, model):
            continue
        main, words = pasted(next_runs.after_train(music, settings_of(model=model), "runs/x"))
        if main is train.main:
            assert trains(music, words[1] if "--model" in words else "context", home)
        else:
            assert (main is evaluate.main) == (beats == 40)
    main, words = pasted(next_runs.after_corpus(music, settings_of()))
    assert (main is train.main) == trains(music, "context", home)
    if main is explore.main:
        run(capsys, main, *words, *MODEL)
