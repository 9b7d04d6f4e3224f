"""The rank of the right answer among many (section 5.0.1): 0 is best."""

from tinyembed.arrays import array_module

TIE = 1e-6  # cosines closer than this are equal: equal rolls differ only by rounding


def ranks(similarity, right):
    """How many candidates are more similar than the right one; those as similar count half.

    similarity: (N, M), of each of N predictions with its M candidates, the right one among them;
    right: (N,), where the right one stands. Returns (N,) floats, 0 to M - 1.
    """
    xp = array_module(similarity)
    own = similarity[xp.arange(len(similarity)), right][:, None]  # (N, 1)
    more = (similarity > own + TIE).sum(axis=1)
    as_similar = (similarity >= own - TIE).sum(axis=1) - more - 1  # but for itself
    return more + as_similar / 2
