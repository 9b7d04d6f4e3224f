"""What one row of an embedding stands for: a unit of four beats, or a whole piece."""

from tinyembed.backends.arrays import array_module
from tinyembed.errors import InputError
from tinyembed.models.pooling import piece_vector
from tinyembed.music.piece import Piece
from tinyembed.music.roll import units_have_onsets

PER = ("beat", "piece")


def check_per(per):
    """Raise InputError unless this is one of `PER`."""
    if per not in PER:
        raise InputError(f"per {per!r}: choose one of {', '.join(PER)}")


def pooled(per, rows, units):
    """The rows of a source as they are, or their `piece_vector`, (200,).

    rows: (N, 100), an array on any device; units: the `Piece` or the rolls, (60, 96) or
    (N, 60, 96), that they are of.
    Raises InputError for a piece of no rolls.
    """
    if per == "beat":
        return rows
    if len(rows) == 0:
        raise InputError("no rolls: a piece has one at least")
    xp = array_module(rows)
    if isinstance(units, Piece):
        return piece_vector(rows, xp.asarray(units_have_onsets(units)))
    return piece_vector(rows, xp.asarray(units.reshape(len(rows), -1).any(axis=1)))
