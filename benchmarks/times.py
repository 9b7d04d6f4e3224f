"""How long do reading, removing duplicates and ranking take, and how much memory is the corpus?

    python -m benchmarks.times FOLDER [--json]

Reads the folder cold and from the cache, finds unique units in twelve keys, and ranks as many
predictions as the paper has test sequences (325,219, random ones) among 1,000 candidates.
"""

import os
import tempfile
import time

import numpy as np

from benchmarks.machine import finish, ratio
from benchmarks.parser import BenchmarkParser
from tinyembed.backends import choice
from tinyembed.cli.running import run
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.ranks import random_ranks, same_piece_ranks
from tinyembed.music.corpus import Corpus
from tinyembed.music.duplicates import unique_units
from tinyembed.music.folders import find_pieces
from tinyembed.music.midi import read_midi
from tinyembed.music.reading import read_pieces
from tinyembed.report.paper import TEST_SEQUENCES

REPEATS = 3
PROCESSES = {"reading, plain, one process": 1, "reading, plain, two processes": 2}
COMPILED = "reading, compiled, one process"


def main(argv=None):
    parser = BenchmarkParser("times", __doc__)
    parser.add_argument("folder", metavar="FOLDER", help="MIDI files, one subfolder a composer")
    parser.share("--json")
    options = parser.parse_args(argv)
    times = {}

    def clock(name, work, repeats=REPEATS):
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            result = work()
            taken.append(time.perf_counter() - began)
        times[name] = {"median": float(np.median(taken)), "all": [round(t, 3) for t in taken]}
        if not options.json:
            print(f"{name:46}{times[name]['median']:9.2f} s", flush=True)
        return result

    with tempfile.TemporaryDirectory() as cache:
        os.environ["TINYEMBED_CACHE"] = cache
        read = lambda **how: Corpus.from_folder(options.folder, progress=False, **how)  # noqa: E731
        clock("reading, cold", lambda: read(cache=False))
        items = find_pieces(options.folder)[0]
        choice.use("cpu")  # not compiled, so that there is something to share out
        for name, workers in PROCESSES.items():
            clock(name, lambda n=workers: read_pieces(items, read_midi, n, progress=False))
        if choice.use("numba") == "numba":
            read_pieces(items[:1], read_midi, 1, progress=False)  # compiles it, or loads it
            clock(COMPILED, lambda: read_pieces(items, read_midi, 1, progress=False))
        read()
        corpus = clock("reading, from the cache", read)
    one, two = (times[name]["all"] for name in PROCESSES)
    reading_ratio = ratio(two, one)
    units = corpus.unit_beats(np.flatnonzero(~corpus.piece_is_test))
    clock("unique training units in 12 keys", lambda: unique_units(corpus, units))

    rng = np.random.default_rng(0)
    test = Passages.of(corpus, np.flatnonzero(corpus.piece_is_test), 12)
    embeddings = rng.standard_normal((len(test), 100), dtype=np.float32)
    sequences = test.sequences()
    chosen = np.sort(rng.integers(len(sequences), size=TEST_SEQUENCES))
    sequences = sequences[chosen]
    predicted = embeddings[sequences[:, -1]]
    predicted += rng.standard_normal(predicted.shape, dtype=np.float32)
    pool, right = embeddings[test.sounds], (np.cumsum(test.sounds) - 1)[sequences[:, -1]]
    clock(
        f"{TEST_SEQUENCES:,} ranks, random candidates",
        lambda: random_ranks(predicted, pool, right, 0),
    )
    clock(
        f"{TEST_SEQUENCES:,} ranks, same-piece candidates",
        lambda: same_piece_ranks(predicted, embeddings, test, sequences, 0),
    )
    result = {
        "pieces": corpus.n_pieces,
        "beats": corpus.n_beats,
        "corpus_bytes": corpus.nbytes,
        "two_processes_over_one": reading_ratio,
        "seconds": times,
    }
    if not options.json:
        print(
            f"the corpus: {corpus.nbytes / 1e6:.1f} MB; two processes read {reading_ratio:.2f} "
            "times as fast as one"
        )
    finish("times", result, options)
    return 0


if __name__ == "__main__":
    run(main)
