"""Scores give the same pieces as the same music in MIDI files; the default corpus is complete.

Most of these tests need music21 (extra `scores`) and are skipped without it.
"""

import os
import re
import subprocess
import sys
import warnings
import zipfile
from collections import Counter

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_midi

from tinyembed import corpus as corpus_command
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError, MusicError
from tinyembed.music import default_corpus
from tinyembed.music.corpus import Corpus
from tinyembed.music.midi import read_midi
from tinyembed.music.scores import read_score
from tinyembed.stores.sources import open_corpus

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a module of Python's that it still uses
    try:
        import partitura
    except ImportError:
        partitura = None

with_music21 = pytest.mark.peer("music21")

DIVISIONS = 480  # of a quarter note, in the MusicXML and in the MIDI files below
TUNE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n"
QUARTER, EIGHTH = DIVISIONS, DIVISIONS // 2


def piece_of(notes):
    """The oracle. notes: list of (onset, duration, MIDI note) in 480ths of a beat."""
    events = [(on, 1, pitch) for on, _, pitch in notes]
    events += [(on + duration, 0, pitch) for on, duration, pitch in notes]
    track, now = mido.MidiTrack(), 0
    for time, is_on, pitch in sorted(events):
        kind = "note_on" if is_on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=64 * is_on, time=time - now))
        now = time
    midi = mido.MidiFile(type=0, ticks_per_beat=DIVISIONS)
    midi.tracks.append(track)
    return read_midi(midi)


def assert_same(piece, notes):
    expected = piece_of(notes)
    np.testing.assert_array_equal(piece.ticks, expected.ticks)
    np.testing.assert_array_equal(piece.pitches, expected.pitches)
    assert piece.ticks.dtype == expected.ticks.dtype
    assert piece.pitches.dtype == expected.pitches.dtype
    assert piece.n_beats == expected.n_beats
    assert piece.on_grid == pytest.approx(expected.on_grid)


def note(pitch, duration, *tags, chord=False):
    """A <note> of MusicXML. pitch: a MIDI note, or None for a rest; tags: additional tags."""
    steps = ("C", "C+", "D", "D+", "E", "F", "F+", "G", "G+", "A", "A+", "B")
    what = "<rest/>"
    if pitch is not None:
        step = steps[pitch % 12]
        alter = f"<alter>{len(step) - 1}</alter>"
        octave = f"<octave>{pitch // 12 - 1}</octave>"
        what = f"<pitch><step>{step[0]}</step>{alter}{octave}</pitch>"
    how_long = f"<duration>{duration}</duration>" if duration else ""
    grace = "" if duration else "<grace/>"
    chord = "<chord/>" if chord else ""
    return f"<note>{grace}{chord}{what}{how_long}{''.join(tags)}</note>"


def meter(beats=4, denominator=4):
    time = f"<time><beats>{beats}</beats><beat-type>{denominator}</beat-type></time>"
    return f"<attributes><divisions>{DIVISIONS}</divisions>{time}</attributes>"


def musicxml(folder, *parts):
    """Write a score. parts: lists of measures; a measure is the text inside <measure>."""
    listed = "".join(
        f'<score-part id="P{i}"><part-name>Part {i}</part-name></score-part>'
        for i in range(len(parts))
    )
    written = ""
    for i, measures in enumerate(parts):
        inside = "".join(f'<measure number="{n}">{m}</measure>' for n, m in enumerate(measures, 1))
        written += f'<part id="P{i}">{inside}</part>'
    path = folder / "score.musicxml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="4.0">'
        f"<part-list>{listed}</part-list>{written}</score-partwise>"
    )
    return path


@with_music21
def test_two_parts_with_chords_and_rests(tmp_path):
    upper = [
        meter() + note(60, QUARTER) + note(64, QUARTER, chord=True) + note(None, 3 * QUARTER),
        note(None, EIGHTH) + note(67, 7 * EIGHTH),
    ]
    lower = [meter() + note(36, 4 * QUARTER), note(43, QUARTER) + note(None, 3 * QUARTER)]
    notes = [(0, 480, 60), (0, 480, 64), (2160, 1680, 67), (0, 1920, 36), (1920, 480, 43)]
    assert_same(read_score(musicxml(tmp_path, upper, lower)), notes)


