"""The end of a training run: its scores compared with simple baselines, and two pictures."""

import numpy as np

from tinyembed.backends.arrays import device_name, to_host
from tinyembed.models.weights import load_weights
from tinyembed.report.training_pictures import draw_losses, draw_reconstructions
from tinyembed.training.validation import (
    CHANCE,
    RANKED,
    compare_composers,
    compare_reconstructions,
    mean_target,
)


def summarize(trainer):
    """The scores of the best weights: a dict, also written as summary.json."""
    xp = trainer.engine.xp
    model, about = load_weights(trainer.run.weights_file)
    trainer.model = model.to(xp)
    examples = trainer.steps * trainer.config["batch_size"]
    summary = {
        "model": model.name,
        "width": model.width,
        "device": device_name(xp),
        **trainer.engine.about,
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
        summary["reconstruction"] = compare_reconstructions(model, trainer.validation, mean)
    if model.head:
        composers = trainer.examples.composers()
        summary["composer"] = compare_composers(model, trainer.validation, composers)
    return summary


def describe(summary, training_run):
    """The summary as text for the screen, ending with the files of the run."""
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    lines = [
        f"\n{summary['examples']:,} examples in {minutes} min {seconds} s "
        f"({summary['examples_per_s']:,.0f} examples/s); best weights at step "
        f"{summary['best_step']:,} of {summary['steps']:,}.\n",
        f"On {summary['validation_examples']:,} examples of {summary['validation_pieces']} pieces "
        "that it was not trained on:\n",
    ]
    if "reconstruction" in summary:
        ranked = summary["ranked"]
        column = f"median rank of {ranked:,}"
        lines.append(f"  {'':24}{'loss':>8}{'cosine':>9}{column:>23}")
        for who, scores in summary["reconstruction"].items():
            rank = f"{scores['median_rank']:23.1f}"
            lines.append(f"  {who:24}{scores['loss']:8.3f}{scores['cosine']:9.3f}{rank}")
        rank = f"{(ranked - 1) / 2:23.1f}"
        lines.append(f"  {'chance':24}{summary['chance']:8.3f}{'':9}{rank}\n")
    if "composer" in summary:
        head = summary["composer"]
        lines += [
            f"  composer correct: {head['accuracy']:.1%}; always answering "
            f"{head['majority_composer']}: {head['majority']:.1%}",
            f"  cross-entropy: {head['loss']:.3f}; chance: {head['chance']:.3f}\n",
        ]
    files = "weights.npz, config.json, log.jsonl, summary.json, loss.png"
    lines.append(f"In {training_run.folder}/: {files}")
    if "reconstruction" in summary:
        picture = training_run.reconstruction_picture
        lines.append(f"Look at {picture}: units beside what the model made of them.")
    return "\n".join(lines)


def draw_pictures(trainer, summary):
    """loss.png, and for a model with a decoder reconstruction.png."""
    model, levels = trainer.model, []
    if "reconstruction" in summary and "composer" not in summary:
        scores = summary["reconstruction"]
        levels = [("chance", CHANCE), *[(w, s["loss"]) for w, s in list(scores.items())[2:]]]
    draw_losses(trainer.run.read_log(), trainer.run.loss_picture, levels)
    if not model.decoder:
        return
    batch, _ = next(trainer.validation.batches())
    made = model.forward(batch.input)[0].reconstruction
    clean, *shown = (to_host(rolls) for rolls in (batch.clean, batch.input, batch.target, made))
    busiest = np.argsort(-clean.sum(axis=(1, 2)), kind="stable")[:30:10]
    rows = [[rolls[n] for rolls in shown] for n in busiest]
    what = "the unit itself" if model.spec.context == (0,) else "its surroundings"
    titles = ["what the model is given", f"what it must find: {what}", "what it makes"]
    draw_reconstructions(rows, titles, trainer.run.reconstruction_picture)
