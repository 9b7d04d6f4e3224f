"""Save and load an index (storage/mapped.py). Its parts are checked before they are used."""

import numpy as np

from tinyembed.errors import InputError
from tinyembed.neighbours.shortlist import COLUMNS, SHORTEST
from tinyembed.storage.files import reading
from tinyembed.storage.mapped import load_mapped, save_mapped
from tinyembed.storage.text import escaped
from tinyembed.storage.values import boolean, check, optional, text, texts

KIND, WORDS = "index", "index of tinyembed"
LARGE = ("embeddings", "table")  # checked as a search reads them, if they are large
MOST_PIECES = 10_000_000
RULES = {
    "model": optional(text()),
    "labelled": boolean(),
    "pieces": texts(MOST_PIECES),
    "composers": texts(MOST_PIECES),
}
AGAIN = "make it again with python -m tinyembed.search ... --save"
ORTHONORMAL = 1e-6  # the largest error of a dot product of two directions


def save_index(path, arrays, about):
    """Write the arrays and values of an index, atomically."""
    save_mapped(path, KIND, arrays, about)


def load_index(path, verify=False):
    """The arrays and values of an index, mapped into memory. verify: check all of it at once.

    Raises InputError if the file is missing, damaged, not an index, or if its parts do not fit.
    """
    arrays, about = load_mapped(path, KIND, WORDS, LARGE, verify, AGAIN)
    with reading(path, WORDS):
        _check_rows(arrays)
        check(about, RULES, ("model", "labelled"))
        if about["labelled"]:
            check(about, {}, ("pieces", "composers"))
            _check_labels(arrays, len(arrays["embeddings"]), len(about["pieces"]))
            for name in ("pieces", "composers"):
                about[name] = [_on_one_line(text) for text in about[name]]
    return arrays, about


def expect(arrays, name, kind, *shape):
    """The array of a name, which must be of a type such as "<f4" and of a shape.

    A None in the shape stands for any number. Raises InputError where it is not so.
    """
    if name not in arrays:
        raise InputError(f"not a whole index of this kind: there is no {name} in it")
    array = arrays[name]
    fits = len(shape) == array.ndim and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype.str != kind or not fits:
        want = f"{np.dtype(kind).name} {shape}".replace("None", "any")
        found = f"{array.dtype.name} {array.shape}"
        raise InputError(f"its parts do not fit: {name} is {found}, not {want}")
    if kind == "|b1" and array.size and array.view(np.uint8).max() > 1:
        raise InputError(f"{name} holds what is neither true nor false")
    return array


def inside(name, array, least, most):
    """Raise InputError unless all numbers of an array are from `least` to `most`."""
    if array.size and not (array.min() >= least and array.max() <= most):  # false for nan, too
        raise InputError(f"its parts do not fit: {name} is out of range")


def _check_rows(arrays):
    """The embeddings and their shortlist, of which only the small parts are read."""
    n, d = expect(arrays, "embeddings", "<f4", None, None).shape
    if n == 0 or d == 0:
        raise InputError("there are no embeddings in it")
    expect(arrays, "table", "<f4", n, min(COLUMNS, d + 1))
    inside("scale", expect(arrays, "scale", "<f4", n), 0, 1.001 / SHORTEST)  # 1 / length, rounded
    basis = expect(arrays, "basis", "<f8", d, d)
    inside("basis", basis, -2, 2)
    if np.abs(basis.T @ basis - np.eye(d)).max() > ORTHONORMAL:
        raise InputError(
            "its parts do not fit: the directions of its shortlist are not orthonormal"
        )


def _check_labels(arrays, n, n_pieces):
    for name, kind in (("piece", "<i4"), ("beat", "<i4"), ("sounds", "|b1"), ("seconds", "<f4")):
        expect(arrays, name, kind, n)
    inside("beat", arrays["beat"], 0, np.iinfo(np.int32).max)
    expect(arrays, "piece_composer", "<i4", n_pieces)


def _on_one_line(name):
    return name if name.isprintable() else escaped(name)
