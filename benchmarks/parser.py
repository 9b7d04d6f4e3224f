"""The parser of a benchmark: it keeps the command as it was given, for the results."""

import os
import shlex
import sys
from pathlib import Path

from tinyembed.cli.options import Parser

THREADS = "OPENBLAS_NUM_THREADS"  # changes what is measured, so it belongs to the command


class BenchmarkParser(Parser):
    """The parser of `python -m benchmarks.NAME`; what it returns has `command`, a text."""

    def __init__(self, name, description):
        super().__init__(name, description)
        self.prog = f"python -m benchmarks.{name}"

    def parse_args(self, args=None, namespace=None):
        """As in argparse."""
        options = super().parse_args(args, namespace)
        words = [f"{word}" for word in (sys.argv[1:] if args is None else args)]
        shown = [_short(word) for word in words if word != "--json"]
        threads = [f"{THREADS}={os.environ[THREADS]}"] if THREADS in os.environ else []
        options.command = shlex.join([*threads, *self.prog.split(), *shown])
        return options


def _short(word):
    """A word of a command; of a path that means something on one machine only, its last part."""
    away = os.path.isabs(word) or os.pardir in Path(word).parts
    return os.path.basename(os.path.normpath(word)) if away else word
