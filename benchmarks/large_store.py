"""How do the costs of a store grow with the collection that it holds?

    python -m benchmarks.large_store [--sizes 1000 10000 100000] [--work FOLDER] [--json]
    python -m benchmarks.large_store --estimate

For each size, each step in processes of its own: write a synthetic collection (synthetic.py), build
its store, hold what was left out against the truth, and draw training examples: from memory, and
out of the store after its pages were dropped from the system's cache. Sizes that the results have
are not measured again (--again does), so a run that was stopped goes on. Draws a picture.
--estimate prints what a collection of 1.4 million files takes by these rates (cluster.md).
"""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.large_store_estimate import estimate
from benchmarks.large_store_pictures import draw
from benchmarks.machine import RESULTS, machine
from benchmarks.parser import BenchmarkParser
from benchmarks.process_memory import measured
from benchmarks.synthetic import read_truth
from tinyembed.cli.options import count, path
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.storage.files import read_json, write_json
from tinyembed.stores.store import Store

NAME = "large_store"
ROOT = Path(__file__).resolve().parents[1]
SIZES = [1000, 10_000, 100_000]
IN_MEMORY = 10_000  # files: to find the different units of more takes many minutes and GBs
ROUNDS, SECONDS = 3, 20  # of drawing from each place, in turns; of a round from memory
PLACES = {"memory": "memory", "store": "the store"}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main(argv=None):
    parser = BenchmarkParser(NAME, __doc__.splitlines()[0])
    parser.add("--sizes", "how many files", count, SIZES, "N", nargs="+")
    parser.add("--work", "for collections and stores", path, str(ROOT / "build" / NAME), "FOLDER")
    parser.add("--again", "measure these sizes again")
    parser.add("--keep", "keep collections and stores")
    parser.add("--estimate", "measure nothing; print what 1.4 million files take")
    parser.share("--json")
    options = parser.parse_args(argv)
    file = RESULTS / f"{NAME}.json"
    result = read_json(file) if file.exists() else {"sizes": {}}
    if options.estimate:
        if not result["sizes"]:
            raise InputError(f"nothing was measured yet: {parser.prog}")
        print("\n".join(estimate(result["sizes"], read_others())))
        return 0
    result["command"] = options.command
    for size in sorted(options.sizes):
        if options.again or str(size) not in result["sizes"]:
            result["sizes"][str(size)] = measure(size, Path(options.work), options.keep)
            write_json(file, result)
        if not options.json:
            print("\n".join(lines_of(size, result["sizes"][str(size)])), flush=True)
    write_json(file, result)  # its command, where nothing was left to measure
    draw(result, read_others(), RESULTS / f"{NAME}.png")
    if options.json:
        print(json.dumps(result))
    return 0


def measure(size, work, keep):
    """Everything about one size: a dict."""
    collection, store = work / f"{size}-files", work / f"{size}-store"
    for folder in (collection, store):
        shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    written = python("benchmarks.synthetic", str(size), "-o", str(collection))
    truth = read_truth(collection)
    built = python("tinyembed.corpus", "build", str(collection), "-o", str(store))
    joined = python("tinyembed.corpus", "join", str(store))  # once more, to see its part
    opened = Store.open(store)
    bytes_of_store = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    units = sum(shard.open()[0].n_units for shard in opened.shards)
    found = {
        "machine": machine(),
        "written": {**costs(written, size), "mb": truth["bytes"] / 1e6},
        "built": costs(built, size),
        "joined": costs(joined, size),
        "store": {
            "mb": bytes_of_store / 1e6,
            "shards": len(opened.shards),
            "pieces": opened.n_pieces,
            "units": units,
            "kept_units": opened.n_units,
            "mb_per_million_units": bytes_of_store / units,
        },
        "truth": compare(truth, store / "left_out.tsv"),
        "examples": draw_examples(store, [p for p in PLACES if p == "store" or size <= IN_MEMORY]),
    }
    if not keep:
        for folder in (collection, store):
            shutil.rmtree(folder)
    return found


