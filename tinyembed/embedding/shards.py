"""The embeddings of a store: a folder with one file of float16 numbers per shard of the store.

    embeddings.json       the model, the store and its shards: written before the first shard
    shards/00000.rows     of the store's shard 00000, one row per unit that the store keeps:
        rows              (n, 100) float16, the embeddings
        piece             (n,) int32, an index into the names of the shard's pieces
        beat              (n,) int32, the first of the unit's four beats
        piece_composer    (P,) int32, an index into the names of the shard's composers

The file of a shard depends on that shard and the model alone. So any process may make any of them,
in any order, and all of them are there when the embeddings are whole.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import file_digest, load_mapped
from tinyembed.storage.records import read_versioned
from tinyembed.storage.text import printable, quoted
from tinyembed.storage.values import check, text, texts, whole, wholes

VERSION = 1
RECORD, FOLDER, ENDING = "embeddings.json", "shards", ".rows"
KIND, WORDS = "embeddings", "shard of embeddings"
AGAIN = "repeat the tinyembed.embed --in ... that made it, which makes it again"
MOST_SHARDS, MOST_NAMES = 1 << 20, 1 << 20
RULES = {
    "version": whole(1),
    "model": text(),
    "weights": text(),
    "reader": text(),
    "dimensions": whole(1, 1 << 16),
    "store": text(),
    "pieces": whole(),
    "shards": texts(MOST_SHARDS, printed=True),
    "digests": texts(MOST_SHARDS),
    "units": wholes(1 << 32),
}
SHARD_RULES = {
    "names": texts(MOST_NAMES, printed=True),
    "composers": texts(MOST_NAMES, printed=True),
    "shard": text(),
    "weights": text(),
}


def is_embeddings(path):
    """Whether a path is a folder in which embeddings of a store were begun or finished."""
    return (Path(path) / RECORD).is_file()


def other_files(folder, *ours):
    """Whether a folder is there and holds more than `ours` and what is only being written."""
    if not Path(folder).exists():
        return False
    return any(path.name not in ours and path.name[0] != "." for path in Path(folder).iterdir())


def read_settings(folder):
    """What embeddings.json says. Raises InputError where it is missing, damaged, or another's."""
    path, title = Path(folder) / RECORD, printable(folder)
    if not path.is_file():
        raise InputError(
            f"{title}: no embeddings of a store; python -m tinyembed.embed --in STORE -o "
            "EMBEDDINGS makes them"
        )
    again = "make them again, in another folder"
    found = read_versioned(path, "embeddings", VERSION, RULES, again)
    if len({len(found[name]) for name in ("shards", "digests", "units")}) > 1:
        raise InputError(f"{printable(path)}: its lists do not fit each other")
    if any(Path(name).name != name for name in found["shards"]):  # no way out of the folder
        raise InputError(f"{printable(path)}: the name of a shard is a path")
    return found


@dataclass(frozen=True)
class ShardRows:
    """The arrays of one shard (see above), and the names of its pieces and composers."""

    rows: np.ndarray
    piece: np.ndarray
    beat: np.ndarray
    piece_composer: np.ndarray
    names: list
    composers: list


class Embeddings:
    """The embeddings of all units that a store keeps, numbered through all shards.

    found: what embeddings.json says; first: (S + 1,) the number of each shard's first row, and of
    all rows at the end.
    """

    def __init__(self, folder, found):
        self.folder, self.found = Path(folder), found
        self.size, self.weights = found["dimensions"], found["weights"]
        self.first = np.concatenate([[0], np.cumsum(found["units"], dtype=np.int64)])

    @classmethod
    def open(cls, folder):
        """The embeddings in a folder. Raises InputError unless all shards are there."""
        embeddings = cls(folder, read_settings(folder))
        if missing := embeddings.missing():
            raise InputError(
                f"{printable(folder)}: {len(missing):,} of {len(embeddings.paths):,} shards are "
                "missing; repeat the tinyembed.embed --in ... that began it, with each --shard if "
                "they were shared out"
            )
        return embeddings

    def __len__(self):
        """The number of rows."""
        return int(self.first[-1])

    @cached_property
    def paths(self):
        """The path of each shard."""
        return [shard_path(self.folder, name) for name in self.found["shards"]]

    def missing(self):
        """The shards that are not there: a list of their places."""
        return [n for n, path in enumerate(self.paths) if not path.is_file()]

    @cached_property
    def digest(self):
        """The SHA-256 of all shards' digests: it changes with any bit of any of them."""
        digests = [self.weights, *map(file_digest, self.paths)]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def shard(self, n, load=load_mapped):
        """Shard n: `ShardRows`. Raises InputError where it is damaged, or of another store.

        load: what reads the file, with the arguments of `load_mapped`.
        """
        path = self.paths[n]
        arrays, about = load(path, KIND, WORDS, again=f"{quoted(str(self.folder))}: {AGAIN}")
        with reading(path, WORDS):
            check(about, SHARD_RULES, SHARD_RULES)
            ours = self.found["digests"][n], self.weights
            if (about["shard"], about["weights"]) != ours:
                raise InputError(f"it is of another store or model than {RECORD} says; {AGAIN}")
            n_rows, n_pieces = self.found["units"][n], len(about["names"])
            _expect(arrays, "rows", "<f2", n_rows, self.size)
            _expect(arrays, "piece", "<i4", n_rows)
            _expect(arrays, "beat", "<i4", n_rows)
            composers = _expect(arrays, "piece_composer", "<i4", n_pieces)
            if n_pieces and not 0 <= composers.min() <= composers.max() < len(about["composers"]):
                raise InputError("its parts do not fit: the composer of a piece is out of range")
        return ShardRows(**arrays, names=about["names"], composers=about["composers"])


def shard_path(folder, name):
    """The path of a shard's file."""
    return Path(folder) / FOLDER / f"{name}{ENDING}"


def _expect(arrays, name, kind, *shape):
    array = arrays.get(name)
    if array is None or array.dtype.str != kind or array.shape != shape:
        raise InputError(f"its parts do not fit: {name} is not {np.dtype(kind).name} {shape}")
    return array
