"""Examples from a store that is larger than memory: some shards at a time, a pool.

Each pass takes all shards in a new order, a few of them make a pool, and each unit that the pool
keeps is shown once, in a new order and in a key that is drawn. What a step is shown is a function
of the seed and the step, so a run that was killed continues where it stopped.
"""

from dataclasses import replace
from itertools import count, pairwise

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.duplicates import UniqueUnits
from tinyembed.music.roll import KEYS
from tinyembed.training.eligible import eligible, offsets_of
from tinyembed.training.examples import Batch, Examples, random_stream
from tinyembed.training.excerpts import ExcerptExamples

SHARDS = 8  # per pool: some 8,000 files, 125 MB
SAMPLED = 1_000_000  # units whose composers are counted


class PoolExamples(Examples):
    """The examples in one pool.

    corpus: a `Corpus`; kept: which of its units are kept, (n_units,) bool; number: of the pool,
    counted from the beginning of the training; first, end: its steps.
    """

    def __init__(self, corpus, kept, spec, seed, number, first, end):
        self._begin(corpus, spec, seed)
        beats = eligible(corpus, corpus.unit_beats()[kept], self.offsets)
        self.units = UniqueUnits(beats, np.zeros(len(beats), np.int8), np.arange(len(beats) + 1))
        self.number, self.first, self.end = number, first, end

    def choose(self, step, size):
        """As for `Examples`."""
        return super().choose(step - self.first, size)

    def draw(self, chosen, step, corruption=False):
        """As for `Examples`, each in a key that is drawn."""
        draws = super().draw(chosen, step, corruption)
        keys = random_stream(self.seed, "keys", step).choice(KEYS, len(draws.beats))
        return replace(draws, keys=keys.astype(np.int8))

    def _order_of_pass(self, n):
        if self._pass != n:
            self._pass = n
            stream = random_stream(self.seed, "order", self.number, int(n))
            self._order = stream.permutation(len(self))
        return self._order


class PooledExamples:
    """The examples in a `LargeCorpus`. The arguments and methods are those of `Examples`.

    pieces: sorted indices.
    """

    batch_of = Batch

    def __init__(self, corpus, spec, pieces, seed=0):
        self.corpus, self.spec, self.seed = corpus, spec, seed
        self.offsets = offsets_of(spec)
        self.is_ours = np.zeros(corpus.n_pieces, bool)
        self.is_ours[pieces] = True
        units = np.where(self.is_ours, corpus.piece_units, 0)
        first = [shard.first for shard in corpus.store.shards] + [corpus.n_pieces]
        self.shard_units = [int(units[slice(*ends)].sum()) for ends in pairwise(first)]
        self._pool = self._size = None

    def __len__(self):
        """How many units there are, in all keys."""
        return sum(self.shard_units) * len(KEYS)

    def at(self, step, size):
        """The pool that holds the examples of a step, for batches of this size."""
        pool = self._pool
        if pool is None or size != self._size or not pool.first <= step < pool.end:
            self._pool = None  # its memory is free before the next one is read
            self._pool, self._size = self._read(*self._find(step, size)), size
        return self._pool

    def batch(self, step, size):
        """The batch of one training step."""
        return self.at(step, size).batch(step, size)

    def part(self, size, rows):
        """As for `Examples`."""
        return PooledPart(self, size, rows)

    def sample(self):
        """Examples to measure on: the first pool."""
        return self.at(0, self._size or 1)

    def composers(self):
        """The composers of units, evenly chosen: (n,)."""
        ends = np.cumsum(np.where(self.is_ours, self.corpus.piece_units, 0))
        chosen = np.arange(0, ends[-1], max(1, ends[-1] // SAMPLED))
        return self.corpus.piece_composer[np.searchsorted(ends, chosen, side="right")]

    candidates = Examples.candidates

    def _find(self, step, size):
        """The shards of the pool that a step belongs to, its number, and its steps."""
        if not sum(self.shard_units):
            raise InputError("no training piece has an example to learn")
        first, number = 0, 0
        for n in count():
            order = random_stream(self.seed, "order", n).permutation(len(self.shard_units))
            for shards in np.split(order, range(SHARDS, len(order), SHARDS)):
                units = sum(self.shard_units[shard] for shard in shards)
                end = first + max(1, units // size)
                if units and step < end:
                    return np.sort(shards), number, first, end
                first, number = (end if units else first), number + 1

    def _read(self, shards, number, first, end):
        corpus = self.corpus
        pieces = np.flatnonzero(self.is_ours)
        pieces = pieces[np.isin(corpus.shard_of(pieces), shards)]
        music, kept = corpus.read(pieces)
        if self.spec.excerpt:
            pool = ExcerptExamples(music, self.spec, np.arange(music.n_pieces), self.seed)
            pool.first, pool.end = first, end
            return pool
        return PoolExamples(music, kept, self.spec, self.seed, number, first, end)


class PooledPart:
    """What one of several processes takes of each batch: as `Part`, pool by pool."""

    def __init__(self, whole, size, rows):
        self.whole, self.size, self.rows = whole, size, rows
        self.spec, self.offsets, self.batch_of = whole.spec, whole.offsets, whole.batch_of
        self._pool = self._part = None

    def at(self, step, size):
        """The part of the pool that holds the examples of a step. size: of this part."""
        pool = self.whole.at(step, self.size)
        if pool is not self._pool:
            self._pool, self._part = pool, pool.part(self.size, self.rows)
        return self._part

    def batch(self, step, size):
        """This part of the batch of a step."""
        return self.at(step, size).batch(step, size)

    def candidates(self, n, step):
        """As for `Part`."""
        return self.whole.candidates(self.size, step)[self.rows]