@with_music21
def test_a_piece_ends_with_its_last_note(tmp_path):
    measures = [meter() + note(60, EIGHTH) + note(None, 7 * EIGHTH), note(None, 4 * QUARTER)]
    assert_same(read_score(musicxml(tmp_path, measures)), [(0, 240, 60)])


START, STOP = '<tie type="start"/>', '<tie type="stop"/>'


@with_music21
def test_a_tie_sounds_once(tmp_path):
    measures = [
        # Of the chord, only the lower note is held over both bar lines.
        meter() + note(60, 4 * QUARTER, START) + note(64, 4 * QUARTER, chord=True),
        note(60, 4 * QUARTER, STOP, START) + note(64, 4 * QUARTER, chord=True),
        note(60, QUARTER, STOP) + note(60, QUARTER),
    ]
    notes = [(0, 4320, 60), (0, 1920, 64), (1920, 1920, 64), (4320, 480, 60)]
    assert_same(read_score(musicxml(tmp_path, measures)), notes)


@with_music21
def test_a_tie_that_begins_nowhere_is_a_note(tmp_path):
    measures = [
        meter() + note(60, QUARTER) + note(60, QUARTER, STOP) + note(62, 2 * QUARTER, STOP, START),
        note(62, QUARTER, STOP) + note(62, QUARTER, STOP) + note(64, 2 * QUARTER),
    ]
    notes = [(0, 480, 60), (480, 480, 60), (960, 1440, 62), (2400, 480, 62), (2880, 960, 64)]
    assert_same(read_score(musicxml(tmp_path, measures)), notes)


@with_music21
def test_symbols_grace_notes_and_drums_are_ignored(tmp_path):
    symbol = (
        "<harmony><root><root-step>G</root-step></root><kind>dominant</kind></harmony>"
        "<direction><direction-type><words>dolce</words></direction-type></direction>"
    )
    drum = (
        "<note><unpitched><display-step>C</display-step><display-octave>5</display-octave>"
        f"</unpitched><duration>{QUARTER}</duration></note>"
    )
    measures = [meter() + symbol + note(62, 0) + note(60, QUARTER) + note(62, 0) + note(64, 1440)]
    path = musicxml(tmp_path, measures, [meter() + drum * 4, drum * 4])
    assert_same(read_score(path), [(0, 480, 60), (480, 1440, 64)])


@with_music21
def test_transposing_instruments_are_read_at_sounding_pitch(tmp_path):
    clarinet = "<attributes><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    measures = [meter() + clarinet + "</attributes>" + note(62, QUARTER), note(64, QUARTER)]
    flute = [meter() + note(72, QUARTER), note(74, QUARTER)]
    notes = [(0, 480, 60), (480, 480, 62), (0, 480, 72), (480, 480, 74)]
    assert_same(read_score(musicxml(tmp_path, measures, flute)), notes)


@with_music21
def test_a_pickup_is_the_first_beat(tmp_path):
    bar = note(60, QUARTER) + note(62, QUARTER) + note(64, QUARTER) + note(65, QUARTER)
    path = musicxml(tmp_path, [meter() + note(55, QUARTER), bar])
    pitches = [55, 60, 62, 64, 65]
    assert_same(read_score(path), [(480 * i, 480, pitch) for i, pitch in enumerate(pitches)])


@with_music21
def test_repeats_are_not_played_again(tmp_path):
    repeat = '<barline location="right"><repeat direction="backward"/></barline>'
    path = musicxml(tmp_path, [meter() + note(60, 1920) + repeat, note(62, 1920)])
    assert_same(read_score(path), [(0, 1920, 60), (1920, 1920, 62)])


def metronome(unit, bpm):
    kind = f"<metronome><beat-unit>{unit}</beat-unit><per-minute>{bpm}</per-minute></metronome>"
    return f"<direction><direction-type>{kind}</direction-type></direction>"


@with_music21
def test_tempo_marks_determine_when_beats_are_heard(tmp_path):
    words = "<direction><direction-type><words>Presto</words></direction-type></direction>"
    measures = [
        meter() + '<sound tempo="75"/>' + note(60, 4 * QUARTER),
        metronome("half", 50) + words + note(62, 4 * QUARTER),  # a word alone states no tempo
        note(64, 4 * QUARTER),
    ]
    piece = read_score(musicxml(tmp_path, measures))
    np.testing.assert_allclose(piece.seconds([0, 4, 8]), [0, 3.2, 5.6])


