"""The files of a public corpus come here: each one whole and right, or not at all.

pooch (extra `corpora`) writes a file beside its place, compares its SHA-256 with the one that our
table states, and only then moves it there in one step. So whatever kills this process, no part of
a file is ever taken for the whole, and what has arrived is not asked for again.
"""

import hashlib
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from tqdm import tqdm

from tinyembed.errors import InputError, WorkError

PARALLEL = 6  # files at a time
TIMEOUT = (5, 20)  # seconds until connected, seconds without a byte
PAUSES = (0.5, 1, 2)  # seconds before the second try, the third and the fourth
LEFT_BEHIND = 3600  # seconds after which an unfinished file is nobody's any more
NO_POOCH = (
    'downloading needs pooch; install it with: pip install "tinyembed[corpora]", or pass a folder '
    "of MIDI files with --data"
)
NO_NETWORK = (
    "without a network leave --data out: the default corpus comes with music21, "
    'pip install "tinyembed[scores]"'
)
KEPT = "what has arrived is kept, and the same command goes on"


@dataclass(frozen=True)
class File:
    """path: below the address, and below the folder; sha256: in hexadecimal; size: in bytes."""

    path: str
    sha256: str
    size: int


def missing_files(files, folder):
    """Those of the files that are not in the folder, or are there with other bytes."""
    return [file for file in files if not _is_right(Path(folder, file.path), file.sha256)]


def _is_right(path, sha256):
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def fetch_files(address, files, folder, name="Fetching", progress=True, licence=""):
    """Download the files that a folder lacks, several at a time. Returns how many those were.

    address: of what `File.path` is below; name: what to call them all; licence: a line to print
    on the error stream before the first download.
    A timeout, a broken connection or a server in trouble (5xx, 429) is tried again, three times;
    the first file that fails for good ends it all, so that nobody waits for hundreds of failures.
    Raises InputError without pooch, and WorkError, naming the file and its address, where a file
    cannot be had, has other bytes than the table states, or cannot be written.
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
        _Download(address, missing, folder, name).run(sum(f.size for f in files), progress)
    except OSError as error:
        why = (error.__cause__ or error).strerror or error  # pooch wraps some in a long sentence
        raise WorkError(
            f"{folder}: {why}; the environment variable TINYEMBED_CACHE names another folder"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; {KEPT}") from None
    return len(missing)


def _prepare(folders):
    """Make the folders, where pooch's threads would race, and sweep out what was left behind.

    A process that was killed leaves files called tmp* there. Those of the last hour may belong to
    one that is still at work.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("tmp*"):
            if path.is_file() and time.time() - path.stat().st_mtime > LEFT_BEHIND:
                path.unlink(missing_ok=True)


class _Download:
    """One download: a list of files to do, and threads that take the next from it.

    The threads are daemons: after Ctrl-C, or after another's failure, nobody waits for a server
    that does not answer.
    """

    def __init__(self, address, files, folder, name):
        import pooch
        import requests  # noqa: F401 -- here, and not first in a thread, which would die unheard

        self.address = address.rstrip("/") + "/"
        self.name = name
        registry = {file.path: file.sha256 for file in files}
        self.pooch = pooch.create(path=folder, base_url=self.address, registry=registry)
        self.log = pooch.get_logger()
        self.to_do, self.done = SimpleQueue(), SimpleQueue()
        for file in files:
            self.to_do.put(file)
        self.files = files
        self.stop = threading.Event()
        self.reached = threading.Event()  # whether the server ever answered

    def run(self, total, progress):
        """Do it all, or raise the first failure. total: bytes of all files, arrived ones too."""
        here = total - sum(file.size for file in self.files)
        level = self.log.level
        self.log.setLevel("WARNING")  # a line for each file is what the bar is for
        disable = None if progress else True
        try:
            with tqdm(
                total=total, initial=here, unit="B", unit_scale=True, desc=self.name,
                disable=disable,
            ) as bar:  # fmt: skip
                for _ in range(min(PARALLEL, len(self.files))):
                    threading.Thread(target=self._work, name="fetch", daemon=True).start()
                for _ in self.files:
                    file, error = self.done.get()
                    if error is not None:
                        raise error
                    bar.update(file.size)
        finally:
            self.stop.set()
            self.log.setLevel(level)

    def _work(self):
        """One thread: one file after the other, over one connection."""
        import requests

        with requests.Session() as session:
            while not self.stop.is_set():
                try:
                    file = self.to_do.get_nowait()
                except Empty:
                    return
                try:
                    self._load(session, file)
                except Exception as error:
                    self.stop.set()
                    self.done.put((file, error))
                else:
                    self.done.put((file, None))

    def _load(self, session, file):
        """One file, tried again where that may help."""
        import requests

        for pause in (*PAUSES, None):
            try:
                self.pooch.fetch(file.path, downloader=partial(self._receive, session, file.size))
                return
            except requests.RequestException as error:
                offline = _is_offline(error) and not self.reached.is_set()
                if pause is None or offline or not _may_pass(error) or self.stop.wait(pause):
                    raise WorkError(f"{self.name}: {self._failure(file, error)}") from error
            except ValueError as error:  # pooch's word for a wrong hash
                raise WorkError(
                    f"{self.name}: {file.path}: {self.address}{file.path} gives other bytes than "
                    f"those of SHA-256 {file.sha256[:16]}..., so they were thrown away; {KEPT}"
                ) from error

    def _receive(self, session, size, url, output_file, _):
        """Write what lies at an address into a file, for pooch."""
        with session.get(url, stream=True, timeout=TIMEOUT) as answer:
            self.reached.set()
            answer.raise_for_status()
            with open(output_file, "wb") as file:
                for part in answer.iter_content(1 << 16):
                    file.write(part)
                    if file.tell() > size:  # wrong already, and it might never end
                        break

    def _failure(self, file, error):
        """A line on why a file could not be had."""
        if _is_offline(error):
            way_out = KEPT if self.reached.is_set() else NO_NETWORK
            host = urlsplit(self.address).netloc
            return f"no connection to {host} ({_cause(error)}); {way_out}"
        if error.response is not None:
            why = f"the server answers {error.response.status_code} {error.response.reason}"
        else:
            why = f"the connection fails ({_cause(error)})"
        return f"{file.path}: {self.address}{file.path}: {why}; {KEPT}, perhaps later"


def _may_pass(error):
    """Whether the same request may succeed soon: not if the server knows what it says (404)."""
    status = 500 if error.response is None else error.response.status_code
    return status >= 500 or status == 429


def _is_offline(error):
    """Whether no connection came about at all: no such host, refused, or nobody there."""
    import requests
    from urllib3.exceptions import NewConnectionError

    reason = getattr(next(iter(error.args), None), "reason", None)
    no_way = (requests.ConnectTimeout, requests.exceptions.ProxyError)
    return isinstance(error, no_way) or isinstance(reason, NewConnectionError)


def _cause(error):
    """What was at the bottom of it, in a few words."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
