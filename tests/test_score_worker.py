"""Scores from anywhere are read in a process of its own: nothing that a file does harms this one.

`strange_reader` stands for music21 on files that mean harm. Only the last tests need music21.
"""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from strange_reader import strange_reader

from tinyembed import corpus as corpus_command
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music import default_corpus, score_worker
from tinyembed.music.inputs import read_file, read_music
from tinyembed.music.reading import read_pieces
from tinyembed.music.score_worker import Worker, read_score_in_worker
from tinyembed.music.scores import read_score

ROOT = Path(__file__).resolve().parents[1]
with_music21 = pytest.mark.peer("music21")
with_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")

KERN = "**kern\n*M4/4\n4c\n4d\n4e\n4f\n*-\n"
ABC = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n"


@pytest.fixture
def worker():
    made = Worker(strange_reader)
    yield made
    made.close()


def test_one_process_reads_many_files(worker, tmp_path, monkeypatch, capfd):
    first, *rest = worker.read("/a.xml")
    assert rest == ["/a.xml", False] and first != os.getpid()
    assert os.getsid(first) != os.getsid(0)  # a terminal's Ctrl-C reaches this process alone
    monkeypatch.chdir(tmp_path)  # the worker stays where it is
    assert worker.read("print", True) == (first, str(tmp_path / "print"), True)
    for name, kind, reason in (
        ("refuse", MusicError, "^out of tune$"),
        ("impossible", InputError, "^no reader$"),
        ("divide", MusicError, "^unexpected ZeroDivisionError: division by zero$"),
        ("recurse", MusicError, "^unexpected RecursionError: maximum recursion depth"),
    ):
        with pytest.raises(kind, match=reason):
            worker.read(name)
        assert worker.read("b")[0] == first
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "limits", "reason"),
    [
        ("sleep", {"seconds": 1}, "takes longer than 1 s to read"),
        ("loop in C", {"seconds": 1}, "takes longer than 1 s to read"),
        pytest.param(
            *("fill", {"memory": 200_000_000}, "takes more than 0.2 GB of memory to read"),
            marks=with_proc,
        ),
        ("exit", {}, "the process that read it died (exit status 3)"),
        ("leave", {}, "the process that read it died (exit status 70)"),
        ("crash", {}, "the process that read it died (SIGSEGV)"),
    ],
)
def test_a_file_that_the_worker_does_not_survive(name, limits, reason, tmp_path):
    worker = Worker(strange_reader, **limits)
    before = worker.read("a")[0]
    with pytest.raises(MusicError, match=f"^{re.escape(reason)}$"):
        worker.read(tmp_path / name)
    after = worker.read("b")[0]
    assert before != after == worker.read("c")[0]
    worker.close()


def test_a_worker_that_was_killed_between_two_files(worker):
    first = worker.read("a")[0]
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert worker.read("b")[0] != first


def test_a_worker_that_does_not_start(worker, monkeypatch):
    monkeypatch.setattr(score_worker, "START", ["-c", "raise SystemExit(5)"])
    with pytest.raises(WorkError, match=r"does not start: exit status 5$"):
        worker.read("a")
    monkeypatch.undo()
    assert worker.read("b")
    worker.close()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkError, match=r"does not start: No such file or directory$"):
        worker.read("a")
    monkeypatch.undo()
    assert worker.read("b")


def no_process(path):
    raise WorkError("no process starts")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_no_score_can_be_read_without_ends_the_reading(workers):
    """It would be the reason of every file."""
    with pytest.raises(WorkError, match=r"^no process starts$"):
        read_pieces([("A", n, f"/{n}.krn") for n in "abc"], no_process, workers, progress=False)


def test_a_corpus_whose_scores_cannot_be_read_is_one_line(tmp_path, monkeypatch, capsys):
    for name in ("A/a.krn", "A/b.krn", "B/c.krn"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(KERN)
    monkeypatch.setattr(score_worker, "START", ["-c", "raise SystemExit(5)"])
    monkeypatch.setattr(score_worker, "_workers", {})
    assert exit_status(lambda: corpus_command.main(["--data", str(tmp_path)])) == 1
    out, err = capsys.readouterr()
    reason = "the process that reads scores does not start: exit status 5"
    assert (out, err) == ("", f"tinyembed: {reason}\n")


def test_threads_share_a_worker(worker):
    paths = [f"/{n}" for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(worker.read, paths))
    assert [path for _, path, _ in answers] == paths
    assert len({process for process, _, _ in answers}) == 1


def read_kern_twice(path, answers):
    pieces = [read_score_in_worker(path) for _ in range(2)]
    answers.put(([piece.ticks.tolist() for piece in pieces], process_of(score_worker)))


def process_of(module):
    return module._workers[os.getpid()]._process.pid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_its_own_worker(tmp_path):
    """Also where it is a daemon, as in a `multiprocessing.Pool`, and may not start processes."""
    path = tmp_path / "a.krn"
    path.write_text(KERN)
    read_score_in_worker(path)
    ours = process_of(score_worker)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=read_kern_twice, args=(path, answers), daemon=True)
    child.start()
    ticks, theirs = answers.get()
    child.join()
    assert ticks == [[0, 24, 48, 72]] * 2 and theirs != ours
    read_score_in_worker(path)
    assert process_of(score_worker) == ours


