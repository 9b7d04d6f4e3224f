"""Save and load arrays by name: .npz files with a seal (archive.py), written atomically."""

import json
import zipfile
from contextlib import contextmanager

import numpy as np

from tinyembed.storage.archive import DIGEST_SIZE, Archive, seal_text, sha256
from tinyembed.storage.files import reading, write_atomically

ANY = "arrays"  # the kind of a file that holds arrays and no more


def save_arrays(path, arrays, kind=ANY, compressed=False, kept=None, **extra):
    """Write an .npz without pickle: arrays by name, and `extra` values as JSON.

    kind: what the file is, a word that its reader asks for; kept: where a file that is replaced
    stays, if it does.
    """
    arrays = dict(arrays) | {name: json.dumps(value) for name, value in extra.items()}
    write_atomically(path, lambda file: _write(file, arrays, kind, compressed), kept)


def _write(file, arrays, kind, compressed):
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = seal_text(kind)  # to be filled in when all the rest is written
        for name, array in arrays.items():
            array = np.asarray(array, order="C")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
    size = file.seek(0, 2) - len(seal_text(kind))
    digest = sha256(file, file.seek(0, 2) - DIGEST_SIZE)
    file.seek(size)
    file.write(seal_text(kind, digest))


@contextmanager
def open_arrays(path, kind, words):
    """An open `Archive` of a kind, in words such as "weight file", whose seal is checked.

    A file without a seal, by an earlier version, is opened too. Raises InputError that names the
    file, also for every error in the block: whatever is wrong there is wrong with the file.
    """
    with reading(path, words), open(path, "rb") as file:
        archive = Archive(file)
        archive.check_kind(kind, f"a {words}")
        yield archive


def load_arrays(path, kind=None, words="file of arrays"):
    """All arrays of an .npz, by name. kind, words: as for `open_arrays`; None for any kind.

    Raises InputError for a missing, damaged or other file.
    """
    with reading(path, words), open(path, "rb") as file:
        archive = Archive(file)
        if kind is not None:
            archive.check_kind(kind, f"a {words}")
        return {name: archive.array(name) for name in archive.names}
