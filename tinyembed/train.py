"""python -m tinyembed.train: from music to a trained embedding, in one command."""

import json
import sys
from contextlib import ExitStack, contextmanager

from tinyembed import __version__
from tinyembed.backends.arrays import device_name
from tinyembed.backends.choice import engine_for, in_use
from tinyembed.backends.memory import check_memory, suggest_smaller
from tinyembed.cli.devices import choose_device
from tinyembed.cli.next_runs import after_train
from tinyembed.cli.options import (
    Parser,
    command,
    count,
    folder,
    left_out_notes,
    music_words,
    positive,
)
from tinyembed.cli.processes import together
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.models.table import MODELS, check_intervals
from tinyembed.music.remarks import notes_for_training
from tinyembed.music.roll import ROLL_BYTES
from tinyembed.music.same_music import leaked_music
from tinyembed.report.training import describe, draw_pictures, summarize
from tinyembed.storage.locks import locked
from tinyembed.storage.records import write_record
from tinyembed.stores.large import LargeCorpus
from tinyembed.stores.sources import open_corpus
from tinyembed.training.checkpoints import load_checkpoint
from tinyembed.training.examples import CANDIDATES
from tinyembed.training.excerpts import check_batch_size
from tinyembed.training.runs import Run
from tinyembed.training.stopping import Interrupted
from tinyembed.training.trainer import Trainer, fingerprint

EXAMPLES = 120_000  # some two minutes at `small` width on two cores
# A run is defined by these. On --resume they come from its config.json; the device may change.
SETTINGS = (
    "model", "data", "any_meter", "splits", "split_seed", "width", "examples", "batch_size",
    "seed", "learning_rate", "temperature", "negatives", "intervals",
)  # fmt: skip
LATER = {"negatives": None, "intervals": 0}  # the settings of runs whose config lacks them


def build_parser():
    """All options of the command."""
    parser = Parser("train", "Train one of the eight models and keep its best weights.")
    parser.add("--model", "which model", MODELS, "context")
    parser.share("--data", "--any-meter", "--splits", "--width", "--device")
    parser.add("--examples", "how many to train on", count, EXAMPLES)
    parser.add("--batch-size", "examples per step (default: 100; contrastive: 512)", count)
    parser.add("--learning-rate", "Adam's, before it decays", positive, 1e-3)
    words = "of the softmax over cosines (default: 1, as in equation 2; contrastive: 0.1)"
    parser.add("--temperature", words, positive)
    words = "contrastive: units that each prediction is compared with (default: the whole batch)"
    parser.add("--negatives", words, count, metavar="N")
    words = (
        "composer, contrastive: features learned from counts of intervals, beside the "
        "convolutions; 0 is the paper's encoder (default: 0; contrastive: 64)"
    )
    parser.add("--intervals", words, count, metavar="N")
    parser.share("--seed")
    words = "of the split into training and test pieces, without a splits.tsv (default: --seed)"
    parser.add("--split-seed", words, count, metavar="SEED")
    parser.add("--out", "folder to write (default: runs/MODEL)", folder, metavar="DIR")
    parser.add("--resume", "continue the run in --out")
    parser.add("--tf32", "on a GPU: faster, less exact products")
    parser.add("--no-graph", "on a GPU: launch each kernel by itself")
    parser.share("--json")
    return parser


def main(argv=None):
    """Train, or resume a training, and print its results. Returns the exit status.

    Several processes that mpiexec started share each batch.
    """
    return together(lambda company: train(argv, company))


def train(argv, company=None):
    """The same in one process, or in one of a `Company`."""
    options = build_parser().parse_args(argv)
    if company:
        company.compare({"version": __version__, **vars(options)})
    xp = choose_device(options.device, options.tf32)
    settings, out = read_settings(options), options.out or f"runs/{options.model}"
    engine = engine_for(xp, not options.no_graph, company)
    training_run, config = engine.once(lambda: open_run(options, settings, out, argv))
    if config:
        settings = {name: config[name] for name in SETTINGS}
    say = (lambda *words: None) if options.json else print
    corpus = engine.once(lambda: read_corpus(settings, say))
    with start(training_run, settings, config, corpus, engine) as trainer:
        return finish(trainer, settings, options, out, say)


def open_run(options, settings, out, argv):
    """The `Run`, and with --resume its config; else None, and nothing is in its folder yet."""
    if not options.resume:
        Run(out).check_free()
        return Run(out), None
    training_run, config = Run.open(out, needs={*SETTINGS, "corpus"} - LATER.keys())
    config = {**LATER, **config}
    refuse_other_settings(settings, config, argv)
    return training_run, config


