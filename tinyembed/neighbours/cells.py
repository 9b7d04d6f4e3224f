"""faiss's inverted file as plain arrays, and back.

faiss can write itself to bytes, but it believes whatever such bytes claim. These arrays can be
checked before faiss sees them.

    centres       (cells, size) float32, the centre of each cell
    cell_sizes    (cells,) int64, the number of rows in each
    cell_rows     (M,) int64, the rows of the index, one cell after the other
    cell_numbers  (M, size) float32, what faiss stores of each of them
"""

import warnings

import numpy as np

from tinyembed.errors import InputError
from tinyembed.neighbours.files import expect, inside

LARGEST = 2  # of a coordinate; all are those of vectors of length 1


def new_cells(size, n_cells):
    """An empty inverted file of rows with `size` numbers."""
    faiss = import_faiss()
    flat = faiss.IndexFlatIP(size)
    return faiss.IndexIVFFlat(flat, size, n_cells, faiss.METRIC_INNER_PRODUCT)


def cells_to_arrays(cells):
    """{name: array} of an inverted file."""
    faiss, lists = import_faiss(), cells.invlists
    sizes = [lists.list_size(n) for n in range(cells.nlist)]
    rows = [np.zeros(0, np.int64)]
    numbers = [np.zeros(0, np.uint8)]
    for n, size in enumerate(sizes):
        if size:
            rows.append(faiss.rev_swig_ptr(lists.get_ids(n), size).copy())
            numbers.append(faiss.rev_swig_ptr(lists.get_codes(n), size * 4 * cells.d).copy())
    return {
        "centres": cells.quantizer.reconstruct_n(0, cells.nlist),
        "cell_sizes": np.array(sizes, np.int64),
        "cell_rows": np.concatenate(rows),
        "cell_numbers": np.concatenate(numbers).view(np.float32).reshape(-1, cells.d),
    }


def arrays_to_cells(arrays, n, most):
    """The inverted file in such arrays, of an index of n rows with at most `most` numbers.

    Raises InputError where they are not those of such an index.
    """
    centres = expect(arrays, "centres", "<f4", None, None)
    n_cells, size = centres.shape
    sizes = expect(arrays, "cell_sizes", "<i8", n_cells)
    rows = expect(arrays, "cell_rows", "<i8", None)
    numbers = expect(arrays, "cell_numbers", "<f4", len(rows), size)
    inside("cell_sizes", sizes, 0, len(rows))
    inside("cell_rows", rows, 0, n - 1)
    for name, array in (("centres", centres), ("cell_numbers", numbers)):
        inside(name, array, -LARGEST, LARGEST)
    if not (0 < size <= most and n_cells) or sizes.sum() != len(rows):
        raise InputError("its parts do not fit: the cells are not those of its rows")
    if np.bincount(rows, minlength=1).max() > 1:
        raise InputError("its parts do not fit: a row lies in two cells")
    faiss, cells = import_faiss(), new_cells(size, n_cells)
    cells.quantizer.add(np.array(centres))
    cells.is_trained = True
    ends = np.cumsum(sizes).tolist()
    for cell, (end, length) in enumerate(zip(ends, sizes.tolist(), strict=True)):
        if length:
            ids = np.array(rows[end - length : end])
            codes = np.array(numbers[end - length : end]).view(np.uint8)
            pointers = faiss.swig_ptr(ids), faiss.swig_ptr(codes)
            cells.invlists.add_entries(cell, length, *pointers)
    cells.ntotal = len(rows)
    return cells


def import_faiss():
    """The module faiss. Raises InputError with the command that installs it if it is missing."""
    try:
        with warnings.catch_warnings():  # SWIG's own, on some versions of Python
            warnings.simplefilter("ignore", DeprecationWarning)
            import faiss
    except ImportError:
        raise InputError(
            'an approximate index needs faiss: pip install "tinyembed[index]"; Index is exact and '
            "needs nothing"
        ) from None
    return faiss
