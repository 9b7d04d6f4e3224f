"""How much faster do several processes train than one?

    python -m benchmarks.ranks [--ranks 2] [--width paper] [--steps 12] [--rounds 3] [--json]

Training steps of the context model, batches of 100 from a made-up corpus, with one thread of BLAS
in each process. One process and several, started by mpiexec, take turns. Each turn is a training
of its own, whose first steps do not count. Beside the rates: what the exchange of the gradients
alone takes, the same number of float32 as the model has weights.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import finish, positive, read_options, spread
from benchmarks.parser import BenchmarkParser
from benchmarks.scaling import made_up
from tinyembed.backends.choice import engine_for
from tinyembed.cli.processes import together
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.models.table import MODELS
from tinyembed.training.trainer import Trainer

WARM_UP = 3  # steps
PIECES = 60
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main(argv=None):
    parser = BenchmarkParser("ranks", __doc__.splitlines()[0])
    parser.share("--width")
    parser.set_defaults(width="paper")
    parser.add_argument("--ranks", type=positive, default=2, help="processes, beside one")
    parser.add_argument("--batch-size", type=positive, default=100, help="examples per step")
    parser.add_argument("--steps", type=positive, default=12, help="of a turn, after the first")
    parser.add_argument("--rounds", type=positive, default=3, help="turns that each takes")
    parser.add_argument("--one-turn", action="store_true", help="for the processes themselves")
    options = read_options(parser, argv)
    if options.one_turn:
        return together(lambda company: take_turn(options, company))
    turns = {1: [], options.ranks: []}
    for _ in range(options.rounds):
        for n, taken in turns.items():
            taken.append(start(n, options))
    rates = {n: options.batch_size / np.median([t["step"] for t in turns[n]]) for n in turns}
    result = {
        "width": options.width,
        "batch_size": options.batch_size,
        "examples_per_s": {n: float(rate) for n, rate in rates.items()},
        "seconds": {n: spread([t["step"] for t in taken]) for n, taken in turns.items()},
        "gradients_ms": 1e3 * float(np.median([t["gradients"] for t in turns[options.ranks]])),
        "ratio": float(rates[options.ranks] / rates[1]),
    }
    if not options.json:
        for n, rate in rates.items():
            print(f"{n} process{'es' * (n > 1)}: {rate:8.0f} examples/s")
        print(f"exchange of the gradients: {result['gradients_ms']:.1f} ms per step")
        print(f"ratio {result['ratio']:.2f}")
    finish(f"ranks-{options.width}", result, options)
    return 0


def start(n, options):
    """One turn of n processes: seconds of a step, and of the exchange of the gradients in it."""
    words = [sys.executable, "-m", "benchmarks.ranks", "--one-turn", "--json"]
    for name in ("width", "batch_size", "steps"):
        words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    words += ["--plain"] * options.plain
    if n > 1:
        words = [mpiexec(), "-n", str(n), *words]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False
    )
    if done.returncode:
        raise InputError(f"{n} processes: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def mpiexec():
    """The launcher beside this Python, or else the first one there is."""
    found = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    if not found:
        raise InputError('there is no mpiexec: pip install "tinyembed[mpi]"')
    return found


def take_turn(options, company):
    """Some steps of a training; the first process prints their median."""
    engine = engine_for(np, company=company)
    config = {
        "model": "context", "width": options.width, "seed": 0, "learning_rate": 1e-3,
        "batch_size": options.batch_size, "temperature": MODELS["context"].temperature,
        "examples": (WARM_UP + options.steps) * options.batch_size,
    }  # fmt: skip
    trainer = Trainer(None, config, made_up(PIECES), engine)
    with engine.running(), np.errstate(all="ignore"):
        for _ in range(WARM_UP):
            trainer.take_step()
        steps = [seconds_of(trainer.take_step) for _ in range(options.steps)]
        trainer.optimizer.flat.grads[...] = 0
        gradients = [
            seconds_of(lambda: engine.add_up(trainer.optimizer.flat.grads)) for _ in range(9)
        ]
    print(json.dumps({"step": float(np.median(steps)), "gradients": float(np.median(gradients))}))


def seconds_of(work):
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    run(main)
