"""How much memory and time a command takes, with all the processes that it starts (on Linux)."""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinyembed.errors import WorkError

EVERY = 0.1  # seconds between two samples
FIELDS = {"Rss:": "resident", "Pss:": "shared_out", "Pss_Anon:": "private"}


@dataclass
class Taken:
    """What a command took.

    seconds:       from its start to its end
    cpu_seconds:   of all its processes
    resident:      the most that one process had, in bytes, mapped files among it
    summed:        the most that all had, added up; what several share counts for each of them
    together:      the same, but what several share counts once
    private:       together, without mapped files, whose pages the system can take back
    processes:     the most at a time
    output:        what it printed
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    resident: int = 0
    summed: int = 0
    together: int = 0
    private: int = 0
    processes: int = 0
    output: str = ""


def measured(words, environment=None):
    """Run a command to its end, as a session of its own. Returns `Taken`.

    Raises WorkError with the end of what it said, where it fails.
    """
    taken, before, began = Taken(), os.times(), time.perf_counter()
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    ended = threading.Event()
    sampling = threading.Thread(target=_sample, args=(process.pid, taken, ended), daemon=True)
    sampling.start()
    try:
        taken.output, errors = process.communicate()
    except BaseException:  # Ctrl-C, which does not reach another session
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    finally:
        ended.set()
        sampling.join()
    taken.seconds = time.perf_counter() - began
    after = os.times()
    taken.cpu_seconds = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
    if process.returncode:
        last = (errors.strip() or taken.output.strip()).splitlines()[-1:]
        raise WorkError(f"{' '.join(words[:6])} ... ended with {process.returncode}: {last}")
    return taken


def _sample(session, taken, ended):
    """Look again and again until the command has ended."""
    while not ended.wait(EVERY):
        found = [memory for pid in _members(session) if (memory := _memory_of(pid))]
        taken.resident = max([taken.resident, *(memory["resident"] for memory in found)])
        taken.summed = max(taken.summed, sum(memory["resident"] for memory in found))
        taken.together = max(taken.together, sum(memory["shared_out"] for memory in found))
        taken.private = max(taken.private, sum(memory["private"] for memory in found))
        taken.processes = max(taken.processes, len(found))


def _members(session):
    """The processes of a session."""
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            with suppress(OSError):
                after_name = Path(f"/proc/{folder}/stat").read_text().rpartition(")")[2].split()
                if int(after_name[3]) == session:
                    yield int(folder)


def _memory_of(pid):
    """The bytes of a process by `FIELDS`, or None where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    found = {}
    for line in lines:
        name, *rest = line.split()
        if name in FIELDS:
            found[FIELDS[name]] = 1024 * int(rest[0])
    return found if len(found) == len(FIELDS) else None
