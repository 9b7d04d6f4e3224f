"""Batches made on a GPU: those of the host, to the last onset, with one transfer for many steps."""

from dataclasses import replace

import numpy as np
import pytest

from tinyembed.backends.arrays import to_host
from tinyembed.backends.choice import engine_for
from tinyembed.backends.cupy.batches import STEPS_AT_ONCE
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.music.cutting import Cutter
from tinyembed.music.piece import Piece
from tinyembed.training.kinds import examples_for

SIZE = 20


def dense_corpus(seed=0, pieces=4, beats=96):
    """Pieces whose notes lie far below the rolls, so that many of a chord fold into one cell."""
    rng = np.random.default_rng(seed)
    music = []
    for n in range(pieces):
        ticks = np.sort(rng.integers(2 * beats, size=beats * 12)) * 12  # in chords
        ticks, pitches = np.divmod(np.unique(ticks * 128 + rng.integers(40, size=len(ticks))), 128)
        piece = Piece(ticks.astype(np.int32), pitches.astype(np.uint8), beats)
        music.append((f"C{n % 2}", f"C{n % 2}/{n}.mid", piece))
    return Corpus.from_pieces(music)


@pytest.fixture(scope="module")
def corpus():
    return dense_corpus()


def sides(corpus, gpu, name):
    """Examples, and the engine of a GPU."""
    examples = examples_for(corpus, MODELS[name], np.arange(corpus.n_pieces), seed=3)
    return examples, engine_for(gpu)


def batches_of(corpus, gpu, name, numbers=lambda step: (), steps=0):
    host, engine = sides(corpus, gpu, name)
    return host, engine.batches(host, size_of(name), numbers, steps)


def same_batch(there, here):
    for field, expected in vars(here).items():
        found = getattr(there, field)
        if expected is None:
            assert found is None
        else:
            assert found.dtype == expected.dtype or expected.dtype.kind == "i"
            np.testing.assert_array_equal(to_host(found), expected, err_msg=field)


def size_of(name):
    return 128 if MODELS[name].excerpt else SIZE


def test_the_corpus_has_what_makes_it_hard(corpus, gpu):
    beats = corpus.unit_beats()
    cells = corpus.rolls(beats).sum(axis=(1, 2))
    assert (Cutter(corpus, gpu).count(beats) > cells + 3).mean() > 0.9


def test_rolls(corpus, gpu):
    beats = corpus.unit_beats()
    keys = np.random.default_rng(0).integers(-5, 7, len(beats))
    found = Cutter(corpus, gpu).rolls(beats, keys)
    np.testing.assert_array_equal(to_host(found), corpus.rolls(beats, keys))
    found = Cutter(corpus, gpu).rolls(beats[:1], 2)
    np.testing.assert_array_equal(to_host(found), corpus.rolls(beats[:1], 2))


def test_a_silent_unit(gpu):
    ticks = np.array([0, 200], np.int32)
    corpus = Corpus.from_pieces([("A", "A/a.mid", Piece(ticks, np.array([60, 62], np.uint8), 16))])
    beats = np.array([9, 0, 4, 10, 8])
    assert Cutter(corpus, gpu).count(beats).tolist() == [0, 1, 0, 0, 1]
    np.testing.assert_array_equal(to_host(Cutter(corpus, gpu).rolls(beats)), corpus.rolls(beats))


@pytest.mark.parametrize("name", MODELS)
def test_the_batches_are_those_of_the_host(corpus, gpu, name):
    steps = STEPS_AT_ONCE + 7
    host, batches = batches_of(corpus, gpu, name, lambda step: (step, 0.5), steps)
    for step in (0, 1, STEPS_AT_ONCE - 1, STEPS_AT_ONCE, STEPS_AT_ONCE + 6, 2):
        batch, numbers = batches.at(step)
        same_batch(batch, host.batch(step, size_of(name)))
        assert numbers.tolist() == [step, 0.5]


@pytest.mark.parametrize("negatives", [1, 8])
def test_as_many_candidates_as_are_asked_for(corpus, gpu, negatives):
    spec = replace(MODELS["contrastive"], negatives=negatives)
    host = examples_for(corpus, spec, np.arange(corpus.n_pieces))
    batches = engine_for(gpu).batches(host, 128, lambda step: (), 9)
    batch, expected = batches.at(3)[0], host.batch(3, 128)
    assert expected.candidates.shape == (128, 1 + negatives)
    same_batch(batch, expected)


@pytest.mark.parametrize("name", MODELS)
def test_given_examples(corpus, gpu, name):
    host, engine = sides(corpus, gpu, name)
    for i, chosen in enumerate(host.fixed(0, 40, 20)):
        same_batch(engine.make(host, chosen, i), host.make(chosen, i))


def test_the_arrays_stay(corpus, gpu):
    _, batches = batches_of(corpus, gpu, "context")
    where = [{k: v.data.ptr for k, v in vars(batches.at(s)[0]).items()} for s in (0, 3)]
    assert where[0] == where[1]


@pytest.mark.parametrize("name", MODELS)
def test_one_transfer_for_many_steps(corpus, gpu, standin, name):
    _, batches = batches_of(corpus, gpu, name, lambda step: (step,), 1000)
    standin.reset()
    batches.look_ahead(0)
    counts = standin.counts()
    assert counts["to_device"] == 1 and counts["synchronisations"] == counts["to_host"] == 0
    assert counts["launches"] < 80  # for fifty steps
    for step in range(STEPS_AT_ONCE):
        with standin.forbid_synchronisation():
            batches.at(step)
    assert standin.counts()["to_device"] == 1
    assert standin.counts()["launches"] - counts["launches"] <= 4 * STEPS_AT_ONCE


def test_a_step_draws_for_one_step_at_most(corpus, gpu):
    """All the draws of fifty steps at once would keep a GPU waiting for them."""
    steps = 3 * STEPS_AT_ONCE + 1
    _, batches = batches_of(corpus, gpu, "context", steps=steps)
    drawn, draw = [], batches.ahead.draw
    batches.ahead.draw = lambda step: drawn.append(step) or draw(step)
    batches.look_ahead(0)
    assert drawn == list(range(STEPS_AT_ONCE))
    for step in range(steps):
        before = len(drawn)
        batches.at(step)
        batches.look_ahead(step + 1)
        assert len(drawn) <= before + 1
    assert drawn == list(range(steps))


def test_a_training_that_is_resumed_draws_the_same(corpus, gpu):
    host, batches = batches_of(corpus, gpu, "note_drop", steps=200)
    for step in (0, 1, 2, 77, 78, 3, 199):
        same_batch(batches.at(step)[0], host.batch(step, SIZE))
        batches.look_ahead(step + 1)


def test_indices_are_drawn_ahead_too(gpu):
    drawn, steps = [], STEPS_AT_ONCE + 30

    def draw(step):
        drawn.append(step)
        return np.full((3, 2), step)

    draws = engine_for(gpu).draws(draw, lambda step: (step, 0.5), steps)
    for step in range(1, steps + 1):
        before = len(drawn)
        rows, numbers = draws.at(step)
        draws.look_ahead(step)
        assert len(drawn) <= before + 1 or step == 1
        assert (to_host(rows) == step).all() and to_host(numbers).tolist() == [step, 0.5]
    assert drawn == list(range(1, steps + 1))
