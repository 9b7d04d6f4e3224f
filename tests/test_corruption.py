"""Which onsets each corruption removes, and that it changes nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.music.corruption import CORRUPTIONS, beat_drop, note_drop, octave_split

seeds = st.integers(0, 2**32 - 1)


def random_rolls(seed, n=20, density=0.01):
    rng = np.random.default_rng(seed)
    rolls = (rng.random((n, 60, 96)) < density * rng.random((n, 1, 1))).astype(np.float32)
    rolls[0] = 0  # one silent unit
    rolls[1] = 0
    rolls[1, 30, 50] = 1  # one unit with a single onset
    return rolls


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_corruptions_only_remove_onsets(name, seed):
    rolls = random_rolls(seed)
    before = rolls.copy()
    corrupted = CORRUPTIONS[name](rolls, np.random.default_rng(seed))
    assert (rolls == before).all()
    assert corrupted.dtype == np.float32 and corrupted.shape == rolls.shape
    assert ((corrupted == rolls) | (corrupted == 0)).all()
    again = CORRUPTIONS[name](rolls, np.random.default_rng(seed))
    assert (corrupted == again).all()


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_note_drop_removes_half_of_each_unit(seed):
    rolls = random_rolls(seed)
    kept = note_drop(rolls, np.random.default_rng(seed)).sum(axis=(1, 2))
    count = rolls.sum(axis=(1, 2))
    assert (np.abs(kept - count / 2) <= 0.5).all()


def test_note_drop_rounds_and_chooses_at_random():
    rolls = np.zeros((20_000, 2, 96), np.float32)  # two rows: full rolls would take 460 MB
    rolls[:, 1, [0, 24, 48]] = 1
    corrupted = note_drop(rolls, np.random.default_rng(0))
    kept = corrupted.sum(axis=(1, 2))
    assert np.isin(kept, [1, 2]).all()  # of three onsets one or two remain, equally often
    assert abs((kept == 1).mean() - 0.5) < 0.02
    for column in (0, 24, 48):  # each onset equally often
        assert abs(corrupted[:, 1, column].mean() - 0.5) < 0.02


def test_beat_drop_removes_one_beat():
    rolls = np.ones((4000, 60, 96), np.uint8)
    corrupted = beat_drop(rolls, np.random.default_rng(0))
    beats = corrupted.reshape(-1, 60, 4, 24).sum(axis=(1, 3)) == 0
    assert (beats.sum(axis=1) == 1).all()
    assert np.abs(beats.mean(axis=0) - 0.25).max() < 0.03
    assert (corrupted.sum(axis=(1, 2)) == 60 * 72).all()


def test_octave_split_removes_the_left_or_the_right_hand():
    rolls = np.ones((4000, 60, 96), np.uint8)
    corrupted = octave_split(rolls, np.random.default_rng(0))
    lower, upper = corrupted[:, :24], corrupted[:, 24:]
    lower_gone = (lower == 0).all(axis=(1, 2)) & (upper == 1).all(axis=(1, 2))
    upper_gone = (upper == 0).all(axis=(1, 2)) & (lower == 1).all(axis=(1, 2))
    assert (lower_gone ^ upper_gone).all()
    assert abs(lower_gone.mean() - 0.5) < 0.03
