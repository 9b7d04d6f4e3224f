"""Both experiments of section 5 on one embedding, from an encoder to the raw answers.

Answers are arrays with one entry per sequence or unit; the statistics are computed from them later.
All embeddings are tested on the same sequences and units, with the same candidates, in the same
order, so that their answers can be compared in pairs.

On a GPU networks and ranks are computed there. That takes 400 bytes per unit for the embeddings,
2,000 per test sequence for the predictions, and at most 2 GB beside them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.ranks import CANDIDATES, random_ranks, same_piece_ranks
from tinyembed.evaluation.shrinkage import choose_weight, shrink
from tinyembed.music.cutting import Cutter
from tinyembed.music.splits import validation_pieces
from tinyembed.training.examples import random_stream

TRAINING_KEYS = 4  # per piece, where the test is in one key; more keys cost more than they help
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """The passages of the training, validation and test pieces, and the seed of the experiments.

    cut: makes the rolls of units from beats and keys, as `Corpus.rolls` does, where the experiments
    run.
    """

    train: Passages
    validation: Passages
    test: Passages
    seed: int
    cut: Callable

    @classmethod
    def build(cls, corpus, seed, n_keys=1, xp=np):
        """The dataset of a corpus. n_keys: 1 tests pieces as written, 12 in all keys.

        xp: numpy, or cupy to keep the onsets on a GPU and make rolls there.
        Raises InputError where there is nothing to test: no test piece, or none long enough.
        """
        held_out = validation_pieces(corpus, seed)
        train = np.setdiff1d(np.flatnonzero(~corpus.piece_is_test), held_out)
        test = np.flatnonzero(corpus.piece_is_test)
        if len(test) == 0:
            raise InputError(
                "no piece is held out for testing: give each composer four pieces or more, or say "
                "which ones in a splits.tsv"
            )
        rng = random_stream(seed, "keys")
        dataset = cls(
            train=Passages.of(corpus, train, max(n_keys, TRAINING_KEYS), rng),
            validation=Passages.of(corpus, held_out, 1),
            test=Passages.of(corpus, test, n_keys, rng),
            seed=seed,
            cut=corpus.rolls if xp is np else Cutter(corpus, xp).rolls,
        )
        if len(dataset.test.sequences()) == 0:
            raise InputError(
                "no test piece has eight units of four beats one after the other (32 beats): "
                "there is nothing to predict"
            )
        return dataset

    def __len__(self):
        """The number of units, over all passages."""
        return sum(len(getattr(self, name)) for name in SPLITS)

    @property
    def candidates(self):
        """The number of candidates: 1,000, or fewer in a small corpus."""
        return _candidates(self.test)

    def embed(self, encode, progress=None):
        """The embeddings of all rows: {"train": (R, D), "validation": ..., "test": ...}."""
        return {
            name: getattr(self, name).embed(encode, progress, f"embedding {name}", self.cut)
            for name in SPLITS
        }

    def target_pieces(self):
        """The piece of each test sequence: (S,)."""
        return self.test.piece_of(self.test.sequences()[:, 0])

    def rank(self, predicted, embeddings, xp, split="test"):
        """Ranks among both sets of candidates: {"rank": (S,), "rank_same_piece": (S,)}.

        predicted: (S, D), one per sequence of the split; embeddings: (R, D), of all its rows; both
        arrays of xp.
        """
        passages = getattr(self, split)
        sequences = passages.sequences()
        sounding = np.flatnonzero(passages.sounds)
        truth = np.searchsorted(sounding, sequences[:, -1])
        return {
            "rank": random_ranks(predicted, embeddings[xp.asarray(sounding)], truth, self.seed),
            "rank_same_piece": same_piece_ranks(
                predicted, embeddings, passages, sequences, self.seed, _candidates(passages)
            ),
        }


def _candidates(passages):
    return min(CANDIDATES, int(passages.sounds.sum()))


def train_predictor(dataset, embeddings, xp, steps, recipe=prediction.RECIPE, progress=None):
    """Train the LSTM on one embedding: the network and its loss on the validation pieces."""
    pairs = []
    for name in ("train", "validation"):
        passages = getattr(dataset, name)
        sequences = passages.sequences()
        pieces = passages.piece_of(sequences[:, 0])
        pairs.append((xp.asarray(embeddings[name]), sequences, pieces))
    return prediction.train_predictor(*pairs, dataset.seed, xp, steps, recipe, progress)


def run_prediction(
    dataset, embeddings, xp, steps=prediction.STEPS, progress=None, recipe=prediction.RECIPE
):
    """Train the LSTM and rank its predictions, and those of two baselines.

    The baselines predict the last unit again, and the mean embedding.
    embeddings: from `Dataset.embed`. Returns what `run_predictor` does, and the same arrays
    prefixed by repetition_ and mean_.
    """
    answers = run_predictor(dataset, embeddings, xp, steps, progress, recipe)
    test = xp.asarray(embeddings["test"])
    last = test[xp.asarray(dataset.test.sequences()[:, -2])]
    mean = xp.broadcast_to(xp.asarray(embeddings["train"].mean(axis=0)), last.shape)
    for name, baseline in (("repetition", last), ("mean", mean)):
        ranks = dataset.rank(baseline, test, xp)
        answers |= {f"{name}_{kind}": values for kind, values in ranks.items()}
    return answers


def run_predictor(
    dataset, embeddings, xp, steps=prediction.STEPS, progress=None, recipe=prediction.PAPER
):
    """Train the LSTM and rank its predictions.

    embeddings: from `Dataset.embed`; recipe: the paper's unless another is given. Returns rank and
    rank_same_piece, (S,) over the test sequences, and validation_loss, last_unit_weight,
    lstm_seconds and rank_seconds.
    """
    began = time.perf_counter()
    network, loss = train_predictor(dataset, embeddings, xp, steps, recipe, progress)
    weight = choose_last_unit(dataset, embeddings, xp, network, recipe.last_unit, progress)
    trained = time.perf_counter()
    test, predicted, last = _predict(dataset, embeddings, "test", xp, network, progress)
    return {
        **dataset.rank(shrink(predicted, last, weight), test, xp),
        "validation_loss": loss,
        "last_unit_weight": weight,
        "lstm_seconds": trained - began,
        "rank_seconds": time.perf_counter() - trained,
    }


def _predict(dataset, embeddings, split, xp, network, progress):
    """A split's embeddings, the network's predictions, and the last units: arrays of xp."""
    rows, sequences = xp.asarray(embeddings[split]), getattr(dataset, split).sequences()
    predicted = prediction.predict(network, rows, sequences, xp, progress)
    return rows, predicted, rows[xp.asarray(sequences[:, -2])]


def choose_last_unit(dataset, embeddings, xp, network, weights, progress):
    """The weight of the last unit that ranks best on the validation pieces."""
    if len(weights) == 1 or len(dataset.validation.sequences()) == 0:
        return weights[0]
    rows, predicted, last = _predict(dataset, embeddings, "validation", xp, network, progress)

    def rank(weight):
        return dataset.rank(shrink(predicted, last, weight), rows, xp, "validation")

    return choose_weight(weights, rank)


def run_composers(dataset, embeddings, xp, steps=composers.STEPS, progress=None):
    """Train the classifier and predict the composer of every test unit and every test piece.

    Returns truth and predicted, (U,) over the test units with an onset, unit_piece (U,), and
    piece_truth and piece_predicted, (P,) over the test pieces; validation_loss and
    classifier_seconds.
    """
    began = time.perf_counter()
    pairs = [
        (xp.asarray(embeddings[name][passages.sounds]), _unit_composers(passages))
        for name, passages in (("train", dataset.train), ("validation", dataset.validation))
    ]
    n = len(dataset.train.corpus.composers)
    network, loss = composers.train_classifier(*pairs, n, dataset.seed, xp, steps, progress)
    rows = xp.asarray(embeddings["test"][dataset.test.sounds])
    log_probabilities = composers.classify(network, rows)
    answers = _composer_truth(dataset.test)
    _, piece_predicted = composers.classify_pieces(log_probabilities, answers["unit_piece"])
    return {
        **answers,
        "predicted": log_probabilities.argmax(axis=1),
        "piece_predicted": piece_predicted,
        "validation_loss": loss,
        "classifier_seconds": time.perf_counter() - began,
    }


def run_majority(dataset):
    """A baseline: the composer with the most training units is predicted everywhere.

    Returns the same as `run_composers`, without validation_loss and classifier_seconds.
    """
    majority = np.bincount(_unit_composers(dataset.train)).argmax()
    answers = _composer_truth(dataset.test)
    return {
        **answers,
        "predicted": np.full_like(answers["truth"], majority),
        "piece_predicted": np.full_like(answers["piece_truth"], majority),
    }


def _unit_composers(passages):
    """The composer of every unit with an onset: (U,)."""
    return passages.corpus.composer_of(passages.beats[passages.sounds])


def _composer_truth(passages):
    """The true composers of units and pieces, as `run_composers` returns them."""
    unit_piece = passages.piece_of(np.flatnonzero(passages.sounds))
    return {
        "truth": _unit_composers(passages),
        "unit_piece": unit_piece,
        "piece_truth": passages.corpus.piece_composer[np.unique(unit_piece)],
    }
