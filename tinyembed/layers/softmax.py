"""Softmax and cross-entropy: how surprised a distribution over classes is by the right answer."""

from tinyembed.backends.arrays import array_module
from tinyembed.backends.formulas import one_kernel


def softmax(logits):
    """Probabilities: (N, classes) -> (N, classes), each row adding up to 1."""
    # Taking the largest away changes nothing in theory and keeps exp from overflowing in practice.
    _, exponentials = _shift(logits, _largest(logits))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _largest(logits):
    return logits.real.max(axis=1, keepdims=True)  # (N, 1); a constant, also under a complex step


class SoftmaxCrossEntropy:
    """The mean over the batch of -log softmax(logits)[target]."""

    def forward(self, logits, target):
        """logits: (N, classes); target: (N,) integers. Returns the loss (0-d) and a cache."""
        xp = array_module(logits)
        rows = xp.arange(len(logits))
        shifted, exponentials = _shift(logits, _largest(logits))  # (N, classes)
        total = exponentials.sum(axis=1)  # (N,)
        loss = _surprise(total, shifted[rows, target]).mean()
        return loss, (exponentials / total[:, None], rows, target)

    def backward(self, cache):
        """dlogits: (N, classes), (softmax(logits) - one_hot(target)) / N."""
        probabilities, rows, target = cache
        dlogits = probabilities / len(probabilities)
        dlogits[rows, target] -= 1 / len(probabilities)
        return dlogits


@one_kernel
def _shift(logits, largest):
    shifted = logits - largest
    return shifted, array_module(logits).exp(shifted)


@one_kernel
def _surprise(total, right):
    return array_module(total).log(total) - right
