"""What does everything around the bare step cost: batches, logs, checkpoints?

    python -m benchmarks.trainer --data FOLDER [--width small] [--json]

Takes steps of a real training, batches drawn from the music, in turns with the bare step on one
batch that is always the same, for each of the three corruptions and the context model.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.machine import (
    as_in_training,
    finish,
    positive,
    ratio,
    read_options,
    side_by_side,
    spread,
)
from benchmarks.parser import BenchmarkParser
from benchmarks.step import our_step
from tinyembed.cli.running import run
from tinyembed.models.model import Model
from tinyembed.stores.sources import open_corpus
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

MODELS = ("context", "note_drop", "beat_drop", "octave_split")


def main(argv=None):
    parser = BenchmarkParser("trainer", __doc__.splitlines()[0])
    parser.share("--data", "--any-meter", "--splits", "--width")
    parser.add_argument("--rounds", type=positive, default=9, help="turns that each takes")
    options = read_options(parser, argv)
    corpus = open_corpus(options.data, progress=not options.json)
    result = {}
    for name in MODELS:
        taken = measure(name, options.width, corpus, options.rounds)
        result[name] = {
            "of_bare_step": ratio(taken["trainer"], taken["bare step"]),
            "examples_per_s": 100 / float(np.median(taken["trainer"])),
            "seconds": {way: spread(seconds) for way, seconds in taken.items()},
        }
        if not options.json:
            found = result[name]
            print(
                f"{name:14}{found['examples_per_s']:7.0f} examples/s, "
                f"{found['of_bare_step']:.1%} of the bare step's"
            )
    finish(f"trainer-{options.width}", result, options)
    return 0


def measure(name, width, corpus, rounds):
    config = {"model": name, "width": width, "examples": 10**9, "batch_size": 100, "seed": 0,
              "learning_rate": 1e-3, "temperature": 1.0}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Run(Path(folder)), config, corpus)
        bare = our_step(
            Model(name, width, corpus.composers, np.random.default_rng(0)),
            trainer.examples.batch(0, 100),
        )
        rivals = {"trainer": trainer.take_step, "bare step": bare}
        rivals = {name: as_in_training(step) for name, step in rivals.items()}
        return side_by_side(rivals, rounds)


if __name__ == "__main__":
    run(main)
