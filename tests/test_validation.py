"""Ranks, and the scores that stand beside a model's: what they must be where that is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.models.model import Model
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.training.examples import Examples
from tinyembed.training.ranks import ranks
from tinyembed.training.validation import (
    CHANCE,
    Validation,
    compare_composers,
    compare_reconstructions,
    mean_target,
    validation_losses,
)


@given(n=st.integers(1, 5), m=st.integers(1, 30), seed=st.integers(0, 999))
@settings(deadline=None)
def test_ranks_count_what_is_better_and_half_of_what_is_equal(n, m, seed):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-3, 4, (n, m)) / 4  # many ties
    right = rng.integers(m, size=n)
    for row, place, found in zip(similarity, right, ranks(similarity, right), strict=True):
        others = np.delete(row, place)
        assert found == (others > row[place]).sum() + (others == row[place]).sum() / 2


def test_cosines_within_rounding_are_ties():
    similarity = np.array([[0.5, 0.5 + 5e-7, 0.5 - 5e-7, 0.5 + 5e-6, 0.4]])
    assert ranks(similarity, np.array([0])) == 2.0  # one better, two equal


@pytest.fixture(scope="module")
def corpus(piano_folder):
    return Corpus.from_folder(piano_folder, progress=False)


def make(corpus, name, pieces=None):
    pieces = np.arange(corpus.n_pieces) if pieces is None else pieces
    examples = Examples(corpus, MODELS[name], pieces)
    model = Model(name, "small", corpus.composers, np.random.default_rng(0))
    return model, examples, Validation(examples, seed=0, limit=1000)


@pytest.mark.parametrize("name", ["note_drop", "context"])
def test_the_ends_of_the_scale(corpus, name):
    model, examples, validation = make(corpus, name)
    scores = compare_reconstructions(model, validation, mean_target(examples, 0))
    constant, perfect = scores["mean training target"], scores["perfect reconstruction"]
    assert constant["loss"] == pytest.approx(CHANCE, abs=1e-5)
    assert constant["median_rank"] == pytest.approx(499.5, abs=20)
    assert perfect["cosine"] == pytest.approx(1, abs=1e-5)
    assert perfect["median_rank"] == 0
    assert 0.9 < perfect["loss"] < scores["uncorrupted input"]["loss"] + 1e-6
    if name == "note_drop":
        assert scores["uncorrupted input"] == perfect
        assert perfect["loss"] < scores["corrupted input"]["loss"]
    own = validation_losses(model, validation)["reconstruction"]
    assert scores["this model"]["loss"] == pytest.approx(own, rel=1e-6)


def test_the_mean_target_is_the_mean_of_targets(corpus):
    _, examples, _ = make(corpus, "note_drop", pieces=[0])
    targets = examples.make(np.arange(len(examples))).target  # the unit itself: no draw matters
    np.testing.assert_allclose(mean_target(examples, 0), targets.mean(axis=0), atol=1e-6)


def test_composers_beside_the_majority(corpus):
    model, examples, validation = make(corpus, "composer")
    training = corpus.composer_of(examples.units.occurrence_beat)
    scores = compare_composers(model, validation, training)
    truth = np.concatenate([batch.composer for batch, _ in validation.batches()])
    commonest = np.bincount(training).argmax()
    assert scores["majority_composer"] == corpus.composers[commonest]
    assert scores["majority"] == pytest.approx((truth == commonest).mean())
    assert scores["chance"] == math.log(3)
    predicted = np.concatenate(
        [model.forward(b.input)[0].logits.argmax(axis=1) for b, _ in validation.batches()]
    )
    assert scores["accuracy"] == pytest.approx((predicted == truth).mean())
