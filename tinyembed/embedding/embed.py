"""Music in, embeddings out: 100 numbers for every beat of a piece."""

import os
import threading
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.backends.sharing import share_out
from tinyembed.embedding.per_piece import check_per, pooled
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
from tinyembed.storage.progress import progress_bar

# Units at a time. BLAS may add up in another order in a product of another size, or at another
# place in it. So how a piece is cut into blocks depends on that piece alone, and its bits do not
# depend on the pieces beside it. A GPU needs more units at a time, but not many more than a piece
# has; these take 0.2 GB there at `paper` width, however long the music is.
CPU_BLOCK, GPU_BLOCK = 60, 256
# The last block is filled up with silence: to a whole block on a GPU, on a CPU to a multiple of the
# 12 rows that BLAS takes at a time on processors with AVX2. The rest would be added up differently.
CPU_MULTIPLE = 12

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
    per: str = "beat",
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
    per: "piece" for one vector per piece instead, (200,): the mean of its rows, then their standard
        deviation, without the units that have no onset.

    On the same machine, device and software, the same music always gives the same bits, alone or
    with others; elsewhere it agrees to about 1e-5. (On a CPU without AVX-512, the last bits of a
    roll may depend on its place in an array of rolls.)
    Raises InputError if the music is missing or of a wrong type, WorkError if a file, or each of
    several, cannot be read.
    """
    check_per(per)
    if not isinstance(model, Model):
        model = load_cached(model, device)
    if is_rolls(music):
        return pooled(per, embed_rolls(music, model), music)
    if is_path(music) and os.path.isdir(music):
        result, notes = _embed_folder(music, model, any_meter, progress, per)
    elif is_several(music):
        result, notes = _embed_several(list(music), model, any_meter, progress, per)
    else:
        piece = read_source(music, any_meter)
        named = [(name_of(music), piece)]
        result = pooled(per, embed_piece(piece, model), piece)
        notes = padding_notes(named) + repair_notes(named)
    for note in notes:
        warnings.warn(note, EmbeddingWarning, stacklevel=2)
    return result


def embed_piece(piece, model, bar=None):
    """The embeddings of a `Piece`: (n_units, 100) float32 on the host.

    bar: a progress bar that counts units.
    """
    return embed_pieces([piece], model, bar)[0]


def embed_pieces(pieces, model, bar=None, kept=None):
    """The same for several: a list. All cores of a CPU share their blocks.

    kept: for each piece which of its units to embed, (n_units,) bool; by default all.
    """
    xp = _module(model)
    asked = list(zip(pieces, kept or [None] * len(pieces), strict=True))
    # To a GPU only the onsets are copied, not the rolls, which are a thousand times as large.
    together = [asked] if xp is np else [[one] for one in asked]
    sources = ([_units_of(piece, xp, kept) for piece, kept in some] for some in together)
    return [to_host(rows) for some in sources for rows in _encode(some, model, bar)]


def embed_rolls(rolls, model):
    """The embeddings of rolls, (60, 96) or (N, 60, 96): (1 or N, 100) float32, on their device.

    Raises InputError for another shape, and for cells that are not finite numbers; WorkError if
    the model makes numbers of them that are not finite.
    """
    rolls = check_rolls(rolls).reshape(-1, PITCHES, TICKS)
    xp = array_module(rolls)
    (rows,) = _encode([(len(rolls), lambda first, last: rolls[first:last])], model)
    return to_host(rows) if xp is np else xp.asarray(rows)


def _module(model):
    return array_module(model.parameters()[0].value)


def _units_of(piece, xp, kept=None):
    """The number of units of a `Piece`, and (first, last) -> their rolls, in xp.

    kept: which units these are, (n_units,) bool; by default all.
    """
    units = int(n_units(piece.n_beats))
    beats = np.arange(units) if kept is None else np.flatnonzero(kept)
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    onsets = SimpleNamespace(ticks=piece.ticks, pitches=piece.pitches, beat_start=start)
    cut = Cutter(onsets, xp).rolls
    return len(beats), lambda first, last: cut(beats[first:last])


def _encode(sources, model, bar=None):
    """The rows of several sources of units, where the model is: a list of (units, 100).

    sources: of each the number of units, and (first, last) -> their rolls, on any device.
    """
    xp, counting = _module(model), threading.Lock()
    rows = [xp.empty((units, EMBEDDING), np.float32) for units, _ in sources]
    size, multiple = (CPU_BLOCK, CPU_MULTIPLE) if xp is np else (GPU_BLOCK, GPU_BLOCK)
    blocks = [
        (whole[first : first + size], first, rolls)
        for whole, (_, rolls) in zip(rows, sources, strict=True)
        for first in range(0, len(whole), size)
    ]

    def encode(block):
        part, first, rolls = block
        cut = rolls(first, first + len(part))
        cut = xp.asarray(to_host(cut) if xp is np else cut, np.float32)
        if silent := -len(part) % multiple:
            cut = xp.concatenate([cut, xp.zeros((silent, PITCHES, TICKS), np.float32)])
        part[...] = model.encode(cut)[: len(part)]
        if bar is not None:
            with counting:
                bar.update(len(part))

    share_out(encode, blocks, xp)
    if not all(xp.isfinite(part).all() for part in rows):
        raise WorkError(
            "the model's embeddings of this music are not finite: its weights, or the cells of "
            "the rolls, are too large"
        )
    return rows


def _embed_folder(folder, model, any_meter, progress, per):
    """{name: rows} of the files in a folder, and a list of notes on it and them."""
    found = find_files(folder)
    errors = folder_errors(folder, found)
    if not found.files:
        raise errors[0]
    names, paths = zip(*found.files, strict=True)
    rows, notes = _embed_several(paths, model, any_meter, progress, per)
    result = {name: row for name, row in zip(names, rows, strict=True) if row is not None}
    trouble = [f"{error}; left out" for error in errors]
    return result, trouble + passed_over(found.endings) + notes


def _embed_several(sources, model, any_meter, progress, per):
    """The rows of each source, None for one that cannot be read; and a list of notes on them."""
    units = read_sources(sources, any_meter, progress)
    rows, notes, errors, pieces = [], [], [], []
    with units_bar(units, progress) as bar:
        embedded = iter(embed_pieces([one for one in units if isinstance(one, Piece)], model, bar))
    for one, source in zip(units, sources, strict=True):
        if isinstance(one, Exception):
            errors.append(name_error(one, source))
            notes.append(f"{errors[-1]}; left out")
            rows.append(None)
        elif isinstance(one, Piece):
            pieces.append((name_of(source), one))
            rows.append(pooled(per, next(embedded), one))
        else:
            rows.append(pooled(per, embed_rolls(one, model), one))
    if errors and len(errors) == len(sources):
        more = f" (none of {len(errors)} can be embedded)" if len(errors) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")
    return rows, notes + padding_notes(pieces) + repair_notes(pieces)


def units_bar(pieces, progress=None):
    """A progress bar over the units of pieces, shown if they take longer than a second."""
    total = sum(int(n_units(piece.n_beats)) for piece in pieces if isinstance(piece, Piece))
    return progress_bar(progress, total=total, desc="embedding", unit=" units", delay=1)
