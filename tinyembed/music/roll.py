"""Pitches fold into 60 rows, four beats make a unit, and a roll can be heard again (section 3.2).

A *unit* is four beats of a piece: a 60 x 96 onset roll, 1 where a note starts and 0 elsewhere.
Rolls are never stored. `unit_rolls` cuts them from sorted onsets: a unit is one slice of the
onsets, a transposition is an addition before folding, a batch is one scatter into zeros.
"""

import mido
import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.music.midi import TICKS_PER_BEAT, Piece, read_midi

PITCHES = 60  # rows 0-59 are MIDI notes 36-95: five octaves
LOWEST_PITCH = 36
BEATS_PER_UNIT = 4
TICKS = BEATS_PER_UNIT * TICKS_PER_BEAT  # 96 columns
KEYS = tuple(range(-5, 7))  # "all keys": twelve transpositions, in semitones


def _folded(pitch):
    """The row of one MIDI pitch: one outside moves by octaves into the nearest octave inside."""
    row = pitch - LOWEST_PITCH
    if row < 0:
        return row % 12
    if row >= PITCHES:
        return PITCHES - 12 + row % 12
    return row


_FIRST = KEYS[0]  # the lowest pitch in the table: note 0, transposed down
_ROWS = np.array([_folded(p) for p in range(_FIRST, 128 + KEYS[-1])], np.int32)


def fold(pitches, keys=0):
    """Rows 0-59 of MIDI pitches, transposed by `keys` semitones (-5 to 6) and then folded.

    pitches: (n,) MIDI note numbers; keys: one number or (n,); returns (n,) int32.
    """
    return _ROWS[np.asarray(pitches, np.int32) + (keys - _FIRST)]


def beat_starts(ticks, n_beats):
    """Where each beat begins in sorted onsets: (n_beats + 1,) int32, the last is the end."""
    return np.searchsorted(ticks, np.arange(n_beats + 1) * TICKS_PER_BEAT).astype(np.int32)


def ragged(first, last):
    """Lay the ranges first[n]..last[n] end to end.

    first, last: (N,) integers. Returns the indices, and beside each the n it belongs to.
    """
    lengths = last - first
    owner = np.repeat(np.arange(len(first)), lengths)
    shift = first - (np.cumsum(lengths) - lengths)  # from a place in the result to an index
    return np.arange(len(owner)) + shift[owner], owner


def unit_cells(ticks, pitches, beat_start, beats, keys):
    """The cells that are 1 in the rolls of units; a cell may be named twice where notes fold.

    ticks, pitches: sorted onsets; beat_start: from `beat_starts`; beats: (N,) first beat of each
    unit; keys: (N,) semitones. Returns cells, each row * 96 + column, and owners, the n of each.
    """
    beats = np.asarray(beats)
    index, owner = ragged(beat_start[beats], beat_start[beats + BEATS_PER_UNIT])
    rows = fold(pitches[index], np.asarray(keys)[owner])
    columns = ticks[index] - (beats * TICKS_PER_BEAT)[owner]
    return rows * TICKS + columns, owner


def unit_rolls(ticks, pitches, beat_start, beats, keys, dtype=np.float32):
    """The onset rolls of units: (N, 60, 96), of zeros and ones. Arguments as in `unit_cells`."""
    cells, owner = unit_cells(ticks, pitches, beat_start, beats, keys)
    rolls = np.zeros((len(beats), PITCHES * TICKS), dtype)
    rolls[owner, cells] = 1
    return rolls.reshape(len(beats), PITCHES, TICKS)


def n_units(n_beats):
    """How many units a piece has: one at every beat that three more follow, and never none.

    A piece of fewer than four beats is padded with silence to one unit.
    """
    return np.maximum(n_beats - (BEATS_PER_UNIT - 1), 1)


def piece_rolls(piece, key=0):
    """All units of one piece, one a beat: (n_units, 60, 96) float32. key: semitones, -5 to 6."""
    units = n_units(piece.n_beats)
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    return unit_rolls(piece.ticks, piece.pitches, start, np.arange(units), np.full(units, key))


def units_sound(piece):
    """Whether there is any onset in each unit of a piece: (n_units,) bool."""
    units = n_units(piece.n_beats)
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    return start[BEATS_PER_UNIT:] > start[:units]


def onset_roll(source, beat=0, key=0):
    """The onset roll of four beats of music: (60, 96) float32 of zeros and ones (section 3.2).

    source: a `Piece`, or anything that `read_midi` takes; beat: the unit's first beat;
    key: transposition in semitones, -5 to 6.
    Raises MusicError for an unreadable file, IndexError for a beat the piece does not have.
    """
    piece = source if isinstance(source, Piece) else read_midi(source, any_meter=True)
    units = n_units(piece.n_beats)
    if not 0 <= beat < units:
        raise IndexError(f"beat {beat}: the piece has units at beats 0 to {units - 1}")
    return piece_rolls(piece, key)[beat]


def roll_to_midi(roll, path=None, beats_per_minute=100, threshold=0.5, onsets=None):
    """Make a roll audible: a playable MIDI file, one note an onset, each held for up to a beat.

    roll: (60, T), any T, on any device; cells above `threshold` are onsets. A note ends after one
    beat, or when its pitch starts again, or at the end of the roll.
    onsets: instead of the threshold, how many of the strongest cells are onsets (cells of 0 and
    less never are; of equal ones the lower pitch comes first, then the earlier). It is what a
    reconstruction needs: the loss compares directions (equation 1), so its values have a scale of
    no meaning. path: where to save, or None.
    Returns the `mido.MidiFile`. Reading it back gives the same onsets.
    Raises InputError for another shape, or for a cell that is not a number.
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
    rows, columns = np.nonzero(is_onset)
    length = -(-roll.shape[1] // TICKS_PER_BEAT) * TICKS_PER_BEAT
    events = []  # (tick, is_on, pitch): at one tick, releases come before onsets
    for row in np.unique(rows):
        onsets = np.sort(columns[rows == row])
        ends = np.minimum(onsets + TICKS_PER_BEAT, np.append(onsets[1:], length))
        pitch = int(row) + LOWEST_PITCH
        events += [(int(tick), True, pitch) for tick in onsets]
        events += [(int(tick), False, pitch) for tick in ends]

    midi = mido.MidiFile(type=0, ticks_per_beat=TICKS_PER_BEAT)
    track = mido.MidiTrack()
    midi.tracks.append(track)
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


to_midi = roll_to_midi  # for a roll of zeros and ones the shorter name says it all
