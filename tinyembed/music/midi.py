"""One MIDI file becomes a `Piece`: its note onsets on a grid of 24 ticks a beat (section 3.2).

Only onsets count. How long a note sounds and how loud it is are dropped. Time is counted in
beats, and a beat is a quarter note; how fast they go is kept only to say when one is heard.
"""

import io
from dataclasses import dataclass
from os import PathLike, fspath

import mido
import numpy as np

from tinyembed.errors import MusicError

TICKS_PER_BEAT = 24
DRUM_CHANNEL = 9  # "channel 10", counted from zero
GRID_TOLERANCE = 20  # a 20th of a tick is on the grid: 1/480 beat, as notation programs round
LONGEST_PIECE = 100_000  # beats; one corrupt delta time can claim millions
USUAL_BEAT = 0.5  # seconds: 120 beats a minute, where a file does not say how fast it goes


@dataclass(frozen=True)
class Piece:
    """The onsets of one piece: sorted, and no two the same.

    ticks:    (n_onsets,) int32, when a note starts, in 24ths of a beat from the beginning
    pitches:  (n_onsets,) uint8, its MIDI note number; ascending among notes that start together
    n_beats:  how long the piece is, up to its last note-on or note-off, in whole beats
    on_grid:  share of the notes as written that lie on a tick, but for rounding, 0 to 1
    tempi:    (beat, seconds) pairs, ascending: from that beat on, a beat takes so long
    """

    ticks: np.ndarray
    pitches: np.ndarray
    n_beats: int
    on_grid: float = 1.0
    tempi: tuple = ()

    @classmethod
    def from_notes(cls, times, pitches, resolution, end, tempi=()):
        """Round notes to the grid.

        times: (n,) integers, onsets in units of 1/`resolution` beat; pitches: (n,) MIDI numbers;
        end: the time of the last onset or release, in the same unit; tempi: (beat, seconds) pairs.
        Raises MusicError where there is no note, or no end in sight.
        """
        times = np.asarray(times, np.int64)
        if len(times) == 0:
            raise MusicError("no notes")
        n_beats = -(-int(end) // resolution)
        if n_beats > LONGEST_PIECE:
            raise MusicError(f"absurdly long: {n_beats:,} beats")
        scaled = times * TICKS_PER_BEAT
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
            tempi=tuple(tempi),
        )

    def seconds(self, beats):
        """When beats are heard, at the tempo that the file asks for: (n,) float64, in seconds.

        beats: (n,) numbers of beats from the beginning; fractions are fine.
        """
        start, length = np.array([(0.0, USUAL_BEAT), *self.tempi]).T  # (k,) each: of one tempo
        heard = np.concatenate([[0.0], np.cumsum(np.diff(start) * length[:-1])])
        i = np.searchsorted(start, beats, side="right") - 1
        return heard[i] + (np.asarray(beats) - start[i]) * length[i]


def read_midi(source, any_meter=False):
    """Read a MIDI file into a `Piece`.

    source: a path, the bytes of a file, an open binary file, or a `mido.MidiFile`
    any_meter: also take a piece with a time signature whose denominator is not 4 (section 3.1)
    Raises MusicError, whose text is the reason, for anything that is not a readable piece.
    """
    midi = _parse(source)
    if midi.type == 2:
        raise MusicError("its tracks are separate songs (MIDI format 2)")
    if midi.ticks_per_beat <= 0:
        timing = "zero ticks a beat" if midi.ticks_per_beat == 0 else "timed in SMPTE frames"
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

    other = sorted(denominators - {4})
    if other and not any_meter:
        beats = ", ".join(f"1/{d}" for d in other)
        raise MusicError(f"a time signature counts in {beats}, not in quarter notes")
    if end > LONGEST_PIECE * midi.ticks_per_beat:  # before any array is made of it
        raise MusicError(f"absurdly long: {end // midi.ticks_per_beat:,} beats")
    tempi.sort(key=lambda tempo: tempo[0])  # of several tracks; where two meet the later one holds
    return Piece.from_notes(times, pitches, midi.ticks_per_beat, end, tempi)


def _parse(source):
    """A `mido.MidiFile` from whatever was handed in; every way of being broken is a MusicError."""
    if isinstance(source, mido.MidiFile):
        return source
    try:
        if isinstance(source, (str, PathLike)):
            with open(fspath(source), "rb") as file:
                data = file.read()
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
        else:
            data = source.read()
    except OSError as error:
        raise MusicError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise MusicError("empty file")
    if data[:4] != b"MThd":
        raise MusicError("not a MIDI file")
    try:
        # clip=True rescues files with data bytes over 127.
        return mido.MidiFile(file=io.BytesIO(data), clip=True)
    except EOFError as error:
        raise MusicError("truncated: it ends in the middle of a track") from error
    except Exception as error:  # mido raises a dozen unrelated types for damaged bytes
        raise MusicError(f"damaged: {type(error).__name__}: {error}".rstrip(": ")) from error
