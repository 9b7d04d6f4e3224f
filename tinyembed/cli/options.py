"""The options that commands share: one name and one parser for each."""

import argparse
import os

from tinyembed.embedding.trained import DEFAULT
from tinyembed.errors import InputError
from tinyembed.models.table import WIDTHS
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.sources import as_absolute, as_typed


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

    def error(self, message):
        raise InputError(f"{message} ({self.prog} --help lists the options)")


def add_data(parser):
    """--data, --any-meter and --splits: the music, and which pieces of it are for testing."""
    add_music(parser)
    add_any_meter(parser)
    parser.add_argument(
        "--splits",
        type=path,
        metavar="FILE",
        help="table of composer, file and train or test (default: splits.tsv in or beside DIR)",
    )


def add_music(parser):
    """--data: the music."""
    parser.add_argument(
        "--data",
        type=music,
        metavar="DIR",
        help="folder of MIDI files, one subfolder per composer; or the name of a corpus to "
        f"download, {' or '.join(CORPORA)} (default: scores from music21)",
    )


def add_any_meter(parser):
    """--any-meter: accept meters that the models were not trained on (section 3.1)."""
    parser.add_argument(
        "--any-meter",
        action="store_true",
        help="also take pieces whose time signature does not count in quarter notes",
    )


def add_inference(parser):
    """--model, --any-meter, --device and --json: the options to apply a trained model."""
    parser.add_argument(
        "--model",
        type=folder,
        default=DEFAULT,
        help="a model of the package, the folder of a run, or a weight file",
    )
    add_any_meter(parser)
    add_device(parser)
    add_json(parser)


def add_width(parser, default="small"):
    """--width: the size of the network."""
    parser.add_argument("--width", choices=list(WIDTHS), default=default, help="network size")


def add_device(parser):
    """--device: CPU or GPU."""
    parser.add_argument(
        "--device", choices=["auto", "cpu", "gpu"], default="auto", help="auto: a GPU if usable"
    )


def add_seed(parser):
    """--seed: of all random numbers."""
    parser.add_argument("--seed", type=count, default=0, help="seed of all random numbers")


def add_json(parser):
    """--json: results for a program to read."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def count(text):
    """A whole number, 0 or more, for argparse; "150_000" and "150,000" are accepted too."""
    try:
        number = int(text.replace(",", ""))
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return number


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
    """The path of a folder or a file, for argparse: as it was given, but not empty."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return text


def path(text):
    """A path, for argparse: absolute, so that a run can be resumed from another folder."""
    return os.path.abspath(folder(text))


def music(text):
    """The argument of `--data`, for argparse: the name of a corpus, or else an absolute path.

    A folder with the name of a corpus is given as ./asap.
    """
    return as_absolute(folder(text))


def music_words(data, any_meter=False, splits=None):
    """The options of a command that name its music, to print: ["--data", ...]."""
    words = ["--data", as_typed(data)] if data else []
    words += ["--any-meter"] if any_meter else []
    return words + (["--splits", as_typed(splits)] if splits else [])


def model_words(options):
    """The options --model and --any-meter of a command, to print: [] if they are the defaults."""
    words = ["--model", options.model] if options.model != DEFAULT else []
    return words + (["--any-meter"] if options.any_meter else [])