@with_music21
@pytest.mark.parametrize(
    ("name", "content", "heard"),
    [
        ("tune.abc", "X:1\nM:4/4\nL:1/4\nQ:1/4=60\nK:C\nCDEF|\n", 3.0),
        ("tune.krn", "**kern\n*M4/4\n*MM90\n4c\n4d\n4e\n4f\n*-\n", 2.0),
        ("zero.abc", "X:1\nM:4/4\nL:1/4\nQ:1/4=0\nK:C\nCDEF|\n", 1.5),
        ("slow.abc", "X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n", 1.5),  # the default, 120
    ],
)
def test_tempo_in_abc_and_kern(tmp_path, name, content, heard):
    (tmp_path / name).write_text(content)
    assert read_score(tmp_path / name).seconds([3])[0] == pytest.approx(heard)


@with_music21
def test_only_quarter_notes_are_accepted_as_beats(tmp_path):
    bar = note(60, 3 * EIGHTH)
    late = musicxml(tmp_path, [meter(3) + bar, bar], [meter(3) + bar, meter(6, 8) + bar])
    with pytest.raises(MusicError, match="counts in 1/8, not in quarter notes"):
        read_score(late)
    with pytest.raises(MusicError, match="counts in 1/2, 1/8, not"):
        read_score(musicxml(tmp_path, [meter(3, 2) + bar, meter(6, 8) + bar, meter(3) + bar]))
    late = musicxml(tmp_path, [meter(3) + bar, bar], [meter(3) + bar, meter(6, 8) + bar])
    assert read_score(late, any_meter=True).n_beats == 3
    assert read_score(musicxml(tmp_path, [meter(3, 4) + bar, meter(5, 4) + bar])).n_beats == 3


@st.composite
def music(draw):
    """One or two parts of (duration, pitches). A chord without pitches is a rest."""
    # Among the durations: 64ths (1.5 ticks), and a fifth and a seventh of a beat.
    durations = st.sampled_from([480, 240, 160, 120, 40, 30, 96, 720])
    chord = st.lists(st.integers(21, 108), max_size=3, unique=True)
    one = st.lists(st.tuples(durations, chord), min_size=1, max_size=12)
    return draw(st.lists(one, min_size=1, max_size=2))


@with_music21
@settings(deadline=None, max_examples=40)
@given(parts=music())
def test_any_rhythm_equals_that_of_the_midi_file(parts, tmp_path_factory):
    written, notes = [], []
    for part in parts:
        measure, now = meter(), 0
        for duration, chord in part:
            for i, pitch in enumerate(chord or [None]):
                measure += note(pitch, duration, chord=i > 0)
            notes += [(now, duration, pitch) for pitch in chord]
            now += duration
        written.append([measure])
    path = musicxml(tmp_path_factory.mktemp("any"), *written)
    if notes:
        assert_same(read_score(path), notes)
    else:
        with pytest.raises(MusicError, match="no notes"):
            read_score(path)


@with_music21
def test_abc(tmp_path):
    path = tmp_path / "tune.abc"
    path.write_text('X:1\nT:Tune\nM:4/4\nL:1/4\nK:G\n"G"G {a}[FB] (3cde | f2- f/z/ g- | g4 |]\n')
    third = DIVISIONS // 3 * 2  # three in the time of two quarters
    expected = [(0, 480, 67), (480, 480, 66), (480, 480, 71), (960, third, 72)]
    expected += [(960 + third, third, 74), (960 + 2 * third, third, 76)]
    expected += [(1920, 1200, 78), (3360, 2400, 79)]
    assert_same(read_score(path), expected)


def bar(first, step=2):
    """Four quarter notes in a row."""
    return "".join(note(first + i * step, QUARTER) for i in range(4))


REST, LONG_REST = note(None, 4 * QUARTER), note(None, 8 * QUARTER, "<type>breve</type>")
SKIPS = f"<backup><duration>{4 * QUARTER}</duration></backup>" + "".join(
    f"<forward><duration>{duration}</duration></forward>" for duration in (7 * EIGHTH, 0, EIGHTH)
)
LATE = (
    "<direction><direction-type><words>cresc.</words></direction-type>"
    f"<offset>{7 * QUARTER}</offset></direction>"
)


