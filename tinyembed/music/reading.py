"""Read many files at once.

A few files are read one after another, and hundreds of MIDI files by the compiled reader, where
numba is installed. Without it, and for thousands of files or many scores, there is one process per
core: Python runs on one thread at a time, and most of the compiled reader's time is Python too.
"""

import multiprocessing
import os
import signal
import sys
import threading
import types
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tinyembed.backends import choice
from tinyembed.backends.cpu.threads import usable_cores
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music.folders import SCORES

# A MIDI file takes 3 ms, or 0.5 ms by the compiled reader. Numba takes 0.75 s to be imported and to
# load the reader: less than it saves a process that reads more than 400 files.
COMPILED_FILES = 400
# For up to 200 MIDI files, or 4,000 by the compiled reader, starting processes costs more than it
# saves. A score counts as sixteen.
SERIAL_FILES, COMPILED_SERIAL_FILES, FILES_PER_SCORE = 200, 4000, 16


def read_pieces(items, reader, workers=None, progress=True, desc="Reading"):
    """Read files, several at a time.

    items: list of (composer, name, path); reader: a module's function, path -> `Piece`;
    workers: the number of processes, by default one per core that this process may use, or a
    single one for a few files.
    Returns pieces: list of (composer, name, Piece), and left_out: list of (name, reason), for the
    files where the reader raised an exception; both in the order of `items`.
    """
    from tqdm import tqdm  # here: a worker does not need it and starts in 3/4 of the time without

    items = list(items)
    paths = [path for _, _, path in items]
    compiled = _is_compiled(paths)
    workers = workers or _enough_workers(paths, compiled)
    workers = min(workers, 60)  # Windows cannot wait for more than 61
    compiled = compiled and _n_midi(paths) > COMPILED_FILES * workers
    # Another process cannot find a function of the script itself (see `starting`).
    importable = getattr(reader, "func", reader).__module__ != "__main__"
    with tqdm(total=len(items), desc=desc, unit="file", disable=None if progress else True) as bar:
        if workers > 1 and importable:
            results = _read_in_parallel(paths, reader, workers, compiled, bar)
        else:
            results = []
            for path in paths:
                results.append(_read_one(reader, path))
                bar.update()

    read = [(*item[:2], result) for item, result in zip(items, results, strict=True)]
    pieces = [one for one in read if not isinstance(one[2], str)]
    return pieces, [(name, reason) for _, name, reason in read if isinstance(reason, str)]


def _n_midi(paths):
    return sum(not os.fspath(path).lower().endswith(SCORES) for path in paths)


def _is_compiled(paths):
    """Whether the reader of MIDI files is compiled, which it is from now on if they are many."""
    if _n_midi(paths) > COMPILED_FILES:
        return choice.compile_one("read_events")
    return choice.in_use() == "numba"


def _enough_workers(paths, compiled=False):
    """The number of processes. compiled: whether the reader of MIDI files is compiled."""
    n_midi = _n_midi(paths)
    n_scores = len(paths) - n_midi
    midi_share = n_midi / (COMPILED_SERIAL_FILES if compiled else SERIAL_FILES)
    few = midi_share + n_scores * FILES_PER_SCORE / SERIAL_FILES <= 1
    return 1 if few else usable_cores()


def _read_one(reader, path):
    """The `Piece`, or the reason why there is none: no file may prevent reading the others."""
    try:
        return reader(path)
    except MusicError as error:
        reason = str(error)
    except (InputError, WorkError):  # not about this file: no file of this kind can be read
        raise
    except Exception as error:
        reason = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    return " ".join(reason.split())


def _read_chunk(reader, paths):
    return [_read_one(reader, path) for path in paths]


def _read_in_parallel(paths, reader, workers, compiled, bar):
    # The largest files go first, a few at a time, so that all workers finish at nearly the same
    # time.
    order = sorted(range(len(paths)), key=lambda i: size_and_time(paths[i]), reverse=True)
    step = max(1, min(8, len(paths) // (8 * workers)))
    chunks = [order[i : i + step] for i in range(0, len(order), step)]

    results = [None] * len(paths)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, begin_worker, (compiled,))
    try:
        with starting():
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
def starting():
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


def begin_worker(compiled):
    """What a process that reads files begins with. compiled: by the compiled reader."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if compiled:
        choice.use("numba")


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
