"""Is this checkout as fast as another one, say of the commit before?

    git worktree add ../before COMMIT
    python -m benchmarks.versions ../before [--rounds 15] [--json]

Each checkout works in a process of its own, and the two take turns: training steps with numba and
without at both widths, the LSTM's step, encoding, and importing the package. A ratio is this
checkout's time over the other's in one round; its 95% interval is a bootstrap of the median.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import finish, positive
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError

HERE = Path(__file__).resolve().parents[1]
WORK = (
    "step small numba", "step paper numba", "step small plain", "step paper plain", "lstm numba",
    "lstm plain", "encode small numba", "encode paper numba", "encode small plain",
    "encode paper plain",
)  # fmt: skip


def main(argv=None):
    parser = BenchmarkParser("versions", __doc__.splitlines()[0])
    parser.add_argument("other", metavar="CHECKOUT", help="folder of the checkout to compare with")
    parser.add_argument("--rounds", type=positive, default=15, help="turns that each takes")
    parser.share("--json")
    options = parser.parse_args(argv)
    if not (Path(options.other) / "tinyembed").is_dir():
        raise InputError(f"{options.other}: not a checkout of tinyembed")
    checkouts = {"this": HERE, "other": Path(options.other).resolve()}
    result = {"rounds": options.rounds}
    for work in WORK:
        workers = {name: Worker(folder, work) for name, folder in checkouts.items()}
        taken = {name: [] for name in workers}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                taken[name].append(worker.turn())
        for worker in workers.values():
            worker.end()
        result[work] = compare(taken, options.json, work)
    taken = {name: [] for name in checkouts}
    for _ in range(options.rounds):
        for name, folder in checkouts.items():
            taken[name].append(import_seconds(folder))
    result["import"] = compare(taken, options.json, "import")
    finish("versions", result, options)
    return 0


def compare(taken, quiet, name):
    """{"ratio", "low", "high", "ms", "other_ms"} of the times of both checkouts."""
    ratios = np.array(taken["this"]) / np.array(taken["other"])
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    found = {
        "ratio": float(np.median(ratios)),
        "low": float(low),
        "high": float(high),
        "ms": 1e3 * float(np.median(taken["this"])),
        "other_ms": 1e3 * float(np.median(taken["other"])),
    }
    if not quiet:
        print(
            f"{name:20}{found['ms']:9.2f} ms, before{found['other_ms']:9.2f} ms; ratio "
            f"{found['ratio']:.3f} ({low:.3f} to {high:.3f})",
            flush=True,
        )
    return found


def import_seconds(folder):
    began = time.perf_counter()
    command = [sys.executable, "-c", "import tinyembed"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(folder)})
    return time.perf_counter() - began


class Worker:
    """A process that imports one checkout and does one kind of work when it is asked to."""

    def __init__(self, folder, work):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, *work.split()],
            env={**os.environ, "PYTHONPATH": str(folder)}, cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.turn()

    def turn(self):
        """The seconds of one call, the mean of those of a turn."""
        print("go", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise WorkError(f"a worker ended with {self.process.wait()}")
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


# Runs in either checkout; the second imports are those of version 0.1.0 and earlier.
CODE = """
import json, sys, time
import numpy as np
from tinyembed.layers.layer import Sequential
from tinyembed.layers.lstm import LastStep, Lstm
try:
    from tinyembed.backends import choice
    from tinyembed.backends.cpu.memory import keep_memory
    from tinyembed.models.model import Model
    from tinyembed.training.examples import Batch, draw_candidates
    from tinyembed.training.optimizers import Adam, Flat
    use = choice.use
except ImportError:
    from tinyembed import compiled
    from tinyembed.memory import keep_memory
    from tinyembed.models import Model
    from tinyembed.batches import Batch, draw_candidates
    from tinyembed.optimizers import Adam, Flat
    use = lambda name: compiled.switch_on(name == "numba")

kind, *width, backend = sys.argv[1:]
keep_memory()
use("numba" if backend == "numba" else "cpu")
rng = np.random.default_rng(0)
if kind == "lstm":
    x = rng.standard_normal((7, 100, 100), dtype=np.float32)
    dy = rng.standard_normal((100, 400), dtype=np.float32)
    sizes = (100, 400, 400, 400)
    layers = {f"lstm{i}": Lstm(sizes[i], sizes[i + 1], rng=rng) for i in range(3)}
    network = Sequential(**layers, last=LastStep())
    flat = Flat(network.parameters())
    def work():
        flat.grads[...] = 0
        y, cache = network.forward(x, training=True)
        network.backward(dy, cache)
elif kind == "encode":
    rolls = (rng.random((1000, 60, 96)) < 20 / 5760).astype(np.float32)
    model = Model("context", *width, [], rng)
    def work():
        model.encode(rolls)
else:
    rolls, target = (rng.random((2, 100, 60, 96)) < 20 / 5760).astype(np.float32)
    batch = Batch(rolls, target, draw_candidates(100, rng), np.zeros(100, np.int64), rolls)
    model = Model("context", *width, [], rng)
    adam = Adam(Flat(model.parameters()))
    def work():
        _, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        adam.step(1e-3)
work()
began = time.perf_counter()
work()
times = max(1, round(0.4 / (time.perf_counter() - began)))
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(times):
        work()
    print(json.dumps((time.perf_counter() - began) / times), flush=True)
"""

if __name__ == "__main__":
    run(main)
