"""python -m tinyembed.train: from music to a trained embedding, in one command."""

import json
import shlex
import sys

import numpy as np

from tinyembed.backends.arrays import device_module, device_name, in_tf32, to_host, use_tf32
from tinyembed.backends.compiled import in_use, switch_on
from tinyembed.backends.memory import room_for
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
    positive,
)
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.models.table import MODELS, check_intervals
from tinyembed.models.weights import load_weights
from tinyembed.music.sources import open_corpus
from tinyembed.storage.files import write_json
from tinyembed.training.examples import CANDIDATES
from tinyembed.training.excerpts import check_batch_size
from tinyembed.training.pictures import draw_losses, draw_reconstructions
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Interrupted, Trainer, fingerprint
from tinyembed.training.validation import (
    CHANCE,
    RANKED,
    compare_composers,
    compare_reconstructions,
    mean_target,
)

EXAMPLES = 120_000  # some two minutes at `small` width on two cores
# What makes a run what it is. On --resume these come from its config.json; the device may change.
SETTINGS = (
    "model", "data", "any_meter", "splits", "split_seed", "width", "examples", "batch_size",
    "seed", "learning_rate", "temperature", "negatives", "intervals",
)  # fmt: skip
LATER = {"negatives": None, "intervals": 0}  # what older runs did without saying so


def build_parser():
    """All options of the command."""
    parser = Parser("train", "Train one of the eight models and keep its best weights.")
    parser.add_argument("--model", choices=list(MODELS), default="context", help="which of them")
    add_data(parser)
    add_width(parser)
    add_device(parser)
    parser.add_argument("--examples", type=count, default=EXAMPLES, help="how many to train on")
    parser.add_argument(
        "--batch-size", type=count, help="examples a step (default: 100; contrastive: 512)"
    )
    parser.add_argument("--learning-rate", type=positive, default=1e-3, help="Adam's, at its peak")
    parser.add_argument(
        "--temperature",
        type=positive,
        help="divides the cosines to compare (default: 1, as in equation 2; contrastive: 0.1)",
    )
    parser.add_argument(
        "--negatives",
        type=count,
        metavar="N",
        help="contrastive: units that each prediction is compared with (default: the whole batch)",
    )
    parser.add_argument(
        "--intervals",
        type=count,
        metavar="N",
        help="composer, contrastive: features learned from counts of intervals, beside the "
        "convolutions; 0 is the paper's encoder (default: 0; contrastive: 64)",
    )
    add_seed(parser)
    parser.add_argument(
        "--split-seed",
        type=count,
        metavar="SEED",
        help="of the split into training and test pieces, where no table says it (default: --seed)",
    )
    parser.add_argument(
        "--out", type=folder, metavar="DIR", help="folder to write (default: runs/MODEL)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--tf32", action="store_true", help="on a GPU: multiply faster and less exactly"
    )
    parser.add_argument(
        "--no-graph", action="store_true", help="on a GPU: start each kernel by itself"
    )
    add_json(parser)
    return parser


def main(argv=None):
    """Train, or go on training; then say what came of it. Returns the exit status."""
    options = build_parser().parse_args(argv)
    spec = MODELS[options.model]
    options.batch_size = options.batch_size or spec.batch_size
    options.temperature = options.temperature or spec.temperature
    options.intervals = spec.intervals if options.intervals is None else options.intervals
    # On --resume it is the run that says which model; what is asked otherwise is refused below.
    check_batch_size(spec, options.batch_size, None if options.resume else options.negatives)
    if not options.resume:
        check_intervals(options.model, options.intervals)
    if options.batch_size < CANDIDATES:
        raise InputError(f"--batch-size {options.batch_size}: at least {CANDIDATES} are compared")
    if options.examples < options.batch_size:
        raise InputError(f"--examples {options.examples}: fewer than one --batch-size")
    xp = device_module(options.device)
    switch_on(device_name(xp) == "cpu")
    use_tf32(xp, options.tf32)
    graph = not options.no_graph
    say = (lambda *words: None) if options.json else print

    if options.split_seed is None:
        options.split_seed = options.seed
    out = options.out or f"runs/{options.model}"
    settings = {name: getattr(options, name) for name in SETTINGS}
    if options.resume:
        needs = [name for name in SETTINGS if name not in LATER]
        training_run, config = Run.open(out, needs=[*needs, "corpus"])
        config = {**LATER, **config}
        refuse_other_settings(settings, config, argv)
        settings = {name: config[name] for name in SETTINGS}
    else:
        Run(out).check_free()

    corpus = open_corpus(
        settings["data"],
        seed=settings["split_seed"],
        any_meter=settings["any_meter"],
        splits=settings["splits"],
    )
    for note in corpus.notes:
        say(f"note: {note}")
    if corpus.left_out:
        names = shlex.join(["python", "-m", "tinyembed.corpus", *music_of(settings)])
        say(f"note: {len(corpus.left_out)} files left out; {names} says which, and why")
    if not options.resume:
        trainer = Trainer(None, settings, corpus, xp, graph)  # raises before anything is written
        training_run = Run.create(out, {**settings, "corpus": fingerprint(corpus)})
        trainer.run = training_run
    else:
        if config["corpus"] != fingerprint(corpus):
            raise InputError(
                f"--resume: the music in {settings['data'] or 'the default corpus'} is not what "
                f"the run in {out} began with; start a new one in another --out"
            )
        trainer = Trainer(training_run, settings, corpus, xp, graph)
        trainer.resume()

    say(
        f"{settings['model']}, {settings['width']} width, on the {device_name(xp)}"
        f"{' in TF32' if options.tf32 else ''}{' with numba' if in_use() else ''}: "
        f"{len(trainer.examples):,} different examples in {len(trainer.pieces)} pieces; "
        f"{len(trainer.validation_pieces)} more for validation, "
        f"{int(corpus.piece_is_test.sum())} untouched for testing"
    )
    if trainer.step:
        say(f"going on at step {trainer.step:,} of {trainer.steps:,}")
    try:
        trainer.train(progress=False if options.json else None)
    except Interrupted as stop:
        print(
            f"tinyembed: stopped at step {stop.step:,} of {trainer.steps:,}, all saved; go on "
            f"with: python -m tinyembed.train --resume --out {shlex.quote(str(out))}",
            file=sys.stderr,
        )
        return stop.exit_status

    with room_for("--batch-size", settings["batch_size"], CANDIDATES):
        summary = summarize(trainer)
    write_json(training_run.summary_file, summary)
    draw_pictures(trainer, summary)
    if options.json:
        print(json.dumps(summary))
    else:
        print_summary(summary, training_run)
        verb = "evaluate" if corpus.piece_is_test.any() else "train"
        print("Next: " + next_command(settings, out, verb))
    return 0


