"""The notes of a score at exact times: what our readers of scores give, before it is a `Piece`."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from tinyembed.errors import MusicError
from tinyembed.music.piece import GRID_TOLERANCE, LONGEST_PIECE, TICKS_PER_BEAT, Piece, check_meter

SLOWEST, FASTEST = 1, 10_000  # quarter notes per minute; no metronome mark is outside


@dataclass
class Notes:
    """Notes in any order; times are fractions of a quarter note from the beginning.

    times, pitches: the onset and the MIDI note number of each note
    end:            the time of the last release
    tempi:          (time, seconds per quarter note) pairs
    denominators:   those of all time signatures
    repairs:        as in `Piece`
    """

    times: list[Fraction] = field(default_factory=list)
    pitches: list[int] = field(default_factory=list)
    end: Fraction = Fraction(0)
    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    denominators: set[int] = field(default_factory=set)
    repairs: set[str] = field(default_factory=set)

    def add(self, time: Fraction, pitch: int) -> None:
        self.times.append(time)
        self.pitches.append(pitch)

    def add_tempo(self, time: Fraction, quarters_per_minute: float) -> None:
        """A tempo that no music has is dropped: it says nothing about the notes."""
        if SLOWEST <= quarters_per_minute <= FASTEST:
            self.tempi.append((time, 60 / quarters_per_minute))
        else:
            self.repairs.add("an impossible tempo")

    def piece(self, any_meter: bool) -> Piece:
        """Round to the grid of a `Piece`, exactly.

        any_meter: also accept time signatures whose denominator is not 4 (section 3.1)
        Raises MusicError as `Piece.from_notes` and `check_meter` do.
        """
        if not any_meter:
            check_meter(self.denominators)
        scaled = [time * TICKS_PER_BEAT for time in self.times]
        ticks = [math.floor(time + Fraction(1, 2)) for time in scaled]  # rounds half up
        end = math.ceil(self.end * TICKS_PER_BEAT)
        repairs = tuple(sorted(self.repairs))
        # A mark may stand before the first note, or too late for a float.
        tempi = [(time, length) for time, length in sorted(self.tempi) if time <= LONGEST_PIECE]
        tempi = tuple((max(0.0, float(time)), length) for time, length in tempi)
        if any(tick < 0 for tick in ticks):
            raise MusicError("a note before the beginning")
        piece = Piece.from_notes(ticks, self.pitches, TICKS_PER_BEAT, end, tempi, repairs)
        off = [abs(time - tick) for time, tick in zip(scaled, ticks, strict=True)]
        return replace(piece, on_grid=sum(GRID_TOLERANCE * one <= 1 for one in off) / len(off))
