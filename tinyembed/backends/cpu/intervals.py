"""Counts of intervals from a list of all pairs of onsets, of which a unit has few."""

import functools

import numpy as np

MANY = 2000  # pairs per unit, above which products of matrices are faster


def interval_counts(plain, images, widest, edges):
    if images.dtype.kind != "f":
        return plain(images, widest, edges)
    n, h, w = images.shape
    values = images.reshape(-1)
    index = np.flatnonzero(values != 0)  # (P,), by image, then by pitch
    image, cell = np.divmod(index, h * w)
    end = np.cumsum(np.bincount(image, minlength=n))[image]  # (P,), where the next image begins
    partners = end - np.arange(len(index))  # the onset itself and all after it in its image
    n_pairs = int(partners.sum())
    if n_pairs > MANY * n:
        return plain(images, widest, edges)
    before = np.cumsum(partners) - partners
    one = np.repeat(np.arange(len(index)), partners)  # (pairs,)
    other = np.arange(n_pairs) + np.repeat(np.arange(len(index)) - before, partners)
    spread = cell + cell // w * w  # in rows of twice the width: a difference gives both distances
    columns, n_columns = _columns(h, w, widest, edges)
    column = columns[spread[other] - spread[one] + w]
    column = column + np.repeat(image * (n_columns + 1), partners)
    values = values[index]  # (P,)
    counts = np.bincount(column, values[one] * values[other], minlength=n * (n_columns + 1))
    return counts.reshape(n, n_columns + 1)[:, :n_columns].astype(images.dtype)


@functools.cache
def _columns(h, w, widest, edges):
    """Where pairs are counted, the second at the same pitch or a higher one: (H * 2 W,), and C.

    For an interval and a lag, at index interval * 2 W + W + lag. What is too wide is counted in
    column C, after the others.
    """
    intervals, classes = 2 * widest + 1, len(edges)
    n_columns = widest + 1 + (classes - 1) * intervals
    interval, lag = np.divmod(np.arange(2 * h * w), 2 * w)
    lag -= w
    longer = sum(abs(lag) >= edge for edge in edges) - 1  # the class of the lag
    signed = np.where(lag < 0, -interval, interval)
    later = widest + 1 + (longer - 1) * intervals + widest + signed
    column = np.where(longer > 0, later, interval)
    return np.where(interval > widest, n_columns, column), n_columns
