"""Music in, embeddings out: 100 numbers for every beat of a piece."""

import os
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.embedding.sources import (
    check_rolls,
    folder_errors,
    is_path,
    is_rolls,
    is_several,
    name_error,
    name_of,
    padding_notes,
    read_source,
    read_sources,
    repair_notes,
)
from tinyembed.embedding.trained import ModelSource, load_cached
from tinyembed.errors import WorkError
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.music.cutting import Cutter
from tinyembed.music.folders import find_files, passed_over
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
    """Not all of the music was embedded, or not as it is: a file left out, repaired or padded."""


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
        An EmbeddingWarning also says what reading had to repair, one for each kind of repair.
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
    if is_rolls(music):
        return embed_rolls(music, model)
    if is_path(music) and os.path.isdir(music):
        result, notes = _embed_folder(music, model, any_meter, progress)
    elif is_several(music):
        result, notes = _embed_several(list(music), model, any_meter, progress)
    else:
        piece = read_source(music, any_meter)
        named = [(name_of(music), piece)]
        result, notes = embed_piece(piece, model), padding_notes(named) + repair_notes(named)
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

    Raises InputError for another shape, and for cells that are not finite numbers; WorkError if
    the model makes numbers of them that are not finite.
    """
    rolls = check_rolls(rolls).reshape(-1, PITCHES, TICKS)
    xp = array_module(rolls)
    rows = _encode(len(rolls), lambda first, last: rolls[first:last], model)
    return to_host(rows) if xp is np else xp.asarray(rows)


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
    if not xp.isfinite(rows).all():
        raise WorkError(
            "the model's embeddings of this music are not finite: its weights, or the cells of "
            "the rolls, are too large"
        )
    return rows


def _embed_folder(folder, model, any_meter, progress):
    """{name: rows} of the files in a folder, and a list of notes on it and them."""
    found = find_files(folder)
    errors = folder_errors(folder, found)
    if not found.files:
        raise errors[0]
    names, paths = zip(*found.files, strict=True)
    rows, notes = _embed_several(paths, model, any_meter, progress)
    result = {name: row for name, row in zip(names, rows, strict=True) if row is not None}
    trouble = [f"{error}; left out" for error in errors]
    return result, trouble + passed_over(found.endings) + notes


def _embed_several(sources, model, any_meter, progress):
    """The rows of each source, None for one that cannot be read; and a list of notes on them."""
    units = read_sources(sources, any_meter, progress)
    rows, notes, errors, pieces = [], [], [], []
    with units_bar(units, progress) as bar:
        for one, source in zip(units, sources, strict=True):
            if isinstance(one, Exception):
                errors.append(name_error(one, source))
                notes.append(f"{errors[-1]}; left out")
                rows.append(None)
            elif isinstance(one, Piece):
                pieces.append((name_of(source), one))
                rows.append(embed_piece(one, model, bar))
            else:
                rows.append(embed_rolls(one, model))
    if errors and len(errors) == len(sources):
        more = f" (none of {len(errors)} can be embedded)" if len(errors) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")
    return rows, notes + padding_notes(pieces) + repair_notes(pieces)


def units_bar(pieces, progress=None):
    """A progress bar over the units of pieces, shown if they take longer than a second."""
    from tqdm import tqdm

    total = sum(int(n_units(piece.n_beats)) for piece in pieces if isinstance(piece, Piece))
    hidden = None if progress is None else not progress
    return tqdm(total=total, desc="embedding", unit=" units", delay=1, disable=hidden)
