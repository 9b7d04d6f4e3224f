"""Read a MIDI file into a `Piece`: its note onsets on a grid of 24 ticks per beat (section 3.2).

Only onsets count; the length and the loudness of a note are dropped. Time is measured in beats, and
a beat is a quarter note. The tempo is kept only to say at which second a beat is heard.
"""

import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Self

import mido
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyembed.errors import MusicError

TICKS_PER_BEAT = 24
DRUM_CHANNEL = 9  # "channel 10", counted from zero
GRID_TOLERANCE = 20  # within a 20th of a tick counts as on the grid: notation programs round
LONGEST_PIECE = 100_000  # beats; one corrupt delta time can claim millions
DEFAULT_TEMPO = 0.5  # seconds per beat, 120 beats per minute, until a file sets a tempo

Tempi = tuple[tuple[float, float], ...]
MidiSource = str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | mido.MidiFile


@dataclass(frozen=True)
class Piece:
    """The onsets of one piece, sorted and without duplicates.

    ticks:    (n_onsets,) int32, when each note starts, in 24ths of a beat from the beginning
    pitches:  (n_onsets,) uint8, its MIDI note number; ascending among notes that start together
    n_beats:  the length in whole beats, up to the last note-on or note-off
    on_grid:  the share of the notes that lie on a tick, up to rounding: 0 to 1
    tempi:    (beat, seconds per beat) pairs, ascending: each tempo holds from its beat on
    """

    ticks: NDArray[np.int32]
    pitches: NDArray[np.uint8]
    n_beats: int
    on_grid: float = 1.0
    tempi: Tempi = ()

    @classmethod
    def from_notes(
        cls, times: ArrayLike, pitches: ArrayLike, resolution: int, end: int, tempi: Tempi
    ) -> Self:
        """Round notes to the grid.

        times: (n,) integers, onsets in units of 1/`resolution` beat; pitches: (n,) MIDI numbers;
        end: the time of the last onset or release, in the same unit; tempi: as in `Piece`.
        Raises MusicError if there are no notes or the piece is absurdly long.
        """
        n_beats = -(-int(end) // resolution)
        if n_beats > LONGEST_PIECE:  # checked first: damaged times may not fit into an array
            raise MusicError(f"absurdly long: {n_beats:,} beats")
        scaled = np.asarray(times, np.int64) * TICKS_PER_BEAT
        ticks = (2 * scaled + resolution) // (2 * resolution)  # rounds half up
        off = np.abs(scaled - ticks * resolution)  # in units of 1/resolution tick
        inside = ticks < n_beats * TICKS_PER_BEAT
        notes = np.unique(ticks[inside] * 128 + np.asarray(pitches, np.int64)[inside])
        if len(notes) == 0:
            raise MusicError("no notes")
        return cls(
            ticks=(notes // 128).astype(np.int32),
            pitches=(notes % 128).astype(np.uint8),
            n_beats=n_beats,
            on_grid=float(np.mean(off * GRID_TOLERANCE <= resolution)),
            tempi=tempi,
        )

    def seconds(self, beats: ArrayLike) -> NDArray[np.float64]:
        """When beats are heard at the tempi of the file: (n,) float64, in seconds.

        beats: (n,) beats from the beginning; fractions are allowed.
        """
        start, length = np.array([(0.0, DEFAULT_TEMPO), *self.tempi]).T  # (k,) each: per tempo
        heard = np.concatenate([[0.0], np.cumsum(np.diff(start) * length[:-1])])
        i = np.searchsorted(start, beats, side="right") - 1
        return heard[i] + (np.asarray(beats) - start[i]) * length[i]


def read_midi(source: MidiSource, any_meter: bool = False) -> Piece:
    """Read a MIDI file into a `Piece`.

    source: a path, the bytes of a file, an open binary file, or a `mido.MidiFile`
    any_meter: also accept a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, if the source is not a usable piece.
    """
    midi = _parse(source)
    if midi.type == 2:
        raise MusicError("its tracks are separate songs (MIDI format 2)")
    if midi.ticks_per_beat <= 0:
        timing = "zero ticks per beat" if midi.ticks_per_beat == 0 else "timed in SMPTE frames"
        raise MusicError(f"{timing}, so it has no beats")

    times, pitches, tempi, denominators, end = [], [], [], set(), 0
    for track in midi.tracks:  # track by track: merging them first takes twice as long
        now = 0
        for message in track:
            now += message.time
            if message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
                end = max(end, now)
                if message.type == "note_on" and message.velocity > 0:
                    times.append(now)
                    pitches.append(message.note)
            elif message.type == "time_signature":
                denominators.add(message.denominator)
            elif message.type == "set_tempo":
                tempi.append((now / midi.ticks_per_beat, message.tempo / 1e6))

    if not any_meter:
        check_meter(denominators)
    tempi.sort(key=lambda tempo: tempo[0])  # stable: of two at one beat, the later track's holds
    return Piece.from_notes(times, pitches, midi.ticks_per_beat, end, tuple(tempi))


def check_meter(denominators):
    """Raise MusicError unless all time signatures count in quarter notes (section 3.1)."""
    if other := sorted(set(denominators) - {4}):
        beats = ", ".join(f"1/{d}" for d in other)
        raise MusicError(f"a time signature counts in {beats}, not in quarter notes")


def _parse(source):
    """A `mido.MidiFile` from any source. Raises MusicError if it is damaged in any way."""
    if isinstance(source, mido.MidiFile):
        return source
    try:
        if isinstance(source, (str, PathLike)):
            source = Path(source).read_bytes()
        elif not isinstance(source, (bytes, bytearray, memoryview)):
            source = source.read()
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise MusicError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    data = bytes(source)
    if not data:
        raise MusicError("empty file")
    if data[:4] != b"MThd":
        raise MusicError("not a MIDI file")
    try:
        # clip=True accepts files with data bytes over 127.
        return mido.MidiFile(file=io.BytesIO(data), clip=True)
    except EOFError as error:
        raise MusicError("truncated: it ends in the middle of a track") from error
    except Exception as error:  # mido raises a dozen unrelated types for damaged bytes
        raise MusicError(f"damaged: {type(error).__name__}: {error}".rstrip(": ")) from error
