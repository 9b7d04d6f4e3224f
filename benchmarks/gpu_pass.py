"""One pass over 4 million units, timed on a part of it: real batches, made on the GPU.

It trains the context model as `tinyembed.train` does, on music of its own making that has as many
different units, and reads the rate from the log that the training writes.
"""

import tempfile
from pathlib import Path

import numpy as np

from tinyembed.backends.choice import engine_for
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import TICKS_PER_BEAT, Piece
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer, fingerprint

UNITS = 4_000_000  # of one pass; the paper's corpus has 3,997,873
PIECES, BEATS = 1000, 424  # 810 of them for training: in twelve keys 4 million units
ONSETS = 6  # a beat, about
COMPOSERS = 25
BATCH = 100


def made_up_corpus(pieces=PIECES, beats=BEATS, seed=0):
    """A `Corpus` of random onsets, as many a beat as piano music has; a tenth is held out."""
    rng = np.random.default_rng(seed)
    music = []
    for n in range(pieces):
        cells = np.unique(rng.integers(beats * TICKS_PER_BEAT * 48, size=beats * ONSETS))
        ticks, pitches = np.divmod(cells, 48)  # four octaves
        piece = Piece(ticks.astype(np.int32), (pitches + 40).astype(np.uint8), beats)
        composer = f"composer{n % COMPOSERS}"
        music.append((composer, f"{composer}/{n}.mid", piece))
    corpus = Corpus.from_pieces(music)
    corpus.piece_is_test = np.arange(pieces) % 10 == 9
    return corpus


def time_a_pass(corpus, width, batches, xp, batch_size=BATCH):
    """Take some steps of a training; what a whole pass over 4 million units would take.

    batches: how many; those after the first line of the log are timed, since a graph is recorded
    before. Validations and checkpoints are not part of a step's time. Returns a dict.
    """
    config = {
        "model": "context", "width": width, "examples": batches * batch_size,
        "batch_size": batch_size, "seed": 0, "learning_rate": 1e-3, "temperature": 1.0,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", {**config, "corpus": fingerprint(corpus)})
        trainer = Trainer(run, config, corpus, engine_for(xp))
        trainer.train(progress=False)
        lines = [line for line in run.read_log() if "examples_per_s" in line]
    counted = lines[1:] or lines
    before = lines[0]["examples"] if lines[1:] else 0
    examples = counted[-1]["examples"] - before
    taken = np.diff([before, *(line["examples"] for line in counted)])
    seconds = float(sum(taken / [line["examples_per_s"] for line in counted]))
    return {
        "width": width,
        "batch_size": batch_size,
        "units": UNITS,
        "different_units": len(trainer.examples),
        "timed_batches": examples // batch_size,
        "timed_seconds": seconds,
        "first_seconds": trainer.seconds - seconds,
        "units_per_s": examples / seconds,
        "seconds": UNITS * seconds / examples,
    }
