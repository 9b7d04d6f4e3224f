"""2,000 mutated MIDI files; `python -m benchmarks.fuzz` reads ten times as many, or more."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import fuzz

ROOT = Path(__file__).parents[1]


def test_mutated_files_give_a_piece_or_a_reason():
    code = (
        "import json; from benchmarks.fuzz import *\n"
        "files = seeds(); limit_memory(); print(json.dumps(fuzz(2000, files, 1)[0]))"
    )
    # In a process of its own, since it limits its memory.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = json.loads(done.stdout)
    assert sum(outcomes.values()) == 2000
    assert min(outcomes[kind] for kind in ("read", "repaired", "truncated", "damaged")) > 20


def test_the_fuzzer_notices(monkeypatch):
    def broken(data, any_meter):
        return data[20_000]

    monkeypatch.setattr(fuzz, "read_midi", broken)
    try:
        fuzz.fuzz(1, fuzz.seeds())
    except fuzz.WorkError as error:
        assert "mutation 0 with seed 0: IndexError" in str(error)
    else:
        raise AssertionError("nothing was noticed")
