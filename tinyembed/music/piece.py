"""A `Piece`: the note onsets of one piece of music on a grid of 24 ticks per beat (section 3.2).

Only onsets count; the length and the loudness of a note are dropped. Time is measured in beats, and
a beat is a quarter note. The tempo is kept only to say at which second a beat is heard.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyembed.errors import MusicError

TICKS_PER_BEAT = 24
GRID_TOLERANCE = 20  # within a 20th of a tick is on the grid: notation programs round twice
LONGEST_PIECE = 100_000  # beats; one corrupt delta time can claim millions
DEFAULT_TEMPO = 0.5  # seconds per beat, 120 beats per minute, until a file sets a tempo

Tempi = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Piece:
    """The onsets of one piece, sorted and without duplicates.

    ticks:    (n_onsets,) int32, when each note starts, in 24ths of a beat from the beginning
    pitches:  (n_onsets,) uint8, its MIDI note number; ascending among notes that start together
    n_beats:  the length in whole beats, up to the last release and at least to the last onset's
              beat
    on_grid:  the share of the notes that lie on a tick, up to rounding: 0 to 1
    tempi:    (beat, seconds per beat) pairs, ascending: each tempo holds from its beat on
    repairs:  what was wrong in the file and could be repaired, one short phrase per kind
    """

    ticks: NDArray[np.int32]
    pitches: NDArray[np.uint8]
    n_beats: int
    on_grid: float = 1.0
    tempi: Tempi = ()
    repairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises MusicError for onsets that no piece has: out of order, or outside of it."""
        ticks, pitches = self.ticks, self.pitches
        if ticks.ndim != 1 or ticks.shape != pitches.shape:
            raise MusicError(f"{ticks.shape} ticks and {pitches.shape} pitches")
        if not len(ticks):
            return
        notes = ticks.astype(np.int64) * 128 + pitches
        if ticks[0] < 0 or pitches.max() > 127 or (np.diff(notes) <= 0).any():
            raise MusicError("notes that are not in order, doubled, or outside MIDI's range")
        if ticks[-1] >= TICKS_PER_BEAT * self.n_beats:
            raise MusicError(f"a note after the last of {self.n_beats:,} beats")

    @classmethod
    def from_notes(
        cls,
        times: ArrayLike,
        pitches: ArrayLike,
        resolution: int,
        end: int,
        tempi: Tempi = (),
        repairs: tuple[str, ...] = (),
    ) -> Self:
        """Round notes to the grid. No onset is dropped.

        times: (n,) integers, onsets in units of 1/`resolution` beat; pitches: (n,) MIDI numbers;
        end: the time of the last release, in the same unit; tempi, repairs: as in `Piece`.
        Raises MusicError if there are no notes, one of them is impossible, or the piece is absurdly
        long.
        """
        if len(times) == 0:
            raise MusicError("no notes")
        last = times.max() if isinstance(times, np.ndarray) else max(times)
        end = max(int(end), int(last))
        if end > LONGEST_PIECE * resolution:  # checked first: it may not fit into an array
            raise MusicError(f"absurdly long: {-(-end // resolution):,} beats")
        times, pitches = np.asarray(times, np.int64), np.asarray(pitches, np.int64)
        if times.min() < 0 or pitches.min() < 0 or pitches.max() > 127:
            raise MusicError("a note before the beginning, or outside MIDI's range of pitches")
        scaled = times * TICKS_PER_BEAT
        ticks = (2 * scaled + resolution) // (2 * resolution)  # rounds half up
        notes = _unique(ticks * 128 + pitches)
        return cls(
            ticks=(notes // 128).astype(np.int32),
            pitches=(notes % 128).astype(np.uint8),
            n_beats=max(-(-end // resolution), int(ticks.max()) // TICKS_PER_BEAT + 1),
            on_grid=float(np.mean(np.abs(scaled - ticks * resolution) <= _tolerance(resolution))),
            tempi=tempi,
            repairs=repairs,
        )

    def seconds(self, beats: ArrayLike) -> NDArray[np.float64]:
        """When beats are heard at the tempi of the file: (n,) float64, in seconds.

        beats: (n,) beats from the beginning; fractions are allowed.
        """
        start, length = np.array([(0.0, DEFAULT_TEMPO), *self.tempi]).T  # (k,) each: per tempo
        heard = np.concatenate([[0.0], np.cumsum(np.diff(start) * length[:-1])])
        i = np.searchsorted(start, beats, side="right") - 1
        return heard[i] + (np.asarray(beats) - start[i]) * length[i]


def _unique(values):
    """The different values, sorted. `np.unique` takes ten times as long, since it hashes them."""
    values = np.sort(values)
    is_new = np.ones(len(values), bool)
    is_new[1:] = values[1:] > values[:-1]
    return values[is_new]


def _tolerance(resolution):
    """How far from a tick a note still lies on the grid, in units of 1/`resolution` tick.

    A file rounds to its own ticks. Where these are coarse, half of one is more than GRID_TOLERANCE
    allows: at 100 ticks per beat the triplet at 33 1/3 stands at 33. An eighth of our tick is the
    limit, so that fifths and sevenths of a beat never pass.
    """
    half_file_tick = TICKS_PER_BEAT / 2  # in this unit, where our tick is `resolution`
    return max(resolution / GRID_TOLERANCE, min(half_file_tick, resolution / 8))


def check_meter(denominators):
    """Raise MusicError unless all time signatures count in quarter notes (section 3.1)."""
    if other := sorted(set(denominators) - {4}):
        beats = ", ".join(f"1/{d}" for d in other)
        raise MusicError(f"a time signature counts in {beats}, not in quarter notes")
