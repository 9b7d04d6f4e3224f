"""Change the contents of a sealed file, and seal it again with right checksums.

A random change of bytes ends at the checksum. These are changes that somebody could make who knows
the format: another type or shape of an array, other numbers in it, other values in its JSON, parts
left out or exchanged. All functions take the bytes of a file, a `random.Random`, and `bytewise`,
which changes some bytes at random; they return the bytes of the changed file.
"""

import hashlib
import io
import json
import re
import zipfile

import numpy as np

from tests.hostile_files import archive, npy, pack, with_header
from tinyembed.storage.archive import DIGEST_SIZE, SEAL, seal_text
from tinyembed.storage.mapped import ALIGNMENT, FIRST_LINE

TYPES = "<f4", "<f2", "<f8", "<i4", "<i8", ">f4", "|u1", "|b1", "<c8", "<U3", "|O", "<M8[s]"
SIZES = -1, 0, 1, 2, 3, 99, 100, 101, 2**31, 2**40, 2**63
NUMBERS = 0.0, -0.0, -1.0, 1e9, 1.1e9, 3e38, -3e38, 1e-45, float("inf"), float("nan"), 1e300
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 10**6, 2**53, 2**63, 10**400, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), "", "x", "\x1b[2J\n", "\ud800", "x" * 5000, [], {}, [1], ["a", "a"],
    "contrastive", "composer", "context", "small", "damaged", "<f4", "|b1",
)  # fmt: skip
NAMED = re.compile(rb"'(descr|shape|fortran_order)': ('[^']*'|\([^)]*\)|\w+)")


def some_bytes(data, rng):
    """A copy of some bytes with one to three of them changed, half of the time near an end."""
    changed = bytearray(data or b"x")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed))
        if rng.random() < 0.5:
            at = min(at, 60) if rng.random() < 0.5 else len(changed) - 1 - min(at, 100)
            at = max(at, 0)
        changed[at] ^= rng.randint(1, 255)
    return bytes(changed)


def change_archive(data, rng, bytewise):
    """A changed .npz of this package, such as a weight file."""
    seal = SEAL.fullmatch(data[-len(seal_text("weights")) :])
    if not seal or rng.random() < 0.1:
        return bytewise(data)
    kind, inside = seal[1].decode(), data[: -len(seal[0])]
    if rng.random() < 0.1:  # zip's own records
        return _sealed(bytewise(inside), seal_text(kind))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {
                info.filename.removesuffix(".npy"): file.read(info) for info in file.filelist
            }
    except Exception:
        return _sealed(bytewise(inside), seal_text(kind))
    name = rng.choice([*members, "config"])
    change = rng.choice([_data, _data, _header, _header, _text, _text, _members])
    change(members, name, rng, bytewise)
    kind = rng.choice(["checkpoint", "x"]) if rng.random() < 0.02 else kind
    packed = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    return archive(members, kind, packed)


def _sealed(inside, seal):
    return (
        inside
        + seal[:-DIGEST_SIZE]
        + hashlib.sha256(inside + seal[:-DIGEST_SIZE]).hexdigest().encode()
        + b"\n"
    )


def _split(member):
    """The header of a .npy and its data."""
    end = 10 + int.from_bytes(member[8:10], "little")
    return member[:end], member[end:]


def _data(members, name, rng, bytewise):
    """Other numbers in an array."""
    head, data = _split(members.get(name, b""))
    if rng.random() < 0.3:
        members[name] = head + bytewise(data)
    else:
        members[name] = head + _with_numbers(data, rng)


def _with_numbers(data, rng):
    """Some places, or all, of the data of an array with another number."""
    kind = np.dtype(rng.choice(["<f4", "<f4", "<f2", "<f8", "<i4", "|u1"]))
    array = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind).copy()
    places = slice(None) if rng.random() < 0.2 else rng.randrange(max(1, len(array)))
    number = rng.choice(NUMBERS) if kind.kind == "f" else rng.choice([0, 1, 2, 127])
    if len(array):
        with np.errstate(all="ignore"):
            array[places] = number
    return array.tobytes() + data[array.nbytes :]


def _header(members, name, rng, bytewise):
    """Another claim about an array's type, shape or order."""
    head, data = _split(members.get(name, b""))
    if rng.random() < 0.2:
        members[name] = bytewise(head) + data
        return
    claims = {key.decode(): value.decode("latin1") for key, value in NAMED.findall(head)}
    claims = {"descr": "'<f4'", "shape": "()", "fortran_order": "False"} | claims
    key = rng.choice(list(claims))
    if key == "descr":
        claims[key] = repr(rng.choice(TYPES))
    elif key == "fortran_order":
        claims[key] = rng.choice(["True", "False", "None"])
    else:
        sizes = [int(size) for size in re.findall(r"-?\d+", claims[key])]
        sizes = _other_shape(sizes, rng)
        claims[key] = "(" + "".join(f"{size}, " for size in sizes).rstrip() + ")"
    if rng.random() < 0.3:  # data that fit the claim
        data = (data * 2)[: rng.randrange(2 * len(data) + 1)]
    members[name] = npy(None, claims["descr"], claims["shape"], claims["fortran_order"], data)


