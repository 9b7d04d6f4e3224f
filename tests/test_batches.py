"""The examples that models are trained on: units, targets, and draws that can be repeated."""

import numpy as np
import pytest

from tinyembed.models.table import MODELS, PAPER_MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.training.examples import Examples, random_stream


@pytest.fixture(scope="module")
def corpus(piano_folder):
    return Corpus.from_folder(piano_folder, progress=False)


def pieces(corpus):
    return np.arange(corpus.n_pieces)


def chosen_units(examples, chosen, step):
    """The units of a batch, drawn again as `make` draws them."""
    first, last = examples.units.group_start[chosen], examples.units.group_start[chosen + 1]
    drawn = random_stream(examples.seed, "occurrence", step).integers(first, last)
    return examples.units.occurrence_beat[drawn], examples.units.occurrence_key[drawn]


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_inputs_and_targets(corpus, name):
    spec = MODELS[name]
    examples = Examples(corpus, spec, pieces(corpus), seed=3)
    chosen = np.arange(0, len(examples), max(1, len(examples) // 50))
    batch = examples.make(chosen, step=7)
    beats, keys = chosen_units(examples, chosen, 7)
    np.testing.assert_array_equal(batch.clean, corpus.rolls(beats, keys))
    if spec.corruption is None:
        np.testing.assert_array_equal(batch.input, batch.clean)
    else:
        assert (batch.input <= batch.clean).all() and (batch.input != batch.clean).any()
    if spec.context:
        expected = sum(corpus.rolls(beats + 4 * unit, keys) for unit in spec.context)
        np.testing.assert_array_equal(batch.target, expected)
        assert (batch.target.sum(axis=(1, 2)) > 0).all()
    else:
        assert batch.target is None
    piece = corpus.beat_piece[beats]
    np.testing.assert_array_equal(batch.composer, corpus.piece_composer[piece])
    for unit in spec.context:  # neighbours of the same piece
        np.testing.assert_array_equal(corpus.beat_piece[beats + 4 * unit + 3], piece)
    assert (batch.clean.sum(axis=(1, 2)) > 0).all()


def test_each_input_comes_once_per_pass(corpus):
    examples = Examples(corpus, MODELS["note_drop"], pieces(corpus)[:1])
    size = 10
    steps = -(-2 * len(examples) // size)
    seen = []
    original = examples.make
    examples.make = lambda chosen, step: seen.extend(chosen) or original(chosen, step)
    for step in range(steps):
        examples.batch(step, size)
    n = len(examples)
    assert sorted(seen[:n]) == sorted(seen[n : 2 * n]) == list(range(n))
    assert seen[:n] != seen[n : 2 * n]


def test_batches_depend_on_seed_and_step_alone(corpus):
    spec = MODELS["note_drop"]
    a, b = (Examples(corpus, spec, pieces(corpus), seed=1) for _ in range(2))
    a.batch(0, 10), a.batch(1, 10)
    for name, value in vars(a.batch(2, 10)).items():
        np.testing.assert_array_equal(value, getattr(b.batch(2, 10), name))
    other = Examples(corpus, spec, pieces(corpus), seed=2)
    assert (other.batch(2, 10).clean != b.batch(2, 10).clean).any()


def test_silent_units_and_targets_are_left_out():
    """Eight units of four beats; the fourth is silent, and so are all beats of the last two."""
    onsets = np.array([0, 1, 2, 4, 5]) * 96
    piece = Piece(onsets.astype(np.int32), np.array([60, 62, 64, 65, 67], np.uint8), 32)
    corpus = Corpus.from_pieces([("A", "A/a.mid", piece)])
    every_fourth = {
        name: {
            int(beat) // 4
            for beat in Examples(corpus, MODELS[name], [0], keys=(0,)).units.occurrence_beat
            if beat % 4 == 0
        }
        for name in ("note_drop", "forward", "context")
    }
    assert every_fourth["note_drop"] == {0, 1, 2, 4, 5}
    assert every_fourth["forward"] == {0, 1, 4}  # silence follows 2 and 5
    assert every_fourth["context"] == {1, 2, 4, 5}  # the first has nothing before it


def test_an_input_that_recurs_is_drawn_with_all_its_neighbours():
    """A B A C: the next unit after A is B or C, each drawn about equally often."""
    units = [(60,), (62,), (60,), (64,)]
    ticks = np.arange(4) * 96
    pitches = np.array([u[0] for u in units], np.uint8)
    corpus = Corpus.from_pieces([("A", "A/a.mid", Piece(ticks.astype(np.int32), pitches, 16))])
    examples = Examples(corpus, MODELS["forward"], [0], keys=(0,))
    firsts = examples.units.occurrence_beat[examples.units.group_start[:-1]]
    (a,) = np.flatnonzero(corpus.rolls(firsts)[:, 24, 0])
    batch = examples.make(np.full(400, a), step=0)
    shares = batch.target[:, [26, 28], 0].mean(axis=0)
    assert shares.sum() == 1 and abs(shares[0] - 0.5) < 0.1
