"""Kills of commands that are killed nowhere else in the tests; and that a loss is noticed.

Trainings are killed in test_train.py, reproductions in test_reproduce.py; `python -m
benchmarks.kills` kills all of them a hundred times.
"""

import os
import random
from argparse import Namespace

import pytest

from benchmarks import kills, remains
from tinyembed.storage.records import write_record

NONE = {"trainings": 0, "reproduce": 0, "indexes": 0, "corpora": 0}
linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks into Linux's /proc")


@linux
@pytest.mark.parametrize(("kind", "name"), [("indexes", "index"), ("corpora", "corpus")])
def test_killed_and_started_again(kind, name, monkeypatch, tmp_path):
    monkeypatch.setitem(kills.MUSIC, "many", (6, 35, 4))
    monkeypatch.setitem(kills.MUSIC, "long", (2, 5, 40))
    monkeypatch.setattr(kills, "MOMENTS", ("at any instant",))
    work, n = kills.works(tmp_path, Namespace(**{**NONE, kind: 2}))[name]
    entry = kills.survive(work, n, tmp_path / name, tmp_path / "cache", random.Random(0))
    assert entry["faults"] == []
    assert entry["kills"] == 2 and entry["identical"] == entry["ends"] > 0


FRAGILE = """
import pathlib, subprocess, sys, time
log = pathlib.Path("log.txt")
log.write_text(log.read_text() + "x" if log.exists() else "x")
{}
pathlib.Path(".a.tmp").touch()  # for which the kill waits: the line above has run by then
time.sleep(0.5)
"""


def fragile(folder, line):
    """A command that does everything wrong."""
    program = folder / "fragile.py"
    program.write_text(FRAGILE.format(line))
    return kills.Work(f"{program}")


@linux
def test_what_is_lost_and_what_is_left_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(remains, "PATIENCE", 0.2)
    work = fragile(tmp_path, "pass")
    monkeypatch.setattr(kills, "MOMENTS", ("while it writes",))
    entry = kills.survive(work, 1, tmp_path / "a", tmp_path / "cache", random.Random(0))
    assert entry["faults"] == ["differs: log.txt", f"left: {tmp_path / 'a' / 'killed' / '.a.tmp'}"]
    assert entry["with a file half written"] == 1 and entry["identical"] == 0
    work = fragile(tmp_path, "subprocess.Popen(['sleep', '3'])")
    entry = kills.survive(work, 1, tmp_path / "b", tmp_path / "cache", random.Random(0))
    assert entry["faults"][0].endswith("lives on")
    work = fragile(tmp_path, "sys.exit('no more')")
    entry = kills.survive(work, 1, tmp_path / "c", tmp_path / "cache", random.Random(0))
    assert entry["faults"] == ["undisturbed: no more"]


def test_times_are_not_compared_but_all_else_is():
    value = {"seconds": {"embed": 1}, "a": {"examples_per_s": 3, "b": 4}, "log_size": 9}
    assert remains.timeless(value) == {"a": {"b": 4}}


def test_a_summary_is_compared_without_its_times_and_their_checksum(tmp_path):
    printed, found = tmp_path / "printed.txt", []
    printed.touch()
    path = tmp_path / "out" / "summary.json"
    path.parent.mkdir()
    for seconds, loss in ((1, 0.5), (2, 0.5), (1, 0.6)):
        write_record(path, {"seconds": seconds, "loss": loss})
        found.append(remains.contents(path.parent, printed))
    assert found[0] == found[1] != found[2]
