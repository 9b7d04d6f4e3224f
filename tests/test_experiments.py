"""The two experiments: sequences, ranks, the predictor, the classifier and the baselines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError, WorkError
from tinyembed.evaluation import prediction, predictor
from tinyembed.evaluation import ranks as ranks_module
from tinyembed.evaluation.baselines import pca_encoder, untrained_encoder
from tinyembed.evaluation.composers import classify, classify_pieces, train_classifier
from tinyembed.evaluation.experiments import Dataset, choose_last_unit, run_majority
from tinyembed.evaluation.leakage import check_split
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.prediction import (
    PAPER,
    RECIPE,
    Batches,
    inputs_and_target,
    predict,
    time_major,
    train_predictor,
)
from tinyembed.evaluation.predictor import Predictor
from tinyembed.evaluation.ranks import random_ranks, same_piece_ranks
from tinyembed.evaluation.shrinkage import WEIGHTS, choose_weight, shrink
from tinyembed.layers.cosine import CosineLoss, normalized
from tinyembed.layers.gradcheck import cast, directional_error
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.training.examples import Examples
from tinyembed.training.ranks import ranks_among


def made_up_corpus(lengths, seed=0, silent=0.0):
    """Pieces of random onsets, about two per beat; a share of the beats is silent."""
    rng = np.random.default_rng(seed)
    pieces = []
    for p, n_beats in enumerate(lengths):
        beats = np.flatnonzero(rng.random(n_beats) >= silent)
        ticks = np.repeat(beats, 2) * 24 + np.tile([0, 12], len(beats))
        pitches = rng.integers(40, 90, len(ticks)).astype(np.uint8)
        piece = Piece(ticks.astype(np.int32), pitches, n_beats)
        pieces.append((f"C{p % 2}", f"C{p % 2}/{p}.mid", piece))
    return Corpus.from_pieces(pieces)


@given(
    lengths=st.lists(st.integers(1, 45), min_size=1, max_size=4),
    n_keys=st.sampled_from([1, 3, 12]),
    silent=st.sampled_from([0.0, 0.7]),
)
@settings(max_examples=30, deadline=None)
def test_sequences_are_eight_units_of_one_piece_in_one_key(lengths, n_keys, silent):
    corpus = made_up_corpus(lengths, silent=silent)
    pieces = np.arange(corpus.n_pieces)
    passages = Passages.of(corpus, pieces, n_keys, np.random.default_rng(0))
    assert len(passages.piece) == n_keys * len(lengths)
    for p in pieces:
        keys = {int(passages.keys[passages.start[i]]) for i in np.flatnonzero(passages.piece == p)}
        assert len(keys) == n_keys and 0 in keys
    sequences = passages.sequences()
    beats, keys = passages.beats[sequences], passages.keys[sequences]
    assert (np.diff(beats, axis=1) == 4).all()
    assert (keys == keys[:, :1]).all()
    assert (corpus.beat_piece[beats] == passages.piece_of(sequences[:, 0])[:, None]).all()
    # Brute force: every start whose eighth unit ends within the piece and has an onset.
    expected = 0
    for p, n_beats in enumerate(lengths):
        for start in range(n_beats - 31):
            expected += corpus.has_onset([corpus.piece_beats[p] + start + 28])[0]
    assert len(sequences) == n_keys * expected


def test_the_piece_with_an_embedding_that_is_not_a_number_is_named():
    corpus = made_up_corpus([20, 20])
    passages = Passages.of(corpus, [0, 1])
    with pytest.raises(WorkError, match=r"C1/1\.mid"):
        passages.embed(lambda rolls: np.where(np.arange(len(rolls)) < 20, 1.0, np.nan)[:, None])


@given(seed=st.integers(0, 999), n=st.integers(1, 40), pool=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_random_ranks_against_brute_force(seed, n, pool):
    rng = np.random.default_rng(seed)
    units = rng.integers(-2, 3, (pool, 3)) + 0.5  # some of them equal
    truth = rng.integers(pool, size=n)
    predicted = rng.standard_normal((n, 3))
    candidates = 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks_module, "BLOCK", 16)
        found = random_ranks(predicted, units, truth, seed, candidates)
        perfect = random_ranks(units[truth], units, truth, seed, candidates)
    for s in range(n):
        block = np.random.default_rng([seed, s // 16])
        drawn = block.choice(pool, min(candidates, pool), replace=False).tolist()
        drawn.remove(truth[s] if truth[s] in drawn else drawn[-1])
        own = cosine(predicted[s], units[truth[s]])
        others = np.array([cosine(predicted[s], units[u]) for u in drawn])
        equal = np.abs(others - own) < 1e-9
        assert found[s] == ((others > own) & ~equal).sum() + equal.sum() / 2
        ties = sum(cosine(units[truth[s]], units[u]) > 1 - 1e-9 for u in drawn)
        assert perfect[s] == ties / 2  # the true unit does not compete with itself


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_same_piece_candidates_share_no_beat_with_the_sequence():
    """With one-hot embeddings, a rank counts how often one particular unit is drawn."""
    corpus = made_up_corpus([60, 33, 40], silent=0.3)
    passages = Passages.of(corpus, [0, 1, 2], 2, np.random.default_rng(0))
    sequences = passages.sequences()
    embeddings = np.eye(len(passages))
    available = []
    for rows in sequences:
        p = passages.passage_of(rows[:1])[0]
        others = np.arange(passages.start[p], passages.start[p + 1])
        apart = (others + 3 < rows[0]) | (others > rows[-1] + 3)
        available.append(others[apart & passages.sounds[others]])
    # Predict one other unit: it ranks above the target as often as it is drawn.
    chosen = np.array([units[0] if len(units) else -1 for units in available])
    predicted = embeddings[chosen] + 0.5 * embeddings[sequences[:, -1]]
    found = same_piece_ranks(predicted, embeddings, passages, sequences, seed=0)
    counts = np.array([len(units) for units in available])
    assert (np.isnan(found) == (counts == 0)).all() and (counts == 0).any() and (counts > 5).any()
    expected = 999 / counts[counts > 0]
    assert np.abs(found[counts > 0] - expected).max() < 6 * np.sqrt(expected.max())
    # Predict a unit that shares a beat with the sequence: it must never be drawn.
    for shift in (-3, 0, 28 + 3):
        near = sequences[:, 0] + shift
        inside = (near >= 0) & (near < len(passages))
        same = passages.passage_of(np.where(inside, near, 0)) == passages.passage_of(
            sequences[:, 0]
        )
        keep = inside & same & (counts > 0)
        keep &= near != sequences[:, -1]
        predicted = embeddings[near[keep]] + 0.5 * embeddings[sequences[keep, -1]]
        found = same_piece_ranks(predicted, embeddings, passages, sequences[keep], seed=0)
        assert (found == 0).all()


def test_ties_among_candidates_count_half():
    own, others = np.array([[0.5]]), np.array([[0.6, 0.5, 0.5, 0.1]])
    assert ranks_among(own, others) == 2.0


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_gradient_of_the_predictor(shortcut):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 6))
    network = cast(Predictor(rows.shape[1], rows, shortcut, shortcut, rng), float)
    x, target = rng.standard_normal((7, 3, 6)), rng.standard_normal((3, 6))
    y, cache = network.forward(x)
    _, loss_cache = CosineLoss().forward(y, target)
    network.backward(CosineLoss().backward(loss_cache), cache)

    def loss_of():
        return CosineLoss().forward(network.forward(x)[0], target)[0]

    assert directional_error(loss_of, network.parameters(), rng) < 1e-11


@pytest.mark.parametrize("recipe", [replace(RECIPE, warm_up=1, rate=1e-3), PAPER])
def test_the_predictor_learns_what_can_be_predicted(recipe, monkeypatch):
    """Rows move around a circle at one of two speeds, which only several units together reveal."""
    monkeypatch.setattr(predictor, "UNITS", 64)
    monkeypatch.setattr(prediction, "VALIDATED", 300)
    t = np.arange(400)
    circles = [np.stack([np.cos(s * t), np.sin(s * t)], axis=1) for s in (0.1, 0.25)]
    rows = np.concatenate(circles).astype(np.float32)
    first = np.concatenate([np.arange(300), 400 + np.arange(300)])
    sequences = first[:, None] + 4 * np.arange(8)
    pieces = (first >= 400).astype(int)
    data = rows, sequences, pieces
    network, _ = train_predictor(data, data, 0, np, steps=50, recipe=recipe, progress=False)
    answers = predict(network, rows, sequences, np, progress=False)
    _, target = inputs_and_target(rows, time_major(sequences))
    predicted = (answers * target).sum(axis=1) / np.linalg.norm(answers, axis=1)
    repeated = (rows[sequences[:, -2]] * target).sum(axis=1)
    assert predicted.mean() > 0.95 > 0.8 > repeated.mean()


def test_batches_hold_different_sequences_of_the_same_pieces():
    sizes = [5] + [50] * 10 + [500] * 5
    pieces = np.repeat(np.random.default_rng(0).permutation(len(sizes)), sizes)
    batches = Batches(pieces, 10)
    drawn = [batches.draw(np.random.default_rng(n)) for n in range(300)]
    for batch in drawn:
        groups = pieces[batch].reshape(10, 10)
        assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 10
        long = batch[np.array(sizes)[np.searchsorted(np.cumsum(sizes), batch, "right")] >= 10]
        assert len(set(long)) == len(long)
    assert len(set(np.concatenate(drawn))) > 0.98 * len(pieces)  # nearly all occur
    few = Batches(np.array([1, 1, 2]), 10)  # fewer than a batch needs: some are repeated
    assert set(few.draw(np.random.default_rng(0))) == {0, 1, 2}


def test_no_piece_is_long_enough():
    with pytest.raises(InputError, match="32 beats"):
        train_predictor((np.ones((3, 2), np.float32), np.zeros((0, 8), int), []), None, 0, np)


def test_the_classifier_learns_and_is_better_on_whole_pieces():
    rng = np.random.default_rng(0)
    composers = rng.integers(3, size=3000)
    pieces = composers * 10 + rng.integers(10, size=3000)
    centres = rng.standard_normal((3, 5)).astype(np.float32)
    rows = centres[composers] + 2 * rng.standard_normal((3000, 5)).astype(np.float32)
    network, loss = train_classifier((rows, composers), (rows, composers), 3, 0, np, steps=200,
                                     progress=False)  # fmt: skip
    log_probabilities = classify(network, rows)
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1, rtol=1e-5)
    units = (log_probabilities.argmax(axis=1) == composers).mean()
    names, predicted = classify_pieces(log_probabilities, pieces)
    assert loss < np.log(3) and units > 0.5
    assert (predicted == names // 10).mean() > units


def test_whole_pieces_by_mean_log_probability():
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.01, 0.99], [0.9, 0.1]])
    names, predicted = classify_pieces(np.log(probabilities), np.array([5, 5, 5, 2]))
    assert names.tolist() == [2, 5] and predicted.tolist() == [0, 1]


@pytest.fixture(scope="module")
def corpus(piano_folder):
    return Corpus.from_folder(piano_folder, progress=False)


def test_pca_is_the_singular_value_decomposition(corpus):
    encode = pca_encoder(corpus, np.arange(2), 0, np)
    rolls = corpus.rolls(corpus.unit_beats([3]))
    embedded = encode(rolls)
    assert embedded.shape == (len(rolls), 100) and embedded.dtype == np.float32
    examples = Examples(corpus, MODELS["note_drop"], np.arange(2), 0)
    x = examples.make(np.arange(len(examples))).target.reshape(len(examples), -1)
    _, _, components = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (rolls.reshape(len(rolls), -1) - x.mean(axis=0)) @ components[:100].T
    # Up to the sign of each component; the last ones are nearly equal and may mix.
    np.testing.assert_allclose(np.abs(embedded[:, :20]), np.abs(expected[:, :20]), atol=2e-3)
    lengths = np.linalg.norm(embedded, axis=1), np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(*lengths, rtol=1e-3)


def test_the_untrained_encoder_is_normalized(corpus):
    encode = untrained_encoder(corpus, np.arange(6), "small", 0, np)
    embedded = encode(corpus.rolls(corpus.unit_beats([7, 8])))
    assert embedded.shape[1] == 100 and np.isfinite(embedded).all()
    assert embedded.std(axis=0).mean() > 0.1


def test_the_majority_baseline():
    corpus = made_up_corpus([40, 80] * 6).split(0)  # C1 has about twice as many units
    dataset = Dataset.build(corpus, 0)
    answers = run_majority(dataset)
    assert (answers["predicted"] == 1).all() and (answers["piece_predicted"] == 1).all()
    assert len(answers["truth"]) == dataset.test.sounds.sum()
    expected = (np.diff(corpus.piece_beats) == 80)[answers["unit_piece"]]
    assert (answers["truth"] == expected).all()


def test_leakage_is_found():
    corpus = made_up_corpus([40] * 12).split(0)
    clean = check_split(corpus)
    assert clean["pieces_in_both"] == 0
    # The same notes again, in the other split.
    pieces = []
    for p in range(corpus.n_pieces):
        first, last = corpus.piece_beats[p : p + 2]
        part = slice(corpus.beat_start[first], corpus.beat_start[last])
        ticks = corpus.ticks[part] - 24 * first
        pieces.append(("C0", f"C0/{p}.mid", Piece(ticks, corpus.pitches[part], last - first)))
    leaky = Corpus.from_pieces([*pieces, ("C0", "C0/again.mid", pieces[0][2])])
    leaky.piece_is_test = np.arange(leaky.n_pieces) == leaky.n_pieces - 1
    found = check_split(leaky)
    assert found["pieces_in_both"] == 1
    assert found["test_units_in_training"] == 37 and found["test_units_in_training_share"] == 1


def test_test_pieces_that_are_too_short():
    corpus = made_up_corpus([20] * 8).split(0)
    with pytest.raises(InputError, match="32 beats"):
        Dataset.build(corpus, 0)
    with pytest.raises(InputError, match="held out"):
        Dataset.build(made_up_corpus([40] * 3), 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shrinking_towards_the_last_unit(xp, dtype):
    rng = np.random.default_rng(0)
    predicted, last = (rng.standard_normal((2, 5, 3)) * [[[10.0]], [[0.1]]]).astype(dtype)
    predicted[0] = 0
    on_device = xp.asarray(predicted), xp.asarray(last)
    assert shrink(*on_device, 0.0) is on_device[0]
    for weight in (0.1, 0.5, 1.0):
        found = to_host(shrink(*on_device, weight))
        assert found.dtype == dtype and not found[0].any() == (weight == 0)
        for a, p, q in zip(found[1:], predicted[1:], last[1:], strict=True):
            p, q = p / np.linalg.norm(p), q / np.linalg.norm(q)
            np.testing.assert_allclose(a, p + weight * q, rtol=1e-5)
    mostly_last = to_host(shrink(*on_device, 1e6))
    np.testing.assert_allclose(normalized(mostly_last)[0], normalized(last)[0], atol=1e-5)


def test_the_weight_that_ranks_best_is_chosen():
    nothing = np.array([np.nan, np.nan])

    def rank(of, kind="rank_same_piece"):
        return lambda weight: {"rank": nothing, "rank_same_piece": nothing, kind: of[weight]}

    of = {0.0: np.array([5, 7]), 0.1: np.array([3, np.nan]), 0.5: np.array([1, 8])}
    assert choose_weight(tuple(of), rank(of)) == 0.1
    assert choose_weight(tuple(of), rank(of, "rank")) == 0.1
    assert choose_weight((0.0, 0.1), rank({0.0: nothing, 0.1: nothing})) == 0
    equal = {0.0: np.ones(2), 0.1: np.ones(2)}
    assert choose_weight(tuple(equal), rank(equal)) == 0


def test_the_validation_pieces_choose_the_weight():
    """With an untrained network, a larger weight is better where units change slowly."""
    corpus = made_up_corpus([60] * 24).split(0)
    dataset = Dataset.build(corpus, 0)
    rng = np.random.default_rng(0)

    def walk(passages):  # each unit is close to the previous one
        return rng.standard_normal((len(passages), 4)).cumsum(axis=0).astype(np.float32)

    def chance(passages):  # the last unit is at least as far from the next as any other
        rows = rng.standard_normal((len(passages), 4)).astype(np.float32)
        rows[4:] -= rows[:-4]
        return rows

    network = Predictor(4, walk(dataset.train), False, False, rng)
    for validation, test, most in ((walk, chance, True), (chance, walk, False)):
        embeddings = {"validation": validation(dataset.validation), "test": test(dataset.test)}
        found = choose_last_unit(dataset, embeddings, np, network, WEIGHTS, False)
        assert (found == max(WEIGHTS)) == most
        assert choose_last_unit(dataset, embeddings, np, network, (0.1,), False) == 0.1
    short = replace(dataset, validation=Passages.of(made_up_corpus([20, 20]), np.arange(2), 1))
    assert choose_last_unit(short, embeddings, np, network, WEIGHTS, False) == 0
