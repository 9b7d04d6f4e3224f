"""MIDI files that are wrong about something that holds no notes: the notes are read, all of them.

The files of ../shared/cases, where they are, are read too.
"""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.errors import MusicError
from tinyembed.music import midi_tracks
from tinyembed.music.midi import read_midi
from tinyembed.music.midi_tracks import NO_END, NO_TRACK, RUNNING, TRACK_COUNT, TRACK_LENGTH

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
END = b"\0\xff\x2f\0"


def notes(pitches=SCALE):
    """A quarter note each, at 480 ticks per beat."""
    return b"".join(bytes([0, 0x90, p, 80, 0x83, 0x60, 0x80, p, 64]) for p in pitches)


BASS = notes([48] * 8)


def chunk(name, data, length=None):
    return name + struct.pack(">L", len(data) if length is None else length) + data


def header(tracks=1, midi_format=1, division=480, more=b""):
    return chunk(b"MThd", struct.pack(">HHh", midi_format, tracks, division) + more)


def track(data, length=None, end=END):
    return chunk(b"MTrk", data + end, length)


def meta(kind, data):
    return bytes([0, 0xFF, kind, len(data)]) + data


def onsets(piece):
    return list(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True))


ONE = [(24 * i, pitch) for i, pitch in enumerate(SCALE)]
TWO = sorted([*ONE, *((tick, 48) for tick, _ in ONE)])
WHOLE = header() + track(notes())
N = len(notes() + END)

