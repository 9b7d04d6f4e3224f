"""What a command leaves behind, killed or finished: files, half-written files, processes."""

import json
import os
import time
from pathlib import Path

from benchmarks.damage import digest
from tinyembed.storage.arrays import load_arrays
from tinyembed.storage.records import read_record

PATIENCE = 10  # seconds for the other processes of a killed command to end
STANDING = "standing"  # the array of a checkpoint that holds JSON


def contents(here, printed):
    """{name: digest} of all that a command wrote and printed, without times."""
    found = {str(path.relative_to(here)): _content(path) for path in files(here)}
    text = printed.read_bytes()
    return {**found, "(printed)": text} if text.startswith(b"{") else found


def _content(path):
    if path.name in ("report.md", "report.html"):  # whose tables hold times
        return path.exists()
    if path.name.startswith("checkpoint") or path.parent.name == "answers":
        arrays = timeless(load_arrays(path))
        if STANDING in arrays:
            arrays[STANDING] = timeless(json.loads(str(arrays[STANDING])))
        return digest(*arrays, *arrays.values())
    data = path.read_bytes()
    if path.name == "summary.json":
        return timeless(read_record(path))  # whose checksum is also one of the times
    if path.name == "results.json":
        return timeless(json.loads(data))
    if path.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in data.splitlines()]
    return digest(data)


def timeless(value):
    """A JSON value, or a dict of arrays, without what differs from one run to the next."""
    if isinstance(value, dict):
        drop = "created", "log_size"
        return {
            name: timeless(one)
            for name, one in value.items()
            if name not in drop and "seconds" not in name and not name.endswith("per_s")
        }
    return value


def files(folder):
    """The paths of all files below a folder, also of one that changes meanwhile."""
    return [Path(here, name) for here, _, names in os.walk(folder) for name in names]


def is_litter(path):
    """Whether this is no file of a finished command: a temporary one, or a lock."""
    return path.name.startswith(".") or is_temporary(path.parent)


def is_temporary(path):
    """Whether a file or a folder is only half written."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def orphans(session):
    """The processes of a session that live on after PATIENCE, by number."""
    end = time.monotonic() + PATIENCE
    while found := _living(session):
        if time.monotonic() > end:
            return found
        time.sleep(0.01)
    return []


def _living(session):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(number) == session and state != "Z":
            found.append(int(folder.name))
    return found
