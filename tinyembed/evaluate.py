"""python -m tinyembed.evaluate RUN: both experiments of section 5 on one trained model."""

import json
import shlex
import sys
from pathlib import Path

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.compiled import switch_on
from tinyembed.backends.memory import room_on
from tinyembed.cli.options import Parser, add_device, add_json, count, folder, music, music_words
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
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
from tinyembed.models.weights import load_weights
from tinyembed.music.sources import open_corpus
from tinyembed.report.write import write_report
from tinyembed.storage.files import digest, write_json
from tinyembed.training.runs import Run, open_or_create
from tinyembed.training.trainer import fingerprint

SETTINGS = (
    "data", "any_meter", "splits", "split_seed", "width", "examples", "batch_size", "seed",
    "corpus",
)  # fmt: skip


def build_parser():
    """All options of the command."""
    parser = Parser("evaluate", "Run the paper's two experiments on a trained model.")
    parser.add_argument("run", metavar="RUN", help="folder that tinyembed.train wrote")
    parser.add_argument(
        "--data", type=music, metavar="DIR", help="where the music that RUN was trained on is now"
    )
    add_device(parser)
    parser.add_argument(
        "--keys", type=int, choices=[1, 12], default=1, help="test as written, or in all keys"
    )
    parser.add_argument("--lstm-steps", type=count, default=prediction.STEPS, help="of 100")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    parser.add_argument(
        "--out", type=folder, metavar="DIR", help="folder to write (default: RUN/evaluation)"
    )
    add_json(parser)
    return parser


def main(argv=None):
    """Evaluate, or go on evaluating; then write the report. Returns the exit status."""
    options = build_parser().parse_args(argv)
    for name in ("lstm_steps", "classifier_steps"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} 0: at least 1 is needed")
    xp = device_module(options.device)
    switch_on(device_name(xp) == "cpu")
    say = (lambda *words: None) if options.json else print
    training_run, config = Run.open(options.run, needs=SETTINGS)
    model, trained = load_weights(training_run.weights_file)
    data = options.data or config["data"]
    corpus = open_corpus(
        data, config["split_seed"], any_meter=config["any_meter"], splits=config["splits"]
    )
    if fingerprint(corpus) != config["corpus"]:
        raise InputError(
            f"{options.run}: the music in {data or 'the default corpus'} is not what it was "
            "trained on, or split otherwise, so that a test piece might be one it knows; --data "
            "says where that music is now"
        )
    seed = config["seed"]
    with room_on(xp):
        stage = Stage.build(corpus, seed, options.keys, xp)
    settings = {
        **{name: config[name] for name in ("width", "examples", "batch_size", "seed")},
        "seeds": 1,
        "keys": options.keys,
        "lstm_steps": options.lstm_steps,
        "classifier_steps": options.classifier_steps,
    }
    home = open_or_create(
        options.out or Path(options.run) / "evaluation",
        {
            **settings,
            "corpus": fingerprint(corpus),
            "weights": digest(training_run.weights_file),
            "predictor": prediction.RECIPE.describe(),
        },
    ).folder

    answers = Answers()

    def encode(rolls):
        return model.encode(xp.asarray(rolls))

    with room_on(xp, *less_than(options.keys)):
        model.to_device(xp)
        found = answer(
            home / "answers", model.name, lambda: encode, stage, xp, options.lstm_steps,
            options.classifier_steps, say, False if options.json else None,
        )  # fmt: skip
    answers.prediction.append(found[0])
    answers.composers.append(found[1])
    answers.pieces.append(stage.target_pieces())
    results = {
        **about(xp, settings),
        "command": shlex.join(
            ["python", "-m", "tinyembed.evaluate", *(sys.argv[1:] if argv is None else argv)]
        ),
        "corpus": corpus_entry(corpus, stage, check_split(corpus), data),
        "warnings": warnings_of(corpus, stage),
        "models": {
            model.name: {
                **entry_of(answers, model.spec.title, corpus.composers),
                "validation_loss": trained["validation_loss"],
                "examples": trained["examples"],
            }
        },
        "baselines": {
            "mean": answers.rank_entry("mean_"),
            "majority": {"composers": composer_scores([run_majority(stage)], corpus.composers)},
            "repetition": {model.name: answers.rank_entry("repetition_")},
        },
        "tests": significance({model.name: answers}),
    }
    results["seconds"] = seconds_in_all(results)
    write_json(home / "results.json", results)
    write_report(home, results)
    if options.json:
        print(json.dumps(results))
    else:
        print(f"\nRead {home}/report.md, or open {home}/report.html in a browser.")
        words = music_words(data, config["any_meter"], config["splits"])
        words = shlex.join(["python", "-m", "tinyembed.reproduce", *words])
        print(f"Next: {words}, for all seven models beside the paper's figures")
    return 0


if __name__ == "__main__":
    run(main)
