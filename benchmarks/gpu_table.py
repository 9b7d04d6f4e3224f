"""Entries of benchmarks/gpu.py as lines of text."""

SHOWN = 15  # kernels, those that take longest; the file has all


def lines_of_ways(entry):
    """Several ways to take one step."""
    yield title(entry) + (
        f"; the products alone at their best rate: {entry['arithmetic_ms']:.3f} ms"
        if "arithmetic_ms" in entry
        else ""
    )
    yield f"{'':36}{'ms':>9}{'q1':>9}{'q3':>9}{'examples/s':>12}{'launches':>10}"
    for name, way in entry["ways"].items():
        ms = way["ms"]
        started = f"{way['launches']:.0f}" if "launches" in way else "-"
        times = f"{ms['median']:9.3f}{ms['q1']:9.3f}{ms['q3']:9.3f}"
        yield f"{name:36}{times}{way['examples_per_s']:12,.0f}{started:>10}"
    for kind, found in entry["times_faster_than"].items():
        if kind != "torch":  # the fastest of all, which is among the others
            yield f"{entry['ours']}: {found['ratio']:.2f} times as fast as {found['of']}"


def lines_of_pass(entry):
    """One pass over all units."""
    yield title(entry)
    yield (
        f"{entry['units']:,} units: {entry['seconds']:.1f} s, from {entry['timed_batches']:,} "
        f"batches among {entry['different_units']:,} different units"
    )


def lines_of_kernels(entry):
    """The kernels of a recorded step."""
    yield title(entry)
    yield (
        f"{entry['nodes']} nodes, {entry['step_ms']['median']:.3f} ms with their events, of "
        f"{1e3 * entry['event_ms']:.1f} us each"
    )
    yield f"{'us':>9}{'launches':>10}{'blocks':>10}{'threads':>9}{'registers':>11}{'occupancy':>11}"
    for row in entry["kernels"][:SHOWN]:
        numbers = f"{1e3 * row['ms']:9.1f}{row['launches']:10}"
        if "blocks" in row:
            numbers += f"{row['blocks']:10,}{row['threads']:9}{row['registers']:11}"
            numbers += f"{row['occupancy']:11.0%}"
        yield f"{numbers:60}  {row['name'][:60]}"


def lines_of_operations(entry):
    """The operations of a step."""
    yield title(entry)
    yield f"{entry['ms']['median']:.3f} ms without a graph, {entry['elsewhere_ms']:.3f} elsewhere"
    for name, ms, calls in entry["operations"][:SHOWN]:
        yield f"{1e3 * ms:9.1f} us{calls:7.0f} calls  {name}"


def lines_of_profile(entry):
    """What the profiler saw."""
    yield title(entry) + ", by PyTorch's profiler"
    for name, way in entry["ways"].items():
        if way:
            yield (
                f"{name:36}{way['launches']:7.0f} kernels{way['kernel_ms']:9.3f} ms, "
                f"{way['product_ms']:.3f} of them in products"
            )
        else:
            yield f"{name:36}no kernel was seen"


def lines_of_memory(entry):
    """What trainings leave in the GPU's memory."""
    megabytes = [f"{n / 1e6:,.0f}" for n in (entry["before_bytes"], *entry["after_bytes"])]
    yield title(entry)
    yield f"MB in use before, and after each training: {' '.join(megabytes)}"
    yield f"growth from the first to the last: {entry['growth_bytes'] / 1e6:,.1f} MB"


def title(entry):
    """What an entry is about."""
    words = [entry.get("model"), f"{entry['width']} width" if "width" in entry else None]
    words.append(f"batch {entry['batch_size']:,}")
    if "tf32" in entry:
        words.append("TF32" if entry["tf32"] else "FP32")
    return "\n" + ", ".join(filter(None, words))
