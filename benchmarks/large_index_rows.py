"""The rows and queries of `benchmarks.large_index`: real embeddings, and rows made from them.

Real are the embeddings of all different units of the training pieces in twelve keys, about a
million. A made row is a real row, plus half of the difference between two neighbouring real rows
from elsewhere. So it differs from its neighbours about as much as real rows do from theirs, and in
directions in which real rows differ.
"""

import numpy as np

from tinyembed.embedding.shards import FOLDER, KIND, RECORD, VERSION, shard_path
from tinyembed.embedding.trained import DEFAULT, load
from tinyembed.evaluation.passages import Passages
from tinyembed.models.table import EMBEDDING
from tinyembed.music.corpus import Corpus
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.records import write_record

ROWS_ARE = " ".join(__doc__.split("\n\n")[1].split())
SHARD = 250_000  # rows, as of a thousand files
QUERIES = 300
PAIRS, APART = 10_000, 11  # rows whose neighbours are asked for, and how many
NOISE = 0.5  # of a difference between neighbours
PERCENTILES = (5, 25, 50, 75, 95)


def encode_once(data, here, say):
    """Write real.npy, queries.npy and differences.npy, unless they are there."""
    if (here / "differences.npy").exists():
        return
    corpus, rng = Corpus.from_folder(data, progress=False), np.random.default_rng(0)
    encode, parts = load().encode, {}
    for name, held_out, keys in (("queries", True, 1), ("real", False, 12)):
        some = Passages.of(corpus, np.flatnonzero(corpus.piece_is_test == held_out), keys)
        say(f"embedding {len(some):,} units")
        rows = some.embed(encode, False, name)[some.sounds].astype(np.float16)
        _, first = np.unique(rows.view("V200").ravel(), return_index=True)
        parts[name] = rows[rng.permutation(first)]
    np.save(here / "queries.npy", parts["queries"][:QUERIES])
    real = unit(parts["real"])
    np.save(here / "real.npy", real.astype(np.float16))
    some = rng.choice(len(real), PAIRS, replace=False)
    near = Index(real).search(real[some], APART + 1).rows[:, 1:]
    np.save(here / "differences.npy", (real[near] - real[some, None]).reshape(-1, EMBEDDING))


def unit(rows):
    """Rows scaled to length 1: (n, D) float32."""
    rows = rows.astype(np.float32)
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def made_rows(n, here, seed):
    """n rows made from real ones: (n, D) float32 of length 1."""
    rng, real = np.random.default_rng(seed), np.load(here / "real.npy", mmap_mode="r")
    differences = np.load(here / "differences.npy", mmap_mode="r")
    rows = real[np.sort(rng.integers(len(real), size=n))].astype(np.float32)
    return unit(rows + NOISE * differences[rng.integers(len(differences), size=n)])


def write_embeddings(n, path, here):
    """A folder of embeddings with n rows: the real ones, then made ones."""
    if (path / RECORD).exists():
        return
    weights, real = weights_digest(load()), np.load(here / "real.npy", mmap_mode="r")
    bounds = [*range(0, n, SHARD), n]
    names = [f"{i:05}" for i in range(len(bounds) - 1)]
    (path / FOLDER).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        first, last = bounds[i : i + 2]
        rows = np.array(real[first:last])
        if len(rows) < last - first:
            more = made_rows(last - first - len(rows), here, i).astype(np.float16)
            rows = np.concatenate([rows, more])
        row, pieces = np.arange(last - first, dtype=np.int32), -(-(last - first) // 250)
        arrays = {"rows": rows, "piece": row // 250, "beat": row % 250}
        arrays["piece_composer"] = np.zeros(pieces, np.int32)
        about = {"names": [f"made/{name}-{p}.mid" for p in range(pieces)], "composers": ["made"]}
        save_mapped(shard_path(path, name), KIND, arrays, about | {"shard": "", "weights": weights})
    values = {"version": VERSION, "model": DEFAULT, "weights": weights, "reader": "", "store": ""}
    values |= {"dimensions": EMBEDDING, "shards": names, "digests": [""] * len(names)}
    values |= {"units": np.diff(bounds).tolist(), "pieces": -(-n // 250)}
    write_record(path / RECORD, values)


def nearest_cosines(rows, queries, k):
    """The PERCENTILES of the cosines of queries with the nearest row and the k-th."""
    best = Index(rows).search(queries, k).cosines
    return {
        str(place): np.percentile(best[:, place - 1], PERCENTILES).round(3).tolist()
        for place in (1, k)
    }
