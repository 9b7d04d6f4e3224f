"""Music in, embeddings out: 100 numbers for every beat of a piece."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.embedding.trained import ModelSource, load_cached
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.music.cutting import Cutter
from tinyembed.music.inputs import find_music, printable, read_files, read_music
from tinyembed.music.piece import Piece
from tinyembed.music.roll import BEATS_PER_UNIT, PITCHES, TICKS, beat_starts, n_units

# Every block has the same size; silence fills the last one. BLAS sums in another order for a
# product of another size, so the last bit of a row would otherwise depend on the other rows.
# 32 is also the fastest size on a CPU. A GPU needs more units at a time, but not many more than a
# piece has; these take 0.2 GB there at `paper` width, however long the music is.
CPU_BLOCK, GPU_BLOCK = 32, 256

Rows = NDArray[np.float32]
PathOrFile = str | os.PathLike[str] | BinaryIO
Single = bytes | bytearray | memoryview | Piece | NDArray[Any]  # mido.MidiFile has no type
Several = list[Any] | tuple[Any, ...] | Iterator[Any]


class EmbeddingWarning(UserWarning):
    """Not all of the music was embedded, or not as it is: a file left out, a unit padded."""


@overload  # a file gives an array, a folder a dict, and both are paths
def embed(music: PathOrFile, model: ModelSource = ..., **options: Any) -> Any: ...
@overload
def embed(music: Several, model: ModelSource = ..., **options: Any) -> list[Rows | None]: ...
@overload
def embed(music: Single, model: ModelSource = ..., **options: Any) -> Rows: ...


def embed(
    music: Any,
    model: ModelSource = None,
    any_meter: bool = False,
    device: str = "auto",
    progress: bool | None = None,
) -> Any:
    """The embeddings of a piece of music: (n_units, 100) float32, one row per beat.

    Row i is the unit of four beats that begins with beat i, so a piece of n beats has n - 3 rows.
    A unit without an onset keeps its row. A piece of fewer than four beats is padded with silence
    to one unit, with an EmbeddingWarning.

    music:
        the path of a MIDI file, or of a score (.musicxml .mxl .xml .krn .abc, through music21);
        the bytes of a MIDI file; an open binary file; a `mido.MidiFile`;
        a roll (60, 96), which gives (1, 100), or rolls (N, 60, 96), in NumPy or CuPy: the result
        is an array of the same kind;
        a list of these, which gives a list: an array for each, or None with an EmbeddingWarning
        if it cannot be read;
        a folder, which gives a dict of the files at any depth below it: path below the folder ->
        array. Files that cannot be read are left out, each with an EmbeddingWarning.
    model: an argument of `load`, kept in memory for the next call; or a `Model`, used on its
        device.
    any_meter: also embed music with a time signature that does not count in quarter notes. The
        models were not trained on such music (section 3.1); a beat is still a quarter note.
    device: "auto", "cpu" or "gpu", for a model given by name.
    progress: False for no progress bar, None for one on a terminal.

    On the same machine, device and software, the same music always gives the same bits, alone or
    with others; elsewhere it agrees to about 1e-5.
    Raises InputError if the music is missing or of a wrong type, WorkError if a file, or each of
    several, cannot be read.
    """
    if not isinstance(model, Model):
        model = load_cached(model, device)
    if _is_rolls(music):
        return embed_rolls(music, model)
    if isinstance(music, (str, os.PathLike)) and os.path.isdir(music):
        files = find_music(music)
        rows, notes = _embed_several(files, model, any_meter, progress)
        names = [Path(printable(os.path.relpath(path, music))).as_posix() for path in files]
        result = {name: row for name, row in zip(names, rows, strict=True) if row is not None}
    elif _is_several(music):
        result, notes = _embed_several(list(music), model, any_meter, progress)
    else:
        piece = read_source(music, any_meter)
        result, notes = embed_piece(piece, model), _padded(piece, music)
    for note in notes:
        warnings.warn(note, EmbeddingWarning, stacklevel=2)
    return result


def embed_piece(piece, model, bar=None):
    """The embeddings of a `Piece`: (n_units, 100) float32 on the host.

    bar: a progress bar that counts units.
    """
    units = int(n_units(piece.n_beats))
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    onsets = SimpleNamespace(ticks=piece.ticks, pitches=piece.pitches, beat_start=start)
    # To a GPU only the onsets are copied, not the rolls, which are a thousand times as large.
    cut = Cutter(onsets, array_module(model.parameters()[0].value)).rolls
    return to_host(_encode(units, lambda first, last: cut(np.arange(first, last)), model, bar))


def embed_rolls(rolls, model):
    """The embeddings of rolls, (60, 96) or (N, 60, 96): (1 or N, 100) float32, on their device.

    Raises InputError for another shape, and for cells that are not finite numbers.
    """
    rolls = check_rolls(rolls).reshape(-1, PITCHES, TICKS)
    xp = array_module(rolls)
    rows = _encode(len(rolls), lambda first, last: rolls[first:last], model)
    return to_host(rows) if xp is np else xp.asarray(rows)


def check_rolls(rolls):
    """Return the rolls. Raises InputError if they are not rolls of finite numbers."""
    if rolls.ndim not in (2, 3) or rolls.shape[-2:] != (PITCHES, TICKS):
        raise InputError(f"a roll is (60, 96), several are (N, 60, 96); this is {rolls.shape}")
    if rolls.dtype.kind not in "biuf" or not array_module(rolls).isfinite(rolls).all():
        raise InputError("a roll holds finite numbers; this one does not")
    return rolls


def _encode(units, rolls, model, bar=None):
    """Encode units block by block. rolls: (first, last) -> their rolls, on any device."""
    xp = array_module(model.parameters()[0].value)
    size = CPU_BLOCK if xp is np else GPU_BLOCK
    rows = xp.empty((units, EMBEDDING), np.float32)
    for first in range(0, units, size):
        last = min(first + size, units)
        cut = rolls(first, last)
        block = xp.asarray(to_host(cut) if xp is np else cut, np.float32)
        if last - first < size:
            silence = xp.zeros((size - len(block), PITCHES, TICKS), np.float32)
            block = xp.concatenate([block, silence])
        rows[first:last] = model.encode(block)[: last - first]
        if bar is not None:
            bar.update(last - first)
    return rows


def _embed_several(sources, model, any_meter, progress):
    """The rows of each source, None for one that cannot be read; and a list of notes on them."""
    if all(isinstance(source, (str, os.PathLike)) for source in sources):
        pieces = read_files(sources, any_meter, progress)
    else:
        pieces = [_read(source, any_meter) for source in sources]
    rows, notes, errors = [], [], []
    with units_bar(pieces, progress) as bar:
        for piece, source in zip(pieces, sources, strict=True):
            if isinstance(piece, Exception):
                errors.append(name_error(piece, source))
                notes.append(f"{errors[-1]}; left out")
                rows.append(None)
            elif isinstance(piece, Piece):
                notes += _padded(piece, source)
                rows.append(embed_piece(piece, model, bar))
            else:
                rows.append(embed_rolls(piece, model))
    if errors and len(errors) == len(sources):
        more = f" (none of {len(errors)} can be embedded)" if len(errors) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")
    return rows, notes


def units_bar(pieces, progress=None):
    """A progress bar over the units of pieces, shown if they take longer than a second."""
    from tqdm import tqdm

    total = sum(int(n_units(piece.n_beats)) for piece in pieces if isinstance(piece, Piece))
    hidden = None if progress is None else not progress
    return tqdm(total=total, desc="embedding", unit=" units", delay=1, disable=hidden)


def read_source(source, any_meter=False):
    """The `Piece` or the rolls in a source of music: see `embed`.

    Raises InputError or WorkError that names the source if it cannot be read.
    """
    units = _read(source, any_meter)
    if isinstance(units, Exception):
        raise name_error(units, source) from units
    return units


def name_error(error, source):
    """An error about a source of music, with the source's name in front."""
    kind = InputError if isinstance(error, InputError) else WorkError
    return kind(f"{_name_of(source)}: {error}")


def _name_of(source):
    if isinstance(source, (str, os.PathLike)):
        return printable(source)
    inside = getattr(source, "name", None) or getattr(source, "filename", None)
    return printable(inside) if isinstance(inside, str) else f"the {type(source).__name__}"


def _padded(piece, source):
    if piece.n_beats >= BEATS_PER_UNIT:
        return []
    beats = f"{piece.n_beats} beat{'s' if piece.n_beats > 1 else ''}"
    return [f"{_name_of(source)}: only {beats}, padded with silence to one unit of four"]


def _is_rolls(music):
    return hasattr(music, "ndim") and hasattr(music, "dtype") and music.dtype.kind not in "OSUT"


def _is_several(music):
    """Lists, iterators (such as Path.glob), and arrays or series of paths."""
    if isinstance(music, (list, tuple)) or (hasattr(music, "dtype") and hasattr(music, "ndim")):
        return True  # an array of numbers holds rolls, and was handled before
    return isinstance(music, Iterator) and not hasattr(music, "read")


def _read(source, any_meter):
    """The `Piece`, the rolls, or the error that explains why there are none."""
    try:
        return check_rolls(source) if _is_rolls(source) else read_music(source, any_meter)
    except (InputError, MusicError) as error:
        return error
