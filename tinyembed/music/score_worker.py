"""Read scores in a process of their own, with limits on time and memory.

A file of a few hundred bytes can claim a bar of a billion beats, and music21 believes it: that
takes minutes and gigabytes. A score from anywhere is therefore read by a worker process. It reads
many files, one after another, and a file that it does not survive costs only that file: the next
one starts a new worker. Only the worker imports music21.
"""

import atexit
import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading

from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music.scores import read_score, require_music21

SECONDS = 60  # per file
MEMORY = 2_000_000_000  # bytes
NO_START = "the process that reads scores does not start"
TIME_IS_UP, OUT_OF_MEMORY, FAILED = 1, 77, 70  # exit statuses; that of faulthandler is 1

# `-P`: a file in the current folder that is called like a module of Python's is not imported.
# The worker then imports from where this process imports. The user's script is not run again.
START = [
    *("-P", "-c"),
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from tinyembed.music.score_worker import serve; serve()",
]


class Worker:
    """A process that calls a reader. It starts when it is first needed.

    reader:  a function of a module, (path, any_meter) -> `Piece`
    seconds: how long it may read a file
    memory:  bytes of address space that the process may take, beyond what it has at first. Only
             Linux says how much that is; elsewhere there is no limit.
    """

    def __init__(self, reader, seconds=SECONDS, memory=MEMORY):
        self._reader, self._seconds, self._memory = reader, seconds, memory
        self._process = None
        self._lock = threading.Lock()  # one file at a time

    def read(self, path, any_meter=False):
        """What the reader returns. Raises the MusicError or the InputError that the reader raises.

        Raises MusicError also if reading takes too long or too much memory, or ends the process,
        and WorkError if no process starts.
        """
        request = os.path.abspath(path), any_meter  # this process may have changed its folder
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                answer = self._ask(request)
            except BaseException:  # Ctrl-C too: a late answer would be taken for the next file's
                self.close()
                raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _hang_up(process)
            process.wait()

    def _start(self):
        self.close()
        try:
            self._process = subprocess.Popen(
                [sys.executable, *START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the worker
            )
        except OSError as error:
            raise WorkError(f"{NO_START}: {error.strerror or error}") from error
        try:
            self._send(sys.path)
            self._send((self._reader, self._seconds, self._memory))
            pickle.load(self._process.stdout)  # it is ready
        except (OSError, EOFError) as error:
            _hang_up(self._process)
            raise WorkError(f"{NO_START}: {_how(self._process.wait())}") from error
        except BaseException:
            self.close()
            raise

    def _send(self, message):
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _ask(self, request):
        try:
            self._send(request)
            return pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):  # no answer, or half of one
            _hang_up(self._process)
            status = self._process.wait()
        if status == TIME_IS_UP:
            raise MusicError(f"takes longer than {self._seconds:g} s to read")
        if status == OUT_OF_MEMORY:
            raise MusicError(f"takes more than {self._memory / 1e9:g} GB of memory to read")
        raise MusicError(f"the process that read it died ({_how(status)})")


def _hang_up(process):
    """Close the pipes. A worker that is alive then ends."""
    with contextlib.suppress(OSError):  # what was not sent cannot be sent any more
        process.stdin.close()
    process.stdout.close()


def _how(status):
    """An exit status in words; a negative one is the number of a signal."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"


_workers = {}  # by process: one that was forked cannot share the worker of its parent


def read_score_in_worker(path, any_meter=False):
    """Read a score of unknown origin into a `Piece`: `read_score`, within `SECONDS` and `MEMORY`.

    Raises MusicError and InputError as `read_score` does, MusicError if the limits are exceeded,
    and WorkError if no process starts.
    """
    require_music21(path)  # before a process is started in vain
    return _workers.setdefault(os.getpid(), Worker(read_score)).read(path, any_meter)


@atexit.register
def _close():
    if worker := _workers.pop(os.getpid(), None):
        worker.close()


# In the worker.


def serve():
    """Answer requests on the standard input until it is closed. Does not return."""
    # What a reader prints goes nowhere: the standard output carries the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _end_after(_serve, answers)  # it stays open here until the process has its exit status


def _end_after(work, *arguments):
    """Call a function that only an exception ends, and end the process."""
    status = FAILED
    try:
        work(*arguments)
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _serve(answers):
    reader, seconds, memory = pickle.load(sys.stdin.buffer)
    _limit_memory(memory)
    requests = queue.SimpleQueue()
    threading.Thread(target=_end_after, args=(_receive, requests), daemon=True).start()
    _write(answers, "ready")
    while True:
        request = requests.get()
        # A thread in C ends the process, also from within an operation that lets no other run.
        faulthandler.dump_traceback_later(seconds, exit=True)
        _write(answers, _answer(reader, *request))
        faulthandler.cancel_dump_traceback_later()


def _answer(reader, path, any_meter):
    """A `Piece`, or the exception to raise in the other process."""
    try:
        return reader(path, any_meter)
    except (MusicError, InputError) as error:
        return error
    except MemoryError:
        raise
    except Exception as error:
        return MusicError(f"unexpected {type(error).__name__}: {error}".rstrip(": "))


def _write(answers, answer):
    pickle.dump(answer, answers)
    answers.flush()


def _receive(requests):
    """Pass requests on. An EOFError says that the other end of the pipe is closed.

    The system closes it when the parent ends, even when the parent is killed.
    """
    while True:
        requests.put(pickle.load(sys.stdin.buffer))


def _limit_memory(memory):
    """Let this process take so many bytes more than it has now, where the system counts them."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            limit = int(file.read().split()[0]) * resource.getpagesize() + memory
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY or limit < soft:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, OSError):  # not Linux
        pass
