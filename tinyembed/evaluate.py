"""python -m tinyembed.evaluate RUN: both experiments of section 5 on one trained model."""

from pathlib import Path

from tinyembed.cli.devices import choose_device
from tinyembed.cli.experiments import add_experiments, present
from tinyembed.cli.next_runs import after_evaluate
from tinyembed.cli.options import Parser, check_counts, folder, music
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation import prediction
from tinyembed.evaluation.reproduction import Experiments
from tinyembed.models.weights import load_weights
from tinyembed.storage.files import digest
from tinyembed.storage.locks import locked
from tinyembed.stores.sources import open_corpus
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
    parser.add("--data", "where the music of RUN is now", music, metavar="DIR")
    parser.share("--device")
    add_experiments(parser)
    parser.add("--out", "folder to write (default: RUN/evaluation)", folder, metavar="DIR")
    parser.share("--json")
    return parser


def main(argv=None):
    """Evaluate, or continue an evaluation, and write the report. Returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(argv)
    check_counts(options, "lstm_steps", "classifier_steps")
    xp = choose_device(options.device)
    training_run, config = Run.open(options.run, needs=SETTINGS)
    model, trained = load_weights(training_run.weights_file)
    data = options.data or config["data"]
    source = {"any_meter": config["any_meter"], "splits": config["splits"]}
    corpus = open_corpus(data, config["split_seed"], **source)
    if fingerprint(corpus) != config["corpus"]:
        raise InputError(
            f"{options.run}: the music in {data or 'the default corpus'} is not what the model was "
            "trained on, or it is split differently, so a test piece might be one of its training "
            "pieces; --data says where that music is now"
        )
    settings = {name: config[name] for name in ("width", "examples", "batch_size", "seed")}
    settings |= {key: getattr(options, key) for key in ("keys", "lstm_steps", "classifier_steps")}
    settings["seeds"] = 1
    out = Path(options.out or Path(options.run) / "evaluation")
    experiments = Experiments(out, corpus, {**settings, "data": data}, xp, options.json)
    dataset = experiments.dataset(config["seed"])  # raises before anything is written
    identity = {"corpus": config["corpus"], "weights": digest(training_run.weights_file)}
    open_or_create(out, {**settings, **identity, "predictor": prediction.RECIPE.describe()})
    with locked(out):
        results = experiments.evaluate(model, trained, dataset)
        present(out, results, parser, argv, options.json)
    if not options.json:
        print("The next step is all seven models beside the paper's figures.")
        print("Next: " + after_evaluate({"data": data, **source}, config["split_seed"]))
    return 0


if __name__ == "__main__":
    run(main)
