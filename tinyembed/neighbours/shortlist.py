"""A `Shortlist`: 32 numbers per row that bound every cosine, so a search reads a third of the data.

Rotate all rows into their principal directions. Of a row x of length 1, keep the first 31
coordinates, a, and the length r of the remaining ones. If b and s are the same for a query, the
cosine is a.b plus the product of the remaining coordinates, which is at most r s by the
Cauchy-Schwarz inequality:

    cosine <= (a, r) . (b, s)

A row whose bound is below the k-th best cosine so far cannot be a neighbour. Skipping it loses
nothing, so the search stays exact.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import array_module, matmul, to_host
from tinyembed.errors import InputError

COLUMNS = 32  # a row fills two cache lines
SAMPLE = 65_536  # rows that determine the directions; any directions are valid, these are tight
BLOCK = 65_536  # rows at a time
# A shorter row counts as zero and has no direction; a longer row cannot be an embedding. Between
# the two, float32 neither overflows nor loses digits.
SHORTEST, LONGEST = 1e-15, 1e15


@dataclass(frozen=True)
class Shortlist:
    """table: (N, 32 or fewer) float32, the numbers above; scale: (N,) float32, 1 / length of each
    row, 0 for a row without a direction; basis: (D, D) float64, the orthonormal directions."""

    table: object
    scale: object
    basis: object

    @classmethod
    def of(cls, embeddings):
        """The shortlist of embeddings (N, D), on their device.

        Raises InputError that names a row if it is not finite.
        """
        xp = array_module(embeddings)
        n, d = embeddings.shape
        basis = xp.asarray(_directions(embeddings[:: -(-n // SAMPLE)]))
        table = xp.empty((n, min(COLUMNS, d + 1)), np.float32)
        scale = xp.empty(n, np.float32)
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            x = embeddings[rows].astype(np.float64)
            length = xp.sqrt((x * x).sum(axis=1))
            if not bool((length <= LONGEST).all()):  # false for nan, too
                bad = start + int(xp.argmax(~(length <= LONGEST)))
                raise InputError(f"row {bad} of the embeddings is not finite, or absurdly long")
            scale[rows] = xp.where(length > SHORTEST, 1 / xp.maximum(length, SHORTEST), 0)
            table[rows] = project(x / xp.maximum(length, SHORTEST)[:, None], basis, table.shape[1])
        return cls(table, scale, basis)

    def project(self, vectors):
        """The numbers of queries (Q, D) of length 1, float64: (Q, 32 or fewer) float32."""
        return project(vectors, self.basis, self.table.shape[1]).astype(np.float32)

    def bounds(self, projected, rows):
        """Upper bounds on the cosines of `project`ed queries with a slice of the rows: (Q, n).

        They hold up to the rounding of float32: see `rounding`.
        """
        return matmul(projected, self.table[rows].T)

    @property
    def rounding(self):
        """The largest error of a dot product of two rows of length 1 in float32.

        In any order of summation it is at most D 2^-24 to first order. This is twice that, with
        32 more terms for the rounding of the factors.
        """
        return (len(self.basis) + 32) * 2.0**-23


def _directions(sample):
    """The eigenvectors of a sample's second moments, (n, D) -> (D, D), strongest first."""
    x = to_host(sample).astype(np.float64)
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    x = x[(length[:, 0] > SHORTEST) & (length[:, 0] <= LONGEST)]
    x /= np.sqrt((x * x).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(np.linalg.eigh(x.T @ x)[1][:, ::-1])


def project(x, basis, columns):
    """The first coordinates of rows in a basis, then the length of the rest: (n, columns)."""
    xp = array_module(x)
    y = matmul(x, basis)
    rest = xp.sqrt((y[:, columns - 1 :] ** 2).sum(axis=1))
    return xp.concatenate([y[:, : columns - 1], rest[:, None]], axis=1)
