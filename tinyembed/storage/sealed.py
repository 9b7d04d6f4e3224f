"""Bytes in a file that ends with a seal (archive.py), for caches that another library fills."""

import hashlib

from tinyembed.storage.archive import seal_text
from tinyembed.storage.files import write_atomically


def write_sealed(path, kind, data):
    """Write bytes and their seal, atomically."""
    write_atomically(path, lambda file: file.write(data + _seal(kind, data)))


def read_sealed(path, kind):
    """The bytes that were written. Raises ValueError where they are damaged, or of another kind."""
    with open(path, "rb") as file:
        data = file.read()
    end = max(0, len(data) - len(seal_text(kind)))
    if data[end:] != _seal(kind, data[:end]):
        raise ValueError("damaged")
    return data[:end]


def _seal(kind, data):
    return seal_text(kind, hashlib.sha256(data).hexdigest().encode())
