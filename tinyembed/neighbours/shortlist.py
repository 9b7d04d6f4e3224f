"""32 numbers a row that bound a cosine from above, and the third of the memory to read.

Rotate all rows into their principal directions. Of a row x of length 1 keep the first 31
coordinates, a, and the length r of all the others together. For a query with b and s the cosine
is a.b plus the product of what was left out, which by Cauchy-Schwarz is at most r s:

    cosine <= (a, r) . (b, s)

A row whose bound is below the k-th best cosine found so far need not be looked at, and nothing is
guessed: what is left out is known to be worse.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import array_module, matmul, to_host
from tinyembed.errors import InputError

COLUMNS = 32  # a row is then two cache lines
SAMPLE = 65_536  # rows that choose the directions; any directions are right, these are tight
BLOCK = 65_536  # rows at a time
# A row shorter than the first is taken for zero, which has no direction; one longer than the
# second is no embedding. Between them float32 neither overflows nor loses digits.
SHORTEST, LONGEST = 1e-15, 1e15


@dataclass(frozen=True)
class Shortlist:
    """table: (N, 32 or fewer) float32, the numbers above; scale: (N,) float32, 1 / length of each
    row, 0 for one without a direction; basis: (D, D) float64, orthonormal, the directions."""

    table: object
    scale: object
    basis: object

    @classmethod
    def of(cls, embeddings):
        """From embeddings (N, D), on the device where they are.

        Raises InputError for a row that is not finite, naming it.
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
            if not bool((length <= LONGEST).all()):  # nor nan
                bad = start + int(xp.argmax(~(length <= LONGEST)))
                raise InputError(f"row {bad} of the embeddings is not finite, or absurdly long")
            scale[rows] = xp.where(length > SHORTEST, 1 / xp.maximum(length, SHORTEST), 0)
            table[rows] = fold(x / xp.maximum(length, SHORTEST)[:, None], basis, table.shape[1])
        return cls(table, scale, basis)

    def project(self, queries):
        """The numbers of queries (Q, D) of length 1, float64: (Q, 32 or fewer) float32."""
        return fold(queries, self.basis, self.table.shape[1]).astype(np.float32)

    def bounds(self, projected, rows):
        """Upper bounds on the cosines of `project`ed queries with some rows, a slice: (Q, n).

        True but for the rounding of float32: see `rounding`.
        """
        return matmul(projected, self.table[rows].T)

    @property
    def rounding(self):
        """How far a sum of D products of two rows of length 1, in float32, may be off.

        In whatever order, it is at most D 2^-24 to first order; twice that, and some more for the
        rounding of what is multiplied.
        """
        return (len(self.basis) + 32) * 2.0**-23


def _directions(sample):
    """The eigenvectors of the second moments of a sample, (n, D) -> (D, D), strongest first."""
    x = to_host(sample).astype(np.float64)
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    x = x[(length[:, 0] > SHORTEST) & (length[:, 0] <= LONGEST)]
    x /= np.sqrt((x * x).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(np.linalg.eigh(x.T @ x)[1][:, ::-1])


def fold(x, basis, columns):
    """The first coordinates of rows in a basis, and the length of the others: (n, columns)."""
    xp = array_module(x)
    y = matmul(x, basis)
    rest = xp.sqrt((y[:, columns - 1 :] ** 2).sum(axis=1))
    return xp.concatenate([y[:, : columns - 1], rest[:, None]], axis=1)
