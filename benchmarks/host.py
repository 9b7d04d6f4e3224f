"""How long does the host work between two steps on a GPU? Measured on the mock of CuPy.

    python -m benchmarks.host [--batch-size 100] [--rounds 7] [--json]

A recorded step is one launch. Between two of them the host draws the coming batches, and every 50
steps it sends them to the GPU. Counted is the processor time of that Python, without the time that
the mock (tests/standin) takes to do the GPU's work; CuPy's own time per call is not in it. Work on
large arrays, of 100,000 numbers or more, is not done at all: a GPU does it in its own memory, here
it would empty the caches that Python works in.
"""

import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

from benchmarks.machine import finish, positive
from benchmarks.parser import BenchmarkParser
from tests.music import write_corpus
from tinyembed.backends import choice
from tinyembed.backends.choice import engine_for
from tinyembed.cli.running import run
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.training.kinds import examples_for

LARGE = 100_000
STANDIN = Path(__file__).resolve().parents[1] / "tests" / "standin"


def main(argv=None):
    parser = BenchmarkParser("host", __doc__.splitlines()[0])
    parser.add("--batch-size", "examples per step (contrastive: 128)", positive, 100)
    parser.add("--rounds", "of 48 steps, of which the median is taken", positive, 7)
    parser.share("--json")
    options = parser.parse_args(argv)
    choice.use("cpu")
    sys.path.insert(0, str(STANDIN))
    import cupy

    leave_out_large(cupy.ndarray)
    others = Clock(cupy, (cupy.ndarray, type(cupy.add), cupy.ElementwiseKernel))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.from_folder(write_corpus(Path(folder, "music"), beats=80), progress=False)
    result = {
        "ms_per_step": {},
    }
    for name, spec in MODELS.items():
        size = 128 if spec.excerpt else options.batch_size
        examples = examples_for(corpus, spec, np.arange(corpus.n_pieces))
        batches = engine_for(cupy).batches(examples, size, lambda step: (1.0, 2.0), 10**6)
        rounds = [a_round(batches, others) for _ in range(options.rounds)]
        result["ms_per_step"][name] = 1e3 * float(np.median(rounds))
        if not options.json:
            print(f"{name:14}{result['ms_per_step'][name]:6.2f} ms per step")
    finish("host", result, options)
    return 0


def leave_out_large(kind):
    """Have the methods of an array class that change it in place do nothing to large arrays."""

    def unless_large(method, result):
        def change(self, *arguments):
            return result(self) if self.size >= LARGE else method(self, *arguments)

        return change

    for name in ("fill", "__setitem__"):
        setattr(kind, name, unless_large(getattr(kind, name), lambda array: None))
    kind.__iadd__ = unless_large(kind.__iadd__, lambda array: array)


class Clock:
    """Adds up the processor time of a module's functions and of some classes, in `seconds`."""

    def __init__(self, module, kinds):
        self.seconds, self.running = 0.0, False
        for place in (module, *kinds):
            for name, value in list(vars(place).items()):
                if isinstance(value, types.FunctionType):
                    setattr(place, name, self._timed(value))

    def _timed(self, method):
        def timed(*arguments, **more):
            if self.running:  # within another one
                return method(*arguments, **more)
            self.running, began = True, time.process_time()
            try:
                return method(*arguments, **more)
            finally:
                self.running = False
                self.seconds += time.process_time() - began

        return timed


def a_round(batches, others):
    """The seconds per step of the steps from one transfer to the next, without the mock's work."""
    batches.at(batches.end)  # the transfer
    first, last = batches.first + 1, batches.end - 1
    others.seconds, began = 0.0, time.process_time()
    for step in range(first, last):
        batches.at(step)
        batches.look_ahead(step + 1)
    return (time.process_time() - began - others.seconds) / (last - first)


if __name__ == "__main__":
    run(main)
