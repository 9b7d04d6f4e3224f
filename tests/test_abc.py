"""ABC as it is found: old encodings, and repeat signs right after a note."""

import pytest

from tinyembed.errors import MusicError
from tinyembed.music.abc import denominators, readable_abc
from tinyembed.music.scores import read_score

with_music21 = pytest.mark.peer("music21")
HEADER = "X:1\nT:Tune\nM:4/4\nL:1/4\nK:C\n"
SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


def heard(folder, text, encoding="utf-8"):
    """(beat, pitch) pairs."""
    (folder / "tune.abc").write_bytes(text.encode(encoding))
    piece = read_score(folder / "tune.abc")
    return list(zip((piece.ticks / 24).tolist(), piece.pitches.tolist(), strict=True))


@with_music21
@pytest.mark.parametrize("tight", ["GABG|FEDA::BABd|GFED:|", "|:GABG|FEDA::\nBABd|GFED:|"])
def test_a_repeat_right_after_a_note(tmp_path, tight):
    spaced = tight.replace("A::", "A ::").replace("D:|", "D :|")
    found = heard(tmp_path, HEADER + tight)
    assert found == heard(tmp_path, HEADER + spaced)
    pitches = [67, 69, 71, 67, 65, 64, 62, 69, 71, 69, 71, 74, 67, 65, 64, 62]
    assert found == list(zip(map(float, range(16)), pitches, strict=True))


@with_music21
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, line_end):
    text = (HEADER + "C:Antonín Dvo\xf8\xe1k\nK:C\nCDEF|\nw:\xe9-t\xe9\nGABc|\n").replace(
        "\n", line_end
    )
    assert [pitch for _, pitch in heard(tmp_path, text, encoding)] == SCALE


def test_only_what_music21_cannot_read_is_changed():
    same = ["X:1", "w:A:b", "%A::", "+:A::", "|:CDEF:|", "(3:2:2CDE", "[CEG]c:|", "", "C |: D"]
    assert readable_abc("\n".join(same)) == "\n".join(same).replace("F:|", "F :|")
    assert readable_abc("CD::EF:||:G,A':|") == "CD ::EF :||:G,A':|"
    assert readable_abc("CD|[K:G]EF|[r:a:]G") == "CD|\nK:G\nEF|[r:a:]G"


@with_music21
def test_fields_within_the_music(tmp_path):
    found = heard(tmp_path, HEADER + "CDEF|[K:G]GABc|[L:1/8]cF:|\n")
    assert found[:8] == list(zip(map(float, range(8)), SCALE, strict=True))
    assert found[8:] == [(8.0, 72), (8.5, 66)]


@with_music21
@pytest.mark.parametrize("line", ["V:{}\n{}\n", "[V:{}]{}\n", "[V: {} clef=bass] {}\n"])
def test_voices_in_turn(tmp_path, line):
    """Written line by line, as in print: each voice goes on where it stopped."""
    passages = [("1", "CDEF|"), ("2", "C,D,E,F,|"), ("1", "GABc|"), ("2", "G,A,B,C|")]
    for header in (HEADER, "X:1\nM:4/4\nL:1/4\nV:1\nV:2\nK:C\n"):
        found = heard(tmp_path, header + "".join(line.format(*passage) for passage in passages))
        both = [(float(i), pitch - down) for i, pitch in enumerate(SCALE) for down in (12, 0)]
        assert found == both


@with_music21
def test_a_later_meter(tmp_path):
    assert denominators("M:4/4\nM: 6 / 8\nT:M:3/2\nM:C\n") == {4, 8}
    for change in ("\nM:6/8\n", "[M:6/8]"):
        with pytest.raises(MusicError, match="counts in 1/8"):
            heard(tmp_path, HEADER + "CDEF|" + change + "GAB|\n")


@with_music21
def test_voices_whose_bars_drift(tmp_path):
    """The second voice lacks a note in its first bar."""
    text = HEADER + "V:1\nCDEF|GABc|\nV:2\nC,D,E,|G,A,B,C|\n"
    found = heard(tmp_path, text)
    assert (4.0, 55) in found and (4.0, 67) in found


@with_music21
@pytest.mark.parametrize("tempo", ["1/4=0", "0/4=60", "1/4=1e-300"])
def test_a_tempo_of_zero(tmp_path, tempo):
    assert len(heard(tmp_path, f"X:1\nM:4/4\nL:1/4\nQ:{tempo}\nK:C\nCDEF|\n")) == 4


@with_music21
def test_cases(shared_cases):
    folder = shared_cases / "16-abc"
    assert read_score(folder / "latin1.abc").pitches.tolist() == SCALE
    tight, spaced = (read_score(folder / f"repeat-{kind}.abc") for kind in ("tight", "spaced"))
    assert tight.ticks.tolist() == spaced.ticks.tolist() == [24 * beat for beat in range(16)]
    assert tight.pitches.tolist() == spaced.pitches.tolist()
    with pytest.raises(MusicError, match="2 separate pieces"):
        read_score(folder / "two-tunes.abc")
