"""Reading MIDI: which notes count, where they lie on the grid, and which files are rejected."""

import csv
import io
import math
from fractions import Fraction

import mido
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from music import midi_file, write_midi

from tinyembed.errors import MusicError
from tinyembed.music.midi import USUAL_FILE, read_midi
from tinyembed.music.midi_tracks import LARGEST_FILE
from tinyembed.music.piece import LONGEST_PIECE, Piece


def saved(midi):
    file = io.BytesIO()
    midi.save(file=file)
    return file.getvalue()


def onsets(piece):
    return list(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True))


def test_onsets_are_rounded_half_up():
    # 480 ticks per beat: 20 make one of ours, so 10 rounds up and 9 rounds down.
    notes = [(0, 480, 60), (9, 480, 61), (10, 480, 62), (30, 480, 63), (49, 480, 64)]
    piece = read_midi(midi_file(notes))
    assert onsets(piece) == [(0, 60), (0, 61), (1, 62), (2, 63), (2, 64)]
    assert piece.on_grid == pytest.approx(1 / 5)
    assert (piece.ticks.dtype, piece.pitches.dtype) == (np.int32, np.uint8)


def test_coarse_resolution():
    assert onsets(read_midi(midi_file([(1, 2, 60), (2, 4, 61)], ticks_per_beat=5))) == [
        (5, 60),  # 4.8
        (10, 61),  # 9.6
    ]


def test_onsets_in_one_cell_count_once():
    piece = read_midi(midi_file([(0, 100, 60), (3, 400, 60), (200, 400, 60)]))
    assert onsets(piece) == [(0, 60), (10, 60)]


def test_length_is_the_last_release_in_whole_beats():
    assert read_midi(midi_file([(0, 480, 60)])).n_beats == 1
    assert read_midi(midi_file([(0, 481, 60)])).n_beats == 2
    silence_at_the_end = midi_file([(0, 480, 60)])
    silence_at_the_end.tracks[0].append(mido.MetaMessage("end_of_track", time=10_000))
    assert read_midi(silence_at_the_end).n_beats == 1


def test_an_onset_that_rounds_past_the_last_beat_has_a_beat_of_its_own():
    midi = midi_file([(0, 470, 60)])
    midi.tracks[0].append(mido.Message("note_on", note=72, time=5))  # at 475, never released
    piece = read_midi(midi)
    assert (onsets(piece), piece.n_beats) == ([(0, 60), (24, 72)], 2)


def test_a_last_note_without_a_length_counts():
    track = [mido.Message("note_on", note=60 + i, time=480 * (i > 0)) for i in range(4)]
    midi = mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(track)])
    piece = read_midi(midi)
    assert (onsets(piece), piece.n_beats) == ([(0, 60), (24, 61), (48, 62), (72, 63)], 4)


@pytest.mark.parametrize(
    ("resolution", "starts", "on_grid"),
    [
        (100, [0, 33, 67, 100, 133, 167], 1),  # triplets, rounded to the ticks of the file
        (100, [0, 20, 40, 60, 80], 1 / 5),  # fifths of a beat
        (480, [0, 160, 320, 19, 18], 4 / 5),
        (5, [0, 1, 2], 1 / 3),  # fifths are exact in this file, and not on the grid
        (7, [0, 1, 2], 1 / 3),
    ],
)
def test_the_grid_allows_for_the_ticks_of_the_file(resolution, starts, on_grid):
    notes = [(start, 5, 60 + i) for i, start in enumerate(starts)]
    assert read_midi(midi_file(notes, resolution)).on_grid == pytest.approx(on_grid)


def test_drums_are_ignored():
    drums = (5000, 480, 36, 9)
    piece = read_midi(midi_file([(0, 480, 60), (0, 480, 64, 8), (0, 480, 65, 10), drums]))
    assert onsets(piece) == [(0, 60), (0, 64), (0, 65)]
    assert piece.n_beats == 1
    with pytest.raises(MusicError, match="no notes"):
        read_midi(midi_file([drums]))


def test_velocity_zero_is_a_release():
    midi = mido.MidiFile(ticks_per_beat=24)
    on, off = (mido.Message("note_on", note=60, velocity=v) for v in (1, 0))
    midi.tracks.append(mido.MidiTrack([on, off.copy(time=30)]))
    piece = read_midi(midi)
    assert (onsets(piece), piece.n_beats) == ([(0, 60)], 2)


def test_all_tracks_count_and_start_together():
    midi = midi_file([(0, 480, 60)])
    midi.tracks += midi_file([(480, 480, 64)]).tracks
    assert onsets(read_midi(midi)) == [(0, 60), (24, 64)]


