"""Read an .npz from an untrusted source: no claim is believed, and every byte is checked.

`np.load` reads as many bytes as a header asks for, allocates what it claims, and stops before the
checksums that zip keeps. Here the size of an array is compared with the header and the zip
directory, and with the shape and type that the caller expects, before memory is allocated; then the
array is read to its end, where zip's own checksum is compared.

A file written by `arrays.save_arrays` also ends with a seal, a line of text that names its kind,
the version of its format, and the SHA-256 of all bytes before. zip takes it for a comment, so other
programs read the file as any other .npz. Files by earlier versions have no seal and still load.
"""

import errno
import hashlib
import math
import os
import re
import struct
import zipfile
from contextlib import contextmanager

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.values import parse_json

VERSION = 2  # of files with a seal; the first version had none
SEAL = re.compile(rb"tinyembed ([a-z]{1,20}) (\d{1,4}) ([0-9a-f]{64})\n")
DIGEST_SIZE = 65  # bytes at the end of a seal: the SHA-256, and the end of the line
CHUNK = 1 << 20  # bytes read at a time
LARGEST_DIRECTORY = 1 << 20  # bytes of zip's directory: some ten thousand arrays
LARGEST_TEXT = 1 << 22  # bytes of a member that holds JSON
LARGEST_UNEXPECTED = 1 << 26  # bytes that compressed arrays of no expected shape may unfold to
_END = b"PK\5\6"  # how zip's last record begins, of 22 bytes and the comment
_END_SIZE, _LONGEST_COMMENT = 22, 1 << 16
_HEADER = re.compile(
    rb"\{'descr': '(\|[biu]1|<[iuf][248]|<U\d{1,9})', 'fortran_order': (False|True), "
    rb"'shape': \(([0-9, ]{0,400})\), \} *\n"
)


def seal_text(kind, digest=b"0" * 64):
    """The seal of a kind of file. digest: of the bytes before it, in hexadecimal."""
    return b"tinyembed %s %d %s\n" % (kind.encode(), VERSION, digest)


