"""Both experiments of section 5 on one embedding, from an encoder to the raw answers.

The answers are arrays, one entry a sequence or a unit; what they say is for the statistics. All
embeddings are asked about the same sequences and units, with the same candidates, in the same
order, so that their answers can be compared pair by pair.

On a GPU all of it runs there, networks and ranks. That takes 400 bytes a unit for the embeddings,
2,000 a test sequence for what is predicted of it, and at most 2 GB beside them.
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
from tinyembed.music.duplicates import unique_units
from tinyembed.music.midi import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.music.splits import validation_pieces
from tinyembed.training.examples import random_stream

TRAINING_KEYS = 4  # a piece, where the test is in one key: more would take more time than it helps


def less_than(n_keys):
    """The options that need less memory than a test in so many keys, to name to a person."""
    return ["--keys 1 and another --out"] if n_keys > 1 else []


@dataclass(frozen=True)
class Stage:
    """Where the experiments take place: the passages of the three kinds of pieces, and a seed.

    cut: makes rolls of units, as `Corpus.rolls` does, where the experiments run.
    """

    train: Passages
    validation: Passages
    test: Passages
    seed: int
    cut: Callable

    @classmethod
    def build(cls, corpus, seed, n_keys=1, xp=np):
        """Lay out a corpus. n_keys: 1 tests pieces as they are written, 12 in all keys.

        xp: numpy, or cupy to have the onsets on a GPU and rolls made of them there.
        Raises InputError where the test pieces hold nothing to test.
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
        training_keys = TRAINING_KEYS if n_keys == 1 else n_keys
        stage = cls(
            train=Passages.of(corpus, train, training_keys, rng),
            validation=Passages.of(corpus, held_out, 1),
            test=Passages.of(corpus, test, n_keys, rng),
            seed=seed,
            cut=corpus.rolls if xp is np else Cutter(corpus, xp).rolls,
        )
        if len(stage.test.sequences()) == 0:
            raise InputError(
                "no test piece has eight units of four beats one after the other (32 beats): "
                "there is nothing to predict"
            )
        return stage

    @property
    def candidates(self):
        """How many candidates there are: 1,000, or fewer in a small corpus."""
        return _candidates(self.test)

    def has_same_piece_candidates(self):
        """Whether any test sequence leaves units of its piece that share no beat with it."""
        sequences = self.test.sequences()
        passage = self.test.passage_of(sequences[:, 0])
        before = sequences[:, 0] - self.test.start[passage]  # rows
        after = self.test.start[passage + 1] - 1 - sequences[:, -1]
        return bool((np.maximum(before, after) >= BEATS_PER_UNIT).any())

    def embed(self, encode, progress=None):
        """{"train", "validation", "test"}: the embeddings of all rows."""
        return {
            name: getattr(self, name).embed(encode, progress, f"embedding {name}", self.cut)
            for name in ("train", "validation", "test")
        }

    def target_pieces(self):
        """The piece of each test sequence: (S,)."""
        return self.test.piece_of(self.test.sequences()[:, 0])

    def rank(self, predicted, embeddings, xp, of="test"):
        """Both kinds of ranks of predictions (S, D) on the device: two (S,) arrays.

        embeddings: of all rows; of: which passages they are of.
        """
        passages = getattr(self, of)
        sequences = passages.sequences()
        sounding = np.flatnonzero(passages.sounds)
        right = np.searchsorted(sounding, sequences[:, -1])
        return {
            "rank": random_ranks(predicted, embeddings[xp.asarray(sounding)], right, self.seed),
            "rank_same_piece": same_piece_ranks(
                predicted, embeddings, passages, sequences, self.seed, _candidates(passages)
            ),
        }


def _candidates(passages):
    return min(CANDIDATES, int(passages.sounds.sum()))


def train_predictor(stage, embeddings, xp, steps, recipe=prediction.RECIPE, progress=None):
    """Train the LSTM on one embedding: the network and its loss on the validation pieces."""
    pairs = []
    for name in ("train", "validation"):
        passages = getattr(stage, name)
        sequences = passages.sequences()
        pieces = passages.piece_of(sequences[:, 0])
        pairs.append((xp.asarray(embeddings[name]), sequences, pieces))
    return prediction.train_predictor(*pairs, stage.seed, xp, steps, recipe, progress)


def run_prediction(
    stage, embeddings, xp, steps=prediction.STEPS, progress=None, recipe=prediction.RECIPE
):
    """Train the LSTM, predict, rank; and rank the last unit repeated, and the mean embedding.

    embeddings: from `Stage.embed`. Returns arrays over the test sequences (rank, rank_same_piece,
    and both with repetition_ and mean_ before) and seconds, validation_loss and last_unit_weight.
    """
    began = time.perf_counter()
    network, loss = train_predictor(stage, embeddings, xp, steps, recipe, progress)
    weights = recipe.last_unit
    weight = _best_weight(stage, embeddings, xp, network, weights, progress)
    trained = time.perf_counter()
    test, predicted, last = _predict(stage.test, embeddings["test"], xp, network, progress)
    answers = stage.rank(shrink(predicted, last, weight), test, xp)
    ranked = time.perf_counter()
    mean = xp.broadcast_to(xp.asarray(embeddings["train"].mean(axis=0)), last.shape)
    for name, simple in (("repetition", last), ("mean", mean)):
        ranks = stage.rank(simple, test, xp)
        answers |= {f"{name}_{kind}": values for kind, values in ranks.items()}
    return {
        **answers,
        "validation_loss": loss,
        "last_unit_weight": weight,
        "lstm_seconds": trained - began,
        "rank_seconds": ranked - trained,
    }


