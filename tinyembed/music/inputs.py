"""Whatever a person may hand in becomes a `Piece`: a file of any kind we read, or what is in one.

song.mid, song.midi            MIDI, whatever it is called (midi.py)
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

    source: the path of a MIDI file or, by the end of its name, of a score; the bytes of a MIDI
    file; a binary file that is open; a `mido.MidiFile`; or a `Piece`, which is returned.
    any_meter: also take a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, for anything that is not a readable piece, and
    InputError where there is no such file, or where the source is none of these.
    """
    if isinstance(source, Piece):
        return source
    read = read_midi
    if isinstance(source, (str, os.PathLike)):
        _must_exist(source)
        if Path(source).suffix.lower() in SCORES:
            read = read_score
    elif not isinstance(source, (bytes, bytearray, memoryview, mido.MidiFile)):
        source = _contents(source)
    try:
        return read(source, any_meter)
    except MusicError as error:
        if "not in quarter notes" in str(error):  # the one reason that a person may overrule
            raise MusicError(f"{error}; any_meter=True, or --any-meter, takes it") from None
        raise


def read_files(paths, any_meter=False, progress=None):
    """Read many files, several at a time: a list with a `Piece` for each path, in their order.

    A file that cannot be read does not stop the others: in its place is what `read_music` would
    have raised. progress: False for no progress bar, None for one on a terminal.
    """
    found = {}
    for n, path in enumerate(paths):
        try:
            _must_exist(path)
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

    Hidden files and folders are passed over. Raises InputError where there is none.
    """
    found, endings = [], (*SUFFIXES, *SCORES)
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in files:
            if name.lower().endswith(endings) and not name.startswith("."):
                found.append(os.path.join(here, name))
    if not found:
        raise InputError(f"{folder}: no MIDI file and no score in it ({', '.join(endings)})")
    return sorted(found)


def printable(path):
    """A path as text for a terminal, a table or JSON: what they cannot show becomes an escape."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _must_exist(path):
    if not os.path.exists(path):
        raise InputError("no such file")
    if os.path.isdir(path):
        raise InputError("a folder, not a file")


def _contents(source):
    """The bytes of an open file."""
    if not hasattr(source, "read"):
        raise InputError(
            f"music is a path, bytes, an open file, a mido.MidiFile or rolls, not "
            f"{type(source).__name__}"
        )
    if isinstance(source, io.TextIOBase):
        raise InputError('the file is open as text; open(path, "rb") opens it as it is')
    try:
        return source.read()
    except (OSError, ValueError) as error:  # ValueError: it was closed
        raise MusicError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_file(path, any_meter):
    """`read_music` for `read_pieces`, which an InputError, such as no music21, would end."""
    try:
        return read_music(path, any_meter)
    except InputError as error:
        raise MusicError(str(error)) from error
