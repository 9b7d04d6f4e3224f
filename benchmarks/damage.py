"""Is a damaged file of ours noticed? One byte at a time, in each kind of file.

    python -m benchmarks.damage [--flips 500] [--headers 500] [--json]

Writes a small file of each kind, changes one byte of a copy at random or in a header, cuts copies
short, and reads them as the package does. A file may be refused in one line, a cache may be made
again, and a byte may be without meaning, so that the file says the same; anything else is a fault:
other content without a word, an unexpected exception, or more than ten seconds.
"""

import hashlib
import signal
import struct
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import count
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.table import WIDTHS, Width
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.neighbours.collection import Collection
from tinyembed.storage import cache, mapped
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.storage.mapped import FIRST_LINE
from tinyembed.storage.records import read_record, write_record
from tinyembed.storage.sealed import read_sealed, write_sealed
from tinyembed.training.checkpoints import load_checkpoint, save_checkpoint
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

SECONDS = 10  # after which reading hangs
REFUSED, SAME = "refused in one line", "the same content"
FAULTS = SILENT, CRASHED, HUNG = "other content", "an unexpected exception", "a hang"


def main(argv=None):
    parser = BenchmarkParser("damage", __doc__.splitlines()[0])
    parser.add("--flips", "bytes changed at random, per kind of file", count, 500)
    parser.add("--headers", "bytes changed in headers, evenly spread, at most", count, 500)
    parser.share("--json")
    options = parser.parse_args(argv)
    rng, result = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder, small():
        for name, make in KINDS.items():
            path, use = make(Path(folder))
            data = path.read_bytes()
            spread = headers(path)
            spread = spread[:: -(-len(spread) // max(1, options.headers))]
            places = [*rng.integers(len(data), size=options.flips), *spread]
            result[name] = tally(damaged(path, use, changed(data, places, rng)))
            result[name] |= tally(damaged(path, use, cut(data)), "cut, ")
            if not options.json:
                print(f"{name:20} {len(data):8,} bytes  {result[name]}", flush=True)
    finish("damage", {"flips": options.flips, "kinds": result}, options)
    return int(any(fault in words for r in result.values() for words in r for fault in FAULTS))


def changed(data, places, rng):
    """Copies of some bytes, each with one of them changed."""
    for place in places:
        copy = bytearray(data)
        copy[place] ^= int(rng.integers(1, 256))
        yield bytes(copy)


def cut(data):
    """Copies that end too early, and one that ends too late."""
    for size in (0, 1, 9, 100, len(data) // 2, len(data) - 100, len(data) - 1):
        yield data[:size]
    yield data + b"\0"


def damaged(path, use, copies):
    """What became of each damaged copy: REFUSED, SAME or one of FAULTS."""
    data, before = path.read_bytes(), use()
    for copy in copies:
        path.write_bytes(copy)
        yield _outcome(use, before)
    path.write_bytes(data)


def _outcome(use, before):
    try:
        with alarm():
            found = use()
    except (InputError, WorkError) as error:
        return REFUSED if len(str(error).splitlines()) == 1 else CRASHED
    except TimeoutError:
        return HUNG
    except Exception:
        return CRASHED
    return SAME if found == before else SILENT


def tally(outcomes, prefix=""):
    """{words: how many}."""
    counts = {}
    for words in outcomes:
        counts[prefix + words] = counts.get(prefix + words, 0) + 1
    return counts


@contextmanager
def alarm():
    """Within it, SECONDS raise TimeoutError."""

    def ring(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def small():
    """Within it there is a width of a few thousand weights, called damaged."""
    WIDTHS["damaged"] = Width(conv=(2, 2, 2, 2), dense=(4, 3, 100))
    try:
        yield
    finally:
        del WIDTHS["damaged"]


def headers(path):
    """The places of all bytes of a file outside of the numbers of its arrays."""
    data = path.read_bytes()
    inside = np.zeros(len(data), bool)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                lengths = data[info.header_offset + 26 : info.header_offset + 30]
                start = info.header_offset + 30 + sum(struct.unpack("<HH", lengths))
                stored = info.compress_type == zipfile.ZIP_STORED
                inside[start + (128 if stored else 0) : start + info.compress_size] = True
    elif line := FIRST_LINE.match(data):
        inside[line.end() + int(line[3]) :] = True
    else:
        inside[100:-200] = True
    return np.flatnonzero(~inside)


def digest(*values):
    """One text for arrays and values of JSON."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str} {value.shape}".encode() + value.tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


def a_corpus():
    """Six short pieces by two composers, of random notes."""
    rng, pieces = np.random.default_rng(1), []
    for n in range(6):
        times = np.sort(rng.integers(0, 24 * 12, 60))
        piece = Piece.from_notes(times, rng.integers(40, 90, 60), 24, 24 * 12)
        pieces.append((f"{n % 2}", f"{n % 2}/{n}.mid", piece))
    return Corpus.from_pieces(pieces)


def a_model():
    return Model("regularized", "damaged", ["0", "1"], np.random.default_rng(0))


def _weights(folder, name="weights.npz", **options):
    path = folder / name
    save_weights(path, a_model(), **options)

    def use():
        model, config = load_weights(path)
        return digest(*model.state().values(), config)

    return path, use


def _half_weights(folder):
    return _weights(folder, "half.npz", matrices=np.float16)


def _former_weights(folder):
    """Without a seal, as the versions before wrote them."""
    path, use = _weights(folder, "former.npz")
    np.savez(path, **load_arrays(path))
    return path, use


def _checkpoint(folder):
    config = {"model": "note_drop", "width": "damaged", "examples": 20, "batch_size": 5, "seed": 0}
    config |= {"learning_rate": 1e-3, "temperature": 1.0}
    trainer = Trainer(Run.create(folder / "run", config), config, a_corpus())
    save_checkpoint(trainer)

    def use():
        load_checkpoint(trainer)
        optimizer = trainer.optimizer
        state = trainer.model.state().values()
        return digest(*state, optimizer.m, optimizer.v, trainer.step, trainer.best_loss)

    return trainer.run.checkpoint_file, use


def _cache(folder):
    corpus, path = a_corpus(), folder / "cache.npz"
    cache.save(path, "key", corpus._to_arrays())

    def use():
        found = Corpus._from_arrays(cache.load(path, "key"))
        if found is None:
            raise InputError("made again")
        return digest(*vars(found).values())

    return path, use


def _answers(folder):
    path = folder / "answers.npz"
    rng = np.random.default_rng(0)
    save_arrays(path, {"rank": rng.random(50), "truth": rng.integers(9, size=70)}, "answers")
    return path, lambda: digest(*load_arrays(path, "answers").values())


def _index(folder, lazy=mapped.LAZY, name="music.index"):
    path, model = folder / name, a_model()
    collection = Collection.of(a_corpus(), model, progress=False)
    collection.save(path)
    queries = np.random.default_rng(0).standard_normal((5, 100)) + collection.index.embeddings[0]

    def use():
        before, mapped.LAZY = mapped.LAZY, lazy
        try:
            loaded = Collection.load(path, model)
            found = loaded.index.search(queries, k=20, not_piece=0)
            rows = [loaded.index.labels.row(row) for row in found.rows.ravel()]
            return digest(found.rows, found.cosines, loaded.rolls(found.rows.ravel()), repr(rows))
        finally:
            mapped.LAZY = before

    return path, use


def _lazy_index(folder):
    """As a large one: most of it is checked only as the search reads it."""
    return _index(folder, 0, "lazy.index")


def _compiled(folder):
    path = folder / "kernel.nbc"
    write_sealed(path, "compiled", np.random.default_rng(0).bytes(5000))

    def use():
        try:
            return digest(read_sealed(path, "compiled"))
        except ValueError:
            raise InputError("compiled again") from None

    return path, use


def _config(folder):
    path = folder / "config.json"
    write_record(path, {"model": "context", "seed": 0, "learning_rate": 1e-3, "data": None})
    return path, lambda: digest(read_record(path))


KINDS = {  # what writes a file into a folder: (its path, a function that reads it)
    "weights": _weights,
    "weights, float16": _half_weights,
    "weights, former": _former_weights,
    "checkpoint": _checkpoint,
    "corpus cache": _cache,
    "answers": _answers,
    "index": _index,
    "index, lazily": _lazy_index,
    "compiled kernel": _compiled,
    "config": _config,
}


if __name__ == "__main__":
    run(main)
