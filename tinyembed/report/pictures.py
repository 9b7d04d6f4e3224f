"""The report's pictures, drawn from a results file alone.

The colours are safe for colour-blind readers (Okabe and Ito's blue and vermilion), and shapes or
numbers repeat whatever a colour means.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tinyembed.report import paper
from tinyembed.report.access import KINDS, PREDICTORS, dig, models_of, rank_of, title
from tinyembed.report.matrices import draw_confusion, draw_significance, literal
from tinyembed.report.training_pictures import GREY, INK, save

BLUE, VERMILION, PALE = "#0072B2", "#D55E00", "#A9CCE3"
PAPER = {"marker": "D", "ls": "", "mfc": "white", "mec": VERMILION, "ms": 6}  # the paper's numbers


def draw_all(folder, results):
    """Draw the pictures that have results, and remove those that an earlier report left.

    Returns the set of the files drawn, among those of PICTURES.
    """
    drawn = set()
    for name, draw in PICTURES.items():
        figure, path = draw(results), Path(folder) / name
        if figure is None:
            path.unlink(missing_ok=True)
        else:
            save(figure, path)
            drawn.add(name)
    return drawn


def draw_ranks(results):
    """Figure 3: a box per model, a panel per kind of candidates, and the medians of repetition."""
    models = models_of(results)
    panels = {}
    for kind, key in zip(KINDS, ("box", "box_same_piece"), strict=True):
        if boxes := {name: model[key] for name, model in models.items() if model.get(key)}:
            panels[kind] = boxes
    if not panels:
        return None
    names = [name for name in models if any(name in boxes for boxes in panels.values())]
    figure, grid = _panels(len(panels), len(names), width=5.0)
    for axes, (kind, boxes) in zip(grid, panels.items(), strict=True):
        for y, name in enumerate(names):
            if name in boxes:
                _draw_box(axes, y, boxes[name])
            repeated = dig(results, "baselines", "repetition", name, kind, "median")
            if repeated is not None:
                axes.plot(repeated, y, "x", color=INK, ms=6, mew=1.6, zorder=4,
                          label="median: last unit repeated")  # fmt: skip
            if kind == "rank" and name in paper.MODELS:
                label = "median: paper (its own corpus)"
                axes.plot(paper.MODELS[name].median, y, **PAPER, zorder=4, label=label)
        axes.set_title(f"among {KINDS[kind]}", fontsize=10, color=INK)
        axes.set_xlabel("rank of the true unit (0 is best)")
        axes.set_xlim(left=0)
    return _labelled(figure, [title(results, name) for name in names])


def draw_findings(results):
    """The first page's picture: each model's median rank, by both predictors, and its accuracy."""
    models = models_of(results)
    names = [name for name, model in models.items() if model.get("rank") and name in paper.MODELS]
    if not names:
        return None
    figure, (ranks, accuracies) = _panels(2, len(names), width=4.4)
    for y, name in enumerate(names):
        model, theirs = models[name], paper.MODELS[name]
        for who, marker, color in ("ours", "o", BLUE), ("paper", "s", INK):
            if rank := rank_of(model, "rank", who):
                label = f"this run, {PREDICTORS[who]}"
                ranks.plot(rank["median"], y, marker, color=color, ms=7, label=label, zorder=3)
        ranks.plot(theirs.median, y, **PAPER, label="paper (its own corpus)", zorder=2)
        if dig(model, "composers", "accuracy") is not None:
            accuracies.plot(100 * model["composers"]["accuracy"], y, "o", color=BLUE, ms=7)
        accuracies.plot(100 * theirs.micro_f1, y, **PAPER)
    ranks.set_xlabel("median rank among random units (0 is best)")
    accuracies.set_xlabel("units with the right composer (percent)")
    for axes in ranks, accuracies:
        axes.set_xlim(left=0)
    return _labelled(figure, [title(results, name) for name in names])


def draw_beside_paper(results):
    """Median, spread and skew of every model, in this run and in the paper (Table 2)."""
    models = models_of(results)
    names = [name for name, model in models.items() if model.get("rank") and name in paper.MODELS]
    if not names:
        return None
    figure, grid = _panels(3, len(names), width=3.4)
    labels = {  # (its name here, its name in the paper): its name in the picture
        ("median", "median"): "median rank",
        ("iqr", "spread"): "spread: interquartile range (ranks)",
        ("skew", "skew"): "skew",
    }
    for axes, ((ours, theirs), label) in zip(grid, labels.items(), strict=True):
        for y, name in enumerate(names):
            here, there = models[name]["rank"][ours], getattr(paper.MODELS[name], theirs)
            axes.plot([here, there], [y, y], color="#cccccc", lw=2, zorder=1)
            axes.plot(here, y, "o", color=BLUE, ms=7, label="this run", zorder=3)
            axes.plot(there, y, **PAPER, label="paper", zorder=2)
        axes.set_xlabel(label)
        if label != "skew":  # the only one that may be negative
            axes.set_xlim(left=0)
    return _labelled(figure, [title(results, name) for name in names])


def draw_accuracy(results):
    """Table 3: the share of units and of whole pieces that are correctly classified."""
    models = models_of(results)
    names = [name for name in models if dig(models[name], "composers", "accuracy") is not None]
    if not names:
        return None
    figure, (axes,) = _panels(1, len(names), width=7)
    for y, name in enumerate(names):
        units = models[name]["composers"]
        _draw_accuracy(axes, y - 0.12, units, marker="o", color=BLUE, label="units")
        pieces = units.get("pieces") or {}
        if pieces.get("accuracy") is not None:
            _draw_accuracy(axes, y + 0.12, pieces, marker="s", color=INK, label="whole pieces")
        if name in paper.MODELS:
            label = "units: paper (27 composers)"
            axes.plot(100 * paper.MODELS[name].micro_f1, y - 0.12, **PAPER, label=label)
    majority = dig(results, "baselines", "majority", "composers", "accuracy")
    if majority is not None:
        axes.axvline(100 * majority, color=GREY, ls="--", lw=1, label="units: most common composer")
    axes.set_xlabel("correctly classified (percent; lines: 95% interval, resampled by piece)")
    axes.set_xlim(left=0)
    return _labelled(figure, [title(results, name) for name in names])


def _panels(columns, rows, width):
    figure = Figure(figsize=(width * columns + 1.8, 0.42 * rows + 1.6), layout="constrained")
    grid = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axes in grid:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e5e5e5", lw=0.7)
        axes.set_axisbelow(True)
    return figure, grid


def _draw_box(axes, y, numbers):
    """The box between the quartiles, the median, and the whiskers."""
    low, q1, median, q3, high = (numbers[k] for k in ("whislo", "q1", "med", "q3", "whishi"))
    axes.plot([low, high], [y, y], color=BLUE, lw=1.2, zorder=1)
    for end in low, high:
        axes.plot([end, end], [y - 0.15, y + 0.15], color=BLUE, lw=1.2, zorder=1)
    axes.barh(y, q3 - q1, 0.56, left=q1, color=PALE, edgecolor=BLUE, lw=1.2, zorder=2)
    axes.plot([median, median], [y - 0.28, y + 0.28], color=BLUE, lw=3, zorder=3,
              solid_capstyle="butt", label="median: this run")  # fmt: skip


def _draw_accuracy(axes, y, scores, color, **more):
    """The accuracy and its interval, in percent."""
    axes.plot(100 * scores["accuracy"], y, ls="", color=color, ms=6, **more)
    if scores.get("interval"):
        axes.plot(100 * np.array(scores["interval"]), [y, y], color=color, lw=1.5)


def _labelled(figure, titles):
    """The figure with its rows named from top to bottom, as in the tables, and with a legend.

    Panels share their y axis. The legend is above all of them and has each label once.
    """
    figure.axes[0].set_yticks(range(len(titles)), [literal(text) for text in titles])
    figure.axes[0].set_ylim(len(titles) - 0.4, -0.6)
    entries = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    figure.legend(
        entries.values(), entries.keys(), loc="outside upper center", ncols=4, frameon=False,
        fontsize=9,
    )  # fmt: skip
    return figure


PICTURES = {
    "findings.png": draw_findings,
    "ranks.png": draw_ranks,
    "beside_paper.png": draw_beside_paper,
    "significance.png": draw_significance,
    "accuracy.png": draw_accuracy,
    "confusion.png": draw_confusion,
}
