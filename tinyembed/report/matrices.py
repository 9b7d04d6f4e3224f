"""The report's two matrices as pictures: composer confusions, and differences between models."""

import numpy as np
from matplotlib.figure import Figure

from tinyembed.report.access import KINDS, by_accuracy, dig, title
from tinyembed.report.training_pictures import INK

_SIDES = ("first", "second")
_LONGEST_LABEL = 40


def draw_confusion(results):
    """The confusion matrix of the best classifier, in percent of each composer's units."""
    best = next(iter(by_accuracy(results)), None)
    scores = dig(results, "models", best, "composers") or {}
    if not scores.get("confusion"):
        return None
    counts = np.array(scores["confusion"], float)
    size = len(counts)
    names = scores.get("composers") or [str(i) for i in range(size)]
    units = counts.sum(axis=1)
    percent = 100 * counts / np.maximum(units, 1)[:, None]
    side = max(4.5, 0.36 * size + 2)
    figure = Figure(figsize=(side + 0.8, side - 0.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(percent >= 9.5):
        value = percent[row, column]
        _write(axes, row, column, f"{value:.0f}", value > 55, 7)
    names = [literal(name) for name in names]
    labels = [f"{name} ({n:,.0f})" for name, n in zip(names, units, strict=True)]
    heading = f"{literal(title(results, best))}: percent of each composer's units"
    _name(axes, labels, names, heading, rotation=90)
    axes.set(xlabel="predicted composer", ylabel="true composer (test units)")
    figure.colorbar(image, ax=axes, shrink=0.6, label="percent of the row")
    return figure


def draw_significance(results):
    """The rank-biserial correlation of every pair of models, and whether it is significant."""
    panels = [
        (kind, pairs) for kind in KINDS if (pairs := dig(results, "tests", kind, "pairs") or [])
    ]
    if not panels:
        return None
    names = list(dict.fromkeys(p[side] for _, ps in panels for p in ps for side in _SIDES))
    width = 0.62 * len(names) + 0.6
    figure = Figure(figsize=(width * len(panels) + 2.8, width + 0.9), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (kind, pairs) in zip(grid, panels, strict=True):
        effects = np.full((len(names), len(names)), np.nan)
        for pair in pairs:
            i, j = (names.index(pair[side]) for side in _SIDES)
            effects[i, j], effects[j, i] = pair["rank_biserial"], -pair["rank_biserial"]
            marks = "*" * pair["wilcoxon"]["significant"]
            marks += "*" * bool(dig(pair, "pieces", "wilcoxon", "significant"))
            for row, column in (i, j), (j, i):
                effect = effects[row, column]
                _write(axes, row, column, f"{effect:+.2f}\n{marks}", abs(effect) > 0.6, 8)
        image = axes.imshow(effects, cmap="RdBu_r", vmin=-1, vmax=1)
        titles = [literal(title(results, name)) for name in names]
        _name(axes, titles, titles, f"among {KINDS[kind]}", rotation=35, ha="right")
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=grid, shrink=0.7, label="rank-biserial correlation\n"
                    "(negative: the row's model ranks better)")  # fmt: skip
    return figure


def _name(axes, rows, columns, heading, **turned):
    axes.set_xticks(range(len(columns)), columns, fontsize=8, **turned)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_title(heading, fontsize=10, color=INK)


def _write(axes, row, column, text, on_dark, size):
    color = "white" if on_dark else INK
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def literal(text):
    """A label that is not too long, in which a dollar sign does not start a formula."""
    text = " ".join(str(text).split())
    if len(text) > _LONGEST_LABEL:
        text = text[: _LONGEST_LABEL - 1] + "…"
    return text.replace("$", r"\$")
