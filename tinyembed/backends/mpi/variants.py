"""The operations that need the whole batch, where each process has some rows of it.

Each does its own rows' work by the definition or by a faster variant, and exchanges what the others
need of it. Outside of a step (`joined`) nothing is exchanged: a validation batch is nobody's part.
"""

import sys
from contextlib import contextmanager

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.backends.dispatch import operations, variants_in

_company = None  # in a step


@contextmanager
def joined(company):
    """Within it, the arrays that operations are given are rows of a batch that `company` shares."""
    global _company
    before, _company = _company, company
    try:
        yield
    finally:
        _company = before


# Batch norm: the statistics of all rows, and the sums over all rows that its gradient needs.


def batch_statistics(plain, x):
    mean, var, n = plain(x)
    if _company is None:
        return mean, var, n
    own = to_host(array_module(x).stack([mean, var])).astype(float)  # (2, C)
    n, mean, squares = combine(_company.gather(np.concatenate([[n], own[0], n * own[1]])))
    mean, var = _like(x, np.stack([mean, squares / n]))
    return mean, var, n


def combine(parts):
    """Count, mean and squared deviations of all rows, from those of parts: Chan's formula.

    parts: (P, 1 + 2 C), of each part the count, C means, and C sums of squared deviations from
    them. A part's mean is some way from that of all, and each of its rows adds the square of that.
    (Chan, Golub and LeVeque 1979.)
    """
    counts, (means, squares) = parts[:, :1], np.split(parts[:, 1:], 2, axis=1)  # (P, C) each
    n = counts.sum()
    mean = (counts * means).sum(axis=0) / n
    away = means - mean
    return int(n), mean, squares.sum(axis=0) + (counts * away * away).sum(axis=0)


def training_statistics(plain, x, *running):
    if _company is None:
        return plain(x, *running)
    return operations()["training_statistics"](x, *running)  # which asks for `batch_statistics`


def norm_gradients(plain, dy, *others):
    return _totals(plain(dy, *others))  # this process adds its own sums to the gradients


def norm_gradients_elu(plain, dy, *others):
    return _totals(plain(dy, *others))


def _totals(sums):
    """The sums over all processes of a few (C,) arrays."""
    if _company is None:
        return sums
    own = to_host(array_module(sums[0]).stack(sums))
    total = _company.gather(own.ravel()).sum(axis=0)
    return tuple(_like(sums[0], total.reshape(own.shape)))


# Losses: means over all examples, and comparisons with any of them.


def mean(plain, x):
    if _company is None:
        return plain(x)
    n, total = _company.gather([len(x), len(x) * float(plain(x))]).sum(axis=0)
    return _like(x, np.asarray(total / n))[()]


def cross_entropy_gradient(plain, probabilities, target):
    dlogits = plain(probabilities, target)
    if _company is None:
        return dlogits
    return dlogits * (len(target) / sum(_company.counts(len(target))))


def candidate_cosines(plain, q, r, candidates):
    if _company is None:
        return plain(q, r, candidates)
    found, cache = plain(q, _company.gather_rows(r), candidates)
    return found, (cache, len(r))


def candidate_cosines_backward(plain, dcosines, cache):
    if _company is None:
        return plain(dcosines, cache)
    cache, n = cache
    return _company.sum_of_own_rows(plain(dcosines, cache), n)


def key_cosines(plain, queries, keys):
    if _company is None:
        return plain(queries, keys)
    found, cache = plain(queries, _company.gather_rows(keys))
    return found, (cache, len(keys))


def key_cosines_backward(plain, dcosines, scale, cache, of_keys):
    if _company is None:
        return plain(dcosines, scale, cache, of_keys)
    cache, n = cache
    dqueries, dkeys = plain(dcosines, scale, cache, True)
    return dqueries, _company.sum_of_own_rows(dkeys, n) if of_keys else None


def compared(plain, beat, candidates, length):
    if _company is None:
        return plain(beat, candidates, length)
    counts = _company.counts(len(beat))
    if candidates is not None:
        candidates = _company.gather_rows(candidates)
    right, hidden = plain(_company.gather_rows(beat), candidates, length)
    before = sum(counts[: _company.rank])
    queries = len(right) * before // sum(counts), len(right) * (before + len(beat)) // sum(counts)
    return right[slice(*queries)], hidden[slice(*queries)]


def _like(x, values):
    """Numbers of the host as an array of x's library and dtype."""
    return array_module(x).asarray(values.astype(x.dtype))


VARIANTS = variants_in(sys.modules[__name__])
