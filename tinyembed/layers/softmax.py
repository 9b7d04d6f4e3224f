"""Softmax and cross-entropy: how surprised a distribution over classes is by the right answer."""

from tinyembed.backends.arrays import array_module, mean
from tinyembed.backends.dispatch import operation


def softmax(logits):
    """Probabilities: (N, classes) -> (N, classes), each row adding up to 1."""
    exponentials = array_module(logits).exp(shifted(logits))
    return exponentials / exponentials.sum(axis=1)[:, None]


def shifted(logits):
    """The logits less the largest of each row: the same softmax, and exp cannot overflow."""
    return logits - logits.real.max(axis=1)[:, None]  # a constant, also under a complex step


class SoftmaxCrossEntropy:
    """The mean over the batch of -log softmax(logits)[target]."""

    def forward(self, logits, target):
        """logits: (N, classes); target: (N,) integers. Returns the loss (0-d) and a cache."""
        losses, probabilities = cross_entropies(logits, target)  # (N,), (N, classes)
        return mean(losses), (probabilities, target)

    def backward(self, cache):
        """dlogits: (N, classes), (softmax(logits) - one_hot(target)) / N."""
        return cross_entropy_gradient(*cache)


@operation
def cross_entropies(logits, target):
    """-log softmax(logits)[target] of each row, and the softmax: (N,), (N, classes)."""
    xp, z = array_module(logits), shifted(logits)  # (N, classes)
    rows, exponentials = xp.arange(len(z)), xp.exp(z)
    total = exponentials.sum(axis=1)  # (N,)
    return xp.log(total) - z[rows, target], exponentials / total[:, None]


@operation
def cross_entropy_gradient(probabilities, target):
    """(probabilities - one_hot(target)) / N: (N, classes)."""
    n = len(probabilities)
    dlogits = probabilities / n
    dlogits[array_module(dlogits).arange(n), target] -= 1 / n
    return dlogits
