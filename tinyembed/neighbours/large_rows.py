"""The rows of `Embeddings`, read a few at a time from files that are mapped into memory.

Every block that is read is first held against its checksum. The system counts mapped pages as this
process's memory once they were read, and up to 2 MB around each of them. So they are given back at
once; they stay in the system's cache as long as there is room.
"""

import mmap

import numpy as np

from tinyembed.embedding.shards import AGAIN
from tinyembed.errors import InputError
from tinyembed.storage.mapped import load_mapped
from tinyembed.storage.text import printable

LAZY = ("rows", "piece", "beat")


class Rows:
    """The rows of `Embeddings`, and what each is. Shards are opened when they are first needed."""

    def __init__(self, embeddings):
        self.embeddings, self.first = embeddings, embeddings.first
        self.shards = {}

    def __getitem__(self, rows):
        """Some rows, given by their numbers in ascending order: (n, D) float16."""
        found = np.empty((len(rows), self.embeddings.size), np.float16)
        for n, part in self._by_shard(rows):
            found[part] = self.shard(n).rows[rows[part] - self.first[n]]
            if not np.isfinite(found[part]).all():
                path = printable(self.embeddings.paths[n])
                raise InputError(f"{path}: numbers in it are not finite; {AGAIN}")
            release(self.shard(n).rows)
        return found

    def row(self, row):
        """What a row is: composer, piece, beat; and seconds, which nobody here knows: None."""
        n, piece, beat = (int(part[0]) for part in self.units(np.array([row])))
        shard = self.shard(n)
        composer = shard.composers[shard.piece_composer[piece]]
        return {"composer": composer, "piece": shard.names[piece], "beat": beat, "seconds": None}

    def units(self, rows):
        """Of some rows in ascending order: the shard, the piece in it, and the beat: (n,) each."""
        shards, pieces, beats = np.empty((3, len(rows)), np.int64)
        for n, part in self._by_shard(rows):
            shard, own = self.shard(n), rows[part] - self.first[n]
            shards[part], pieces[part], beats[part] = n, shard.piece[own], shard.beat[own]
            if not 0 <= pieces[part].min() <= pieces[part].max() < len(shard.names):
                path = printable(self.embeddings.paths[n])
                raise InputError(f"{path}: its parts do not fit: the piece of a row is none of it")
        return shards, pieces, beats

    def shard(self, n):
        """Shard n of the embeddings: `ShardRows` that are checked as they are read."""
        if n not in self.shards:
            self.shards[n] = self.embeddings.shard(n, load_lazily)
        return self.shards[n]

    def verify(self):
        """Check every byte of every shard."""
        for n in range(len(self.first) - 1):
            shard = self.shard(n)
            for array in (shard.rows, shard.piece, shard.beat):
                array.verify()
            release(shard.rows)

    def _by_shard(self, rows):
        """(shard, slice of the rows) for each shard that holds some of them."""
        ends = np.searchsorted(rows, self.first)
        for n in np.flatnonzero(np.diff(ends)).tolist():
            yield n, slice(ends[n], ends[n + 1])


def release(array):
    """Give the pages of a mapped array back to the system."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(array, "madvise"):
        array.madvise(mmap.MADV_DONTNEED)


def load_lazily(path, kind, words, again):
    """As `load_mapped`, but the arrays LAZY are checked as they are read, however small they are.

    To check a shard of 60 MB takes 20 ms, and a query reads some rows of a hundred shards.
    """
    return load_mapped(path, kind, words, LAZY, again=again, above=-1)
