"""The files of an index of more rows than memory holds: a folder, an INDEX.

    index.json          the settings, and the embeddings it is of: written first
    trained.quantizer   what k-means made of a sample: rotation, centres, codebook
    parts/00000.part    the codes of the embeddings' shard 00000, until all are joined
    lists.data          all codes and row numbers, one list after the other: as faiss reads them
    lists.sums          the length of each list, and the CRC-32 of every 64 KB of lists.data:
                        written last, so where it is the index is whole

faiss reads no file of its own kind here: it believes whatever bytes claim. It is given arrays that
were checked, and lists.data, in which any bytes are right for it. Its row numbers are checked
before they are used.
"""

import os
import zlib
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import BLOCK, CheckedArray, file_digest, load_mapped, save_mapped
from tinyembed.storage.records import read_versioned
from tinyembed.storage.text import printable
from tinyembed.storage.values import text, whole

VERSION = 1
RECORD, QUANTIZER, DATA, SUMS, PARTS = (
    "index.json", "trained.quantizer", "lists.data", "lists.sums", "parts",
)  # fmt: skip
WORDS = "index of embeddings"
AGAIN = "build the index again, in another folder, with python -m tinyembed.search build"
RULES = {
    "version": whole(1),
    "embeddings": text(),
    "digest": text(),
    "model": text(),
    "weights": text(),
    "rows": whole(1),
    "dimensions": whole(1, 1 << 16),
    "lists": whole(1, 1 << 24),
    "bytes": whole(1, 1 << 12),
    "probes": whole(1, 1 << 24),
    "seed": whole(),
}
ROW_NUMBER = 8  # bytes, beside the code of each row
LARGEST = 1e3  # of a number in the quantizer: all are of vectors of length 1


def is_large_index(path):
    """Whether a path is a folder in which such an index was begun or finished."""
    return path is not None and os.path.isfile(os.path.join(path, RECORD))


def read_settings(folder):
    """What index.json says. Raises InputError where it is missing, damaged, or another one's."""
    path, title = Path(folder) / RECORD, printable(folder)
    if not path.is_file():
        raise InputError(
            f"{title}: no index of embeddings; python -m tinyembed.search build EMBEDDINGS -o "
            "INDEX makes one"
        )
    found = read_versioned(path, "an index", VERSION, RULES, AGAIN)
    if found["probes"] > found["lists"]:
        raise InputError(f"{printable(path)}: it would search more lists than it has")
    return found


def save_quantizer(folder, arrays):
    """Write the arrays of a trained quantizer."""
    save_mapped(Path(folder) / QUANTIZER, "quantizer", arrays, {})


def load_quantizer(folder, settings):
    """The arrays of a trained quantizer, and its digest. Raises InputError where it is damaged."""
    path = Path(folder) / QUANTIZER
    arrays, _ = load_mapped(path, "quantizer", WORDS, again=AGAIN)
    size, code = settings["dimensions"], settings["bytes"]
    with reading(path, WORDS):
        shapes = {
            "rotation": (size, size),
            "centres": (settings["lists"], size),
            "codebook": (code, 256, size // code),
        }
        if {name: a.shape for name, a in arrays.items()} != shapes or size % code:
            raise InputError(f"its parts do not fit {RECORD}")
        for name, array in arrays.items():
            # A comparison with NaN is false.
            if array.dtype.str != "<f4" or not np.abs(array).max() <= LARGEST:
                raise InputError(f"{name}: numbers in it are not finite or absurdly large")
    return {name: np.array(array) for name, array in arrays.items()}, file_digest(path)


def save_sums(folder, sizes, path, digest):
    """Write lists.sums. sizes: (lists,); path: of lists.data; digest: of the quantizer."""
    with open(path, "rb") as file:
        sums = [zlib.crc32(block) for block in iter(lambda: file.read(BLOCK), b"")]
    arrays = {"sizes": sizes.astype(np.int64), "blocks": np.array(sums, np.uint32)}
    save_mapped(Path(folder) / SUMS, "lists", arrays, {"quantizer": digest})


def load_lists(folder, settings, digest, verify=False):
    """The sizes of the lists, (lists,) int64, and the bytes of lists.data, a `CheckedArray`.

    digest: of the quantizer. Raises InputError where a part is missing, damaged, or of another
    index. The bytes are checked as they are first read, or, with verify, now.
    """
    folder = Path(folder)
    path, data = folder / SUMS, folder / DATA
    if not path.exists():
        raise InputError(
            f"{printable(folder)}: not finished; repeat the tinyembed.search build that began it"
        )
    arrays, about = load_mapped(path, "lists", WORDS, again=AGAIN)
    with reading(path, WORDS):
        if about != {"quantizer": digest}:
            raise InputError(f"it is not that of {QUANTIZER}; {AGAIN}")
        sizes, blocks = arrays.get("sizes"), arrays.get("blocks")
        if sizes is None or sizes.dtype.str != "<i8" or sizes.shape != (settings["lists"],):
            raise InputError(f"its lists are not those of {RECORD}")
        if not 0 <= sizes.min() <= sizes.max() <= settings["rows"]:
            raise InputError("the length of a list is out of range")
        length = int(sizes.sum()) * (settings["bytes"] + ROW_NUMBER)
        if blocks is None or blocks.dtype.str != "<u4" or len(blocks) != -(-length // BLOCK):
            raise InputError("the number of checksums is wrong")
    with reading(data, WORDS):
        if (found := os.stat(data).st_size) != length:
            raise InputError(f"damaged: {found:,} bytes instead of {length:,}; {AGAIN}")
        lists = map_checked(data, length, np.array(blocks))
    if verify:
        lists.verify()
    return np.array(sizes), lists


def map_checked(path, length, blocks):
    """The bytes of a file, mapped, each block of which is compared when it is first read."""
    if length == 0:
        return np.zeros(0, np.uint8).view(CheckedArray)
    array = np.memmap(path, np.uint8, "r", 0, (length,)).view(CheckedArray)
    array.blocks, array.unchecked = blocks, np.ones(len(blocks), bool)
    array.where, array.again = f"{printable(path)}: ", AGAIN
    return array
