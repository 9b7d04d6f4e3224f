"""Humdrum **kern: every note of every spine at its time, or a refusal that names the line."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.errors import MusicError
from tinyembed.music.kern import read_kern
from tinyembed.music.kern_count import count_kern
from tinyembed.music.notes import Notes
from tinyembed.music.scores import read_score

with_music21 = pytest.mark.peer("music21")


def kern(*rows):
    """A kern file. Fields are separated by spaces here, and notes of a chord by commas."""
    return "".join(row.replace(" ", "\t").replace(",", " ") + "\n" for row in rows)


def onsets(text):
    notes = read_kern(text)
    return sorted(zip(notes.times, notes.pitches, strict=True))


def at(*times_and_pitches):
    """(onset, pitch) pairs. times_and_pitches: a time and the pitches that begin there, ..."""
    times, pitches = times_and_pitches[::2], times_and_pitches[1::2]
    together = zip(times, pitches, strict=True)
    return sorted((Fraction(time), pitch) for time, chord in together for pitch in chord)


def test_durations_and_pitches():
    rows = ["**kern", "4c", "8.cc#", "16BB-", "12e", "3%2ff##", "0CC", "00C--", "2..an", "*-"]
    times = [0, 1, Fraction(7, 4), 2, Fraction(7, 3), 5, 13, 29]
    pitches = [60, 73, 46, 64, 79, 36, 46, 69]
    assert onsets(kern(*rows)) == list(zip(times, pitches, strict=True))
    assert read_kern(kern(*rows)).end == 29 + Fraction(7, 2)


def test_chords_ties_rests_and_grace_notes():
    rows = ["**kern **kern", "*M3/4 *M3/4", "=1 =1", "[2C 4c", ". gqq", ". 4e,4g", "4C] 4r"]
    rows += ["=2 =2", "4D 12d", ". 12e", ". 12f", "2E [2g,2R"]
    rows += ["=3 =3", "2.r 4g_,4b", ". 4g],4rff", ". 4a", "== ==", "*- *-"]
    third = Fraction(1, 3)
    expected = at(0, [48, 60], 1, [64, 67], 3, [50, 62], 3 + third, [64], 4 - third, [65])
    assert onsets(kern(*rows)) == sorted(expected + at(4, [52, 67], 6, [71], 8, [69]))


THREE_WAYS = [
    "**kern **kern", "*M4/4 *M4/4", "=1 =1", "* *^", "* * *^", "4CC 4c 4e 4g", "4DD 4d 4f 4a",
    "4EE 4e 4g 4b", "4FF 4f 4a 4cc", "* *v *v *v", "=2 =2", "4GG 4dd", "4AA 4ee", "4BB 4ff",
    "4C 4gg", "== ==", "*- *-",
]  # fmt: skip


def test_three_voices_merge():
    found = onsets(kern(*THREE_WAYS))
    assert len(found) == 24
    assert [pitch for time, pitch in found if time >= 4 and pitch > 60] == [74, 76, 77, 79]
    assert [time for time, pitch in found if pitch in (74, 76, 77, 79)] == [4, 5, 6, 7]


def test_both_staves_split_and_merge_in_the_same_rows():
    rows = ["**kern **kern", "*^ *^", "4C 4E 4c 4e", "4D 4F 4d 4f", "*v *v *v *v", "2G 2g", "*- *-"]
    expected = at(0, [48, 52, 60, 64], 1, [50, 53, 62, 65], 2, [55, 67])
    assert onsets(kern(*rows)) == expected


def test_a_voice_goes_on_over_a_merge():
    rows = ["**kern **kern", "* *^", "2C 4f 2.A", "* *v *v", ". 4g", "4D 4e", "2C 2c", "*- *-"]
    assert onsets(kern(*rows)) == at(0, [48, 57, 65], 1, [67], 2, [50, 64], 3, [48, 60])


def test_a_held_note_of_a_merged_voice():
    rows = ["**kern **kern", "* *^", "4C 4f 2A", "* *v *v", "4D .", "2C 2c", "*- *-"]
    assert onsets(kern(*rows)) == at(0, [48, 57, 65], 1, [50], 2, [48, 60])


def test_spines_are_added_exchanged_renamed_and_ended():
    rows = ["**kern **dynam", "4c f", "*x *x", ". 4d", "* *+", "* * **kern", "p 4e 4g", "*- * *"]
    rows += ["2f 2a", "*- *-"]
    assert onsets(kern(*rows)) == at(0, [60], 1, [62], 2, [64, 67], 3, [65, 69])


def test_other_spines_comments_and_line_ends():
    text = "!!!COM: Anon\n" + kern(
        "**dynam **kern **text", "f 4c la-", "!x !y !z", "p . .", ". 4d,4f a"
    )
    expected = at(0, [60], 1, [62, 65])
    for variant in (text, text.replace("\n", "\r\n"), "\ufeff" + text, text + "\n\n!! end\n"):
        assert onsets(variant) == expected


def test_tempo_and_meter():
    notes = read_kern(
        kern("**kern **text", "*M4/4 *M3/8", "4c a", "*MM120 *MM7", "*M3+2/8 *", "4d b")
    )
    assert notes.denominators == {4, 8}
    assert notes.tempi == [(1.0, 0.5)]
    odd = read_kern(kern("**kern", "*MM0", "*MM[Allegro]", "4c"))
    assert odd.tempi == [] and odd.repairs == {"an impossible tempo"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["**kern **kern", "4c 4d", "4e"], "line 3: 1 fields in 2 spines"),
        (["**kern **kern", "2c 4d", "2e 4f"], "line 3: 2e begins before the note above it ends"),
        (["**kern **kern", "4c 2d", ". 4f"], "line 3: 4f begins before the note above it ends"),
        (["**kern **kern", "4c 4d", "4e ."], "line 3: spine 2 has neither a note nor a rest"),
        (["**kern **kern", "4c 4d", "4e 8qf", ". 4f"], "line 3: spine 2 has neither a note nor"),
        (["**kern **kern", "2c 4d", "=2 =2"], "line 3: the spines do not reach this bar line"),
        (["**kern", "4c", "e"], "line 3: e has no duration"),
        (["**kern", "4%0c"], "line 2: 4%0c has no duration"),
        (["**kern", "4x"], "line 2: 4x has no pitch"),
        (["**kern", "4ce"], "line 2: 4ce has no pitch"),
        (["**kern", "4c", "*-", "4d"], "line 4: data before any spine begins"),
        (["**kern", "4c", "*-", "**kern", "4d", "*-"], "line 4: another piece begins here"),
        (["4c"], "line 1: data before any spine begins"),
        (["**kern", "9" * 5000 + "c"], "line 2: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_names_the_line(rows, reason):
    with pytest.raises(MusicError, match="^" + reason.replace("*", r"\*")):
        read_kern(kern(*rows))


def test_files(tmp_path):
    """Latin-1, an ending in capitals, and files without notes; music21 is not needed."""
    path = tmp_path / "score.KRN"
    path.write_bytes("!!!COM: Dvo\xf8\xe1k\n**kern\n4c\n4d\n*-\n".encode("latin-1"))
    piece = read_score(path)
    assert (piece.ticks.tolist(), piece.pitches.tolist(), piece.n_beats) == ([0, 24], [60, 62], 2)
    for empty in ("**kern\n4r\n*-\n", "**text\nla\n*-\n", "!!!COM: Anon\n"):
        path.write_text(empty)
        with pytest.raises(MusicError, match="no notes"):
            read_score(path)
    path.write_text("**kern\n*M6/8\n4c\n*-\n")
    with pytest.raises(MusicError, match="counts in 1/8"):
        read_score(path)
    path.write_text("**kern\n" + "0" * 30 + "c\n4d\n*-\n")
    with pytest.raises(MusicError, match="absurdly long"):
        read_score(path)


DURATIONS = ["4", "8", "8.", "16", "12", "2", "6", "20", "4.", "3%2"]


def length_of(recip):
    """By a table, so not by the reader's own rule: in quarter notes."""
    known = {"8.": "3/4", "4.": "3/2", "3%2": "8/3"}
    return Fraction(known[recip]) if recip in known else Fraction(4, int(recip))


