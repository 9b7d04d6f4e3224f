"""Folding, units and rolls, compared with simple, slow implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import midi_file

from tinyembed.errors import MusicError
from tinyembed.music.midi import read_midi
from tinyembed.music.piece import Piece
from tinyembed.music.roll import (
    KEYS,
    beat_starts,
    fold,
    n_units,
    onset_roll,
    piece_rolls,
    ragged,
    to_midi,
    unit_rolls,
)


def slow_fold(pitch):
    while pitch < 36:
        pitch += 12
    while pitch > 95:
        pitch -= 12
    return pitch - 36


def slow_roll(notes, beat, key):
    """Cell by cell, from (tick, pitch) pairs."""
    roll = np.zeros((60, 96))
    for tick, pitch in notes:
        if 24 * beat <= tick < 24 * (beat + 4):
            roll[slow_fold(pitch + key), tick - 24 * beat] = 1
    return roll


def piece_of(notes, n_beats):
    notes = sorted(set(notes))
    ticks, pitches = (np.array([n[i] for n in notes]) for i in (0, 1))
    return Piece(ticks.astype(np.int32), pitches.astype(np.uint8), n_beats)


@pytest.mark.parametrize(
    ("pitch", "row"),
    [(36, 0), (95, 59), (96, 48), (107, 59), (108, 48), (127, 55), (35, 11), (24, 0), (0, 0)],
)
def test_fold_into_the_nearest_octave(pitch, row):
    assert fold(np.array([pitch]))[0] == row


def test_folding_all_pitches_in_all_keys_equals_octave_steps():
    assert KEYS == (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6)
    for key in KEYS:
        rows = fold(np.arange(128, dtype=np.uint8), key)
        assert rows.tolist() == [slow_fold(pitch + key) for pitch in range(128)]


def test_transposition_comes_before_folding():
    # Folding first would put note 96 an octave lower: 84 + 6 = 90, row 54.
    assert fold(np.array([95]), 6)[0] == slow_fold(101) == 53
    assert fold(np.array([94]), 6)[0] == slow_fold(100) == 52
    assert fold(np.array([36]), -5)[0] == slow_fold(31) == 7


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8))
def test_ragged_concatenates_ranges(ranges):
    first = np.array([f for f, _ in ranges], int)
    index, owner = ragged(first, first + np.array([n for _, n in ranges], int))
    assert index.tolist() == [i for f, n in ranges for i in range(f, f + n)]
    assert owner.tolist() == [k for k, (_, n) in enumerate(ranges) for _ in range(n)]


def test_number_of_units():
    assert n_units(np.arange(1, 8)).tolist() == [1, 1, 1, 1, 2, 3, 4]


cells = st.tuples(st.integers(0, 24 * 7 - 1), st.integers(0, 127))


@given(st.lists(cells, min_size=1, max_size=40), st.integers(-5, 6))
@settings(max_examples=100, deadline=None)
def test_rolls_equal_brute_force(notes, key):
    rolls = piece_rolls(piece_of(notes, 7), key)
    assert rolls.shape == (4, 60, 96) and rolls.dtype == np.float32
    for beat in range(4):
        np.testing.assert_array_equal(rolls[beat], slow_roll(notes, beat, key))


def test_units_of_different_keys_in_any_order():
    notes = [(0, 60), (1, 35), (30, 61), (95, 120), (96, 62), (143, 7)]
    piece = piece_of(notes, 6)
    beats, keys = np.array([2, 0, 2, 1]), np.array([6, -5, 0, 3])
    start = beat_starts(piece.ticks, 6)
    rolls = unit_rolls(piece.ticks, piece.pitches, start, beats, keys, np.uint8)
    assert rolls.dtype == np.uint8
    for roll, beat, key in zip(rolls, beats, keys, strict=True):
        np.testing.assert_array_equal(roll, slow_roll(notes, beat, key))


def test_notes_that_fold_into_one_cell_count_once():
    assert piece_rolls(piece_of([(5, 95), (5, 107), (5, 119)], 4)).sum() == 1


def test_a_short_piece_is_padded_to_one_unit():
    rolls = piece_rolls(piece_of([(0, 60), (40, 62)], 2))
    assert rolls.shape == (1, 60, 96)
    np.testing.assert_array_equal(rolls[0], slow_roll([(0, 60), (40, 62)], 0, 0))


def test_onset_roll_from_a_file():
    midi = midi_file([(480 * i, 480, 60 + i) for i in range(6)], ticks_per_beat=480)
    notes = [(24 * i, 60 + i) for i in range(6)]
    np.testing.assert_array_equal(onset_roll(midi), slow_roll(notes, 0, 0))
    np.testing.assert_array_equal(onset_roll(midi, beat=2, key=-5), slow_roll(notes, 2, -5))
    for beat in (-1, 3):
        with pytest.raises(IndexError, match="beats 0 to 2"):
            onset_roll(midi, beat=beat)


@given(
    st.integers(1, 150),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 149)), min_size=1, max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_to_midi_reads_back_as_the_same_onsets(length, chosen):
    roll = np.zeros((60, length))
    for row, column in chosen:
        roll[row, column % length] = 0.9
    piece = read_midi(to_midi(roll))
    again = np.zeros((60, length))
    again[piece.pitches - 36, piece.ticks] = 0.9
    np.testing.assert_array_equal(again, roll)


def test_to_midi_is_playable(tmp_path):
    roll = np.zeros((60, 96))
    roll[24, [0, 12, 90]] = 1
    roll[30, 0] = 0.5  # not above the threshold
    midi = to_midi(roll, tmp_path / "a.mid", beats_per_minute=60)
    assert midi.length == pytest.approx(4.0)  # seconds: four beats
    now, events = 0, []
    for message in midi.tracks[0]:
        now += message.time
        if not message.is_meta:
            events.append((now, message.type, message.note))
    on, off = ("note_on", 60), ("note_off", 60)
    assert events == [(0, *on), (12, *off), (12, *on), (36, *off), (90, *on), (96, *off)]
    assert read_midi(tmp_path / "a.mid").ticks.tolist() == [0, 12, 90]


@pytest.mark.parametrize(
    ("ticks", "pitches", "n_beats"),
    [
        ([0, 24, 12], [60, 60, 60], 4),  # not in order
        ([0, 0], [64, 60], 4),
        ([0, 0], [60, 60], 4),  # doubled
        ([-1, 24], [60, 60], 4),
        ([0, 24], [60, 128], 4),
        ([0, 96], [60, 60], 4),  # after the last beat
        ([0, 24], [60], 4),
    ],
)
def test_a_piece_checks_itself(ticks, pitches, n_beats):
    with pytest.raises(MusicError):
        Piece(np.array(ticks, np.int32), np.array(pitches, np.uint8), n_beats)
    Piece(np.array([0, 0, 95], np.int32), np.array([60, 64, 127], np.uint8), 4)