@pytest.mark.parametrize("track", [0, 1])
@pytest.mark.parametrize("denominator", [1, 2, 8, 16])
def test_another_denominator_in_any_track_is_rejected(track, denominator):
    midi = midi_file([(0, 480, 60)], meter=(3, 4))
    midi.tracks += midi_file([(0, 480, 64)], meter=None).tracks
    late = mido.MetaMessage("time_signature", numerator=3, denominator=denominator, time=99)
    midi.tracks[track].append(late)
    with pytest.raises(MusicError, match=f"1/{denominator}, not in quarter"):
        read_midi(midi)
    assert len(read_midi(midi, any_meter=True).ticks) == 2


def test_time_signature_is_optional():
    assert len(read_midi(midi_file([(0, 480, 60)], meter=None)).ticks) == 1


def header(midi_format=1, tracks=1, division=480):
    return (
        b"MThd"
        + (6).to_bytes(4, "big")
        + b"".join(n.to_bytes(2, "big") for n in (midi_format, tracks, division))
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"RIFF....", "not a MIDI file"),
        (b"RIFF....RMIDdata....", "a RIFF file without a MIDI file"),
        (bytes(LARGEST_FILE + 1), "absurdly large: more than 16 MB"),
        (b"\x89PNG\r\n\x1a\n" * 9, "not a MIDI file"),
        (header(), "truncated"),
        (header(tracks=0), "no notes"),
        (header(tracks=0, division=0), "zero ticks per beat"),
        (header(tracks=0, division=0xE728), "SMPTE"),
        (b"MThd\0\0\0\2\0\0" + header(), "a header of 2 bytes"),
        (saved(midi_file([])), "no notes"),
    ],
)
def test_a_rejected_file_gives_a_reason(data, reason):
    with pytest.raises(MusicError, match=reason):
        read_midi(data)


def test_an_absurd_delta_time_is_rejected_before_memory_is_allocated():
    with pytest.raises(MusicError, match="absurdly long"):
        read_midi(midi_file([(0, 2**28 - 1, 60)], ticks_per_beat=24))
    longest = midi_file([(0, LONGEST_PIECE * 24, 60)], ticks_per_beat=24)
    assert read_midi(longest).n_beats == LONGEST_PIECE


def test_all_types_of_source(tmp_path):
    path = write_midi(tmp_path / "a.mid", [(0, 480, 60), (480, 480, 72)])
    expected = [(0, 60), (24, 72)]
    with open(path, "rb") as file:
        sources = [path, str(path), path.read_bytes(), file, mido.MidiFile(path)]
        for source in sources:
            assert onsets(read_midi(source)) == expected


@pytest.mark.parametrize("size", [USUAL_FILE - 1, USUAL_FILE, USUAL_FILE + 1, 2 * USUAL_FILE])
def test_files_of_any_size_are_read_whole(tmp_path, size):
    path, count = tmp_path / "a.mid", size // 9
    data = saved(midi_file([(480 * i, 480, 60) for i in range(count)]))
    assert len(data) > size
    path.write_bytes(data)
    assert len(read_midi(path).ticks) == count
    path.write_bytes(header() + b"MTrk" + (size - 22).to_bytes(4, "big") + data[22 : size - 1])
    with pytest.raises(MusicError, match="truncated"):
        read_midi(path)


tempo_event = st.tuples(
    st.integers(0, 2000),
    st.one_of(st.binary(min_size=3, max_size=3), st.just(bytes(3)), st.binary(max_size=5)),
    st.booleans(),
)


