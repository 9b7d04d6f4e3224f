"""Find the tracks of a MIDI file, also in files that are wrong about themselves.

Nothing that carries no notes may cost the notes. Headers declare too many tracks or too few, chunks
have a length that is too long, too short or zero, other chunks stand between the tracks, and a file
may be wrapped in a RIFF file (`.rmi`). All of these are read, and what was repaired is said. What
would be a guess about notes is refused: a file that ends in the middle of a track, and bytes that
are no MIDI.
"""

import re
import struct

import numpy as np

from tinyembed.errors import MusicError
from tinyembed.music.midi_events import (
    COLUMNS,
    CUT,
    DONE,
    ENDED,
    NO_STATUS,
    TOO_LONG,
    UNDEFINED,
    read_events,
)

LARGEST_FILE = 16_000_000  # bytes: no piano piece is larger, and its events take 7 times as much
MOST_ENDS = 1000  # end-of-track events of one track that are read past

HEADER, TRACK = b"MThd", b"MTrk"
CHUNK_NAME = re.compile(rb"[A-Za-z0-9 ]{4}")
DAMAGES = {
    CUT: "an event that is longer than its track",
    NO_STATUS: "a data byte without a status",
    UNDEFINED: "a status that MIDI does not define",
    TOO_LONG: "a number of more than four bytes",
}

TRACK_COUNT = "a header with a wrong number of tracks"
TRACK_LENGTH = "a track with a wrong length"
NO_END = "a track without its end-of-track event"
NO_TRACK = "bytes that belong to no track"
RUNNING = "a running status that goes on after a system or meta event"


def read_tracks(data):
    """All events of a MIDI file.

    data: bytes. Returns the format (0, 1 or 2) and the ticks per beat as they stand in the header;
    the columns of `read_events`, arrays with one row per event of all tracks; the rows at which
    the tracks begin, and the last one's end; and the set of repairs.
    Raises MusicError, whose text is the reason, if the file is damaged.
    """
    is_riff = data[:4] == b"RIFF" and data[8:12] == b"RMID"
    midi_format, declared, ticks_per_beat, at = _read_header(data, is_riff)
    rows = max(len(data) - at, 0) // 2 + 1
    arrays = [np.empty(rows, dtype) for dtype in COLUMNS]
    columns = [array.data for array in arrays]  # a memoryview takes single values faster
    starts, repairs, n = [], set(), 0
    while at < len(data):
        if data.startswith(TRACK, at):
            starts.append(n)
            at, n = _read_track(data, at, columns, n, repairs)
        else:
            at = _skip(data, at, repairs)
    if is_riff:  # its other chunks may follow
        repairs.discard(NO_TRACK)
    if not starts and declared:
        raise MusicError("truncated: no track after the header")
    if len(starts) != declared:
        repairs.add(TRACK_COUNT)
    return midi_format, ticks_per_beat, [array[:n] for array in arrays], [*starts, n], repairs


def _read_header(data, is_riff):
    """The format, the number of tracks, the ticks per beat, and where the tracks begin."""
    at = data.find(HEADER) if is_riff else 0  # in one of the chunks of a RIFF file
    if at < 0 or not data.startswith(HEADER, at):
        raise MusicError("a RIFF file without a MIDI file inside" if is_riff else "not a MIDI file")
    if len(data) < at + 14:
        raise MusicError("truncated: it ends in the middle of its header")
    length, midi_format, tracks, ticks_per_beat = struct.unpack_from(">LHHh", data, at + 4)
    if length < 6:
        raise MusicError(f"damaged: a header of {length} bytes, where 6 are needed")
    return midi_format, tracks, ticks_per_beat, at + 8 + length


def _read_track(data, at, columns, n, repairs):
    """Read the track whose chunk begins at `at`. Returns where it ends, and the number of rows.

    Its declared end is right if the file ends there or another chunk begins. Otherwise the track
    ends with its end-of-track event, or where the next track begins.
    """
    first = at + 8
    declared = first + _length(data, at)
    if declared - first > LARGEST_FILE:
        raise MusicError(f"damaged: a track claims {declared - first:,} bytes")
    trusted = _is_boundary(data, declared)
    end = declared if trusted else _next_track(data, first)
    code, stop, rows = _read_to(data, first, end, columns, n, trusted, repairs)
    if not trusted and code != ENDED and first < declared < end == len(data):
        # There is no end-of-track event, and the rest of the file may be no part of the track.
        end = declared
        code, stop, rows = _read_to(data, first, end, columns, n, True, repairs)
    if code in (DONE, CUT) and declared > end == len(data):
        raise MusicError("truncated: it ends in the middle of a track")
    if code not in (DONE, ENDED):
        raise MusicError(f"damaged: {DAMAGES[code]}, at byte {stop:,}")
    if code == DONE:
        repairs.add(NO_END)
    if stop != declared:
        repairs.add(TRACK_LENGTH)
    return stop, rows


def _read_to(data, at, end, columns, n, trusted, repairs):
    """`read_events` up to `end`, if that is trusted also after end-of-track events in between.

    Returns why it stopped, where, and the number of rows.
    """
    code, time, running = DONE, 0, 0
    for _ in range(MOST_ENDS):
        if at >= end:
            break
        code, at, time, running, n, resumed = read_events(data, at, end, time, running, n, *columns)
        if resumed:
            repairs.add(RUNNING)
        if code != ENDED or not trusted or _is_boundary(data, at):
            break
    else:
        raise MusicError(f"damaged: more than {MOST_ENDS:,} end-of-track events in one track")
    return code, at, n


def _skip(data, at, repairs):
    """Skip what is not a track. Returns where the next chunk begins, or the end of the data."""
    if _is_chunk(data, at):
        return at + 8 + _length(data, at)
    end = _next_track(data, at + 1)
    if data[at:end].strip(b"\0"):  # zeros are padding
        repairs.add(NO_TRACK)
    return end


def _is_boundary(data, at):
    """Whether the file ends here, or a chunk begins."""
    return at == len(data) or data.startswith(TRACK, at) or _is_chunk(data, at)


def _is_chunk(data, at):
    """Whether these bytes look like a chunk that is not a track: its own end must be one too."""
    if at + 8 > len(data) or not CHUNK_NAME.match(data, at):
        return False
    end = at + 8 + _length(data, at)
    return end == len(data) or CHUNK_NAME.match(data, end) is not None


def _next_track(data, at):
    """Where the next track begins, or the end of the data."""
    found = data.find(TRACK, at)
    return len(data) if found < 0 else found


def _length(data, at):
    """The length of the chunk that begins at `at`."""
    return int.from_bytes(data[at + 4 : at + 8], "big")