@with_music21
@pytest.mark.parametrize(
    ("first", "length"),
    [
        (note(72, 3 * QUARTER), 4),  # a note is missing
        (bar(72) + REST, 4),
        (LONG_REST, 4),
        (note(None, 8 * QUARTER).replace("<rest/>", '<rest measure="yes"/>'), 4),
        (bar(72) + SKIPS, 4),
        (LATE + bar(72), 4),
        (note(72, 17 * QUARTER), 17),  # a cadenza
    ],
    ids=("short", "long", "long-rest", "measure-rest", "skips", "direction", "cadenza"),
)
def test_bars_of_all_parts_begin_together(tmp_path, first, length):
    upper = [meter() + bar(67), first, bar(90)]
    lower = [meter() + bar(36), bar(43) if length == 4 else REST, bar(24)]
    for parts in ((upper, lower), (lower, upper, lower)):
        piece = read_score(musicxml(tmp_path, *parts))
        for pitch in (90, 24):
            assert piece.ticks[piece.pitches == pitch].tolist() == [24 * (4 + length)]
        assert piece.n_beats == 8 + length
    assert piece.repairs in ((), ("bars aligned across parts",))
    twice = musicxml(tmp_path, [meter() + bar(67), bar(36), bar(90)], lower)
    assert read_score(twice).repairs == ()


@with_music21
@pytest.mark.parametrize("gap", ["a missing note", "a mark that sticks out"])
def test_a_tie_over_a_bar_that_was_moved(tmp_path, gap):
    """The held note is not struck again, though in one of the two times there is a gap."""
    tied = LATE + note(72, 4 * QUARTER, START)
    if gap == "a missing note":
        tied = note(72, 3 * QUARTER, START)
    upper = [meter() + tied, note(72, QUARTER, STOP) + note(74, 3 * QUARTER)]
    piece = read_score(musicxml(tmp_path, upper, [meter() + bar(36), bar(43)]))
    assert piece.ticks[piece.pitches >= 72].tolist() == [0, 24 * 5]


@with_music21
def test_the_skips_of_finale(tmp_path):
    """From its files, music21 makes rests of skips; of a skip of nothing, a quarter rest."""
    path = musicxml(tmp_path, [meter() + bar(60) + SKIPS, bar(67)])
    finale = "<identification><encoding><software>Finale</software></encoding></identification>"
    path.write_text(path.read_text().replace("<part-list>", finale + "<part-list>"))
    assert read_score(path).ticks.tolist() == list(range(0, 8 * 24, 24))


@with_music21
def test_a_bar_that_seems_too_long_in_the_only_part(tmp_path):
    piece = read_score(musicxml(tmp_path, [meter() + LATE + bar(60), bar(67)]))
    assert piece.ticks.tolist() == list(range(0, 8 * 24, 24))
    assert piece.repairs == ("bars of a wrong length",)


@with_music21
def test_parts_in_different_meters_that_do_not_meet(tmp_path):
    three = [meter(3) + note(60, 3 * QUARTER)] + [note(60, 3 * QUARTER)] * 3
    two = [meter(2) + note(48, 2 * QUARTER)] + [note(48, 2 * QUARTER)] * 3
    with pytest.raises(MusicError, match="measure 1 has different lengths in different parts"):
        read_score(musicxml(tmp_path, three, two))
    piece = read_score(musicxml(tmp_path, three, two + [note(48, 2 * QUARTER)] * 2))
    assert piece.ticks[piece.pitches == 60].tolist() == [0, 72, 144, 216]
    assert piece.ticks[piece.pitches == 48].tolist() == [0, 48, 96, 144, 192, 240]


@with_music21
def test_endings_in_capitals(tmp_path):
    measures = [meter() + bar(60), bar(67)]
    text = musicxml(tmp_path, measures).read_bytes()
    (tmp_path / "A.XML").write_bytes(text)
    with zipfile.ZipFile(tmp_path / "A.MXL", "w") as packed:
        packed.writestr("META-INF/container.xml", "<container/>")
        packed.writestr("score.xml", text)
    (tmp_path / "A.ABC").write_text("X:1\nM:4/4\nL:1/4\nK:C\nCDE^F|GABc|\n")
    pitches = [60, 62, 64, 66, 67, 69, 71, 73]
    for name in ("A.XML", "A.MXL"):
        assert read_score(tmp_path / name).pitches.tolist() == pitches
    assert read_score(tmp_path / "A.ABC").pitches.tolist() == [*pitches[:7], 72]


