"""Refuse a score with absurd numbers before music21 reads it: music21 counts up to some of them.

A key signature of a billion fifths or a bar of a thousand beats takes music21 a minute or more. No
printed music comes near these limits, and up to most of them music21 needs a second or two.
"""

import re
from xml.etree import ElementTree

from tinyembed.errors import MusicError

MOST_BEATS = 96
MOST_PARTS = 1000  # of a bar, each as long as its shortest note; the beats that music21 may give it
MOST_DEGREES = 24  # of one chord symbol
METER = "a time signature with {} beats in a bar"
XML = (  # an element of MusicXML, which of its elements, the most that their numbers may be, words
    ("time", "beats", MOST_BEATS, METER),
    ("key", "fifths", 100, "a key signature of {} fifths"),
    ("degree", "degree-alter", 100, "a chord symbol with a degree altered by {} semitones"),
)
ABC = (  # the text of fields of ABC, the most that the numbers in one of them may be, words
    (re.compile(r"^M:([^/\n]*)/", re.MULTILINE), MOST_BEATS, METER),
    (re.compile(r"^M:[^/\n]*/([^\n%]*)", re.MULTILINE), 4096, "a time signature in 1/{}"),
)
TUNE = re.compile(r"^X:", re.MULTILINE)


def check_xml(text: str | bytes) -> None:
    """Raise MusicError if a number in MusicXML is beyond its limit, and ParseError if it is none.

    The text is parsed as music21 does it, so that the number is found in any encoding or entity.
    """
    root = ElementTree.fromstring(text)
    for parent, child, most, words in XML:
        for element in root.iter(parent):
            _check([found.text or "" for found in element.findall(child)], most, words)
    for symbol in root.iter("harmony"):
        if (degrees := len(symbol.findall("degree"))) > MOST_DEGREES:
            raise MusicError(f"a chord symbol with {degrees:,} degrees")


def check_abc(text: str) -> None:
    """Raise MusicError if a number in a field of ABC is beyond its limit, or for several tunes."""
    if (tunes := len(TUNE.findall(text))) > 1:
        raise MusicError(f"holds {tunes} separate pieces")
    for field, most, words in ABC:
        for found in field.findall(text):
            _check([found], most, words)


def check_abc_bars(tokens) -> None:
    """Raise MusicError if a bar is too long. tokens: what music21 takes the text of ABC apart into.

    music21 looks for the time signature of a bar that is longer than its meter.
    """
    from music21 import abcFormat

    bars = [[]]
    for token in tokens:
        if isinstance(token, abcFormat.ABCBar):
            bars.append([])
        elif isinstance(token, abcFormat.ABCNote) and token.quarterLength and not token.inGrace:
            tuplet = token.activeTuplet
            bars[-1].append(token.quarterLength * (tuplet.tupletMultiplier() if tuplet else 1))
    bars = [lengths for lengths in bars if lengths]
    if len(bars) < 2:  # without bar lines there are no bars
        return
    for lengths in bars:
        length = sum(lengths)
        if length > MOST_BEATS:
            raise MusicError(f"a bar of {float(length):,g} quarter notes")
        if length > MOST_PARTS * min(lengths):
            raise MusicError(f"a bar of {length / min(lengths):,.0f} times its shortest note")


def _check(texts, most, words):
    """The numbers in a few texts may add up to `most`."""
    numbers = [float(number) for text in texts for number in re.findall(r"\d+", text)]
    if sum(numbers) > most:
        raise MusicError(words.format("+".join(text.strip() for text in texts)))
