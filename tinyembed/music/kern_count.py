"""Count the notes of a **kern file a second way: spine by spine, without rows and times.

`read_kern` places each note by its row. Here each spine is only a sum: of its notes, and of its
durations. If the two disagree, something was lost or read twice.
"""

import re
from fractions import Fraction

DURATION = re.compile(r"(\d+)(?:%(\d+))?(\.*)")


def count_kern(text: str) -> tuple[int, Fraction]:
    """The number of notes in a **kern file, and its length in quarter notes.

    Notes that continue a tie, grace notes and rests do not count. The length is the longest sum of
    durations along any spine, from the beginning through its splits and merges.
    """
    spines, notes, longest = [], 0, Fraction(0)  # of each spine: [header, is kern, length]
    for line in re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")):
        fields = line.rstrip().split("\t")
        fields = [field for field in fields if field]
        if not fields or fields[0].startswith("!"):
            continue
        if not spines:
            spines = [[n, field == "**kern", Fraction(0)] for n, field in enumerate(fields)]
        elif fields[0].startswith("*"):
            spines = _manipulated(spines, fields)
        elif not fields[0].startswith("="):
            for spine, field in zip(spines, fields, strict=True):
                if spine[1] and field != "." and "q" not in field.lower():
                    notes += sum(_is_struck(token) for token in field.split(" "))
                    spine[2] += _length(field)
                    longest = max(longest, spine[2])
    return notes, longest


def _manipulated(spines, fields):
    """The spines after a row of interpretations. A merged one goes on where the first part ends."""
    spines, fields = list(spines), list(fields)
    for n in range(len(fields) - 1):
        if fields[n] == fields[n + 1] == "*x":
            spines[n : n + 2] = reversed(spines[n : n + 2])
            fields[n] = fields[n + 1] = "*"
    result, merging = [], None
    for (origin, is_kern, length), field in zip(spines, fields, strict=True):
        if field == "*v" and merging == origin:
            result[-1][2] = min(result[-1][2], length)
            continue
        merging = origin if field == "*v" else None
        is_kern = field == "**kern" if field.startswith("**") else is_kern
        if field != "*-":
            result.append([origin, is_kern, length])
        if field == "*^":
            result.append([origin, is_kern, length])
        if field == "*+":
            result.append([object(), False, length])
    return result


def _is_struck(token):
    return bool(token) and not set(token) & set("rR_]")


def _length(field):
    digits, numerator, dots = DURATION.search(field).groups()
    base = Fraction(4 * int(numerator or 1))
    value = base / int(digits) if int(digits) else base * 2 ** len(digits)
    return sum((value / 2**n for n in range(len(dots) + 1)), Fraction(0))