def _predict(passages, embeddings, xp, network, progress):
    """The embeddings on the device, what the network predicts from them, and each last unit."""
    embeddings, sequences = xp.asarray(embeddings), passages.sequences()
    predicted = prediction.predict(network, embeddings, sequences, xp, progress)
    return embeddings, predicted, embeddings[xp.asarray(sequences[:, -2])]


def _best_weight(stage, embeddings, xp, network, weights, progress):
    """The weight of the last unit that ranks best on the validation pieces."""
    if len(weights) == 1 or len(stage.validation.sequences()) == 0:
        return weights[0]
    validation = stage.validation, embeddings["validation"]
    rows, predicted, last = _predict(*validation, xp, network, progress)

    def rank(weight):
        return stage.rank(shrink(predicted, last, weight), rows, xp, "validation")

    return choose_weight(weights, rank)


def run_composers(stage, embeddings, xp, steps=composers.STEPS, progress=None):
    """Train the classifier and name the composer of every test unit and every test piece.

    Returns truth and predicted, (U,) over the test units with an onset, unit_piece (U,), and
    piece_truth and piece_predicted, (P,) over the test pieces; seconds and validation_loss.
    """
    began = time.perf_counter()
    corpus = stage.train.corpus
    pairs = []
    for name in ("train", "validation"):
        passages = getattr(stage, name)
        rows = np.flatnonzero(passages.sounds)
        pairs.append((xp.asarray(embeddings[name][rows]), corpus.composer_of(passages.beats[rows])))
    network, loss = composers.train_classifier(
        *pairs, len(corpus.composers), stage.seed, xp, steps, progress
    )
    rows = np.flatnonzero(stage.test.sounds)
    log_probabilities = composers.classify(network, xp.asarray(embeddings["test"][rows]))
    unit_piece = stage.test.piece_of(rows)
    pieces, piece_predicted = composers.classify_pieces(log_probabilities, unit_piece)
    return {
        "truth": corpus.composer_of(stage.test.beats[rows]),
        "predicted": log_probabilities.argmax(axis=1),
        "unit_piece": unit_piece,
        "piece_truth": corpus.piece_composer[pieces],
        "piece_predicted": piece_predicted,
        "validation_loss": loss,
        "classifier_seconds": time.perf_counter() - began,
    }


def run_majority(stage):
    """The commonest composer of the training units, named for everything: as `run_composers`."""
    corpus, test = stage.train.corpus, stage.test
    train = corpus.composer_of(stage.train.beats[stage.train.sounds])
    majority = np.bincount(train, minlength=len(corpus.composers)).argmax()
    rows = np.flatnonzero(test.sounds)
    unit_piece = test.piece_of(rows)
    truth = corpus.composer_of(test.beats[rows])
    pieces = np.unique(unit_piece)
    return {
        "truth": truth,
        "predicted": np.full(len(truth), majority),
        "unit_piece": unit_piece,
        "piece_truth": corpus.piece_composer[pieces],
        "piece_predicted": np.full(len(pieces), majority),
    }


def check_split(corpus):
    """Whether anything leaks from training to test.

    Returns unique_train_units, over all keys; pieces_in_both (a piece is in one split alone,
    unless two files hold the same notes); and the number and share of test units, as written,
    that also occur in training in some key.
    """
    rolls = {}
    for piece in range(corpus.n_pieces):
        first, last = corpus.piece_beats[piece : piece + 2]
        onsets = slice(corpus.beat_start[first], corpus.beat_start[last])
        ticks = corpus.ticks[onsets] - TICKS_PER_BEAT * first
        notes = ticks.tobytes() + corpus.pitches[onsets].tobytes()
        rolls.setdefault(notes, set()).add(bool(corpus.piece_is_test[piece]))
    units = unique_units(corpus, corpus.unit_beats())
    is_test = corpus.piece_is_test[corpus.beat_piece[units.occurrence_beat]]
    in_training = np.logical_or.reduceat(~is_test, units.group_start[:-1])
    seen = np.repeat(in_training, np.diff(units.group_start))
    written = is_test & (units.occurrence_key == 0)
    return {
        "unique_train_units": int(in_training.sum()),
        "pieces_in_both": sum(len(splits) == 2 for splits in rolls.values()),
        "test_units_in_training": int((written & seen).sum()),
        "test_units_in_training_share": float((written & seen).sum() / max(written.sum(), 1)),
    }
