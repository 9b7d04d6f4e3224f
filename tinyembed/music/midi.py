"""Read a MIDI file into a `Piece` (section 3.2)."""

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
USUAL_FILE = 1 << 16  # bytes; to make room for the largest file takes longer than to read this
NO_TEMPO = "a tempo of zero"

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
    midi_format, resolution, onsets, end, tempi, denominators, repairs = events
    times, pitches, tracks = onsets
    if midi_format == 2 and (tracks[:1] != tracks).any():
        raise MusicError("its tracks are separate songs (MIDI format 2)")
    if resolution <= 0:
        timing = "zero ticks per beat" if resolution == 0 else "timed in SMPTE frames"
        raise MusicError(f"{timing}, so it has no beats")
    if not any_meter:
        check_meter(denominators)
    tempi = _tempi_in_order(*tempi, resolution)
    return Piece.from_notes(times, pitches, resolution, end, tempi, tuple(sorted(repairs)))


def _bytes_of(source):
    """The bytes of a file. Raises MusicError if it cannot be read, is empty or is far too large."""
    try:
        if isinstance(source, (str, PathLike)):
            with open(source, "rb") as file:
                data = file.read(USUAL_FILE)
                if len(data) == USUAL_FILE:
                    data += file.read(LARGEST_FILE + 1 - USUAL_FILE)
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

    Returns the format; the ticks per beat; the times, pitches and tracks of all notes, three
    arrays; the time of the last note-on or note-off; the times and microseconds per beat of all
    tempi, two arrays; the set of the denominators of time signatures; and the set of repairs.
    """
    midi_format, resolution, columns, bounds, repairs = read_tracks(data)
    times, statuses, firsts, seconds = columns
    is_note = (statuses & 0xE0 == NOTE_OFF) & (statuses & 0x0F != DRUM_CHANNEL)  # 0x80 and 0x90
    is_onset = is_note & (statuses >= NOTE_ON) & (seconds > 0)
    if (is_note & ((firsts > 127) | (seconds > 127))).any():
        repairs.add("a note or velocity over 127")
        firsts = np.minimum(firsts, 127)
    rows = np.flatnonzero(is_onset)
    onsets = times[rows], firsts[rows], np.searchsorted(bounds, rows, side="right")
    end = int(times[is_note].max(initial=0))

    is_meta = statuses == META
    rows = np.flatnonzero(is_meta & (firsts == TEMPO))
    tempi = times[rows], _tempi(data, seconds[rows], repairs)
    denominators = set()
    for at in seconds[is_meta & (firsts == TIME_SIGNATURE)].tolist():
        denominators.update(_denominator(_data_at(data, at), repairs))
    return midi_format, resolution, onsets, end, tempi, denominators, repairs


def _tempi(data, at, repairs):
    """The microseconds per beat of tempo events, 0 for one that does not say.

    data: bytes; at: (n,) integers, where in them the lengths of the events stand. Returns (n,)
    integers. Some files have thousands of such events.
    """
    values = np.frombuffer(data, np.uint8)
    usual = values[at] == 3  # the length in one byte; then three bytes are there
    first = at[usual]
    tempi = np.zeros(len(at), np.int64)
    for n in (1, 2, 3):
        tempi[usual] = tempi[usual] << 8 | values[first + n]
    if not tempi[usual].all():
        repairs.add(NO_TEMPO)
    for n in np.flatnonzero(~usual).tolist():
        tempi[n] = _tempo(_data_at(data, int(at[n])), repairs)
    return tempi


def _data_at(data, at):
    """The data of a meta event whose length stands at `at`."""
    length, at = read_number(data, at, len(data))
    return data[at : at + length]


def _events_of_mido(midi):
    """The same of a `mido.MidiFile`, whose messages are objects."""
    onsets, end, tempi, denominators, repairs = [], 0, [], set(), set()
    for number, track in enumerate(midi.tracks):
        now = 0
        for message in track:
            now += message.time
            if message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
                end = max(end, now)
                if message.type == "note_on" and message.velocity > 0:
                    onsets.append((now, message.note, number))
            elif message.type == "set_tempo":
                tempi.append((now, _tempo(bytes(message.bytes()[3:]), repairs)))
            elif message.type == "time_signature":
                denominators.update(_denominator(bytes(message.bytes()[3:]), repairs))
    onsets = np.array(onsets, np.int64).reshape(-1, 3).T
    tempi = np.array(tempi, np.float64).reshape(-1, 2).T
    return midi.type, midi.ticks_per_beat, onsets, end, tempi, denominators, repairs


def _tempo(data, repairs):
    """The microseconds per beat of a tempo event, or 0 if it does not say."""
    if len(data) != 3:
        repairs.add("a tempo event of a wrong length")
    tempo = int.from_bytes(data[:3], "big") if len(data) >= 3 else 0
    if len(data) == 3 and tempo == 0:
        repairs.add(NO_TEMPO)
    return tempo


def _tempi_in_order(times, tempi, resolution):
    """The tempi of a `Piece`: (beat, seconds per beat) pairs."""
    times, tempi = times[tempi > 0], tempi[tempi > 0]
    order = np.argsort(times, kind="stable")  # of two at one time, the later track's holds
    beats, seconds = times[order] / resolution, tempi[order] / 1e6
    return tuple(zip(beats.tolist(), seconds.tolist(), strict=True))


def _denominator(data, repairs):
    """[denominator] of a time signature, or [] if it does not say. The file has its log2."""
    if len(data) < 2:
        repairs.add("a time signature of a wrong length")
        return []
    if data[1] > SMALLEST_NOTE:
        repairs.add("an impossible time signature")
        return []
    return [2 ** data[1]]
