"""From a music21 stream to `Notes`: what sounds, and when, with its measures aligned."""

from fractions import Fraction

from tinyembed.errors import MusicError
from tinyembed.music.measures import Bar, align
from tinyembed.music.notes import Notes
from tinyembed.music.piece import TICKS_PER_BEAT

ALIGNED, SHORTENED = "bars aligned across parts", "bars of a wrong length"


def notes_of(score) -> Notes:
    """The notes of a music21 stream, all its parts together.

    Imported by scores.py, which has loaded music21. Raises MusicError if the parts do not fit
    together; music21 itself may raise any exception.
    """
    from music21 import harmony, meter, note, tempo

    elements, repairs = _aligned(score)
    notes, sounding = Notes(repairs=repairs), []
    for time, moved, element in elements:
        if isinstance(element, meter.TimeSignature):
            notes.denominators.add(element.denominator)
        elif isinstance(element, tempo.MetronomeMark):
            for quarters_per_minute in _quarters_per_minute(element):
                notes.add_tempo(time, quarters_per_minute)
        elif isinstance(element, note.NotRest) and not isinstance(element, harmony.Harmony):
            if element.duration.isGrace:
                continue
            length = Fraction(element.quarterLength)
            for one in getattr(element, "notes", (element,)):  # the notes of a chord, or itself
                if isinstance(one, note.Note):  # else it is unpitched
                    notes.end = max(notes.end, time + length)
                    tie = one.tie.type if one.tie else ""
                    sounding.append((time, time - moved, length, one.pitch.midi, tie))
    for time, pitch in _onsets(sounding):
        notes.add(time, pitch)
    return notes


def _onsets(sounding):
    """(time, pitch) of each note that does not continue another.

    sounding: list of (time, time before the bars were aligned, length, pitch, tie); a tie is
    "start", "continue", "stop" or "". A note whose tie begins nowhere was struck, so it counts.
    """
    held = set()  # (pitch, which of the two times, tick) where tied notes end
    for time, before, length, pitch, tie in sorted(sounding, key=lambda note: note[0]):
        continues = tie in ("continue", "stop") and any(
            (pitch, which, round(begin * TICKS_PER_BEAT) + near) in held
            for which, begin in enumerate((time, before))
            for near in (-1, 0, 1)  # lengths in a file may be rounded
        )
        if not continues:
            yield time, pitch
        if tie in ("start", "continue"):
            for which, begin in enumerate((time, before)):
                held.add((pitch, which, round((begin + length) * TICKS_PER_BEAT)))


def _aligned(score):
    """All elements of a score, and the set of repairs.

    The elements are a list of (time, how far it was moved, element).
    """
    from music21 import note, stream

    parts, contents, elements, placed = [], [], [], []
    for part in score if isinstance(score, stream.Score) else [score]:
        at = Fraction(score.elementOffset(part)) if part is not score else Fraction(0)
        if not part.isStream:
            elements.append((at, Fraction(0), part))
            continue
        bars, inside, full = [], [], None
        for element in part:
            start = at + Fraction(part.elementOffset(element))
            if isinstance(element, stream.Measure):
                inside.append(list(_elements(element)))
                full = _full_length(inside[-1], full)
                bars.append(_bar(element, start, inside[-1], full))
            elif element.isStream:
                elements += [(time, Fraction(0), one) for time, one in _elements(element, start)]
            else:
                elements.append((start, Fraction(0), element))
        if bars:
            parts.append(bars)
            contents.append(inside)

    repairs = set()
    for bars, starts, inside in zip(parts, align(parts), contents, strict=True):
        for bar, start, content in zip(bars, starts, inside, strict=True):
            moved = start - bar.start
            if moved:
                repairs.add(ALIGNED if len(parts) > 1 else SHORTENED)
            placed += [(start + time, moved, element) for time, element in content]
    if repairs and any(isinstance(element, note.NotRest) for _, _, element in elements):
        raise MusicError("some of its parts have no measures, and the others drift apart")
    return elements + placed, repairs


def _elements(stream, start=Fraction(0)):
    """All elements of a music21 stream and its nested streams, each with its offset in quarters.

    Offsets are floats, or fractions where no float is exact. Their sum would be a float, so they
    are converted and added as fractions.
    """
    for element in stream:
        offset = start + Fraction(stream.elementOffset(element))
        if element.isStream:
            yield from _elements(element, offset)
        else:
            yield offset, element


def _full_length(content, before):
    """The length of a full bar, by its time signature or the one before. None if there is none."""
    from music21 import meter

    for time, element in content:
        if time == 0 and isinstance(element, meter.TimeSignature):
            return Fraction(element.barDuration.quarterLength)
    return before


def _bar(measure, start, content, full):
    """How far the notes and the rests of a measure reach.

    music21's own length of a measure counts all that is in it, also the end of a crescendo, and the
    rests that it puts where the file skips forward, sometimes too long. So a hidden rest does not
    stick out of a bar.
    """
    from music21 import harmony, note

    length = sounding = Fraction(0)
    for time, element in content:
        if not isinstance(element, note.GeneralNote) or isinstance(element, harmony.Harmony):
            continue
        end = time + Fraction(element.quarterLength)
        if isinstance(element, note.NotRest):
            sounding = max(sounding, end)
        elif element.hasStyleInformation and element.style.hideObjectOnPrint and full:
            end = min(end, full)
        length = max(length, end)
    return Bar((measure.number, measure.numberSuffix or ""), start, length, sounding, full)


def _quarters_per_minute(mark):
    """[the tempo that a mark states], or [] for a word alone, such as "Allegro"."""
    if mark.numberImplicit and mark.numberSounding is None:
        return []  # music21 would guess a number from the word
    try:
        quarters = mark.getQuarterBPM()
    except ArithmeticError:  # a tempo of zero
        quarters = 0
    return [] if quarters is None else [quarters]
