"""Join the lists of all shards in one file on the disk, by faiss's `merge_ondisk`.

faiss maps the new file into memory, and where the disk is full the system ends a process that
writes to such memory. It also prints. So it works in a process of its own.
"""

import errno
import multiprocessing
import os
import shutil
import warnings

import numpy as np

from tinyembed.errors import WorkError
from tinyembed.music.reading import begin_worker, starting
from tinyembed.neighbours.cells import import_faiss
from tinyembed.neighbours.large_files import ROW_NUMBER
from tinyembed.neighbours.large_quantizer import make
from tinyembed.storage.files import named
from tinyembed.storage.temporary import temporary_name
from tinyembed.storage.text import printable


def join(path, quantizer, parts):
    """Write lists.data to a path, atomically. Returns the size of each list: (lists,) int64.

    quantizer: its arrays; parts: the paths of the shards' lists. Raises OSError where it cannot be
    written, WorkError where the process that writes it dies.
    """
    needed = sum(part.stat().st_size for part in parts)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    new = temporary_name(path)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    parts = [str(part) for part in parts]
    process = spawn.Process(target=_join, args=(theirs, str(new), quantizer, parts), daemon=True)
    try:
        with starting():
            process.start()
        theirs.close()
        try:
            sizes = ours.recv()
        except EOFError:
            sizes = None
        process.join()
        if sizes is None or process.exitcode:
            how = f"signal {-process.exitcode}" if process.exitcode < 0 else "an error of faiss"
            raise WorkError(
                f"{printable(path)}: joining the parts failed ({how}); {needed / 1e9:,.1f} GB are "
                "needed there; nothing is lost: repeat the command"
            )
        os.replace(new, path)
    except OSError as error:
        raise named(error, path) from error
    finally:
        if process.pid:
            process.kill()
        new.unlink(missing_ok=True)
    return sizes


def _join(connection, new, quantizer, parts):
    """What the process does: it sends the sizes when all is on the disk."""
    begin_worker(False)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    import_faiss()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from faiss.contrib.ondisk import merge_ondisk

    index = make(quantizer)
    merge_ondisk(index, parts, new)
    lists = index.invlists
    sizes = np.array([lists.list_size(n) for n in range(index.nlist)], np.int64)
    length = int(sizes.sum()) * (index.code_size + ROW_NUMBER)
    del index, lists  # the file is not mapped any longer
    with open(new, "a+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())
    connection.send(sizes)
