"""The rank of the true answer among other candidates, by similarity: 0 is best."""

from tinyembed.backends.arrays import array_module

TIE = 1e-6  # cosines closer than this count as equal: equal rolls differ only by rounding


def ranks_among(own, others):
    """How many others are more similar than the true answer. Ties count half.

    own: (N, 1), the similarity of each prediction to the true answer; others: (N, M), to the
    other candidates. Returns (N,) floats, 0 to M.
    """
    more = (others > own + TIE).sum(axis=1)
    ties = (others >= own - TIE).sum(axis=1) - more
    return more + ties / 2


def ranks(similarity, truth):
    """The same where the true answer is one of the candidates.

    similarity: (N, M), of N predictions to M candidates; truth: (N,), the column of the true one.
    """
    xp = array_module(similarity)
    own = similarity[xp.arange(len(similarity)), truth][:, None]  # (N, 1)
    return ranks_among(own, similarity) - 0.5  # the true answer ties with itself
