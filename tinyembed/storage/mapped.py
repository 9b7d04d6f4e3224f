"""A file of large arrays that is mapped into memory, so that opening it takes no time.

    tinyembed index 2 <length of the header> <its SHA-256>     one line
    the header, in JSON, and zeros up to a multiple of 64
    the arrays one after the other, each with zeros up to a multiple of 64

The header holds each array's type, shape and checksums, the CRC-32 of every 64 KB, and all values
that are no arrays. The arrays follow in the header's order and end where the file ends, so where
each of them lies is computed and never claimed. Small arrays are checked when the file is opened; a
`CheckedArray` is checked block by block, as its rows are first read.
"""

import hashlib
import json
import math
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.files import reading, write_atomically
from tinyembed.storage.text import printable
from tinyembed.storage.values import anything_named, check, parse_json

VERSION = 2
ALIGNMENT = 64  # bytes
BLOCK = 1 << 16  # bytes with one checksum
MANY = 64  # blocks that are worth several threads
LAZY = 1 << 26  # bytes: up to this size an array is checked at once, which takes 20 ms
LONGEST_HEADER = 1 << 26  # bytes
LARGEST = 1e15  # of a number in a lazy array; sums of products of such numbers do not overflow
AGAIN = "make the file again"
FIRST_LINE = re.compile(rb"tinyembed ([a-z]{1,20}) (\d{1,4}) (\d{1,8}) ([0-9a-f]{64})\n")
FIRST_VERSION = b"\x93NUMPY"  # how a file of version 1 began
_TYPE, _CHECKSUMS = re.compile(r"\|[biu]1|<[iuf][248]"), re.compile(r"([0-9a-f]{8})*")
ENTRY = {  # what the header says of an array
    "type": ("a type of numbers, such as <f4", lambda value: _matches(_TYPE, value)),
    "shape": ("a list of up to 8 whole numbers", lambda value: _is_shape(value)),
    "blocks": ("checksums in hexadecimal", lambda value: _matches(_CHECKSUMS, value)),
}


