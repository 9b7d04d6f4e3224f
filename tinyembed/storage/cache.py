"""Results that cost seconds to compute are kept in the user's cache folder, as plain .npz files.

A cache may only ever save time. So a file that is missing, damaged or out of date counts as
nothing there, a folder that cannot be written to stops nobody, and a reader never sees half a
file: it is written beside its place and then moved there in one step.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import platformdirs


def cache_folder():
    """Where tinyembed keeps what it can make again: $TINYEMBED_CACHE, or the user's own."""
    chosen = os.environ.get("TINYEMBED_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("tinyembed")


def load(path, key):
    """The arrays saved under `path` with this `key` (a str), as a dict; None if there are none."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            if str(saved["key"]) != key:
                return None
            return {name: saved[name] for name in saved.files if name != "key"}
    except Exception:  # damaged bytes raise a dozen unrelated types; all mean: make it again
        return None


def save(path, key, arrays):
    """Save a dict of arrays for `load`. Returns None, or in one line why it could not be done."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = file.name
            np.savez(file, key=np.array(key), **arrays)
        os.replace(temporary, path)
    except OSError as error:
        return f"{path.parent}: {error.strerror or error}"
    finally:
        if temporary is not None and os.path.exists(temporary):  # a full disk, or Ctrl-C
            os.unlink(temporary)
    return None