def python(*words):
    """`Taken` by python -m WORDS."""
    return measured([sys.executable, "-m", *words], ONE_THREAD)


def costs(taken, size):
    """What a command took, as results have it."""
    return {
        "seconds": taken.seconds,
        "files_per_s": size / taken.seconds,
        "cpu_ms_per_file": 1e3 * taken.cpu_seconds / size,
        "largest_mb": taken.resident / 1e6,
        "summed_mb": taken.summed / 1e6,
        "together_mb": taken.together / 1e6,
        "private_mb": taken.private / 1e6,
        "processes": taken.processes,
    }


def compare(truth, table):
    """Hold the table of files that were left out against what the generator knows.

    Of a piece and its copy one must be left out, no matter which. wrong: how many broken files are
    in the store, of how many pairs none or both are, and how many other files are left out.
    """
    with open(table, encoding="utf-8", newline="") as file:
        left_out = {name for name, _ in list(csv.reader(file, delimiter="\t"))[1:]}
    broken = {name for name, _ in truth["broken"]}
    pairs = [{name, origin} for name, origin, _ in truth["copies"]]
    others = left_out - broken - set().union(*pairs)
    found = sum(len(pair & left_out) == 1 for pair in pairs)
    return {
        "broken": len(broken),
        "broken_found": len(broken & left_out),
        "copies": len(pairs),
        "copies_found": found,
        "wrong": len(broken - left_out) + len(pairs) - found + len(others),
    }


def draw_examples(store, places):
    """Draw batches from each place in turns, each time in a process of its own.

    The pages of the store are not in the system's cache before. Returns {place: the round with the
    median rate, and the rates of all}.
    """
    rounds = {place: [] for place in places}
    for _ in range(ROUNDS):
        for place, drawn in rounds.items():
            drop_pages(store)
            words = [str(store), "--reader", place, "--seconds", str(SECONDS)]
            taken = python("benchmarks.large_store_examples", *words)
            drawn.append({**json.loads(taken.output), "largest_mb": taken.resident / 1e6})
    found = {}
    for place, drawn in rounds.items():
        drawn.sort(key=lambda one: one["examples_per_s"])
        rates = [one["examples_per_s"] for one in drawn]
        found[place] = {**drawn[len(drawn) // 2], "rates": rates}
    return found


def drop_pages(folder):
    """Take the pages of all files of a folder out of the system's cache."""
    os.sync()  # a page that is not written yet stays
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_others():
    """The results of other benchmarks that belong beside these: {name: result} of those there."""
    names = ("ranks-paper", "large_index", "encode")
    return {n: read_json(f) for n in names if (f := RESULTS / f"{n}.json").exists()}


def lines_of(size, found):
    """One size, to print."""
    built, joined, store, truth = (found[name] for name in ("built", "joined", "store", "truth"))
    yield (
        f"{size:,} files, {found['written']['mb']:,.0f} MB: {built['files_per_s']:,.0f} files/s, "
        f"{built['cpu_ms_per_file']:.2f} ms of a core per file, {joined['cpu_ms_per_file']:.2f} of "
        f"them to join; {built['largest_mb']:,.0f} MB in the largest of {built['processes']} "
        f"processes, {built['together_mb']:,.0f} MB in all, {built['summed_mb']:,.0f} MB added up"
    )
    yield (
        f"  {store['pieces']:,} pieces, {store['units']:,} units, {store['kept_units']:,} kept; "
        f"{store['mb']:,.1f} MB, {store['mb_per_million_units']:.1f} MB per million units"
    )
    yield (
        f"  {truth['broken_found']:,} of {truth['broken']:,} broken files and "
        f"{truth['copies_found']:,} of {truth['copies']:,} copies found, {truth['wrong']} wrong"
    )
    for reader, drawn in found["examples"].items():
        yield (
            f"  examples from {PLACES[reader]}: {drawn['examples_per_s']:,.0f} per second, "
            f"{drawn['largest_mb']:,.0f} MB, opened in {drawn['opened_after_s']:.1f} s"
        )


if __name__ == "__main__":
    run(main)
