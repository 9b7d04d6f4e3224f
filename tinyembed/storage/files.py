"""Write files atomically, and save and load arrays."""

import hashlib
import json
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError


def write_atomically(path, write):
    """Write or replace a file atomically. write: a function of the open binary file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk gives no name, or the temporary one
        raise


def write_json(path, value):
    """Write a JSON file, atomically and indented."""
    text = json.dumps(value, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def check_replaceable(option, path, is_ours):
    """Raise InputError unless a file can be written without losing another one.

    option: as the user gave it, such as "--out x.mid"; is_ours: a function of a path, whether that
    file was written by the same command, so that it may be replaced.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{option}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{option}: a folder; name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option}: no permission to write in {path.parent}")
    if path.exists() and not is_ours(path):
        raise InputError(f"{option}: exists and is not a file of this command; choose another name")


def save_arrays(path, arrays, compressed=False, **extra):
    """Write an .npz without pickle: arrays by name, and `extra` values as JSON."""
    encoded = {name: np.array(json.dumps(value)) for name, value in extra.items()}
    save = np.savez_compressed if compressed else np.savez
    write_atomically(path, lambda file: save(file, **arrays, **encoded))


@contextmanager
def reading(path, kind):
    """Turn every error while a file is read into InputError. kind: what the file should be."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a file") from None
    except Exception as error:  # damaged bytes raise a dozen unrelated types
        why = " ".join(f"{error}".split())[:120] or type(error).__name__
        raise InputError(f"{path}: not a readable {kind} ({why})") from None


def load_arrays(path):
    """The arrays of an .npz, by name. Raises InputError for a missing, damaged or other file."""
    with reading(path, "weight file"), open(path, "rb") as file:
        with zipfile.ZipFile(file), np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)  # the first with is there because NumPy also loads other formats


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
