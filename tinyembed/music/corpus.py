"""A `Corpus`: the onsets of all pieces in one array, and the units cut from them.

Nothing is stored twice. Beats are numbered through all pieces; a unit is identified by its first
beat, and its roll is made from the onsets when it is needed (see roll.py). The paper's 4.7 million
units in twelve keys take some 12 MB this way; as rolls they would take 27 GB.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tinyembed.errors import WorkError
from tinyembed.music.folders import find_pieces
from tinyembed.music.inputs import read_file, readers
from tinyembed.music.piece import TICKS_PER_BEAT, Piece
from tinyembed.music.reading import read_pieces, size_and_time
from tinyembed.music.roll import BEATS_PER_UNIT, beat_starts, n_units, ragged, unit_rolls
from tinyembed.music.splits import split_pieces
from tinyembed.storage import cache as storage

READER_VERSION = 3  # part of the cache's key: increase it when files would be read differently

StrPath = str | os.PathLike[str]


@dataclass
class Corpus:
    """Pieces of several composers.

    ticks:           (n_onsets,) int32, 24 * beat + tick within the beat, beats numbered through
    pitches:         (n_onsets,) uint8, MIDI note numbers
    beat_start:      (n_beats + 1,) int32, the index of each beat's first onset
    piece_beats:     (n_pieces + 1,) int32, the first beat of each piece; a piece has at least four
    piece_composer:  (n_pieces,) int32, index into `composers`
    piece_on_grid:   (n_pieces,) float32, the share of its notes that lie on a tick
    piece_is_test:   (n_pieces,) bool, held out for testing
    names:           "composer/file.mid" of each piece
    composers:       their names, sorted
    left_out:        (file, reason) of each file without a usable piece
    repaired:        (file, repair) of each repair that reading took: see `Piece.repairs`
    notes:           remarks for the user on how the corpus was read and split
    """

    ticks: NDArray[np.int32]
    pitches: NDArray[np.uint8]
    beat_start: NDArray[np.int32]
    piece_beats: NDArray[np.int32]
    piece_composer: NDArray[np.int32]
    piece_on_grid: NDArray[np.float32]
    piece_is_test: NDArray[np.bool_]
    names: list[str]
    composers: list[str]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    repaired: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_folder(
        cls,
        path: StrPath,
        seed: int = 0,
        any_meter: bool = False,
        splits: StrPath | None = None,
        cache: bool = True,
        progress: bool = True,
        workers: int | None = None,
    ) -> Self:
        """Read a folder of MIDI files and scores: one subfolder per composer, or flat, one class.

        seed: for the split, if there is no splits.tsv inside the folder or beside it;
        any_meter: also accept pieces whose beats are not quarter notes; splits: the path of a
        splits.tsv; cache: keep the result for the next time; workers: the number of processes.
        Raises InputError if there are no files to read, WorkError if none of them can be used.
        """
        items, left_out, notes = find_pieces(path)
        reader = partial(read_file, any_meter=any_meter)
        cache_name = f"{os.path.realpath(path)} any_meter={bool(any_meter)} {readers(items)}"
        corpus = cls.from_files(items, reader, cache_name, left_out, cache, progress, workers)
        corpus.notes[:0] = notes
        return corpus.split(seed, path, splits)

    @classmethod
    def from_files(
        cls,
        items: list[tuple[str, str, str]],
        reader: Callable[[str], Piece],
        cache_name: str,
        left_out: Iterable[tuple[str, str]] = (),
        cache: bool = True,
        progress: bool | None = True,
        workers: int | None = None,
    ) -> Self:
        """Read files with any reader, or load the result of the last time. All are for training.

        items: list of (composer, name, path); reader: a module's function, path -> `Piece`;
        cache_name: a text that identifies the collection and how it is read; left_out: files
        already known to be unusable. The cache holds one result per `cache_name`, valid until a
        file's name, size or modification time changes.
        """
        path = storage.cache_folder() / "corpora" / f"{_digest(cache_name)[:32]}.npz"
        files = [(name, *size_and_time(file)) for _, name, file in items]
        key = _digest(READER_VERSION, cache_name, files)
        corpus = cls._from_arrays(storage.load(path, key)) if cache else None
        if corpus is None:
            corpus = cls.from_pieces(*read_pieces(items, reader, workers, progress))
            # A file that could not be opened may open next time with the same size and time.
            if cache and not any("cannot be read" in reason for _, reason in corpus.left_out):
                if problem := storage.save(path, key, corpus._to_arrays()):
                    corpus.notes.append(f"will be read again next time: no cache in {problem}")
        corpus.left_out = sorted([*corpus.left_out, *left_out])
        return corpus

    @classmethod
    def from_pieces(
        cls, pieces: Iterable[tuple[str, str, Piece]], left_out: Iterable[tuple[str, str]] = ()
    ) -> Self:
        """Concatenate pieces. pieces: (composer, name, `Piece`) each. All are for training.

        A piece of fewer than four beats is padded with silent beats, so that it has one unit and
        no unit reaches into the next piece. Raises WorkError if there are no pieces.
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
            repaired=[(name, repair) for _, name, piece in pieces for repair in piece.repairs],
        )

    def split(
        self, seed: int = 0, folder: StrPath | None = None, splits: StrPath | None = None
    ) -> Self:
        """Hold pieces out for testing, as `splits.split_pieces` decides. Returns the corpus."""
        composers = [self.composers[c] for c in self.piece_composer]
        known = [name for name, _ in self.left_out]
        split = split_pieces(self.names, composers, folder, splits, seed, known)
        self.piece_is_test, notes = split
        self.notes += notes
        return self

    def piece(self, n: int) -> Piece:
        """Piece n, as a `Piece`; a short one includes the silence that fills its unit."""
        first, last = (int(beat) for beat in self.piece_beats[n : n + 2])
        onsets = slice(*self.beat_start[[first, last]])
        ticks = self.ticks[onsets] - first * TICKS_PER_BEAT
        return Piece(ticks, self.pitches[onsets], last - first, float(self.piece_on_grid[n]))

    # Units, each identified by its first beat.

    def unit_beats(self, pieces: ArrayLike | None = None) -> NDArray[np.int32]:
        """All units of some pieces: (n,) int32. pieces: a mask or indices, by default all."""
        pieces = np.arange(self.n_pieces)[slice(None) if pieces is None else np.asarray(pieces)]
        first = self.piece_beats[pieces]
        units = n_units(self.piece_beats[pieces + 1] - first)
        return ragged(first, first + units)[0].astype(np.int32)

    def has_onset(self, beats: ArrayLike) -> NDArray[np.bool_]:
        """Whether the units at `beats`, (N,), have an onset: (N,) bool."""
        beats = np.asarray(beats)
        return self.beat_start[beats + BEATS_PER_UNIT] > self.beat_start[beats]

    def has_neighbour(self, beats: ArrayLike, offset: int = BEATS_PER_UNIT) -> NDArray[np.bool_]:
        """Whether the same piece has a unit `offset` beats later (or, if negative, earlier)."""
        beats = np.asarray(beats)
        piece = self.beat_piece[beats]
        other = beats + offset
        inside = other >= self.piece_beats[piece]
        return inside & (other + BEATS_PER_UNIT <= self.piece_beats[piece + 1])

    def composer_of(self, beats: ArrayLike) -> NDArray[np.int32]:
        """The composer of the units at `beats`: (N,) int32, indices into `composers`."""
        return self.piece_composer[self.beat_piece[beats]]

    def rolls(
        self, beats: ArrayLike, keys: ArrayLike = 0, dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """The rolls of units: (N, 60, 96). beats: (N,); keys: semitones, an integer or (N,)."""
        keys = np.broadcast_to(keys, np.shape(beats))
        return unit_rolls(self.ticks, self.pitches, self.beat_start, beats, keys, dtype)

    @cached_property
    def beat_piece(self) -> NDArray[np.int32]:
        """The piece that each beat belongs to: (n_beats,) int32."""
        return np.repeat(np.arange(self.n_pieces, dtype=np.int32), np.diff(self.piece_beats))

    @property
    def n_pieces(self) -> int:
        return len(self.names)

    @property
    def n_beats(self) -> int:
        return int(self.piece_beats[-1])

    @property
    def on_grid(self) -> float:
        """The share of all onsets that lie on a tick, close to 1 for scores."""
        onsets = np.diff(self.beat_start[self.piece_beats])
        return float(np.average(self.piece_on_grid, weights=onsets))

    @property
    def nbytes(self) -> int:
        """The memory of the arrays, in bytes."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))

    # The cache holds the corpus as it was read. The split depends on the seed and on splits.tsv,
    # so it is made again each time.

    def _to_arrays(self):
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        text = {name: values[name] for name in ("names", "composers", "left_out", "repaired")}
        arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
        return {**arrays, "text": np.frombuffer(json.dumps(text).encode(), np.uint8)}

    @classmethod
    def _from_arrays(cls, arrays):
        """The corpus, or None if `arrays` is None or does not hold one."""
        try:
            text = json.loads(arrays.pop("text").tobytes())
            for name in ("left_out", "repaired"):
                text[name] = [tuple(pair) for pair in text[name]]
            return cls(**arrays, **text)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


def _digest(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
