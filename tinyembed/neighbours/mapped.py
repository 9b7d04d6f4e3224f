"""A file of large arrays that is mapped into memory, so that opening it takes no time.

The file is a sequence of .npy files, each padded to a multiple of 64 bytes. The first holds the
bytes of a JSON object, which names the others and holds every value that is not an array. NumPy
cannot map an .npz, which is the same idea as a zip file.
"""

import json
import os

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.storage.files import reading, write_atomically

KIND = "tinyembed index"
VERSION = 1
ALIGNMENT = 64  # bytes; numpy.lib.format pads its headers to the same multiple


def save_mapped(path, arrays, about):
    """Write arrays by name and a JSON object, atomically."""
    head = {"kind": KIND, "version": VERSION, "arrays": list(arrays), "about": about}
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)

    def write(file):
        for array in (text, *arrays.values()):
            array = np.ascontiguousarray(to_host(array))
            np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
            file.write(bytes(-file.tell() % ALIGNMENT))

    write_atomically(path, write)


def load_mapped(path):
    """The arrays of such a file by name, mapped and read-only, and its JSON object.

    Raises InputError if the file is missing, damaged or not an index.
    """
    with reading(path, "index of tinyembed"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = json.loads(_map_next(file, path, size).tobytes())
        if head["kind"] != KIND:
            raise ValueError("another kind of file")
        if head["version"] == VERSION:
            return {n: _map_next(file, path, size) for n in head["arrays"]}, head["about"]
    raise InputError(
        f"{path}: written by another version of tinyembed (format {head['version']}, this one "
        f"reads {VERSION}); make the index again"
    )


def _map_next(file, path, size):
    """The array that begins at the file's position, which moves to the next array."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    end = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if end > size:
        raise ValueError("cut short")
    file.seek(end + -end % ALIGNMENT)
    if end == start:  # an empty array, which cannot be mapped
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape)
