"""The command that a benchmark writes beside its numbers."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks
from benchmarks.parser import THREADS, BenchmarkParser

FOLDER = Path(benchmarks.__file__).parent
NAMED = {
    path.stem: found
    for path in FOLDER.glob("*.py")
    if (found := re.findall(r'= BenchmarkParser\("(\w+)"', path.read_text()))
}


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)


def parsed(*words):
    parser = BenchmarkParser("example", "An example.")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--rounds", type=int)
    parser.share("--json")
    return parser.parse_args(list(words))


def test_each_is_called_as_its_file():
    assert len(NAMED) > 25
    assert NAMED == {stem: [stem] for stem in NAMED}


@given(st.lists(st.text("ab 'é{}=", min_size=1, max_size=8)))
def test_the_command_can_be_given_again(words):
    options = parsed("--rounds", "3", "--json", "--", *words)
    start, again = shlex.split(options.command)[:3], shlex.split(options.command)[3:]
    assert start == ["python", "-m", "benchmarks.example"]
    assert again == ["--rounds", "3", "--", *words]


def test_places_on_this_machine_are_left_out(tmp_path, monkeypatch):
    words = (f"{tmp_path}/piano", "../other/music/", "corpus/piano", "runs/a{}b")
    shown = "piano music corpus/piano 'runs/a{}b'"
    assert parsed(*words).command == f"python -m benchmarks.example {shown}"
    monkeypatch.setattr("sys.argv", ["example", f"{tmp_path}/piano", "--json"])
    parser = BenchmarkParser("example", "An example.")
    parser.add_argument("paths", nargs="*")
    parser.share("--json")
    assert parser.parse_args().command == "python -m benchmarks.example piano"


def test_the_number_of_threads_is_part_of_the_command(monkeypatch):
    monkeypatch.setenv(THREADS, "1")
    assert parsed().command == f"{THREADS}=1 python -m benchmarks.example"


def test_the_results_begin_with_the_command(tmp_path, monkeypatch):
    machine = importlib.import_module("benchmarks.machine")
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    machine.finish("example", {"seconds": 1}, parsed("a"))
    text = (tmp_path / "example.json").read_text()
    assert text.split('"')[1:4] == ["command", ": ", "python -m benchmarks.example a"]
