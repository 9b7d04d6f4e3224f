"""What all commands share: one way to name an option, one way to fail, one way to be stopped."""

import argparse
import os

from tinyembed.embedding.embed import DEFAULT
from tinyembed.errors import InputError
from tinyembed.models.table import WIDTHS
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.sources import located, spelled


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line, and which takes no abbreviated options."""

    def __init__(self, verb, description, **options):
        super().__init__(
            prog=f"python -m tinyembed.{verb}",
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def error(self, message):
        raise InputError(f"{message} ({self.prog} --help lists the options)")


def add_data(parser):
    """--data, --any-meter and --splits: which music, and which of it is for testing."""
    add_music(parser)
    parser.add_argument(
        "--splits",
        type=path,
        metavar="FILE",
        help="table of composer, file and train or test (default: splits.tsv in or beside DIR)",
    )


def add_music(parser):
    """--data and --any-meter: which music."""
    parser.add_argument(
        "--data",
        type=music,
        metavar="DIR",
        help="folder of MIDI files, one subfolder a composer; or the name of a corpus to "
        f"download, {' or '.join(CORPORA)} (default: scores from music21)",
    )
    add_any_meter(parser)


def add_any_meter(parser):
    """--any-meter: what the models were not trained on (section 3.1)."""
    parser.add_argument(
        "--any-meter",
        action="store_true",
        help="also take pieces whose time signature does not count in quarter notes",
    )


def add_model(parser):
    """--model: a trained one."""
    parser.add_argument(
        "--model",
        type=folder,
        default=DEFAULT,
        help="a model of the package, the folder of a run, or a weight file",
    )


def add_width(parser, default="small"):
    """--width: how large the network is."""
    parser.add_argument("--width", choices=list(WIDTHS), default=default, help="network size")


def add_device(parser):
    """--device: where it runs."""
    parser.add_argument(
        "--device", choices=["auto", "cpu", "gpu"], default="auto", help="auto: a GPU if usable"
    )


def add_seed(parser):
    """--seed: of everything random."""
    parser.add_argument("--seed", type=count, default=0, help="of everything random")


def add_json(parser):
    """--json: results for a program to read."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def count(text):
    """A whole number, 0 or more, for argparse; "150_000" and "150,000" are fine too."""
    try:
        number = int(text.replace(",", ""))
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return number


def path(text):
    """A path, for argparse: absolute, so that a run can be resumed from another folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return os.path.abspath(text)


def music(text):
    """What `--data` takes, for argparse: the name of a corpus, or else a path, as above.

    A folder that is called like a corpus is had as ./asap.
    """
    return located(text) if text else path(text)


def folder(text):
    """A folder to read or write, for argparse: as it was given, but not empty."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return text


def music_words(data, any_meter=False, splits=None):
    """The words of a command that name its music: ["--data", ...], to print for people."""
    words = ["--data", spelled(data)] if data else []
    words += ["--any-meter"] if any_meter else []
    return words + (["--splits", spelled(splits)] if splits else [])


def positive(text):
    """A number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0 or number == float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number
