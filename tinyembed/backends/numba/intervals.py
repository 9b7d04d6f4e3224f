"""Counts of intervals as two loops over the onsets of each image."""

import numpy as np

from tinyembed.backends.numba.compiling import kernel, takes
from tinyembed.backends.numba.onsets import find_onsets


def interval_counts(plain, images, widest, edges):
    if not takes(images):
        return plain(images, widest, edges)
    found = find_onsets(images)
    n, (_, _, width) = len(images), images.shape
    lag_class = np.searchsorted(edges, np.arange(width), side="right") - 1  # (W,)
    columns = widest + 1 + (len(edges) - 1) * (2 * widest + 1)
    counts = np.zeros((n, columns), np.float64)
    many = found.many()
    _count_pairs(found.start, found.row, found.column, found.value, many, lag_class, widest, counts)
    counts = counts.astype(np.float32)
    if many.any():
        counts[many] = plain(images[many], widest, edges)
    return counts


@kernel
def _count_pairs(start, row, column, value, many, lag_class, widest, counts):
    for n in range(counts.shape[0]):
        if many[n]:
            continue
        for p in range(start[n], start[n + 1]):
            for q in range(p, start[n + 1]):  # at the same pitch or a higher one
                interval, lag = row[q] - row[p], column[q] - column[p]
                if interval > widest:
                    break  # and so are all after it
                longer = lag_class[abs(lag)]
                if longer > 0:
                    signed = interval if lag > 0 else -interval  # from the earlier to the later
                    k = widest + 1 + (longer - 1) * (2 * widest + 1) + widest + signed
                else:
                    k = interval
                counts[n, k] += value[p] * value[q]
