"""Align the measures of a score: bar n begins at the same time in every part.

A file says how long each note and rest is, and a reader adds these up, part by part. One wrong rest
then shifts the rest of its part against the others. Printed music has no such fault: a bar line
runs through all parts. So each bar gets one length, and all parts begin the next bar together.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tinyembed.errors import MusicError


@dataclass(frozen=True)
class Bar:
    """One bar of one part. Times are in quarter notes.

    name:     its number and suffix, as printed: (12, "a")
    start:    where the reader put it
    length:   how far its notes and rests reach
    sounding: how far its notes reach; 0 if it holds only rests
    full:     the length that the time signature gives; None if the part has no signature
    """

    name: tuple[int, str]
    start: Fraction
    length: Fraction
    sounding: Fraction
    full: Fraction | None

    @property
    def rests(self) -> bool:
        """Whether it is a rest for the whole bar. Such a rest is as long as the bar, whatever the
        file says."""
        return self.sounding == 0 and self.length >= (self.full or 0)


def align(parts: list[list[Bar]]) -> list[list[Fraction]]:
    """Where each bar of each part begins.

    Bars that agree already stay where they are, so a score without faults is not changed.
    Raises MusicError if the parts cannot be reconciled.
    """
    unchanged = [[bar.start for bar in part] for part in parts]
    if _meters_differ(parts) and _regular(parts):
        return unchanged
    starts = [list(part) for part in unchanged]
    columns = _columns(parts)
    lengths = [_agreed_length(parts, column) for column in columns]
    time = min((bars[0].start for bars in parts if bars), default=Fraction(0))
    for n, column in enumerate(columns):
        for part, i in column.items():
            starts[part][i] = time
        if lengths[n] is None:
            bars = [parts[part][i] for part, i in column.items()]
            around = [_bars(parts, columns[m]) for m in (n - 1, n + 1) if 0 <= m < len(columns)]
            lengths[n] = bar_length(bars, around)
        time += lengths[n]
    return starts


def _meters_differ(parts):
    """Whether parts stand in different meters, such as 3/4 against 2/4."""
    return len({tuple(sorted({bar.full for bar in part if bar.full})) for part in parts}) > 1


def _regular(parts):
    """Whether each part's bars follow its own time signatures, and all parts end together.

    So do parts in different meters whose bar lines are meant to differ.
    """
    for part in parts:
        for bar, following in pairwise(part[1:]):  # the first may be a pickup
            if following.start - bar.start != bar.full:
                return False
    return len({part[-1].start + (part[-1].full or part[-1].length) for part in parts if part}) == 1


def _columns(parts):
    """The bars that begin together: a list of {part: index of its bar}.

    Raises MusicError if it cannot be told which do.
    """
    names = [_unique(part) for part in parts]
    longest = max(names, key=len, default=[])
    place = {name: n for n, name in enumerate(longest)}
    columns = [{} for _ in longest]
    if all(len(one) == len(longest) for one in names):  # the same bars, however numbered
        place = None
    for part, one in enumerate(names):
        before = -1
        for i, name in enumerate(one):
            n = i if place is None else place.get(name, -1)
            if n <= before:
                counts = " and ".join(map(str, sorted({len(one) for one in names})))
                raise MusicError(f"its parts have different measures ({counts})")
            columns[n][part] = i
            before = n
    return columns


def _unique(part):
    """The names of a part's bars; a name that occurs again gets a number."""
    seen = Counter()
    unique = []
    for bar in part:
        unique.append((*bar.name, seen[bar.name]))
        seen[bar.name] += 1
    return unique


def _bars(parts, column):
    return [parts[part][i] for part, i in column.items()]


def _agreed_length(parts, column):
    """The length that the reader gave a bar in all parts, or None.

    A reader may also be wrong in all parts, when something that is neither a note nor a rest seems
    to stick out of a bar, such as the end of a crescendo.
    """
    advances = {
        parts[part][i + 1].start - parts[part][i].start
        for part, i in column.items()
        if i + 1 < len(parts[part])
    }
    longest = max(max(bar.length, bar.full or 0) for bar in _bars(parts, column))
    if len(advances) == 1 and min(advances) <= longest:
        return advances.pop()
    return None


def bar_length(bars: list[Bar], around: list[list[Bar]]) -> Fraction:
    """The length of one bar in all parts. bars: the bar in each part; around: its neighbours.

    Raises MusicError if the parts that play are in different meters.
    """
    playing = [bar for bar in bars if bar.sounding]
    full = _full(bars, playing)
    longest = max(bar.sounding for bar in bars)
    if longest > full:
        # A wrong dot in one part, where another part fills the bar exactly; or a cadenza.
        slip = longest - full < 1 and any(bar.sounding == full for bar in playing)
        return full if slip else longest
    fullest = _fullest(bars, full)
    if fullest == full or not any(bar.rests for bar in bars):
        return fullest
    # Short in every part that plays, while others rest for the whole bar. The bar is short only
    # as a pickup, or where a repeat sign splits a bar in two; otherwise something is missing in it.
    halves = [_fullest(other, full) for other in around if any(bar.sounding for bar in other)]
    is_pickup = len(around) < 2 or any(fullest + half == full for half in halves)
    return fullest if is_pickup else full


def _full(bars, playing):
    """The length of a full bar. Parts that rest, or lack a signature, follow the others."""
    lengths = {bar.full for bar in playing or bars if bar.full} or {b.full for b in bars if b.full}
    if len(lengths) > 1:
        lengths &= {bar.length for bar in playing}  # one part does not state a new meter
    if len(lengths) > 1 or (not lengths and any(bar.full for bar in bars)):
        raise MusicError(f"measure {bars[0].name[0]} has different lengths in different parts")
    return lengths.pop() if lengths else max(bar.length for bar in bars)


def _fullest(bars, full):
    """The length of the fullest part; rests do not stick out of a bar."""
    return max((min(bar.length, full) for bar in bars if not bar.rests), default=full)
