"""Names of files, and other text from elsewhere, made safe to show, to store and to paste.

A name on a disk is bytes. Python decodes it as the locale says, so the same name is another string
in another locale, with surrogates for bytes that are no text there. The text made here is the same
in every locale. A name could also hold the codes that move a terminal's cursor or change its title.
"""

import os
import shlex
import sys
import unicodedata


def printable(name):
    """A path, or any text for a terminal, a table, JSON or splits.tsv.

    name: a str or path, as the operating system gave it. Bytes that are not UTF-8 and characters
    that cannot be printed are escaped. Accents are composed (NFC): macOS decomposes them.
    """
    return escaped(_bytes(name).decode("utf-8", "backslashreplace"))


def escaped(text):
    """A name that was read as UTF-8 text, not as a path, in the form that `printable` gives it."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return unicodedata.normalize("NFC", text)  # an accent may follow the last letter of an escape


def quoted(word):
    """A word of a command, to paste into a shell: in quotes if it needs them.

    A word that the terminal cannot show is written byte by byte, as in $'Dvo\\305\\231\\303\\241k',
    which bash and zsh read.
    """
    data = _bytes(word)
    try:
        text = data.decode("utf-8")
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        if text.isprintable():
            return shlex.quote(text)
    except UnicodeError:
        pass
    return "$'" + "".join(chr(b) if chr(b) in _PLAIN else f"\\{b:03o}" for b in data) + "'"


_PLAIN = {chr(code) for code in range(32, 127)} - set("\\'")


def _bytes(name):
    """A name as it stands on the disk."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # text from elsewhere, which this locale cannot encode
        return os.fspath(name).encode("utf-8", "backslashreplace")
