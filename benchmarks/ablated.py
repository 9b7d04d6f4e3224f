"""The rows of the table of ablations: what differs from the model as it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyembed.music.duplicates import unique_units
from tinyembed.training.examples import Examples, random_stream
from tinyembed.training.excerpts import ExcerptExamples


@dataclass(frozen=True)
class Row:
    """One training, or another use of one.

    says: what is different, for readers
    model, width, temperature, batch_size, negatives, intervals: as in `tinyembed.train`, None for
        the model's own
    composer_floor: as in `ModelSpec`, None for the model's own
    weight_decay: what share of each weight a step subtracts, per unit of the learning rate
    keeps: whether the weights of the least "loss" or of the most "accuracy" are kept
    examples: (corpus, spec, pieces, seed) -> what is shown in training, where that differs
    trained_as: the row whose training this one uses
    change: of the embeddings, before the LSTM and the classifier
    predictor: of the LSTM's recipe, what differs
    without_lstm: whether the shortcut past the LSTM predicts alone
    """

    says: str
    model: str = "contrastive"
    width: str = "small"
    temperature: float | None = None
    batch_size: int | None = None
    negatives: int | None = None
    intervals: int | None = None
    composer_floor: float | None = None
    weight_decay: float = 0.0
    keeps: str = "loss"
    examples: Callable | None = None
    trained_as: str | None = None
    change: Callable = lambda e: e
    predictor: tuple = ()
    without_lstm: bool = False


def dropping(kind, share):
    """Examples of a kind whose input loses each onset with this probability."""

    class Dropping(kind):
        def make(self, chosen, step=0):
            batch = super().make(chosen, step)
            rng = random_stream(self.seed, "corruption", step)
            stays = rng.random(batch.clean.shape, np.float32) >= share
            batch.input = batch.clean * stays
            return batch

    return Dropping


def in_one_key(kind):
    """Examples of a kind as they are written, in no other key."""
    return lambda corpus, spec, pieces, seed: kind(corpus, spec, pieces, seed, keys=(0,))


class OftenAsTheyCome(Examples):
    """Every occurrence of a unit is an example, so that what is repeated is seen more often."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        n = len(self.units.occurrence_beat)
        self.units = type(self.units)(
            self.units.occurrence_beat, self.units.occurrence_key, np.arange(n + 1)
        )


class EvenComposers(Examples):
    """Every composer is drawn as often as any other, however many units there are of each."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        composer = self.composers()[self.units.group_start[:-1]]  # of each unit's first occurrence
        self.by_composer = np.argsort(composer, kind="stable")
        _, self.place, self.counts = np.unique(
            composer[self.by_composer], return_index=True, return_counts=True
        )

    def choose(self, step, size):
        rng = random_stream(self.seed, "order", step)
        drawn = rng.integers(len(self.counts), size=size)
        return self.by_composer[self.place[drawn] + rng.integers(self.counts[drawn])]


class DifferentExcerpts(ExcerptExamples):
    """Excerpts without those that an earlier one equals, note by note, as they are written."""

    def __init__(self, corpus, spec, pieces, seed=0):
        super().__init__(corpus, spec, pieces, seed)
        units = unique_units(corpus, corpus.unit_beats(pieces), keys=(0,))
        roll = np.full(corpus.n_beats, -1)  # a number for what sounds from each beat on
        roll[units.occurrence_beat] = np.repeat(np.arange(len(units)), np.diff(units.group_start))
        _, first = np.unique(roll[self.starts[:, None] + self.steps], axis=0, return_index=True)
        self.starts = self.starts[np.sort(first)]
        _, counts = np.unique(corpus.beat_piece[self.starts], return_counts=True)
        self.piece_start, self.counts = np.cumsum(counts) - counts, counts
        self.share = counts / counts.sum()


def of_length_one(e):
    return e / np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-9)


def plain(says, **different):
    """The contrastive model with the paper's encoder, and no floor for the composer loss."""
    return Row(says, intervals=0, composer_floor=0.0, **different)


def context(says, **different):
    return Row(says, model="context", **different)


def note_drop(says, share):
    return Row(says, model="note_drop", examples=dropping(Examples, share))


def composer(says, **different):
    return Row(says, model="composer", **different)


def other_use(says, change=lambda e: e, without_lstm=False, **predictor):
    return Row(
        says, trained_as="plain", change=change, without_lstm=without_lstm,
        predictor=tuple(predictor.items()),
    )  # fmt: skip


ROWS = {
    "base": Row("**as it is**: `small` width, temperature 0.1, batches of 512, all compared"),
    "intervals=0": Row("no counts of intervals", intervals=0),
    "head=awake": Row("no floor for the composer loss", composer_floor=0.0),
    "plain": plain("**neither**: the paper's encoder, and no floor for the composer loss"),
    "width=paper": plain("`paper` width", width="paper"),
    "temperature=0.05": plain("temperature 0.05", temperature=0.05),
    "temperature=0.2": plain("0.2", temperature=0.2),
    "temperature=1": plain("1, the paper's", temperature=1.0),
    "negatives=4": plain("compared with 4 others, as in the paper", negatives=4),
    "negatives=64": plain("with 64", negatives=64),
    "batch=128": plain("batches of 128, all compared, four times as many steps", batch_size=128),
    "batch=1024": plain("of 1,024, half as many", batch_size=1024),
    "keys=1": plain("no transposition", examples=in_one_key(ExcerptExamples)),
    "duplicates=removed": plain("equal excerpts only once", examples=DifferentExcerpts),
    "corruption=0.5": plain("half of the onsets dropped", examples=dropping(ExcerptExamples, 0.5)),
    "lstm=raw": other_use("embeddings not standardized before the LSTM", standardize=False),
    "lstm=length-one": other_use("but brought to length 1", of_length_one, standardize=False),
    "lstm=none": other_use("the shortcut past the LSTM alone", without_lstm=True),
    "lstm=alone": other_use(
        "the LSTM without a shortcut", shortcut=False, attention=False, warm_up=0, rate=1e-3
    ),
    "context": context("**the context model**: five candidates at temperature 1"),
    "context,keys=1": context("no transposition", examples=in_one_key(Examples)),
    "context,duplicates=kept": context("repeated units as often", examples=OftenAsTheyCome),
    "composer": composer("**composer discrimination**"),
    "composer,floor=0.6": composer("a floor for the composer loss, 0.6", composer_floor=0.6),
    "composer,floor=0.75": composer("a floor of 0.75", composer_floor=0.75),
    "composer,decay=0.3": composer("weight decay 0.3", weight_decay=0.3),
    "composer,decay=3": composer("weight decay 3", weight_decay=3.0),
    "composer,keeps=accuracy": composer("stopped by accuracy", keeps="accuracy"),
    "composer,even": composer("every composer as often", examples=EvenComposers),
    "composer,intervals=64": composer("counts of intervals", intervals=64),
    "composer,intervals=64,floor=0.6": composer(
        "counts, and a floor of 0.6", intervals=64, composer_floor=0.6
    ),
    "composer,intervals=64,even": composer(
        "counts, and every composer as often", intervals=64, examples=EvenComposers
    ),
    "composer,intervals=64,corruption=0.3": composer(
        "counts, and three tenths of the onsets dropped",
        intervals=64,
        examples=dropping(Examples, 0.3),
    ),
    "regularized": Row("**the regularized model**", model="regularized"),
    "note_drop,corruption=0": note_drop("**the note-drop model**: no onset dropped", 0.0),
    "note_drop,corruption=0.5": note_drop("half, as in the paper", 0.5),
    "note_drop,corruption=0.75": note_drop("three quarters", 0.75),
}
