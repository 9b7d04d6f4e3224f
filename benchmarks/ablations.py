"""What the contrastive model's numbers depend on: each row changes one thing.

    python -m benchmarks.ablations --data FOLDER [--only ROW...] [--seeds 1] [--folds N] [--json]

Every row is a training of as many units (ablated.py lists them), then both experiments with a
short LSTM, judged on the validation pieces; or with --folds, N trainings, each judged on another
Nth of all training pieces (folds.py). Each result is kept in --out as soon as it is there, so a run
that was stopped goes on with the same command, and rows may be made by several processes at once;
the table is of all rows that are there.
"""

import json
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.ablated import ROWS
from benchmarks.ablated_training import train
from benchmarks.folds import as_in_the_test, between, holding_out
from benchmarks.machine import RESULTS, machine
from benchmarks.parser import BenchmarkParser
from tinyembed.backends import choice
from tinyembed.cli.options import count, folder, music
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.experiments import Dataset, run_composers, run_prediction
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.piece_folds import folds_of
from tinyembed.evaluation.results import KINDS, Answers, composer_scores
from tinyembed.models.weights import load_weights
from tinyembed.music.corpus import Corpus
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.storage.files import write_json
from tinyembed.stores.sources import as_typed, open_corpus
from tinyembed.training.runs import Run
from tinyembed.training.trainer import fingerprint

EXAMPLES = 200_000
LSTM_STEPS = 600
MOST_SEEDS = 99
SHOWN = ("median", "mrr", "recall_at_10")


