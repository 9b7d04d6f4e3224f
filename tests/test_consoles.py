"""Consoles that cannot show a name, and locales that decode it otherwise: no command minds."""

import io
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from music import write_corpus

from tinyembed import corpus, explore, search, train
from tinyembed.cli.running import run
from tinyembed.embed import main as embed_main
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights

DVORAK = "Dvo\u0159\u00e1k"  # of which cp1252 has one letter, and ASCII none
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF8 = {"LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Two composers with five pieces each, a file that is none, and a table of the split."""
    home = tmp_path_factory.mktemp("console")
    folder = write_corpus(home / f"Noty {DVORAK}", composers=2, pieces=5, beats=16)
    (folder / "Adagio").rename(folder / DVORAK)
    (folder / DVORAK / "piece_00.mid").rename(folder / DVORAK / f"{DVORAK} 1.mid")
    (folder / DVORAK / "bad.mid").write_text("no music")
    save_weights(folder / "own.npz", Model("context", "small", ["A"], np.random.default_rng(0)))
    return folder


def on_console(encoding, main, *words):
    """Run a command on a console of some encoding: its status, and the text of both streams."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        run(lambda: main([str(word) for word in words]))
    for stream in streams:
        stream.flush()
    return stop.value.code, *(s.buffer.getvalue().decode(encoding) for s in streams)


def process(encoding, *words, **environment):
    """A command in a process of its own, with text of some encoding."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment, "PYTHONIOENCODING": encoding},
    )


SHOWN = {"cp1252": "Dvo\\u0159\u00e1k", "ascii": "Dvo\\u0159\\xe1k"}


@pytest.mark.parametrize("encoding", SHOWN)
def test_names_are_escaped_on_every_console(encoding, music, tmp_path):
    shown = SHOWN[encoding]
    model = ("--model", music / "own.npz")
    song = music / DVORAK / f"{DVORAK} 1.mid"
    for main, words in (
        (corpus.main, (music,)),
        (embed_main, (song, *model, "-o", tmp_path / f"{DVORAK}.npz")),
        (search.main, (song, "--in", music, *model)),
        (explore.main, ("--data", music, *model, "-o", tmp_path / f"{DVORAK}.html")),
        (train.main, ("--data", music, "--examples", 200, "--out", tmp_path / DVORAK)),
    ):
        status, out, err = on_console(encoding, main, *words)
        assert status == 0, err
        assert shown in out and "Traceback" not in err
    status, out, err = on_console(encoding, embed_main, music / DVORAK / "bad.mid", *model)
    assert (status, out) == (1, "") and f"{shown}/bad.mid: not a MIDI file" in err


def test_real_processes(music):
    for encoding in ("cp1252", "ascii"):
        done = process(encoding, "tinyembed.corpus", music)
        assert (done.returncode, done.stderr) == (0, b"")
        assert f"{'Dvo'}\\u0159".encode() in done.stdout
    done = process("ascii:strict", "tinyembed", "corpus", music / "nowhere")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals")
def test_progress_bars(music, tmp_path):
    """On a terminal that has ASCII alone, bars too."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    words = ("tinyembed.embed", music, "--model", music / "own.npz", "-o", tmp_path / "out.npz")
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        stdout=theirs, stderr=theirs, timeout=60, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with open(ours, "rb", 0) as terminal:
        try:
            while data := terminal.read(1000):
                shown += data
        except OSError:  # how Linux says that the other side is closed
            pass
    assert done.returncode == 1  # of the bad file
    assert b"Reading:" in shown and b"#| 11/11" in shown
    assert SHOWN["ascii"] in shown.decode("ascii")


SCRIPT = """
import json, sys, tinyembed
found = tinyembed.Corpus.from_folder(sys.argv[1], cache=False, progress=False)
flat = tinyembed.Corpus.from_folder(sys.argv[2], cache=False, progress=False)
for one in (found, flat):
    is_test = one.piece_is_test.tolist()
    print(json.dumps([one.names, one.composers, one.left_out, is_test, one.notes]))
print(json.dumps(list(tinyembed.embed(sys.argv[1], sys.argv[3], device="cpu", progress=False))))
"""


@pytest.mark.parametrize("split", ["drawn", "table"])
def test_the_same_names_and_split_in_every_locale(split, music):
    table = music / "splits.tsv"
    if split == "table":
        rows = [f"{DVORAK}\t{DVORAK} 1.mid\ttest", f"{DVORAK}\tgone {DVORAK}.mid\ttrain"]
        table.write_text("\n".join(["composer\tfile\tsplit", *rows, ""]), "utf-8")
    said, weights = [], music / "own.npz"
    for environment in (UTF8, POSIX):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, music, music / DVORAK, weights],
            capture_output=True, text=True, encoding="utf-8", timeout=60,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    table.unlink(missing_ok=True)
    assert said[0] == said[1]
    (names, composers, left_out, is_test, notes), flat, embedded = said[0]
    assert names[5] == f"{DVORAK}/{DVORAK} 1.mid" == f"{DVORAK}/{flat[0][0].partition('/')[2]}"
    assert embedded == names and composers == ["Bolero", DVORAK]
    assert left_out == [[f"{DVORAK}/bad.mid", "not a MIDI file"]]
    if split == "table":
        assert [name for name, held in zip(names, is_test, strict=True) if held] == [names[5]]
        assert f"splits.tsv names files that are not there: {DVORAK}/gone {DVORAK}.mid" in notes
    else:
        assert sum(is_test) == 4


def test_the_posix_locale_prints_and_stores_the_same(music, tmp_path):
    """Where the console itself can show the names."""
    tables, words = [], (music / DVORAK / f"{DVORAK} 1.mid", "--model", music / "own.npz", "-o")
    for n, environment in enumerate((UTF8, POSIX)):
        done = process("utf-8", "tinyembed.embed", *words, tmp_path / f"{n}.npz", **environment)
        assert (done.returncode, done.stderr) == (0, b"")
        printed = done.stdout.decode().replace(f"{n}.npz", "")
        tables.append((printed, (tmp_path / f"{n}.npz").read_bytes()))
    assert tables[0] == tables[1] and DVORAK in tables[0][0]
