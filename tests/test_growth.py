"""Sampling the memory of a long training; the hour itself is a benchmark."""

import subprocess
import sys

import pytest

from benchmarks import growth
from tinyembed.errors import WorkError


def child(code):
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_growth_leaves_the_beginning_out():
    samples = [(n, 100 if n < 10 else 500) for n in range(100)]
    assert growth.growth(samples) == (500, 500)
    assert growth.growth([(n, n) for n in range(100)]) == (14.5, 94.5)


def test_a_process_that_takes_more_and_more(monkeypatch):
    monkeypatch.setattr(growth, "EVERY", 0.05)
    code = "import time\nkept = []\nwhile True: kept.append(b'x' * 10**6); time.sleep(0.01)"
    with child(code) as process:
        early, late = growth.growth(growth.sample(process, 2, progress=False))
        process.kill()
    assert late > early + 1e7


def test_a_training_that_ends(monkeypatch):
    monkeypatch.setattr(growth, "EVERY", 0.05)
    with child("raise SystemExit('no music')") as process:
        with pytest.raises(WorkError, match="the training ended: no music"):
            growth.sample(process, 20, progress=False)
