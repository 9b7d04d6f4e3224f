"""Softmax and cross-entropy: the largest of each row, its sum of exponentials, and the rest."""

import numpy as np

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy.fusion import fused
from tinyembed.backends.cupy.kernel import Kernel, example


def _cross_entropies(logits, exponential, largest, total, target, columns, probability, loss):
    rows = np.arange(len(logits))
    probability[...] = exponential / total[:, None]
    loss[...] = np.log(total) - (logits[rows, target] - largest)


def _gradient(probability, target, rows, columns, dlogits):
    one_hot = target[:, None] == np.arange(columns)
    dlogits[...] = (probability - one_hot.astype(probability.dtype)) / rows


CROSS_ENTROPIES = Kernel(
    "tinyembed_cross_entropies",
    "T logits, T exponential, raw T largest, raw T total, raw int64 target, int64 columns",
    "T probability, raw T loss",
    """
    Index row = i / columns;
    probability = exponential / total[row];
    if (i - row * columns == target[row]) loss[row] = log(total[row]) - (logits - largest[row]);
    """,
    _cross_entropies,
)
GRADIENT = Kernel(
    "tinyembed_cross_entropy_gradient",
    "T probability, raw int64 target, int64 rows, int64 columns",
    "T dlogits",
    """
    Index row = i / columns;
    T right = i - row * columns == target[row] ? T(1) : T(0);
    dlogits = (probability - right) / T(rows);
    """,
    _gradient,
)


def _exponentials(logits, largest):
    return import_cupy().exp(logits - largest)


def cross_entropies(plain, logits, target):
    if logits.dtype.kind == "c":
        return plain(logits, target)
    empty_like, largest = import_cupy().empty_like, logits.max(axis=1)
    # Summed apart: a formula that adds up rows, with one number per row in it, reads as if rows lay
    # side by side.
    exponentials = fused(_exponentials, logits, largest[:, None])
    total = exponentials.sum(axis=1)
    outputs = empty_like(exponentials), empty_like(total)
    target = target.astype(np.int64, copy=False)
    given = logits, exponentials, largest, total, target, logits.shape[1]
    CROSS_ENTROPIES(*given, *outputs)
    probabilities, losses = outputs
    return losses, probabilities


def cross_entropy_gradient(plain, probabilities, target):
    dlogits = import_cupy().empty(probabilities.shape, probabilities.dtype)
    target = target.astype(np.int64, copy=False)
    GRADIENT(probabilities, target, *probabilities.shape, dlogits)
    return dlogits


def examples():
    """[(kernel, examples of its arguments)]; see `kernels.all_kernels`."""
    logits, out = example(4, 5), example(4, 5)
    largest, target = logits.max(axis=1), np.array([0, 4, 2, 2])
    exponentials = np.exp(logits - largest[:, None])
    given = logits, exponentials, largest, exponentials.sum(axis=1), target, 5
    return [
        (CROSS_ENTROPIES, [(*given, out, example(4))]),
        (GRADIENT, [(logits, target, 4, 5, out)]),
    ]
