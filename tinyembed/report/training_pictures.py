"""The pictures of a training run: its losses, and a few units next to their reconstructions."""

import io

import numpy as np

from tinyembed.music.roll import BEATS_PER_UNIT, LOWEST_PITCH, PITCHES
from tinyembed.storage.files import write_atomically

INK, BLUE, ORANGE, GREY = "#222222", "#2b6cb0", "#c05621", "#888888"


def save(figure, path):
    """Write a figure as a PNG file, atomically."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomically(path, lambda file: file.write(png.getvalue()))


def _figure(width, height):
    from matplotlib.figure import Figure  # takes half a second, which --help need not wait for

    return Figure(figsize=(width, height), layout="constrained")


def draw_losses(log, path, levels=()):
    """The training and validation loss against the examples seen.

    log: the entries of log.jsonl; levels: (name, loss) of horizontal lines to compare with.
    """
    trained = [entry for entry in log if "loss" in entry]
    batch_size = trained[0]["examples"] / trained[0]["step"]
    validated = [entry for entry in log if "validation_loss" in entry]
    figure = _figure(7, 4)
    axes = figure.subplots()
    examples = [entry["examples"] for entry in trained]
    losses = [entry["loss"] for entry in trained]
    axes.plot(examples, losses, color=BLUE, lw=1, alpha=0.7, label="training")
    examples = [entry["step"] * batch_size for entry in validated]
    losses = [entry["validation_loss"] for entry in validated]
    axes.plot(examples, losses, color=ORANGE, marker="o", ms=3, label="validation")
    for name, loss in levels:
        axes.axhline(loss, color=GREY, lw=0.8, ls="--")
        axes.annotate(
            name, (1, loss), xycoords=("axes fraction", "data"), xytext=(-4, 2), fontsize=8,
            textcoords="offset points", ha="right", va="bottom", color=GREY,
        )  # fmt: skip
    axes.set(xlabel="examples", ylabel="loss")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    save(figure, path)


def draw_reconstructions(rows, titles, path):
    """Rolls side by side: one row per unit, one column per title.

    rows: list of lists of (60, 96) arrays; titles: one a column.
    """
    figure = _figure(3.1 * len(titles), 2.3 * len(rows) + 0.2)
    grid = figure.subplots(len(rows), len(titles), squeeze=False, sharex=True, sharey=True)
    for axes_row, rolls in zip(grid, rows, strict=True):
        for axes, roll in zip(axes_row, rolls, strict=True):
            draw_roll(axes, roll)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9, color=INK)
    figure.supxlabel("beat", fontsize=9)
    save(figure, path)


def draw_roll(axes, roll):
    """One roll, low notes at the bottom; an onset is drawn four ticks long to be visible."""
    from scipy.ndimage import maximum_filter1d

    shown = np.clip(roll, 0, None) / max(roll.max(), 1e-9)  # (60, 96), negative counts as nothing
    wide = maximum_filter1d(shown, 4, axis=1, mode="constant", origin=1)
    axes.imshow(
        wide, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
        extent=(0, BEATS_PER_UNIT, 0, PITCHES),
    )  # fmt: skip
    octaves = range(0, PITCHES + 1, 12)
    axes.set_yticks(octaves, [f"C{(LOWEST_PITCH + row) // 12 - 1}" for row in octaves], fontsize=7)
    axes.set_xticks(range(BEATS_PER_UNIT + 1), range(1, BEATS_PER_UNIT + 2), fontsize=7)
    axes.grid(color="#dddddd", lw=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_color("#bbbbbb")
