"""The guided fuzzer: its changes reach what is behind the checksums, and what it finds is told."""

import random
from contextlib import ExitStack

import pytest

from benchmarks import guided, guided_targets
from tinyembed.errors import InputError


def bytewise(data):
    """Three bits of some bytes, each time the same ones."""
    rng, changed = random.Random(len(data)), bytearray(data or b"x")
    for _ in range(3):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("name", "least"), [("weights", 50), ("index", 25)])
def test_changes_that_know_the_format_reach_the_checks_behind_the_seal(name, least, stack):
    target = guided_targets.TARGETS[name](stack)
    outcomes = [target.check(seed) for seed in target.seeds]
    assert set(outcomes) == {"accepted"}
    for n in range(200):
        seed = target.seeds[n % len(target.seeds)]
        changed = target.mutate(seed, random.Random(n), bytewise)
        outcomes.append(target.check(changed))
        target.mutate(changed, random.Random(n), bytewise)  # whatever it has become
    unsealed = sum("checksum" in outcome for outcome in outcomes)
    accepted = outcomes.count("accepted")
    assert unsealed < 50 and 20 < accepted < 125
    assert len({outcome.rpartition(": ")[2] for outcome in outcomes}) > least


@pytest.mark.parametrize("name", guided_targets.TARGETS)
def test_whole_files_are_accepted(name, stack):
    target = guided_targets.TARGETS[name](stack)
    outcomes = [target.check(seed) for seed in target.seeds]
    assert sum(outcome.startswith("refused") for outcome in outcomes) == (target.mutate is None)


def test_reading_a_finding_again(monkeypatch, capsys, tmp_path):
    file = tmp_path / "a.mid"
    file.write_bytes(guided_targets.midi_files()[0])
    assert guided.main(["midi", "--again", str(file)]) == 0
    assert f"{file}: a piece of " in capsys.readouterr().out
    monkeypatch.setattr(guided_targets, "read_midi", lambda data, any_meter: data[10**6])
    assert guided.main(["midi", "--again", str(file)]) == 1
    assert "IndexError" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(InputError, match=r"no\.mid: No such file"):
        guided.main(["midi", "--again", str(tmp_path / "no.mid")])


def test_without_atheris(monkeypatch, tmp_path):
    monkeypatch.setattr(guided.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install .tinyembed\[fuzz\]"):
        guided.main(["midi", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", guided_targets.TARGETS)
@pytest.mark.peer("atheris")
def test_a_few_seconds_of_it(name, tmp_path):
    result = guided.fuzz(name, 3, tmp_path)
    assert result["findings"] == {} and list(tmp_path.iterdir()) == []
    assert result["inputs"] > 20 and result["kept"] > 5


@pytest.mark.parametrize(
    ("fault", "words"),
    [("exception", "IndexError: a fault"), ("hang", "timeout after"), ("memory", "MemoryError")],
)
@pytest.mark.peer("atheris")
def test_a_fault_is_found_and_written(fault, words, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", fault)
    result = guided.fuzz("midi", 60, tmp_path, child="tests.fuzzed_fault")
    (file,) = tmp_path.iterdir()
    assert result["findings"].keys() == {str(file)} and words in result["findings"][str(file)]
    assert file.name.startswith(f"midi-{'timeout' if fault == 'hang' else 'crash'}-")
    with ExitStack() as stack:  # the reader without the fault
        assert guided_targets.midi(stack).check(file.read_bytes()).startswith("a piece")