def music_of(settings):
    """The words of a command that name the music of a run."""
    return music_words(settings["data"], settings["any_meter"], settings["splits"])


def next_command(settings, out, verb):
    """What to try after a training: its evaluation, or where nothing is held out, a variation."""
    if verb == "evaluate":
        return shlex.join(["python", "-m", "tinyembed.evaluate", str(out)])
    other = "note_drop" if settings["model"] != "note_drop" else "context"
    words = ["--model", other, *music_of(settings), "--width", settings["width"]]
    return shlex.join(["python", "-m", "tinyembed.train", *words])


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


def summarize(trainer):
    """What a person wants to know of the best weights: a dict, also written as summary.json."""
    xp = trainer.xp
    model, about = load_weights(trainer.run.weights_file)
    model.to_device(xp)
    trainer.model = model
    examples = trainer.steps * trainer.config["batch_size"]
    summary = {
        "model": model.name,
        "width": model.width,
        "device": device_name(xp),
        **({"tf32": True} if in_tf32(xp) else {}),
        "examples": examples,
        "unique_examples": len(trainer.examples),
        "seconds": round(trainer.seconds, 1),
        "examples_per_s": round(examples / max(trainer.seconds, 1e-9), 1),
        "best_step": about["step"],
        "steps": trainer.steps,
        "validation_loss": about["validation_loss"],
        "validation_examples": len(trainer.validation),
        "validation_pieces": len(trainer.validation_pieces),
    }
    if model.decoder:
        mean = mean_target(trainer.examples, trainer.config["seed"])
        summary["chance"] = CHANCE
        summary["ranked"] = min(RANKED, len(trainer.validation))
        summary["reconstruction"] = compare_reconstructions(model, trainer.validation, mean, xp)
    if model.head:
        composers = trainer.examples.composers()
        summary["composer"] = compare_composers(model, trainer.validation, composers, xp)
    return summary


def print_summary(summary, training_run):
    """The same for people, ending with the files and the next command to try."""
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    print(
        f"\n{summary['examples']:,} examples in {minutes} min {seconds} s "
        f"({summary['examples_per_s']:,.0f} examples/s); best weights at step "
        f"{summary['best_step']:,} of {summary['steps']:,}.\n\n"
        f"On {summary['validation_examples']:,} examples of {summary['validation_pieces']} pieces "
        "that it was not trained on:\n"
    )
    if "reconstruction" in summary:
        ranked = summary["ranked"]
        column = f"median rank of {ranked:,}"
        print(f"  {'':24}{'loss':>8}{'cosine':>9}{column:>23}")
        for who, scores in summary["reconstruction"].items():
            print(
                f"  {who:24}{scores['loss']:8.3f}{scores['cosine']:9.3f}"
                f"{scores['median_rank']:23.1f}"
            )
        print(f"  {'chance':24}{summary['chance']:8.3f}{'':9}{(ranked - 1) / 2:23.1f}\n")
    if "composer" in summary:
        head = summary["composer"]
        print(
            f"  composer named right: {head['accuracy']:.1%}; always saying "
            f"{head['majority_composer']}: {head['majority']:.1%}\n"
            f"  cross-entropy: {head['loss']:.3f}; chance: {head['chance']:.3f}\n"
        )
    print(f"In {training_run.folder}/: weights.npz, config.json, log.jsonl, summary.json, loss.png")
    if "reconstruction" in summary:
        print(f"Look at {training_run.reconstruction_picture}: units beside what the model made.")


def draw_pictures(trainer, summary):
    """loss.png, and for a model with a decoder reconstruction.png."""
    levels = []
    if "reconstruction" in summary and "composer" not in summary:
        scores = summary["reconstruction"]
        levels = [("chance", CHANCE), *[(w, s["loss"]) for w, s in list(scores.items())[2:]]]
    draw_losses(trainer.run.read_log(), trainer.run.loss_picture, levels)
    if not trainer.model.decoder:
        return
    batch = next(trainer.validation.batches())
    model, xp = trainer.model, trainer.xp
    made = model.forward(xp.asarray(batch.input))[0].reconstruction
    clean, *shown = (to_host(rolls) for rolls in (batch.clean, batch.input, batch.target, made))
    busiest = np.argsort(-clean.sum(axis=(1, 2)), kind="stable")[:30:10]
    rows = [[rolls[n] for rolls in shown] for n in busiest]
    what = "the unit itself" if model.spec.context == (0,) else "its surroundings"
    titles = ["what the model is given", f"what it must find: {what}", "what it makes"]
    draw_reconstructions(rows, titles, trainer.run.reconstruction_picture)


if __name__ == "__main__":
    run(main)