@with_music21
@pytest.mark.parametrize("number", ["0", "1e-300", "-5", "1e300"])
def test_a_tempo_that_cannot_be_costs_no_notes(tmp_path, number):
    piece = read_score(musicxml(tmp_path, [meter() + metronome("quarter", number) + bar(60)]))
    assert piece.pitches.tolist() == [60, 62, 64, 66]
    assert piece.tempi == () and piece.repairs == ("an impossible tempo",)


@with_music21
def test_a_tempo_mark_before_the_beginning(tmp_path):
    early = metronome("quarter", 60).replace(
        "</direction>", f"<offset>-{QUARTER}</offset></direction>"
    )
    piece = read_score(musicxml(tmp_path, [meter() + early + bar(60)]))
    assert piece.tempi == ((0.0, 1.0),)


@with_music21
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.abc", "X:1\nM:999999999/4\nL:1/4\nK:C\nCDEF|\n"),
        ("b.abc", "X:1\nM:4/4\nL:1/4\nK:C\nCD[M:999999999/4]EF|\n"),
        ("c.xml", meter("999999999") + bar(60)),
        ("d.mxl", meter("999999999") + bar(60)),
        ("e.xml", (meter("3+999999999") + bar(60)).replace("<beats>", "<beats >\n")),
        ("not packed.mxl", meter("999999999") + bar(60)),
    ],
)
def test_a_bar_of_a_billion_beats(tmp_path, name, text):
    """Refused before music21 makes a list of them, which takes gigabytes."""
    path = tmp_path / name
    if path.suffix == ".abc":
        path.write_text(text)
    else:
        musicxml(tmp_path, [text]).rename(path)
    if name == "d.mxl":
        score = path.read_bytes()
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("score.xml", score)
    with pytest.raises(MusicError, match=r"^a time signature with (3\+)?999999999 beats in a bar$"):
        read_score(path)


@with_music21
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.krn", "**kern\n" + "0" * 99 + "c\n*MM60\n4c\n*-\n", r"absurdly long: [\d,]+ beats"),
        ("b.krn", "**kern\n" + "0" * 5000 + "c\n*-\n", r"line 2: the number 0{12}\.\.\. is too .*"),
        (
            "c.krn",
            "**kern\n4%" + "9" * 5000 + "c\n*-\n",
            r"line 2: the number 9{12}\.\.\. is too .*",
        ),
        ("d.krn", "**kern\n*M4/4097\n4c\n*-\n", r"line 2: the number 4097 is too large .*"),
        ("e.krn", "**kern\n4" + "." * 10**5 + "c\n*-\n", r"line 2: a duration with 100,000 dots"),
        ("f.abc", TUNE.replace("4/4", "4/" + "9" * 5000), r"a time signature in 1/9+\.\.\."),
        ("g.abc", TUNE + "L:9999/1\nC|\n", r"a bar of 39,996 quarter notes"),
        ("h.abc", TUNE + "C" * 200 + "|\n", r"a bar of 200 quarter notes"),
        ("j.abc", TUNE + "C" * 95 + "C/16|\n", r"a bar of 1,521 times its shortest note"),
        ("i.abc", "".join(TUNE.replace("1", f"{n}", 1) for n in range(900)), r"holds 900 sep.*"),
    ],
)
def test_huge_numbers_give_a_short_reason(tmp_path, name, text, reason):
    """By arithmetic: read as they stand, each of these takes more than a few seconds."""
    (tmp_path / name).write_text(text)
    with pytest.raises(MusicError, match=f"^{reason}$") as caught:
        read_score(tmp_path / name)
    assert len(str(caught.value)) < 200


def key(fifths):
    return meter().replace("<time>", f"<key><fifths>{fifths}</fifths></key><time>") + bar(60)


def chord_symbol(alter):
    degree = f"<degree-value>9</degree-value><degree-alter>{alter}</degree-alter>"
    degree = f"<degree>{degree}<degree-type>add</degree-type></degree>"
    root = "<root><root-step>C</root-step></root><kind>dominant</kind>"
    return meter() + f"<harmony>{root}{degree}</harmony>" + bar(60)


