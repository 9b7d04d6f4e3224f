"""One process at a time works in a folder.

The lock is the system's own (`flock`), so it ends with the process that holds it, however that one
dies. The file `.lock` says which process that is, for the message; it is removed at the end, and
the file of a killed process is used again. Where the system has no such locks, there are none.
"""

import json
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from tinyembed.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = ".lock"


@contextmanager
def locked(folder, option="--out"):
    """Within it, no other process works in a folder.

    folder: exists already; option: which one named it, for the message.
    Raises InputError if another process works there, naming its host and number.
    """
    path = Path(folder) / NAME
    file = _acquire(path, f"{option} {folder}") if fcntl else None
    try:
        yield
    finally:
        if file:
            with suppress(OSError):
                path.unlink()
            file.close()


def _acquire(path, what):
    """An open, locked file at a path, or None where the file system has no locks."""
    while True:
        file = open(path, "a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(file)
            file.close()
            raise InputError(
                f"{what}: {owner} is working in it; wait for it to end, or choose another folder"
            ) from None
        except OSError:  # without locks, the file would only be in the way
            file.close()
            path.unlink(missing_ok=True)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # its owner removed it just before it was locked here
    file.truncate(0)
    file.write(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
    file.flush()
    return file


def _owner(file):
    """The process that a lock file names, in words."""
    try:
        file.seek(0)
        owner = json.loads(file.read(1000))
        return f"process {int(owner['process'])} on {ascii(str(owner['host']))[1:-1]}"
    except (ValueError, KeyError, TypeError):  # it has not written its name yet
        return "another process"
