"""The sources of music that `embed` takes: which kind one is, its notes, and what to say of it."""

import os
from collections.abc import Iterator

from tinyembed.backends.arrays import array_module
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music.inputs import read_files, read_music
from tinyembed.music.roll import BEATS_PER_UNIT, PITCHES, TICKS
from tinyembed.storage.text import printable


def is_path(music):
    """Whether a source is the path of a file or a folder."""
    return isinstance(music, (str, os.PathLike))


def is_rolls(music):
    """Whether a source is an array of numbers, in NumPy, CuPy or their kind."""
    return hasattr(music, "ndim") and hasattr(music, "dtype") and music.dtype.kind not in "OSUT"


def is_several(music):
    """Whether it is several sources: a list, an iterator (such as Path.glob), an array of paths."""
    if isinstance(music, (list, tuple)) or (hasattr(music, "dtype") and hasattr(music, "ndim")):
        return True  # an array of numbers holds rolls, and was handled before
    return isinstance(music, Iterator) and not hasattr(music, "read")


def check_rolls(rolls):
    """Return the rolls. Raises InputError if they are not rolls of finite numbers."""
    if rolls.ndim not in (2, 3) or rolls.shape[-2:] != (PITCHES, TICKS):
        raise InputError(f"a roll is (60, 96), several are (N, 60, 96); this is {rolls.shape}")
    if rolls.dtype.kind not in "biuf" or not array_module(rolls).isfinite(rolls).all():
        raise InputError("a roll holds finite numbers; this one does not")
    return rolls


def read_source(source, any_meter=False):
    """The `Piece` or the rolls in a source of music: see `embed`.

    Raises InputError or WorkError that names the source if it cannot be read.
    """
    units = _read(source, any_meter)
    if isinstance(units, Exception):
        raise name_error(units, source) from units
    return units


def read_sources(sources, any_meter=False, progress=None):
    """The `Piece`, the rolls or the error of each source, files several at a time: a list."""
    if all(is_path(source) for source in sources):
        return read_files(sources, any_meter, progress)
    return [_read(source, any_meter) for source in sources]


def name_error(error, source):
    """An error about a source of music, with the source's name in front."""
    kind = InputError if isinstance(error, InputError) else WorkError
    return kind(f"{name_of(source)}: {error}")


def folder_errors(folder, found):
    """An error about each thing that `find_files` left out of a folder, with its name in front."""
    return [WorkError(f"{os.path.join(name_of(folder), n)}: {why}") for n, why in found.left_out]


def name_of(source):
    """A source's path, or what it is."""
    if is_path(source):
        return printable(source)
    inside = getattr(source, "name", None) or getattr(source, "filename", None)
    return printable(inside) if isinstance(inside, str) else f"the {type(source).__name__}"


def padding_notes(pieces):
    """A note for each piece that is shorter than a unit. pieces: list of (name, `Piece`)."""
    return [
        f"{name}: only {piece.n_beats} beat{'s' * (piece.n_beats > 1)}, padded with silence to one "
        "unit of four"
        for name, piece in pieces
        if piece.n_beats < BEATS_PER_UNIT
    ]


def repair_notes(pieces):
    """A note for each kind of repair that reading took. pieces: list of (name, `Piece`)."""
    by_kind = {}
    for name, piece in pieces:
        for kind in piece.repairs:
            by_kind.setdefault(kind, []).append(name)
    return [
        f"{f'{names[0]}:' if len(names) == 1 else f'{len(names):,} files'} repaired: {kind}"
        for kind, names in sorted(by_kind.items())
    ]


def _read(source, any_meter):
    """The `Piece`, the rolls, or the error that explains why there are none."""
    try:
        return check_rolls(source) if is_rolls(source) else read_music(source, any_meter)
    except (InputError, MusicError) as error:
        return error