# The end of a program.


def is_running(process):
    """Whether it runs. One that has ended may wait for its parent as a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def start(folder, script):
    """Run a script without a main guard, in a session of its own."""
    (folder / "script.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "script.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@with_proc
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_the_worker_ends_with_its_parent(tmp_path, how):
    process = start(
        tmp_path,
        "import signal\n"  # where the tests run in the background, Ctrl-C is ignored and inherited
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from strange_reader import strange_reader\n"
        "from tinyembed.cli.running import run\n"
        "from tinyembed.music.score_worker import Worker\n"
        "run(lambda: Worker(strange_reader).read('sleep'))\n",
    )
    written = tmp_path / "sleep"
    wait_until(lambda: written.exists() and written.read_text())
    worker = int(written.read_text())
    assert is_running(worker)
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.send_signal(getattr(signal, how))
    out, err = process.communicate(timeout=30)
    wait_until(lambda: not is_running(worker))
    expected = {
        "Ctrl-C": ("tinyembed: interrupted\n", 130),
        "SIGTERM": ("tinyembed: stopped by SIGTERM\n", 143),
        "SIGKILL": ("", -signal.SIGKILL),
    }
    assert out == "" and (err, process.returncode) == expected[how]


@with_proc
def test_a_program_that_ends(tmp_path):
    """It runs once, prints nothing of ours and leaves no process."""
    (tmp_path / "a.krn").write_text(KERN)
    (tmp_path / "pickle.py").write_text("")  # nothing is imported from the folder of the music
    process = start(
        tmp_path,
        "import sys; sys.path.pop(0)\n"
        "from tinyembed.music.inputs import read_music\n"
        "from tinyembed.music import score_worker\n"
        "piece, (worker,) = read_music('a.krn'), score_worker._workers.values()\n"
        "print(len(piece.ticks), worker._process.pid)\n",
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    (line,) = out.splitlines()
    onsets, worker = map(int, line.split())
    assert onsets == 4 and not is_running(worker)


# With music21.


def assert_same(one, other):
    np.testing.assert_array_equal(one.ticks, other.ticks)
    np.testing.assert_array_equal(one.pitches, other.pitches)
    assert (one.ticks.dtype, one.pitches.dtype) == (other.ticks.dtype, other.pitches.dtype)
    for name in ("n_beats", "on_grid", "tempi", "repairs"):
        assert getattr(one, name) == getattr(other, name)


def some_scores(folder):
    (folder / "a.krn").write_text(KERN)
    (folder / "b.abc").write_text(ABC)
    works = default_corpus.scores_folder()
    names = ("bach/bwv277.mxl", "monteverdi/madrigal.4.2.mxl", "ciconia/quod_jactatur.xml")
    return [folder / "a.krn", folder / "b.abc", *(works / name for name in names)]


@with_music21
def test_the_same_pieces_as_in_this_process(tmp_path):
    for path in some_scores(tmp_path):
        assert_same(read_music(path, True), read_score(path, True))


@with_music21
def test_several_processes_that_read_have_a_worker_each(tmp_path, capfd):
    items = [("A", str(path), path) for path in some_scores(tmp_path)[:3]] * 2
    serial, parallel = (read_pieces(items, read_file, n, progress=False)[0] for n in (1, 2))
    assert len(serial) == len(parallel) == 6
    for one, other in zip(serial, parallel, strict=True):
        assert_same(one[2], other[2])
    assert capfd.readouterr() == ("", "")


@with_music21
def test_this_process_does_not_import_music21(tmp_path):
    (tmp_path / "b.abc").write_text(ABC)
    process = start(
        tmp_path,
        "import sys\n"
        "from tinyembed.music.inputs import read_music\n"
        "print(len(read_music('b.abc').ticks), 'music21' in sys.modules)\n",
    )
    assert process.communicate(timeout=60) == ("4 False\n", "")


def test_without_music21_no_process_starts(tmp_path, monkeypatch):
    (tmp_path / "b.abc").write_text(ABC)
    monkeypatch.setitem(sys.modules, "music21", None)
    monkeypatch.setattr(score_worker, "_workers", {})
    with pytest.raises(InputError, match=r'pip install "tinyembed\[scores\]"'):
        read_music(tmp_path / "b.abc")
    assert score_worker._workers == {}


@with_music21
@with_proc
def test_a_small_file_that_unpacks_to_a_large_one(tmp_path):
    path = tmp_path / "bomb.mxl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("score.xml", b" " * 200_000_000)
    worker = Worker(read_score, memory=300_000_000)
    with pytest.raises(MusicError, match=r"^takes more than 0\.3 GB of memory to read$"):
        worker.read(path)
    worker.close()
