"""Counts of intervals: how many pairs of onsets are so far apart, in semitones and in time.

An interval is a product of two onsets, and a convolution only adds: its first layer would need a
kernel for each pair of cells. These counts do not change when a unit is transposed. They are the
autocorrelation of the roll X, summed over classes of lags (tutorials, chapter 14):

    A[k, l] = sum over p, t of X[p, t] X[p + k, t + l]
"""

from tinyembed.backends.arrays import array_module, matmul
from tinyembed.backends.dispatch import operation
from tinyembed.layers.layer import Layer

WIDEST = 12  # semitones: an octave
# Ticks at which a class of lags begins. With 24 ticks per beat: 0; up to a sixteenth (6); a triplet
# eighth (8) and an eighth (12); up to a quarter (24); longer.
EDGES = (0, 1, 8, 14, 28)
INTERVALS = 2 * WIDEST + 1  # from an octave below to an octave above
# Onsets at lag 0 have no earlier one, so their intervals are 0 to 12.
COUNTS = WIDEST + 1 + (len(EDGES) - 1) * INTERVALS  # 113


class IntervalCounts(Layer):
    """log(1 + pairs of onsets), by interval and lag: (N, H, W, 1) -> (N, 113). Nothing is learned.

    First the pairs at lag 0, by intervals of 0 (the onset with itself) to 12 semitones; then, for
    each of four classes of longer lags, those of intervals of -12 to 12, from the earlier onset to
    the later. Of real numbers these are sums of products. The layer is for a network's input:
    backward returns None.
    """

    def forward(self, x, training=False):
        return array_module(x).log1p(interval_counts(x[..., 0], WIDEST, EDGES)), None  # (N, 113)

    def backward(self, dy, cache):
        return None


@operation
def interval_counts(images, widest, edges):
    """The counts, as products of matrices: (N, H, W) -> (N, 113)."""
    xp, (n, h, w), dtype = array_module(images), images.shape, images.dtype
    images = xp.ascontiguousarray(images)
    # For each tick, what follows it in each class of lags: (N, W, H * classes).
    following = matmul(images.reshape(n * h, w), lag_windows(xp, w, edges, dtype))
    following = following.reshape(n, h * len(edges), w).swapaxes(1, 2)
    meetings = matmul(images, following)  # (N, H, H * classes), by earlier and later pitch
    # An interval is a diagonal of pitches by pitches.
    intervals = diagonals(xp, h, widest, dtype)
    sums = matmul(intervals, meetings.reshape(n, h * h, len(edges)))  # (N, 25, classes)
    later = sums[:, :, 1:].swapaxes(1, 2).reshape(n, (len(edges) - 1) * (2 * widest + 1))
    return xp.concatenate([sums[:, widest:, 0], later], axis=1)


def lag_windows(xp, width, edges, dtype):
    """Which ticks follow which in each class of lags: (W, classes * W) of 0 and 1."""
    ticks = xp.arange(width)
    lag = (ticks[:, None] - ticks)[:, None]  # (later, 1, earlier)
    classes = zip(edges, (*edges[1:], width), strict=True)
    parts = [(lag >= first) & (lag < end) for first, end in classes]
    return xp.concatenate(parts, axis=1).reshape(width, len(edges) * width).astype(dtype)


def diagonals(xp, height, widest, dtype):
    """Which pairs of pitches, earlier and later, make which interval: (25, H * H) of 0 and 1."""
    pitch = xp.arange(height)
    interval = (pitch - pitch[:, None]).reshape(-1)  # from the earlier to the later
    return (interval == xp.arange(-widest, widest + 1)[:, None]).astype(dtype)
