"""The options that commands share: one name and one parser for each."""

import argparse
import itertools
import os

from tinyembed.embedding.trained import DEFAULT
from tinyembed.errors import InputError
from tinyembed.models.table import WIDTHS
from tinyembed.music.public_corpora import CORPORA
from tinyembed.storage.text import quoted
from tinyembed.stores.sources import as_absolute, as_typed


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors, which accepts no abbreviated options."""

    def __init__(self, verb, description, **options):
        super().__init__(
            prog=f"python -m tinyembed.{verb}",
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def add(self, names, help, kind=None, default=None, metavar=None, **more):
        """Add an option or an argument.

        names: such as "-o --out"; kind: a function of the text, a collection of choices, or None
        for an option without a value; more: as for `add_argument`.
        """
        if kind is None:
            more["action"] = "store_true"
        else:
            more |= {"type": kind} if callable(kind) else {"choices": list(kind)}
            more |= {"default": default, "metavar": metavar}
        self.add_argument(*names.split(), help=help, **more)

    def share(self, *names):
        """Add options of `SHARED`."""
        for name in names:
            self.add(name, *SHARED[name])

    def error(self, message):
        raise InputError(f"{message} ({self.prog} --help lists the options)")


def count(text):
    """A whole number, 0 or more, for argparse; "150_000" and "150,000" are accepted too."""
    try:
        number = int(text.replace(",", ""))
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return number


def share(text):
    """I/N, with I from 1 to N, as (I - 1, N), for argparse: one of several jobs' share."""
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N, such as 1/8 to 8/8")
    return int(i) - 1, int(n)


def positive(text):
    """A finite number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def folder(text):
    """The path of a folder or a file, for argparse: not empty, and valid as a word of a command."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return as_word(text)


def path(text):
    """A path, for argparse: absolute, so that a run can be resumed from another folder."""
    return os.path.abspath(folder(text))


def music(text):
    """The argument of `--data`, for argparse: the name of a corpus, or else an absolute path.

    A folder with the name of a corpus is given as ./asap.
    """
    return as_absolute(folder(text))


DATA = (
    "folder of MIDI files and scores, one subfolder per composer; a store that tinyembed.corpus "
    f"build made; or the name of a corpus to download, {' or '.join(CORPORA)} (default: scores "
    "from music21)"
)
SPLITS = "table of composer, file and train or test (default: splits.tsv in or beside DIR)"
SHARED = {  # the options that several commands have: the arguments of `Parser.add`
    "--data": (DATA, music, None, "DIR"),
    "--splits": (SPLITS, path, None, "FILE"),
    "--any-meter": ("also take pieces whose time signature does not count in quarter notes",),
    "--model": ("a model of the package, the folder of a run, or a weight file", folder, DEFAULT),
    "--width": ("network size", WIDTHS, "small"),
    "--device": ("auto: a GPU if usable", ["auto", "cpu", "gpu"], "auto"),
    "--seed": ("seed of all random numbers", count, 0),
    "--json": ("print one JSON object, nothing else",),
}


def check_counts(options, *names):
    """Raise InputError unless each of these options is at least 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} 0: at least 1 is needed")


def command(verb, *words):
    """A command to print, which works when it is pasted into a shell."""
    return " ".join(quoted(word) for word in ["python", "-m", f"tinyembed.{verb}", *words])


def as_word(path):
    """A path as a word of a command: a dash in front would begin an option."""
    return os.path.join(os.curdir, path) if path.startswith("-") else path


def numbered(stem, ending=""):
    """Names for a new file or folder, best first: a.mid, a-2.mid, a-3.mid, ..."""
    return (f"{stem}{f'-{n}' * (n > 1)}{ending}" for n in itertools.count(1))


def left_out_notes(corpus, settings):
    """A note on the files of a corpus that were left out, with the command that names them."""
    if not corpus.left_out:
        return []
    n, names = len(corpus.left_out), command("corpus", *music_words(settings))
    return [f"{n:,} file{'s' * (n > 1)} left out; {names} says which, and why"]


def music_words(settings):
    """The options of a command that name its music, to print: ["--data", ...].

    settings: a dict of data, any_meter and splits.
    """
    words = ["--data", as_typed(settings["data"])] if settings["data"] else []
    words += ["--any-meter"] if settings["any_meter"] else []
    return words + (["--splits", as_typed(settings["splits"])] if settings["splits"] else [])


def model_words(options):
    """The options --model and --any-meter of a command, to print: [] if they are the defaults."""
    words = ["--model", options.model] if options.model != DEFAULT else []
    return words + (["--any-meter"] if options.any_meter else [])
