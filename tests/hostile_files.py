"""Weight files, checkpoints and indexes by somebody who means harm, and a process that reads them.

    python -m tests.hostile_files weights|checkpoint|index FOLDER

The process prints one line of JSON per file: its name, what reading it did, the seconds it took
and the megabytes by which the memory of the process has grown since it began.
"""

import contextlib
import hashlib
import io
import json
import re
import resource
import struct
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from benchmarks import damage
from tinyembed.errors import InputError
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.neighbours.collection import Collection
from tinyembed.storage.archive import DIGEST_SIZE, seal_text
from tinyembed.storage.arrays import load_arrays
from tinyembed.storage.mapped import load_mapped
from tinyembed.training.checkpoints import load_checkpoint, save_checkpoint
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

LIMIT = 1 << 30  # bytes of address space beyond what the process has when it begins
ESCAPE = "\x1b]0;owned\x07\n"
DEEP = "[" * 100_000
ZEROS = 1 << 31  # bytes that a bomb unfolds to
# Words of errors from within Python, zip or NumPy, which say nothing to a user.
OF_PYTHON = re.compile(
    r"NoneType|object (is|has)|indices|codec|Errno|argument|iterable|Expecting|delimiter|magic|CRC"
    r"|while decomp|unpack requires|buffer|overflow|encountered|[a-z](Error|Exception)\b"
)


# .npz files.


def npy(array=None, descr="'<f4'", shape="(3,)", order="False", data=b""):
    """The bytes of a .npy: of an array, or with the claims of a header."""
    if array is not None:
        file = io.BytesIO()
        np.lib.format.write_array(file, np.asarray(array))
        return file.getvalue()
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def archive(members, seal=None, compression=zipfile.ZIP_STORED, comment=b""):
    """The bytes of an .npz. members: {name: array, bytes of a .npy, or a text}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.comment = seal_text(seal) if seal else comment
        for name, value in members.items():
            value = np.array(value) if isinstance(value, str) else value
            made.writestr(name + ".npy", value if isinstance(value, bytes) else npy(value))
    data = file.getvalue()
    if not seal:
        return data
    return data[:-DIGEST_SIZE] + hashlib.sha256(data[:-DIGEST_SIZE]).hexdigest().encode() + b"\n"


def bomb(members, name, head):
    """An .npz one member of which, that begins with `head`, unfolds to two gigabytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    zeros = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    folded = start + zeros * (ZEROS >> 24) + deflate.flush()
    # Written as it is, and then declared to be compressed.
    data = bytearray(archive({**{n: a for n, a in members.items() if n != name}, name: folded}))
    method, size = b"\x08\0", struct.pack("<L", len(head) + ZEROS)
    for record, at in ((data.rfind(b"PK\3\4"), 8), (data.rfind(b"PK\1\2"), 10)):
        data[record + at : record + at + 2] = method
        data[record + at + 14 : record + at + 18] = size
    return bytes(data)


def patched(data, signature, at, value):
    """An .npz with some bytes of each record of a kind changed."""
    data, place = bytearray(data), data.find(signature)
    while place >= 0:
        data[place + at : place + at + len(value)] = value
        place = data.find(signature, place + 1)
    return bytes(data)


def claims():
    """{name: bytes of a .npy that is not what it says}."""
    return {
        "a trillion numbers": npy(shape="(1000000000000,)", data=b"0000"),
        "more than 64 bits": npy(shape=f"({10**30},)", data=b"0000"),
        "negative": npy(shape="(-3,)", data=bytes(12)),
        "a shape of text": npy(shape="('a',)"),
        "500 dimensions": npy(shape=f"({'1, ' * 130})", data=bytes(4)),
        "parentheses": npy(shape="(" * 9000),
        "a structure": npy(descr="[('a', '<f4')]", data=bytes(12)),
        "an object": npy(descr="'|O'", data=b"cos\nsystem\n."),
        "a date": npy(descr="'<M8[s]'", data=bytes(24)),
        "text of a gigabyte": npy(descr="'<U250000000'", shape="()"),
        "code": npy(shape="__import__('os').abort()"),
        "no header": b"\x93NUMPY\1\0\xff\xff",
        "version 3": b"\x93NUMPY\3\0\xff\xff\xff\xff",
        "nothing": b"",
    }


