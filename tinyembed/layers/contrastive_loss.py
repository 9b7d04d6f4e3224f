"""The contrastive loss, InfoNCE: find each query's key among all of a batch.

    P(k|q) = exp(cos(q, k) / temperature) / sum over the keys that q may see

This is equation 2 over a whole batch and between embeddings, so it needs no decoder. At a low
temperature the keys that come close count more than those that are far away. (Van den Oord, Li and
Vinyals 2018; Chen et al. 2020.)
"""

from tinyembed.backends.arrays import array_module, column_sums, matmul
from tinyembed.backends.dispatch import operation
from tinyembed.layers.cosine import cosine_gradient, normalized, row_products
from tinyembed.layers.softmax import SoftmaxCrossEntropy

HIDDEN_LOGIT = -1e4  # far below any cosine over a temperature: its probability is 0


class ContrastiveLoss:
    """The mean over queries of -log P(right key|query). The gradient reaches queries and keys."""

    def __init__(self, temperature=0.1):
        self.temperature = temperature
        self.cross_entropy = SoftmaxCrossEntropy()

    def forward(self, queries, keys, right, hidden=None):
        """Find each query's right key.

        queries: (M, D); keys: (N, D); right: (M,) integers, the index of each right key; hidden:
        (M, N), 1 where a key is not to be compared with, else 0, or None.
        Returns the loss, a 0-d array, and a cache.
        """
        similarity, cosine_cache = key_cosines(queries, keys)  # (M, N)
        logits = similarity / self.temperature
        if hidden is not None:
            logits = logits + HIDDEN_LOGIT * hidden.astype(logits.dtype)
        loss, softmax_cache = self.cross_entropy.forward(logits, right)
        return loss, (cosine_cache, softmax_cache)

    def backward(self, cache, of_keys=True):
        """dqueries (M, D) and dkeys (N, D), or None instead of dkeys unless they are asked for."""
        cosine_cache, softmax_cache = cache
        dlogits = self.cross_entropy.backward(softmax_cache)  # (M, N)
        return key_cosines_backward(dlogits, 1 / self.temperature, cosine_cache, of_keys)


@operation
def key_cosines(queries, keys):
    """The cosine of each query with each key, and a cache: (M, D), (N, D) -> (M, N)."""
    q, q_inverse = normalized(queries)
    k, k_inverse = normalized(keys)
    similarity = matmul(q, k.T)
    return similarity, (q, k, q_inverse, k_inverse, similarity)


@operation
def key_cosines_backward(dcosines, scale, cache, of_keys):
    """dqueries (M, D) and dkeys (N, D) or None, for a gradient of scale dcosines: (M, N)."""
    q, k, q_inverse, k_inverse, similarity = cache
    along_q = row_products(dcosines, similarity)[:, None]  # (M, 1)
    dqueries = cosine_gradient(matmul(dcosines, k), along_q, q, q_inverse, scale)
    if not of_keys:
        return dqueries, None
    along_k = column_sums(dcosines * similarity)[:, None]  # (N, 1)
    return dqueries, cosine_gradient(matmul(dcosines.T, q), along_k, k, k_inverse, scale)


class BatchCosineLoss:
    """InfoNCE between predictions and fixed targets: each among all targets of the batch.

    What counts is not how close a prediction comes to its target, but that no other target is
    closer: its rank.
    """

    def __init__(self, temperature):
        self.contrast = ContrastiveLoss(temperature)

    def forward(self, prediction, target):
        """prediction, target: (N, D). Returns the loss, a 0-d array, and a cache."""
        own = array_module(prediction).arange(len(prediction))
        return self.contrast.forward(prediction, target, own)

    def backward(self, cache):
        """dprediction: (N, D)."""
        return self.contrast.backward(cache, of_keys=False)[0]
