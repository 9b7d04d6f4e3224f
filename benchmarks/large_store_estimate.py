"""What 1.4 million files and a billion units take, by rates that were measured on fewer.

Everything is taken to be linear in the number of files, or of units; the slopes say how far that
held where it was measured.
"""

import numpy as np

from tinyembed.neighbours.large_plan import Plan

FILES, UNITS = 1_400_000, 1_000_000_000
CORES = 64
DIMENSIONS, BYTES = 100, 2  # of an embedding, float16
HOUR = 3600


def slope(xs, ys):
    """The slope of a straight line through the logarithms: y grows as x to this power.

    None for fewer than two points.
    """
    if len(xs) < 2 or min(ys) <= 0:
        return None
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def estimate(sizes, others):
    """The table of cluster.md: lines of Markdown.

    sizes: {number of files, as text: what was measured}; others: results of other benchmarks.
    """
    numbers = sorted(map(int, sizes))
    found = [sizes[str(n)] for n in numbers]
    largest, files = found[-1], numbers[-1]
    units_per_file = largest["store"]["units"] / files
    units = FILES * units_per_file
    kept = largest["store"]["kept_units"] / largest["store"]["units"]
    joins = [one["joined"]["cpu_ms_per_file"] for one in found]
    reads = [one["built"]["cpu_ms_per_file"] - join for one, join in zip(found, joins, strict=True)]
    reading, joining = FILES * reads[-1] / 1e3, FILES * joins[-1] / 1e3  # seconds of a core
    store = largest["store"]["mb_per_million_units"] * units / 1e12  # TB
    yield f"Measured on up to {files:,} files; {FILES:,} files at {units_per_file:,.0f} units each"
    yield f"are {units / 1e6:,.0f} million units, {kept:.0%} of them kept; a billion units are"
    yield f"{UNITS / units_per_file / 1e6:.1f} million files."
    yield ""
    yield f"| | rate on one core | one core | {CORES} cores |"
    yield "| --- | ---: | ---: | ---: |"
    yield row(f"read {FILES:,} files", FILES / reading, "files", reading)
    yield row("join their shards, one process", units / joining, "units", joining, "the same")
    if encode := others.get("encode"):
        for width in ("small", "paper"):
            rate = encode[width]["units_per_s"] / encode["machine"]["cores"]
            yield row(f"embed a billion units, `{width}`", rate, "units", UNITS / rate)
    if index := others.get("large_index"):
        *_, (rows, _, query_ms, rate, width) = index_sizes(index)
        yield row("index a billion embeddings", rate, "rows", UNITS / rate, "the same")
    ranks = others.get("ranks-paper")
    if ranks:
        rate = ranks["examples_per_s"]["1"]
        yield row(
            "train on a billion examples, `paper`", rate, "examples", UNITS / rate, "see below"
        )
    yield ""
    yield f"- store: {1e6 * store:,.0f} MB" if store < 1e-3 else f"- store: {1e3 * store:,.1f} GB"
    yield f"- embeddings of a billion units: {UNITS * DIMENSIONS * BYTES / 1e9:,.0f} GB"
    if index:
        times = scanned(UNITS) / scanned(rows)
        yield (
            f"- their index: {UNITS * width / 1e9:,.0f} GB; a query scans {scanned(UNITS):,.0f} "
            f"codes, {times:,.0f} times as many as among {rows:,} rows: {times * query_ms:,.0f} ms "
            "where the lists are in memory"
        )
    memory = [one["built"]["largest_mb"] for one in found]
    yield (
        f"- memory of the largest process: {memory[-1]:,.0f} MB at {files:,} files"
        f"{f', slope {grown:+.2f}' if (grown := slope(numbers, memory)) is not None else ''}"
    )
    if len(found) > 1:
        exponents = 1 + slope(numbers, reads), 1 + slope(numbers, joins)
        yield "- slopes: reading {:.2f}, joining {:.2f} (1 is linear)".format(*exponents)
    yield f"- {reading / joining:,.0f} cores read as long as one process joins"
    for name, drawn in largest["examples"].items():
        yield f"- examples drawn from {name}: {drawn['examples_per_s']:,.0f} per second per process"
    if ranks:
        yield (
            f"- several processes: {ranks['ratio']:.2f} times one's rate; gradients travel for "
            f"{ranks['gradients_ms']:.0f} ms per step, as long as "
            f"{1e3 * ranks['batch_size'] / rate / ranks['gradients_ms']:,.0f} processes compute"
        )


def index_sizes(index):
    """What large_index.py found, with the number of lists that is the default, by rows.

    Returns (rows, recall@10, ms per query, rows built per second, bytes per row) of each size.
    """
    for size in sorted(index["sizes"], key=lambda size: size["rows"]):
        rows, probed = size["rows"], size["large"]["probes"][0]
        rate, width = rows / size["build"]["seconds"], size["index_bytes"] / rows
        yield rows, probed["recall"], probed["query_ms"]["median"], rate, width


def scanned(rows):
    """The codes that a query of an index of so many rows is compared with."""
    plan = Plan.of(rows)
    return rows / plan.lists * plan.probes


def row(name, rate, unit, seconds, by_many=None):
    """A row of the table. by_many: what to say of many cores, where they do not divide the work."""
    return (
        f"| {name} | {rate:,.0f} {unit}/s | {duration(seconds)} | "
        f"{by_many or duration(seconds / CORES)} |"
    )


def duration(seconds):
    """In words."""
    for size, name in ((24 * HOUR, "days"), (HOUR, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:,.0f} s"
