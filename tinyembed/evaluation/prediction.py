"""Forward prediction: the embedding of a unit from those of the seven before it (section 5.0.1).

The paper's predictor is three LSTM layers. Trained to come close to the eighth embedding, they
predict what is likely on average, and wherever candidates resemble each other they rank worse than
the simplest prediction, the seventh unit repeated. Four changes help: a shortcut around the LSTM
that starts from the last unit and compares the seven (predictor.py); a contrastive loss against
other targets of the same piece, which is close to what the rank measures; training the shortcut
first, so that the LSTM learns the rest; and shrinking the prediction towards the last unit where
that helps on the validation pieces (shrinkage.py). `benchmarks/recipes.py` measures the effect of
each on those pieces.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.errors import InputError
from tinyembed.evaluation.fitting import fit
from tinyembed.evaluation.predictor import UNITS, Predictor
from tinyembed.evaluation.shrinkage import WEIGHTS
from tinyembed.layers.contrastive_loss import BatchCosineLoss
from tinyembed.layers.cosine import CosineLoss
from tinyembed.storage.progress import progress_bar
from tinyembed.training.examples import random_stream

STEPS = 3000
BATCH = 100
SHORTCUT_BATCH = 400  # the shortcut alone is cheap, and learns more from more negatives
VALIDATED = 2000  # sequences that the validation loss is computed on


@dataclass(frozen=True)
class Recipe:
    """How a predictor is built and trained: the same for every embedding.

    shortcut:    whether there is a shortcut around the LSTM, which adds to the last unit
    attention:   whether the shortcut also has a `SimilarityAttention`
    temperature: of the contrastive loss, whose negatives are the other targets of the batch; None
                 for the loss 1 - cosine with the target
    per_piece:   sequences per piece in a batch of 100: they are each other's harder negatives
    warm_up:     steps that train the shortcut alone, per step that then trains everything; in
                 batches of 400, with twice as many sequences per piece
    rate:        Adam's peak learning rate once the LSTM joins
    standardize: whether embeddings are first standardized, each dimension to mean 0 and variance 1
    last_unit:   weights of the last unit that the validation pieces choose from (shrinkage.py)
    """

    shortcut: bool = True
    attention: bool = True
    temperature: float | None = 0.1
    per_piece: int = 10
    warm_up: int = 2
    rate: float = 3e-4
    standardize: bool = True
    last_unit: tuple = WEIGHTS

    def describe(self):
        """The recipe in words, for the report.

        Runs keep the text and can only be resumed with the same one.
        """
        text = f"Three LSTM layers of {UNITS} units and a linear output"
        if self.shortcut:
            text += (
                ", beside a shortcut that adds to the last unit a linear map of the seven"
                + (" and their sum weighted by how they resemble each other" * self.attention)
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


RECIPE = Recipe()
PAPER = Recipe(  # three LSTM layers, 1 - cosine, and nothing else
    shortcut=False, attention=False, temperature=None, per_piece=1, warm_up=0, rate=1e-3,
    standardize=False, last_unit=(0.0,),
)  # fmt: skip


def train_predictor(train, validation, seed, xp, steps=STEPS, recipe=RECIPE, progress=None):
    """Train a predictor on one embedding.

    train, validation: each embeddings (R, D), an array of xp, sequences (S, 8), and the piece of
    each sequence (S,). Returns the network and its loss on the validation pieces.
    Raises InputError where no training piece is long enough for a sequence.
    """
    embeddings, sequences, pieces = train
    if len(sequences) == 0:
        raise InputError(
            "no training piece has eight units of four beats one after the other (32 beats)"
        )
    rng = random_stream(seed, "lstm weights")
    rows = embeddings if recipe.standardize else None
    network = Predictor(embeddings.shape[1], rows, recipe.shortcut, recipe.attention, rng)
    network.to(xp)
    loss = CosineLoss() if recipe.temperature is None else BatchCosineLoss(recipe.temperature)
    held_out, held_out_sequences, held_out_pieces = validation if len(validation[1]) else train
    batches = Batches(held_out_pieces, recipe.per_piece)
    streams = [random_stream(seed, "lstm validation", n) for n in range(VALIDATED // BATCH)]
    blocks = [time_major(held_out_sequences[batches.draw(rng)]) for rng in streams]

    def train_part(part, steps, rate, batches, desc):
        def draw(step):
            rng = random_stream(seed, f"{desc} batches", step)
            return time_major(sequences[batches.draw(rng)])

        def look_up(rows):
            return inputs_and_target(embeddings, rows)

        def validate():
            losses = []
            for block in blocks:
                x, target = inputs_and_target(held_out, xp.asarray(block))
                losses.append(float(loss.forward(part.forward(x)[0], target)[0]))
            return float(np.mean(losses))

        return fit(part, loss, draw, look_up, validate, steps, rate, progress, desc)

    if recipe.warm_up:
        wide = Batches(pieces, 2 * recipe.per_piece, SHORTCUT_BATCH)
        train_part(network.shortcut, recipe.warm_up * steps, 1e-3, wide, "shortcut")
    batches = Batches(pieces, recipe.per_piece)
    return network, train_part(network, steps, recipe.rate, batches, "lstm")


class Batches:
    """Draws batches of sequences, several per piece, all different where there are enough.

    pieces: (S,) the piece of each sequence; per_piece: sequences drawn from one piece; size: of a
    batch. A piece occurs at most once per batch, with a probability that grows with its length.
    """

    def __init__(self, pieces, per_piece, size=BATCH):
        order = np.argsort(pieces, kind="stable")  # sequences, sorted by piece
        _, counts = np.unique(pieces, return_counts=True)
        self.sequences = np.split(order, np.cumsum(counts)[:-1])  # of each piece
        self.share = counts / counts.sum()
        self.per_piece = per_piece
        self.groups = size // per_piece

    def draw(self, rng):
        """Indices of (groups * per_piece,) sequences."""
        replace = self.groups > len(self.share) or self.per_piece == 1
        pieces = rng.choice(len(self.share), self.groups, replace=replace, p=self.share)
        n, of_pieces = self.per_piece, [self.sequences[piece] for piece in pieces]
        return np.concatenate([rng.choice(s, n, replace=len(s) < n) for s in of_pieces])


def time_major(sequences):
    """Sequences (N, 8) of row indices, with time as the first axis: (8, N)."""
    return np.ascontiguousarray(sequences.T)


def inputs_and_target(embeddings, rows):
    """The network's input (7, N, D) and its target (N, D).

    rows: (8, N) indices, from `time_major`, where the embeddings are.
    """
    return embeddings[rows[:-1]], embeddings[rows[-1]]


def predict(network, embeddings, sequences, xp, progress=None, block=1000):
    """The network's prediction for every sequence: (S, D), an array of xp."""
    parts = []
    blocks = range(0, len(sequences), block)
    for i in progress_bar(progress, blocks, desc="predicting", leave=False):
        x, _ = inputs_and_target(embeddings, xp.asarray(time_major(sequences[i : i + block])))
        parts.append(network.forward(x)[0])
    return xp.concatenate(parts)
