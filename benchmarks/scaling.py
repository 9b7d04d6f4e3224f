"""How does the cost grow with the batch, the width and the corpus?

    python -m benchmarks.scaling [--json]

Examples per second of the bare training step, for batches of 10 to 3,000 at both widths; and, for
corpora of 434, 4,340 and 43,400 made-up pieces of the size of real ones, how long it takes to find
the unique units in twelve keys, to draw a batch, and how much memory they need. Draws a picture.
"""

import resource
import time

import matplotlib
import numpy as np

from benchmarks.machine import RESULTS, finish, read_options, side_by_side, spread
from benchmarks.parser import BenchmarkParser
from benchmarks.step import our_step, random_batch
from tinyembed.cli.running import run
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import TICKS_PER_BEAT, Piece
from tinyembed.training.examples import Examples

BATCHES = (10, 30, 100, 300, 1000, 3000)
PIECES, BEATS, ONSETS = 434, 350, 3.5  # beats per piece, onsets per beat: as in real ones
TIMES = (1, 10, 100)


def main(argv=None):
    parser = BenchmarkParser("scaling", __doc__.splitlines()[0])
    parser.add_argument(
        "--largest", type=int, choices=TIMES, default=TIMES[-1], help="corpus, times 434 pieces"
    )
    options = read_options(parser, argv)
    say = (lambda *words: None) if options.json else print
    result = {"batches": {}, "corpora": []}
    for width in WIDTHS:
        result["batches"][width] = {}
        for n in BATCHES:
            step = our_step(Model("context", width, [], np.random.default_rng(0)), random_batch(n))
            seconds = spread(side_by_side({"step": step}, 5)["step"])
            rate = n / seconds["median"]
            result["batches"][width][n] = {"examples_per_s": rate, "seconds": seconds}
            say(f"{width:8} batch {n:5} {rate:8.0f} examples/s")
    for times in (t for t in TIMES if t <= options.largest):
        found = grow(times)
        result["corpora"].append(found)
        say(
            f"{found['pieces']:6,} pieces: {found['unique_units']:,} unique units in "
            f"{found['unique_seconds']:.1f} s, a batch in {found['batch_ms']:.2f} ms, corpus "
            f"{found['corpus_mb']:.0f} MB, examples {found['examples_mb']:.0f} MB, peak "
            f"{found['peak_mb']:.0f} MB"
        )
    draw(result, RESULTS / "scaling.png")
    finish("scaling", result, options)
    return 0


def grow(times):
    """A made-up corpus, and what it costs to draw from it."""
    corpus = made_up(PIECES * times)
    began = time.perf_counter()
    examples = Examples(corpus, MODELS["context"], np.arange(corpus.n_pieces))
    unique_seconds = time.perf_counter() - began
    examples.batch(0, 100)  # the first one shuffles
    batch = spread(
        side_by_side({"batch": lambda: examples.batch(1, 100)}, 5, at_least=0.1)["batch"]
    )
    return {
        "pieces": corpus.n_pieces,
        "beats": corpus.n_beats,
        "unique_units": len(examples),
        "unique_seconds": unique_seconds,
        "batch_ms": 1e3 * batch["median"],
        "corpus_mb": corpus.nbytes / 1e6,
        "examples_mb": sum(a.nbytes for a in vars(examples.units).values()) / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def made_up(n_pieces, seed=0):
    """A `Corpus` of random pieces on a grid of sixteenth notes."""
    rng = np.random.default_rng(seed)
    pieces = []
    for i in range(n_pieces):
        n = round(BEATS * ONSETS)
        ticks = rng.integers(BEATS * 4, size=n) * (TICKS_PER_BEAT // 4)
        notes = np.unique(ticks * 128 + rng.integers(40, 90, size=n))
        ticks, pitches = (notes // 128).astype(np.int32), (notes % 128).astype(np.uint8)
        pieces.append((f"{i % 25:02}", f"{i % 25:02}/{i}.mid", Piece(ticks, pitches, BEATS)))
    return Corpus.from_pieces(pieces)


def draw(result, path):
    """Both curves, logarithmic, in one picture."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for width, found in result["batches"].items():
        left.plot(list(found), [f["examples_per_s"] for f in found.values()], "o-", label=width)
    left.set(xscale="log", yscale="log", xlabel="batch", ylabel="examples per second")
    left.set_title("One training step", loc="left")
    left.legend(frameon=False)
    pieces = [found["pieces"] for found in result["corpora"]]
    right.plot(pieces, [f["unique_seconds"] for f in result["corpora"]], "o-", label="unique, s")
    right.plot(pieces, [f["batch_ms"] for f in result["corpora"]], "s-", label="a batch, ms")
    right.set(xscale="log", yscale="log", xlabel="pieces")
    right.set_title("Twelve keys of a corpus", loc="left")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    run(main)
