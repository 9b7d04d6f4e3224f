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
from tinyembed.music.midi import read_midi
from tinyembed.music.piece import Piece
from tinyembed.music.reading import SUFFIXES, files_below, read_pieces
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
        if not os.path.exists(source):
            raise InputError("no such file")
        if os.path.isdir(source):
            raise InputError("a folder, not a file")
        if Path(source).suffix.lower() in SCORES:
            read = read_score
    elif isinstance(source, io.TextIOBase):
        raise InputError('the file is open as text; use open(path, "rb")')
    elif not isinstance(source, (bytes, bytearray, memoryview, mido.MidiFile)):
        if not hasattr(source, "read"):
            what = "a path, bytes, an open file, a mido.MidiFile or rolls"
            raise InputError(f"music is {what}, not {type(source).__name__}")
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
    items = [("", n, path) for n, path in enumerate(paths)]
    reader = partial(_read_file, any_meter=any_meter)
    pieces, failed = read_pieces(items, reader, progress=progress is not False and len(items) > 1)
    found = {n: MusicError(reason) for n, reason in failed}
    found |= {n: piece for _, n, piece in pieces}
    return [found[n] for n in range(len(items))]


def find_music(folder):
    """The path of every MIDI file and score in a folder, at any depth: a sorted list of str.

    Hidden files and folders are ignored. Raises InputError if none is found.
    """
    suffixes = (*SUFFIXES, *SCORES)
    found = sorted(str(path) for path in files_below(Path(folder), suffixes, []))
    if not found:
        raise InputError(f"{folder}: no MIDI file and no score in it ({', '.join(suffixes)})")
    return found


def printable(path):
    """A path as text for a terminal, a table or JSON, with unprintable characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _read_file(path, any_meter):
    """The `Piece`, or the InputError that `read_music` raises: it would end `read_pieces`."""
    try:
        return read_music(path, any_meter)
    except InputError as error:
        return error
