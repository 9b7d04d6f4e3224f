"""The reader of MIDI files against mido, event by event."""

import io

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.readers import compare, events, events_of_mido
from tinyembed.errors import MusicError
from tinyembed.music.midi import read_midi
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
from tinyembed.music.midi_tracks import read_tracks


def test_every_event_of_real_files(shared_corpus):
    paths = sorted((shared_corpus / "piano").rglob("*.mid"))[::8]
    equal, different, unread = compare([*paths, *sorted((shared_corpus / "odd").iterdir())])
    assert equal > 50 and different == []
    assert [reason for _, _, reason in unread if reason is None] == []


byte, channel, delta = st.integers(0, 127), st.integers(0, 15), st.integers(0, 2**28 - 1)
messages = st.one_of(
    st.builds(mido.Message, st.just("note_on"), note=byte, velocity=byte, channel=channel),
    st.builds(mido.Message, st.just("note_off"), note=byte, velocity=byte, channel=channel),
    st.builds(mido.Message, st.just("polytouch"), note=byte, value=byte, channel=channel),
    st.builds(mido.Message, st.just("control_change"), control=byte, value=byte, channel=channel),
    st.builds(mido.Message, st.just("program_change"), program=byte, channel=channel),
    st.builds(mido.Message, st.just("aftertouch"), value=byte, channel=channel),
    st.builds(mido.Message, st.just("pitchwheel"), pitch=st.integers(-8192, 8191)),
    st.builds(mido.Message, st.just("sysex"), data=st.lists(byte, max_size=200)),
    st.builds(mido.MetaMessage, st.just("set_tempo"), tempo=st.integers(0, 2**24 - 1)),
    st.builds(
        mido.MetaMessage,
        st.just("time_signature"),
        numerator=st.integers(1, 99),
        denominator=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]),
    ),
    st.builds(mido.MetaMessage, st.just("text"), text=st.text("MTrk\xff/\0 ", max_size=300)),
    st.builds(mido.UnknownMetaMessage, st.integers(0x60, 0x7E), data=st.lists(byte, max_size=9)),
)
tracks = st.lists(st.tuples(messages, delta).map(lambda pair: as_mido_reads(*pair)), max_size=20)


def as_mido_reads(message, time):
    # mido loses the time before a meta event that it does not know.
    return message, 0 if isinstance(message, mido.UnknownMetaMessage) else time


@given(st.lists(tracks, max_size=4), st.integers(1, 32_767))
@settings(max_examples=200, deadline=None)
def test_every_event_of_any_file_that_mido_writes(several, resolution):
    midi = mido.MidiFile(type=1, ticks_per_beat=resolution)
    for track in several:
        midi.tracks.append(mido.MidiTrack(m.copy(time=time) for m, time in track))
    file = io.BytesIO()
    midi.save(file=file)
    data = file.getvalue()
    assert events(data) == events_of_mido(data)
    _, division, _, _, repairs = read_tracks(data)
    assert division == resolution
    assert not repairs


@given(st.lists(tracks, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_mido_file_and_its_bytes_are_the_same_piece(several):
    midi = mido.MidiFile(type=1)
    for track in several:
        midi.tracks.append(mido.MidiTrack(m.copy(time=time % 5000) for m, time in track))
    file = io.BytesIO()
    midi.save(file=file)
    pieces = []
    for source in (midi, file.getvalue()):
        try:
            piece = read_midi(source, any_meter=True)
            pieces.append((piece.ticks.tolist(), piece.pitches.tolist(), piece.n_beats))
            pieces[-1] += (piece.on_grid, piece.tempi, piece.repairs)
        except MusicError as error:
            pieces.append(str(error))
    assert pieces[0] == pieces[1]


def read(data, end=None):
    """Read the bytes of a track. Returns why it stopped, where, its rows, and `resumed`."""
    data = bytes(data)
    arrays = [np.zeros(len(data) // 2 + 1, kind) for kind in COLUMNS]
    end = len(data) if end is None else end
    code, at, _, _, n, resumed = read_events(data, 0, end, 0, 0, 0, *arrays)
    return code, at, list(zip(*(array[:n].tolist() for array in arrays), strict=True)), resumed


def test_running_status():
    code, at, rows, resumed = read(b"\0\x90\x3c\x40\x60\x3e\x40\x60\xc0\5\1\6")
    assert (code, at, resumed) == (DONE, 12, False)
    assert rows == [(0, 0x90, 60, 64), (96, 0x90, 62, 64), (192, 0xC0, 5, 0), (193, 0xC0, 6, 0)]


@pytest.mark.parametrize(
    "between", [b"\0\xf0\2\x7e\xf7", b"\0\xf7\1\xfa", b"\0\xff\1\1a", b"\0\xf8", b"\0\xf2\1\2"]
)
def test_a_running_status_goes_on_after_a_system_or_meta_event(between):
    code, _, rows, resumed = read(b"\0\x90\x3c\x40" + between + b"\7\x3e\x40")
    assert (code, resumed, rows[-1]) == (DONE, True, (7, 0x90, 62, 64))
    code, _, rows, resumed = read(b"\0\x90\x3c\x40" + between + b"\7\x90\x3e\x40\1\x40\x40")
    assert (code, resumed, rows[-1]) == (DONE, False, (8, 0x90, 64, 64))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\x3c\x40", NO_STATUS),
        (b"\0\xf0\1\xf7\0\x3c\x40", NO_STATUS),
        (b"\0\xf4", UNDEFINED),
        (b"\x81\x80\x80\x80\0\x90\x3c\x40", TOO_LONG),
        (b"\0\xff\1\x81\x80\x80\x80\0", TOO_LONG),
        (b"\0\xff\1\5abc", CUT),
        (b"\0\xf0\5abc", CUT),
        (b"\0\xff\x2f\0\0\x90\x3c\x40", ENDED),
    ],
)
def test_why_reading_stops(data, code):
    assert read(data)[0] == code


def test_the_time_before_an_unknown_meta_event_counts():
    code, _, rows, _ = read(b"\x60\xff\x60\1a\0\x90\x3c\x40")
    assert (code, rows[-1]) == (DONE, (96, 0x90, 60, 64))


def test_leading_zeros_of_a_number_are_allowed():
    assert read(b"\x80\x80\x80\x80\x05\x90\x3c\x40")[2] == [(5, 0x90, 60, 64)]


class Fenced(bytes):
    """Bytes that refuse any index outside the part that may be read."""

    limit = 0

    def __getitem__(self, index):
        assert 0 <= index < self.limit, index
        return super().__getitem__(index)


@given(st.binary(max_size=40), st.integers(0, 40))
@settings(max_examples=500, deadline=None)
def test_no_byte_outside_is_read(data, end):
    fenced = Fenced(data)
    fenced.limit = min(end, len(data))
    arrays = [np.zeros(fenced.limit // 2 + 1, kind) for kind in COLUMNS]
    code, at, _, _, n, _ = read_events(fenced, 0, fenced.limit, 0, 0, 0, *arrays)
    assert at <= fenced.limit and n <= fenced.limit // 2
    assert code in (DONE, ENDED, CUT, NO_STATUS, UNDEFINED, TOO_LONG)
