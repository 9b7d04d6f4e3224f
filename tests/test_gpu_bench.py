"""How benchmarks/gpu.py goes through its tasks, and what it makes of their times. No GPU needed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu_bench
from benchmarks.gpu_compare import built, fastest
from benchmarks.gpu_targets import lines_of_targets, targets
from benchmarks.machine import side_by_side


def bench_of(tmp_path, seconds=1000, check=True):
    options = SimpleNamespace(check=check, seconds=seconds)
    said = []
    bench = gpu_bench.Bench(options, np, None, tmp_path / "r.json", {}, said.append)
    return bench, said


def fail():
    raise ValueError("the\nreason")


def interrupt():
    raise KeyboardInterrupt


def test_a_task_that_fails_says_why_and_the_others_go_on(tmp_path):
    bench, said = bench_of(tmp_path)
    bench.run("part", [("a", dict), ("b", fail), ("c", dict)], 9, lambda entry: ["an entry"])
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["part"] == [{}, {}]
    (failed,) = written["failed"]
    assert (failed["part"], failed["what"]) == ("part", "b")
    assert failed["why"].startswith("ValueError: the reason (test_gpu_bench.py:")
    assert said[0] == said[2] == "an entry" and "b: ValueError: the reason" in said[1]


def test_what_is_cut_off_still_tells(tmp_path):
    bench, _ = bench_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        bench.run("part", [("a", lambda: {"n": 1}), ("b", interrupt)], 9, lambda entry: [])
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["part"] == [{"n": 1}] and written["finished"] is False


@pytest.mark.parametrize(("part_s", "all_s", "taken"), [(100, 100, 4), (25, 100, 3), (100, 15, 2)])
def test_a_part_ends_with_its_seconds(tmp_path, monkeypatch, part_s, all_s, taken):
    """Four tasks of 10 seconds: one is begun where the half of that is left."""
    now = [0.0]
    monkeypatch.setattr(gpu_bench.time, "monotonic", lambda: now[0])

    def task():
        now[0] += 10
        return {}

    bench, _ = bench_of(tmp_path, all_s, check=False)
    bench.run("part", [(str(n), task) for n in range(4)], part_s, lambda entry: [])
    assert len(bench.result["part"]) == taken
    late = "; ".join(str(n) for n in range(taken, 4))
    assert [n["what"] for n in bench.result["left_out"]] == [late] * bool(late)


def test_a_way_that_cannot_be_built_is_named():
    ways, first, failed = built({"a": lambda: lambda: 3, "b": fail, "c": lambda: fail})
    assert list(ways) == ["a"] and first == {"a": 3} and list(failed) == ["b", "c"]
    assert failed["b"].startswith("ValueError: the reason")


def entry_of(tf32, eager, graph):
    of = {"torch eager": {"ratio": eager}, "torch graph": {"ratio": graph}}
    return {"width": "paper", "batch_size": 100, "tf32": tf32, "times_faster_than": of}


def test_what_was_to_be_reached():
    result = {
        "steps": [entry_of(False, 2.99, 1.0), {**entry_of(True, 9, 9), "batch_size": 1000}],
        "passes": [{"width": "paper", "seconds": 39.9}],
    }
    verdicts = [row["verdict"] for row in targets(result)]
    assert verdicts == ["not measured", "not measured", "missed", "met", "met"]
    result["steps"] += [entry_of(True, 3.0, 0.99)]
    result["passes"] = [{"width": "paper", "seconds": 40.0}]
    rows = targets(result)
    assert [row["verdict"] for row in rows] == ["met", "missed", "missed", "met", "missed"]
    assert "2.99 times as fast" in "\n".join(lines_of_targets(rows))


def test_the_clock_is_read_when_the_gpu_is_done():
    """Each turn waits for the GPU before and after it, so it times no other way's work."""
    said = []
    rivals = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    side_by_side(rivals, 2, 0, wait=lambda: said.append("wait"))
    turns = "".join(word[0] for word in said)
    assert turns == "a" + "waw" + "b" + "wbw" + 2 * ("waw" + "wbw")


def test_the_fastest_of_each_kind():
    taken = {
        "tinyembed": [3, 3], "tinyembed, graph": [1, 1], "torch eager": [5, 5],
        "torch eager, channels last": [4, 4], "torch compiled": [3, 3],
        "torch compiled, graph": [0.5, 0.5], "torch graph": [2, 2],
        "torch graph, channels last": [1.5, 1.5],
    }  # fmt: skip
    assert fastest(taken, "tinyembed") == "tinyembed, graph"
    assert fastest(taken, "torch eager") == "torch eager, channels last"
    assert fastest(taken, "torch compiled") == "torch compiled"
    assert fastest(taken, "torch graph") == "torch graph, channels last"
    assert fastest(taken, "torch compiled, graph") == "torch compiled, graph"
    assert fastest(taken, "torch") == "torch compiled, graph"
    assert fastest({"tinyembed": [1]}, "torch") is None
