"""A table of embeddings becomes a file: .npz, .csv, or the two .tsv of the TensorBoard projector.

What the end of the file's name asks for:

    out.npz           arrays: embeddings (R, 100) float32, a row a unit, its file_index (R,) into
                      files (F,), its beat (R,), its time (R,) in seconds, and sounds (R,) bool,
                      whether it has an onset; about, in JSON, names the model and its weights
    out.csv           the same columns as text, with a header
    out.tsv           the embeddings alone, which the projector loads as vectors, and beside it
    out-metadata.tsv  the other columns, which it loads as their labels

All are written in one step each, and whole.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinyembed import __version__
from tinyembed.errors import InputError
from tinyembed.models.table import EMBEDDING
from tinyembed.storage.files import check_replaceable, load_arrays, save_arrays, write_atomically

FEATURES = [f"embedding_{i}" for i in range(EMBEDDING)]
LABELS = ["file", "beat", "time", "sounds"]


@dataclass(frozen=True)
class Table:
    """Units of several files, one a row.

    embeddings: (R, 100) float32; files: F names; file_index: (R,), into them; beat: (R,) where
    the unit begins; time: (R,) when that is, in seconds; sounds: (R,) whether it has an onset;
    model: the name or path of what made the embeddings; weights: its file's SHA-256.
    """

    embeddings: np.ndarray
    files: list
    file_index: np.ndarray
    beat: np.ndarray
    time: np.ndarray
    sounds: np.ndarray
    model: str
    weights: str

    def __len__(self):
        return len(self.beat)

    def labels(self, row):
        """What is said of a row in text: its file, beat, time and whether it sounds."""
        name, time = self.files[self.file_index[row]], f"{self.time[row]:.3f}"
        return [name, str(self.beat[row]), time, str(int(self.sounds[row]))]


def check_out(out):
    """Raise InputError unless a table can be written to `out`, without the loss of another file.

    A table that is there already is replaced; any other file is left alone.
    """
    path = Path(out)
    if path.suffix not in _WRITERS:
        raise InputError(f"--out {out}: its name must end in {', '.join(_WRITERS)}")
    for file in _files(path):
        check_replaceable(f"--out {file}", file, lambda _: _is_table(path))


def write_table(out, table, progress=None):
    """Write a `Table` to `out`, in the format that its name ends in. Returns the files' paths."""
    path = Path(out)
    _WRITERS[path.suffix](path, table, progress)
    return [str(file) for file in _files(path)]


def _write_npz(path, table, progress):
    save_arrays(
        path,
        {
            "embeddings": table.embeddings,
            "files": np.array(table.files),
            "file_index": table.file_index,
            "beat": table.beat,
            "time": table.time,
            "sounds": table.sounds,
        },
        about={"model": table.model, "weights": table.weights, "version": __version__},
    )


def _write_csv(path, table, progress):
    def rows():
        yield LABELS + FEATURES
        for row in _counted(table, progress):
            yield table.labels(row) + _numbers(table.embeddings[row])

    _write_text(path, rows(), ",")


def _write_tsv(path, table, progress):
    def labels():
        yield LABELS
        yield from (table.labels(row) for row in range(len(table)))

    def vectors():
        yield from (_numbers(table.embeddings[row]) for row in _counted(table, progress))

    _write_text(_metadata(path), labels(), "\t")
    _write_text(path, vectors(), "\t")


_WRITERS = {".npz": _write_npz, ".csv": _write_csv, ".tsv": _write_tsv}


def _files(path):
    return [path, _metadata(path)] if path.suffix == ".tsv" else [path]


def _metadata(path):
    return path.with_name(f"{path.stem}-metadata.tsv")


def _write_text(path, rows, delimiter):
    def write(file):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
        text.detach()  # which flushes, and leaves the file open to who opened it

    write_atomically(path, write)


def _numbers(row):
    return [f"{x:.9g}" for x in row.tolist()]  # nine digits give the same float32 again


def _counted(table, progress):
    hidden = None if progress is None else not progress
    return tqdm(range(len(table)), desc="writing", unit=" rows", delay=1, disable=hidden)


def _is_table(path):
    """Whether a table was written here before."""
    try:
        if path.suffix == ".npz":
            return {"embeddings", "beat", "about"} <= load_arrays(path).keys()
        header, delimiter = (_metadata(path), "\t") if path.suffix == ".tsv" else (path, ",")
        with open(header, encoding="utf-8") as file:
            return file.readline().split(delimiter)[:2] == LABELS[:2]
    except (InputError, OSError, ValueError):
        return False
