"""The results of a task so far, in a file to which a record is appended per file that was read.

A record is its length and its CRC-32, four bytes each, and then its bytes. A kill can cut the last
one short: what follows the last whole record is dropped, and that file is read again.
"""

import os
import struct
import zlib
from contextlib import suppress

from tinyembed.errors import InputError
from tinyembed.storage.files import named

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HEAD = struct.Struct("<II")


class Journal:
    """An open journal. count: the number of its records.

    Raises InputError where another process has the same journal open.
    """

    def __init__(self, path):
        self.path = path
        self.file = open(path, "a+b", buffering=0)  # a buffer would try again what failed
        self._lock()
        self.count = sum(1 for _ in self.records())
        self.file.truncate(self.file.tell())

    def _lock(self):
        if fcntl:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.file.close()
                raise InputError(
                    f"{self.path}: another process is reading these files; wait for it to end"
                ) from None
            except OSError:  # a file system without locks
                pass

    def records(self):
        """The whole records, in order. The file is left at the end of the last one."""
        self.file.seek(0)
        while True:
            start = self.file.tell()
            head = self.file.read(HEAD.size)
            length, checksum = HEAD.unpack(head) if len(head) == HEAD.size else (0, 1)
            data = self.file.read(length)
            if len(data) < length or zlib.crc32(data) != checksum:
                self.file.seek(start)
                return
            yield data

    def append(self, data):
        """Add a record. Raises OSError with the file's name, and then nothing is added."""
        end = self.file.seek(0, os.SEEK_END)
        left = memoryview(HEAD.pack(len(data), zlib.crc32(data)) + data)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:  # above all a full disk
            with suppress(OSError):
                self.file.truncate(end)
            raise named(error, self.path) from None
        self.count += 1

    def close(self):
        """Close the file, which ends its lock."""
        with suppress(OSError):
            self.file.close()
