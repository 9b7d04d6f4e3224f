"""A search by hand in a `LargeIndex`, which knows embeddings but no notes.

The query's own piece is found by its embeddings: it is a piece of which every row is the same as
that of the query's unit at the same beat.
"""

from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.neighbours.exact import pair_cosines
from tinyembed.storage.text import printable

ASKED, NEAR = 16, 10  # units of the query whose neighbours may be of its own piece, and how many
SAME = 1 - 1e-5  # cosine: float16 and another device differ by less, one note by much more


def own_pieces(index, rows, sounds):
    """The pieces with a query's music, as (shard, piece in it): a list.

    rows: (n, D) the embeddings of all its units; sounds: (n,) bool, which of them have an onset.
    """
    found, units = set(), np.flatnonzero(sounds)
    for beat in units[:: -(-len(units) // ASKED)].tolist():
        near = index.search(rows[beat], min(NEAR, index.n_findable))
        same = np.sort(near.rows[near.cosines > SAME])
        shards, pieces, beats = index.labels.units(same)
        here = beats == beat
        found |= set(zip(shards[here].tolist(), pieces[here].tolist(), strict=True))
    return sorted(one for one in found if _is_same(index, *one, rows))


def _is_same(index, n, piece, rows):
    """Whether all rows of a piece are those of the query's units at the same beats."""
    own = piece_rows(index, n, piece)
    _, _, beats = index.labels.units(own)
    if beats.max() >= len(rows):
        return False
    queries = rows[beats].astype(np.float64)
    queries /= np.sqrt((queries * queries).sum(axis=1, keepdims=True))
    at = np.arange(len(own))
    return bool((pair_cosines(index.labels[own], queries, at, at) > SAME).all())


def piece_rows(index, n, piece):
    """The numbers of all rows of a piece of shard n, ascending."""
    return np.flatnonzero(index.labels.shard(n).piece[:] == piece) + index.labels.first[n]


def others(index, rows, sounds, path, other_piece=False, other_composer=False):
    """As `unit.others`: which rows are not of the query's piece, or of its composer.

    rows, sounds: as for `own_pieces`, of the query in the file `path`. Returns where, (N,) bool or
    None for all rows, and a list of notes to print. Raises InputError if the composer is needed and
    unknown.
    """
    if not (other_piece or other_composer):
        return None, []
    name, notes, own = printable(path), [], own_pieces(index, rows, sounds)
    where = np.ones(len(index), bool)
    if other_piece:
        for n, piece in own:
            where[piece_rows(index, n, piece)] = False
        if not own:
            notes.append(f"{name} is not among these pieces, so all of them are others")
    if other_composer:
        composers = {_composer(index.labels.shard(n), piece) for n, piece in own}
        composers = composers or {printable(Path(path).resolve().parent.name)}
        before = int(where.sum())
        for n, first in enumerate(index.labels.first[:-1].tolist()):
            shard = index.labels.shard(n)
            codes = [c for c, composer in enumerate(shard.composers) if composer in composers]
            if codes:
                mine = np.isin(shard.piece_composer[shard.piece[:]], codes)
                where[first : first + len(mine)] &= ~mine
        if not own and int(where.sum()) == before:
            raise InputError(
                f"--other-composer: the composer of {name} is unknown: it is not among these "
                "pieces, and its folder is not named after one of their composers"
            )
    return where, notes


def nearest(index, query, k, where=None, probes=None):
    """As `unit.nearest`: `Neighbours`, and the number of rows that could be found."""
    n = index.n_findable if where is None else min(index.n_findable, int(np.count_nonzero(where)))
    if n == 0:
        raise InputError("no unit to compare with: there is no other one that has an onset")
    return index.search(query, min(k, n), where, probes), n


def _composer(shard, piece):
    return shard.composers[shard.piece_composer[piece]]
