"""Are the nearest of ten million units found without holding them in memory, and how fast?

    python -m benchmarks.large_index [--rows 1000000 10000000] [--folder DIR] [--data DIR] [--json]

The rows are real ones, and rows made from them (large_index_rows.py): the result says how near the
queries' neighbours are among either (`near`). The queries are units of the pieces held out for
testing, as written: real, and not among the rows. Each index answers them one by one, in a process
of its own.

The folder (default build/large) then holds 3 GB; remove it afterwards.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.large_index_rows import (
    QUERIES,
    ROWS_ARE,
    encode_once,
    made_rows,
    nearest_cosines,
    write_embeddings,
)
from benchmarks.machine import finish, positive, spread
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import folder
from tinyembed.cli.running import run
from tinyembed.embedding.shards import Embeddings
from tinyembed.embedding.trained import DEFAULT
from tinyembed.errors import InputError
from tinyembed.models.table import EMBEDDING
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.large_index import LargeIndex

ROOT = Path(__file__).resolve().parents[1]
MUSIC = ROOT.parent / "shared" / "corpus" / "piano"
NEIGHBOURS = 10
TIMED_EXACTLY = 50  # queries that the exact index answers one by one, which takes it half a second


def main(argv=None):
    parser = BenchmarkParser("large_index", __doc__.splitlines()[0])
    words = "how many units, one or several numbers"
    parser.add("--rows", words, positive, [1_000_000, 10_000_000], "N", nargs="+")
    parser.add("--folder", "where to work", folder, str(ROOT / "build" / "large"), "DIR")
    parser.add("--data", "music", folder, str(MUSIC), "DIR")
    parser.add("--ask", argparse.SUPPRESS, folder)
    parser.add("--exactly", argparse.SUPPRESS)
    parser.share("--json")
    options = parser.parse_args(argv)
    if options.ask:
        print(json.dumps(ask(Path(options.ask), options.exactly)))
        return 0
    if not os.path.isdir(options.data):
        raise InputError(f"--data {options.data}: no folder of music")
    say = (lambda *words: None) if options.json else lambda *words: print(*words, flush=True)
    here = Path(options.folder)
    here.mkdir(parents=True, exist_ok=True)
    encode_once(options.data, here, say)
    result = {
        "queries": QUERIES,
        "neighbours": NEIGHBOURS,
        "model": DEFAULT,
        "rows_are": ROWS_ARE,
        "sizes": [measure(n, here, say) for n in options.rows],
    }
    finish("large_index", result, options)
    return 0


def measure(n, here, say):
    """Everything about one number of rows."""
    path, target = here / f"embeddings-{n}", here / f"index-{n}"
    _, wrote = timed(lambda: write_embeddings(n, path, here))
    say(f"{n:,} rows of float16 written in {wrote:.0f} s")
    shutil.rmtree(target, ignore_errors=True)
    built = child("-c", BUILD + MEMORY, path, target)
    say(f"built in {built['seconds']:.0f} s (CPU {built['cpu_seconds']:.0f} s)")
    exact = child("-m", "benchmarks.large_index", "--ask", path, "--exactly")
    say(f"exact: {exact['query_ms']['median']:.1f} ms per query, {exact['resident_mb']:,.0f} MB")
    large = child("-m", "benchmarks.large_index", "--ask", target)
    kth = np.array(exact.pop("cosines"))[:, -1:]
    for probed in large["probes"]:
        probed["recall"] = float((np.array(probed.pop("cosines")) >= kth - 1e-11).mean())
        say(
            f"{probed['probes']} lists: recall {probed['recall']:.4f}, "
            f"{probed['query_ms']['median']:.2f} ms per query (CPU {probed['cpu_ms']:.2f})"
        )
    say(f"{large['resident_mb']:,.0f} MB resident")
    real = np.load(here / "real.npy", mmap_mode="r")
    queries = np.load(here / "queries.npy").astype(np.float32)
    made = made_rows(len(real), here, 10**6)
    return {
        "rows": n,
        "real_rows": min(n, len(real)),
        "near": {
            "rows": len(real),
            "real": nearest_cosines(real.astype(np.float32), queries, NEIGHBOURS),
            "made": nearest_cosines(made, queries, NEIGHBOURS),
        },
        "embeddings_bytes": size_of(path),
        "index_bytes": size_of(target),
        "build": built,
        "exact": exact,
        "large": large,
    }


BUILD = """
import sys
from tinyembed.neighbours.large_build import build
build(*sys.argv[1:])
"""
MEMORY = """
import json, time
with open("/proc/self/status") as file:
    kb = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(json.dumps({"resident_mb": kb / 1e3, "cpu_seconds": time.process_time()}))
"""


def child(*words):
    """What a fresh process prints as JSON, and the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - began}


def ask(path, exactly):
    """Answer the queries one by one from an index, or from the exact one of embeddings."""
    queries = np.load(path.parent / "queries.npy").astype(np.float32)
    if exactly:
        embeddings = Embeddings.open(path)
        rows = np.empty((len(embeddings), EMBEDDING), np.float32)
        for n, first in enumerate(embeddings.first[:-1]):
            shard = embeddings.shard(n).rows[:]
            rows[first : first + len(shard)] = shard
        index, opened = timed(lambda: Index(rows))
        result = one_by_one(index, queries[:TIMED_EXACTLY])
        result["cosines"] = index.search(queries, NEIGHBOURS).cosines.tolist()
    else:
        index, opened = timed(lambda: LargeIndex.open(path))
        default = index.probes
        tried = [default, default // 2, default * 2]  # the first finds all files unread
        result = {"lists": index.settings["lists"], "default_probes": default, "probes": []}
        for probes in tried:
            found = one_by_one(index, queries, probes=probes)
            result["probes"].append({"probes": probes, **found, "resident_mb": resident_mb()})
        result["seconds_of_the_first"] = result["probes"][0]["first_ms"] / 1e3
    return {**result, "opened_s": opened, "resident_mb": resident_mb()}


def one_by_one(index, queries, **options):
    """The answers, and the time of each query."""
    cpu = time.process_time()
    answers = [timed(lambda q=q: index.search(q, NEIGHBOURS, **options)) for q in queries]
    cpu = time.process_time() - cpu
    times = [1e3 * seconds for _, seconds in answers]
    return {
        "query_ms": spread(times),
        "cpu_ms": 1e3 * cpu / len(queries),
        "first_ms": times[0],
        "cosines": [found.cosines.tolist() for found, _ in answers],
    }


def resident_mb():
    """The most memory that this process has had, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3


def timed(work):
    """What work() returns, and the seconds it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def size_of(path):
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


if __name__ == "__main__":
    run(main)