def degrees(number):
    symbol = chord_symbol(1)
    start, end = symbol.index("<degree>"), symbol.index("</degree>") + len("</degree>")
    return symbol[:start] + symbol[start:end] * number + symbol[end:]


def two_beats(beats):
    """A time signature of three parts, two of them as long."""
    one = "<beats>4</beats><beat-type>4</beat-type>"
    return meter().replace(one, one + one.replace("4</beats>", f"{beats}</beats>") * 2) + bar(60)


@with_music21
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("measure", "usual", "huge", "reason"),
    [
        (key, 7, 101, "a key signature of 101 fifths"),
        (key, -7, -999_999_999, "a key signature of -999999999 fifths"),
        (chord_symbol, 1, 10**9, "a chord symbol with a degree altered by 1000000000 semitones"),
        (two_beats, 4, 47, "a time signature with 4+47+47 beats in a bar"),
    ],
)
def test_numbers_that_music21_counts_up_to(tmp_path, measure, usual, huge, reason, encoding):
    """Refused by arithmetic, wherever they stand in a file: read, they take a minute or a crash."""
    path = musicxml(tmp_path, [measure(usual)])
    assert len(read_score(path).ticks)
    entity = f'<!DOCTYPE score-partwise [<!ENTITY n "{huge}">]><score-partwise'
    for text in (measure(huge), measure("&n;")):
        path = musicxml(tmp_path, [text])
        text = path.read_text().replace("<score-partwise", entity, 1)
        path.write_bytes(text.replace("UTF-8", encoding).encode(encoding))
        with pytest.raises(MusicError, match=f"^{re.escape(reason)}$"):
            read_score(path)


@with_music21
def test_a_chord_symbol_with_a_thousand_degrees(tmp_path):
    assert len(read_score(musicxml(tmp_path, [degrees(5)])).ticks) == 4
    with pytest.raises(MusicError, match=r"^a chord symbol with 1,000 degrees$"):
        read_score(musicxml(tmp_path, [degrees(1000)]))


@with_music21
def test_bars_of_abc_that_are_long_but_no_fault(tmp_path):
    """Grace notes and tuplets count as long as they sound; a tune may have no bar lines."""
    for music, notes in (
        ("CDEF|" + "{" + "c" * 300 + "}C4|", 5),
        ("CDEF|" + "(3CDE" * 15 + "|", 49),
        ("C" * 200 + "\n", 200),
    ):
        path = tmp_path / "a.abc"
        path.write_text(TUNE.replace("CDEF|", music))
        assert len(read_score(path).ticks) == notes


@with_music21
@pytest.mark.parametrize("number", ["-1", "0", "1e-300", "nan", "many"])
def test_divisions_that_cannot_be(tmp_path, number):
    text = meter().replace(f"<divisions>{DIVISIONS}<", f"<divisions>{number}<") + bar(60)
    with pytest.raises(MusicError, match=r"^damaged: |^a note before the beginning$"):
        read_score(musicxml(tmp_path, [text]))


