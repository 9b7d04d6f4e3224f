"""Read Humdrum **kern: a score as a table whose rows are moments and whose columns are voices.

    **kern  **kern  **dynam      a header: what each column, called a spine, holds
    *M4/4   *M4/4   *            interpretations: meter, tempo, clef, ...
    =1      =1      =1           a bar line
    4C      8cc     p            a quarter note, an eighth note, a dynamic mark
    .       8dd     .            a dot: what began above goes on
    *       *^      *            the second spine splits into two ...
    4D      4ee 4gg 4cc  .       (one of them with a chord)
    *       *v      *v   *       ... which merge again
    *-      *-      *-           all spines end

The rows give no times. They follow from the durations: the next row begins as soon as one of the
sounding notes ends. So each note's time has two sources, its row and the notes before it in its own
spine, and both must agree; at a bar line all spines must. Every field of a **kern spine is
accounted for: it is a note, a rest, a grace note, the continuation of a tie, or a dot. Otherwise
the file is refused with the number of the line, so no note can be lost silently. Repeats are not
played again, as in other scores.
(The format: https://www.humdrum.org/guide)
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from tinyembed.errors import MusicError
from tinyembed.music.kern_count import count_kern
from tinyembed.music.notes import Notes

STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}  # semitones above C
# 4 is a quarter note, 8. a dotted eighth, 3%2 lasts two thirds of a whole note.
DURATION = re.compile(r"(\d+)(?:%(\d+))?(\.*)")
PITCH = re.compile(r"[A-G]+|[a-g]+")  # c is middle C, cc an octave above, C one below, CC two below
MOST, MOST_DIGITS, MOST_DOTS = 2048, 99, 10  # exact sums of stranger durations take minutes
METER, TEMPO = re.compile(r"\*M\d+(?:\+\d+)*/(\d+)"), re.compile(r"\*MM(\d+(?:\.\d+)?)$")


@dataclass
class Spine:
    """One column of the table at one moment.

    origin:  the header that it comes from; only spines of the same origin merge
    is_kern: whether it holds notes
    ends:    when its notes end. After a merge there may be two
    """

    origin: int
    is_kern: bool
    ends: tuple[Fraction, ...] = ()


def read_kern(text: str) -> Notes:
    """The notes of a **kern file. Raises MusicError, which names the line, if one is unclear."""
    notes, table = Notes(), _Table()
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = line.rstrip().removeprefix("\ufeff")
        if not line or line.startswith("!"):  # a comment
            continue
        try:
            _read_line(re.split(r"\t+", line), table, notes)
        except ValueError as error:
            raise MusicError(f"line {number}: {error}") from None
    notes.end = table.end
    counted, length = count_kern(text)
    if (len(notes.times), notes.end) != (counted, length):
        raise MusicError(
            f"{len(notes.times)} notes and {notes.end} beats were read, but its spines hold "
            f"{counted} notes and {length} beats"
        )
    return notes


class _Table:
    """The spines and the time of the row that is being read."""

    def __init__(self):
        self.spines: list[Spine] = []
        self.time = Fraction(0)  # of the last row with notes
        self.is_over = False  # whether something began in that row, so that the next one is later
        self.end = Fraction(0)  # of the last note or rest
        self.n_origins = 0

    def now(self):
        """When the next row with notes begins."""
        later = [e for spine in self.spines for e in spine.ends if e > self.time]
        return min(later) if self.is_over and later else self.time

    def begin(self, fields):
        """A header: one new spine per field."""
        if self.n_origins:
            raise ValueError("another piece begins here")
        self.spines = [Spine(n, field == "**kern") for n, field in enumerate(fields)]
        self.n_origins = len(fields)

    def manipulate(self, fields):
        """Split, merge, exchange, add, end and rename spines, as a row of interpretations says."""
        old, self.spines = self.spines, []
        i = 0
        while i < len(old):
            spine, field = old[i], fields[i]
            i += 1
            if field == "*^":
                self.spines += [spine, Spine(spine.origin, spine.is_kern, spine.ends)]
            elif field == "*v":
                ends = set(spine.ends)
                while i < len(old) and fields[i] == "*v" and old[i].origin == spine.origin:
                    ends |= set(old[i].ends)
                    i += 1
                self.spines.append(Spine(spine.origin, spine.is_kern, tuple(ends)))
            elif field == "*x" and fields[i : i + 1] == ["*x"]:
                self.spines += [old[i], spine]
                i += 1
            elif field == "*+":
                self.spines += [spine, Spine(self.n_origins, False)]
                self.n_origins += 1
            elif field.startswith("**"):
                self.spines.append(Spine(spine.origin, field == "**kern", spine.ends))
            elif field != "*-":
                self.spines.append(spine)


def _read_line(fields, table, notes):
    if not table.spines:
        if not fields[0].startswith("**"):
            raise ValueError("data before any spine begins")
        table.begin(fields)
        return
    if len(fields) != len(table.spines):
        raise ValueError(f"{len(fields)} fields in {len(table.spines)} spines")
    if fields[0].startswith("*"):
        for field, spine in zip(fields, table.spines, strict=True):
            if spine.is_kern and (match := METER.match(field)):
                notes.denominators.add(_number(match[1]))
            elif spine.is_kern and (match := TEMPO.match(field)):
                notes.add_tempo(table.now(), float(match[1]))
        table.manipulate(fields)
    elif not fields[0].startswith("="):
        _read_row(fields, table, notes)
    elif len({max(spine.ends) for spine in table.spines if spine.ends}) > 1:
        raise ValueError("the spines do not reach this bar line together")


def _read_row(fields, table, notes):
    """A row of data: one moment."""
    pairs = zip(fields, table.spines, strict=True)
    events = [(field, spine) for field, spine in pairs if spine.is_kern and field != "."]
    if not events:
        return
    table.time, table.is_over = table.now(), False
    for field, spine in events:
        if "q" in field or "Q" in field:  # a grace note takes no time; it is left out
            continue
        if spine.ends and min(spine.ends) > table.time:
            raise ValueError(f"{field} begins before the note above it ends")
        end = table.time + _duration(field)
        spine.ends = (*(e for e in spine.ends if e > table.time), end)
        table.end = max(table.end, end)
        table.is_over = True
        for one in field.split():  # the notes of a chord
            if "r" in one or "R" in one:  # a rest, or unpitched
                continue
            pitch = _pitch(one)
            if "_" not in one and "]" not in one:  # those continue a tie
                notes.add(table.time, pitch)
    if table.is_over:
        for number, spine in enumerate(table.spines, 1):
            if spine.is_kern and max(spine.ends, default=table.time) <= table.time:
                raise ValueError(f"spine {number} has neither a note nor a rest")


def _duration(field):
    """In quarter notes. 0 is a breve, 00 a long, 000 a maxima."""
    match = DURATION.search(field)
    if not match or (match[2] and not _number(match[2])):
        raise ValueError(f"{field} has no duration")
    digits, numerator, dots = match[1], _number(match[2] or "1"), len(match[3])
    if dots > MOST_DOTS:
        raise ValueError(f"a duration with {dots:,} dots")
    part = _number(digits)
    whole = Fraction(1, part) if part else Fraction(2 ** len(digits))
    return 4 * whole * numerator * (2 - Fraction(1, 2**dots))


def _number(digits):
    """A number in a duration or a meter. Raises ValueError if it is larger than music needs."""
    if len(digits) > MOST_DIGITS or int(digits) > MOST:
        shown = f"{digits[:12]}..." if len(digits) > 12 else digits
        raise ValueError(f"the number {shown} is too large for a duration or a meter")
    return int(digits)


def _pitch(note):
    """The MIDI note number of a note such as 4ee- (E flat above the C above middle C)."""
    match = PITCH.search(note)
    letters = match[0] if match else ""
    if len(set(letters)) != 1:
        raise ValueError(f"{note} has no pitch")
    octaves = len(letters) - 1 if letters.islower() else -len(letters)
    return 60 + 12 * octaves + STEPS[letters[0].lower()] + note.count("#") - note.count("-")
