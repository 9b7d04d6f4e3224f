"""The names of files and folders that are still being written, and what to do with forgotten ones.

A file is written under a temporary name and then renamed, so no reader sees half of it. The name
says which process on which computer writes it. If that process was killed, its file stays behind;
the next one that writes into the same folder removes it.
"""

import functools
import itertools
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

STALE_AFTER = 86_400  # seconds, for a writer that we cannot ask: another computer's
_NAME = re.compile(r"\..+\.([\w-]+)-(\d+)-\d+\.tmp")
_counter = itertools.count()  # two threads may write the same file


def temporary_name(path):
    """A name beside `path` that no other writer uses: a Path."""
    path = Path(path)
    sweep(path.absolute().parent)
    return path.with_name(f".{path.name[:150]}.{_host()}-{os.getpid()}-{next(_counter)}.tmp")


@functools.lru_cache(maxsize=64)  # once per folder and process is enough
def sweep(folder):
    """Remove what killed writers have left in a folder, and nothing else."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and _is_stale(found[1], int(found[2]), entry):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)


def is_running(process):
    """Whether a process of this computer, given by its number, runs; None if we cannot know."""
    if os.name != "posix":  # elsewhere signal 0 would end it
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _is_stale(host, process, entry):
    running = is_running(process) if host == _host() else None
    if running is not None:
        return not running
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_AFTER


@functools.cache
def _host():
    return re.sub(r"[^\w-]", "_", socket.gethostname(), flags=re.ASCII)[:40] or "here"
