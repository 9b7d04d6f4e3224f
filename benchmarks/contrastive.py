"""Is the contrastive model better than the paper's seven, and what does its predictor add?

    python -m benchmarks.contrastive RUN... [--beside FOLDER] [--json]

RUN: trainings of the contrastive model that `tinyembed.evaluate` has evaluated, one per seed; their
answers are pooled. --beside: a folder of `tinyembed.reproduce` on the same music, whose models of
seed 0 are compared with each run, test sequence by test sequence; p values are those of means of
pieces, by Wilcoxon's test, for seven comparisons.
"""

from pathlib import Path

import numpy as np

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import folder
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation.experiments import Dataset
from tinyembed.evaluation.results import KINDS, Answers, composer_scores
from tinyembed.evaluation.significance import compare, p_text
from tinyembed.models.table import MODELS, PAPER_MODELS
from tinyembed.storage.arrays import load_arrays
from tinyembed.stores.sources import open_corpus
from tinyembed.training.runs import Run

SHOWN = ("median", "iqr", "mrr", "recall_at_10")


def main(argv=None):
    parser = BenchmarkParser("contrastive", __doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=folder, metavar="RUN", help="evaluated trainings")
    parser.add_argument(
        "--beside", type=folder, default="runs/reproduction", help="the paper's models"
    )
    parser.share("--json")
    options = parser.parse_args(argv)
    _, config = Run.open(options.runs[0], needs=("data", "split_seed", "seed"))
    corpus = open_corpus(
        config["data"], config["split_seed"],
        any_meter=config["any_meter"], splits=config["splits"],
    )  # fmt: skip
    pieces = Dataset.build(corpus, config["seed"]).target_pieces()
    seeds = [read(Path(p) / "evaluation", "contrastive", pieces) for p in options.runs]
    ours = pool(seeds)
    rows = {
        "Contrastive": row(ours, corpus),
        "its last unit repeated": row(ours, corpus, "repetition_"),
    }
    tests = {"its last unit repeated": tests_of(ours, ours, "repetition_")}
    for name in PAPER_MODELS:
        theirs = pool([read(options.beside, f"{name}-seed0", pieces)] * len(seeds))
        title = MODELS[name].title
        rows[title], tests[title] = row(theirs, corpus), tests_of(ours, theirs)
    result = {
        "rows": rows,
        "each_seed": [row(pool([seed]), corpus) for seed in seeds],
        "tests": tests,
    }
    if not options.json:
        print(table(rows, tests))
    finish("contrastive", result, options)
    return 0


def read(place, label, pieces):
    """The answers of one embedding: of `run_prediction`, of `run_composers`, and the pieces."""
    answers = [
        Path(place) / "answers" / f"{label}-{what}.npz" for what in ("prediction", "composers")
    ]
    for file in answers:
        if not file.exists():
            raise InputError(f"{file}: not there; evaluate or reproduce makes it")
    prediction, composers = map(load_arrays, answers)
    if len(prediction["rank"]) != len(pieces):
        raise InputError(f"{answers[0]}: answers about other music")
    return prediction, composers, pieces


def pool(seeds):
    """Several seeds' answers as one `Answers`."""
    pooled = Answers()
    for prediction, composers, pieces in seeds:
        pooled.prediction.append(prediction)
        pooled.composers.append(composers)
        pooled.pieces.append(pieces)
    return pooled


def row(answers, corpus, who=""):
    """What a line of the table says."""
    found = {}
    for kind, entry in answers.rank_entry(who).items():
        if kind in KINDS:
            found[kind] = {name: entry[name] for name in (*SHOWN, "interval") if name in entry}
    if not who:
        scores = composer_scores(answers.composers, corpus.composers)
        found["accuracy"], found["interval"] = scores["accuracy"], scores["interval"]
        found["accuracy_of_pieces"] = scores["pieces"]["accuracy"]
    return found


def tests_of(ours, theirs, who=""):
    """Each kind of rank compared pair by pair, and by means of pieces."""
    tests = {}
    for kind in KINDS:
        a, b = (
            [np.asarray(p[w + kind]) for p in x.prediction] for x, w in ((ours, ""), (theirs, who))
        )
        a, b, pieces = np.concatenate(a), np.concatenate(b), np.concatenate(ours.pieces)
        both = ~np.isnan(a) & ~np.isnan(b)
        tests[kind] = compare(a[both], b[both], pieces[both], len(PAPER_MODELS))
    return tests


def table(rows, tests):
    """The same for people."""
    lines = [
        f"{'':28}{'random units':>34}{'units of the same piece':>36}{'composer':>18}",
        f"{'':28}"
        + 2 * f"{'median':>8}{'mrr':>8}{'in 10':>8}{'p':>11}"
        + f"{'units':>8}{'pieces':>8}",
    ]
    for name, found in rows.items():
        line = f"{name:28}"
        for kind in KINDS:
            entry = found[kind]
            p = tests[name][kind]["pieces"]["wilcoxon"]["p_bonferroni"] if name in tests else None
            line += f"{entry['median']:8.1f}{entry['mrr']:8.3f}{entry['recall_at_10']:8.3f}"
            line += f"{p_text(p) if p is not None else '':>11}"
        if "accuracy" in found:
            line += f"{found['accuracy']:8.3f}{found['accuracy_of_pieces']:8.3f}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
