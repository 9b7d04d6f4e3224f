"""How fast are neighbours found among a million units, and are they the right ones?

    python -m benchmarks.search [--data FOLDER] [--model MODEL] [--rows 1000000] [--json]

The rows are units of real pieces in twelve keys, the queries units of the pieces held out for
testing, as written. The embeddings are a trained model's, where there is one, and are kept in
build/. Without music, or with --synthetic, rows and queries are random points in clusters.
"""

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import finish, positive, spread
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import folder
from tinyembed.cli.running import run
from tinyembed.embedding.trained import DEFAULT, load, packaged
from tinyembed.errors import InputError
from tinyembed.evaluation.baselines import untrained_encoder
from tinyembed.evaluation.passages import Passages
from tinyembed.music.corpus import Corpus
from tinyembed.neighbours.approximate import ApproximateIndex
from tinyembed.neighbours.files import load_index
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.neighbours.labels import Labels

ROOT = Path(__file__).resolve().parents[1]
MUSIC = ROOT.parent / "shared" / "corpus" / "piano"
NEIGHBOURS = 10
SINGLE, BATCH, CHECKED = 200, 2048, 100  # queries asked one by one, all at once, by brute force
BLOCK = 65_536  # rows at a time


def main(argv=None):
    parser = BenchmarkParser("search", __doc__.splitlines()[0])
    parser.add_argument("--data", type=folder, metavar="FOLDER", default=str(MUSIC), help="music")
    parser.add_argument(
        "--model",
        type=folder,
        help="what tinyembed.load takes (default: the packaged one; where there is none, a model "
        "before its training)",
    )
    parser.add_argument("--rows", type=positive, default=1_000_000, help="how many units")
    parser.add_argument("--synthetic", action="store_true", help="random points in clusters")
    parser.share("--json")
    options = parser.parse_args(argv)
    synthetic = options.synthetic or not os.path.isdir(options.data)
    say = (lambda *words: None) if options.json else print

    if synthetic:
        index, queries, model = *synthetic_rows(options.rows), "none: random points in clusters"
    else:
        index, queries, model = real_rows(options, say)
    result = {
        "rows": len(index),
        "size": index.embeddings.shape[1],
        "embeddings": model,
        "neighbours": NEIGHBOURS,
        **measure(index, queries, say),
        "approximate": measure_approximate(index, queries, say),
    }
    finish("search", result, options)
    return 0


def real_rows(options, say):
    """An index of units in twelve keys, queries as they are written, and what embedded them."""
    corpus = Corpus.from_folder(options.data, progress=not options.json)
    rng = np.random.default_rng(0)
    train, test = np.flatnonzero(~corpus.piece_is_test), np.flatnonzero(corpus.piece_is_test)
    if options.model is None and DEFAULT not in packaged():
        name, digest = "a context model before its training", "untrained"
        encode = untrained_encoder(corpus, train, "small", 0, np)
    else:
        model = load(options.model)
        name, digest, encode = options.model or DEFAULT, weights_digest(model), model.encode

    rows = cut(Passages.of(corpus, rng.permutation(train), 12), options.rows)
    asked = Passages.of(corpus, test)
    asked = rng.permutation(np.flatnonzero(asked.sounds))[: max(SINGLE, BATCH)]
    key = hashlib.sha256(rows.beats.tobytes() + rows.keys.tobytes() + digest.encode())
    path = ROOT / "build" / f"search-{key.hexdigest()[:16]}.index"
    try:
        return Index.load(path, digest), np.array(load_index(path)[0]["queries"]), name
    except InputError:
        say(f"embedding {len(rows):,} units, once; kept in {path.relative_to(ROOT)}")
    progress = False if options.json else None
    queries = Passages.of(corpus, test).embed(encode, progress, "queries")[asked]
    piece = rows.piece_of(np.arange(len(rows)))
    labels = Labels(
        piece=piece.astype(np.int32),
        beat=rows.beats - corpus.piece_beats[piece],
        sounds=rows.sounds,
        seconds=np.full(len(rows), np.nan, np.float32),
        piece_composer=corpus.piece_composer,
        pieces=corpus.names,
        composers=corpus.composers,
    )
    path.parent.mkdir(exist_ok=True)
    Index(rows.embed(encode, progress, "rows"), labels, digest).save(path, {"queries": queries})
    return Index.load(path, digest), queries, name


def cut(passages, n):
    """The first n rows of passages."""
    names = ("beats", "keys", "sounds")
    return replace(passages, **{name: getattr(passages, name)[:n] for name in names})


