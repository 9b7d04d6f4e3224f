"""The picture of large_store.py: each cost against the size, with the slope of the logarithms."""

from matplotlib.figure import Figure

from benchmarks.large_store_estimate import index_sizes, slope
from tinyembed.report.training_pictures import BLUE, INK, ORANGE, save


def draw(result, others, path):
    """Draw what there is. others: results of other benchmarks by name."""
    numbers = sorted(map(int, result["sizes"]))
    found = [result["sizes"][str(n)] for n in numbers]
    built = [one["built"] for one in found]
    panels = [
        ("files per second", {"build": (numbers, [b["files_per_s"] for b in built])}, "files"),
        (
            "memory of the build, MB",
            {
                "largest process": (numbers, [b["largest_mb"] for b in built]),
                "all, added up": (numbers, [b["summed_mb"] for b in built]),
                "all, shared pages once": (numbers, [b["together_mb"] for b in built]),
            },
            "files",
        ),
        (
            "ms of a core per file",
            {
                "build": (numbers, [b["cpu_ms_per_file"] for b in built]),
                "of it, joining": (numbers, [one["joined"]["cpu_ms_per_file"] for one in found]),
            },
            "files",
        ),
        ("store, MB", {"store": (numbers, [one["store"]["mb"] for one in found])}, "files"),
        ("examples per second", _examples(numbers, found), "files"),
    ]
    if index := others.get("large_index"):
        rows, recalls, times, _, _ = zip(*index_sizes(index), strict=True)
        panels.append(("ms per query", {"": (rows, times)}, "rows"))
        panels.append(("recall@10", {"": (rows, recalls)}, "rows"))
    if ranks := others.get("ranks-paper"):
        rates = {int(n): rate for n, rate in ranks["examples_per_s"].items()}
        title = "training examples per second"
        panels.append((title, {"": (list(rates), list(rates.values()))}, "processes"))
    columns = 4 if len(panels) < 5 else -(-len(panels) // 2)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, *panel)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    figure.suptitle(result["command"], fontsize=8, color=INK, family="monospace")
    save(figure, path)


def _examples(numbers, found):
    """{reader: (sizes, rates)}, of the sizes at which each was measured."""
    lines = {}
    for n, one in zip(numbers, found, strict=True):
        for reader, drawn in one["examples"].items():
            sizes, rates = lines.setdefault(f"from {reader}", ([], []))
            sizes.append(n)
            rates.append(drawn["examples_per_s"])
    return lines


def _draw_panel(axes, title, lines, unit):
    for (name, (xs, ys)), color, marker in zip(
        lines.items(), (BLUE, ORANGE, INK), "osD", strict=False
    ):
        exponent = slope(xs, ys)
        grows = [] if exponent is None else [f"slope {round(exponent, 2) + 0.0:+.2f}"]
        label = ", ".join([name] * bool(name) + grows)
        axes.plot(xs, ys, color=color, marker=marker, ms=5, label=label or None)
    axes.set(xscale="log", xlabel=unit)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xticks(sorted({x for xs, _ in lines.values() for x in xs}), minor=False)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.minorticks_off()
    heights = [y for _, ys in lines.values() for y in ys]
    if title == "recall@10":
        axes.set_ylim(min(0.9, *heights) - 0.01, 1)
    elif max(heights) > 10 * min(heights):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(lambda y, _: "")
    else:
        axes.set_ylim(0, 1.1 * max(heights))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
