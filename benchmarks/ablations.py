"""What the eighth model's numbers depend on: one thing changed at a time, all else equal.

    python -m benchmarks.ablations --data FOLDER [--only ROW...] [--seeds 1] [--json]

Every row is a training of as many units (ablated.py lists them), then both experiments with a
short LSTM, judged on the validation pieces. Each result is kept in --out as soon as it is there, so
a run that was stopped goes on with the same command, and rows may be made by several processes at
once; the table is of all rows that are there.
"""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ablated import ROWS
from benchmarks.machine import RESULTS, machine
from tinyembed.command import Parser, add_json, count, folder, music, run
from tinyembed.compiled import switch_on
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.experiments import Stage, run_composers, run_prediction
from tinyembed.evaluation.results import KINDS, Answers
from tinyembed.models import MODELS
from tinyembed.music.sources import open_corpus, spelled
from tinyembed.runs import Run, load_arrays, load_weights, save_arrays, write_json
from tinyembed.trainer import Trainer, fingerprint

EXAMPLES = 200_000
LSTM_STEPS = 600
SHOWN = ("median", "mrr", "recall_at_10")


def main(argv=None):
    parser = Parser("ablations", __doc__.splitlines()[0])
    parser.prog = "python -m benchmarks.ablations"
    parser.add_argument("--data", type=music, required=True, metavar="FOLDER", help="the music")
    parser.add_argument("--only", nargs="+", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--examples", type=count, default=EXAMPLES, help="units of each training")
    parser.add_argument("--lstm-steps", type=count, default=LSTM_STEPS, help="of 100 sequences")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    parser.add_argument("--seeds", type=count, default=1, help="trainings of each row")
    parser.add_argument("--out", type=folder, default="runs/ablations", help="folder to work in")
    add_json(parser)
    options = parser.parse_args(argv)
    for name in options.only or ():
        if name not in ROWS:
            raise InputError(f"--only {name}: choose among {', '.join(ROWS)}")
    switch_on()
    corpus = open_corpus(options.data)
    for seed in range(options.seeds):
        stage = Stage.build(corpus, seed)
        # One key of each training piece is enough here; ranks are of the validation pieces.
        stage = replace(stage, train=in_one_key(stage.train), test=stage.validation)
        for name in options.only or ROWS:
            measure(name, seed, corpus, stage, options)
    result = collect(options, corpus)
    write_json(RESULTS / "ablations.json", result)
    print(json.dumps(result) if options.json else table(result))
    return 0


def in_one_key(passages):
    """The passages of pieces as they are written."""
    return type(passages).of(passages.corpus, np.unique(passages.piece), 1)


def measure(name, seed, corpus, stage, options):
    """Train and evaluate one row, as far as that is not done yet."""
    row = ROWS[name]
    home = Path(options.out)
    place = home / f"{row.trained_as or name}-seed{seed}"
    answers = {task: home / f"{name}-seed{seed}-{task}.npz" for task in ("prediction", "composers")}
    if all(file.exists() for file in answers.values()):
        return
    tell(f"{name}, seed {seed}: training")
    train(ROWS[row.trained_as or name], seed, corpus, place, options.examples)
    model, _ = load_weights(Run(place).weights_file)
    tell(f"{name}, seed {seed}: embedding, LSTM, classifier")
    embeddings = {key: row.change(e) for key, e in embed(model, stage).items()}
    # The pieces that would choose how much of the last unit to add are the ones judged on here.
    recipe = replace(prediction.RECIPE, last_unit=(0.0,), **dict(row.predictor))
    steps = options.lstm_steps
    if row.without_lstm:  # as it begins, when it adds nothing to the shortcut
        recipe, steps = replace(recipe, warm_up=recipe.warm_up * steps, rate=0.0), 1
    found = {
        "prediction": run_prediction(stage, embeddings, np, steps, False, recipe),
        "composers": run_composers(stage, embeddings, np, options.classifier_steps, False),
    }  # fmt: skip
    for task, file in answers.items():
        save_arrays(file, {key: np.asarray(value) for key, value in found[task].items()})


def train(row, seed, corpus, place, examples):
    """Train the model of a row to its end, or go on where that was left."""
    spec = MODELS[row.model]
    size = row.batch_size or spec.batch_size
    config = {
        "model": row.model,
        "width": row.width,
        "examples": examples // size * size,
        "batch_size": size,
        "seed": seed,
        "learning_rate": 1e-3,
        "temperature": row.temperature or spec.temperature,
        "negatives": row.negatives,
    }
    there = (place / "config.json").exists()
    training_run = Run(place) if there else Run.create(place, {**config, "row": str(row)})
    trainer = Trainer(training_run, config, corpus, np)
    if row.examples:
        trainer.examples = row.examples(corpus, trainer.model.spec, trainer.pieces, seed)
    if there:
        trainer.resume()
    trainer.train()


def embed(model, stage):
    """The embeddings of training and validation pieces; the latter are tested too."""
    found = {name: getattr(stage, name).embed(model.encode, False) for name in ("train", "test")}
    return {**found, "validation": found["test"]}


def collect(options, corpus):
    """All rows whose answers are there, each over all its seeds."""
    rows = {}
    for name, row in ROWS.items():
        seeds = [
            n for n in range(99)
            if all((Path(options.out) / f"{name}-seed{n}-{task}.npz").exists()
                   for task in ("prediction", "composers"))
        ]  # fmt: skip
        if not seeds:
            continue
        pooled, each = Answers(), []
        for n in seeds:
            stage = Stage.build(corpus, n)
            one = Answers()
            for answers in (pooled, one):
                for task in ("prediction", "composers"):
                    file = Path(options.out) / f"{name}-seed{n}-{task}.npz"
                    getattr(answers, task).append(load_arrays(file))
                answers.pieces.append(replace(stage, test=stage.validation).target_pieces())
            each.append(numbers(one, corpus))
        words = ["--data", spelled(options.data), "--only", name, "--seeds", len(seeds)]
        rows[name] = {
            "says": row.says,
            "command": shlex.join(["python", "-m", "benchmarks.ablations", *map(str, words)]),
            "seeds": len(seeds),
            **numbers(pooled, corpus),
            "each_seed": each,
        }
    return {
        "examples": options.examples,
        "lstm_steps": options.lstm_steps,
        "corpus": fingerprint(corpus)[:12],
        "rows": rows,
        "machine": machine(),
    }


def numbers(answers, corpus):
    """What a row of the table says."""
    found = {}
    for who in ("", "repetition_"):
        entry = answers.rank_entry(who)
        for kind in KINDS:
            found[who + kind] = {key: entry[kind][key] for key in SHOWN}
    scores = answers.composer_entry(corpus.composers)
    return {
        **found,
        "accuracy": scores["accuracy"],
        "accuracy_of_pieces": scores["pieces"]["accuracy"],
    }


def table(result):
    """The same for people, in Markdown."""
    lines = [
        "| | seeds | random: median | mrr | same piece: median | mrr | the last unit: mrr | mrr "
        "| units | pieces |",
        "| --- |" + 9 * " ---: |",
    ]
    for row in result["rows"].values():
        ranks = [row[who + kind] for who in ("", "repetition_") for kind in KINDS]
        cells = [
            str(row["seeds"]),
            *(f"{entry['median']:.1f} | {entry['mrr']:.3f}" for entry in ranks[:2]),
            *(f"{entry['mrr']:.3f}" for entry in ranks[2:]),
            f"{row['accuracy']:.3f}",
            f"{row['accuracy_of_pieces']:.3f}",
        ]
        lines.append(f"| {row['says']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tell(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