def synthetic_rows(n, size=100):
    """An index and queries: clusters of some fifty points, strong in few directions like music."""
    rng = np.random.default_rng(0)
    strength = (0.9 ** np.arange(size)).astype(np.float32)
    centres = rng.standard_normal((max(1, n // 50), size), np.float32) * strength

    def near(centres):
        return centres + 0.4 * strength * rng.standard_normal(centres.shape, np.float32)

    # Cluster after cluster, as the units of a piece are.
    rows = near(centres[np.sort(rng.integers(len(centres), size=n))])
    return Index(rows), near(centres[rng.integers(len(centres), size=max(SINGLE, BATCH))])


def measure(index, queries, say):
    """Speed and rightness of the exact index."""
    several = queries[:BATCH]
    index.search(queries[0])  # what is mapped is read for the first time
    single, certified = one_by_one(index, queries[:SINGLE])
    answers, batch = timed(lambda: index.search(several, NEIGHBOURS))
    others = {}
    if index.labels is not None:
        others = {"not_piece": np.arange(len(several)) % len(index.labels.pieces)}
    _, filtered = timed(lambda: index.search(several, NEIGHBOURS, **others))
    plain = [timed(lambda: index.embeddings @ queries[0])[1] for _ in range(11)]
    result = {
        "query_ms": 1e3 * float(np.median(single)),
        "query_ms_spread": spread([1e3 * seconds for seconds in single]),
        "batch_queries_per_s": len(several) / batch,
        "batch_other_piece_queries_per_s": len(several) / filtered if others else None,
        "recall": recall(answers, kth_cosines(index, queries[:CHECKED])),
        "certified": certified,
        "batch_certified": float(answers.certified.mean()),
        "plain_product_ms": 1e3 * float(np.median(plain)),
        "sgemm_queries_per_s": sgemm_rate(index, queries),
        "embeddings_bytes": index.embeddings.nbytes,
        "shortlist_bytes": index.shortlist.table.nbytes + index.shortlist.scale.nbytes,
    }
    say(
        f"{len(index):,} rows, exact: {result['query_ms']:.1f} ms a query (one product with all "
        f"rows: {result['plain_product_ms']:.1f} ms); in a batch "
        f"{result['batch_queries_per_s']:,.0f} queries/s (products alone: "
        f"{result['sgemm_queries_per_s']:,.0f}); recall {result['recall']:.4f}; certified by the "
        f"shortlist: {certified:.1%}, in a batch {result['batch_certified']:.1%}"
    )
    return result


def measure_approximate(index, queries, say):
    """The same of faiss, or None where it is not installed."""
    try:
        quick, built = timed(
            lambda: ApproximateIndex(index.embeddings, index.labels, index.model, index.shortlist)
        )
    except InputError as error:
        say(error)
        return None
    several = queries[:BATCH]
    single, _ = one_by_one(quick, queries[:SINGLE])
    answers, batch = timed(lambda: quick.search(several, NEIGHBOURS))
    truth = index.search(several, NEIGHBOURS).cosines[:, -1]
    result = {
        "query_ms": 1e3 * float(np.median(single)),
        "query_ms_spread": spread([1e3 * seconds for seconds in single]),
        "batch_queries_per_s": len(several) / batch,
        "recall": recall(answers, truth),
        "recall_of_its_own_trial": quick.recall,
        "cells": quick.cells.nlist,
        "probes": quick.probes,
        "columns": quick.cells.d,
        "build_s": built,
    }
    say(
        f"approximate, by faiss: {result['query_ms']:.2f} ms a query, "
        f"{result['batch_queries_per_s']:,.0f} queries/s in a batch, recall "
        f"{result['recall']:.4f}; {quick.probes} of {quick.cells.nlist:,} cells; made in "
        f"{built:.0f} s"
    )
    return result


def timed(work):
    """What work() returns, and the seconds it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def one_by_one(index, queries):
    """The seconds of each query alone, and the share that the shortlist certified."""
    answers = [timed(lambda query=query: index.search(query, NEIGHBOURS)) for query in queries]
    certified = np.mean([answer.certified for answer, _ in answers])
    return [seconds for _, seconds in answers], float(certified)


def recall(answers, kth):
    """The share of places that hold a row as near as the right one. kth: (Q,), the tenth's."""
    return float((answers.cosines[: len(kth)] >= kth[:, None] - 1e-11).mean())


def kth_cosines(index, queries):
    """The tenth greatest cosine of each query, over all rows in float64: (Q,)."""
    queries = queries.astype(np.float64)
    queries /= np.sqrt((queries**2).sum(axis=1, keepdims=True))
    best = np.full((len(queries), NEIGHBOURS), -np.inf)
    for start in range(0, len(index), BLOCK):
        x = index.embeddings[start : start + BLOCK][index.findable[start : start + BLOCK]]
        x = x.astype(np.float64)
        cosines = queries @ x.T / np.sqrt((x**2).sum(axis=1))
        best = np.sort(np.concatenate([best, cosines], axis=1), axis=1)[:, -NEIGHBOURS:]
    return best[:, 0]


def sgemm_rate(index, queries, rounds=3):
    """Queries per second of the product with all rows alone, block by block, nothing selected."""
    queries = np.ascontiguousarray(queries[:256])

    def products():
        for start in range(0, len(index), 4096):
            np.matmul(queries, index.embeddings[start : start + 4096].T)

    return len(queries) / min(timed(products)[1] for _ in range(rounds))


if __name__ == "__main__":
    run(main)
