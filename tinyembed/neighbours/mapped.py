"""A file of large arrays that is mapped into memory, so that opening it takes no time.

It is .npy files one after the other, each filled up to a multiple of 64 bytes: first the bytes of
a JSON object, which names the others and holds what is not an array. An .npz, the same idea as a
zip file, cannot be mapped by NumPy.
"""

import json
import os

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.storage.files import write_atomically

KIND = "tinyembed index"
VERSION = 1
ALIGNMENT = 64  # bytes; also what numpy.lib.format fills its headers up to


def save_mapped(path, arrays, about):
    """Write arrays by name, and a JSON object; the file is replaced all at once."""
    head = {"kind": KIND, "version": VERSION, "arrays": list(arrays), "about": about}
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)

    def write(file):
        for array in (text, *arrays.values()):
            array = np.ascontiguousarray(to_host(array))
            np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
            file.write(bytes(-file.tell() % ALIGNMENT))

    write_atomically(path, write)


def load_mapped(path):
    """The arrays of such a file, mapped and read-only, by name; and the JSON object.

    Raises InputError for a file that is missing, damaged or not one of ours.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = json.loads(_map_next(file, path, size).tobytes())
            if head["kind"] != KIND:
                raise ValueError("another kind of file")
            if head["version"] == VERSION:
                names = head["arrays"]
                return {name: _map_next(file, path, size) for name in names}, head["about"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a saved index") from None
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes raise a dozen unrelated types
        why = " ".join(f"{error}".split())[:120] or type(error).__name__
        raise InputError(f"{path}: not a readable index of tinyembed ({why})") from None
    raise InputError(
        f"{path}: written by another version of tinyembed (format {head['version']}, this one "
        f"reads {VERSION}); make the index again"
    )


def _map_next(file, path, size):
    """The array that begins where the file stands, which moves on to the next."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    end = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if end > size:
        raise ValueError("cut short")
    file.seek(end + -end % ALIGNMENT)
    if end == start:  # nothing, which cannot be mapped
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape)
