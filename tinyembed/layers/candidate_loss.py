"""The loss by candidates: which of five reconstructions is the target's? (equations 1 to 3)

    P(R|Q) = exp(sim(Q, R) / temperature) / sum over d in D of exp(sim(Q, d) / temperature)

sim is the cosine (equation 1), Q a target, R its reconstruction, and D holds R and the
reconstructions of four other members of the batch (equation 2). The loss is the mean of -log P(R|Q)
(equation 3), and its gradient reaches all five. The paper has no temperature, which is a
temperature of 1.
"""

from tinyembed.backends.arrays import array_module, column_sums, matmul
from tinyembed.backends.dispatch import operation
from tinyembed.layers.cosine import inverse_length
from tinyembed.layers.softmax import SoftmaxCrossEntropy


class CandidateCosineLoss:
    """Equation 3, the mean over the batch of -log P(R|Q)."""

    def __init__(self, temperature=1.0):
        self.temperature = temperature
        self.cross_entropy = SoftmaxCrossEntropy()

    def forward(self, reconstruction, target, candidates):
        """Compare each target with its five candidates.

        reconstruction, target: (N, ...), one row per example, flattened here; candidates: (N, 5)
        integers, members of the batch, all different in a row, the first one n itself.
        Returns the loss, a 0-d array, and a cache.
        """
        r = reconstruction.reshape(len(reconstruction), -1)  # (N, D)
        q = target.reshape(len(target), -1)  # (N, D)
        cosines, cosine_cache = candidate_cosines(q, r, candidates)  # (N, 5)
        right = array_module(r).zeros(len(r), candidates.dtype)  # the first of the five
        loss, softmax_cache = self.cross_entropy.forward(cosines / self.temperature, right)
        return loss, (cosine_cache, softmax_cache, reconstruction.shape)

    def backward(self, cache):
        """dreconstruction, in the reconstruction's shape."""
        cosine_cache, softmax_cache, shape = cache
        dcosines = self.cross_entropy.backward(softmax_cache) / self.temperature  # (N, 5)
        return candidate_cosines_backward(dcosines, cosine_cache).reshape(shape)


@operation
def candidate_cosines(q, r, candidates):
    """The cosine of each target with its K candidates, and a cache for the way back.

    q, r: (N, D), targets and reconstructions; candidates: (N, K), rows of r. Returns (N, K). There
    may be more rows of r than of q.
    """
    # All N x N cosines are one product. Picking K rows of r per target would take longer.
    scale = inverse_length(q)[:, None] * inverse_length(r)  # (N, N)
    similarity = matmul(q, r.T) * scale
    rows = array_module(r).arange(len(q))[:, None]
    return similarity[rows, candidates], (q, r, candidates, rows, scale, similarity)


@operation
def candidate_cosines_backward(dcosines, cache):
    """(N, K) -> dr (N, D).

    With cos = q.r / (|q| |r|), the derivative with respect to r is q / (|q| |r|) - cos r / |r|^2:
    the part of the target's direction that the candidate does not have yet.
    """
    q, r, candidates, rows, scale, similarity = cache
    dsimilarity = array_module(r).zeros_like(similarity)  # (N, N), zero except at candidates
    dsimilarity[rows, candidates] = dcosines
    along_r = column_sums(dsimilarity * similarity) * inverse_length(r) ** 2  # (N,)
    return matmul((dsimilarity * scale).T, q) - along_r[:, None] * r
