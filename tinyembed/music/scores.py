"""Read a score into a `Piece`: MusicXML or ABC with music21 (extra `scores`), or Humdrum.

A score and a MIDI file of the same music give the same piece. For this:

- a tied note sounds once, where the tie begins;
- a grace note has no duration of its own. On the tick of its main note the two would form a chord
  that nobody wrote, so it is left out;
- chord symbols over the staff and unpitched percussion are not notes;
- transposing instruments are read at sounding pitch;
- repeats are not played again: they would only add the same units twice;
- bar n begins at the same time in every part (measures.py).
"""

import io
import warnings
import zipfile
from contextlib import contextmanager, redirect_stderr
from importlib import util
from pathlib import Path
from xml.etree.ElementTree import ParseError

from tinyembed.errors import InputError, MusicError
from tinyembed.music.abc import denominators, readable_abc
from tinyembed.music.kern import read_kern
from tinyembed.music.limits import check_abc, check_abc_bars, check_xml
from tinyembed.music.streams import notes_of

NO_MUSIC21 = (
    'scores are read by music21, which is not installed: pip install "tinyembed[scores]", '
    "or pass a folder of MIDI files with --data"
)
LONGEST_REASON = 150  # characters


def read_score(path, any_meter=False):
    """Read a score into a `Piece`, all its parts together.

    path: a Humdrum file (.krn), or one that music21 can read: .xml, .musicxml, .mxl, .abc, ...
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, if the file is not a usable piece, and InputError
    if music21 is needed and not installed.
    """
    reason = ""
    with _quiet():
        try:
            return _notes(path).piece(any_meter)
        except MusicError as error:
            reason = str(error)
        except (InputError, MemoryError):  # these say nothing about the file
            raise
        except Exception as error:  # music21's parsers raise many unrelated types
            reason = _damaged(error)
    reason = " ".join(reason.split())
    if len(reason) > LONGEST_REASON:  # it quotes the file
        reason = f"{reason[:LONGEST_REASON]}..."
    raise MusicError(reason)  # here, outside: the caught exception would keep a file open


def require_music21(path):
    """Raise InputError if this score needs music21, which is not installed. Does not import it."""
    if Path(path).suffix.lower() != ".krn" and util.find_spec("music21") is None:
        raise InputError(NO_MUSIC21)


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


def _damaged(error):
    """The reason why a score cannot be read, for a user.

    What music21 and the readers of XML and of archives say about a file has sense; an error from
    within them, such as "'NoneType' object is not iterable", has none.
    """
    of_file = isinstance(error, (ParseError, zipfile.BadZipFile))
    if str(error) and (of_file or type(error).__module__.startswith("music21")):
        return f"damaged: {error}"
    return f"damaged: reading it fails ({type(error).__name__})"


def _notes(path):
    """Raises MusicError, InputError as `load_music21` does, or whatever music21 raises."""
    suffix = Path(path).suffix.lower()
    data = _bytes_of(path)
    if suffix == ".krn":
        return read_kern(_text(data))
    load_music21()
    score = _abc(_text(data)) if suffix == ".abc" else _musicxml(path, suffix, data)
    score.toSoundingPitch(inPlace=True)
    notes = notes_of(score)
    if suffix == ".abc":
        notes.denominators |= denominators(readable_abc(_text(data)))
    return notes


def _abc(text):
    """The music21 stream of a tune."""
    from music21 import abcFormat

    text = readable_abc(text)
    check_abc(text)
    handler = abcFormat.ABCFile().readstr(text)
    check_abc_bars(handler.tokens)
    return abcFormat.translate.abcToStreamScore(handler)


def _musicxml(path, suffix, data):
    """The music21 stream of a score in MusicXML, or in another notation that music21 reads."""
    from music21 import converter, stream

    reader = converter.Converter()
    try:
        if suffix == ".mxl" and zipfile.is_zipfile(path):
            text = converter.ArchiveManager(path).getData()
            check_xml(text)
            reader.parseData(text, format="musicxml")
        else:
            if suffix in (".xml", ".musicxml", ".mxl"):  # which need not be packed
                check_xml(data)
            # `converter.parse` would write a pickle of every score to a folder of music21's, and
            # read that pickle next time.
            reader.parseFileNoPickle(path)
    except converter.ConverterFileException:
        raise MusicError("not a kind of score that music21 reads") from None
    if isinstance(reader.stream, stream.Opus):
        raise MusicError(f"holds {len(reader.stream.scores)} separate pieces")
    return reader.stream


def _bytes_of(path):
    """The bytes of a file. Raises MusicError if it cannot be read or is empty."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise MusicError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise MusicError("empty file")
    return data


def _text(data):
    """Text in UTF-8 or, as in many older files, in Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@contextmanager
def _quiet():
    """Suppress music21's warnings and messages about what it cannot read and skips."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
