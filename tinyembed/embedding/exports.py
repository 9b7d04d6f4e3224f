"""Write a table of embeddings to .npz, .csv, or the two .tsv of the TensorBoard projector.

The suffix of the file's name chooses the format:

    out.npz           arrays: embeddings (R, 100) float32, one row per unit; file_index (R,), an
                      index into files (F,); beat (R,); time (R,) in seconds; sounds (R,) bool,
                      whether the unit has an onset; about, in JSON, names the model and its weights
    out.csv           the same columns as text, with a header
    out.tsv           the embeddings alone, which the projector loads as vectors, and beside it
    out-metadata.tsv  the other columns, which it loads as their labels

A table with one row per file has embeddings (R, 200) and the column file alone.

Each file is written atomically, the two .tsv together: after an error neither is there, or both are
as they were.
"""

import csv
import io
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np

from tinyembed import __version__
from tinyembed.errors import InputError
from tinyembed.storage.arrays import open_arrays, save_arrays
from tinyembed.storage.files import check_replaceable, write_atomically, write_together
from tinyembed.storage.progress import progress_bar

KIND = "table"
HEADERS = {  # how the first line of a table of text begins: of units, or of files
    ".csv": (["file", "beat"], ["file", "embedding_0"]),
    ".tsv": (["file", "beat"], ["file"]),
}


def check_out(out):
    """Raise InputError unless a table can be written to `out` without the loss of another file.

    An existing table is replaced; any other file is not.
    """
    path = Path(out)
    if path.suffix not in _WRITERS:
        raise InputError(f"--out {out}: its name must end in {', '.join(_WRITERS)}")
    for file in _files(path):
        check_replaceable(f"--out {file}", file, lambda _: _is_table(path))


def write_table(out, table, progress=None):
    """Write a `Table` or a `PieceTable` to `out`, in the format of its suffix.

    Returns the paths of the files.
    """
    path = Path(out)
    _WRITERS[path.suffix](path, table, progress)
    return [str(file) for file in _files(path)]


def _write_npz(path, table, progress):
    values = dict(vars(table))
    about = {"model": values.pop("model"), "weights": values.pop("weights"), "version": __version__}
    arrays = {name: np.asarray(value) for name, value in values.items()}
    save_arrays(path, arrays, KIND, about=about)


def _write_csv(path, table, progress):
    features = [f"embedding_{i}" for i in range(table.embeddings.shape[1])]
    rows = (table.labels(i) + _numbers(table, i) for i in _counted(table, progress))
    write_atomically(path, _text(chain([[*table.columns, *features]], rows), ","))


def _write_tsv(path, table, progress):
    labels = (table.labels(i) for i in range(len(table)))
    numbers = (_numbers(table, i) for i in _counted(table, progress))
    texts = {_metadata(path): chain([table.columns], labels), path: numbers}
    write_together({file: _text(rows, "\t") for file, rows in texts.items()})


_WRITERS = {".npz": _write_npz, ".csv": _write_csv, ".tsv": _write_tsv}


def _files(path):
    return [path, _metadata(path)] if path.suffix == ".tsv" else [path]


def _metadata(path):
    return path.with_name(f"{path.stem}-metadata.tsv")


def _text(rows, delimiter):
    """What writes rows to an open binary file, as text."""

    def write(file):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
        text.detach()  # flushes, and leaves the file open for the caller

    return write


def _numbers(table, row):
    return [f"{x:.9g}" for x in table.embeddings[row].tolist()]  # nine digits restore a float32


def _counted(table, progress):
    return progress_bar(progress, range(len(table)), desc="writing", unit=" rows", delay=1)


def _is_table(path):
    """Whether the file at a path is a table from an earlier call."""
    with suppress(InputError, OSError, ValueError):
        if path.suffix == ".npz":
            with open_arrays(path, KIND, "table") as archive:
                return {"embeddings", "files", "about"} <= set(archive.names)
        header, delimiter = (_metadata(path), "\t") if path.suffix == ".tsv" else (path, ",")
        with open(header, encoding="utf-8") as file:
            return file.readline().rstrip("\n").split(delimiter)[:2] in HEADERS[path.suffix]
    return False