def name_of(pitch):
    letter, *accidental = "c c# d e- e f f# g a- a b- b".split()[pitch % 12]
    octave = pitch // 12 - 5
    return (letter * (octave + 1) if octave >= 0 else letter.upper() * -octave) + "".join(
        accidental
    )


@st.composite
def voice(draw, length):
    """Notes that fill a length: ([(start, token)], [(onset, pitch)])."""
    rows, heard, now = [], [], Fraction(0)
    while now < length:
        recip = draw(st.sampled_from(DURATIONS))
        if now + length_of(recip) > length:
            left = 4 / (length - now)  # the rest of the bar, in one token
            recip = f"{left.numerator}%{left.denominator}"
            step = length - now
        else:
            step = length_of(recip)
        pitches = draw(st.lists(st.integers(24, 95), max_size=3, unique=True))
        marks = draw(st.sampled_from(["", "L", "J'", "/", "yy", "T", ";"]))
        fits = int((length - now) / step)
        pieces = draw(st.integers(1, min(3, fits))) if pitches else 1  # tied together
        for i in range(pieces):
            tie = "" if pieces == 1 else "[" if i == 0 else "]" if i == pieces - 1 else "_"
            open_, close = (tie, "") if tie == "[" else ("", tie)
            notes = [f"{open_}{recip}{name_of(p)}{marks}{close}" for p in pitches] or [recip + "r"]
            rows.append((now + i * step, " ".join(notes)))
        heard += [(now, pitch) for pitch in pitches]
        now += pieces * step
    return rows, heard


