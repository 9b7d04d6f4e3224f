"""Download the files of a public corpus. A file arrives whole and correct, or not at all.

pooch (extra `corpora`) writes a temporary file beside the final path, compares its SHA-256 with
the one in our table, and only then renames it, in one step. So even if this process is killed, a
partial file is never taken for a whole one, and a file that has arrived is not requested again.
"""

import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

from tqdm import tqdm

from tinyembed.errors import InputError, WorkError
from tinyembed.storage.files import digest

PARALLEL = 6  # files at a time
TIMEOUT = (5, 20)  # seconds to connect, seconds without a byte
RETRY_DELAYS = (0.5, 1, 2)  # seconds before the second, third and fourth attempt
STALE_AFTER = 3600  # seconds after which nothing can still be writing a temporary file
NO_POOCH = (
    'downloading needs pooch; install it with: pip install "tinyembed[corpora]", or pass a folder '
    "of MIDI files with --data"
)
NO_NETWORK = (
    "without a network, omit --data: the default corpus comes with music21, "
    'pip install "tinyembed[scores]"'
)
RESUME = "files that have arrived are kept; run the same command again to continue"


@dataclass(frozen=True)
class File:
    """path: relative to the base URL, and to the folder; sha256: in hexadecimal; size: in bytes."""

    path: str
    sha256: str
    size: int


def missing_files(files, folder):
    """The files that are not in the folder, or are there with another content."""
    paths = [(file, Path(folder, file.path)) for file in files]
    return [file for file, path in paths if not path.is_file() or digest(path) != file.sha256]


def fetch_files(base_url, files, folder, name="Fetching", progress=True, licence=""):
    """Download the files that a folder lacks, several at a time. Returns their number.

    base_url: what `File.path` is relative to; name: of the collection, for messages; licence: a
    line to print on the error stream before the first download.
    A timeout, a broken connection or a server error (5xx, 429) is retried three times. The first
    file that fails for good ends the download, so that nobody waits for hundreds of failures.
    Raises InputError without pooch, and WorkError, naming the file and its URL, if a file cannot
    be downloaded, has another content than the table states, or cannot be written.
    """
    missing = missing_files(files, folder)
    if not missing:
        return 0
    if util.find_spec("pooch") is None:
        raise InputError(f"{name}: {NO_POOCH}")
    if licence:
        print(licence, file=sys.stderr, flush=True)
    try:
        _prepare({Path(folder, file.path).parent for file in missing})
        _Download(base_url, missing, folder, name).run(sum(f.size for f in files), progress)
    except OSError as error:
        why = (error.__cause__ or error).strerror or error  # pooch wraps some in a long sentence
        raise WorkError(
            f"{folder}: {why}; set the environment variable TINYEMBED_CACHE to use another folder"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; {RESUME}") from None
    return len(missing)


def _prepare(folders):
    """Create the folders, before pooch's threads race to do so, and delete stale temporary files.

    A killed process leaves files called tmp*. Those of the last hour may belong to a process that
    is still running.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("tmp*"):
            if path.is_file() and time.time() - path.stat().st_mtime > STALE_AFTER:
                path.unlink(missing_ok=True)


class _Download:
    """One download: an iterator of files, and threads that each take the next file from it.

    The threads are daemons, so after Ctrl-C, or after a failure in another thread, the process does
    not wait for a server that does not answer.
    """

    def __init__(self, base_url, files, folder, name):
        import pooch
        import requests  # here: in a thread, a failing import would go unnoticed

        self.requests = requests
        self.base_url = base_url.rstrip("/") + "/"
        self.name = name
        registry = {file.path: file.sha256 for file in files}
        self.pooch = pooch.create(path=folder, base_url=self.base_url, registry=registry)
        self.log = pooch.get_logger()
        self.files = files
        self.pending = iter(files)  # shared by the threads
        self.finished = SimpleQueue()  # (file, None or an exception)
        self.stop = threading.Event()
        self.answered = threading.Event()  # set once the server has answered a request

    def run(self, total, progress):
        """Download all files, or raise the first failure. total: bytes, with files present."""
        present = total - sum(file.size for file in self.files)
        level = self.log.level
        self.log.setLevel("WARNING")  # the progress bar replaces pooch's line per file
        try:
            with tqdm(
                total=total, initial=present, unit="B", unit_scale=True, desc=self.name,
                disable=None if progress else True,
            ) as bar:  # fmt: skip
                for _ in range(min(PARALLEL, len(self.files))):
                    threading.Thread(target=self._work, name="fetch", daemon=True).start()
                for _ in self.files:
                    file, error = self.finished.get()
                    if error is not None:
                        raise error
                    bar.update(file.size)
        finally:
            self.stop.set()
            self.log.setLevel(level)

    def _work(self):
        """One thread: one file after the other, over one connection."""
        with self.requests.Session() as session:
            for file in self.pending:
                if self.stop.is_set():
                    return
                try:
                    self._fetch(session, file)
                    self.finished.put((file, None))
                except Exception as error:
                    self.stop.set()
                    self.finished.put((file, error))

    def _fetch(self, session, file):
        """Download one file, with retries if they may help: not after an answer such as 404."""
        for delay in (*RETRY_DELAYS, None):
            try:
                self.pooch.fetch(file.path, downloader=partial(self._receive, session, file.size))
                return
            except self.requests.RequestException as error:
                status = 500 if error.response is None else error.response.status_code
                offline = _is_offline(error) and not self.answered.is_set()
                may_help = (status >= 500 or status == 429) and not offline
                if delay is None or not may_help or self.stop.wait(delay):
                    raise WorkError(f"{self.name}: {self._failure(file, error)}") from error
            except ValueError as error:  # pooch's exception for a wrong hash
                raise WorkError(
                    f"{self.name}: {file.path}: the content of {self.base_url}{file.path} does not "
                    f"match SHA-256 {file.sha256[:16]}..., so it was discarded; {RESUME}"
                ) from error

    def _receive(self, session, size, url, output_file, _):
        """Write the content of a URL to a file, for pooch."""
        with session.get(url, stream=True, timeout=TIMEOUT) as response:
            self.answered.set()
            response.raise_for_status()
            with open(output_file, "wb") as file:
                for chunk in response.iter_content(1 << 16):
                    file.write(chunk)
                    if file.tell() > size:  # wrong already, and it might never end
                        break

    def _failure(self, file, error):
        """A line on why a file could not be downloaded."""
        if _is_offline(error):
            way_out = RESUME if self.answered.is_set() else NO_NETWORK
            host = urlsplit(self.base_url).netloc
            return f"no connection to {host} ({_root_cause(error)}); {way_out}"
        if error.response is not None:
            why = f"the server answers {error.response.status_code} {error.response.reason}"
        else:
            why = f"the connection fails ({_root_cause(error)})"
        return f"{file.path}: {self.base_url}{file.path}: {why}; {RESUME}"


def _is_offline(error):
    """Whether no connection was made at all: unknown host, refused, or no answer."""
    import requests
    from urllib3.exceptions import NewConnectionError

    reason = getattr(next(iter(error.args), None), "reason", None)
    unconnected = (requests.ConnectTimeout, requests.exceptions.ProxyError)
    return isinstance(error, unconnected) or isinstance(reason, NewConnectionError)


def _root_cause(error):
    """The innermost cause of an exception, in a few words."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
