"""The report of benchmarks/reproduction, in four stages, by one command that can be stopped.

    python -m benchmarks.full_report --data FOLDER [--only STAGE ...] [--out runs/reproduction]

    main    one seed, 1,000,000 examples per model, the seven models, three rows of our own and
            the baselines, tested in all keys with both predictors
    seeds   two further seeds of the seven models, 300,000 examples each, tested as written
    folds   five folds of the training pieces, 200,000 examples per training; whole pieces by them
    width   the seven models at the paper's width, 300,000 examples each

After each stage the report is written anew, with what there is; the same command goes on where it
was stopped. Two commands with different stages may run at the same time, each with one BLAS thread
(OPENBLAS_NUM_THREADS=1). In all it takes some nine hours of two cores.
"""

import json
from pathlib import Path

from benchmarks import ablations, pieces
from benchmarks.machine import RESULTS
from benchmarks.parser import BenchmarkParser
from tinyembed import reproduce
from tinyembed.cli.options import count, folder, music
from tinyembed.cli.running import run
from tinyembed.embedding.trained import packaged
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.rows import ROWS
from tinyembed.models.table import PAPER_MODELS
from tinyembed.report.access import dig
from tinyembed.report.write import write_report
from tinyembed.storage.files import write_json
from tinyembed.stores.sources import as_typed

REPORT = Path(__file__).parent / "reproduction"
FOLDS = 5
KEYS = 12  # in which the main stage tests
IN_FOLDS = ("base", "regularized", "composer", "composer,intervals=64")  # of benchmarks/ablated.py
IN_MAIN, IN_SEEDS, AT_PAPER_WIDTH = tuple(ROWS), PAPER_MODELS, PAPER_MODELS


def main(argv=None):
    parser = BenchmarkParser("full_report", __doc__.splitlines()[0])
    parser.add_argument("--data", type=music, required=True, metavar="FOLDER", help="the music")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), help="stages")
    parser.add_argument("--examples", type=count, default=1_000_000, help="of main, per model")
    parser.add_argument("--fewer", type=count, default=300_000, help="of seeds and width")
    parser.add_argument("--folds-examples", type=count, default=200_000, help="per fold")
    parser.add_argument("--lstm-steps", type=count, default=prediction.STEPS, help="of a predictor")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help="of a classifier"
    )
    parser.share("--device")
    parser.add_argument("--out", type=folder, default="runs/reproduction", help="folder to work in")
    options = parser.parse_args(argv)
    for name in STAGES:
        if name in options.only:
            if status := STAGES[name](options):
                return status
            report(options)
    print(f"Next: read {REPORT}/report.md")
    return 0


def reproduction(options, stage, *words):
    """One run of tinyembed.reproduce, in a folder of its own. Returns its exit status."""
    place = str(Path(options.out) / stage)
    words = ["--data", as_typed(options.data), "--device", options.device, *words, "--out", place]
    return reproduce.main([*words, *steps(options)])


def steps(options):
    names = "lstm_steps", "classifier_steps"
    return [w for n in names for w in (f"--{n.replace('_', '-')}", str(getattr(options, n)))]


def run_main(options):
    words = ["--examples", str(options.examples), "--keys", str(KEYS), "--models", *IN_MAIN]
    return reproduction(options, "main", *words)


def run_seeds(options):
    words = ["--examples", str(options.fewer), "--seed", "1", "--seeds", "2"]
    words += ["--models", *IN_SEEDS, "--baselines"]  # none
    return reproduction(options, "seeds", *words)


def run_width(options):
    words = ["--examples", str(options.fewer), "--width", "paper", "--models", *AT_PAPER_WIDTH]
    words += ["--baselines"]  # none
    return reproduction(options, "width", *words)


def run_folds(options):
    place = Path(options.out) / "folds"
    words = ["--data", options.data, "--folds", str(FOLDS), "--only", *IN_FOLDS]
    words += ["--examples", str(options.folds_examples), "--out", str(place)]
    classifier = ["--classifier-steps", str(options.classifier_steps)]
    lstm = ["--lstm-steps", str(min(options.lstm_steps, ablations.LSTM_STEPS))]
    if status := ablations.main([*words, *lstm, *classifier]):
        return status
    encoders = [str(place / f"{name}-seed0-fold{{}}of{FOLDS}") for name in IN_FOLDS]
    return pieces.main(["--data", options.data, "--weights", *packaged(), *encoders, *classifier])


STAGES = {"main": run_main, "seeds": run_seeds, "folds": run_folds, "width": run_width}


def report(options):
    """Write the report and its results with the stages that are there.

    A stage that has no results in --out keeps those of the last report, so that stages can be run
    on different machines.
    """
    home, last = Path(options.out), read(REPORT / "results.json") or {}
    files = {
        "seeds": home / "seeds" / "results.json",
        "folds": RESULTS / "folds.json",
        "pieces": newest(RESULTS / "pieces.json", RESULTS / "pieces-plain.json"),
        "width": home / "width" / "results.json",
    }
    beside = {name: read(file) or dig(last, "beside", name) for name, file in files.items()}
    results = main_results(read(home / "main" / "results.json"), last, options)
    results["beside"] = {name: found for name, found in beside.items() if found}
    REPORT.mkdir(exist_ok=True)
    write_json(REPORT / "results.json", results)
    write_report(REPORT, results)


def main_results(found, last, options):
    """Those of the first stage, or until it is done those of the last report.

    These are marked as earlier unless they are of the same size.
    """
    command = f"python -m benchmarks.full_report --data {as_typed(options.data)}"
    if found:
        return {**found, "command": command}
    size = {"examples": options.examples, "keys": KEYS}
    settings = dig(last, "settings") or {}
    same = all(settings.get(name) == value for name, value in size.items())
    return {**last, "command": command} if same else {**last, "earlier": True}


def read(file):
    """The contents of a JSON file, or None where it is missing."""
    return json.loads(file.read_text()) if file.exists() else None


def newest(*paths):
    """The file that was written last: without numba a benchmark writes another one."""
    return max(paths, key=lambda path: path.stat().st_mtime if path.exists() else 0)


if __name__ == "__main__":
    run(main)