def finish(trainer, settings, options, out, say):
    """Train to the end, and print the results. Returns the exit status."""
    corpus, training_run, engine = trainer.corpus, trainer.run, trainer.engine
    n = engine.about.get("processes")
    say(
        f"{settings['model']}, {settings['width']} width, on the {device_name(engine.xp)}"
        f"{' in TF32' * options.tf32}{' with numba' * (in_use() == 'numba')}"
        f"{f' in {n} processes' if n else ''}: "
        f"{len(trainer.examples):,} different examples in {len(trainer.pieces)} pieces; "
        f"{len(trainer.validation_pieces)} more for validation, "
        f"{int(corpus.piece_is_test.sum())} held out for testing"
    )
    if trainer.step:
        say(f"resuming at step {trainer.step:,} of {trainer.steps:,}")
    go_on = " ".join([*engine.launcher, command("train", "--resume", "--out", out)])
    killed = f"tinyembed: a process was killed, and with it the training; continue with: {go_on}"
    try:
        with engine.last_words(killed):
            trainer.train(progress=False if options.json else None)
    except Interrupted as stop:
        print(
            f"tinyembed: stopped at step {stop.step:,} of {trainer.steps:,}, all saved; continue "
            f"with: {go_on}",
            file=sys.stderr,
        )
        return stop.exit_status
    if not engine.leads:
        return 0
    with suggest_smaller("--batch-size", settings["batch_size"], CANDIDATES):
        summary = summarize(trainer)
        draw_pictures(trainer, summary)
    write_record(training_run.summary_file, summary)
    if options.json:
        print(json.dumps(summary))
    else:
        print(describe(summary, training_run))
        print("Next: " + after_train(corpus, settings, out))
    return 0


def read_settings(options):
    """{name: value} of SETTINGS, with the defaults of the model that was chosen.

    Raises InputError for settings that cannot be. On --resume the run says which model it is, and
    other settings are refused later.
    """
    spec = MODELS[options.model]
    options.batch_size = options.batch_size or spec.batch_size
    options.temperature = options.temperature or spec.temperature
    options.intervals = spec.intervals if options.intervals is None else options.intervals
    options.split_seed = options.seed if options.split_seed is None else options.split_seed
    check_batch_size(spec, options.batch_size, None if options.resume else options.negatives)
    if not options.resume:
        check_intervals(options.model, options.intervals)
    if options.batch_size < CANDIDATES:
        raise InputError(f"--batch-size {options.batch_size}: at least {CANDIDATES} are compared")
    check_memory("--batch-size", options.batch_size, ROLL_BYTES)
    if options.examples < options.batch_size:
        raise InputError(f"--examples {options.examples}: fewer than one --batch-size")
    return {name: getattr(options, name) for name in SETTINGS}


def refuse_other_settings(settings, config, argv):
    """A resumed run keeps its settings: raise InputError where one was given that differs."""
    given = sys.argv[1:] if argv is None else argv
    for name in SETTINGS:
        option = "--" + name.replace("_", "-")
        is_given = any(word == option or word.startswith(option + "=") for word in given)
        if is_given and settings[name] != config[name]:
            raise InputError(
                f"{option} {settings[name]}: the run to resume has {config[name]}; leave the "
                "option out, or start a new run in another --out"
            )


def read_corpus(settings, say):
    """The music of a run, with notes about what was left out, repaired, or is there twice."""
    source = (settings[name] for name in ("data", "split_seed", "any_meter", "splits"))
    corpus = open_corpus(*source, large="pools")
    seed = ["--seed", str(settings["split_seed"])] if settings["split_seed"] else []
    names = command("corpus", *music_words(settings), *seed)
    notes = [*corpus.notes, *left_out_notes(corpus, settings)]
    if not isinstance(corpus, LargeCorpus):
        notes += notes_for_training(corpus, leaked_music(corpus), names)
    for note in notes:
        say(f"note: {note}")
    return corpus


@contextmanager
def start(training_run, settings, config, corpus, engine):
    """A `Trainer`: at the last checkpoint of a run that has a config, else at the beginning.

    Within the context no other process works in the folder of the run.
    """
    if config is not None and config["corpus"] != fingerprint(corpus):
        raise InputError(
            f"--resume: the music in {settings['data'] or 'the default corpus'} is not what the "
            f"run in {training_run.folder} began with; start a new one in another --out"
        )
    trainer = Trainer(training_run, settings, corpus, engine)  # raises before anything is written
    if config is None:
        new = {**settings, "corpus": fingerprint(corpus)}
        engine.once(lambda: Run.create(training_run.folder, new))
    with ExitStack() as lock:
        engine.once(lambda: lock.enter_context(locked(training_run.folder)))
        if config is not None and (note := load_checkpoint(trainer)):
            print(f"note: {note}", file=sys.stderr)
        yield trainer


if __name__ == "__main__":
    run(main)
