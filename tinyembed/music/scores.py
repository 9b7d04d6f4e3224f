"""Read a score into a `Piece`: MusicXML, Humdrum or ABC, with music21 (extra `scores`).

A score and a MIDI file of the same music give the same piece. For this:

- a tied note sounds once, where the tie begins;
- a grace note has no duration of its own. On the tick of its main note the two would form a chord
  that nobody wrote, so it is left out;
- chord symbols over the staff and unpitched percussion are not notes;
- transposing instruments are read at sounding pitch;
- repeats are not played again: they would only add the same units twice.
"""

import io
import math
import warnings
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from fractions import Fraction

from tinyembed.errors import InputError, MusicError
from tinyembed.music.piece import GRID_TOLERANCE, TICKS_PER_BEAT, Piece, check_meter

NO_MUSIC21 = (
    'scores are read by music21, which is not installed: pip install "tinyembed[scores]", '
    "or pass a folder of MIDI files with --data"
)


def read_score(path, any_meter=False):
    """Read a score into a `Piece`, all its parts together.

    path: a file that music21 can read: .xml, .musicxml, .mxl, .krn, .abc, ...
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, if the file is not a usable piece, and InputError
    if music21 is not installed.
    """
    load_music21()
    from music21 import harmony, meter, note, tempo

    times, pitches, tempi, denominators, end = [], [], [], set(), Fraction(0)
    for offset, element in _elements(_parse(path)):
        if isinstance(element, meter.TimeSignature):
            denominators.add(element.denominator)
        elif isinstance(element, tempo.MetronomeMark):
            tempi += [(float(offset), 60 / bpm) for bpm in _quarters_per_minute(element)]
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

    if not any_meter:
        check_meter(denominators)
    # Offsets are fractions with any denominator. They are rounded to ticks here, exactly.
    scaled = [time * TICKS_PER_BEAT for time in times]
    ticks = [math.floor(time + Fraction(1, 2)) for time in scaled]  # rounds half up
    end = math.ceil(end * TICKS_PER_BEAT)
    piece = Piece.from_notes(ticks, pitches, TICKS_PER_BEAT, end, tuple(sorted(tempi)))
    off = [abs(time - tick) for time, tick in zip(scaled, ticks, strict=True)]
    on_grid = sum(GRID_TOLERANCE * distance <= 1 for distance in off) / len(off)
    return replace(piece, on_grid=on_grid)


def load_music21():
    """Import and return music21, without the advice that it prints at its first import.

    Raises InputError, which says how to install it, if music21 is missing or does not start.
    """
    try:
        with _quiet():
            import music21
    except ModuleNotFoundError as error:
        raise InputError(NO_MUSIC21) from error
    except Exception as error:  # such as a damaged settings file
        raise InputError(f"music21 does not start: {error}") from error
    return music21


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


def _quarters_per_minute(mark):
    """[the tempo that a mark states], or [] for a word alone, such as "Allegro"."""
    if mark.numberImplicit and mark.numberSounding is None:
        return []  # music21 would guess a number from the word
    bpm = mark.getQuarterBPM()
    return [bpm] if bpm and bpm > 0 else []


def _parse(path):
    """A music21 stream at sounding pitch. Raises MusicError if the file is damaged in any way."""
    from music21 import converter, stream

    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise MusicError("empty file")
    except OSError as error:
        raise MusicError(f"cannot be read: {error.strerror or error}") from error
    with _quiet():
        try:
            # `converter.parse` would write a pickle of every score to a folder of music21's, and
            # read that pickle next time.
            reader = converter.Converter()
            reader.parseFileNoPickle(path)
            if not isinstance(reader.stream, stream.Opus):
                reader.stream.toSoundingPitch(inPlace=True)
                return reader.stream
            reason = f"holds {len(reader.stream.scores)} separate pieces"
        except converter.ConverterFileException:
            reason = "not a kind of score that music21 reads"
        except Exception as error:  # music21's parsers raise many unrelated types
            text = " ".join(f"{type(error).__name__}: {error}".split())
            reason = f"damaged: {text[:120]}".rstrip(": ")
    raise MusicError(reason)  # here, outside: the caught exception would keep a file open


@contextmanager
def _quiet():
    """Suppress music21's warnings and messages about what it cannot read and skips."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
