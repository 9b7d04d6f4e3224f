"""python -m tinyembed.reproduce: the paper's seven models, two experiments, tables and figure."""

import json
import shlex
import sys

import numpy as np

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.compiled import switch_on
from tinyembed.backends.memory import room_on
from tinyembed.cli.options import (
    Parser,
    add_data,
    add_device,
    add_json,
    add_seed,
    add_width,
    count,
    folder,
    music_words,
)
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.baselines import pca_encoder, untrained_encoder
from tinyembed.evaluation.experiments import Stage, check_split, less_than, run_majority
from tinyembed.evaluation.results import (
    Answers,
    about,
    composer_scores,
    corpus_entry,
    entry_of,
    seconds_in_all,
    significance,
    warnings_of,
)
from tinyembed.evaluation.stages import answer
from tinyembed.models.table import MODELS, PAPER_MODELS
from tinyembed.models.weights import load_weights
from tinyembed.music.sources import open_corpus
from tinyembed.report.write import write_report
from tinyembed.storage.files import write_json
from tinyembed.training.examples import CANDIDATES
from tinyembed.training.runs import Run, open_or_create
from tinyembed.training.trainer import Interrupted, Trainer, fingerprint

EXAMPLES = 300_000
BASELINES = {"untrained": "Untrained encoder", "pca": "PCA of the rolls, 100 components"}
SETTINGS = (
    "data", "any_meter", "splits", "width", "examples", "batch_size", "seed", "seeds", "keys",
    "lstm_steps", "classifier_steps",
)  # fmt: skip


def build_parser():
    """All options of the command."""
    parser = Parser("reproduce", "Train the seven models, run both experiments, write the report.")
    add_data(parser)
    add_width(parser)
    add_device(parser)
    parser.add_argument("--examples", type=count, default=EXAMPLES, help="for each model")
    parser.add_argument("--batch-size", type=count, default=100, help="examples a step")
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="runs to pool")
    parser.add_argument(
        "--keys", type=int, choices=[1, 12], default=1, help="test as written, or in all keys"
    )
    parser.add_argument("--lstm-steps", type=count, default=prediction.STEPS, help="of 100")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    add_seed(parser)
    parser.add_argument(
        "--out", type=folder, metavar="DIR", default="report", help="folder to write"
    )
    add_json(parser)
    return parser


def main(argv=None):
    """Do what is not yet done, then write the report. Returns the exit status."""
    options = build_parser().parse_args(argv)
    for name in ("examples", "seeds", "lstm_steps", "classifier_steps"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} 0: at least 1 is needed")
    if options.batch_size < CANDIDATES:
        raise InputError(f"--batch-size {options.batch_size}: at least {CANDIDATES} are compared")
    xp = device_module(options.device)
    switch_on(device_name(xp) == "cpu")
    say = (lambda *words: None) if options.json else print
    settings = {name: getattr(options, name) for name in SETTINGS}
    corpus = open_corpus(
        options.data, options.seed, any_meter=options.any_meter, splits=options.splits
    )
    fixed = {"corpus": fingerprint(corpus), "predictor": prediction.RECIPE.describe()}
    home = open_or_create(options.out, {**settings, **fixed})

    try:
        results = reproduce(home, corpus, settings, xp, say, False if options.json else None)
    except Interrupted as stop:
        print(
            f"tinyembed: stopped at step {stop.step:,} of a training, all saved; the same command "
            "goes on from there",
            file=sys.stderr,
        )
        return stop.exit_status
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; the same command goes on with what is not done yet") from None
    results["command"] = shlex.join(["python", "-m", "tinyembed.reproduce", *_words(argv)])
    write_json(home.folder / "results.json", results)
    write_report(home.folder, results)
    if options.json:
        print(json.dumps(results))
    else:
        say(f"\nRead {home.folder}/report.md, or open {home.folder}/report.html in a browser.")
        say(f"The numbers are in {home.folder}/results.json.")
        say("Next: the same with --seeds 3 and another --out, to compare methods, not networks")
    return 0


