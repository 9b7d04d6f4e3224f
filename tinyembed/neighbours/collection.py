"""A `Collection`: a corpus that can be searched, its music and an `Index` of its units."""

import hashlib
from dataclasses import dataclass, fields

import numpy as np

from tinyembed.embedding.embed import embed_piece, units_bar
from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.midi import TICKS_PER_BEAT, Piece
from tinyembed.music.sources import open_corpus
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.mapped import load_mapped
from tinyembed.neighbours.tempi import unit_seconds
from tinyembed.storage.cache import cache_folder

CORPUS = "corpus_"  # stands before the names of a corpus's arrays in a file


@dataclass(frozen=True)
class Collection:
    """corpus: a `Corpus`; index: an `Index` of all its units as they are written, one row each, in
    the order of `corpus.unit_beats()`, labelled. On a GPU it takes 532 bytes a unit."""

    corpus: Corpus
    index: Index

    @classmethod
    def of(cls, corpus, model, seconds=None, progress=None, xp=np):
        """Embed a whole corpus. A row is, to the bit, what `tinyembed.embed` makes of the file.

        seconds: (N,) when each unit is heard, or None; progress: False for no bar; xp: cupy, to
        have the index on a GPU.
        """
        pieces = [piece_of(corpus, n) for n in range(corpus.n_pieces)]
        with units_bar(pieces, progress) as bar:
            rows = [embed_piece(piece, model, bar) for piece in pieces]
        rows = xp.asarray(np.concatenate(rows))
        return cls(corpus, Index(rows, Labels.of_corpus(corpus, seconds), model))

    @classmethod
    def open(cls, data, model, any_meter=False, progress=None, xp=np):
        """The collection of what `--data` may say, embedded now or, if it was before, at once.

        xp: cupy, to have the index on a GPU. Returns the collection and a list of notes for a
        person. It is kept in the cache folder, in one file for each corpus and model, whatever
        device embedded it. Raises what `open_corpus` raises.
        """
        corpus = open_corpus(data, any_meter=any_meter, progress=progress is not False)
        weights = weights_digest(model)
        path = cache_folder() / "indexes" / f"{_digest(corpus, weights)[:32]}.index"
        notes = []
        if corpus.left_out:
            notes.append(
                f"{len(corpus.left_out)} files hold no usable piece; python -m tinyembed.corpus "
                "says which, and why"
            )
        try:
            return cls.load(path, weights, xp), notes
        except (InputError, OSError):  # none, or damaged: a cache may only ever save time
            pass
        seconds = unit_seconds(corpus, data, progress is not False)
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
        """Write music and index to one file, all at once."""
        arrays = {f.name: getattr(self.corpus, f.name) for f in fields(Corpus)}
        arrays = {CORPUS + n: a for n, a in arrays.items() if isinstance(a, np.ndarray)}
        self.index.save(path, arrays)

    @classmethod
    def load(cls, path, model=None, xp=np):
        """A saved collection, mapped into memory. model, xp, errors: as in `Index.load`."""
        arrays, about = load_mapped(path)
        index = Index.of_arrays(path, arrays, about, model, xp)
        parts = {n.removeprefix(CORPUS): a for n, a in arrays.items() if n.startswith(CORPUS)}
        try:
            names, composers = index.labels.pieces, index.labels.composers
            return cls(Corpus(**parts, names=names, composers=composers), index)
        except (TypeError, AttributeError):
            raise InputError(
                f"{path}: an index without its music; use one that tinyembed.search --save wrote"
            ) from None

    def rolls(self, rows):
        """The rolls of some rows: (n, 60, 96)."""
        labels = self.index.labels
        return self.corpus.rolls(self.corpus.piece_beats[labels.piece[rows]] + labels.beat[rows])

    def pieces_like(self, piece):
        """The numbers of all pieces that have the very notes of a `Piece`: a list."""
        return [n for n in range(self.corpus.n_pieces) if _same(piece_of(self.corpus, n), piece)]


def piece_of(corpus, n):
    """One piece of a corpus, as a `Piece`; a short one with the silence that fills its unit."""
    first, last = (int(beat) for beat in corpus.piece_beats[n : n + 2])
    onsets = slice(*corpus.beat_start[[first, last]])
    ticks = corpus.ticks[onsets] - first * TICKS_PER_BEAT
    return Piece(ticks, corpus.pitches[onsets], last - first, float(corpus.piece_on_grid[n]))


def _same(one, other):
    return np.array_equal(one.ticks, other.ticks) and np.array_equal(one.pitches, other.pitches)


def _digest(corpus, weights):
    """Names a corpus and a model: another for any other note, name or weight."""
    digest = hashlib.sha256(weights.encode())
    digest.update("\n".join([*corpus.names, "", *corpus.composers]).encode())
    for array in (corpus.ticks, corpus.pitches, corpus.piece_beats, corpus.piece_composer):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
