"""The contrastive model: excerpts, negatives, gradients, and what its loss rewards."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from music import write_corpus

from tinyembed.errors import InputError
from tinyembed.layers.gradcheck import cast, complex_step, directional_error
from tinyembed.models.contrastive import GIVEN, ExcerptContrast
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.training.examples import draw_candidates
from tinyembed.training.excerpts import PER_PIECE, ExcerptExamples, check_batch_size

SPEC = MODELS["contrastive"]


def excerpt_beats(rng, excerpts, length):
    """Beats of excerpts, some of which overlap: (N,)."""
    starts = rng.integers(60, size=excerpts)
    return (starts[:, None] + 4 * np.arange(length)).ravel()


@given(excerpts=st.integers(2, 4), length=st.integers(8, 11), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_gradients(excerpts, length, seed):
    rng = np.random.default_rng(seed)
    layer = cast(ExcerptContrast(length, 5, 0.3, rng), float)
    h = rng.standard_normal((excerpts * length, 5))
    beat = excerpt_beats(rng, excerpts, length)
    loss, cache = layer.forward(h, beat, training=True)
    assume(loss > 1e-6)  # excerpts that all overlap leave nothing to compare
    before = h.copy()
    dh = layer.backward(cache)
    step = complex_step(lambda h: layer.forward(h, beat)[0], h)
    np.testing.assert_allclose(dh, step, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(h, before)

    def loss_of():
        return layer.forward(h, beat, training=True)[0]

    assert directional_error(loss_of, layer.parameters(), rng) < 1e-12


@given(length=st.integers(8, 12), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_which_units_are_compared(length, seed):
    """By brute force over beats: no negative shares one with the target or the units given."""
    rng = np.random.default_rng(seed)
    beat = excerpt_beats(rng, 4, length)
    layer = ExcerptContrast(length, 5, 0.1, rng)
    right, hidden = layer._compared(beat)
    queries = [(e, j) for e in range(4) for j in range(GIVEN, length)]
    assert len(right) == len(hidden) == len(queries)
    for row, (e, j) in enumerate(queries):
        index = e * length + j
        assert right[row] == index and not hidden[row, index]
        known = set(range(beat[index] - 4 * GIVEN, beat[index] + 4))
        for n, start in enumerate(beat):
            if n != index:
                assert hidden[row, n] == bool(known & set(range(start, start + 4)))


@given(others=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_fewer_negatives(others, seed):
    """Each target is compared only with units drawn for it, where they share no beat with it."""
    rng = np.random.default_rng(seed)
    n = 4 * 9
    beat, candidates = excerpt_beats(rng, 4, 9), draw_candidates(n, rng, others)
    assert (candidates[:, 0] == np.arange(n)).all()
    assert all(len(set(row)) == 1 + others for row in candidates.tolist())
    layer = ExcerptContrast(9, 5, 0.1, rng)
    right, hidden = layer._compared(beat)
    _, more_hidden = layer._compared(beat, candidates)
    for row, index in enumerate(right):
        drawn = np.isin(np.arange(n), candidates[index])
        np.testing.assert_array_equal(more_hidden[row], hidden[row] | ~drawn)


def test_a_model_with_fewer_negatives(corpus, xp):
    """With fewer negatives the loss is lower: there are fewer to mistake for the right unit."""
    losses = []
    for negatives in (2, 20, None):
        rng = np.random.default_rng(0)
        model = Model("contrastive", "small", corpus.composers, rng, negatives=negatives)
        model.to(xp)
        examples = ExcerptExamples(corpus, model.spec, np.arange(corpus.n_pieces), seed=1)
        batch = examples.batch(0, 128).to(xp)
        losses.append(float(model.loss(batch, training=True)[0]["prediction"]))
    assert losses[0] < losses[1] < losses[2]


def test_a_new_predictor_repeats_the_last_unit():
    """It is right at once where each unit equals the one before it."""
    rng = np.random.default_rng(0)
    themes = rng.standard_normal((4, 1, 50)) * np.ones((1, 9, 1))
    beat = np.concatenate([1000 * e + 4 * np.arange(9) for e in range(4)])
    layer = ExcerptContrast(9, 50, 0.1, rng)
    repeated, _ = layer.forward(themes.reshape(-1, 50), beat)
    random, _ = layer.forward(rng.standard_normal((36, 50)), beat)
    assert repeated < 1.5 < random


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("music"), composers=2, pieces=3, beats=90)
    return Corpus.from_folder(folder, progress=False)


def test_excerpts(corpus):
    examples = ExcerptExamples(corpus, SPEC, np.arange(corpus.n_pieces), seed=1)
    for step in range(3):
        batch = examples.batch(step, 256)
        beats = batch.beat.reshape(-1, PER_PIECE, SPEC.excerpt)
        assert (np.diff(beats, axis=2) == 4).all()
        piece = corpus.beat_piece[beats]
        assert (piece == piece[:, :1, :1]).all()
        assert (batch.clean.sum(axis=(1, 2)) > 0).all()
        np.testing.assert_array_equal(batch.composer, corpus.composer_of(batch.beat))
    again = ExcerptExamples(corpus, SPEC, np.arange(corpus.n_pieces), seed=1).batch(2, 256)
    np.testing.assert_array_equal(again.input, batch.input)
    other = ExcerptExamples(corpus, SPEC, np.arange(corpus.n_pieces), seed=2).batch(2, 256)
    assert (other.input != batch.input).any()


def test_every_key_occurs_and_a_piece_is_in_one(corpus):
    examples = ExcerptExamples(corpus, SPEC, np.arange(corpus.n_pieces), seed=1)
    seen = set()
    for step in range(40):
        draws = examples.draw(examples.choose(step, 128), step)
        keys = draws.keys.reshape(2, -1)
        assert (keys == keys[:, :1]).all()
        seen |= set(keys.ravel().tolist())
    assert seen == set(range(-5, 7))


def test_batch_sizes_that_excerpts_do_not_fill():
    check_batch_size(SPEC, 512)
    for size in (100, 64, 500):
        with pytest.raises(InputError, match="multiple of 64"):
            check_batch_size(SPEC, size)
    check_batch_size(MODELS["context"], 100)
    check_batch_size(SPEC, 512, 511)
    for spec, negatives in ((SPEC, 512), (SPEC, 0), (MODELS["context"], 4)):
        with pytest.raises(InputError, match=r"^--negatives"):
            check_batch_size(spec, 512, negatives)


def test_single_precision_stays_single():
    rng = np.random.default_rng(0)
    layer = ExcerptContrast(9, 5, 0.1, rng)
    h = rng.standard_normal((36, 5)).astype(np.float32)
    loss, cache = layer.forward(h, excerpt_beats(rng, 4, 9), training=True)
    assert loss.dtype == layer.backward(cache).dtype == np.float32
