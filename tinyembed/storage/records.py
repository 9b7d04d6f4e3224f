"""JSON objects that are read again: each carries a checksum of its other values.

A digit that changes in a config.json would begin another training without a word. The checksum is
the SHA-256 of the object without it, in the compact form of JSON, so that white space may change.
Objects of earlier versions, without a checksum, still load.
"""

import hashlib
import json

from tinyembed.errors import InputError
from tinyembed.storage.files import read_json, write_json
from tinyembed.storage.text import printable
from tinyembed.storage.values import check

NAME, MARK = "checksum", "sha256 "


def write_record(path, values):
    """Write a dict as a JSON file with a checksum, atomically."""
    write_json(path, {**values, NAME: _checksum(values)})


def read_record(path):
    """The dict that was written. Raises InputError where the file is missing or has changed."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{printable(path)}: an object with names and values is needed")
    former = not any(str(value).startswith(MARK) for value in values.values())
    if values.pop(NAME, None) != (None if former else _checksum(values)):
        raise InputError(
            f"{printable(path)}: changed since it was written; if that was on purpose, remove its "
            f'"{NAME}"'
        )
    return values


def read_versioned(path, kind, version, rules, again):
    """The values of a record that says its version, beside other files of its folder.

    kind: what the folder is, such as "a store"; rules: as for `values.check`, all of them needed;
    again: what to do about another version. Raises InputError where the record is missing, of
    another version, changed, or against the rules.
    """
    found = read_record(path)
    if found.get("version") != version:
        raise InputError(
            f"{printable(path)}: {kind} of another version ({found.get('version')!r:.20}, this one "
            f"reads {version}); {again}"
        )
    try:
        check(found, rules, rules)
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from None
    return found


def _checksum(values):
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return MARK + hashlib.sha256(text.encode()).hexdigest()
