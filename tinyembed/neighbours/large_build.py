"""Build a `LargeIndex`: train once, code each shard by itself, join all on the disk.

What was begun can be continued: a finished step has its file, and is not taken again. Memory holds
a sample, or a shard, whatever the number of shards.
"""

import os
import shutil
from pathlib import Path

import numpy as np

from tinyembed.embedding.shards import Embeddings, other_files
from tinyembed.errors import InputError
from tinyembed.neighbours.cells import import_faiss
from tinyembed.neighbours.large_files import (
    DATA,
    PARTS,
    RECORD,
    SUMS,
    VERSION,
    load_lists,
    load_quantizer,
    read_settings,
    save_quantizer,
    save_sums,
)
from tinyembed.neighbours.large_join import join
from tinyembed.neighbours.large_plan import BYTES, Plan
from tinyembed.neighbours.large_quantizer import hollow, make, train
from tinyembed.neighbours.large_rows import Rows
from tinyembed.neighbours.shortlist import LONGEST, SHORTEST
from tinyembed.storage.locks import locked
from tinyembed.storage.progress import progress_bar
from tinyembed.storage.records import write_record
from tinyembed.storage.sealed import read_sealed, write_sealed
from tinyembed.storage.text import printable

BLOCK = 1 << 16  # rows at a time
KIND = "part"


def build(embeddings, folder, seed=0, progress=None):
    """Build an index in a folder, or what is missing of it.

    embeddings: the path of a folder of embeddings; seed: of the sample and of k-means; progress:
    False for no progress bar.
    Returns the settings of the index. Raises InputError without faiss, for embeddings that are
    damaged or not all there, and if the folder holds another index.
    """
    import_faiss()
    folder, source = Path(folder), Embeddings.open(embeddings)
    settings, plan = _begin(source, folder, seed)
    with locked(folder, "-o"):
        if not _is_whole(folder, settings):
            quantizer, digest = _quantizer(source, folder, settings, plan, progress)
            parts = folder / PARTS
            paths = _code_all(source, parts / digest[:16], quantizer, progress)
            sizes = join(folder / DATA, quantizer, paths)
            save_sums(folder, sizes, folder / DATA, digest)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    return settings


def _begin(source, folder, seed):
    """Write index.json, or find the same one there. Returns its values, and the `Plan`."""
    if len(source) == 0:
        raise InputError(f"{printable(source.folder)}: no embeddings in it to search among")
    plan = Plan.of(len(source))
    values = {
        "version": VERSION,
        "embeddings": os.path.relpath(source.folder.absolute(), folder.absolute()),
        "digest": source.digest,
        "model": source.found["model"],
        "weights": source.weights,
        "rows": len(source),
        "dimensions": source.size,
        "lists": plan.lists,
        "bytes": BYTES,
        "probes": plan.probes,
        "seed": seed,
    }
    if source.size % BYTES:
        raise InputError(f"{printable(source.folder)}: rows of {source.size} numbers, not 100")
    if (folder / RECORD).exists():
        found = read_settings(folder)
        if other := [name for name in values if found[name] != values[name]]:
            what = "--seed" if other == ["seed"] else "embeddings"
            raise InputError(
                f"{printable(folder)}: holds an index of other {what}; choose another -o"
            )
        return found, plan
    if other_files(folder):
        raise InputError(f"{printable(folder)}: holds other files; choose another -o")
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / RECORD, values)
    return values, plan


def _is_whole(folder, settings):
    """Whether the index is finished, every byte of it."""
    try:
        load_lists(folder, settings, load_quantizer(folder, settings)[1], verify=True)
    except InputError:
        return False
    return True


def _quantizer(source, folder, settings, plan, progress):
    """The arrays of the quantizer, trained now or before, and its digest."""
    try:
        return load_quantizer(folder, settings)
    except InputError:  # none yet, or a damaged one
        (folder / SUMS).unlink(missing_ok=True)
    sample = _sample(source, plan.training, settings["seed"])
    if len(sample) == 0:
        raise InputError(f"{printable(source.folder)}: its rows are zero: they have no direction")
    save_quantizer(folder, train(sample, settings["lists"], settings["seed"], progress))
    return load_quantizer(folder, settings)


def _sample(source, n, seed):
    """A row from each of n equal stretches of all rows, of length 1: (n, D) float32 or fewer."""
    places = (np.arange(n) + np.random.default_rng(seed).random(n)) * (len(source) / n)
    numbers = np.minimum(places.astype(np.int64), len(source) - 1)
    rows, sample, filled = Rows(source), np.empty((n, source.size), np.float32), 0
    for i in range(0, n, BLOCK):
        unit, _ = _unit(rows[numbers[i : i + BLOCK]])
        sample[filled : filled + len(unit)] = unit
        filled += len(unit)
    return sample[:filled]


def _unit(rows):
    """Rows (n, D) scaled to length 1, (m, D) float32, without those that have no direction; and
    which those with one are, (n,) bool."""
    rows = rows.astype(np.float32)
    length = np.sqrt((rows * rows).sum(axis=1))
    good = (length > SHORTEST) & (length <= LONGEST)
    return rows[good] / length[good, None], good


def _code_all(source, folder, quantizer, progress):
    """Write the lists of each shard to a file of its own. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rotation, rows = quantizer["rotation"].T.copy(), Rows(source)
    paths = [folder / f"{name}.part" for name in source.found["shards"]]
    about = {"total": len(source), "desc": "coding", "unit": " rows", "delay": 1}
    with progress_bar(progress, **about) as bar:
        for n, path in enumerate(paths):
            first, last = source.first[n : n + 2]
            if not _is_sealed(path):
                index = make(quantizer)
                for i in range(first, last, BLOCK):
                    numbers = np.arange(i, min(i + BLOCK, last))
                    unit, good = _unit(rows[numbers])
                    index.add_with_ids(unit @ rotation, numbers[good])
                _write_part(path, index)
            bar.update(last - first)
    return paths


def _write_part(path, index):
    hollow(index)
    write_sealed(path, KIND, import_faiss().serialize_index(index).tobytes())


def _is_sealed(path):
    try:
        read_sealed(path, KIND)
    except (OSError, ValueError):  # not there, or damaged
        return False
    return True
