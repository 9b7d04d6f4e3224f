"""A cache of results that take seconds to compute: .npz files in the user's cache folder.

A cache only saves time; it never causes an error. A missing, damaged or outdated file is treated as
no file, and a folder that cannot be written to is only reported. A file is written atomically, so
that no reader sees a partial one.
"""

import os
from pathlib import Path

import numpy as np
import platformdirs

from tinyembed.storage.archive import Archive
from tinyembed.storage.arrays import save_arrays

KIND = "cache"


def cache_folder():
    """The folder for files that can be made again: $TINYEMBED_CACHE, or the user's default."""
    chosen = os.environ.get("TINYEMBED_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("tinyembed")


def load(path, key):
    """The arrays that were saved at `path` with this `key` (a str), as a dict, or None."""
    try:
        with open(path, "rb") as file:
            archive = Archive(file)
            # A file without a seal, by an earlier version, is made again: it could be damaged.
            if archive.kind != KIND or str(archive.array("key")) != key:
                return None
            return {name: archive.array(name) for name in archive.names if name != "key"}
    except Exception:  # damaged bytes raise a dozen unrelated types
        return None


def save(path, key, arrays):
    """Save a dict of arrays for `load`. Returns None, or one line that says why it failed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {"key": np.array(key), **arrays}, KIND)
    except OSError as error:
        return f"{path.parent}: {error.strerror or error}"
    return None