TEMPO, METER = "a tempo event of a wrong length", "a time signature of a wrong length"
CASES = {
    "nothing wrong": (WHOLE, ONE, None),
    # Chunks.
    "a chunk before": (header() + chunk(b"Junk", b"no track") + track(notes()), ONE, None),
    "a chunk between": (
        header(2) + track(notes()) + chunk(b"XFIH", b"hello") + track(BASS),
        TWO,
        None,
    ),
    "chunks after": (WHOLE + chunk(b"XFKM", b"") + chunk(b"XFIH", b"abc"), ONE, None),
    "a longer header": (header(more=b"\0\0") + track(notes()), ONE, None),
    "riff": (b"RIFF\x6e\0\0\0RMIDdata\x62\0\0\0" + WHOLE + b"LIST\4\0\0\0INFO", ONE, None),
    "zeros after": (WHOLE + bytes(100), ONE, None),
    "text after": (WHOLE + b"made by hand, with love", ONE, NO_TRACK),
    "text between": (header(2) + track(notes()) + b"% %" + track(BASS), TWO, NO_TRACK),
    "cut off in a chunk's name": (
        header(2) + track(notes()) + b"MT",
        ONE,
        {NO_TRACK, TRACK_COUNT},
    ),
    # The number of tracks.
    "0 declared": (header(0) + track(notes()), ONE, TRACK_COUNT),
    "9 declared": (header(9) + track(notes()), ONE, TRACK_COUNT),
    "1 declared of 2": (header(1) + track(notes()) + track(BASS), TWO, TRACK_COUNT),
    "format 2, one track": (header(1, 2) + track(notes()), ONE, None),
    "format 2, one with notes": (header(2, 2) + track(notes()) + track(b""), ONE, None),
    "format 7": (header(1, 7) + track(notes()), ONE, None),
    # The length of a track.
    "too long by 3": (header(2) + track(notes(), N + 3) + track(BASS), TWO, TRACK_LENGTH),
    "too long by both": (header(2) + track(notes(), 2 * N + 8) + track(BASS), TWO, TRACK_LENGTH),
    "too short by 4": (header(2) + track(notes(), N - 4) + track(BASS), TWO, TRACK_LENGTH),
    "last too long": (header() + track(notes(), N + 40), ONE, TRACK_LENGTH),
    "zero": (header() + track(notes(), 0), ONE, TRACK_LENGTH),
    "both zero": (header(2) + track(notes(), 0) + track(BASS, 0), TWO, TRACK_LENGTH),
    "no end": (header(2) + track(notes(), end=b"") + track(BASS, end=b""), TWO, NO_END),
    "zero, no end": (
        header(2) + track(notes(), 0, b"") + track(BASS),
        TWO,
        {NO_END, TRACK_LENGTH},
    ),
    "no end, and text after": (
        header() + track(notes(), end=b"") + b"\xff\xff love",
        ONE,
        {NO_END, NO_TRACK},
    ),
    "an end in the middle": (
        header() + track(notes(SCALE[:4]) + END + notes(SCALE[4:])),
        ONE,
        None,
    ),
    # Events.
    "running status": (
        header() + track(b"\0\x90\x3c\x50" + meta(1, b"a") + b"\0\x3e\x50"),
        [(0, 60), (0, 62)],
        RUNNING,
    ),
    "velocity 200": (
        header() + track(b"\0\x90\x3c\xc8\x10\x90\xff\x40"),
        [(0, 60), (1, 127)],
        "a note or velocity over 127",
    ),
    "key of 8 sharps": (header() + track(meta(0x59, b"\x08\0") + notes()), ONE, None),
    "key of 1 byte": (header() + track(meta(0x59, b"\x02") + notes()), ONE, None),
    "smpte": (header() + track(meta(0x54, b"\xff" * 9) + notes()), ONE, None),
    "channel prefix": (header() + track(meta(0x20, b"\xc8") + notes()), ONE, None),
    "sequence number": (header() + track(meta(0, b"") + notes()), ONE, None),
    "unknown": (header() + track(meta(0x0A, b"\xff") + notes()), ONE, None),
    "text of any bytes": (header() + track(meta(3, bytes(range(156, 256))) + notes()), ONE, None),
    "tempo empty": (header() + track(meta(0x51, b"") + notes()), ONE, TEMPO),
    "tempo of 2 bytes": (header() + track(meta(0x51, b"\7\xa1") + notes()), ONE, TEMPO),
    "tempo of 4 bytes": (header() + track(meta(0x51, b"\7\xa1\x20\0") + notes()), ONE, TEMPO),
    "tempo 0": (header() + track(meta(0x51, b"\0\0\0") + notes()), ONE, "a tempo of zero"),
    "meter empty": (header() + track(meta(0x58, b"") + notes()), ONE, METER),
    "meter of 2 bytes": (header() + track(meta(0x58, b"\4\2") + notes()), ONE, None),
    "meter of 2^255": (
        header() + track(meta(0x58, b"\4\xff\x18\x08") + notes()),
        ONE,
        "an impossible time signature",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_all_notes_are_read_and_the_repair_is_said(name):
    data, expected, repairs = CASES[name]
    piece = read_midi(data)
    assert onsets(piece) == expected
    assert set(piece.repairs) == ({repairs} if isinstance(repairs, str) else repairs or set())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WHOLE[:-5], "truncated: it ends in the middle of a track"),
        (WHOLE[: -len(END)], "truncated: it ends in the middle of a track"),
        (WHOLE[:20], "truncated: it ends in the middle of a track"),
        (WHOLE[:12], "truncated: it ends in the middle of its header"),
        (WHOLE[:14], "truncated: no track after the header"),
        (header() + track(b"\0\x3c\x40"), "damaged: a data byte without a status, at byte 22"),
        (header() + track(b"\0\xf4"), "damaged: a status that MIDI does not define, at byte 22"),
        (
            header() + track(b"\x81\x80\x80\x80\0\x90\x3c\x40"),
            "damaged: a number of more than four bytes, at byte 22",
        ),
        (
            header() + track(b"\0\xf0\xdf\xff\xff\x7fabc" + notes()),
            "damaged: an event that is longer than its track, at byte 22",
        ),
        (header() + track(notes(), 100_000_000), "damaged: a track claims 100,000,000 bytes"),
        (header() + track(END * 2_000 + notes()), "damaged: more than 1,000 end-of-track"),
        (header(2, 2) + track(notes()) + track(BASS), "separate songs"),
    ],
)
def test_what_is_refused_has_a_true_reason(data, reason):
    with pytest.raises(MusicError, match=reason):
        read_midi(data)


