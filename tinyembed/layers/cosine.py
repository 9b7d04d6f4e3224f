"""Cosines, equation 1: how similar two directions are; and the loss of section 5.0.1."""

from tinyembed.backends.arrays import array_module, matmul, mean
from tinyembed.backends.dispatch import operation

TINY = 1e-12  # keeps the length of an all-zero row from dividing by zero


@operation
def inverse_length(x):
    """1 / |row| of each row: (N, D) -> (N,)."""
    return (array_module(x).sum(x * x, axis=1) + TINY) ** -0.5


@operation
def row_products(a, b):
    """The inner product of each row of a with the same row of b: (N, D), (N, D) -> (N,)."""
    return array_module(a).sum(a * b, axis=1)


@operation
def cosine_gradient(q, along, p, inverse, scale):
    """scale (q - along p) inverse, row by row: (N, D), (N, 1), (N, D), (N, 1) -> (N, D).

    The derivative of a cosine with respect to a vector of direction p and length 1 / inverse, where
    q is the other direction and along their cosine; or a weighted sum of such derivatives. scale: a
    number.
    """
    return (q - along * p) * (inverse * scale)


def normalized(x):
    """Each row with length 1, and 1 / |row|: (N, D) -> (N, D), (N, 1)."""
    inverse = inverse_length(x)[:, None]
    return x * inverse, inverse


def cosines(a, b):
    """The cosine of each row of a with each row of b: (N, D), (M, D) -> (N, M)."""
    return matmul(a, b.T) * (inverse_length(a)[:, None] * inverse_length(b))


class CosineLoss:
    """The mean over the batch of 1 - cos(prediction, target) (section 5.0.1)."""

    def forward(self, prediction, target):
        """prediction, target: (N, D). Returns the loss, a 0-d array, and a cache."""
        p, p_inverse = normalized(prediction)
        q, _ = normalized(target)
        cosine = row_products(p, q)  # (N,)
        return mean(1 - cosine), (p, q, p_inverse, cosine[:, None])

    def backward(self, cache):
        """dprediction: (N, D)."""
        p, q, p_inverse, cosine = cache
        return cosine_gradient(q, cosine, p, p_inverse, -1 / len(p))
