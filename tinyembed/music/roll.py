"""Fold pitches into 60 rows, cut units of four beats, and turn rolls back into MIDI (section 3.2).

A *unit* is four beats of a piece: a 60 x 96 onset roll, 1 where a note starts and 0 elsewhere.
Rolls are never stored. `unit_rolls` cuts them from sorted onsets: a unit is one slice of the
onsets, a transposition is an addition before folding, and a batch is one scatter into zeros.
"""

from os import PathLike
from typing import Any

import mido
import numpy as np
from numpy.typing import NDArray

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.music.midi import MidiSource, read_midi
from tinyembed.music.piece import TICKS_PER_BEAT, Piece

PITCHES = 60  # rows 0-59 are MIDI notes 36-95: five octaves
LOWEST_PITCH = 36
BEATS_PER_UNIT = 4
TICKS = BEATS_PER_UNIT * TICKS_PER_BEAT  # 96 columns
ROLL_BYTES = 4 * PITCHES * TICKS  # of a roll in float32
KEYS = tuple(range(-5, 7))  # "all keys": twelve transpositions, in semitones


FIRST_PITCH = KEYS[0]  # of ROWS, the row of every pitch in every key: note 0, transposed down
_UNFOLDED = np.arange(FIRST_PITCH, 128 + KEYS[-1], dtype=np.int32) - LOWEST_PITCH
_CLASS = _UNFOLDED % 12  # a pitch outside moves by octaves to the nearest octave inside
ROWS = np.clip(_UNFOLDED, _CLASS, PITCHES - 12 + _CLASS)


def fold(pitches, keys=0):
    """Rows 0-59 of MIDI pitches, transposed by `keys` semitones (-5 to 6) and then folded.

    pitches: (n,) MIDI note numbers; keys: one integer or (n,); returns (n,) int32.
    """
    return ROWS[np.asarray(pitches, np.int32) + (keys - FIRST_PITCH)]


def beat_starts(ticks, n_beats):
    """The index of each beat's first onset in sorted onsets: (n_beats + 1,) int32, with the end."""
    return np.searchsorted(ticks, np.arange(n_beats + 1) * TICKS_PER_BEAT).astype(np.int32)


def ragged(first, last):
    """Concatenate the ranges first[n]..last[n], without their ends.

    first, last: (N,) integers. Returns the indices, and for each the n of its range.
    """
    lengths = last - first
    owner = np.repeat(np.arange(len(first)), lengths)
    shift = first - (np.cumsum(lengths) - lengths)  # from a position in the result to an index
    return np.arange(len(owner)) + shift[owner], owner


def unit_cells(ticks, pitches, beat_start, beats, keys):
    """The cells that are 1 in the rolls of units. A cell repeats where two notes fold into it.

    ticks, pitches: sorted onsets; beat_start: from `beat_starts`; beats: (N,) first beat of each
    unit; keys: (N,) semitones. Returns cells, each row * 96 + column, and owners, the n of each.
    """
    beats = np.asarray(beats)
    index, owner = ragged(beat_start[beats], beat_start[beats + BEATS_PER_UNIT])
    rows = fold(pitches[index], np.asarray(keys)[owner])
    columns = ticks[index] - (beats * TICKS_PER_BEAT)[owner]
    return rows * TICKS + columns, owner


def unit_rolls(ticks, pitches, beat_start, beats, keys, dtype=np.float32):
    """The onset rolls of units: (N, 60, 96), zeros and ones. Arguments as in `unit_cells`."""
    cells, owner = unit_cells(ticks, pitches, beat_start, beats, keys)
    rolls = np.zeros((len(beats), PITCHES * TICKS), dtype)
    rolls[owner, cells] = 1
    return rolls.reshape(len(beats), PITCHES, TICKS)


def n_units(n_beats):
    """The number of units in a piece: one per beat that three more beats follow, at least one.

    A piece of fewer than four beats is padded with silence to one unit.
    """
    return np.maximum(n_beats - (BEATS_PER_UNIT - 1), 1)


def piece_rolls(piece, key=0):
    """All units of a piece, one per beat: (n_units, 60, 96) float32. key: semitones, -5 to 6."""
    units = n_units(piece.n_beats)
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    return unit_rolls(piece.ticks, piece.pitches, start, np.arange(units), np.full(units, key))


def units_have_onsets(piece):
    """Whether each unit of a piece has an onset: (n_units,) bool."""
    units = n_units(piece.n_beats)
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    return start[BEATS_PER_UNIT:] > start[:units]


def onset_roll(source: MidiSource | Piece, beat: int = 0, key: int = 0) -> NDArray[np.float32]:
    """The onset roll of four beats of music: (60, 96) float32, zeros and ones (section 3.2).

    source: a `Piece`, or anything that `read_midi` takes; beat: the unit's first beat;
    key: transposition in semitones, -5 to 6.
    Raises MusicError for an unreadable file, IndexError for a beat the piece does not have.
    """
    piece = source if isinstance(source, Piece) else read_midi(source, any_meter=True)
    units = n_units(piece.n_beats)
    if not 0 <= beat < units:
        raise IndexError(f"beat {beat}: the piece has units at beats 0 to {units - 1}")
    return piece_rolls(piece, key)[beat]


def roll_to_midi(
    roll: Any,
    path: str | PathLike[str] | None = None,
    beats_per_minute: float = 100,
    threshold: float = 0.5,
    onsets: int | None = None,
) -> mido.MidiFile:
    """Convert a roll to a playable MIDI file: one note per onset, each held for up to one beat.

    roll: (60, T), any T, on any device; cells above `threshold` are onsets. A note ends after one
    beat, or when its pitch starts again, or at the end of the roll.
    onsets: the number of strongest cells to take as onsets, instead of a threshold; cells of 0 or
    less are never onsets, and ties go to the lower pitch, then to the earlier cell. Use it for a
    reconstruction: the loss is a cosine (equation 1), so the scale of the values has no meaning.
    path: where to save the file, or None.
    Returns the `mido.MidiFile`. Reading it back gives the same onsets.
    Raises InputError for another shape, or for a cell that is NaN or infinite.
    """
    roll = to_host(roll)
    if roll.ndim != 2 or len(roll) != PITCHES or not np.isfinite(roll).all():
        raise InputError(f"a roll is ({PITCHES}, T) finite numbers; this is {roll.shape}")
    if onsets is None:
        is_onset = roll > threshold
    else:
        is_onset = np.zeros(roll.shape, bool)
        strongest = np.argsort(-roll.ravel().astype(np.float64), kind="stable")[:onsets]
        is_onset.ravel()[strongest] = True
        is_onset &= roll > 0
    length = -(-roll.shape[1] // TICKS_PER_BEAT) * TICKS_PER_BEAT
    events = []  # (tick, is_on, pitch): at the same tick, releases come before onsets
    for pitch, row in enumerate(is_onset, LOWEST_PITCH):
        starts = np.flatnonzero(row)
        ends = np.minimum(starts + TICKS_PER_BEAT, np.append(starts[1:], length))
        events += [(int(tick), True, pitch) for tick in starts]
        events += [(int(tick), False, pitch) for tick in ends]

    midi = mido.MidiFile(type=0, ticks_per_beat=TICKS_PER_BEAT)
    track = midi.add_track()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats_per_minute)))
    now = 0
    for tick, is_on, pitch in sorted(events):
        name, velocity = ("note_on", 80) if is_on else ("note_off", 0)
        track.append(mido.Message(name, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=length - now))
    if path is not None:
        midi.save(path)
    return midi


to_midi = roll_to_midi  # the shorter name, for a roll of zeros and ones
