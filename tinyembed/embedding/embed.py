"""Music in, embeddings out: trained models by name, and 100 numbers for every beat of a piece."""

import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyembed.backends.arrays import array_module, device_module, to_host
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.models.weights import load_weights
from tinyembed.music.cutting import Cutter
from tinyembed.music.inputs import find_music, printable, read_files, read_music
from tinyembed.music.midi import Piece
from tinyembed.music.roll import (
    BEATS_PER_UNIT,
    PITCHES,
    TICKS,
    beat_starts,
    n_units,
    unit_rolls,
)
from tinyembed.training.runs import Run

WEIGHTS = Path(__file__).with_name("weights")  # NAME.npz, and NAME.md that says how it was made
DEFAULT = "contrastive"
# Units are encoded in blocks of one size, the last one filled with silence: BLAS adds up in
# another order for a product of another size, and a row would then change in its last bit with
# the company it is in. 32 is also fastest on a CPU. A GPU wants more at once, but not many more
# than a piece has; so many take 0.2 GB there at `paper` width, however long the music is.
CPU_BLOCK, GPU_BLOCK = 32, 256


class EmbeddingWarning(UserWarning):
    """Music was embedded, but not all of it, or not as it is: a file left out, a unit padded."""


def packaged():
    """The names of the trained models that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.npz"))


def weight_file(which=None):
    """The path of the weight file that `load(which)` reads.

    Raises InputError where there is none.
    """
    names = packaged()
    which = DEFAULT if which is None else which
    if not isinstance(which, (str, os.PathLike)):
        raise InputError(f"a model is given by name or path, not by {type(which).__name__}")
    path = WEIGHTS / f"{which}.npz" if which in names else Path(which)
    if path.is_dir():
        path = Run(path).weights_file
        if not path.exists():
            raise InputError(f"{which}: a folder without {path.name}; tinyembed.train writes one")
    if not path.exists():
        raise InputError(
            f"{which}: no such model; choose one of {', '.join(names) or '(none is installed)'}, "
            "or give the folder of a run or a weight file"
        )
    return path


def load(which=None):
    """A trained `Model`, on the CPU.

    which: "contrastive" (the default), "context" or "regularized", which come with the package; the
    folder of a run, such as "runs/context"; or the path of a weight file. A folder that is called
    like a model of the package is had as "./context".
    Raises InputError where there is no such model, or the file is damaged or not one of ours.
    """
    return _read(weight_file(which))


def _read(path):
    model, _ = load_weights(path)
    if not all(np.isfinite(array).all() for array in model.state().values()):
        raise InputError(f"{path}: some of the weights in it are not numbers")
    return model


def embed(music, model=None, any_meter=False, device="auto", progress=None):
    """The embeddings of a piece of music: (n_units, 100) float32, one row a beat.

    Row i is the unit that begins with beat i and is four beats long, so a piece of n beats has
    n - 3 rows. A unit without an onset keeps its row. A piece of fewer than four beats is padded
    with silence to one unit, and an EmbeddingWarning says so.

    music:
        the path of a MIDI file, or of a score (.musicxml .mxl .xml .krn .abc, through music21);
        the bytes of a MIDI file; a binary file that is open; a `mido.MidiFile`;
        a roll (60, 96), which gives (1, 100), or rolls (N, 60, 96), in NumPy or CuPy: the result
        is an array of the same kind;
        a list of these, which gives a list: for each its array, or None with an
        EmbeddingWarning where it cannot be read;
        a folder, which gives a dict of the files at any depth below it: path below the folder ->
        array. Files that cannot be read are left out, each with an EmbeddingWarning.
    model: what `load` takes, kept in memory for the next call; or a `Model`, used where it is.
    any_meter: also take music with a time signature that does not count in quarter notes, which
        the models were not trained on (section 3.1); a beat is a quarter note all the same.
    device: "auto", "cpu" or "gpu", for a model that is given by name.
    progress: False for no progress bar, None for one on a terminal.

    The same music gives the same bits, alone or with others, as long as machine, device and
    software are the same; elsewhere it agrees to about 1e-5.
    Raises InputError for what is not there or is no music at all, WorkError where a file cannot
    be read, or none of several.
    """
    if not isinstance(model, Model):
        model = loaded(model, device)
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
        try:
            piece = read_music(music, any_meter)
        except (InputError, MusicError) as error:
            raise named(error, music) from error
        result, notes = embed_piece(piece, model), _padded(piece, music)
    for note in notes:
        warnings.warn(note, EmbeddingWarning, stacklevel=2)
    return result


def loaded(which=None, device="auto"):
    """The model that `load(which)` gives, on a device, and the same one each time."""
    path = weight_file(which)
    status = path.stat()  # a run that is still training writes its weights again
    return _loaded(path.absolute(), status.st_mtime_ns, status.st_size, device_module(device))


@lru_cache(maxsize=4)
def _loaded(path, time, size, xp):
    return _read(path).to_device(xp)


def embed_piece(piece, model, bar=None):
    """The embeddings of a `Piece`: (n_units, 100) float32 on the host. bar: of units, to update."""
    units = int(n_units(piece.n_beats))
    start = beat_starts(piece.ticks, units + BEATS_PER_UNIT - 1)
    xp = array_module(model.parameters()[0].value)

    def cut(beats):
        return unit_rolls(piece.ticks, piece.pitches, start, beats, np.zeros(len(beats), int))

    if xp is not np:  # the onsets cross the bus, not the rolls, which are a thousand times as large
        cut = Cutter(Onsets(piece.ticks, piece.pitches, start), xp).rolls
    return to_host(_encode(units, lambda first, last: cut(np.arange(first, last)), model, bar))


class Onsets(NamedTuple):
    """A piece as a `Cutter` takes it: ticks, pitches (n_onsets,), beat_start (n_beats + 1,)."""

    ticks: np.ndarray
    pitches: np.ndarray
    beat_start: np.ndarray


def embed_rolls(rolls, model):
    """The embeddings of rolls, (60, 96) or (N, 60, 96): (1 or N, 100) float32, on their device.

    Raises InputError for another shape, and for cells that are not finite numbers.
    """
    rolls = check_rolls(rolls).reshape(-1, PITCHES, TICKS)
    xp = array_module(rolls)
    rows = _encode(len(rolls), lambda first, last: rolls[first:last], model)
    return to_host(rows) if xp is np else xp.asarray(rows)


def check_rolls(rolls):
    """The rolls, if that is what they are; else raises InputError."""
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
    """The rows of each source, None for a bad one; and what to say about them, a list of str."""
    if all(isinstance(source, (str, os.PathLike)) for source in sources):
        pieces = read_files(sources, any_meter, progress)
    else:
        pieces = [_read_or_error(source, any_meter) for source in sources]
    rows, notes, errors = [], [], []
    with units_bar(pieces, progress) as bar:
        for piece, source in zip(pieces, sources, strict=True):
            if isinstance(piece, Exception):
                errors.append(named(piece, source))
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
    """A progress bar over the units of pieces, shown where it takes longer than a moment."""
    from tqdm import tqdm

    total = sum(int(n_units(piece.n_beats)) for piece in pieces if isinstance(piece, Piece))
    hidden = None if progress is None else not progress
    return tqdm(total=total, desc="embedding", unit=" units", delay=1, disable=hidden)


def named(error, source):
    """An error about one source with the source's name in front."""
    kind = InputError if isinstance(error, InputError) else WorkError
    return kind(f"{name_of(source)}: {error}")


def name_of(source):
    """What to call a source of music when speaking of it."""
    if isinstance(source, (str, os.PathLike)):
        return printable(source)
    inside = getattr(source, "name", None) or getattr(source, "filename", None)
    return printable(inside) if isinstance(inside, str) else f"the {type(source).__name__}"


def _padded(piece, source):
    if piece.n_beats >= BEATS_PER_UNIT:
        return []
    beats = f"{piece.n_beats} beat{'s' if piece.n_beats > 1 else ''}"
    return [f"{name_of(source)}: only {beats}, padded with silence to one unit of four"]


def _is_rolls(music):
    return hasattr(music, "ndim") and hasattr(music, "dtype") and music.dtype.kind not in "OSUT"


def _is_several(music):
    """Lists, iterators (of Path.glob, say), and arrays or series of paths."""
    if isinstance(music, (list, tuple)) or (hasattr(music, "dtype") and hasattr(music, "ndim")):
        return True  # numbers in an array would be rolls
    return isinstance(music, Iterator) and not hasattr(music, "read")


def _read_or_error(source, any_meter):
    try:
        if _is_rolls(source):
            return check_rolls(source)
        return read_music(source, any_meter)
    except (InputError, MusicError) as error:
        return error