def save_mapped(path, kind, arrays, about):
    """Write arrays by name, and a JSON object. kind: what the file is, a word.

    A loaded array is checked in full before it is written, so that no damage gets a new checksum.
    """
    parts = {}
    for name, array in arrays.items():
        if isinstance(array, CheckedArray):
            array.verify()
        array = np.asarray(array, order="C")
        parts[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    entries = {
        name: {"type": a.dtype.str, "shape": a.shape, "blocks": _checksums(a).tobytes().hex()}
        for name, a in parts.items()
    }
    header = json.dumps({"arrays": entries, "about": about}).encode()
    first = f"tinyembed {kind} {VERSION} {len(header)} {hashlib.sha256(header).hexdigest()}\n"

    def write(file):
        file.write(first.encode() + header)
        for array in parts.values():
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(_bytes(array))  # `tofile` would not say why it failed
        file.write(bytes(-file.tell() % ALIGNMENT))

    write_atomically(path, write)


def load_mapped(path, kind, words, lazy=(), verify=False, again=AGAIN, above=None):
    """The arrays of such a file by name, mapped and read-only, and its JSON object.

    kind: as for `save_mapped`; words: what such a file is called; lazy: the names of arrays of
    finite numbers up to `LARGEST` that may be checked as they are read, if they are large; verify:
    check them now all the same; again: what to do about a damaged file, for the message; above: how
    many bytes make a lazy array large.
    Raises InputError if the file is missing, damaged, or another one.
    """
    with reading(path, words), open(path, "rb") as file:
        header = _read_header(file, kind, again)
        size, arrays, at = os.fstat(file.fileno()).st_size, {}, _aligned(file.tell())
        _check_zeros(file, file.tell(), at)
        for name, entry in header["arrays"].items():
            arrays[name] = array = _map(file, at, size, name, entry)
            array.finite, array.again = name in lazy and array.dtype.kind == "f", again
            if not verify and name in lazy and array.nbytes > (LAZY if above is None else above):
                array.where = f"{printable(path)}: "
            else:
                array.verify()
                arrays[name] = array.view(np.memmap)
            end, at = at + array.nbytes, _aligned(at + array.nbytes)
            _check_zeros(file, end, at)
        if at != size:
            raise ValueError("its length is not that of its arrays")
        return arrays, header["about"]


def is_mapped(path, kind):
    """Whether a file says that it is such a file, of any version."""
    if not os.path.isfile(path):  # a pipe would wait
        return False
    with open(path, "rb") as file:
        start = file.read(4096)
    return start.startswith(f"tinyembed {kind} ".encode()) or (
        start.startswith(FIRST_VERSION) and f'"kind": "tinyembed {kind}"'.encode() in start
    )


def file_digest(path):
    """The SHA-256 of a file's header, in hexadecimal: it changes with any bit of the file."""
    with open(path, "rb") as file:
        line = FIRST_LINE.match(file.read(200))
    return line[4].decode() if line else ""


class CheckedArray(np.memmap):
    """A mapped array whose rows are checked when they are first read, by array[rows].

    Whoever reads it in another way calls `verify` first. Raises InputError that names the file.
    """

    where, again = "", AGAIN  # "FILE: " and what to do, for an error
    finite = False  # whether numbers that are not finite or absurdly large are refused too

    def __array_finalize__(self, other):
        super().__array_finalize__(other)
        self.blocks = self.unchecked = None  # what is made from it is not checked again

    def __getitem__(self, rows):
        found = np.ndarray.__getitem__(self, rows)
        if self.unchecked is not None:
            self._check(self._touched(rows))
        return found.view(np.ndarray) if isinstance(found, np.ndarray) else found

    def verify(self):
        """Check all blocks that are not checked yet."""
        if self.unchecked is not None:
            self._check(self.unchecked.copy())

    def _touched(self, rows):
        """Which of the unchecked blocks hold some of these rows: (blocks,) bool."""
        touched = np.zeros_like(self.unchecked)
        if isinstance(rows, tuple) or rows is None or rows is Ellipsis:
            touched[:] = True  # not by rows alone: all
        elif isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            row = self.nbytes // len(self)
            if abs(step) * row > BLOCK:
                return self._touched(np.arange(first, last, step))
            low, high = min(first, last), max(first, last)
            touched[max(0, low) * row // BLOCK : (high + 1) * row // BLOCK + 1] = True
        else:
            rows = np.asarray(rows)
            rows = np.flatnonzero(rows) if rows.dtype == bool else rows % len(self)
            row = self.nbytes // len(self)
            for byte in range(0, row, BLOCK):
                touched[(rows * row + byte) // BLOCK] = True
            touched[(rows * row + row - 1) // BLOCK] = True
        return touched & self.unchecked

    def _check(self, which):
        blocks = np.flatnonzero(which).tolist()
        if len(blocks) < MANY:
            self._check_blocks(blocks)
        else:  # zlib computes on several threads at a time
            n = os.cpu_count() or 1
            with ThreadPoolExecutor(n) as pool:
                list(pool.map(self._check_blocks, [blocks[i::n] for i in range(n)]))
        self.unchecked &= ~which

    def _check_blocks(self, blocks):
        data = _bytes(self.view(np.ndarray))
        for n in blocks:
            part = data[n * BLOCK : (n + 1) * BLOCK]
            if zlib.crc32(part) != self.blocks[n]:
                raise InputError(f"{self.where}damaged: a checksum differs; {self.again}")
            if self.finite and not _are_finite(np.frombuffer(part, self.dtype)):
                raise InputError(
                    f"{self.where}numbers in it are not finite or absurdly large; {self.again}"
                )


def _read_header(file, kind, again):
    """The value of the header. The file is left at its end."""
    start = file.read(200)
    line = FIRST_LINE.match(start)
    if start.startswith(FIRST_VERSION) or (line and int(line[2]) != VERSION):
        version = 1 if line is None else int(line[2])
        raise InputError(
            f"not of this version of tinyembed (format {version}, this one reads {VERSION}); "
            f"{again}"
        )
    if not line or int(line[3]) > LONGEST_HEADER:
        raise ValueError("it does not begin like one")
    if line[1] != kind.encode():
        raise ValueError(f"a file of tinyembed, but of {line[1].decode()}, not {kind}")
    file.seek(line.end())
    header = file.read(int(line[3]))
    if hashlib.sha256(header).hexdigest().encode() != line[4]:
        raise ValueError("damaged: its checksum differs")
    header = parse_json(header)
    check(header, {"arrays": anything_named(), "about": anything_named()}, ("arrays", "about"))
    return header


def _map(file, at, size, name, entry):
    """The array that begins at byte `at`, with nothing checked but its claims."""
    try:
        check(entry, ENTRY, ENTRY)
    except InputError as error:
        raise ValueError(f"the entry of {name[:40]}: {error}") from None
    kind, shape, blocks = (entry[key] for key in ENTRY)
    dtype = np.dtype(kind)
    length = math.prod(shape) * dtype.itemsize
    if at + length > size:
        raise ValueError("cut short")
    if length:
        array = np.memmap(file, dtype, "r", at, tuple(shape)).view(CheckedArray)
    else:  # which cannot be mapped
        array = np.empty(shape, dtype).view(CheckedArray)
    array.blocks = np.frombuffer(bytes.fromhex(blocks), "<u4")
    array.unchecked = np.ones(-(-length // BLOCK), bool)
    if len(array.blocks) != len(array.unchecked):
        raise ValueError("damaged: the number of checksums is wrong")
    return array


def _check_zeros(file, start, end):
    """Raise ValueError unless the bytes between two arrays are zeros."""
    file.seek(start)
    if file.read(end - start).strip(b"\0"):
        raise ValueError("damaged: bytes between its arrays are not zeros")


def _matches(pattern, value):
    return isinstance(value, str) and pattern.fullmatch(value)


def _is_shape(value):
    if not isinstance(value, list) or len(value) > 8:
        return False
    return all(type(n) is int and 0 <= n < 1 << 48 for n in value)


def _are_finite(numbers):
    """Whether all numbers are finite, and none is larger than LARGEST."""
    if numbers.dtype.itemsize == 2:  # float16 is never so large, and NumPy computes slowly with it
        return (numbers.view("<u2") & 0x7C00).max() < 0x7C00  # an exponent of ones: inf or nan
    # The sum of squares takes half the time, and can only be that small if they all are.
    with np.errstate(over="ignore"):
        return np.dot(numbers, numbers) <= LARGEST**2 or np.abs(numbers).max() <= LARGEST


def _checksums(array):
    data = _bytes(array)
    return np.array([zlib.crc32(data[i : i + BLOCK]) for i in range(0, len(data), BLOCK)], "<u4")


def _bytes(array):
    return memoryview(array.reshape(-1).view(np.uint8))


def _aligned(at):
    return at + -at % ALIGNMENT
