"""One score becomes a `Piece`: MusicXML, Humdrum or ABC, read by music21 (extra `scores`).

A score and a MIDI file of the same music become the same piece, so what a score adds to the
notes is settled here:

- a tied note sounds once, where the tie begins;
- a grace note has no time of its own. On its main note's tick the two would be a chord that
  nobody wrote, so it is left out;
- chord symbols over the staff and unpitched percussion are no notes;
- instruments that transpose are taken at the pitch that sounds;
- repeats are not played again: they would only add the same units twice.
"""

import io
import math
import warnings
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from fractions import Fraction

from tinyembed.errors import InputError, MusicError
from tinyembed.music.midi import GRID_TOLERANCE, LONGEST_PIECE, TICKS_PER_BEAT, Piece

NO_MUSIC21 = (
    'scores are read by music21, which is not installed: pip install "tinyembed[scores]", '
    "or pass a folder of MIDI files with --data"
)


def read_score(path, any_meter=False):
    """Read a score into a `Piece`, all its parts together.

    path: a file that music21 can read: .xml, .musicxml, .mxl, .krn, .abc, ...
    any_meter: also take a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, for anything that is not a readable piece, and
    InputError where music21 is not installed.
    """
    load_music21()
    from music21 import harmony, meter, note, tempo

    times, pitches, tempi, denominators, end = [], [], [], set(), Fraction(0)
    for offset, element in _elements(_parse(path)):
        if isinstance(element, meter.TimeSignature):
            denominators.add(element.denominator)
        elif isinstance(element, tempo.MetronomeMark):
            tempi += [(float(offset), 60 / pace) for pace in _quarters_a_minute(element)]
        elif isinstance(element, note.NotRest) and not isinstance(element, harmony.Harmony):
            if element.duration.isGrace:
                continue
            for one in getattr(element, "notes", (element,)):  # the notes of a chord, or itself
                if not isinstance(one, note.Note):
                    continue  # unpitched
                end = max(end, offset + Fraction(element.quarterLength))
                if one.tie is None or one.tie.type not in ("continue", "stop"):
                    times.append(offset)
                    pitches.append(one.pitch.midi)

    other = sorted(denominators - {4})
    if other and not any_meter:
        beats = ", ".join(f"1/{d}" for d in other)
        raise MusicError(f"a time signature counts in {beats}, not in quarter notes")
    if end > LONGEST_PIECE:
        raise MusicError(f"absurdly long: {math.ceil(end):,} beats")

    # Quarters are exact fractions of any denominator: round them here, so that the times handed
    # on are ticks already.
    scaled = [time * TICKS_PER_BEAT for time in times]
    ticks = [math.floor(time + Fraction(1, 2)) for time in scaled]  # rounds half up
    piece = Piece.from_notes(
        ticks, pitches, TICKS_PER_BEAT, math.ceil(end * TICKS_PER_BEAT), sorted(tempi)
    )
    off = [abs(time - tick) for time, tick in zip(scaled, ticks, strict=True)]
    on_grid = sum(GRID_TOLERANCE * distance <= 1 for distance in off) / len(off)
    return replace(piece, on_grid=on_grid)


def load_music21():
    """Import and return music21, or say how to get it. It prints advice at its first import."""
    try:
        with _quiet():
            import music21
    except ModuleNotFoundError as error:
        raise InputError(NO_MUSIC21) from error
    except Exception as error:  # such as its file of settings, which may be damaged
        raise InputError(f"music21 does not start: {error}") from error
    return music21


def _elements(stream, start=Fraction(0)):
    """All that a music21 stream and the streams inside it hold, each with its offset in quarters.

    Offsets are floats, or fractions where no float is exact; their sum would be a float again,
    so they are added as fractions.
    """
    for element in stream:
        offset = start + Fraction(stream.elementOffset(element))
        if element.isStream:
            yield from _elements(element, offset)
        else:
            yield offset, element


def _quarters_a_minute(mark):
    """[the pace that a tempo mark states], [] where it says "Allegro" and leaves it at that."""
    if mark.numberImplicit and mark.numberSounding is None:
        return []  # music21 would guess a number from the word
    pace = mark.getQuarterBPM()
    return [pace] if pace and pace > 0 else []


def _parse(path):
    """A music21 stream at sounding pitch; every way of being broken is a MusicError."""
    from music21 import converter, stream

    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise MusicError("empty file")
    except OSError as error:
        raise MusicError(f"cannot be read: {error.strerror or error}") from error
    with _quiet():
        try:
            # The usual `converter.parse` would keep a pickle of every score in a folder of its
            # own, and read an old one next time.
            reader = converter.Converter()
            reader.parseFileNoPickle(path)
            if not isinstance(reader.stream, stream.Opus):
                reader.stream.toSoundingPitch(inPlace=True)
                return reader.stream
            reason = f"holds {len(reader.stream.scores)} separate pieces"
        except converter.ConverterFileException:
            reason = "not a kind of score that music21 reads"
        except Exception as error:  # each of music21's parsers fails in its own way
            text = " ".join(f"{type(error).__name__}: {error}".split())
            reason = f"damaged: {text[:120]}".rstrip(": ")
    raise MusicError(reason)  # out here, where the error and the file it kept open are gone


@contextmanager
def _quiet():
    """music21 warns in two ways about what it cannot make out, and reads on without it."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
