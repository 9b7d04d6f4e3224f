"""Write files atomically, and turn what can go wrong with a file into one line."""

import errno
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.storage.temporary import temporary_name
from tinyembed.storage.text import escaped, printable
from tinyembed.storage.values import parse_json

LARGEST_JSON = 1 << 24  # bytes of a JSON file that is read again


def write_atomically(path, write, kept=None):
    """Write or replace a file atomically. write: a function of the open binary file.

    kept: the path to which a file that is replaced moves, when the new one is whole.
    """
    write_together({path: write}, kept)


def write_together(writers, kept=None):
    """Write or replace several files that belong together: all, or after an error none.

    writers: {path: function of the open binary file}. No file gets its name before the last one is
    written, so a full disk leaves those that were there before.
    """
    written = {}
    try:
        for path, write in writers.items():
            path = Path(path)
            written[path] = temporary_name(path)
            with open(written[path], "w+b") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in written.items():
            if kept is not None and path.exists():
                os.replace(path, kept)
            os.replace(temporary, path)
    except BaseException as error:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise named(error, path) from error
        raise


def make_folder(folder, fill):
    """Make a folder that has its name only when it is filled. fill: a function of a path."""
    new = temporary_name(Path(folder).absolute())
    try:
        new.mkdir(parents=True)
        fill(new)
        new.rename(folder)
    except OSError as error:
        raise named(error, folder) from error  # not what stood in for it
    finally:
        shutil.rmtree(new, ignore_errors=True)


def named(error, path):
    """The same OSError with the name of a file: a full disk gives none, or the temporary one."""
    reason = error.errno or errno.EIO, error.strerror or f"{error}"
    return OSError(*reason, str(path))


def write_json(path, value):
    """Write a JSON file, atomically and indented."""
    text = json.dumps(value, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path):
    """The value in a JSON file. Raises InputError for a missing or damaged file."""
    with reading(path, "JSON file"), open(path, "rb") as file:
        text = file.read(LARGEST_JSON + 1)
        if len(text) > LARGEST_JSON:
            raise ValueError("too large")
        return parse_json(text)


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
    if path.exists() and not (path.is_file() and is_ours(path)):  # reading a pipe would wait
        raise InputError(f"{option}: exists and is not a file of this command; choose another name")


@contextmanager
def reading(path, kind):
    """Turn every error while a file is read into InputError. kind: what the file should be.

    An InputError raised within is taken to be the reason alone, and gets the name of the file.
    """
    name = printable(path)
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{name}: a pipe or a device, not a file")  # to open it might wait
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, not a file") from None
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise a dozen unrelated types
        why = escaped(" ".join(f"{error}".split())[:120]) or type(error).__name__
        raise InputError(f"{name}: not a readable {kind} ({why})") from None


def digest(path):
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
