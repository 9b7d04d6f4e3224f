"""The report's two matrices as pictures: composer confusions, and differences between models."""

import numpy as np
from matplotlib.figure import Figure

from tinyembed.report.training_pictures import INK
from tinyembed.report.words import KINDS, by_accuracy, dig, title

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
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                  color="white" if value > 55 else INK)  # fmt: skip
    names = [literal(name) for name in names]
    axes.set_xticks(range(size), names, rotation=90, fontsize=8)
    labels = [f"{name} ({n:,.0f})" for name, n in zip(names, units, strict=True)]
    axes.set_yticks(range(size), labels, fontsize=8)
    axes.set(xlabel="composer named", ylabel="true composer (test units)")
    axes.set_title(f"{literal(title(results, best))}: percent of each composer's units",
                   fontsize=10, color=INK)  # fmt: skip
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
                axes.text(column, row, f"{effect:+.2f}\n{marks}", ha="center", va="center",
                          fontsize=8, color="white" if abs(effect) > 0.6 else INK)  # fmt: skip
        image = axes.imshow(effects, cmap="RdBu_r", vmin=-1, vmax=1)
        titles = [literal(title(results, name)) for name in names]
        axes.set_xticks(range(len(names)), titles, rotation=35, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), titles, fontsize=8)
        axes.set_title(f"among {KINDS[kind]}", fontsize=10, color=INK)
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=grid, shrink=0.7, label="rank-biserial correlation\n"
                    "(negative: the row's model ranks better)")  # fmt: skip
    return figure


def literal(text):
    """A label that is not too long, in which a dollar sign does not start a formula."""
    text = " ".join(str(text).split())
    if len(text) > _LONGEST_LABEL:
        text = text[: _LONGEST_LABEL - 1] + "…"
    return text.replace("$", r"\$")
