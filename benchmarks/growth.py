"""Does a long training take more and more memory?

    python -m benchmarks.growth --data FOLDER [--minutes 60] [--model context] [--json]

Runs `python -m tinyembed.train` in a process of its own, asks the system every few seconds how much
memory it has, and stops it with Ctrl-C. What it takes after the first tenth of the time is compared
with what it takes at the end.
"""

import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from tqdm import tqdm

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import check_counts, count
from tinyembed.cli.running import run
from tinyembed.errors import WorkError
from tinyembed.models.table import MODELS

EVERY = 5.0  # seconds between two samples
ENDLESS = 10**12  # examples
MOST_GROWTH = 0.02  # of the memory after the first tenth of the time


def resident(process):
    """The memory that a process has now, in bytes, from Linux."""
    with open(f"/proc/{process.pid}/status") as file:
        (line,) = [line for line in file if line.startswith("VmRSS:")]
    return 1024 * int(line.split()[1])


def sample(process, seconds, progress):
    """(seconds since the beginning, bytes) pairs. Raises WorkError if the process ends before."""
    began, samples = time.monotonic(), []
    with tqdm(total=round(seconds), unit="s", disable=None if progress else True) as bar:
        while (now := time.monotonic() - began) < seconds:
            if process.poll() is not None:
                raise WorkError(f"the training ended: {process.stderr.read().strip()}")
            samples.append((now, resident(process)))
            bar.update(round(now) - bar.n)
            time.sleep(EVERY)
    return samples


def growth(samples):
    """The medians of the second tenth of the samples and of the last, in bytes."""
    sizes = np.array([size for _, size in samples])
    tenth = max(1, len(sizes) // 10)
    return float(np.median(sizes[tenth : 2 * tenth])), float(np.median(sizes[-tenth:]))


def main(argv=None):
    parser = BenchmarkParser("growth", __doc__.splitlines()[0])
    parser.add("--minutes", "how long to train", count, 60)
    parser.add("--model", "which model", MODELS, "context")
    parser.share("--data", "--width", "--json")
    options = parser.parse_args(argv)
    check_counts(options, "minutes")
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", options.model, "--width", options.width, "--out", f"{folder}/run"]
        words += ["--data", options.data] if options.data else []
        process = subprocess.Popen(
            [sys.executable, "-m", "tinyembed.train", *words, "--examples", str(ENDLESS)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            samples = sample(process, 60 * options.minutes, not options.json)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    early, late = growth(samples)
    result = {
        "early_mb": early / 1e6,
        "late_mb": late / 1e6,
        "peak_mb": max(size for _, size in samples) / 1e6,
        "samples_mb": [[round(now), round(size / 1e6, 1)] for now, size in samples[::12]],
    }
    if not options.json:
        print(f"{early / 1e6:.1f} MB after a tenth of the time, {late / 1e6:.1f} MB at the end")
    finish("growth", result, options)
    if late > early * (1 + MOST_GROWTH):
        raise WorkError(f"the memory grew from {early / 1e6:.1f} to {late / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    run(main)
