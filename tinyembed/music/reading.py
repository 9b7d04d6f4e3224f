"""Find the MIDI files in a folder of composers, and read many files at once.

Reading is pure Python and takes some 30 ms per file, so it runs in one process per core.
"""

import multiprocessing
import os
import signal
import sys
import threading
import types
import unicodedata
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from tinyembed.backends.cpu.threads import usable_cores
from tinyembed.errors import InputError, MusicError, WorkError

SERIAL_FILES = 16  # for up to this many files, starting processes costs more than it saves
SUFFIXES = (".mid", ".midi")


def find_pieces(folder):
    """List the MIDI files of a corpus: one subfolder per composer, or a flat folder of one class.

    In a composer's folder files are found at any depth. Hidden files are ignored and links are
    followed. Files beside the composers' folders have no composer and are left out.
    Returns items: list of (composer, name, path), sorted by name, which is "composer/file.mid";
    left_out: list of (name, reason); and notes: list of str.
    Raises InputError if there is no such folder, or no MIDI file in it.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder}: no such folder; pass a folder that contains MIDI files")
    if not folder.is_dir():
        raise InputError(f"{folder}: a file, not a folder; pass the folder that contains it")

    items, left_out, problems = [], [], []
    paths = list(files_below(folder, SUFFIXES, problems))
    title = _printable(folder.resolve().name) or "music"
    is_flat = all(path.parent == folder for path in paths)
    for path in paths:
        below = _printable(path.relative_to(folder).as_posix())
        composer, _, work = (f"{title}/{below}" if is_flat else below).partition("/")
        name = f"{composer}/{work}"
        if not work:
            left_out.append((composer, "not in a composer's folder"))
        elif path.is_file():  # reading a pipe or a device could block for ever
            items.append((composer, name, str(path)))
        else:
            left_out.append((name, "a broken link, or not a regular file"))
    left_out += [(_printable(str(path.relative_to(folder))), why) for path, why in problems]
    used = {path.relative_to(folder).parts[0] for path in paths}
    subfolders = sorted(_visible(next(os.walk(folder), ("", [], []))[1]))
    empty = [_printable(name) for name in subfolders if name not in used]
    notes = [f"no MIDI file in the folder {name}" for name in empty]
    if not items and not left_out:
        raise InputError(
            f"{folder}: no MIDI file in it; put *.mid files there, in one subfolder per composer"
        )
    return sorted(items, key=lambda item: item[1]), sorted(left_out), notes


def files_below(folder, suffixes, problems):
    """The files with some suffixes at any depth, in any order. Yields paths; links are followed.

    problems: a list that receives (folder, reason) for each folder that cannot be read.
    """

    def failed(error):
        problems.append((Path(error.filename), f"cannot be read: {error.strerror or error}"))

    for name, folders, files in os.walk(folder, onerror=failed, followlinks=True):
        here = Path(name)
        # A link to a folder that contains it is ignored: it would never end.
        above = {os.path.realpath(path) for path in (here, *here.parents)}
        folders[:] = [f for f in _visible(folders) if os.path.realpath(here / f) not in above]
        yield from (here / file for file in _visible(files) if file.lower().endswith(suffixes))


def _visible(names):
    # On foreign disks macOS writes a hidden "._x.mid", not a MIDI file, beside every x.mid.
    return [name for name in names if not name.startswith(".") and name != "__MACOSX"]


def _printable(name):
    """A file's name as text that terminals, JSON and splits.tsv all represent alike."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def read_pieces(items, reader, workers=None, progress=True, desc="Reading"):
    """Read files, several at a time.

    items: list of (composer, name, path); reader: a module's function, path -> `Piece`;
    workers: the number of processes, by default one per core that this process may use.
    Returns pieces: list of (composer, name, Piece), and left_out: list of (name, reason), for the
    files where the reader raised an exception; both in the order of `items`.
    """
    from tqdm import tqdm  # here: a worker does not need it and starts in 3/4 of the time without

    items = list(items)
    workers = min(workers or usable_cores(), 60)  # Windows cannot wait for more than 61
    # Another process cannot find a function of the script itself (see `_starting`).
    importable = getattr(reader, "func", reader).__module__ != "__main__"
    paths = [path for _, _, path in items]
    with tqdm(total=len(items), desc=desc, unit="file", disable=None if progress else True) as bar:
        if workers > 1 and len(items) > SERIAL_FILES and importable:
            results = _read_in_parallel(paths, reader, workers, bar)
        else:
            results = []
            for path in paths:
                results.append(_read_one(reader, path))
                bar.update()

    read = [(*item[:2], result) for item, result in zip(items, results, strict=True)]
    pieces = [one for one in read if not isinstance(one[2], str)]
    return pieces, [(name, reason) for _, name, reason in read if isinstance(reason, str)]


def _read_one(reader, path):
    """The `Piece`, or the reason why there is none: no file may prevent reading the others."""
    try:
        return reader(path)
    except MusicError as error:
        reason = str(error)
    except InputError:  # not about this file: the request itself is impossible
        raise
    except Exception as error:
        reason = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    return " ".join(reason.split())


def _read_chunk(reader, paths):
    return [_read_one(reader, path) for path in paths]


def _read_in_parallel(paths, reader, workers, bar):
    # The largest files go first, a few at a time, so that all workers finish at nearly the same
    # time.
    order = sorted(range(len(paths)), key=lambda i: size_and_time(paths[i]), reverse=True)
    step = max(1, min(8, len(paths) // (8 * workers)))
    chunks = [order[i : i + step] for i in range(0, len(order), step)]

    results = [None] * len(paths)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin_worker)
    try:
        with _starting():
            jobs = {pool.submit(_read_chunk, reader, [paths[i] for i in c]): c for c in chunks}
        for job in as_completed(jobs):
            for i, result in zip(jobs[job], job.result(), strict=True):
                results[i] = result
            bar.update(len(jobs[job]))
    except BrokenProcessPool as error:
        raise WorkError("a process that was reading files died: out of memory?") from error
    except BaseException:  # above all Ctrl-C: do not wait for the files that are being read
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return results


@contextmanager
def _starting():
    """The context in which workers start: new interpreters that do not run the user's script.

    A forked worker would inherit locks that our threads hold (BLAS, CUDA, a notebook) and wait for
    them for ever. A spawned worker has no such locks, but would first import the user's script; a
    script without `if __name__ == "__main__"` would then do all its work again in every worker. Our
    readers are in modules, so an empty module can replace the script.
    Ctrl-C reaches all processes of a terminal. Workers inherit a blocked SIGINT, so that none
    prints a traceback even while it is still importing.
    """
    script, blocks = sys.modules["__main__"], hasattr(signal, "pthread_sigmask")
    sys.modules["__main__"] = types.ModuleType("__main__")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """End this worker when its parent ends. A killed parent could not tell it to stop."""
    multiprocessing.parent_process().join()
    os._exit(1)


def size_and_time(path):
    """The size in bytes and the modification time in nanoseconds, or -1 and -1 without a file."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