def test_tempi_that_cannot_be_are_left_out():
    tempi = meta(0x51, b"\0\0\0") + meta(0x51, b"\x0f\x42\x40") + meta(0x51, b"\1")
    piece = read_midi(header() + track(tempi + notes()))
    assert piece.tempi == ((0.0, 1.0),)
    assert piece.seconds([7]) == 7


LENGTHS = st.one_of(st.none(), st.just(0), st.integers(0, 2 * N), st.just(5_000_000))
OTHERS = st.lists(
    st.builds(chunk, st.sampled_from([b"Junk", b"XFIH", b"abcd"]), st.binary(max_size=20)),
    max_size=2,
).map(b"".join)


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=4),
    declared=st.integers(0, 65_535),
    before=OTHERS,
    after=OTHERS,
)
@settings(max_examples=200, deadline=None)
def test_any_number_and_any_lengths(lengths, declared, before, after):
    tracks = [track(notes([p + 12 * i for p in SCALE[:4]]), n) for i, n in enumerate(lengths)]
    piece = read_midi(header(declared) + before + b"".join(tracks) + after)
    expected = [(24 * k, p + 12 * i) for k, p in enumerate(SCALE[:4]) for i in range(len(tracks))]
    assert onsets(piece) == sorted(expected)
    assert (TRACK_COUNT in piece.repairs) == (declared != len(tracks))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_hostile_chunks_take_linear_time(data):
    # Each byte of the file is looked at by at most two passes over the events.
    pieces = st.sampled_from([b"MTrk\0\0\0\0", b"MTrk\0\0\0\x08", b"\0\x90\x3c\x40", END, b"abcd"])
    body = b"".join(data.draw(st.lists(pieces, max_size=60)))
    n_read = 0

    def counting(data, at, end, *rest):
        nonlocal n_read
        code, stop, *state = midi_tracks_read(data, at, end, *rest)
        n_read += stop - at + 1
        return code, stop, *state

    midi_tracks_read = midi_tracks.read_events
    midi_tracks.read_events = counting
    try:
        read_midi(header(1) + body)
    except MusicError:
        pass
    finally:
        midi_tracks.read_events = midi_tracks_read
    assert n_read <= 3 * len(body) + 100


RIGHT = {  # of ../shared/cases, besides those that are the scale
    "01-alien-chunk/alien-between.mid": TWO,
    "05-track-length/no-end-of-track.mid": TWO,
    "05-track-length/too-long-by-3.mid": TWO,
    "05-track-length/too-short-by-4.mid": TWO,
    "06-track-count/declares-1-has-3.mid": TWO,
    "15-type2/type-0-two-tracks.mid": TWO,
    "20-last-note/never-off.mid": [(0, 60), (24, 62), (48, 64), (72, 65)],
    "10-notes/never-off.mid": [(0, 60), (24, 62), (48, 64), (72, 65)],
}
REFUSED = {
    "04-long-header/mthd-claims-2.mid": "a header of 2 bytes",
    "05-track-length/claims-100MB.mid": "claims 100,000,000 bytes",
    "05-track-length/meta-claims-2GB.mid": "more than four bytes",
    "05-track-length/sysex-claims-200MB.mid": "longer than its track",
    "15-type2/test-2-tracks-type-2.mid": "separate songs",
}
FOLDERS = "01 02 03 04 05 06 07 08 09 15 20".split()


def test_the_cases_of_public_reports(shared_cases):
    n_read = 0
    for path in sorted([*shared_cases.glob("*/*.mid"), *shared_cases.glob("*/*.rmi")]):
        name = path.relative_to(shared_cases).as_posix()
        if name in REFUSED:
            with pytest.raises(MusicError, match=REFUSED[name]):
                read_midi(path)
        elif name in RIGHT or (name[:2] in FOLDERS and "Beethoven" not in name):
            assert onsets(read_midi(path)) == RIGHT.get(name, ONE), name
        n_read += 1
    assert n_read > 80
    assert len(read_midi(shared_cases / "03-riff-rmid" / "Beethoven.rmi").ticks) > 3000
    assert read_midi(shared_cases / "13-rhythm" / "triplets-100.mid").on_grid == 1