def _other_shape(sizes, rng):
    kind = rng.randrange(4)
    if kind == 0:
        return rng.sample(sizes, len(sizes))
    if kind == 1 or not sizes:
        return [*sizes, rng.choice(SIZES)]
    at = rng.randrange(len(sizes))
    return sizes[:at] + ([rng.choice(SIZES)] if kind == 2 else []) + sizes[at + 1 :]


def _text(members, name, rng, bytewise):
    """Another value in the JSON of a file of weights."""
    try:
        array = np.lib.format.read_array(io.BytesIO(members["config"]), allow_pickle=False)
        text = json.dumps(_with_value(json.loads(str(array)), rng))
    except Exception:  # it was changed before
        text = bytewise(b"{}").decode(errors="replace")
    if rng.random() < 0.1:
        text = bytewise(text.encode()).decode(errors="replace")
    text = text.encode(errors="replace").decode().replace("\0", " ")
    members["config"] = npy(np.array(text))


def _with_value(value, rng):
    """A JSON value with one value in it replaced, left out or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {n: v for n, v in value.items() if n != name}
        if rng.random() < 0.05:
            return {**value, rng.choice([*value, "x"]): value[name]}
        return {**value, name: _with_value(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:at] + value[at + rng.choice([0, 1]) :] + value[:1]
        return [*value[:at], _with_value(value[at], rng), *value[at + 1 :]]
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-1, 1])
    return rng.choice(VALUES)


def _members(members, name, rng, bytewise):
    """An array left out, renamed, or in the place of another one."""
    other, kind = rng.choice([*members, name]), rng.randrange(3)
    if kind == 0:
        members.pop(name, None)
    elif kind == 1:
        members[rng.choice(["x", other + "x", "\x1b[2J"])] = members.pop(name, b"")
    else:
        members[name] = members.get(other, b"")


def change_index(data, rng, bytewise):
    """A changed index."""
    line = FIRST_LINE.match(data)
    if not line or rng.random() < 0.05:
        return bytewise(data)
    end = line.end() + int(line[3])
    text, start = data[line.end() : end], end + -end % ALIGNMENT
    try:
        header = json.loads(text)
        about, arrays = header["about"], _arrays_of(header, data[start:])
    except Exception:
        return with_header(bytewise(text), data[start:])
    kind = rng.randrange(8)
    if kind == 0 or not arrays:
        return with_header(bytewise(text), data[start:])
    if kind < 4:
        part = rng.choice(["arrays", "about"])
        header[part] = _with_value(header[part], rng)
        return with_header(json.dumps(header).encode(), data[start:])
    name = rng.choice(list(arrays))
    if kind == 4:
        other = rng.choice(list(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
    elif kind == 5:
        arrays[name] = _resized(arrays[name], rng)
    else:
        raw = _with_numbers(arrays[name].tobytes(), rng)
        arrays[name] = np.frombuffer(raw, arrays[name].dtype).reshape(arrays[name].shape)
    return pack(arrays, about)


def _arrays_of(header, data):
    """The arrays of an index, by name. Raises any exception where the header does not fit."""
    arrays, at = {}, 0
    for name, entry in header["arrays"].items():
        dtype = np.dtype(entry["type"])
        if dtype.itemsize == 0 or dtype.hasobject:
            raise ValueError("not plain numbers")
        size = int(np.prod(entry["shape"], dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, size, at).reshape(entry["shape"])
        at += -(-arrays[name].nbytes // ALIGNMENT) * ALIGNMENT
    return arrays


def _resized(array, rng):
    """An array with rows left out or doubled, or of another type or shape."""
    array, kind = np.atleast_1d(array), rng.randrange(4)
    if kind == 0:
        return array[: rng.randrange(len(array) + 1)]
    if kind == 1:
        return np.concatenate([array, array[: rng.randrange(len(array) + 1)]])
    if kind == 2:
        with np.errstate(all="ignore"):
            return array.astype(rng.choice(["<f4", "<f2", "<f8", "<i4", "|u1", "|b1", ">f4"]))
    return array.reshape(rng.choice([(-1,), (1, *array.shape), (*array.shape, 1)]))
