"""A shard: the pieces of about a thousand files, in one file that is mapped into memory.

Its arrays are those of a `Corpus`, with beats numbered through the shard, and the numbers of its
pieces and units (same.py), by which duplicates in other shards are found.
"""

from functools import cached_property

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.roll import BEATS_PER_UNIT, n_units
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import file_digest, load_mapped, save_mapped
from tinyembed.storage.values import check, pairs_of_texts, texts
from tinyembed.stores.plan import AGAIN
from tinyembed.stores.same import piece_number, unit_numbers

KIND, WORDS = "shard", "shard of a store"
MOST = 1 << 20  # files of a shard
ARRAYS = {  # name: type of numbers
    "ticks": "<i4", "pitches": "|u1", "beat_start": "<i4", "piece_beats": "<i4",
    "piece_composer": "<i4", "piece_on_grid": "<f4", "piece_number": "<u8",
    "unit_number": "<u8", "unit_order": "<i4",
}  # fmt: skip
ABOUT = {
    "names": texts(MOST, printed=True),
    "composers": texts(MOST, printed=True),
    "left_out": pairs_of_texts(),
    "repaired": pairs_of_texts(),
}


def save_shard(path, pieces, left_out):
    """Write a shard, atomically.

    pieces: list of (composer, name, `Piece`), it may be empty; left_out: list of (name, reason).
    """
    arrays = {name: np.zeros(0, kind) for name, kind in ARRAYS.items()}
    arrays["beat_start"] = arrays["piece_beats"] = np.zeros(1, np.int32)
    arrays["piece_number"] = np.zeros((0, 2), np.uint64)
    about = {"names": [], "composers": [], "left_out": left_out, "repaired": []}
    if pieces:
        corpus = Corpus.from_pieces(pieces, left_out)
        arrays |= {name: getattr(corpus, name) for name in ARRAYS if hasattr(corpus, name)}
        arrays["piece_number"] = np.stack([piece_number(piece) for _, _, piece in pieces])
        units = unit_numbers(corpus)[corpus.unit_beats()]
        order = np.argsort(units, kind="stable").astype(np.int32)
        arrays["unit_number"], arrays["unit_order"] = units[order], order
        about |= {name: getattr(corpus, name) for name in about}
    save_mapped(path, KIND, arrays, about)


class Shard:
    """A shard, mapped. Raises InputError where the file is missing, damaged, or another one.

    n_pieces, n_units: of all that were read; names, composers, left_out, repaired: as in `Corpus`;
    arrays: see `ARRAYS`.
    """

    def __init__(self, path):
        self.path = path
        self.arrays, about = load_mapped(path, KIND, WORDS, again=AGAIN)
        with reading(path, WORDS):
            check(about, ABOUT, ABOUT)
            _check_arrays(self.arrays, about)
        self.names, self.composers = about["names"], about["composers"]
        self.left_out, self.repaired = (
            [tuple(pair) for pair in about[name]] for name in ("left_out", "repaired")
        )
        self.n_pieces = len(self.names)
        self.n_units = len(self.arrays["unit_order"])

    @cached_property
    def digest(self):
        """A text that changes with any bit of the shard."""
        return file_digest(self.path)

    @cached_property
    def corpus(self):
        """All pieces that were read, as a `Corpus` of mapped arrays. There must be one."""
        names = "ticks", "pitches", "beat_start", "piece_beats", "piece_composer", "piece_on_grid"
        arrays = {name: self.arrays[name] for name in names}
        held_out = np.zeros(self.n_pieces, bool)
        return Corpus(**arrays, piece_is_test=held_out, names=self.names, composers=self.composers)

    @cached_property
    def first_unit(self):
        """The first unit of each piece, and their number at the end: (n_pieces + 1,)."""
        units = n_units(np.diff(self.arrays["piece_beats"]))
        return np.concatenate([[0], np.cumsum(units)]).astype(np.int64)


def _check_arrays(arrays, about):
    """Raise InputError unless every slice that the numbers describe lies within the arrays."""
    if arrays.keys() != ARRAYS.keys() or any(arrays[n].dtype.str != k for n, k in ARRAYS.items()):
        raise InputError("its arrays are not those of a shard")
    pieces, onsets = len(about["names"]), len(arrays["ticks"])
    beats = len(arrays["beat_start"]) - 1
    units = int(n_units(np.diff(arrays["piece_beats"])).sum())
    lengths = {
        "pitches": onsets, "piece_beats": pieces + 1, "piece_composer": pieces,
        "piece_on_grid": pieces, "piece_number": pieces, "unit_number": units, "unit_order": units,
    }  # fmt: skip
    if any(len(arrays[name]) != n for name, n in lengths.items()):
        raise InputError("its arrays do not fit each other")
    for name, last, step in (("beat_start", onsets, 0), ("piece_beats", beats, BEATS_PER_UNIT)):
        array = arrays[name]
        if array[0] != 0 or array[-1] != last or (np.diff(array) < step).any():
            raise InputError(f"{name} is not in order")
    inside = (
        ("pitches", 128), ("piece_composer", len(about["composers"])), ("unit_order", units),
    )  # fmt: skip
    for name, end in inside:
        if len(arrays[name]) and not 0 <= arrays[name].min() <= arrays[name].max() < end:
            raise InputError(f"{name} is out of range")
