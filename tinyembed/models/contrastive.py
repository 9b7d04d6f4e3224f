"""The contrastive model's loss: predict each unit from those before it, and find it in the batch.

The paper's models compare five candidates at temperature 1, which leaves little to learn once the
loss nears its floor. Here a batch is made of excerpts, several of each piece in one key. A linear
map predicts each of their later units from the seven before it, and InfoNCE asks that the
prediction is nearer to the unit that comes than to any other of the batch: those of other pieces,
and the hard negatives, other units of the same piece. The embedding learns what can be foreseen,
and what tells one moment of a piece from another. No decoder is needed.
"""

from tinyembed.backends.arrays import array_module
from tinyembed.backends.dispatch import operation
from tinyembed.layers.contrastive_loss import ContrastiveLoss
from tinyembed.layers.dense import Dense
from tinyembed.layers.layer import Layer

GIVEN = 7  # units before the one to predict, as in section 5.0.1
BEATS = 4  # of a unit
START = 0.01  # of the first weights, so that a new predictor repeats the last unit


class ExcerptContrast(Layer):
    """InfoNCE among the embeddings of excerpts: find what comes next, (N, D) -> a loss.

    length: L, units in an excerpt, which stand one after the other in a batch, each four beats
    after the one before; size: D, of an embedding; temperature: of the loss.
    """

    def __init__(self, length, size, temperature, rng):
        self.length = length
        self.predict = Dense(GIVEN * size, size, rng=rng)
        self.predict.weight.value *= START
        self.contrast = ContrastiveLoss(temperature)

    def forward(self, h, beat, training=False, candidates=None):
        """h: (N, D), embeddings of E excerpts, N = E L; beat: (N,) integers, where each begins.

        candidates: (N, K) integers, the units that each may be compared with; None for all.
        Returns the loss, a 0-d array, and a cache.
        """
        xp, excerpts = array_module(h), h.reshape(-1, self.length, h.shape[1])  # (E, L, D)
        given = excerpts[:, windows(xp, self.length)]  # (E, L - 7, 7, D)
        change, cache = self.predict.forward(given.reshape(-1, GIVEN * h.shape[1]), training)
        last = given[:, :, -1].reshape(change.shape)  # (M, D), M = E (L - 7)
        right, hidden = self._compared(beat, candidates)
        loss, loss_cache = self.contrast.forward(last + change, h, right, hidden)
        return loss, (h.shape, cache, loss_cache)

    def _compared(self, beat, candidates=None):
        """The index of each right answer, (M,), and which units are not compared, (M, N)."""
        return compared(beat, candidates, self.length)

    def backward(self, cache):
        """dh: (N, D), through the predictions and through what they are compared with."""
        shape, cache, loss_cache = cache
        dpredicted, dh = self.contrast.backward(loss_cache)  # (M, D), (N, D)
        dgiven = self.predict.backward(dpredicted, cache)
        dexcerpts = dh.reshape(-1, self.length, shape[1])  # (E, L, D)
        dgiven = dgiven.reshape(len(dexcerpts), -1, GIVEN, shape[1])  # (E, L - 7, 7, D)
        dexcerpts[:, GIVEN - 1 : -1] += dpredicted.reshape(len(dexcerpts), -1, shape[1])
        for k in range(dgiven.shape[1]):
            dexcerpts[:, k : k + GIVEN] += dgiven[:, k]
        return dexcerpts.reshape(shape)


@operation
def compared(beat, candidates, length):
    """The index of each right answer, (M,), and which units are not compared, (M, N).

    As in the test, a candidate shares no beat with the right answer or the seven before it.
    beat: (N,); candidates: (N, K) or None; length: of an excerpt.
    """
    xp = array_module(beat)
    index = xp.arange(len(beat)).reshape(-1, length)  # (E, L)
    right = index[:, GIVEN:].ravel()  # (M,)
    target = beat.reshape(-1, length)[:, GIVEN:].reshape(-1, 1)  # (M, 1)
    first = target - GIVEN * BEATS
    hidden = (beat > first - BEATS) & (beat < target + BEATS)  # (M, N)
    if candidates is not None:
        unseen = xp.ones(hidden.shape, bool)
        unseen[xp.arange(len(right))[:, None], candidates[right]] = False
        hidden = hidden | unseen
    return right, hidden & (index.ravel() != right[:, None])


def windows(xp, length):
    """The indices of the seven units before each later one: (L - 7, 7)."""
    return xp.arange(length - GIVEN)[:, None] + xp.arange(GIVEN)
