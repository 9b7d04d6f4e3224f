"""What evaluate and reproduce share: the experiments' options, and how results are presented."""

import json
import shlex
import sys

from tinyembed.cli.options import count
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.report.write import write_report
from tinyembed.storage.files import write_json


def add_experiments(parser):
    """--keys, --lstm-steps and --classifier-steps: how both experiments are run."""
    parser.add_argument(
        "--keys", type=int, choices=[1, 12], default=1, help="test as written, or in all keys"
    )
    for option, experiment, what in (
        ("--lstm-steps", prediction, "LSTM"),
        ("--classifier-steps", composers, "classifier"),
    ):
        text = f"training steps of the {what}, on batches of {experiment.BATCH}"
        parser.add_argument(option, type=count, default=experiment.STEPS, metavar="N", help=text)


def check_counts(options, *names):
    """Raise InputError unless each of these options is at least 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} 0: at least 1 is needed")


def present(folder, results, parser, argv, as_json):
    """Write results.json and the report, and print where they are, or the results as JSON.

    folder: a Path; argv: as main() was called with.
    """
    words = [*parser.prog.split(), *(sys.argv[1:] if argv is None else argv)]
    results = {**results, "command": shlex.join(words)}
    write_json(folder / "results.json", results)
    write_report(folder, results)
    if as_json:
        print(json.dumps(results))
    else:
        print(f"\nRead {folder}/report.md, or open {folder}/report.html in a browser.")
        print(f"The numbers are in {folder}/results.json.")
