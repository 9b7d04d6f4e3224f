"""Forward prediction: seven units are given, which is the eighth? (section 5.0.1)

The paper gives three layers of LSTM and no more. Trained to come close to the eighth embedding,
they predict what is likely in general, and fall behind the simplest answer of all, the seventh
unit again, wherever candidates resemble each other. Three changes help: a linear shortcut past
the LSTM that starts from the last unit; a loss that compares the target with others of the same
piece, as the rank does; and learning the shortcut first, so that the LSTM learns what is left.
`benchmarks/recipes.py` measures each on the validation pieces.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from tinyembed.batches import random_stream
from tinyembed.errors import InputError
from tinyembed.evaluation.fitting import Standardize, fit
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.layers.cosine import BatchCosineLoss, CosineLoss
from tinyembed.layers.dense import Dense
from tinyembed.layers.layer import Layer, Sequential
from tinyembed.layers.lstm import LastStep, Lstm

UNITS = 400  # "3 stacked LSTM cells, each with 400 units"
STEPS = 3000
BATCH = 100
VALIDATED = 2000  # sequences
START = 0.01  # of the first weights where the predictor begins by repeating the last unit


@dataclass(frozen=True)
class Recipe:
    """How a predictor is built and trained: the same for every embedding.

    shortcut:    whether the output also sees the inputs, and adds to the last one
    temperature: of the comparison with the other targets of the batch; None is the plain loss,
                 1 - cosine with the target
    per_piece:   sequences of each piece in a batch, which are each other's harder candidates
    warm_up:     steps for the shortcut alone, before those for everything
    rate:        of Adam, at its peak, once the LSTM joins
    """

    shortcut: bool = True
    temperature: float | None = 0.1
    per_piece: int = 10
    warm_up: int = 4000
    rate: float = 3e-4

    def describe(self):
        """The same for readers of a report."""
        text = f"Three LSTM layers of {UNITS} units and a linear output"
        if self.shortcut:
            text += (
                ", beside a linear shortcut that sees the seven inputs and adds to the last one "
                f"and is trained alone for {self.warm_up:,} steps first"
            )
        if self.temperature is None:
            return text + "; the loss is 1 - cosine with the target."
        return (
            f"{text}; the loss is the cross-entropy of the target among all targets of a batch, "
            f"{self.per_piece} of each piece, by cosine at temperature {self.temperature:g}. The "
            "same recipe and length for every embedding, chosen on validation pieces."
        )


PLAIN = Recipe(shortcut=False, temperature=None, per_piece=1, warm_up=0, rate=1e-3)
RECIPE = Recipe()


class Shortcut(Layer):
    """The last unit, and a linear map of all seven: (7, N, D) -> (N, D)."""

    def __init__(self, standardize, size, rng):
        self.standardize = standardize
        self.dense = Dense((SEQUENCE - 1) * size, size, rng=rng)
        self.dense.weight.value *= START

    def forward(self, x, training=False):
        z, _ = self.standardize.forward(x)  # (7, N, D)
        side_by_side = z.swapaxes(0, 1).reshape(x.shape[1], -1)  # (N, 7 * D)
        y, cache = self.dense.forward(side_by_side, training)
        return x[-1] + y, cache

    def backward(self, dy, cache):
        self.dense.backward(dy, cache)  # the inputs are fixed and need no gradient


class Predictor(Layer):
    """Three LSTM layers and a linear output: (7, N, D) -> (N, D).

    rows: (R, D), training rows to standardize the inputs by; shortcut: see `Recipe`.
    """

    def __init__(self, rows, shortcut, rng):
        size = rows.shape[1]
        self.standardize = Standardize(rows)
        self.lstm = Sequential(
            lstm1=Lstm(size, UNITS, rng=rng),
            lstm2=Lstm(UNITS, UNITS, rng=rng),
            lstm3=Lstm(UNITS, UNITS, rng=rng),
            last=LastStep(),
        )
        self.output = Dense(UNITS, size, rng=rng)
        self.shortcut = None
        if shortcut:
            self.shortcut = Shortcut(self.standardize, size, rng)
            self.output.weight.value *= START

    def forward(self, x, training=False):
        """x: (7, N, D) -> y: (N, D)."""
        z, _ = self.standardize.forward(x)  # (7, N, D)
        h, lstm_cache = self.lstm.forward(z, training)  # (N, 400)
        y, output_cache = self.output.forward(h, training)  # (N, D)
        shortcut_cache = None
        if self.shortcut:
            direct, shortcut_cache = self.shortcut.forward(x, training)
            y = y + direct
        return y, (lstm_cache, output_cache, shortcut_cache)

    def backward(self, dy, cache):
        """Adds to the gradients of all parameters; the inputs are fixed and get none."""
        lstm_cache, output_cache, shortcut_cache = cache
        if self.shortcut:
            self.shortcut.backward(dy, shortcut_cache)
        self.lstm.backward(self.output.backward(dy, output_cache), lstm_cache)


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
    network = Predictor(embeddings, recipe.shortcut, random_stream(seed, "lstm weights"))
    network.to_device(xp)
    loss = CosineLoss() if recipe.temperature is None else BatchCosineLoss(recipe.temperature)
    batches = Batches(pieces, recipe.per_piece)

    def draw(step):
        rows = sequences[batches.draw(random_stream(seed, "lstm batches", step))]
        return given(embeddings, rows, xp)

    looked_at, rows, of = validation if len(validation[1]) else train
    drawn = Batches(of, recipe.per_piece)
    streams = [random_stream(seed, "lstm validation", n) for n in range(VALIDATED // BATCH)]
    blocks = [rows[drawn.draw(rng)] for rng in streams]

    def validation_loss(network):
        losses = []
        for block in blocks:
            x, target = given(looked_at, block, xp)
            losses.append(float(loss.forward(network.forward(x)[0], target)[0]))
        return float(np.mean(losses))

    def learn(network, steps, rate, desc):
        return fit(
            network, loss, draw, lambda: validation_loss(network), steps, rate, progress, desc
        )

    if recipe.warm_up:
        learn(network.shortcut, recipe.warm_up, 1e-3, "shortcut")
    return network, learn(network, steps, recipe.rate, "LSTM")


class Batches:
    """Draws batches of sequences, a few of each piece together, all different if there are enough.

    pieces: (S,) the piece of each sequence; per_piece: how many of one piece at a time. A piece
    comes at most once a batch, and the more often the longer it is.
    """

    def __init__(self, pieces, per_piece):
        order = np.argsort(pieces, kind="stable")  # sequences, piece after piece
        _, counts = np.unique(pieces, return_counts=True)
        self.sequences = np.split(order, np.cumsum(counts)[:-1])  # of each piece
        self.share = counts / counts.sum()
        self.per_piece = per_piece

    def draw(self, rng):
        """(BATCH,) sequences."""
        groups = BATCH // self.per_piece
        again = groups > len(self.share) or self.per_piece == 1
        pieces = rng.choice(len(self.share), groups, replace=again, p=self.share)
        return np.concatenate([self._of(self.sequences[piece], rng) for piece in pieces])

    def _of(self, sequences, rng):
        few = len(sequences) < self.per_piece
        return rng.choice(sequences, self.per_piece, replace=few)


def given(embeddings, sequences, xp):
    """What the network is given, (7, N, D), and what it must find, (N, D)."""
    rows = xp.asarray(np.ascontiguousarray(sequences.T))  # (8, N)
    return embeddings[rows[:-1]], embeddings[rows[-1]]


def predict(network, embeddings, sequences, xp, progress=None, block=1000):
    """The network's answer to every sequence: (S, D), on the device."""
    parts = []
    disable = None if progress is None else not progress
    for i in tqdm(range(0, len(sequences), block), desc="predicting", leave=False, disable=disable):
        x, _ = given(embeddings, sequences[i : i + block], xp)
        parts.append(network.forward(x)[0])
    return xp.concatenate(parts)
