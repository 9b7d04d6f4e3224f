"""One vector per piece: the mean and the standard deviation of its units' embeddings."""

from tinyembed.backends.arrays import array_module


def piece_vector(rows, sounds):
    """The mean, then the standard deviation, of each number of a piece's embeddings: (2 D,).

    rows: (N, D), N at least 1; sounds: (N,) bool, whether a unit has an onset. The embedding of
    silence says nothing about a piece, so units without an onset are left out; a piece of nothing
    else is the mean and deviation of these. The result is float64, or float32 for float32 rows.
    """
    xp = array_module(rows)
    chosen = rows[sounds] if bool(sounds.any()) else rows
    chosen = chosen.astype(xp.float64)
    return xp.concatenate([chosen.mean(axis=0), chosen.std(axis=0)]).astype(rows.dtype)
