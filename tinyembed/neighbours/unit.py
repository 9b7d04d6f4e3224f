"""A search by hand: four beats of a file, the rows that are not its own music, the nearest."""

from pathlib import Path

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.embedding.sources import read_source
from tinyembed.errors import InputError
from tinyembed.music.roll import piece_rolls, units_have_onsets
from tinyembed.storage.text import printable


def read_unit(path, beat, any_meter=False):
    """Read a file. Returns the `Piece`, and the roll of its unit at a beat, (60, 96).

    Raises InputError or WorkError if the file cannot be read, and InputError if it has no such
    unit or if the unit has no onset.
    """
    piece = read_source(path, any_meter)
    name, sounds = printable(path), units_have_onsets(piece)
    if beat >= len(sounds):
        raise InputError(
            f"--beat {beat}: {name} has units of four beats that begin with beats 0 to "
            f"{len(sounds) - 1}"
        )
    if not sounds[beat]:
        nearest = min(np.flatnonzero(sounds), key=lambda other: abs(other - beat))
        raise InputError(
            f"--beat {beat}: no note begins in these four beats of {name}, so nothing is like "
            f"them; the nearest beat is {nearest}"
        )
    return piece, piece_rolls(piece)[beat]


def others(collection, piece, path, other_piece=False, other_composer=False):
    """The rows of a `Collection` outside a piece, or by other composers than the piece's.

    piece: the `Piece` in the file `path`. Every piece with the same notes counts as this piece,
    whatever its name. The composer is the composer of that piece, or else the one after whom the
    folder of the file is named.
    Returns where, (N,) bool or None for all rows, and a list of notes to print. Raises InputError
    if the composer is needed and unknown.
    """
    if not (other_piece or other_composer):
        return None, []
    labels, name, notes = collection.index.labels, printable(path), []
    own = collection.pieces_like(piece)
    where = np.ones(len(labels), bool)
    if other_piece:
        where &= ~np.isin(labels.piece, own)
        if not own:
            notes.append(f"{name} is not among these pieces, so all of them are others")
    if other_composer:
        composers = np.unique(labels.piece_composer[own]).tolist()
        parent = printable(Path(path).resolve().parent.name)
        if not composers and parent in labels.composers:
            composers = [labels.composers.index(parent)]
        if not composers:
            raise InputError(
                f"--other-composer: the composer of {name} is unknown: it is not among these "
                "pieces, and its folder is not named after one of their composers"
            )
        where &= ~np.isin(labels.composer, composers)
    return where, notes


def nearest(index, query, k, where=None):
    """The k rows of an `Index` nearest to a query, or all where there are fewer.

    query: (D,); where: (N,) bool, which rows may be found, or None for all.
    Returns `Neighbours`, and the number of rows that could be found. Raises InputError if it is 0.
    """
    findable = to_host(index.findable)
    n = int(np.count_nonzero(findable if where is None else findable & where))
    if n == 0:
        raise InputError("no unit to compare with: there is no other one that has an onset")
    return index.search(query, min(k, n), where), n
