"""What evaluate and reproduce share: the experiments' options, and how results are presented."""

import json
import sys

from tinyembed.cli.options import count
from tinyembed.evaluation import composers, prediction
from tinyembed.report.write import write_report
from tinyembed.storage.files import write_json
from tinyembed.storage.text import quoted


def add_experiments(parser):
    """--keys, --lstm-steps and --classifier-steps: how both experiments are run."""
    parser.add("--keys", "test as written, or in all keys", [1, 12], 1, type=int)
    words = f"training steps of the LSTM, on batches of {prediction.BATCH}"
    parser.add("--lstm-steps", words, count, prediction.STEPS, "N")
    words = f"training steps of the classifier, on batches of {composers.BATCH}"
    parser.add("--classifier-steps", words, count, composers.STEPS, "N")


def present(folder, results, parser, argv, as_json):
    """Write results.json and the report, and print where they are, or the results as JSON.

    folder: a Path; argv: as main() was called with.
    """
    words = [*parser.prog.split(), *(sys.argv[1:] if argv is None else argv)]
    results = {**results, "command": " ".join(map(quoted, words))}
    write_json(folder / "results.json", results)
    write_report(folder, results)
    if as_json:
        print(json.dumps(results))
    else:
        print(f"\nRead {folder}/report.md, or open {folder}/report.html in a browser.")
        print(f"The numbers are in {folder}/results.json.")
