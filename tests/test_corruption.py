"""What each corruption takes away, and that it takes nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.music.corruption import CORRUPTIONS, beat_drop, note_drop, octave_split

seeds = st.integers(0, 2**32 - 1)


def random_rolls(seed, n=20, density=0.01):
    rng = np.random.default_rng(seed)
    rolls = (rng.random((n, 60, 96)) < density * rng.random((n, 1, 1))).astype(np.float32)
    rolls[0] = 0  # a silent one among them
    rolls[1] = 0
    rolls[1, 30, 50] = 1  # and one of a single onset
    return rolls


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_onsets_only_go(name, seed):
    rolls = random_rolls(seed)
    before = rolls.copy()
    damaged = CORRUPTIONS[name](rolls, np.random.default_rng(seed))
    assert (rolls == before).all()
    assert damaged.dtype == np.float32 and damaged.shape == rolls.shape
    assert ((damaged == rolls) | (damaged == 0)).all()
    again = CORRUPTIONS[name](rolls, np.random.default_rng(seed))
    assert (damaged == again).all()


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_note_drop_takes_half_of_each_unit(seed):
    rolls = random_rolls(seed)
    kept = note_drop(rolls, np.random.default_rng(seed)).sum(axis=(1, 2))
    count = rolls.sum(axis=(1, 2))
    assert (np.abs(kept - count / 2) <= 0.5).all()


def test_note_drop_rounds_and_chooses_at_random():
    rolls = np.zeros((20_000, 60, 96), np.float32)
    rolls[:, 10, [0, 24, 48]] = 1
    damaged = note_drop(rolls, np.random.default_rng(0))
    kept = damaged.sum(axis=(1, 2))
    assert abs((kept == 1).mean() - 0.5) < 0.02  # of three onsets one or two, equally often
    for column in (0, 24, 48):  # and each as often as the others
        assert abs(damaged[:, 10, column].mean() - 0.5) < 0.02


def test_beat_drop_takes_one_beat():
    rolls = np.ones((4000, 60, 96), np.float32)
    damaged = beat_drop(rolls, np.random.default_rng(0))
    beats = damaged.reshape(-1, 60, 4, 24).sum(axis=(1, 3)) == 0
    assert (beats.sum(axis=1) == 1).all()
    assert np.abs(beats.mean(axis=0) - 0.25).max() < 0.03
    assert (damaged.sum(axis=(1, 2)) == 60 * 72).all()


def test_octave_split_takes_the_left_or_the_right_hand():
    rolls = np.ones((4000, 60, 96), np.float32)
    damaged = octave_split(rolls, np.random.default_rng(0))
    lower_gone = (damaged[:, :24] == 0).all(axis=(1, 2)) & (damaged[:, 24:] == 1).all(axis=(1, 2))
    upper_gone = (damaged[:, 24:] == 0).all(axis=(1, 2)) & (damaged[:, :24] == 1).all(axis=(1, 2))
    assert (lower_gone ^ upper_gone).all()
    assert abs(lower_gone.mean() - 0.5) < 0.03