@given(st.lists(st.lists(tempo_event, max_size=6), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_tempi_are_those_that_the_events_say(tracks):
    data, expected, repairs = header(tracks=len(tracks)), [], set()
    for events in tracks:
        now, body = 0, b"\0\x90\x3c\x40"
        for delta, said, long in events:  # the length of an event in one byte or in two
            now += delta
            body += bytes([0x80 | delta >> 7, delta & 0x7F, 0xFF, 0x51, *[0x80] * long, len(said)])
            body += said
            value = int.from_bytes(said[:3], "big") if len(said) >= 3 else 0
            if len(said) != 3:
                repairs.add("a tempo event of a wrong length")
            elif value == 0:
                repairs.add("a tempo of zero")
            expected += [(now / 480, value / 1e6)] if value else []
        body += b"\0\xff\x2f\0"
        data += b"MTrk" + len(body).to_bytes(4, "big") + body
    piece = read_midi(data)
    assert piece.tempi == tuple(sorted(expected, key=lambda tempo: tempo[0]))
    assert piece.repairs == tuple(sorted(repairs))
    assert all(type(number) is float for tempo in piece.tempi for number in tempo)


def test_a_missing_file_gives_a_reason(tmp_path):
    with pytest.raises(MusicError, match="cannot be read"):
        read_midi(tmp_path / "nowhere.mid")


WHOLE = saved(
    midi_file([(120 * i, 100, 40 + i) for i in range(30)], before=[mido.MetaMessage("set_tempo")])
)


@given(st.integers(0, len(WHOLE) - 1))
@settings(max_examples=150, deadline=None)
@example(0)
@example(14)
def test_a_file_truncated_anywhere_gives_a_piece_or_a_reason(cut):
    try:
        assert isinstance(read_midi(WHOLE[:cut]), Piece)
    except MusicError as error:
        assert str(error)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=5))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_a_piece_or_a_reason(changes):
    data = bytearray(WHOLE)
    for index, value in changes:
        data[index] = value
    try:
        piece = read_midi(data)
        assert np.all(np.diff(piece.ticks) >= 0) and piece.ticks[-1] < 24 * piece.n_beats
        assert np.isfinite(piece.seconds(range(piece.n_beats))).all()
    except MusicError as error:
        assert str(error)


note = st.tuples(
    st.integers(0, 3000), st.integers(1, 500), st.integers(0, 127), st.sampled_from([0, 3, 9])
)


@given(
    tracks=st.lists(st.lists(note, max_size=12), min_size=1, max_size=3),
    resolution=st.sampled_from([5, 24, 96, 384, 480, 600, 10_080]),
)
@settings(max_examples=150, deadline=None)
def test_equals_exact_arithmetic_with_fractions(tracks, resolution):
    midi = mido.MidiFile(type=1, ticks_per_beat=resolution)
    for notes in tracks:
        midi.tracks += midi_file(notes).tracks
    pitched = [n for notes in tracks for n in notes if n[3] != 9]
    n_beats = max((math.ceil(Fraction(t + d, resolution)) for t, d, _, _ in pitched), default=0)
    rounding = min(Fraction(12, resolution), Fraction(1, 8))
    expected, on_grid = set(), []
    for time, _, pitch, _ in pitched:
        exact = Fraction(24 * time, resolution)
        tick = math.floor(exact + Fraction(1, 2))
        on_grid.append(abs(exact - tick) <= max(Fraction(1, 20), rounding))
        expected.add((tick, pitch))
        n_beats = max(n_beats, tick // 24 + 1)
    if not expected:
        with pytest.raises(MusicError, match="no notes"):
            read_midi(saved(midi))
        return
    piece = read_midi(saved(midi))
    assert onsets(piece) == sorted(expected)
    assert piece.n_beats == n_beats
    assert piece.on_grid == pytest.approx(np.mean(on_grid))


def test_odd_files(shared_corpus):
    odd = {path.name: path for path in (shared_corpus / "odd").iterdir()}
    rejected = {
        "krueger_59_timesigs_denoms_4_8_16_32.mid": "1/8, 1/16, 1/32",
        "miditok_empty.mid": "1/2",
        "synthetic_header_only.mid": "truncated",
        "synthetic_truncated_half.mid": "truncated: it ends in the middle of a track",
    }
    for name, path in odd.items():
        if name in rejected:
            with pytest.raises(MusicError, match=rejected[name]):
                read_midi(path)
        else:
            assert len(read_midi(path).ticks) > 0
    jazz = odd["playmidi_jazz_drums_multi_instrument.mid"]
    drums = [m for t in mido.MidiFile(jazz).tracks for m in t if getattr(m, "channel", 0) == 9]
    assert drums  # otherwise the file would test nothing


def test_real_pieces_against_their_manifest(shared_corpus):
    text = (shared_corpus / "MANIFEST.tsv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    chosen = [row for row in rows if row["composer"] != "odd"][::40]
    assert len(chosen) >= 10
    for row in chosen:
        piece = read_midi(shared_corpus / "piano" / row["composer"] / row["file"])
        # The manifest measures beats to the end of the last note, with its fraction; its share of
        # onsets on the grid has almost the same tolerance as ours.
        assert piece.n_beats == math.ceil(float(row["beats"])), row["file"]
        assert piece.on_grid == pytest.approx(float(row["share_of_onsets_on_grid"]), abs=0.06)
        assert len(piece.ticks) <= int(row["notes"])
