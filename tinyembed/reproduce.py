"""python -m tinyembed.reproduce: the paper's seven models, two experiments, tables and figure."""

import sys

from tinyembed.backends.memory import check_memory
from tinyembed.cli.devices import choose_device
from tinyembed.cli.experiments import add_experiments, present
from tinyembed.cli.options import Parser, check_counts, count, folder, music_words
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.evaluation import prediction
from tinyembed.evaluation.reproduction import BASELINES, Experiments
from tinyembed.evaluation.rows import ROWS
from tinyembed.models.table import PAPER_MODELS
from tinyembed.music.roll import ROLL_BYTES
from tinyembed.storage.locks import locked
from tinyembed.stores.sources import open_corpus
from tinyembed.training.examples import CANDIDATES
from tinyembed.training.runs import open_or_create
from tinyembed.training.stopping import Interrupted
from tinyembed.training.trainer import fingerprint

EXAMPLES = 300_000
SETTINGS = (
    "data", "any_meter", "splits", "width", "examples", "batch_size", "seed", "seeds", "keys",
    "lstm_steps", "classifier_steps",
)  # fmt: skip


def build_parser():
    """All options of the command."""
    parser = Parser("reproduce", "Train the seven models, run both experiments, write the report.")
    parser.share("--data", "--any-meter", "--splits", "--width", "--device")
    words = f"what to train, of {', '.join(ROWS)}"
    parser.add("--models", words, ROWS, PAPER_MODELS, "NAME", nargs="+")
    words = f"baselines to test as well, of {', '.join(BASELINES)}, or none"
    parser.add("--baselines", words, BASELINES, tuple(BASELINES), "NAME", nargs="*")
    parser.add("--examples", "for each model", count, EXAMPLES)
    parser.add("--batch-size", "examples per step", count, 100)
    parser.add("--seeds", "trainings per model", count, 1, metavar="N")
    add_experiments(parser)
    parser.share("--seed")
    parser.add("--out", "folder to write", folder, "report", metavar="DIR")
    parser.share("--json")
    return parser


def main(argv=None):
    """Do what is not done yet, and write the report. Returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(argv)
    check_counts(options, "examples", "seeds", "lstm_steps", "classifier_steps")
    options.models = [name for name in ROWS if name in options.models]  # in the order of the tables
    if options.batch_size < CANDIDATES:
        raise InputError(f"--batch-size {options.batch_size}: at least {CANDIDATES} are compared")
    check_memory("--batch-size", options.batch_size, ROLL_BYTES)
    xp = choose_device(options.device)
    settings = {name: getattr(options, name) for name in SETTINGS}
    source = {"any_meter": options.any_meter, "splits": options.splits}
    corpus = open_corpus(options.data, options.seed, **source)
    identity = {"corpus": fingerprint(corpus), "predictor": prediction.RECIPE.describe()}
    home = open_or_create(options.out, {**settings, **identity}).folder
    try:
        with locked(home):
            experiments = Experiments(home, corpus, settings, xp, options.json)
            baselines = [name for name in BASELINES if name in options.baselines]
            results = experiments.reproduce(music_words(settings), options.models, baselines)
            present(home, results, parser, argv, options.json)
    except Interrupted as stop:
        print(
            f"tinyembed: stopped at step {stop.step:,} of a training, all saved; the same command "
            "continues from there",
            file=sys.stderr,
        )
        return stop.exit_status
    except KeyboardInterrupt as stop:  # Ctrl-C, or SIGTERM
        raise type(stop)("; the same command continues with what is not done yet") from None
    if not options.json:
        print("Next: the same with --seeds 3 and another --out, to compare methods, not networks")
    return 0


if __name__ == "__main__":
    run(main)
