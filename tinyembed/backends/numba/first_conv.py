"""The first convolution of rolls, forward and backward: a sum of weight rows, one per onset.

Where patches tile the image, each onset lies in one patch and meets one row of the weight there.
What an image gives depends on no other image, to the last bit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyembed.backends.cpu.im2col import tiles
from tinyembed.backends.numba.compiling import kernel, takes
from tinyembed.backends.numba.onsets import find_onsets


@dataclass
class OnsetsInPatches:
    """What the way back needs.

    patch, weight_row, value: (P,), of each onset which patch of all N * Ho * Wo it is in, which row
    of the weight it meets, and its value; dense: (D,), the images that are left to the definition,
    and patches, the definition's cache of them, or None.
    """

    patch: np.ndarray
    weight_row: np.ndarray
    value: np.ndarray
    dense: np.ndarray
    patches: Any = None


def convolve_rolls(plain, x, weight, kernel_size, stride, padding):
    (n, h, w, c), (kh, kw) = x.shape, kernel_size
    if not (takes(x, weight) and tiles(kernel_size, stride, padding, (h, w))):
        return plain(x, weight, kernel_size, stride, padding)
    found = find_onsets(x.reshape(n, h, w * c))
    image = np.repeat(np.arange(n), np.diff(found.start))
    few = ~found.many()[image]  # onsets of images that have few
    top, i = np.divmod(found.row[few], kh)
    left, k = np.divmod(found.column[few], kw * c)
    patch = (image[few] * (h // kh) + top) * (w // kw) + left
    dense = np.flatnonzero(found.many())
    cache = OnsetsInPatches(patch, i * (kw * c) + k, found.value[few], dense)
    y = np.zeros((n, h // kh, w // kw, weight.shape[1]), np.float32)
    _add_rows(cache.patch, cache.weight_row, cache.value, weight, y.reshape(-1, y.shape[3]))
    if len(dense):
        y[dense], cache.patches = plain(x[dense], weight, kernel_size, stride, padding)
    return y, cache


def add_weight_gradient(plain, grad, dy, cache):
    if not isinstance(cache, OnsetsInPatches):
        return plain(grad, dy, cache)
    if len(cache.dense):
        plain(grad, dy[cache.dense], cache.patches)
    rows = np.ascontiguousarray(dy).reshape(-1, dy.shape[-1])
    _add_rows(cache.weight_row, cache.patch, cache.value, rows, grad)
    return None


@kernel
def _add_rows(to, which, value, rows, total):
    """total[to[p]] += value[p] * rows[which[p]], for each p."""
    for p in range(to.size):
        out, row, v = total[to[p]], rows[which[p]], value[p]
        for k in range(row.size):
            out[k] += v * row[k]