def sha256(file, size):
    """The SHA-256 of the first `size` bytes of an open file, in hexadecimal, as bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0:
        data = file.read(min(size, CHUNK))
        if not data:
            raise ValueError("cut short")
        digest.update(data)
        size -= len(data)
    return digest.hexdigest().encode()


class Archive:
    """An open .npz. names: of its arrays; kind: of a sealed file, None for one without a seal.

    Raises an error of some kind, ValueError for most, where the file is damaged, and InputError
    for another version of the format. `files.reading` makes one line of each.
    """

    def __init__(self, file):
        self.file, size = file, os.fstat(file.fileno()).st_size
        comment = _comment(file, size)
        seal = SEAL.fullmatch(comment)
        if comment and not seal:
            raise ValueError("damaged at its end")
        self.kind = seal[1].decode() if seal else None
        if seal and int(seal[2]) != VERSION:
            raise InputError(
                f"written by another version of tinyembed (format {int(seal[2])}, this one reads "
                f"1 and {VERSION})"
            )
        with _unpacking("its list of arrays"):
            self.zip = zipfile.ZipFile(file)
            members = self.zip.infolist()
        room = sum(info.compress_size + 2 * len(info.filename) + 200 for info in members)
        if size > room + len(comment) + _END_SIZE + 100:
            raise ValueError("there is more in it than its arrays")
        if seal and seal[3] != sha256(file, size - DIGEST_SIZE):
            raise ValueError("damaged: its checksum differs")
        self._members = {info.filename.removesuffix(".npy"): info for info in members}
        if len(self._members) < len(members):
            raise ValueError("two arrays of one name")
        self.names = list(self._members)

    def check_kind(self, kind, words):
        """Raise InputError for a sealed file of another kind than `kind`, in words such as a table.

        A file without a seal may be of any kind.
        """
        if self.kind not in (None, kind):
            raise InputError(f"a file of tinyembed, but of {self.kind}, not {words}")

    def array(self, name, types=None, shape=None):
        """An array that must have one of some types, such as "<f4", and a shape.

        Without them any plain array is read: of numbers, booleans or text.
        Raises InputError where the file has no such array, or one of another type or shape.
        """
        info = self._member(name)
        with _unpacking(name):
            member = self.zip.open(info)
        with member:
            dtype, fortran, found, header = _read_header(member, name)
            if types is not None and dtype.str not in types:
                right = " or ".join(np.dtype(one).name for one in types)
                raise InputError(f"{name} holds {dtype.name}, not {right}")
            if shape is not None and found != tuple(shape):
                raise InputError(f"{name} is of shape {found}, not {tuple(shape)}")
            if info.file_size != header + math.prod(found) * dtype.itemsize:
                raise ValueError(f"{name} is not as large as it claims")
            if shape is None:
                self._check_unfolding()
            array = np.empty(math.prod(found), dtype)
            _fill(member, array.view(np.uint8), name)
        return array.reshape(found, order="F" if fortran else "C")

    def text(self, name):
        """The value of a member that holds JSON."""
        if self._member(name).file_size > LARGEST_TEXT:
            raise ValueError(f"{name} is too long")
        text = self.array(name)
        if text.dtype.kind != "U" or text.shape != ():
            raise ValueError(f"{name} is not a text")
        return parse_json(str(text))

    def _member(self, name):
        if name not in self._members:
            raise InputError(f"there is no {name} in it")
        info = self._members[name]
        # Of these two methods, zip's reader unfolds no more at a time than is asked for.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed by an unusual method")
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.flag_bits & 1 or (stored and info.compress_size != info.file_size):
            raise ValueError(f"{name} is encrypted or of two sizes")
        return info

    def _check_unfolding(self):
        """What is stored as it is takes as much memory as the file; what is compressed may not."""
        members = self._members.values()
        if sum(i.file_size - i.compress_size for i in members) > LARGEST_UNEXPECTED:
            raise ValueError("it would unfold to much more than its size")


def _comment(file, size):
    """The comment at the end of a zip file. Raises ValueError where that is no end of one."""
    file.seek(-min(size, _END_SIZE + _LONGEST_COMMENT), os.SEEK_END)
    tail = file.read()
    plain = tail[-_END_SIZE:]
    if plain[:4] == _END and plain[-2:] == b"\0\0":
        at = len(tail) - len(plain)
    else:
        at = tail.rfind(_END)
    end = tail[at : at + _END_SIZE]
    if at < 0 or len(end) < _END_SIZE:
        raise ValueError("not an archive, or cut short")
    length, comment = struct.unpack("<H", end[20:])[0], tail[at + _END_SIZE :]
    if length != len(comment):
        raise ValueError("damaged at its end")
    large = tail[max(0, at - 20) : at].startswith(b"PK\6\7")  # zip's record for files over 4 GB
    if struct.unpack("<L", end[12:16])[0] > LARGEST_DIRECTORY or (large and size < 1 << 32):
        raise ValueError("its directory is too long")
    return comment


@contextmanager
def _unpacking(what):
    """zip's own errors, of a dozen types, are about its records: for a user, the file is damaged.

    An error of the disk remains what it is.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place outside the file
            raise
        raise ValueError(f"damaged: {what} cannot be unpacked") from None


def _read(member, size, name):
    with _unpacking(name):  # at its end zip's checksum is compared
        return member.read(size)


def _read_header(member, name):
    """The type of a .npy, whether its order is Fortran's, its shape, and the header's length."""
    start, header = _read(member, 10, name), None
    if start[:8] == b"\x93NUMPY\1\0" and len(start) == 10:
        length = struct.unpack("<H", start[8:])[0]
        header = _HEADER.fullmatch(_read(member, length, name))
    dtype = np.dtype(header[1].decode() if header else "<U0")
    shape = header[3].decode().replace(",", " ").split() if header else []
    if dtype.itemsize == 0 or len(shape) > 8:
        raise ValueError(f"{name} is not a plain array")
    return dtype, header[2] == b"True", tuple(map(int, shape)), 10 + length


def _fill(member, data, name):
    """Fill `data`, an array of bytes, from a member that must end exactly there."""
    view, done = memoryview(data), 0
    while done < len(view):
        part = _read(member, min(CHUNK, len(view) - done), name)
        if not part:
            raise ValueError(f"{name} is cut short")
        view[done : done + len(part)] = part
        done += len(part)
    if _read(member, 1, name):
        raise ValueError(f"{name} is longer than it claims")
