"""Embed a store, shard by shard: files that are there stay, so what was begun can be continued."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyembed.embedding.embed import embed_pieces
from tinyembed.embedding.shards import (
    FOLDER,
    KIND,
    RECORD,
    VERSION,
    Embeddings,
    other_files,
    read_settings,
)
from tinyembed.errors import InputError, WorkError
from tinyembed.models.table import EMBEDDING
from tinyembed.music.corpus import READER_VERSION
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.progress import progress_bar
from tinyembed.storage.records import write_record
from tinyembed.storage.text import printable

# Units that are encoded together: enough blocks of 60 for every core to be busy nearly all of the
# time, and 6.5 MB of float32 rows.
AT_ONCE = 1 << 14
LARGEST = float(np.finfo(np.float16).max)  # 65,504


@dataclass(frozen=True)
class Written:
    """What a call of `embed_store` did.

    embeddings: the `Embeddings`; made, found: how many shards of its share it made, and found made;
    notes: a line for each damaged shard that was made again; missing: how many shards of others are
    not there yet.
    """

    embeddings: Embeddings
    made: int
    found: int
    notes: list
    missing: int


def embed_store(store, folder, model, name, weights, share=(0, 1), progress=None):
    """Write the embeddings of a `Store` to a folder, or what is missing of them.

    model: a `Model`, on its device; name: what the user calls it; weights: its `weights_digest`;
    share: (i, n), the shards i, i + n, i + 2n, ...; progress: False for no progress bar.
    Returns `Written`. Raises InputError if the folder holds embeddings of another store or model,
    and WorkError for embeddings that float16 cannot hold. An error leaves all shards that are made.
    """
    folder, notes = Path(folder), []
    embeddings = Embeddings(folder, begin(store, folder, name, weights))
    own = list(range(len(store.shards)))[share[0] :: share[1]]
    waiting = [n for n in own if not _is_made(embeddings, n, notes)]
    units = embeddings.found["units"]
    total = sum(units[n] for n in own)
    shown = {"total": total, "desc": "embedding", "unit": " units", "delay": 1}
    with progress_bar(progress, **shown) as bar:
        bar.update(total - sum(units[n] for n in waiting))
        for n in waiting:
            arrays, about = _encode(store.shards[n], model, bar, f"{embeddings.paths[n]}")
            about |= {"shard": store.shards[n].digest, "weights": weights}
            save_mapped(embeddings.paths[n], KIND, arrays, about)
    made = len(waiting)
    return Written(embeddings, made, len(own) - made, notes, len(embeddings.missing()))


def begin(store, folder, name, weights):
    """Write embeddings.json, or find the same one there. Returns its values."""
    values = {
        "version": VERSION,
        "model": printable(name),
        "weights": weights,
        "reader": str(READER_VERSION),
        "dimensions": EMBEDDING,
        "store": printable(Path(store.folder).absolute()),
        "pieces": store.n_pieces,
        "shards": [shard.name for shard in store.shards],
        "digests": [shard.digest for shard in store.shards],
        "units": [shard.n_units for shard in store.shards],
    }
    if (folder / RECORD).exists():
        found, title = read_settings(folder), printable(folder)
        if found["weights"] != weights:
            raise InputError(
                f"{title}: holds embeddings of another model, {found['model']}; choose another -o"
            )
        if any(found[key] != values[key] for key in ("shards", "digests", "units")):
            raise InputError(
                f"{title}: holds embeddings of another store, {found['store']}, or of this one as "
                "it was before; choose another -o"
            )
        return found
    if other_files(folder, RECORD, FOLDER):  # another job may be making these
        raise InputError(f"{printable(folder)}: holds other files; choose another -o")
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    write_record(folder / RECORD, values)
    return values


def _is_made(embeddings, n, notes):
    """Whether a shard is there, every bit of it."""
    if not embeddings.paths[n].exists():
        return False
    try:
        embeddings.shard(n)
    except InputError as error:
        notes.append(f"made again: {error}")
        return False
    return True


def _encode(shard, model, bar, path):
    """The arrays of a shard, and the names in it."""
    names, composers, arrays = [], {}, []
    waiting, n_waiting, piece_composer = [], 0, []
    for composer, name, piece, kept in shard.pieces():
        names.append(name)
        piece_composer.append(composers.setdefault(composer, len(composers)))
        waiting.append((len(names) - 1, piece, np.asarray(kept, bool)))
        n_waiting += np.count_nonzero(kept)
        if n_waiting >= AT_ONCE:
            arrays.append(_encode_pieces(waiting, model, bar, path))
            waiting, n_waiting = [], 0
    arrays.append(_encode_pieces(waiting, model, bar, path))
    rows, piece, beat = (np.concatenate(part) for part in zip(*arrays, strict=True))
    arrays = {"rows": rows, "piece": piece, "beat": beat}
    arrays["piece_composer"] = np.array(piece_composer, np.int32)
    return arrays, {"names": names, "composers": list(composers)}


def _encode_pieces(pieces, model, bar, path):
    """The rows, pieces and beats of the kept units of some pieces: (index, `Piece`, kept) each."""
    music, which = [piece for _, piece, _ in pieces], [kept for _, _, kept in pieces]
    none = np.zeros((0, EMBEDDING), np.float32)
    rows = np.concatenate([none, *embed_pieces(music, model, kept=which)])
    if len(rows) and np.abs(rows).max() > LARGEST:
        raise WorkError(
            f"{printable(path)}: the model's embeddings reach {np.abs(rows).max():.3g}, and "
            f"float16 ends at {LARGEST:,.0f}; choose another --model, or embed the music itself, "
            "in float32: python -m tinyembed.embed FOLDER"
        )
    bar.update(len(rows))
    none = [np.zeros(0, np.int32)]
    beats = [np.flatnonzero(kept).astype(np.int32) for _, _, kept in pieces]
    piece = [np.full(len(b), n, np.int32) for b, (n, _, _) in zip(beats, pieces, strict=True)]
    return rows.astype(np.float16), np.concatenate(none + piece), np.concatenate(none + beats)
