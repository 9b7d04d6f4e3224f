"""Read a MIDI file into a `Piece` (section 3.2)."""

from itertools import pairwise
from os import PathLike
from typing import BinaryIO

import mido
import numpy as np

from tinyembed.errors import MusicError
from tinyembed.music.midi_events import META, NOTE_OFF, NOTE_ON, TEMPO, TIME_SIGNATURE, read_number
from tinyembed.music.midi_tracks import LARGEST_FILE, read_tracks
from tinyembed.music.piece import Piece, check_meter

DRUM_CHANNEL = 9  # "channel 10", counted from zero
SMALLEST_NOTE = 7  # a time signature may count in notes of 1/2^7 at most

MidiSource = str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | mido.MidiFile


def read_midi(source: MidiSource, any_meter: bool = False) -> Piece:
    """Read a MIDI file into a `Piece`.

    source: a path, the bytes of a file, an open binary file, or a `mido.MidiFile`
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    A file that is wrong about anything but its notes is repaired: see `Piece.repairs`.
    Raises MusicError, whose text is the reason, if the source is not a usable piece.
    """
    if isinstance(source, mido.MidiFile):
        events = _events_of_mido(source)
    else:
        events = _events_of_bytes(_bytes_of(source))
    midi_format, resolution, notes, ends, metas, repairs = events
    if midi_format == 2 and sum(len(times) > 0 for times, _ in notes) > 1:
        raise MusicError("its tracks are separate songs (MIDI format 2)")
    if resolution <= 0:
        timing = "zero ticks per beat" if resolution == 0 else "timed in SMPTE frames"
        raise MusicError(f"{timing}, so it has no beats")

    tempi, denominators = [], set()
    for time, kind, data in metas:
        if kind == TEMPO:
            tempi += [(time / resolution, tempo) for tempo in _tempo(data, repairs)]
        else:
            denominators.update(_denominator(data, repairs))
    if not any_meter:
        check_meter(denominators)
    tempi.sort(key=lambda tempo: tempo[0])  # stable: of two at one beat, the later track's holds
    times, pitches = (np.concatenate([track[n] for track in notes] or [[]]) for n in (0, 1))
    end = max(ends, default=0)
    return Piece.from_notes(times, pitches, resolution, end, tuple(tempi), tuple(sorted(repairs)))


def _bytes_of(source):
    """The bytes of a file. Raises MusicError if it cannot be read, is empty or is far too large."""
    try:
        if isinstance(source, (str, PathLike)):
            with open(source, "rb") as file:
                data = file.read(LARGEST_FILE + 1)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
        else:
            data = source.read()
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise MusicError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise MusicError("empty file")
    if len(data) > LARGEST_FILE:
        raise MusicError(f"absurdly large: more than {LARGEST_FILE / 1e6:.0f} MB")
    return data


def _events_of_bytes(data):
    """What a piece is made of.

    Returns the format; the ticks per beat; for each track, the times and pitches of its notes; the
    times of its last note-on or note-off; (time, type, data) of each tempo and time signature; and
    the set of repairs.
    """
    midi_format, resolution, columns, bounds, repairs = read_tracks(data)
    times, statuses, firsts, seconds = columns
    is_meta = statuses == META
    is_note = (statuses & 0xE0 == NOTE_OFF) & (statuses & 0x0F != DRUM_CHANNEL)  # 0x80 and 0x90
    is_onset = is_note & (statuses & 0xF0 == NOTE_ON) & (seconds > 0)
    if (is_note & ((firsts > 127) | (seconds > 127))).any():
        repairs.add("a note or velocity over 127")
        firsts = np.minimum(firsts, 127)

    notes, ends = [], []
    for start, stop in pairwise(bounds):
        track = slice(start, stop)
        onsets = is_onset[track]
        notes.append((times[track][onsets], firsts[track][onsets]))
        ends += times[track][is_note[track]][-1:].tolist()
    metas = []
    for row in np.flatnonzero(is_meta & ((firsts == TEMPO) | (firsts == TIME_SIGNATURE))).tolist():
        length, at = read_number(data, int(seconds[row]), len(data))
        metas.append((int(times[row]), int(firsts[row]), data[at : at + length]))
    return midi_format, resolution, notes, ends, metas, repairs


def _events_of_mido(midi):
    """The same of a `mido.MidiFile`, whose messages are objects."""
    notes, ends, metas = [], [], []
    for track in midi.tracks:
        now, times, pitches, end = 0, [], [], 0
        for message in track:
            now += message.time
            if message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
                end = now
                if message.type == "note_on" and message.velocity > 0:
                    times.append(now)
                    pitches.append(message.note)
            elif message.type in ("set_tempo", "time_signature"):
                kind = TEMPO if message.type == "set_tempo" else TIME_SIGNATURE
                metas.append((now, kind, bytes(message.bytes()[3:])))
        notes.append((np.array(times, np.int64), np.array(pitches, np.int64)))
        ends.append(end)
    return midi.type, midi.ticks_per_beat, notes, ends, metas, set()


def _tempo(data, repairs):
    """[seconds per beat] of a tempo event, or [] if it does not say."""
    if len(data) != 3:
        repairs.add("a tempo event of a wrong length")
    tempo = int.from_bytes(data[:3], "big") / 1e6 if len(data) >= 3 else 0
    if len(data) == 3 and tempo == 0:
        repairs.add("a tempo of zero")
    return [tempo] if tempo else []


def _denominator(data, repairs):
    """[denominator] of a time signature, or [] if it does not say. The file has its log2."""
    if len(data) < 2:
        repairs.add("a time signature of a wrong length")
        return []
    if data[1] > SMALLEST_NOTE:
        repairs.add("an impossible time signature")
        return []
    return [2 ** data[1]]
