"""Forward prediction: seven units are given, which is the eighth? (section 5.0.1)

The paper gives three layers of LSTM and no more. Trained to come close to the eighth embedding,
they predict what is likely in general, and fall behind the simplest answer of all, the seventh
unit again, wherever candidates resemble each other. Four changes help: a shortcut past the LSTM
that starts from the last unit and sees which of the seven resemble each other (predictor.py); a
loss that compares the target with others of the same piece, as the rank does; learning the
shortcut first, so that the LSTM learns what is left; and drawing the answer back to the last unit
where that helps on the validation pieces (shrinkage.py). `benchmarks/recipes.py` measures each on
them.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from tinyembed.errors import InputError
from tinyembed.evaluation.fitting import fit
from tinyembed.evaluation.predictor import UNITS, Predictor
from tinyembed.evaluation.shrinkage import WEIGHTS
from tinyembed.layers.cosine import BatchCosineLoss, CosineLoss
from tinyembed.training.examples import random_stream

STEPS = 3000
BATCH = 100
SHORTCUT_BATCH = 400  # the shortcut alone is cheap, and learns more from more candidates
VALIDATED = 2000  # sequences


@dataclass(frozen=True)
class Recipe:
    """How a predictor is built and trained: the same for every embedding.

    shortcut:    whether the output also sees the inputs, and adds to the last one
    recall:      whether it also adds up those of the seven that resemble each other
    temperature: of the comparison with the other targets of the batch; None is the plain loss,
                 1 - cosine with the target
    per_piece:   sequences of each piece in a batch of 100, each other's harder candidates
    warm_up:     steps for the shortcut alone, for each one for everything that comes after; in
                 batches of 400, with twice as many of a piece
    rate:        of Adam, at its peak, once the LSTM joins
    standardize: whether each of an embedding's numbers is brought to mean 0 and variance 1 first
    last_unit:   its weights beside the prediction, in what is ranked, to choose from on the
                 validation pieces (shrinkage.py)
    """

    shortcut: bool = True
    recall: bool = True
    temperature: float | None = 0.1
    per_piece: int = 10
    warm_up: int = 2
    rate: float = 3e-4
    standardize: bool = True
    last_unit: tuple = WEIGHTS

    def describe(self):
        """The same for readers of a report."""
        text = f"Three LSTM layers of {UNITS} units and a linear output"
        if self.shortcut:
            text += (
                ", beside a shortcut that adds to the last unit a linear map of the seven"
                + (" and their sum weighted by how they resemble each other" * self.recall)
                + (f", trained alone first, {self.warm_up} times as long" * bool(self.warm_up))
            )
        if self.temperature is None:
            return text + "; the loss is 1 - cosine with the target."
        text += (
            "; the loss is the cross-entropy of the target among all targets of a batch, "
            f"{self.per_piece} of each piece, by cosine at temperature {self.temperature:g}. The "
            "same recipe and number of steps for every embedding, chosen on validation pieces."
        )
        if len(self.last_unit) > 1:
            weights = ", ".join(f"{weight:g}" for weight in self.last_unit)
            text += (
                " To the prediction, brought to length 1, the last unit is added, also of length "
                f"1, times a weight: the one of {weights} with the best mean rank among units of "
                "the same validation piece."
            )
        return text


PLAIN = Recipe(
    shortcut=False, recall=False, temperature=None, per_piece=1, warm_up=0, rate=1e-3,
    last_unit=(0.0,),
)  # fmt: skip
RECIPE = Recipe()


def train_predictor(train, validation, seed, xp, steps=STEPS, recipe=RECIPE, progress=None):
    """Train a predictor on one embedding.

    train, validation: each embeddings (R, D) on the device, sequences (S, 8), and the piece of
    each sequence (S,). Returns the network and its loss on the validation pieces.
    """
    embeddings, sequences, pieces = train
    if len(sequences) == 0:
        raise InputError(
            "no training piece has eight units of four beats one after the other (32 beats)"
        )
    rng = random_stream(seed, "lstm weights")
    rows = embeddings if recipe.standardize else None
    network = Predictor(embeddings.shape[1], rows, recipe.shortcut, recipe.recall, rng)
    network.to_device(xp)
    loss = CosineLoss() if recipe.temperature is None else BatchCosineLoss(recipe.temperature)
    looked_at, rows, of = validation if len(validation[1]) else train
    drawn = Batches(of, recipe.per_piece)
    streams = [random_stream(seed, "lstm validation", n) for n in range(VALIDATED // BATCH)]
    blocks = [rows[drawn.draw(rng)] for rng in streams]

    def validation_loss(network):
        losses = []
        for block in blocks:
            x, target = given(looked_at, xp.asarray(upright(block)))
            losses.append(float(loss.forward(network.forward(x)[0], target)[0]))
        return float(np.mean(losses))

    def learn(network, steps, rate, batches, desc):
        def draw(step):
            return upright(sequences[batches.draw(random_stream(seed, f"{desc} batches", step))])

        def look_up(rows):
            return given(embeddings, rows)

        def look():
            return validation_loss(network)

        return fit(network, loss, draw, look_up, look, steps, rate, progress, desc)

    if recipe.warm_up:
        wide = Batches(pieces, 2 * recipe.per_piece, SHORTCUT_BATCH)
        learn(network.shortcut, recipe.warm_up * steps, 1e-3, wide, "shortcut")
    return network, learn(network, steps, recipe.rate, Batches(pieces, recipe.per_piece), "lstm")


class Batches:
    """Draws batches of sequences, a few of each piece together, all different if there are enough.

    pieces: (S,) the piece of each sequence; per_piece: how many of one piece at a time; size: of a
    batch. A piece comes at most once a batch, and the more often the longer it is.
    """

    def __init__(self, pieces, per_piece, size=BATCH):
        order = np.argsort(pieces, kind="stable")  # sequences, piece after piece
        _, counts = np.unique(pieces, return_counts=True)
        self.sequences = np.split(order, np.cumsum(counts)[:-1])  # of each piece
        self.share = counts / counts.sum()
        self.per_piece = per_piece
        self.groups = size // per_piece

    def draw(self, rng):
        """(groups * per_piece,) sequences."""
        again = self.groups > len(self.share) or self.per_piece == 1
        pieces = rng.choice(len(self.share), self.groups, replace=again, p=self.share)
        return np.concatenate([self._of(self.sequences[piece], rng) for piece in pieces])

    def _of(self, sequences, rng):
        few = len(sequences) < self.per_piece
        return rng.choice(sequences, self.per_piece, replace=few)


def upright(sequences):
    """Sequences (N, 8) as the columns of row numbers: (8, N)."""
    return np.ascontiguousarray(sequences.T)


def given(embeddings, rows):
    """What the network is given, (7, N, D), and what it must find, (N, D).

    rows: (8, N), from `upright`, on the device.
    """
    return embeddings[rows[:-1]], embeddings[rows[-1]]


def predict(network, embeddings, sequences, xp, progress=None, block=1000):
    """The network's answer to every sequence: (S, D), on the device."""
    parts = []
    disable = None if progress is None else not progress
    for i in tqdm(range(0, len(sequences), block), desc="predicting", leave=False, disable=disable):
        x, _ = given(embeddings, xp.asarray(upright(sequences[i : i + block])))
        parts.append(network.forward(x)[0])
    return xp.concatenate(parts)
