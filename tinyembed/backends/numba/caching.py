"""Compiled kernels in sealed files: what is damaged is compiled again.

numba keeps what it compiled as pickles and machine code, and believes what it finds there. Here the
same files end with a checksum (storage/sealed.py), and are read only if it is right.
"""

import io
import pickle
from contextlib import suppress

from numba.core.caching import IndexDataCacheFile

from tinyembed.storage.sealed import read_sealed, write_sealed

KIND = "compiled"


def seal(dispatcher):
    """Make a function that `numba.njit(cache=True)` returned keep its code in sealed files."""
    dispatcher._cache._cache_file.__class__ = SealedFiles
    return dispatcher


class SealedFiles(IndexDataCacheFile):
    """The files of one kernel: an index, and one file for each combination of types."""

    def load(self, key):
        """What was compiled for a combination of types, or None where it is missing or damaged."""
        with suppress(Exception):  # damaged bytes raise a dozen unrelated types
            return super().load(key)
        return None

    def save(self, key, data):
        """Keep what was compiled. Where the disk cannot take it, it is compiled again next time."""
        with suppress(OSError):
            super().save(key, data)

    def _load_index(self):
        try:
            file = io.BytesIO(read_sealed(self._index_path, KIND))
        except (OSError, ValueError):
            return {}
        if pickle.load(file) != self._version:  # the rest is for another version of numba to read
            return {}
        stamp, overloads = pickle.load(file)
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads):
        data = pickle.dumps(self._version) + self._dump((self._source_stamp, overloads))
        write_sealed(self._index_path, KIND, data)

    def _load_data(self, name):
        return pickle.loads(read_sealed(self._data_path(name), KIND))

    def _save_data(self, name, data):
        write_sealed(self._data_path(name), KIND, self._dump(data))
