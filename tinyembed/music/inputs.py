"""Read any supported source into a `Piece`:

song.mid, song.midi            MIDI, and files with any other ending (midi.py)
.musicxml .mxl .xml .krn .abc  scores, through music21 (scores.py)
bytes, an open file, a mido.MidiFile, a Piece
"""

import io
import os
from functools import partial
from pathlib import Path

import mido

from tinyembed.errors import InputError, MusicError
from tinyembed.music.midi import Piece, read_midi
from tinyembed.music.reading import SUFFIXES, read_pieces
from tinyembed.music.scores import read_score

SCORES = (".musicxml", ".mxl", ".xml", ".krn", ".abc")


def read_music(source, any_meter=False):
    """Read one piece.

    source: the path of a MIDI file or (by its suffix) a score; the bytes of a MIDI file; an open
    binary file; a `mido.MidiFile`; or a `Piece`, which is returned unchanged.
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, if the source is not a usable piece, and
    InputError if the file does not exist or the source is none of these types.
    """
    if isinstance(source, Piece):
        return source
    read = read_midi
    if isinstance(source, (str, os.PathLike)):
        _check_exists(source)
        if Path(source).suffix.lower() in SCORES:
            read = read_score
    elif not isinstance(source, (bytes, bytearray, memoryview, mido.MidiFile)):
        source = _read_open_file(source)
    try:
        return read(source, any_meter)
    except MusicError as error:
        if "not in quarter notes" in str(error):  # the user may override this reason
            raise MusicError(f"{error}; any_meter=True, or --any-meter, takes it") from None
        raise


def read_files(paths, any_meter=False, progress=None):
    """Read many files, several at a time. Returns a list with one `Piece` per path, in order.

    A file that cannot be read does not stop the others: its element is the exception that
    `read_music` raises. progress: False for no progress bar, None for one on a terminal.
    """
    found = {}
    for n, path in enumerate(paths):
        try:
            _check_exists(path)
        except InputError as error:
            found[str(n)] = error
    items = [("", str(n), path) for n, path in enumerate(paths) if str(n) not in found]
    reader = partial(_read_file, any_meter=any_meter)
    shown = progress is not False and len(items) > 1
    pieces, failed = read_pieces(items, reader, progress=shown)
    found |= {n: piece for _, n, piece in pieces}
    found |= {n: MusicError(reason) for n, reason in failed}
    return [found[str(n)] for n in range(len(paths))]


def find_music(folder):
    """The path of every MIDI file and score in a folder, at any depth: a sorted list of str.

    Hidden files and folders are ignored. Raises InputError if none is found.
    """
    found, suffixes = [], (*SUFFIXES, *SCORES)
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in files:
            if name.lower().endswith(suffixes) and not name.startswith("."):
                found.append(os.path.join(here, name))
    if not found:
        raise InputError(f"{folder}: no MIDI file and no score in it ({', '.join(suffixes)})")
    return sorted(found)


def printable(path):
    """A path as text for a terminal, a table or JSON, with unprintable characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _check_exists(path):
    if not os.path.exists(path):
        raise InputError("no such file")
    if os.path.isdir(path):
        raise InputError("a folder, not a file")


def _read_open_file(source):
    """The bytes of an open file."""
    if not hasattr(source, "read"):
        raise InputError(
            f"music is a path, bytes, an open file, a mido.MidiFile or rolls, not "
            f"{type(source).__name__}"
        )
    if isinstance(source, io.TextIOBase):
        raise InputError('the file is open as text; use open(path, "rb")')
    try:
        return source.read()
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise MusicError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_file(path, any_meter):
    """`read_music` for `read_pieces`, which an InputError (music21 missing, say) would end."""
    try:
        return read_music(path, any_meter)
    except InputError as error:
        raise MusicError(str(error)) from error
