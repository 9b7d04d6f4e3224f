"""How many pairs of onsets stand so far apart, in semitones and in time.

An interval is a product of two onsets, and a convolution only adds: its first layer would need a
kernel for every pair of places. The products that it lacks are few enough to be counted, and the
counts stay what they are when a unit is played in another key. They are the autocorrelation of the
roll X, added up over lags of a kind (tutorials, chapter 13):

    A[k, l] = sum over p, t of X[p, t] X[p + k, t + l]
"""

import functools

from tinyembed.backends.arrays import array_module, matmul, on_gpu
from tinyembed.layers.layer import Layer

WIDEST = 12  # semitones: an octave
# Ticks at which a kind of lag begins. With 24 a beat: at once; up to a sixteenth (6); a triplet's
# eighth (8) and an eighth (12); up to a quarter (24); longer.
EDGES = (1, 8, 14, 28)
LAGS = len(EDGES) + 1
INTERVALS = 2 * WIDEST + 1  # from an octave below to an octave above
COUNTS = WIDEST + 1 + (LAGS - 1) * INTERVALS  # 113: two onsets at once have no earlier one
MANY = 2000  # pairs a unit, from which on they are no longer looked for one by one


class IntervalCounts(Layer):
    """log(1 + pairs of onsets), by interval and lag: (N, H, W, 1) -> (N, 113). Nothing is learned.

    First the pairs at once, by intervals of 0 (the onset with itself) to 12 semitones; then, for
    each of four longer lags, those of intervals of -12 to 12, from the earlier onset to the later.
    An image of real numbers has the sum of their products. Like `FirstConv2d` it is for what a
    network is given: backward returns None.
    """

    def forward(self, x, training=False):
        images = x[..., 0]  # (N, H, W)
        counts = None
        if not on_gpu(x) and x.dtype.kind == "f":
            counts = counts_of_few(images)
        if counts is None:
            counts = counts_by_products(images)
        return array_module(x).log1p(counts), None  # (N, 113)

    def backward(self, dy, cache):
        return None


def counts_of_few(images):
    """The counts, from a list of all pairs: (N, H, W) -> (N, 113), or None where there are many."""
    xp = array_module(images)
    n, h, w = images.shape
    values = images.reshape(-1)
    places = xp.flatnonzero(values != 0)  # (P,), by image, then by pitch
    image, place = xp.divmod(places, h * w)
    end = xp.cumsum(xp.bincount(image, minlength=n))[image]  # (P,) where the next image begins
    partners = end - xp.arange(len(places))  # the onset itself and all after it in its image
    n_pairs = int(partners.sum())
    if n_pairs > MANY * n:
        return None
    before = xp.cumsum(partners) - partners
    one = xp.repeat(xp.arange(len(places)), partners)  # (pairs,)
    other = xp.arange(n_pairs) + xp.repeat(xp.arange(len(places)) - before, partners)
    spread = place + place // w * w  # in rows of twice the width: a difference says both distances
    column = columns(xp, h, w)[spread[other] - spread[one] + w]
    column += xp.repeat(image * (COUNTS + 1), partners)
    values = values[places]  # (P,)
    counts = xp.bincount(column, values[one] * values[other], minlength=n * (COUNTS + 1))
    return counts.reshape(n, COUNTS + 1)[:, :COUNTS].astype(images.dtype)


@functools.cache
def columns(xp, h, w):
    """Where pairs are counted, the second at the same pitch or a higher one: (H * 2 W,).

    For an interval and a lag, at interval * 2 W + W + lag. What is too wide goes behind the rest.
    """
    interval, lag = xp.divmod(xp.arange(2 * h * w), 2 * w)
    lag -= w
    kind = sum(abs(lag) >= edge for edge in EDGES)
    later = WIDEST + 1 + (kind - 1) * INTERVALS + WIDEST + xp.where(lag < 0, -interval, interval)
    column = xp.where(kind > 0, later, interval)
    return xp.where(interval > WIDEST, COUNTS, column)


def counts_by_products(images):
    """The counts, as products of matrices: (N, H, W) -> (N, 113). A GPU can record it (graphs.py).

    What follows each tick at each kind of lag is one product, and what of it meets an onset
    another; an interval is then a diagonal of pitches by pitches.
    """
    xp = array_module(images)
    n, h, w = images.shape
    followed = matmul(images.reshape(-1, w), windows(xp, w, images.dtype))
    following = followed.reshape(n, h * LAGS, w).transpose(0, 2, 1)  # (N, W, H * LAGS)
    meetings = matmul(images, following).reshape(n, h, h, LAGS)  # earlier, later pitch
    # Between margins, and read as rows longer by one, each diagonal is a column.
    wide = h + 2 * WIDEST
    padded = xp.zeros((n, h + 1, wide, LAGS), images.dtype)
    padded[:, :h, WIDEST : WIDEST + h] = meetings
    skewed = padded.reshape(n, (h + 1) * wide, LAGS)[:, : h * (wide + 1)]
    rows = skewed.reshape(n, h, wide + 1, LAGS)
    sums = rows[:, :, :INTERVALS].sum(axis=1)  # (N, INTERVALS, LAGS)
    later = sums[:, :, 1:].transpose(0, 2, 1).reshape(n, (LAGS - 1) * INTERVALS)
    return xp.concatenate([sums[:, WIDEST:, 0], later], axis=1)


def windows(xp, width, dtype):
    """Which ticks follow which at each kind of lag: (W, LAGS * W) of 0 and 1."""
    tick = xp.arange(width)
    lag = (tick[:, None] - tick)[:, None]  # (later, 1, earlier)
    kinds = zip((0, *EDGES), (*EDGES, width), strict=True)
    parts = [(lag >= first) & (lag < end) for first, end in kinds]
    return xp.concatenate(parts, axis=1).reshape(width, -1).astype(dtype)
