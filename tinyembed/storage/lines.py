"""A log of JSON objects, one per line, of which a killed writer may leave half a line."""

import json
from contextlib import suppress

from tinyembed.storage.files import named, reading
from tinyembed.storage.values import parse_json


def append_line(path, entry):
    """Add an object as a line."""
    try:
        with open(path, "a") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise named(error, path) from error


def cut_lines(path, size):
    """Keep the whole lines among the first `size` bytes."""
    with suppress(FileNotFoundError), open(path, "r+b") as file:
        kept = file.read(size).rfind(b"\n") + 1
        if file.read(1) or kept < size:
            file.truncate(kept)


def read_lines(path):
    """All objects. Raises InputError where the file is damaged."""
    if not path.exists():
        return []
    with reading(path, "log"):
        return [parse_json(line) for line in path.read_text().splitlines()]
