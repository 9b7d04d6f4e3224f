"""Read any supported source into a `Piece`:

.mid .midi .kar .rmi .rmid     MIDI, and files with any other ending (midi.py)
.musicxml .mxl .xml .krn .abc  scores (scores.py), in a process of their own (score_worker.py)
bytes, an open file, a mido.MidiFile, a Piece
"""

import io
import os
from functools import partial
from importlib import metadata
from pathlib import Path

import mido

from tinyembed.errors import InputError, MusicError
from tinyembed.music.folders import SCORES, trouble_with
from tinyembed.music.midi import read_midi
from tinyembed.music.piece import Piece
from tinyembed.music.reading import read_pieces
from tinyembed.music.score_worker import read_score_in_worker


def read_music(source, any_meter=False):
    """Read one piece.

    source: the path of a MIDI file or (by its suffix) a score; the bytes of a MIDI file; an open
    binary file; a `mido.MidiFile`; or a `Piece`, which is returned unchanged.
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    A named pipe is refused (`folders.trouble_with`); a file that is open already is read as it is.
    Raises MusicError, whose text is the reason, if the source is not a usable piece, and
    InputError if there is no such file or the source is none of these types.
    """
    if isinstance(source, Piece):
        return source
    read = read_midi
    if isinstance(source, (str, os.PathLike)):
        if trouble := trouble_with(source):
            raise InputError(trouble)
        if _is_score(source):
            read = read_score_in_worker
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
    reader = partial(_piece_or_error, any_meter=any_meter)
    pieces, failed = read_pieces(items, reader, progress=progress is not False and len(items) > 1)
    found = {n: MusicError(reason) for n, reason in failed}
    found |= {n: piece for _, n, piece in pieces}
    return [found[n] for n in range(len(items))]


def read_file(path, any_meter=False):
    """`read_music`, for one file of a folder: everything that it can raise is a MusicError.

    So a file that has gone, or a score without music21, does not stop the others.
    """
    try:
        return read_music(path, any_meter)
    except InputError as error:
        raise MusicError(str(error)) from None


def readers(items):
    """What reads these files, by name and version, for the name of a cache.

    items: list of (composer, name, path). Another version of music21 may read scores differently.
    """
    if not any(_is_score(path) for _, _, path in items):
        return "midi"
    try:
        return f"midi, music21 {metadata.version('music21')}"
    except metadata.PackageNotFoundError:
        return "midi, no music21"


def _is_score(path):
    return Path(path).suffix.lower() in SCORES


def _piece_or_error(path, any_meter):
    """The `Piece`, or the InputError that `read_music` raises: it would end `read_pieces`."""
    try:
        return read_music(path, any_meter)
    except InputError as error:
        return error
