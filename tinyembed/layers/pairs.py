"""The cosines of targets with their candidates, and the way back to the candidates.

With cos = q.r / (|q| |r|), the derivative by r is (q/|q| - cos r/|r|) / |r|: the part of the
target's direction that the candidate does not have yet.

Two ways to the same numbers: all pairs of a batch in one product of matrices, and only the pairs
that are asked for, by the few onsets of the targets.
"""

from tinyembed.backends.arrays import array_module, matmul, on_gpu
from tinyembed.backends.formulas import fuse, in_place, one_kernel

TINY = 1e-12  # keeps the length of an all-zero roll from dividing by zero
# The share of places with an onset, in all targets, up to which few pairs are the faster way.
SPARSE = 0.02


def compare(q, r, candidates):
    """The pairs of a batch: `FewPairs` of sparse targets on a CPU, else `AllPairs`.

    q: (N, D) targets; r: (N, D); candidates: (N, K), for each target the rows of r to compare with.
    """
    if not on_gpu(q):  # which would have to wait for the count
        places = array_module(q).flatnonzero(q != 0)
        if len(places) <= SPARSE * q.size:
            return FewPairs(q, r, candidates, places)
    return AllPairs(q, r, candidates)


class AllPairs:
    """By all N x N cosines: one product costs less than picking out K dense rows a target."""

    def __init__(self, q, r, candidates):
        self.q, self.r, self.candidates = q, r, candidates
        self.rows = array_module(r).arange(len(r))[:, None]
        self.q_inverse, self.r_inverse = _inverse_length(q), _inverse_length(r)  # (N,)
        products = matmul(q, r.T)
        self.similarity = _scale(products, self.q_inverse[:, None], self.r_inverse)  # (N, N)

    def cosines(self):
        """(N, K): of each target with its candidates."""
        return self.similarity[self.rows, self.candidates]

    def backward(self, dcosines):
        """(N, K) -> dr: (N, D)."""
        dsimilarity = self.similarity * 0  # (N, N), zero but for the candidates
        dsimilarity[self.rows, self.candidates] = dcosines
        along_r = _sum_of_products(dsimilarity, self.similarity)  # (N,)
        weights = _multiply(dsimilarity, self.q_inverse[:, None], self.r_inverse)  # (N, N)
        dr = matmul(weights.T, self.q)  # (N, D)
        _take_away(dr, along_r[:, None], self.r_inverse[:, None], self.r)
        return dr


class FewPairs:
    """By the onsets of the targets, some 2,000 of 576,000 places in a batch of 100, on a CPU.

    places: of the onsets, in q.reshape(-1). The loss takes half the time, a step at `small` width
    4% less.
    """

    def __init__(self, q, r, candidates, places):
        xp = array_module(r)
        self.r, self.candidates = xp.ascontiguousarray(r), candidates
        self.target, column = xp.divmod(places, q.shape[1])  # (P,), of each onset
        self.onset = q.reshape(-1)[places][:, None]  # (P, 1)
        # Where in r.reshape(-1) the candidates of its target have the same place.
        self.same = candidates[self.target] * r.shape[1] + column[:, None]  # (P, K)
        q_squared = self._sum_by_target(self.onset * self.onset)  # (N, 1)
        r_squared = matmul(r[:, None], r[:, :, None])[:, 0, 0]  # (N,)
        self.r_inverse = (r_squared + TINY) ** -0.5
        self.scale = (q_squared + TINY) ** -0.5 * self.r_inverse[candidates]  # (N, K)
        products = self._sum_by_target(self.onset * r.reshape(-1)[self.same])  # (N, K)
        self.similarity = products * self.scale

    def _sum_by_target(self, x):
        """(P, K) -> (N, K)."""
        xp = array_module(x)
        total = xp.zeros((len(self.candidates), x.shape[1]), x.dtype)
        xp.add.at(total, self.target, x)
        return total

    def cosines(self):
        """(N, K): of each target with its candidates."""
        return self.similarity

    def backward(self, dcosines):
        """(N, K) -> dr: (N, D)."""
        xp = array_module(dcosines)
        along_r = xp.zeros(len(self.r), dcosines.dtype)
        xp.add.at(along_r, self.candidates, dcosines * self.similarity)
        dr = _multiple(self.r, (-along_r * self.r_inverse**2)[:, None])  # (N, D)
        weights = (dcosines * self.scale)[self.target] * self.onset  # (P, K)
        xp.add.at(dr.reshape(-1), self.same.reshape(-1), weights.reshape(-1))
        return dr


@one_kernel
def _inverse_length(x):
    """1 / length of every row: (N, D) -> (N,)."""
    return (array_module(x).sum(x * x, axis=1) + TINY) ** -0.5


@one_kernel
def _scale(products, a_inverse, b_inverse):
    return products * (a_inverse * b_inverse)


@one_kernel
def _multiply(x, a, b):
    return x * a * b


@one_kernel
def _sum_of_products(x, y):
    return array_module(x).sum(x * y, axis=0)


@in_place
def _take_away(dr, along_r, r_inverse, r):
    dr -= along_r * r_inverse * r_inverse * r


@fuse
def _multiple(x, factor):
    return x * factor
