"""A `Store`: a collection of any size on disk, which `python -m tinyembed.corpus build` made."""

import os
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import file_digest, load_mapped
from tinyembed.storage.records import read_versioned
from tinyembed.storage.text import printable, quoted
from tinyembed.storage.values import text, texts, whole, wholes
from tinyembed.stores.join import KEPT, kept_file
from tinyembed.stores.plan import AGAIN, VERSION
from tinyembed.stores.shards import Shard
from tinyembed.stores.tasks import shard_file

RULES = {
    "plan": text(),
    "shards": texts(1 << 20),
    "pieces": wholes(),
    "units": wholes(),
    "files": whole(),
    "left_out": whole(),
    "same_files": whole(),
    "same_units": whole(),
    "composers": texts(1 << 24, printed=True),
}


def is_store(path):
    """Whether a path is a folder that `corpus build` began or finished."""
    return path is not None and os.path.isfile(os.path.join(path, "plan.json"))


class Store:
    """What a store keeps: its different pieces, and their different units.

    n_pieces, n_units: how many; composers: their names, sorted; found: what store.json says.
    """

    def __init__(self, folder, found):
        self.folder, self.found = Path(folder), found
        self.composers = found["composers"]
        self.n_pieces, self.n_units = sum(found["pieces"]), sum(found["units"])
        first = accumulate(found["pieces"], initial=0)
        self.shards = [KeptShard(self, n, next(first)) for n in range(len(found["shards"]))]

    @classmethod
    def open(cls, folder):
        """The store in a folder. Raises InputError where it is none, unfinished, or damaged."""
        path, title = Path(folder) / "store.json", printable(folder)
        if not is_store(folder):
            raise InputError(
                f"{title}: no store; python -m tinyembed.corpus build SOURCE -o STORE makes one"
            )
        if not path.exists():
            raise InputError(
                f"{title}: not finished; repeat the command that began it, or, where each job "
                f"reads its share: python -m tinyembed.corpus join {quoted(str(folder))}"
            )
        found = read_versioned(path, "a store", VERSION, RULES, AGAIN)
        if len({len(found[name]) for name in ("shards", "pieces", "units")}) > 1:
            raise InputError(f"{printable(path)}: its lists do not fit each other")
        return cls(folder, found)

    @property
    def digest(self):
        """A text that changes with anything in the store."""
        return self.found["plan"] + "".join(self.found["shards"])


class KeptShard:
    """A shard of a store, and what is kept of it. It is opened when it is first used.

    name: "00000"; n_pieces, n_units: how many are kept; first: the first kept piece among all that
    the store keeps.
    """

    def __init__(self, store, number, first):
        self.store, self.number, self.first, self.name = store, number, first, f"{number:05}"
        self.n_pieces, self.n_units = (store.found[name][number] for name in ("pieces", "units"))

    @cached_property
    def digest(self):
        """A text that changes with any note, name or kept unit."""
        return self.store.found["shards"][self.number] + file_digest(self._kept_path)

    @property
    def _kept_path(self):
        return kept_file(self.store.folder, self.number)

    def open(self):
        """The `Shard`; which pieces are kept, (n_pieces,) bool; and which units, (n_units,) bool.

        Raises InputError where a file is missing, damaged, or another store's.
        """
        path = shard_file(self.store.folder, self.number)
        shard = Shard(path)
        kept, about = load_mapped(self._kept_path, KEPT, "part of a store", again=AGAIN)
        with reading(self._kept_path, "part of a store"):
            pieces, units = kept.get("pieces"), kept.get("units")
            if pieces is None or units is None or pieces.dtype != bool or units.dtype != np.uint8:
                raise InputError("its arrays are not those that a store keeps")
            units = np.unpackbits(units)[: shard.n_units].astype(bool)
            digest, counts = self.store.found["shards"][self.number], (self.n_pieces, self.n_units)
            is_ours = about.get("shard") == shard.digest == digest
            fits = len(pieces) == shard.n_pieces and len(units) == shard.n_units
            if not is_ours or not fits or (pieces.sum(), units.sum()) != counts:
                raise InputError(f"it is not that of {path.name}; {AGAIN}")
        return shard, np.asarray(pieces), units

    def pieces(self, chosen=slice(None)):
        """The kept pieces, or a choice of them: (composer, name, `Piece`, kept) each.

        chosen: indices among the kept pieces; kept: (n_units,) bool, which units are kept.
        """
        shard, pieces, units = self.open()
        for n in np.flatnonzero(pieces)[chosen].tolist():
            composer = shard.composers[shard.arrays["piece_composer"][n]]
            own = slice(*shard.first_unit[n : n + 2])
            yield composer, shard.names[n], shard.corpus.piece(n), units[own]