@st.composite
def kern_files(draw, most_voices=3):
    """A file of one to three staves whose voices split and merge; its text and its onsets."""
    n_staves = draw(st.integers(1, 3))
    dynamics = draw(st.integers(0, n_staves))  # before which staff
    voices, heard, start = [1] * n_staves, [], Fraction(0)

    def row(*fields):
        """fields: per staff, the list of its fields. The column of dynamics goes on."""
        filler = {"*": "*", "=": "=", "!": "!"}.get(fields[0][0][0], "p" if start else ".")
        flat = [list(one) for one in fields]
        flat.insert(dynamics, [filler])
        return "\t".join(field for one in flat for field in one)

    header = [["**kern"]] * n_staves
    header = [*header[:dynamics], ["**dynam"], *header[dynamics:]]
    text = ["\t".join(field for one in header for field in one)]
    for _ in range(draw(st.integers(1, 4))):
        for staff in range(n_staves):
            if voices[staff] > 1 and draw(st.booleans()):
                text.append(row(*(["*v" if s == staff else "*"] * n for s, n in enumerate(voices))))
                voices[staff] = 1
            while voices[staff] < most_voices and draw(st.integers(0, 2)) == 0:
                which = draw(st.integers(0, voices[staff] - 1))
                stars = [["*"] * n for n in voices]
                stars[staff][which] = "*^"
                text.append(row(*stars))
                voices[staff] += 1
        length = Fraction(draw(st.integers(1, 4)))
        columns = [[draw(voice(length)) for _ in range(n)] for n in voices]
        flat = [one for staff in columns for one in staff]
        for moment in sorted({time for rows, _ in flat for time, _ in rows}):
            fields = [[dict(rows).get(moment, ".") for rows, _ in staff] for staff in columns]
            if draw(st.integers(0, 4)) == 0:  # a grace note before
                grace = [
                    [draw(st.sampled_from(["8qg", "ccq"])) if f != "." else f for f in one]
                    for one in fields
                ]
                text.append(row(*grace))
            if draw(st.integers(0, 4)) == 0:
                text.append("!! a comment")
            text.append(row(*fields))
        heard += [(start + time, pitch) for _, onsets in flat for time, pitch in onsets]
        start += length
        text.append(row(*(["=1"] * n for n in voices)))
    return "\n".join(text), sorted(heard), start


@settings(deadline=None, max_examples=60)
@given(kern_files())
def test_any_voices(drawn):
    text, expected, end = drawn
    assert onsets(text) == expected
    assert read_kern(text).end == end


@settings(deadline=None, max_examples=40)
@given(kern_files(), st.data())
def test_a_lost_field_is_noticed(drawn, data):
    """Without a note or rest, its spine no longer adds up to what the others do."""
    lines = [line.split("\t") for line in drawn[0].split("\n")]
    places = [
        (i, j)
        for i, fields in enumerate(lines)
        for j, field in enumerate(fields)
        if field.lstrip("[")[0].isdigit() and "q" not in field and len(fields) > 2
    ]
    if places:
        i, j = data.draw(st.sampled_from(places))
        lines[i][j] = "."
        with pytest.raises(MusicError, match=r"^line \d+: "):
            read_kern("\n".join("\t".join(line) for line in lines))


def read_by_music21(source):
    """The onsets by another reader, which is right where no spine splits."""
    from music21 import converter

    from tinyembed.music.streams import notes_of

    notes = notes_of(converter.parseData(source, format="humdrum"))
    return sorted(zip(notes.times, notes.pitches, strict=True))


@with_music21
@settings(deadline=None, max_examples=15)
@given(kern_files(most_voices=1))
def test_without_splits_music21_reads_the_same(drawn):
    text, expected, _ = drawn
    if expected:
        assert read_by_music21(text + "\n") == expected


@with_music21
def test_real_scores_as_music21_reads_them():
    from tinyembed.music.default_corpus import scores_folder

    paths = sorted(scores_folder().rglob("*.krn"), key=lambda path: path.stat().st_size)
    for path in paths[:5]:
        text = path.read_text("latin-1")
        assert onsets(text) == read_by_music21(text)


def test_cases(shared_cases):
    folder = shared_cases / "17-kern-splits"
    count = {path.stem: len(onsets(path.read_text())) for path in folder.glob("*.krn")}
    assert count == {
        "three-way-merge": 24, "split-merge-split": 20, "split-over-bar": 20,
        "pair-merges-same-line": 12,
    }  # fmt: skip
    assert onsets((folder / "three-way-merge.krn").read_text()) == onsets(kern(*THREE_WAYS))


def test_a_second_count_guards_every_file(monkeypatch):
    text = kern("**kern **kern", "4C 4c", "4D 4d,4f", "*- *-")
    assert count_kern(text) == (5, 2)
    add = Notes.add
    monkeypatch.setattr(
        Notes, "add", lambda notes, time, pitch: pitch != 62 and add(notes, time, pitch)
    )
    with pytest.raises(MusicError, match="4 notes and 2 beats were read, but its spines hold 5"):
        read_kern(text)