def arrays_of_other_types(right):
    """{name: array}: as large as the right one, but of other types or shapes."""
    shape = right.shape
    yield from ((f"of {t}", right.astype(t)) for t in ("c8", "i4", "f8", "i8", "?", "u1", ">f4"))
    yield "of text", np.full(shape, "x")
    yield "of bytes", np.full(shape, b"x")
    yield "dates", np.zeros(shape, "M8[s]")
    yield "flat", right.ravel()
    yield "transposed", right.T
    yield "a scalar", np.float32(1)
    yield "empty", right[:0]
    yield "longer", np.concatenate([right, right])


def hostile_archives(arrays, head, kind, matrix, vector):
    """(name, bytes) of files. arrays: of a right one; head: the name of its JSON; matrix, vector:
    the names of two arrays of it."""
    yield "without its values", archive({n: a for n, a in arrays.items() if n != head}, kind)
    yield "without an array", archive({n: a for n, a in arrays.items() if n != matrix}, kind)
    yield "another kind", archive(arrays, "table")
    yield "another version", archive(arrays, kind).replace(b" 2 ", b" 9 ")
    yield "a wrong seal", archive(arrays, kind)[:-2] + b"g\n"
    for name, text in (("deep", DEEP), ("no JSON", "{"), ("a list", "[1]"), ("null", "null"),
                       ("a long number", "9" * 100_000), ("code", ESCAPE)):  # fmt: skip
        yield f"values: {name}", archive({**arrays, head: text}, kind)
    yield "values: bytes", archive({**arrays, head: np.arange(9)}, kind)
    yield "values: long", archive({**arrays, head: '"' + "x" * 3_000_000 + '"'}, kind)
    for name, array in arrays_of_other_types(arrays[matrix]):
        yield f"an array: {name}", archive({**arrays, matrix: array}, kind)
    for name, data in claims().items():
        yield f"an array: {name}", archive({**arrays, matrix: data})
        yield f"values: {name}", archive({**arrays, head: data})
    for name, value in (("nan", np.nan), ("infinite", np.inf), ("3e38", 3e38), ("-3e38", -3e38)):
        yield f"weights: {name}", archive({**arrays, matrix: np.full_like(arrays[matrix], value)})
    yield "a negative variance", archive({**arrays, vector: -np.ones_like(arrays[vector])})
    shape = arrays[matrix].shape
    yield "a bomb in an array", bomb(arrays, matrix, npy(shape=str(shape)))
    yield "a bomb of its own size", bomb(arrays, matrix, npy(shape=f"({ZEROS // 4},)"))
    yield "a bomb in the values", bomb(arrays, head, npy(descr=f"'<U{ZEROS // 4}'", shape="()"))
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("LZMA", zipfile.ZIP_LZMA)):
        yield name, archive(arrays, None, method)
    whole = archive(arrays)
    yield "encrypted", patched(whole, b"PK\1\2", 8, b"\1\0")
    yield "huge sizes", patched(whole, b"PK\1\2", 20, b"\xf0\xff\xff\x7f" * 2)
    yield "places outside", patched(whole, b"PK\1\2", 42, b"\xf0\xff\xff\x7f")
    yield "a huge directory", patched(whole, b"PK\5\6", 12, b"\xf0\xff\xff\x7f")
    yield "a long comment", archive(arrays, comment=b"x" * 65_535)
    yield "cut", whole[: len(whole) // 2]
    yield "bytes after it", whole + bytes(100_000)
    yield "bytes before it", bytes(100_000) + whole
    names = {f"a{n}": b"" for n in range(40_000)}
    yield "40,000 members", archive(names)
    file = io.BytesIO(whole)
    with zipfile.ZipFile(file, "a") as twice:
        with contextlib.suppress(UserWarning):
            twice.writestr(f"{matrix}.npy", npy(arrays[matrix]))
    yield "a name twice", file.getvalue()
    yield "a pickle", b"\x80\4cos\nsystem\n(S'echo owned'\ntR."
    yield "nothing", b""


def hostile_values(right, wrong):
    """(words, values) with one value after the other replaced."""
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {value!r:.30}", {**right, name: value}
        yield f"no {name}", {n: v for n, v in right.items() if n != name}


NO_NUMBERS = ("x", None, [1], {}, True, float("nan"), float("inf"), 10**400)
WRONG_CONFIG = {
    "model": ("best", None, ["context"], 3, ESCAPE, "x" * 100_000),
    "width": ("huge", None, [], 10**9),
    "composers": (
        None,
        [ESCAPE, "a"],
        "01",
        [1, 2],
        [["a"]],
        ["a"],
        [],
        ["a"] * 200_000,
        ["x" * 10**6, "y"],
    ),
    "temperature": (*NO_NUMBERS, -1, 0),
}
WRONG_OPTIONS = {  # which a file may lack
    "intervals": (*NO_NUMBERS, 10**12, 10**6, -3, 1.5),
    "examples": (*NO_NUMBERS, -1),
    "step": (*NO_NUMBERS, -1),
    "validation_loss": NO_NUMBERS,
}
WRONG_STANDING = {
    "step": (*NO_NUMBERS, -1, 10**6, 1.5),
    "best_step": (*NO_NUMBERS, -1),
    "best_loss": tuple(value for value in NO_NUMBERS if value != float("inf")),
    "seconds": (*NO_NUMBERS, -1),
    "log_size": (*NO_NUMBERS, -1),
}


def weights(folder):
    """The path that is read, the function that reads it, and (name, bytes) of what stands there."""
    path = folder / "w.npz"
    save_weights(path, damage.a_model())
    arrays = load_arrays(path)
    config = json.loads(str(arrays["config"]))
    names = "encoder.conv2.weight", "encoder.conv_norm1.running_var"

    def files():
        yield "right", archive(arrays, "weights")
        yield "right, without a seal", archive(arrays)
        yield from hostile_archives(arrays, "config", "weights", *names)
        wrong = dict(hostile_values(config, WRONG_CONFIG))
        wrong |= {n: v for n, v in hostile_values(config, WRONG_OPTIONS) if not n.startswith("no ")}
        for name, value in wrong.items():
            yield name, archive({**arrays, "config": json.dumps(value)}, "weights")

    return path, lambda: load_weights(path), files()


def checkpoint(folder):
    """The same, for checkpoints."""
    config = {"model": "note_drop", "width": "damaged", "examples": 20, "batch_size": 5, "seed": 0}
    config |= {"learning_rate": 1e-3, "temperature": 1.0}
    trainer = Trainer(Run.create(folder / "run", config), config, damage.a_corpus())
    save_checkpoint(trainer)
    path = trainer.run.checkpoint_file
    arrays = load_arrays(path)
    standing = json.loads(str(arrays["standing"]))
    names = "model.encoder.conv2.weight", "model.encoder.conv_norm1.running_var"

    def files():
        yield "right", archive(arrays, "checkpoint")
        yield "right, without a seal", archive(arrays)
        for name, data in hostile_archives(arrays, "standing", "checkpoint", *names):
            if "3e38" not in name:  # with which the training goes on, until its loss is checked
                yield name, data
        for name, array in arrays_of_other_types(arrays["adam.m"]):
            if name not in ("flat", "transposed"):  # which it is
                yield f"means: {name}", archive({**arrays, "adam.m": array}, "checkpoint")
        for name, value in hostile_values(standing, WRONG_STANDING):
            yield name, archive({**arrays, "standing": json.dumps(value)}, "checkpoint")

    return path, lambda: load_checkpoint(trainer), files()


# Indexes.


def pack(arrays, about, kind="index", version=2, **changes):
    """The bytes of an index with right checksums. changes: of the entries in the header, by name of
    an array: a dict that replaces some of its values."""
    entries, data = {}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        blocks = [zlib.crc32(raw[i : i + (1 << 16)]) for i in range(0, len(raw), 1 << 16)]
        entries[name] = {
            "type": array.dtype.str, "shape": list(array.shape),
            "blocks": np.array(blocks, "<u4").tobytes().hex(), **changes.get(name, {}),
        }  # fmt: skip
        data += raw + bytes(-len(raw) % 64)
    return with_header(
        json.dumps({"arrays": entries, "about": about}).encode(), data, kind, version
    )


def with_header(header, data=b"", kind="index", version=2, length=None):
    digest = hashlib.sha256(header).hexdigest()
    length = len(header) if length is None else length
    head = f"tinyembed {kind} {version} {length} {digest}\n".encode() + header
    return head + bytes(-len(head) % 64) + data


def with_value(array, value, at=0):
    array = np.array(array)
    array.reshape(-1)[at] = value
    return array


def index(folder):
    """The same, for indexes with their music."""
    path, model = folder / "a.index", damage.a_model()
    Collection.of(damage.a_corpus(), model, progress=False).save(path)
    mapped, about = load_mapped(path, "index", "index")
    arrays = {name: np.array(array) for name, array in mapped.items()}

    def use():
        loaded = Collection.load(path)
        loaded.index.search(np.ones(100), k=3)
        return loaded

    def files():
        header = {"arrays": {}, "about": about}
        yield "right", pack(arrays, about)
        for name in arrays:
            yield f"no {name}", pack({n: a for n, a in arrays.items() if n != name}, about)
            yield f"{name} of floats", pack({**arrays, name: arrays[name].astype("f2")}, about)
            yield f"{name} too short", pack({**arrays, name: arrays[name][:-1]}, about)
            yield f"{name} empty", pack({**arrays, name: arrays[name][:0]}, about)
        for kind in ("c8", "i4", "f8", ">f4", "?"):
            yield (
                f"embeddings of {kind}",
                pack({**arrays, "embeddings": arrays["embeddings"].astype(kind)}, about),
            )
        for kind in ("|O", "<U4", "<M8[s]", "<f4, <f4", "<f16", ["<f4"], None, 4, "x" * 10**5):
            yield f"the type {kind!r:.20}", pack(arrays, about, embeddings={"type": kind})
        for shape in (
            [2**47, 100], [-1, 100], [1.5, 100], ["1", 100], [True, 100], [1] * 60, "100", None,
            [0, 2**47], [10**40], [[1], 2], {"a": 1},
        ):  # fmt: skip
            yield f"the shape {shape!r:.20}", pack(arrays, about, embeddings={"shape": shape})
        for blocks in ("", "00", "zz" * 4, None, 3, "00" * 10**6):
            yield f"the checksums {blocks!r:.20}", pack(arrays, about, scale={"blocks": blocks})
        for name, values in {
            "model": (3, ["a"], True, ESCAPE * 10**4),
            "labelled": (None, "yes", 1, [], False),
            "pieces": (None, "abc", [1] * 6, [["a"]] * 6, [], ["a"] * 5, ["a"] * 7, {"a": 1}),
            "composers": (None, 3, [None, None], [], ["a"], ["x" * 10**6, "y"]),
        }.items():
            for value in values:
                yield f"{name} {value!r:.30}", pack(arrays, {**about, name: value})
            yield f"no {name}", pack(arrays, {n: v for n, v in about.items() if n != name})
        for value in (None, [], "x", 3):
            yield f"the values {value!r}", pack(arrays, value)
        for name, values in {
            "piece": (-1, 6, 2**31 - 1),
            "beat": (-1, 100, 2**31 - 1),
            "piece_composer": (-1, 2, 2**31 - 1),
            "scale": (-1, np.nan, np.inf, 3e38),
            "basis": (np.nan, np.inf, 7, 1e300),
            "embeddings": (np.nan, np.inf, 3e38, -3e38),
            "table": (np.nan, -np.inf, 3e38),
            "corpus_ticks": (-1, 2**31 - 1),
            "corpus_pitches": (128, 255),
            "corpus_beat_start": (-1, 1, 2**31 - 1),
            "corpus_piece_beats": (-1, 1, 2**31 - 1),
            "corpus_piece_composer": (-1, 1, 2**31 - 1),
            "corpus_piece_on_grid": (-1, np.nan, 3),
        }.items():
            for value in values:
                changed = {**arrays, name: with_value(arrays[name], value)}
                yield f"{name} {value}", pack(changed, about)
        for name in ("embeddings", "table"):
            yield f"{name} of 3e38", pack({**arrays, name: np.full_like(arrays[name], 3e38)}, about)
        for name in ("sounds", "corpus_piece_is_test"):
            changed = with_value(arrays[name].view(np.uint8), 7).view(bool)
            yield f"{name} 7", pack({**arrays, name: changed}, about)
        whole = pack(arrays, about)
        yield "deep", with_header(DEEP.encode())
        yield "no JSON", with_header(b"{")
        yield "a list", with_header(b"[]")
        yield "no arrays", with_header(json.dumps(header).encode())
        yield "arrays in a list", with_header(json.dumps({"arrays": [], "about": {}}).encode())
        yield "a long number", with_header(b"9" * 100_000)
        yield "a header of 90 MB", with_header(b"{}", length=90_000_000)
        yield "a header of 50 MB", with_header(b"{}", length=50_000_000)
        yield "another kind", pack(arrays, about, "cache")
        yield "another version", pack(arrays, about, version=9)
        yield "the first version", npy(np.arange(9, dtype=np.uint8))
        yield "cut", whole[:-1000]
        yield "longer", whole + bytes(64)
        yield "a first line without an end", b"tinyembed index 2 1" + b"1" * 10**6
        yield "nothing", b""

    return path, use, files()


# The process that reads them.


def fault(text, path):
    """What is wrong with the text of a refusal for a user, or None."""
    if not text.isprintable() or len(text) > 600:
        return "not a line"
    if path is not None and not text.startswith(str(path)):
        return "does not begin with the file's name"
    found = OF_PYTHON.search(text)
    return found and f"speaks of {found[0]!r}"


def outcome(use, path):
    """What reading did: "refused: " and the reason, or what is wrong with it."""
    try:
        use()
    except InputError as error:
        text = str(error)
        if fault(text, path):
            return f"a bad line, {fault(text, path)}: {text!r:.300}"
        return f"refused: {text.removeprefix(str(path))}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "let in"


def memory():
    """The largest resident memory since it was last forgotten, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3


def report(name, use, path):
    """Print what reading a file did."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the largest so far is forgotten
    before, began = memory(), time.perf_counter()
    entry = {"name": name, "outcome": outcome(use, path), "seconds": time.perf_counter() - began}
    print(json.dumps({**entry, "megabytes": memory() - before}))


def main(kind, folder):
    with damage.small():
        path, use, files = globals()[kind](Path(folder))
        use()  # all that is imported and allocated for a right one
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        # Written elsewhere beforehand: what makes the files needs more memory than reading them.
        names = {}
        for n, (name, data) in enumerate(files):
            names[name] = Path(folder) / f"{n}.hostile"
            names[name].write_bytes(data)
            del data
        warnings.simplefilter("error")  # each would be a second line
        resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT, resource.RLIM_INFINITY))
        report("a canary of 50 MB", lambda: np.ones(50_000_000, np.uint8).sum(), path)
        for name, file in names.items():
            file.replace(path)
            report(name, use, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
