"""Composer classification: who composed a unit, given its embedding? (section 5.0.2)"""

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.evaluation.fitting import Standardize, fit
from tinyembed.layers.layer import Sequential
from tinyembed.layers.softmax import SoftmaxCrossEntropy, softmax
from tinyembed.models.networks import build_head
from tinyembed.models.table import HEAD_HIDDEN
from tinyembed.training.examples import random_stream

STEPS = 3000
BATCH = 500
CLASSIFIED_AT_ONCE = 1 << 16  # rows: 70 MB of activations


def train_classifier(train, validation, n_composers, seed, xp, steps=STEPS, progress=None):
    """Train embedding -> 50 ELU -> softmax over the composers.

    train, validation: each a pair of embeddings (R, D), arrays of xp, and composer indices (R,).
    Returns the network and its cross-entropy on the validation pieces.
    """
    embeddings, composers = train
    rng = random_stream(seed, "classifier weights")
    network = Sequential(
        standardize=Standardize(embeddings.shape[1], embeddings),
        head=build_head((HEAD_HIDDEN,), n_composers, rng, embeddings.shape[1]),
    ).to(xp)
    loss = SoftmaxCrossEntropy()
    labels = xp.asarray(composers)
    x, truth = validation if len(validation[1]) else train
    truth = xp.asarray(truth)

    def draw(step):
        return random_stream(seed, "classifier batches", step).integers(len(composers), size=BATCH)

    def look_up(rows):
        return embeddings[rows], labels[rows]

    def validate():
        return float(loss.forward(network.forward(x)[0], truth)[0])

    best = fit(network, loss, draw, look_up, validate, steps, progress=progress, desc="classifier")
    return network, best


def classify(network, embeddings):
    """log P(composer) for every row: a NumPy array (R, n_composers)."""
    parts = [
        to_host(softmax(network.forward(embeddings[i : i + CLASSIFIED_AT_ONCE])[0]))
        for i in range(0, len(embeddings), CLASSIFIED_AT_ONCE)
    ]
    return np.log(np.concatenate(parts) + 1e-30)


def classify_pieces(log_probabilities, pieces):
    """Classify whole pieces by the highest mean log-probability over a piece's units.

    log_probabilities: (R, n_composers); pieces: (R,). Returns the pieces, sorted, and the predicted
    composer of each.
    """
    names, index = np.unique(pieces, return_inverse=True)
    sums = np.zeros((len(names), log_probabilities.shape[1]))
    np.add.at(sums, index, log_probabilities)
    counts = np.bincount(index)[:, None]
    return names, (sums / counts).argmax(axis=1)
