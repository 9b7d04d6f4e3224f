"""A store as a corpus to train on, of which only some pieces are ever in memory."""

import os

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.splits import split_pieces
from tinyembed.storage.text import printable, quoted
from tinyembed.stores.store import Store

IN_MEMORY = 1_000_000  # units: a store that keeps no more is read as a whole; training takes 1.5 GB


class LargeCorpus:
    """What training needs to know about every piece of a store. `read` reads the music of some.

    composers: their names, sorted; piece_composer: (n_pieces,) int32, index into `composers`;
    piece_units: (n_pieces,) int32, how many units are kept; piece_is_test: (n_pieces,) bool, held
    out for testing; notes, left_out, repaired: as in `Corpus`, the last two empty.
    """

    def __init__(self, store):
        self.store, self.composers = store, store.composers
        place = {name: n for n, name in enumerate(self.composers)}
        composers, units = [], []
        for kept in store.shards:
            shard, pieces, bits = kept.open()
            own = np.array([place.get(name, -1) for name in shard.composers], np.int32)
            composers.append(own[shard.arrays["piece_composer"][pieces]])
            counts = np.diff(np.concatenate([[0], np.cumsum(bits)])[shard.first_unit])
            units.append(counts[pieces])
        self.piece_composer = np.concatenate(composers).astype(np.int32)
        self.piece_units = np.concatenate(units).astype(np.int32)
        self.piece_is_test = np.zeros(self.n_pieces, bool)
        self.notes, self.left_out, self.repaired = notes_of(store), [], []

    @property
    def n_pieces(self):
        return len(self.piece_composer)

    def split(self, seed=0, splits=None):
        """Hold pieces out for testing, as `splits.split_pieces` decides. Returns the corpus."""
        names = self.names() if splits else range(self.n_pieces)  # a seeded split needs no names
        composers = [self.composers[n] for n in self.piece_composer]
        self.piece_is_test, notes = split_pieces(names, composers, None, splits, seed)
        self.notes += notes
        return self

    def names(self):
        """The names of all pieces: a list."""
        opened = (kept.open() for kept in self.store.shards)
        return [shard.names[n] for shard, kept, _ in opened for n in np.flatnonzero(kept)]

    def shard_of(self, pieces):
        """The number of the shard that holds each of some pieces: (n,)."""
        first = [shard.first for shard in self.store.shards]
        return np.searchsorted(first, pieces, side="right") - 1

    def read(self, pieces):
        """Some pieces, sorted indices, as a `Corpus` in memory, and which of its units are kept.

        Composers have the indices that they have here. The second is (n_units,) bool, in the order
        of `Corpus.unit_beats`.
        """
        pieces, found, units = np.asarray(pieces), [], []
        shards = self.shard_of(pieces)
        for number in np.unique(shards):
            kept = self.store.shards[number]
            for *piece, own in kept.pieces(pieces[shards == number] - kept.first):
                found.append(piece)
                units.append(own)
        corpus = Corpus.from_pieces(found)
        corpus.composers, corpus.piece_composer = self.composers, self.piece_composer[pieces]
        return corpus, np.concatenate(units)

    @property
    def digest(self):
        """A text that changes with any note, name or split."""
        return self.store.digest + np.packbits(self.piece_is_test).tobytes().hex()


def read_store(folder, seed=0, splits=None, large=None):
    """A store as a corpus, split into training and test pieces.

    large: as for `sources.open_corpus`. Raises InputError where the store is unfinished, damaged,
    or no store, and where it is large and `large` is None.
    """
    store = Store.open(folder)
    if store.n_units <= IN_MEMORY:
        return whole_store(store).split(seed, None, splits)
    if large is None:
        word = quoted(os.fspath(folder))
        raise InputError(
            f"{printable(folder)}: a store of {store.n_units:,} units, too large to be read as a "
            f"whole; train on it (python -m tinyembed.train --data {word}) or embed and search it "
            f"shard by shard (python -m tinyembed.embed --in {word})"
        )
    corpus = LargeCorpus(store)
    return corpus.split(seed, splits) if large == "pools" else _sample(corpus).split(seed)


def _sample(corpus):
    """Every n-th piece of a large corpus, so that the units fit in memory: a `Corpus`."""
    every = -(-int(corpus.piece_units.sum()) // IN_MEMORY)
    found, _ = corpus.read(np.arange(0, corpus.n_pieces, every))
    found.notes = [f"every {every}th piece of the store", *corpus.notes]
    return found


def whole_store(store):
    """All pieces that a store keeps, as a `Corpus` in memory."""
    pieces = [(c, name, piece) for shard in store.shards for c, name, piece, _ in shard.pieces()]
    corpus = Corpus.from_pieces(pieces)
    corpus.notes = notes_of(store)
    return corpus


def notes_of(store):
    """What to know of a store: a list of lines."""
    n, table = store.found["left_out"], printable(store.folder / "left_out.tsv")
    return [f"{n:,} file{'s' * (n > 1)} left out; {table} says which, and why"] if n else []
