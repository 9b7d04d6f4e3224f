"""One pass over 4 million units, timed on as much of it as there is time for.

It trains the context model as `tinyembed.train` does, batches made on the GPU, on music of its own
making that has as many different units.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from tinyembed.backends.choice import engine_for
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import TICKS_PER_BEAT, Piece
from tinyembed.training.runs import Run
from tinyembed.training.trainer import LOG_EVERY, Trainer, fingerprint

UNITS = 4_000_000  # of one pass; the paper's corpus has 3,997,873
PIECES, BEATS = 1000, 424  # 810 of them for training: in twelve keys 4 million units
ONSETS = 6  # a beat, about
COMPOSERS = 25
BATCH = 100
AT_MOST = 42  # seconds: a little more than the whole pass is to take


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


def time_a_pass(corpus, width, batches, xp, batch_size=BATCH, at_most=AT_MOST):
    """Take the steps of a training; what a whole pass over 4 million units takes.

    batches: how many steps, and at_most: how many seconds; where the time ends first, the rest of
    the pass is a multiplication. The first lot of steps is not counted, since a graph is recorded
    there. Lines of the log are written as in a training; validations and checkpoints, which are no
    part of a step's time, are not. Returns a dict.
    """
    config = {
        "model": "context", "width": width, "examples": batches * batch_size,
        "batch_size": batch_size, "seed": 0, "learning_rate": 1e-3, "temperature": 1.0,
    }  # fmt: skip
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", {**config, "corpus": fingerprint(corpus)})
        trainer = Trainer(run, config, corpus, engine_for(xp))
        with trainer.engine.running():
            _take(trainer, batches // 2)
            first, start = trainer.step, time.monotonic()
            while trainer.step < batches and time.monotonic() - start < at_most:
                _take(trainer, batches - trainer.step)
            seconds = time.monotonic() - start
    timed = trainer.step - first
    return {
        "width": width,
        "batch_size": batch_size,
        "units": UNITS,
        "different_units": len(trainer.examples),
        "timed_batches": timed,
        "timed_seconds": seconds,
        "first_seconds": start - began,  # for the corpus, the model, and the first steps
        "units_per_s": timed * batch_size / seconds,
        "seconds": UNITS * seconds / (timed * batch_size),
    }


def _take(trainer, steps):
    """So many steps, or as many as there are between two lines of the log; and a line of it."""
    for _ in range(min(steps, LOG_EVERY)):
        trainer.take_step()
    trainer.write_log(0.0)  # which waits for the GPU