def main(argv=None):
    parser = BenchmarkParser("ablations", __doc__.splitlines()[0])
    parser.add_argument("--data", type=music, required=True, metavar="FOLDER", help="the music")
    parser.add_argument("--only", nargs="+", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--examples", type=count, default=EXAMPLES, help="units of each training")
    parser.add_argument("--lstm-steps", type=count, default=LSTM_STEPS, help="of 100 sequences")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    parser.add_argument("--seeds", type=count, default=1, help="trainings of each row")
    parser.add_argument(
        "--folds", type=count, help="train so often, judged on another part of all pieces each time"
    )
    parser.add_argument("--composers", action="store_true", help="leave the prediction out")
    parser.add_argument("--out", type=folder, default="runs/ablations", help="folder to work in")
    parser.share("--json")
    options = parser.parse_args(argv)
    for name in options.only or ():
        if name not in ROWS:
            raise InputError(f"--only {name}: choose among {', '.join(ROWS)}")
    choice.use()
    corpus = open_corpus(options.data)
    for seed in range(options.seeds):
        for part in parts(corpus, seed, options.folds):
            for name in options.only or ROWS:
                measure(name, part, options)
    result = collect(options, corpus)
    name = ("folds-composers" if options.composers else "folds") if options.folds else "ablations"
    write_json(RESULTS / f"{name}.json", result)
    print(json.dumps(result) if options.json else table(result))
    return 0


@dataclass(frozen=True)
class Part:
    """What the trainings of one seed, or of one seed and fold, are judged on.

    label: in the names of files; corpus: whose training pieces are trained on; dataset: whose test
    passages are judged.
    """

    label: str
    seed: int
    corpus: Corpus
    dataset: Dataset


def parts(corpus, seed, n_folds=None):
    """All parts of a seed, one after the other; one key of each training piece is enough here."""
    if n_folds is None:
        dataset = Dataset.build(corpus, seed)
        dataset = replace(dataset, train=in_one_key(dataset.train), test=dataset.validation)
        yield Part(f"seed{seed}", seed, corpus, dataset)
        return
    try:
        fold = folds_of(corpus, n_folds)
    except InputError as error:
        raise InputError(f"--folds {n_folds}: {error}") from None
    for k in range(n_folds):
        rest = holding_out(corpus, fold == k)
        dataset = Dataset.build(rest, seed)
        judged = Passages.of(rest, np.flatnonzero(fold == k))
        dataset = replace(dataset, train=in_one_key(dataset.train), test=judged)
        yield Part(f"seed{seed}-fold{k}of{n_folds}", seed, rest, dataset)


def in_one_key(passages):
    """The passages of pieces as they are written."""
    return type(passages).of(passages.corpus, np.unique(passages.piece), 1)


def files_of(name, part, options):
    """Where the answers of a row are kept, by experiment."""
    tasks = ("composers",) if options.composers else ("prediction", "composers")
    return {task: Path(options.out) / f"{name}-{part.label}-{task}.npz" for task in tasks}


def measure(name, part, options):
    """Train and evaluate one row, as far as that is not done yet."""
    row = ROWS[name]
    answers = files_of(name, part, options)
    missing = {task: file for task, file in answers.items() if not file.exists()}
    if not missing:
        return
    place = Path(options.out) / f"{row.trained_as or name}-{part.label}"
    tell(f"{name}, {part.label}: training")
    train(ROWS[row.trained_as or name], part.seed, part.corpus, place, options.examples)
    model, _ = load_weights(Run(place).weights_file)
    tell(f"{name}, {part.label}: embedding, {' and '.join(missing)}")
    embeddings = {key: row.change(e) for key, e in embed(model, part.dataset).items()}
    # The pieces that would choose how much of the last unit to add are the ones judged on here.
    recipe = replace(prediction.RECIPE, last_unit=(0.0,), **dict(row.predictor))
    steps = options.lstm_steps
    if row.without_lstm:  # as it begins, when it adds nothing to the shortcut
        recipe, steps = replace(recipe, warm_up=recipe.warm_up * steps, rate=0.0), 1
    dataset, seen = part.dataset, options.classifier_steps
    tasks = {
        "prediction": lambda: run_prediction(dataset, embeddings, np, steps, False, recipe),
        "composers": lambda: run_composers(dataset, embeddings, np, seen, False),
    }
    for task, file in missing.items():
        save_arrays(file, {key: np.asarray(value) for key, value in tasks[task]().items()})


def embed(model, dataset):
    """The embeddings of training, validation and judged pieces; the last two may be the same."""
    train, test = (getattr(dataset, name).embed(model.encode, False) for name in ("train", "test"))
    same = dataset.validation is dataset.test
    validation = test if same else dataset.validation.embed(model.encode, False)
    return {"train": train, "validation": validation, "test": test}


def collect(options, corpus):
    """All rows whose answers are there, each over all its seeds."""
    rows = {}
    names = [name for name in ROWS if any(Path(options.out).glob(f"{name}-seed*-composers.npz"))]
    found = {name: [] for name in names}  # an `Answers` for each seed
    for seed in range(MOST_SEEDS):
        if not any(Path(options.out).glob(f"*-seed{seed}-*composers.npz")):
            continue
        of_seed = list(parts(corpus, seed, options.folds))
        for name in names:
            files = [files_of(name, part, options) for part in of_seed]
            if all(file.exists() for several in files for file in several.values()):
                found[name].append(answers_of(of_seed, files))
    for name in names:
        if not found[name]:
            continue
        words = ["--data", as_typed(options.data), "--only", name, "--seeds", len(found[name])]
        words += ["--folds", options.folds] if options.folds else []
        words += ["--examples", options.examples] if options.examples != EXAMPLES else []
        words += ["--composers"] if options.composers else []
        rows[name] = {
            "says": ROWS[name].says,
            "command": shlex.join(["python", "-m", "benchmarks.ablations", *map(str, words)]),
            "seeds": len(found[name]),
            **numbers(sum_of(found[name]), corpus, options),
            "each_seed": [numbers(answers, corpus, options) for answers in found[name]],
        }
    return {
        "examples": options.examples,
        "lstm_steps": options.lstm_steps,
        **({"folds": options.folds, "between": between(found)} if options.folds else {}),
        "corpus": fingerprint(corpus)[:12],
        "rows": rows,
        "machine": machine(),
    }


def answers_of(of_seed, files):
    """The answers about all parts of a seed, as one."""
    answers = Answers()
    for part, several in zip(of_seed, files, strict=True):
        for task, file in several.items():
            getattr(answers, task).append(load_arrays(file))
        answers.pieces.append(part.dataset.target_pieces())
    answers.seeds = [part.seed for part in of_seed]
    return answers


def sum_of(several):
    """All answers as one."""
    pooled = Answers()
    pooled.seeds = []
    for answers in several:
        for kind in ("prediction", "composers", "pieces", "seeds"):
            getattr(pooled, kind).extend(getattr(answers, kind))
    return pooled


def numbers(answers, corpus, options):
    """What a row of the table says."""
    found = {}
    for who in () if options.composers else ("", "repetition_"):
        entry = answers.rank_entry(who)
        for kind in KINDS:
            found[who + kind] = {key: entry[kind][key] for key in SHOWN}
    scores = composer_scores(answers.composers, corpus.composers, answers.seeds)
    found["accuracy"], found["interval"] = scores["accuracy"], scores["interval"]
    found["accuracy_of_pieces"] = scores["pieces"]["accuracy"]
    if options.folds:
        found["as_in_the_test"] = as_in_the_test(scores, corpus)
    return found


def table(result):
    """The same for people, in Markdown."""
    rows = list(result["rows"].values())
    with_ranks, with_folds = ("rank" in rows[0], "folds" in result) if rows else (True, False)
    heads = ["", "seeds"]
    if with_ranks:
        heads += ["random: median", "mrr", "same piece: median", "mrr", "the last unit: mrr", "mrr"]
    heads += ["units", "pieces"]
    if with_folds:
        heads += ["composers as in the test: units", "pieces"]
    lines = [
        f"| {' | '.join(heads)} |".replace("|  |", "| |"),
        "| --- |" + (len(heads) - 1) * " ---: |",
    ]
    for row in rows:
        cells = [row["says"], str(row["seeds"])]
        if with_ranks:
            ranks = [row[who + kind] for who in ("", "repetition_") for kind in KINDS]
            cells += [f"{entry['median']:.1f} | {entry['mrr']:.3f}" for entry in ranks[:2]]
            cells += [f"{entry['mrr']:.3f}" for entry in ranks[2:]]
        shares = [row["accuracy"], row["accuracy_of_pieces"]]
        if with_folds:
            shares += [row["as_in_the_test"][kind] for kind in ("units", "pieces")]
        lines.append(f"| {' | '.join([*cells, *(f'{share:.3f}' for share in shares)])} |")
    return "\n".join(lines)


def tell(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