def reproduce(home, corpus, settings, xp, say, progress=None):
    """Everything between the corpus and the results: a dict, as results.json has it.

    home: the `Run` whose folder holds models/ and answers/; settings: of the command; xp: numpy or
    cupy; say: told what is going on. Raises Interrupted after Ctrl-C in a training.
    """
    seeds = range(settings["seed"], settings["seed"] + settings["seeds"])
    answers = {name: Answers() for name in (*PAPER_MODELS, *BASELINES)}
    majority, training = [], {name: [] for name in PAPER_MODELS}
    for seed in seeds:
        with room_on(xp):
            stage = Stage.build(corpus, seed, settings["keys"], xp)
        majority.append(run_majority(stage))
        for name in PAPER_MODELS:
            folder = home.folder / "models" / f"{name}-seed{seed}"
            training[name].append(train(folder, name, seed, corpus, settings, xp, say, progress))
        encoders = {name: _model_encoder(home, name, seed, xp) for name in PAPER_MODELS}
        pieces = np.unique(stage.train.piece)
        encoders["untrained"] = lambda seed=seed, pieces=pieces: untrained_encoder(
            corpus, pieces, settings["width"], seed, xp
        )
        encoders["pca"] = lambda seed=seed, pieces=pieces: pca_encoder(corpus, pieces, seed, xp)
        for name, encoder in encoders.items():
            with room_on(xp, *less_than(settings["keys"])):
                found = answer(
                    home.folder / "answers", f"{name}-seed{seed}", encoder, stage, xp,
                    settings["lstm_steps"], settings["classifier_steps"], say, progress,
                )  # fmt: skip
            answers[name].prediction.append(found[0])
            answers[name].composers.append(found[1])
            answers[name].pieces.append(stage.target_pieces())
    say("statistics")
    results = {
        **about(xp, settings),
        "corpus": corpus_entry(corpus, stage, check_split(corpus), settings["data"]),
        "warnings": warnings_of(corpus, stage),
        "models": {
            name: {
                **entry_of(answers[name], MODELS[name].title, corpus.composers),
                **training_entry(training[name]),
                "commands": commands_of(name, settings, home.folder),
            }
            for name in PAPER_MODELS
        },
        "baselines": {
            **{n: entry_of(answers[n], t, corpus.composers) for n, t in BASELINES.items()},
            "mean": {name: answers[name].rank_entry("mean_") for name in PAPER_MODELS},
            "majority": {"composers": composer_scores(majority, corpus.composers)},
            "repetition": {name: answers[name].rank_entry("repetition_") for name in PAPER_MODELS},
        },
        "tests": significance({name: answers[name] for name in PAPER_MODELS}),
    }
    for name in PAPER_MODELS:
        results["models"][name]["seconds"]["train"] = sum(s["seconds"] for s in training[name])
    results["seconds"] = seconds_in_all(results)
    return results


def train(folder, name, seed, corpus, settings, xp, say, progress):
    """Train one model, or what is left of it. Returns its summary."""
    training_run = Run(folder)
    if training_run.summary_file.exists():
        return json.loads(training_run.summary_file.read_text())
    config = {
        "model": name,
        **{k: settings[k] for k in ("data", "any_meter", "splits", "width", "examples")},
        "batch_size": settings["batch_size"],
        "seed": seed,
        "split_seed": settings["seed"],
        "learning_rate": 1e-3,
        "temperature": 1.0,
    }
    trainer = Trainer(training_run, config, corpus, xp)
    if training_run.config_file.exists():
        trainer.resume()
    else:
        Run.create(folder, {**config, "corpus": fingerprint(corpus)})
    say(f"{name}, seed {seed}: training from step {trainer.step:,} of {trainer.steps:,}")
    trainer.train(progress)
    summary = {
        "examples": trainer.steps * config["batch_size"],
        "seconds": trainer.seconds,
        "validation_loss": trainer.best_loss,
        "best_step": trainer.best_step,
    }
    write_json(training_run.summary_file, summary)
    return summary


def _model_encoder(home, name, seed, xp):
    def encoder():
        model, _ = load_weights(home.folder / "models" / f"{name}-seed{seed}" / "weights.npz")
        model.to_device(xp)
        return lambda rolls: model.encode(xp.asarray(rolls))

    return encoder


def commands_of(name, settings, folder):
    """The commands that make one model's numbers by themselves."""
    music = music_words(settings["data"], settings["any_meter"], settings["splits"])
    commands = {}
    for seed in range(settings["seed"], settings["seed"] + settings["seeds"]):
        out = f"{folder}/models/{name}-seed{seed}"
        train = ["train", "--model", name, *music, "--width", settings["width"]]
        train += ["--examples", settings["examples"], "--batch-size", settings["batch_size"]]
        train += ["--seed", seed]
        train += ["--split-seed", settings["seed"]] if seed != settings["seed"] else []
        train += ["--out", out]
        evaluate = ["evaluate", out, "--keys", settings["keys"]]
        evaluate += ["--lstm-steps", settings["lstm_steps"]]
        evaluate += ["--classifier-steps", settings["classifier_steps"]]
        for verb, words in (("train", train), ("evaluate", evaluate)):
            commands[f"{verb}, seed {seed}"] = "python -m tinyembed." + shlex.join(map(str, words))
    return commands


def training_entry(summaries):
    """How a model was trained, over all seeds."""
    return {
        "validation_loss": float(np.mean([s["validation_loss"] for s in summaries])),
        "examples": summaries[0]["examples"],
    }


def _words(argv):
    return sys.argv[1:] if argv is None else argv


if __name__ == "__main__":
    run(main)
