"""What all measurements share: the machine they ran on, timing side by side, writing results."""

import argparse
import json
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from tinyembed.backends import choice
from tinyembed.backends.choice import engine_for
from tinyembed.backends.cpu.threads import usable_cores, workers
from tinyembed.storage.files import write_json

RESULTS = Path(__file__).parent / "results"


def read_options(parser, argv):
    """The options of a benchmark, those that all have among them; numba is on or off from here."""
    parser.add_argument("--plain", action="store_true", help="NumPy alone, though numba is there")
    parser.share("--json")
    options = parser.parse_args(argv)
    choice.use("cpu" if options.plain else "numba")
    return options


def as_in_training(step):
    """A function that takes a step as a training does, with its engine running."""
    engine = engine_for(np)

    def take():
        with engine.running():
            return step()

    return take


@contextmanager
def busy(loops):
    """So many processes that do nothing but take time."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        time.sleep(0.5 if loops else 0)  # they have to start
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def machine():
    """The processor, the versions and the number of threads."""
    about = {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": workers(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    if choice.in_use() == "numba":
        import numba

        about["numba"] = numba.__version__
    try:
        import torch

        about |= {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    except ImportError:
        pass
    return about


def _processor():
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()


def side_by_side(rivals, rounds, at_least=0.3, wait=lambda: None, rest=0.0):
    """Time several pieces of work in turns, so that a busy moment hits all of them alike.

    rivals: {name: function}; rounds: how many turns each has, after one that does not count;
    at_least: seconds per turn; wait: for what a GPU has been given to do, before the clock is read;
    rest: seconds before a turn, in which the threads of the one before stop spinning.
    Returns {name: [seconds of one call, one per round]}.
    """

    def seconds_of(work, times):
        wait()
        began = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        return (time.perf_counter() - began) / times

    repeats = {}
    for name, work in rivals.items():
        work()
        repeats[name] = max(1, round(at_least / seconds_of(work, 1)))
    taken = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            time.sleep(rest)
            taken[name].append(seconds_of(work, repeats[name]))
    return taken


def spread(seconds):
    """{"median", "q1", "q3", "n"} of some times."""
    q1, median, q3 = np.percentile(seconds, [25, 50, 75])
    return {"median": float(median), "q1": float(q1), "q3": float(q3), "n": len(seconds)}


def ratio(ours, theirs):
    """How many times faster ours is: the median over rounds of theirs / ours."""
    return float(np.median(np.asarray(theirs) / np.asarray(ours)))


SGEMM_SIZE = 2048


def sgemm():
    """A function that multiplies two large matrices: the shape that the machine does best."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, SGEMM_SIZE, SGEMM_SIZE), dtype=np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def gflops_of(seconds):
    """The rate of `sgemm`, 1e9 operations per second, from the median of its times."""
    return 2 * SGEMM_SIZE**3 / float(np.median(seconds)) / 1e9


def fraction_of_sgemm(flops, ours, theirs):
    """The rate of work of so many operations by that of `sgemm`, taken in turns with it.

    flops: operations of the work; ours: its times; theirs: those of `sgemm`, one per round each.
    """
    return ratio(ours, theirs) * flops / (2 * SGEMM_SIZE**3)


def finish(name, result, options):
    """Write results/NAME.json, and print it where a program reads.

    A benchmark that numba could have been in writes NAME-plain.json without it.
    """
    name += "-plain" if "plain" in options and choice.in_use() != "numba" else ""
    result = {"command": options.command, **result}
    write_json(RESULTS / f"{name}.json", {**result, "machine": machine()})
    if options.json:
        print(json.dumps(result))


def positive(text):
    """A whole number above 0, for argparse."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
