"""What a search by hand found: to print as a table or as JSON, and to listen to."""

from dataclasses import dataclass

import numpy as np

from tinyembed.embedding.embed import embed_piece, embed_rolls
from tinyembed.music.roll import piece_rolls, units_have_onsets
from tinyembed.neighbours import large_query
from tinyembed.neighbours.pieces import PieceSearch, piece_rows, piece_table, typical
from tinyembed.neighbours.results import result_rows, table
from tinyembed.neighbours.unit import nearest


@dataclass(frozen=True)
class Found:
    """rows: a dict for each neighbour; lines: the same as a table; searched: how many could be
    found; of: the number of units and of pieces in all; certified: whether the shortlist certified
    the result, None for pieces; query, units, titles: to listen to, a roll, and rows of the index
    with a text for each, where there is music."""

    rows: list
    lines: list
    searched: int
    of: tuple
    certified: bool | None = None
    query: object = None
    units: object = None
    titles: list = ()


def nearest_units(collection, piece, roll, model, k, where):
    """The units nearest to a roll: `Found`."""
    index, row = collection.index, embed_rolls(roll, model)[0]
    found, searched = nearest(index, row, k, where)
    rows = result_rows(index.labels, found)
    titles = [f"{row['rank']}: {row['piece']}, beat {row['beat']}" for row in rows]
    certified = bool(found.certified)
    of = index.n_findable, collection.corpus.n_pieces
    lines = list(table(rows))
    return Found(rows, lines, searched, of, certified, roll, found.rows, titles)


def nearest_pieces(collection, piece, roll, model, k, where):
    """The pieces nearest to a `Piece`: `Found`, with a typical unit of each to listen to."""
    labels, search = collection.index.labels, PieceSearch(collection)
    if where is not None:
        where = np.isin(np.arange(len(labels.pieces)), labels.piece[where])
    found = search.nearest(piece, model, k, where)
    rows = piece_rows(labels, found)
    units = [search.typical_unit(n) for n in found.pieces]
    own = piece_rolls(piece)[typical(embed_piece(piece, model), units_have_onsets(piece))]
    titles = [f"{row['rank']}: {row['piece']}" for row in rows]
    of = collection.index.n_findable, collection.corpus.n_pieces
    return Found(rows, list(piece_table(rows)), found.searched, of, None, own, units, titles)


def nearest_rows(index, roll, model, k, where=None, probes=None):
    """The rows of a `LargeIndex` nearest to a roll: `Found`, without music."""
    found, searched = large_query.nearest(index, embed_rolls(roll, model)[0], k, where, probes)
    rows = result_rows(index.labels, found)
    of = index.n_findable, index.n_pieces
    return Found(rows, list(table(rows)), searched, of, bool(found.certified))