def onsets_of_partitura(path):
    """(tick, pitch) pairs. partitura does not play repeats, and keeps grace notes apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = partitura.load_musicxml(path).parts
    onsets = set()
    for part in parts:
        for one in part.notes_tied:
            if not isinstance(one, partitura.score.GraceNote):
                quarters = part.quarter_map(one.start.t) - part.quarter_map(part.first_point.t)
                onsets.add((int(np.floor(24 * quarters + 0.5 + 1e-6)), one.midi_pitch))
    return sorted(onsets)


def assert_as_partitura(path):
    piece = read_score(path)
    onsets = list(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True))
    assert onsets == onsets_of_partitura(path)


@with_music21
@pytest.mark.skipif(partitura is None, reason="partitura not installed")
def test_partitura_reads_the_same(tmp_path):
    repeat = '<barline location="right"><repeat direction="backward"/></barline>'
    back = f"<backup><duration>{4 * QUARTER}</duration></backup>"
    upper = [
        meter() + note(62, 0) + note(60, QUARTER) + note(64, QUARTER, chord=True),
        bar(60) + back + note(48, 4 * QUARTER, START) + repeat,
        bar(67) + back + note(48, 4 * QUARTER, STOP),
        note(None, 3 * QUARTER) + note(70, 160) + note(72, 160) + note(74, 160),
    ]
    assert_as_partitura(musicxml(tmp_path, upper))
    lower = [meter() + note(36, QUARTER), bar(40), bar(41, 3), bar(30, 1)]
    assert_as_partitura(musicxml(tmp_path, upper, lower))


@with_music21
@pytest.mark.skipif(partitura is None, reason="partitura not installed")
@pytest.mark.parametrize("work", ["Bach/bwv277", "Clara Schumann/polonaise_op1n1", "Mozart/k155"])
def test_partitura_reads_real_scores_the_same(work):
    items = default_corpus.find_works(default_corpus.scores_folder())
    assert_as_partitura(next(path for _, name, path in items if name.startswith(work)))


@with_music21
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.musicxml", b"", "empty file"),
        (
            "broken.musicxml",
            b'<?xml version="1.0"?><score-partwise><part-li',
            "damaged: unclosed token: line 1",
        ),
        ("broken.mxl", b"PK\x03\x04 and so on", "damaged: "),
        ("page.xml", b"<html><body>404</body></html>", "no notes|damaged"),
        ("list.txt", b"not a score", "not a kind of score"),
        ("meter.abc", b"X:1\nM:often\nK:C\nC4|\n", r"damaged: reading it fails \(ValueError\)$"),
        ("rests.abc", b"X:1\nM:4/4\nL:1/4\nK:C\nz4|z4|]\n", "no notes"),
        ("tunes.abc", b"X:1\nL:1/4\nK:C\nC4|\n\nX:2\nL:1/4\nK:C\nD4|\n", "holds 2 separate pieces"),
        ("kern.krn", b"**kern\n*M4/4\n4q$%\n", "no notes|damaged"),
    ],
)
def test_invalid_scores_give_a_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MusicError, match=reason) as caught:
        read_score(tmp_path / name)
    assert "\n" not in str(caught.value)


@with_music21
def test_a_missing_score(tmp_path):
    with pytest.raises(MusicError, match="cannot be read: No such file"):
        read_score(tmp_path / "none.musicxml")
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(MusicError, match="cannot be read: Is a directory"):
        read_score(tmp_path / "folder.xml")


def python(code, *arguments, **variables):
    """Run code in a fresh interpreter, with other environment variables."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | variables,
    )


@with_music21
def test_reading_prints_nothing_and_leaves_no_files(tmp_path):
    # music21 warns about an unknown type of chord and prints a message about a wrong beam.
    odd = "<harmony><root><root-step>G</root-step></root><kind>strange</kind></harmony>"
    score = musicxml(tmp_path, [meter() + odd + note(60, QUARTER)])
    wrong = tmp_path / "wrong.abc"
    wrong.write_text("X:1\nM:4/4\nL:1/8\nK:C\nCD(3EF|\n")
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    code = (
        "import sys; from tinyembed.music.scores import read_score\n"
        "for path in sys.argv[1:]: read_score(path)"
    )
    done = python(
        code, score, wrong, HOME=str(home), TMPDIR=str(scratch), MPLCONFIGDIR=str(tmp_path)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [*home.iterdir(), *scratch.iterdir()] == []


@with_music21
@pytest.mark.skipif(os.name == "nt", reason="music21 keeps its settings elsewhere there")
def test_damaged_settings_of_music21(tmp_path):
    (tmp_path / ".music21rc").write_text("<settings")
    code = "from tinyembed.music.scores import load_music21; load_music21()"
    done = python(code, HOME=str(tmp_path))
    assert "InputError: music21 does not start: " in done.stderr
    assert ".music21rc" in done.stderr


def test_without_music21(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "music21", None)
    assert exit_status(lambda: corpus_command.main([])) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert 'pip install "tinyembed[scores]"' in err and "--data" in err


@with_music21
def test_the_works_of_the_default_corpus():
    folder = default_corpus.scores_folder()
    items = default_corpus.find_works(folder)
    names = [name for _, name, _ in items]
    assert names == sorted(set(names))
    assert len({path for _, _, path in items}) == len(items) >= 150
    assert all(os.path.isfile(path) for _, _, path in items)
    stems = [os.path.splitext(path)[0] for _, _, path in items]
    assert len(set(stems)) == len(stems)  # no work in two formats
    pieces = Counter(composer for composer, _, _ in items)
    assert set(pieces) == set(default_corpus.WORKS)
    assert len(pieces) >= 5
    assert min(pieces.values()) >= 4
    for patterns in default_corpus.WORKS.values():
        assert all(any(folder.glob(pattern)) for pattern in patterns)


def shortest(folder):
    """The smallest of the default works of each composer."""
    chosen = {}
    for item in default_corpus.find_works(folder):
        if item[0] not in chosen or os.path.getsize(item[2]) < os.path.getsize(chosen[item[0]][2]):
            chosen[item[0]] = item
    return list(chosen.values())


@with_music21
def test_some_of_the_default_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))
    items = shortest(default_corpus.scores_folder())
    monkeypatch.setattr(default_corpus, "find_works", lambda folder: items)
    corpus = open_corpus(progress=False)
    assert corpus.left_out == []
    assert corpus.composers == sorted(default_corpus.WORKS)
    assert corpus.names == [name for _, name, _ in items]
    assert corpus.on_grid > 0.95
    assert "music21" in corpus.notes[0]

    def read_again(path):
        raise AssertionError(f"{path} is in the cache")

    monkeypatch.setattr(default_corpus, "read_score", read_again)
    again = open_corpus(progress=False)
    np.testing.assert_array_equal(again.ticks, corpus.ticks)
    np.testing.assert_array_equal(again.pitches, corpus.pitches)


