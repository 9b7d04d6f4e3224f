"""Losses by comparison: which of these directions is the right one? (equations 1 to 3)"""

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.layers.pairs import TINY, compare
from tinyembed.layers.softmax import SoftmaxCrossEntropy

NEVER = -1e4  # a logit far below any cosine over a temperature: its probability is 0


class CandidateCosineLoss:
    """The mean over the batch of -log P(R|Q), with

        P(R|Q) = exp(sim(Q, R) / temperature) / sum over d in D of exp(sim(Q, d) / temperature)

    where sim is the cosine (equation 1), Q a target, R its reconstruction, and D holds R and the
    reconstructions of four other members of the batch (equation 2). The gradient reaches all
    five. The paper has no temperature, which is a temperature of 1.
    """

    def __init__(self, temperature=1.0):
        self.temperature = temperature
        self.cross_entropy = SoftmaxCrossEntropy()

    def forward(self, reconstruction, target, candidates):
        """Compare each target with its five candidates.

        reconstruction, target: (N, ...), one a row, flattened here; candidates: (N, 5) integers,
        members of the batch, all different in a row, the first one n itself.
        Returns the loss, a 0-d array, and a cache.
        """
        xp = array_module(reconstruction)
        r = reconstruction.reshape(len(reconstruction), -1)  # (N, D)
        q = target.reshape(len(target), -1)  # (N, D)
        pairs = compare(q, r, candidates)
        logits = pairs.cosines() / self.temperature  # (N, 5)
        right_answer = xp.zeros(len(r), candidates.dtype)
        loss, softmax_cache = self.cross_entropy.forward(logits, right_answer)
        return loss, (pairs, softmax_cache, reconstruction.shape)

    def backward(self, cache):
        """dreconstruction, in the reconstruction's shape."""
        pairs, softmax_cache, shape = cache
        dcosines = self.cross_entropy.backward(softmax_cache) / self.temperature  # (N, 5)
        return pairs.backward(dcosines).reshape(shape)


class CosineLoss:
    """The mean over the batch of 1 - cos(prediction, target) (section 5.0.1)."""

    def forward(self, prediction, target):
        """prediction, target: (N, D). Returns the loss, a 0-d array, and a cache."""
        p_inverse = ((prediction * prediction).sum(axis=1, keepdims=True) + TINY) ** -0.5  # (N, 1)
        q_inverse = ((target * target).sum(axis=1, keepdims=True) + TINY) ** -0.5
        p, q = prediction * p_inverse, target * q_inverse  # of length 1
        cosine = (p * q).sum(axis=1, keepdims=True)  # (N, 1)
        return 1 - cosine.mean(), (p, q, p_inverse, cosine)

    def backward(self, cache):
        """dprediction: (N, D)."""
        p, q, p_inverse, cosine = cache
        return (cosine * p - q) * p_inverse / len(p)


class ContrastiveLoss:
    """The mean over queries of -log P(right key | query), with

        P(k|q) = exp(cos(q, k) / temperature) / sum over the keys that q may see

    Equation 2 over a whole batch, and between embeddings, so that no decoder is needed; at a low
    temperature what comes close counts more than what is far away anyhow. The gradient reaches
    the queries and all keys. (Van den Oord, Li, Vinyals 2018; Chen et al. 2020.)
    """

    def __init__(self, temperature=0.1):
        self.temperature = temperature
        self.cross_entropy = SoftmaxCrossEntropy()

    def forward(self, queries, keys, right, hidden=None):
        """Find each query's right key.

        queries: (M, D); keys: (N, D); right: (M,) integers, the place of each right key; hidden:
        (M, N), 1 where a key is not to be compared with, else 0, or None.
        Returns the loss, a 0-d array, and a cache.
        """
        q_inverse = ((queries * queries).sum(axis=1, keepdims=True) + TINY) ** -0.5  # (M, 1)
        k_inverse = ((keys * keys).sum(axis=1, keepdims=True) + TINY) ** -0.5  # (N, 1)
        q, k = queries * q_inverse, keys * k_inverse  # of length 1
        similarity = matmul(q, k.T)  # (M, N)
        logits = similarity / self.temperature
        if hidden is not None:
            logits = logits + NEVER * hidden.astype(logits.dtype)
        loss, softmax_cache = self.cross_entropy.forward(logits, right)
        return loss, (q, k, q_inverse, k_inverse, similarity, softmax_cache)

    def backward(self, cache):
        """dqueries (M, D) and dkeys (N, D).

        A cosine's derivative by q is (k/|k| - cos q/|q|) / |q|, and the other way round.
        """
        q, k, q_inverse, k_inverse, similarity, softmax_cache = cache
        dsimilarity = self.cross_entropy.backward(softmax_cache) / self.temperature  # (M, N)
        weighted = dsimilarity * similarity
        along_q = weighted.sum(axis=1)[:, None]  # (M, 1)
        along_k = weighted.sum(axis=0)[:, None]  # (N, 1)
        dqueries = (matmul(dsimilarity, k) - along_q * q) * q_inverse
        dkeys = (matmul(dsimilarity.T, q) - along_k * k) * k_inverse
        return dqueries, dkeys


class BatchCosineLoss:
    """The same for predictions whose targets are given: among all targets of the batch.

    What counts is not how close a prediction comes to its target, but that no other target is
    closer: that is, its rank.
    """

    def __init__(self, temperature):
        self.contrast = ContrastiveLoss(temperature)

    def forward(self, prediction, target):
        """prediction, target: (N, D). Returns the loss, a 0-d array, and a cache."""
        own = array_module(prediction).arange(len(prediction))
        return self.contrast.forward(prediction, target, own)

    def backward(self, cache):
        """dprediction: (N, D)."""
        return self.contrast.backward(cache)[0]


def cosines(a, b):
    """The cosine of every row of a with every row of b: (N, D), (M, D) -> (N, M)."""
    a_inverse = ((a * a).sum(axis=1) + TINY) ** -0.5
    b_inverse = ((b * b).sum(axis=1) + TINY) ** -0.5
    return matmul(a, b.T) * (a_inverse[:, None] * b_inverse)
