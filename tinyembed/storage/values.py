"""Values in JSON: parsed without surprises, and held against what they must be.

A rule is a pair: words that say what is right, and a function that says whether a value is.
"""

import json
import math

from tinyembed.errors import InputError
from tinyembed.storage.text import escaped

MOST = 2**53  # the largest whole number that every reader of JSON agrees on
LONGEST_TEXT = 4096  # characters of a name or a path


def parse_json(text):
    """The value of a JSON text, str or bytes. Raises ValueError if it is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"from line {error.lineno:,}, column {error.colno:,} on"
        raise ValueError(f"not JSON {place}") from None
    except UnicodeDecodeError:
        raise ValueError("not JSON: bytes in it are no text") from None
    except ValueError:
        raise ValueError("a number in it is too long") from None


def check(values, rules, needed=()):
    """Raise InputError unless `values` is an object whose members obey the rules.

    values: of JSON; rules: {name: rule}; a name without a value is right, unless it is needed.
    """
    if not isinstance(values, dict):
        raise InputError("an object with names and values is needed")
    for name in needed:
        if name not in values:
            raise InputError(f"it lacks {name}")
    for name, (words, is_right) in rules.items():
        if name in values and not is_right(values[name]):
            value = escaped(f"{values[name]!r:.40}")
            raise InputError(f"{name} is {value}; it must be {words}")


def whole(least=0, most=MOST):
    """A whole number from `least` to `most`."""
    words = f"a whole number from {least:,}" + (f" to {most:,}" if most < MOST else "")
    return words, lambda value: type(value) is int and least <= value <= most


def number(least=-math.inf, most=math.inf, infinite=False):
    """A number from `least` to `most`; infinite: whether an infinity is one."""
    words = "a number" + (f" from {least:g}" if math.isfinite(least) else "")
    words += f" to {most:g}" if math.isfinite(most) else ""

    def is_right(value):
        if type(value) not in (int, float) or (type(value) is int and abs(value) > MOST):
            return False
        return least <= value <= most and (infinite or math.isfinite(value))

    return words, is_right


def positive():
    """A finite number above 0."""
    return "a number above 0", lambda value: number()[1](value) and value > 0


def choice(names):
    """One of some names, a collection that may still grow."""
    return f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names


def boolean():
    """True or false."""
    return "true or false", lambda value: isinstance(value, bool)


def text():
    """A text that is not absurdly long."""
    return "a text", _is_text


def texts(most, printed=False):
    """A list of up to `most` such texts. printed: whether each must be fit for a terminal."""
    words = f"a list of up to {most:,} {'printable ' * printed}texts"

    def is_right(value):
        if not isinstance(value, list) or len(value) > most:
            return False
        return all(_is_text(text) and (text.isprintable() or not printed) for text in value)

    return words, is_right


def wholes(most=MOST):
    """A list of whole numbers from 0 to `most`."""
    _, is_whole = whole(0, most)
    return (
        f"a list of whole numbers from 0 to {most:,}",
        lambda value: isinstance(value, list) and all(map(is_whole, value)),
    )


def pairs_of_texts():
    """A list of pairs of texts."""

    def is_right(value):
        pairs = isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)
        return pairs and all(isinstance(text, str) for pair in value for text in pair)

    return "a list of pairs of texts", is_right


def anything_named():
    """An object of any values."""
    return "an object with names and values", lambda value: isinstance(value, dict)


def optional(rule):
    """What the rule says, or null."""
    words, is_right = rule
    return f"{words}, or null", lambda value: value is None or is_right(value)


def _is_text(value):
    return isinstance(value, str) and len(value) <= LONGEST_TEXT
