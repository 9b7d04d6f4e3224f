"""How many training examples per second does a store give?

    python -m benchmarks.large_store_examples STORE [--reader memory] [--seconds 20]

Draws batches of the context model as a training does, and prints an object with the rate. Reader
"memory" first reads all pieces of the store into a corpus, which does not count. Reader "store" has
a pool of shards in memory at a time, as a training has with a store larger than memory: one whole
pool is read and drawn, and both count.
"""

import json
import time

import numpy as np

from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import path, positive
from tinyembed.cli.running import run
from tinyembed.models.table import MODELS
from tinyembed.stores.large import LargeCorpus, whole_store
from tinyembed.stores.store import Store
from tinyembed.training.examples import Examples
from tinyembed.training.pools import PooledExamples

MODEL, BATCH = "context", 100
READERS = {"memory": (whole_store, Examples), "store": (LargeCorpus, PooledExamples)}


def main(argv=None):
    parser = BenchmarkParser("large_store_examples", __doc__.splitlines()[0])
    parser.add("store", "a store", path, metavar="STORE")
    parser.add("--reader", "where examples come from", READERS, "memory")
    parser.add("--seconds", "how long to draw from memory", positive, 20.0)
    options = parser.parse_args(argv)
    began = time.perf_counter()
    corpus_of, examples_of = READERS[options.reader]
    corpus = corpus_of(Store.open(options.store))
    examples = examples_of(corpus, MODELS[MODEL], np.arange(corpus.n_pieces))
    opened, cpu = time.perf_counter(), time.process_time()
    steps = take(examples, options.seconds)
    seconds = time.perf_counter() - opened
    cpu_seconds = time.process_time() - cpu
    found = {
        "examples_per_s": BATCH * steps / seconds,
        "cpu_us_per_example": 1e6 * cpu_seconds / (BATCH * steps),
        "opened_after_s": opened - began,
        "examples": BATCH * steps,
        "seconds": seconds,
    }
    print(json.dumps(found))
    return 0


def take(examples, seconds):
    """Draw batches for some seconds, or one pool. Returns their number."""
    if isinstance(examples, PooledExamples):
        steps = examples.at(0, BATCH).end
        for step in range(steps):
            examples.batch(step, BATCH)
        return steps
    step, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        examples.batch(step, BATCH)
        step += 1
    return step


if __name__ == "__main__":
    run(main)