@with_music21
def test_the_first_prelude_of_bach():
    piece = read_score(default_corpus.scores_folder() / "bach" / "bwv846.mxl")
    bar = [60, 64, 67, 72, 76, 67, 72, 76] * 2  # C E G C' E' G C' E', twice, in sixteenths
    first = piece.ticks < 96
    assert piece.pitches[first].tolist() == bar
    assert piece.ticks[first].tolist() == list(range(0, 96, 6))


def consonance(piece):
    """The share of the pairs of notes struck together that are consonant, octaves apart or not."""
    consonant = pairs = 0
    for tick in np.unique(piece.ticks):
        chord = piece.pitches[piece.ticks == tick].astype(int)
        apart = np.abs(chord[:, None] - chord)[np.triu_indices(len(chord), 1)] % 12
        consonant += np.isin(apart, [0, 3, 4, 5, 7, 8, 9]).sum()
        pairs += len(apart)
    return consonant / pairs


@with_music21
def test_scores_of_the_default_corpus_whose_parts_drifted():
    folder = default_corpus.scores_folder()
    piece = read_score(folder / "monteverdi" / "madrigal.4.2.mxl")
    assert piece.repairs == ("bars aligned across parts",)
    assert piece.n_beats == 240  # 60 bars of four
    assert consonance(piece) > 0.95  # 0.72 with the parts adrift
    finale = read_score(folder / "beethoven" / "opus18no1" / "movement4.mxl", any_meter=True)
    assert finale.repairs == ("bars aligned across parts",)
    assert 760 in finale.ticks // 24  # the last of 381 bars of two
    assert finale.n_beats == 761


@with_music21
def test_a_tie_of_the_default_corpus_that_begins_nowhere():
    piece = read_score(default_corpus.scores_folder() / "bach" / "bwv362.mxl")
    assert 58 in piece.pitches[piece.ticks == 74 * 24]
    assert piece.repairs == ()


def test_music21_without_its_scores(tmp_path, monkeypatch):
    monkeypatch.setattr(default_corpus, "scores_folder", lambda: tmp_path)
    monkeypatch.setattr(default_corpus.metadata, "version", lambda name: "9.1.0")
    with pytest.raises(InputError, match="without its scores"):
        open_corpus()


def test_a_folder_of_midi_replaces_the_default_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    for name in ("Alpha/a", "Alpha/b", "Beta/a"):
        write_midi(tmp_path / "music" / f"{name}.mid", [(0, 480, 60)], meter=(6, 8))
    corpus = open_corpus(str(tmp_path / "music"), any_meter=True, progress=False)
    assert isinstance(corpus, Corpus)
    assert corpus.composers == ["Alpha", "Beta"]
    assert corpus.n_pieces == 3
