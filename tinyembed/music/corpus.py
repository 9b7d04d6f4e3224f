"""A `Corpus`: the onsets of all pieces end to end, and the units that lie in them.

Nothing is stored twice. The beats of all pieces are numbered through; a unit is named by its
first beat, and its roll is cut from the onsets when it is asked for (see roll.py). The paper's
4.7 million units in twelve keys take a few megabytes this way, as rolls they would take 27 GB.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from functools import cached_property, partial

import numpy as np

from tinyembed.errors import WorkError
from tinyembed.music.midi import TICKS_PER_BEAT, read_midi
from tinyembed.music.reading import find_pieces, read_pieces
from tinyembed.music.roll import BEATS_PER_UNIT, beat_starts, n_units, ragged, unit_rolls
from tinyembed.music.splits import split_pieces
from tinyembed.storage import cache as cached

READER_VERSION = 1  # part of the cache's key: count up when a file would be read differently


@dataclass
class Corpus:
    """Pieces of several composers.

    ticks:           (n_onsets,) int32, 24 * beat + tick in the beat, beats numbered through
    pitches:         (n_onsets,) uint8, MIDI note numbers
    beat_start:      (n_beats + 1,) int32, the first onset of each beat
    piece_beats:     (n_pieces + 1,) int32, the first beat of each piece; each has four or more
    piece_composer:  (n_pieces,) int32, index into `composers`
    piece_on_grid:   (n_pieces,) float32, share of its notes that lie on a tick
    piece_is_test:   (n_pieces,) bool, held out for testing
    names:           "composer/file.mid" of each piece
    composers:       their names, sorted
    left_out:        (file, reason) of each file without a usable piece
    notes:           what a person should know about how this corpus came about
    """

    ticks: np.ndarray
    pitches: np.ndarray
    beat_start: np.ndarray
    piece_beats: np.ndarray
    piece_composer: np.ndarray
    piece_on_grid: np.ndarray
    piece_is_test: np.ndarray
    names: list
    composers: list
    left_out: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    @classmethod
    def from_folder(
        cls, path, seed=0, any_meter=False, splits=None, cache=True, progress=True, workers=None
    ):
        """Read a folder of MIDI files: one subfolder a composer, or a flat folder, which is one.

        seed: for the split, where no splits.tsv is found inside the folder or beside it;
        any_meter: also take pieces whose beats are not quarter notes; splits: the path of a
        splits.tsv; cache: keep what was read for the next time; workers: how many processes.
        Raises InputError where there is nothing to read, WorkError where nothing can be read.
        """
        items, left_out, notes = find_pieces(path)
        reader = partial(read_midi, any_meter=True) if any_meter else read_midi
        kind = f"{os.path.realpath(path)} any_meter={bool(any_meter)}"
        corpus = cls.from_files(items, reader, kind, left_out, cache, progress, workers)
        corpus.notes[:0] = notes
        return corpus.split(seed, path, splits)

    @classmethod
    def from_files(cls, items, reader, kind, left_out=(), cache=True, progress=True, workers=None):
        """Read files with any reader, or take what was read the last time. All is for training.

        items: list of (composer, name, path); reader: a function of a module, path -> `Piece`;
        kind: a text that names the collection and how it is read; left_out: files known to be
        unusable. There is one cached result for each `kind`, good until a file's name, size or
        time changes.
        """
        place = cached.cache_folder() / "corpora" / f"{_digest(kind)[:32]}.npz"
        key = _digest(READER_VERSION, kind, [(item[1], *_size_and_time(item[2])) for item in items])
        arrays = cached.load(place, key) if cache else None
        corpus = cls._from_arrays(arrays) if arrays is not None else None
        if corpus is None:
            corpus = cls.from_pieces(*read_pieces(items, reader, workers, progress))
            # A file that could not be opened today may open tomorrow, and look no different.
            if cache and not any("cannot be read" in reason for _, reason in corpus.left_out):
                trouble = cached.save(place, key, corpus._to_arrays())
                if trouble:
                    corpus.notes.append(f"will be read again next time: no cache in {trouble}")
        corpus.left_out = sorted([*corpus.left_out, *left_out])
        return corpus

    @classmethod
    def from_pieces(cls, pieces, left_out=()):
        """Lay pieces end to end. pieces: list of (composer, name, `Piece`). All is for training.

        A piece of fewer than four beats gets silent ones at its end, so that it has one unit and
        no unit reaches into the next piece. Raises WorkError where there is no piece.
        """
        pieces, left_out = list(pieces), list(left_out)
        if not pieces:
            why = f"; {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
            raise WorkError(f"not one of {len(left_out)} files can be used{why}")
        composers = sorted({composer for composer, _, _ in pieces})
        music = [piece for _, _, piece in pieces]
        beats = [n_units(piece.n_beats) + BEATS_PER_UNIT - 1 for piece in music]
        piece_beats = np.concatenate([[0], np.cumsum(beats)]).astype(np.int32)
        shifts = piece_beats[:-1] * TICKS_PER_BEAT
        ticks = np.concatenate([p.ticks + shift for p, shift in zip(music, shifts, strict=True)])
        return cls(
            ticks=ticks.astype(np.int32, copy=False),
            pitches=np.concatenate([piece.pitches for piece in music]).astype(np.uint8, copy=False),
            beat_start=beat_starts(ticks, piece_beats[-1]),
            piece_beats=piece_beats,
            piece_composer=np.array([composers.index(c) for c, _, _ in pieces], np.int32),
            piece_on_grid=np.array([piece.on_grid for piece in music], np.float32),
            piece_is_test=np.zeros(len(pieces), bool),
            names=[name for _, name, _ in pieces],
            composers=composers,
            left_out=left_out,
        )

    def split(self, seed=0, folder=None, splits=None):
        """Hold pieces out for testing, as `splits.split_pieces` decides. Returns the corpus."""
        composers = [self.composers[c] for c in self.piece_composer]
        known = [name for name, _ in self.left_out]
        self.piece_is_test, notes = split_pieces(self.names, composers, folder, splits, seed, known)
        self.notes += notes
        return self

    # Units, each named by its first beat.

    def unit_beats(self, pieces=None):
        """All units of some pieces: (n,) int32. pieces: a mask or indices, by default all."""
        pieces = np.arange(self.n_pieces)[slice(None) if pieces is None else np.asarray(pieces)]
        first = self.piece_beats[pieces]
        units = n_units(self.piece_beats[pieces + 1] - first)
        return ragged(first, first + units)[0].astype(np.int32)

    def has_onset(self, beats):
        """Whether there is any onset in the units at `beats`, (N,): (N,) bool."""
        beats = np.asarray(beats)
        return self.beat_start[beats + BEATS_PER_UNIT] > self.beat_start[beats]

    def has_neighbour(self, beats, offset=BEATS_PER_UNIT):
        """Whether the same piece has a unit `offset` beats later, or earlier: (N,) bool."""
        beats = np.asarray(beats)
        piece = self.beat_piece[beats]
        other = beats + offset
        inside = other >= self.piece_beats[piece]
        return inside & (other + BEATS_PER_UNIT <= self.piece_beats[piece + 1])

    def composer_of(self, beats):
        """Whose units these are: (N,) int32, indices into `composers`."""
        return self.piece_composer[self.beat_piece[beats]]

    def rolls(self, beats, keys=0, dtype=np.float32):
        """The rolls of units: (N, 60, 96). beats: (N,); keys: semitones, one number or (N,)."""
        keys = np.broadcast_to(keys, np.shape(beats))
        return unit_rolls(self.ticks, self.pitches, self.beat_start, beats, keys, dtype)

    @cached_property
    def beat_piece(self):
        """The piece each beat belongs to: (n_beats,) int32."""
        return np.repeat(np.arange(self.n_pieces, dtype=np.int32), np.diff(self.piece_beats))

    @property
    def n_pieces(self):
        return len(self.names)

    @property
    def n_beats(self):
        return int(self.piece_beats[-1])

    @property
    def on_grid(self):
        """Share of all onsets that lie on a tick; a score has nearly 1."""
        onsets = np.diff(self.beat_start[self.piece_beats])
        return float(np.average(self.piece_on_grid, weights=onsets))

    @property
    def nbytes(self):
        """Memory held by the arrays, in bytes."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))

    # The cache holds what was read. The split is not part of it: it depends on the seed and on
    # splits.tsv, and is made anew.

    def _to_arrays(self):
        names = {"names": self.names, "composers": self.composers, "left_out": self.left_out}
        text = np.frombuffer(json.dumps(names).encode(), np.uint8)
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.type is np.ndarray}
        return {**arrays, "text": text}

    @classmethod
    def _from_arrays(cls, arrays):
        """The corpus, or None if the arrays are not those of one."""
        try:
            names = json.loads(arrays.pop("text").tobytes())
            names["left_out"] = [tuple(pair) for pair in names["left_out"]]
            return cls(**arrays, **names)
        except (KeyError, TypeError, ValueError):
            return None


def _size_and_time(path):
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _digest(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
