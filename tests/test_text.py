"""Names of files as text to show and store, and as words of a command to paste."""

import io
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.storage import text
from tinyembed.storage.text import escaped, printable, quoted

DVORAK = "Dvo\u0159\u00e1k"
names = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.text(min_size=1, max_size=20).map(lambda s: s.encode("utf-8", "surrogatepass")),
).filter(lambda name: b"\0" not in name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"Bach/a b.mid", "Bach/a b.mid"),
        (DVORAK.encode(), DVORAK),
        (unicodedata.normalize("NFD", DVORAK).encode(), DVORAK),
        (b"\xff.mid", "\\xff.mid"),
        (b"Dvo\xf8\xe1k", "Dvo\\xf8\\xe1k"),  # Latin-2
        (b"a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"),
        ("a\u202eb\u00a0".encode(), "a\\u202eb\\xa0"),
        (b"it's \\here", "it's \\here"),
        ("\x0e\u0300".encode(), "\\x0\u00e8"),  # an accent after an escape
    ],
)
def test_what_is_shown(name, shown):
    """Whatever the locale: it decodes the name with UTF-8, or with ASCII."""
    for encoding in ("utf-8", "ascii"):
        decoded = name.decode(encoding, "surrogateescape")
        assert printable(decoded) == printable(Path(decoded)) == shown


@given(names)
def test_any_name_becomes_one_printable_line(name):
    shown = printable(name.decode("utf-8", "surrogateescape"))
    assert shown.isprintable() and shown == unicodedata.normalize("NFC", shown)
    shown.encode("utf-8")
    assert shown == printable(name.decode("ascii", "surrogateescape")) == printable(shown)


@given(st.text())
def test_text_from_elsewhere(words):
    """Such as a name in splits.tsv, or one with surrogates that no file system gives."""
    assert escaped(words) == escaped(escaped(words)) and escaped(words).isprintable()
    if not any("\ud800" <= c <= "\udfff" for c in words):
        assert escaped(words) == printable(words)
    assert printable(words).isprintable()


def test_a_locale_that_cannot_encode_the_text(monkeypatch):
    """Under LC_ALL=POSIX a name from a table has letters that no name of a file there has."""

    def fsencode(name):
        return os.fspath(name).encode("ascii", "surrogateescape")

    monkeypatch.setattr(text.os, "fsencode", fsencode)
    assert printable(DVORAK) == printable(DVORAK.encode().decode("ascii", "surrogateescape"))
    assert quoted(DVORAK) == f"'{DVORAK}'"


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@given(st.lists(names, min_size=1, max_size=30), st.sampled_from(["utf-8", "ascii", "cp1252"]))
@settings(max_examples=40, deadline=None)
def test_a_shell_reads_the_same_word_on_any_terminal(words, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        line = " ".join(quoted(os.fsdecode(word)) for word in words)
    line.encode(encoding)
    assert line.isprintable()
    script = b"printf '%s\\0' " + line.encode()
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == words


def test_ordinary_words_are_left_alone():
    for word in ("python", "-m", "tinyembed.search", "music/Bach/a.mid", "--beat", "0"):
        assert quoted(word) == word
    assert quoted("a b.mid") == "'a b.mid'" and quoted("") == "''"
