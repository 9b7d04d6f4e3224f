"""The benchmark of growing stores, at a size that takes a moment."""

import csv
import json
import sys

import pytest

from benchmarks import large_store, large_store_examples
from benchmarks.large_store_estimate import duration, estimate, slope
from benchmarks.process_memory import measured
from tinyembed.cli.running import exit_status
from tinyembed.errors import WorkError
from tinyembed.storage.files import read_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


def test_slopes():
    assert slope([1, 10, 100], [5, 50, 500]) == pytest.approx(1)
    assert slope([1, 10, 100], [7, 7, 7]) == pytest.approx(0)
    assert slope([4, 9], [3, 2]) == pytest.approx(-0.5)
    assert slope([4], [3]) is None


def test_durations():
    assert [duration(s) for s in (1.2, 119, 120, 7200, 864_000)] == [
        "1 s", "119 s", "2 minutes", "2 hours", "10 days",
    ]  # fmt: skip


def test_the_memory_of_a_command_and_of_its_children():
    code = """
import os, time
own = bytearray(60_000_000)
if os.fork() == 0:
    more = b"x" * 40_000_000
    time.sleep(4)
    os._exit(0)
os.wait()
print("done")
"""
    taken = measured([sys.executable, "-c", code])
    assert taken.output == "done\n" and taken.processes == 2
    assert 100e6 < taken.resident < 140e6  # of the child, which shares its parent's
    assert 100e6 < taken.private <= taken.together < 140e6
    assert 160e6 < taken.summed < 220e6
    assert taken.seconds > 4 > taken.cpu_seconds


def test_a_command_that_fails():
    with pytest.raises(WorkError, match=r"ended with 3: .*no music"):
        measured([sys.executable, "-c", "import sys; print('no music'); sys.exit(3)"])


@pytest.mark.parametrize(
    ("left_out", "found", "wrong"),
    [
        (["a", "x", "q"], (1, 2), 0),
        (["b", "y", "q"], (1, 2), 0),
        (["a", "q"], (1, 1), 1),  # no copy of the second pair
        (["a", "b", "x", "q"], (1, 1), 1),  # both of the first one
        (["a", "x"], (0, 2), 1),
        (["a", "x", "q", "other"], (1, 2), 1),
    ],
)
def test_what_was_left_out_against_the_truth(tmp_path, left_out, found, wrong):
    truth = {"copies": [["a", "b", 0], ["x", "y", 3]], "broken": [["q", "empty"]]}
    table = tmp_path / "left_out.tsv"
    with open(table, "w", newline="") as file:
        lines = csv.writer(file, delimiter="\t")
        lines.writerows([("file", "reason"), *((name, "why") for name in left_out)])
    result = large_store.compare(truth, table)
    assert (result["broken_found"], result["copies_found"]) == found
    assert result["wrong"] == wrong


def test_from_files_to_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(large_store, "RESULTS", tmp_path)
    monkeypatch.setattr(large_store, "ROUNDS", 1)
    monkeypatch.setattr(large_store, "IN_MEMORY", 0)
    words = ["--sizes", "100", "--work", str(tmp_path / "work"), "--keep"]
    assert exit_status(lambda: large_store.main(["--estimate"])) == 2
    assert exit_status(lambda: large_store.main(words)) == 0
    assert "2 of 2 broken files and 5 of 5 copies found, 0 wrong" in capsys.readouterr().out
    result = read_json(tmp_path / "large_store.json")
    found = result["sizes"]["100"]
    assert found["store"]["pieces"] == 100 - 2 - 5
    assert found["store"]["kept_units"] < found["store"]["units"]
    assert list(found["examples"]) == ["store"]
    drawn = found["examples"]["store"]
    assert drawn["examples_per_s"] > 0
    assert found["store"]["kept_units"] * 0.9 < drawn["examples"] <= found["store"]["kept_units"]
    assert (tmp_path / "large_store.png").stat().st_size > 10_000
    capsys.readouterr()
    store = str(tmp_path / "work" / "100-store")
    memory = [store, "--reader", "memory", "--seconds", "0.1"]
    assert exit_status(lambda: large_store_examples.main(memory)) == 0
    assert json.loads(capsys.readouterr().out)["examples_per_s"] > 0
    measure = large_store.measure
    monkeypatch.setattr(large_store, "measure", lambda *args: pytest.fail("measured again"))
    assert exit_status(lambda: large_store.main(words)) == 0
    monkeypatch.setattr(large_store, "measure", measure)
    capsys.readouterr()
    assert exit_status(lambda: large_store.main(["--estimate"])) == 0
    assert "| read 1,400,000 files |" in capsys.readouterr().out
    assert list(estimate({**result["sizes"], "500": found}, {}))[-1]
