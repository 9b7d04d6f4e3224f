"""Prepare ABC text for music21, which reads less of the notation than files use.

Music21 takes a note before a colon ("A::") for a field ("A:") and loses it, ignores fields within
the music ("[K:G]"), and keeps of each voice only the first passage. The text is rewritten so that
none of these occurs, and stands for the same music.
"""

import re

FIELD = re.compile(r"[A-Za-z+]:|%")  # a line that is no music: "M:4/4", "w:words", "%comment"
INLINE = re.compile(r"\[([KLMV]):([^\]]*)\]")  # key, length of a note, meter, voice
NOTE_BEFORE_COLON = re.compile(r"(?<!\[)([A-G]):")  # not "[A:", which begins a field
METER = re.compile(r"^M:\s*\d+\s*/\s*(\d+)", re.MULTILINE)


def readable_abc(text: str) -> str:
    """The same tune, in the part of ABC that music21 reads."""
    lines = []
    for line in text.splitlines():
        if FIELD.match(line):
            lines.append(line)
        else:
            split = INLINE.sub(r"\n\1:\2\n", line).split("\n")
            music = (
                one if FIELD.match(one) else NOTE_BEFORE_COLON.sub(r"\1 :", one) for one in split
            )
            lines += [one for one in music if one.strip() or one == line]
    return "\n".join(_voice_by_voice(lines))


def denominators(text: str) -> set[int]:
    """Those of all time signatures, also of later ones, which music21 passes over."""
    return {int(denominator) for denominator in METER.findall(text)}


def _voice_by_voice(lines):
    """All passages of the first voice, then all of the second, ..."""
    header = next((i + 1 for i, line in enumerate(lines) if line.startswith("K:")), len(lines))
    voices, passage = {}, []
    ordered = lines[:header]
    for line in lines[header:]:
        if line.startswith("V:"):
            name = line[2:].split()[:1]
            passage = voices.setdefault(tuple(name), [line])
        elif voices:
            passage.append(line)
        else:
            ordered.append(line)
    return ordered + [line for voice in voices.values() for line in voice]
