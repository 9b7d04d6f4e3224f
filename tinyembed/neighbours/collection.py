"""A `Collection`: a corpus that can be searched, that is, its music and an `Index` of its units."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tinyembed.embedding.embed import embed_pieces, units_bar
from tinyembed.errors import InputError
from tinyembed.music.corpus import READER_VERSION, Corpus
from tinyembed.neighbours.corpora import arrays_to_corpus, corpus_to_arrays
from tinyembed.neighbours.files import KIND, WORDS, load_index
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.tempi import unit_seconds
from tinyembed.storage.cache import cache_folder
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import is_mapped
from tinyembed.stores.sources import find_music, open_corpus


@dataclass(frozen=True)
class Collection:
    """corpus: a `Corpus`; index: a labelled `Index` of all its untransposed units, one row each,
    in the order of `corpus.unit_beats()`. On a GPU the index takes 532 bytes per unit."""

    corpus: Corpus
    index: Index

    @classmethod
    def of(cls, corpus, model, seconds=None, progress=None, xp=np):
        """Embed a whole corpus. Every row has the bits that `tinyembed.embed` gives for the file.

        seconds: (N,) the time of each unit, or None; progress: False for no progress bar; xp:
        cupy, to have the index on a GPU.
        """
        pieces = [corpus.piece(n) for n in range(corpus.n_pieces)]
        with units_bar(pieces, progress) as bar:
            rows = embed_pieces(pieces, model, bar)
        rows = xp.asarray(np.concatenate(rows))
        return cls(corpus, Index(rows, Labels.of_corpus(corpus, seconds), model))

    @classmethod
    def open(cls, data, model, any_meter=False, progress=None, xp=np, large=None):
        """The collection of the music that `--data` names: embedded now, or read from the cache.

        xp: cupy, to have the index on a GPU; large: as for `open_corpus`. Returns the collection
        and a list of notes to print.
        The cache folder holds one file per corpus and model, whatever device embedded it. The times
        of the default corpus are unknown: reading its scores again would take half a minute. Raises
        what `open_corpus` raises.
        """
        corpus = open_corpus(data, any_meter=any_meter, progress=progress is not False, large=large)
        items, _, notes = find_music(data)
        weights = weights_digest(model)
        path = cache_folder() / "indexes" / f"{_digest(corpus, weights)[:32]}.index"
        with suppress(InputError, OSError):  # missing, or damaged: the units are embedded again
            return cls(corpus, cls.load(path, weights, xp, verify=True).index), notes
        seconds = unit_seconds(corpus, items if data else [], progress is not False)
        collection = cls.of(corpus, model, seconds, progress, xp)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            collection.save(path)
            size = path.stat().st_size / 1e6
            notes.append(f"the index, {size:,.0f} MB, is kept for the next time: {path}")
        except OSError as error:
            why = error.strerror or error
            notes.append(f"will be embedded again next time: no cache in {path.parent}: {why}")
        return collection, notes

    def save(self, path):
        """Write music and index to one file, atomically."""
        self.index.save(path, corpus_to_arrays(self.corpus))

    @classmethod
    def load(cls, path, model=None, xp=np, verify=False):
        """A saved collection, mapped into memory. The arguments and errors are `Index.load`'s."""
        arrays, about = load_index(path, verify or xp is not np)
        index = Index.of_arrays(path, arrays, about, model, xp)
        with reading(path, WORDS):
            return cls(arrays_to_corpus(arrays, index.labels), index)

    def rolls(self, rows):
        """The rolls of some rows: (n, 60, 96)."""
        labels = self.index.labels
        return self.corpus.rolls(self.corpus.piece_beats[labels.piece[rows]] + labels.beat[rows])

    def pieces_like(self, piece):
        """The indices of all pieces with exactly the notes of a `Piece`: a list."""
        return [n for n in range(self.corpus.n_pieces) if _same(self.corpus.piece(n), piece)]


def is_index(path):
    """Whether a file is a saved index."""
    with suppress(OSError):
        return is_mapped(path, KIND)
    return False


def _same(one, other):
    return np.array_equal(one.ticks, other.ticks) and np.array_equal(one.pitches, other.pitches)


def _digest(corpus, weights):
    """A name for a corpus and a model that changes with any note, name or weight."""
    digest = hashlib.sha256(f"{READER_VERSION} {weights}".encode())
    digest.update("\n".join([*corpus.names, "", *corpus.composers]).encode())
    for array in (corpus.ticks, corpus.pitches, corpus.piece_beats, corpus.piece_composer):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
