"""The rank of the right answer among many (section 5.0.1): 0 is best.

The paper's candidates are 999 random units. Most of those are in another key and another texture
than the music at hand, which makes the right one easy to tell. So there is a second kind beside
them: units of the same piece, in the same key.

Ranks are computed where the embeddings are, and leave the device all at once. Beside the
embeddings that takes no more than BLOCK cosines for every candidate, or for every unit of the
longest piece: on a GPU, under 100 MB for a piece of 10,000 beats.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul, to_host
from tinyembed.layers.cosine import TINY, cosines

TIE = 1e-6  # cosines closer than this are equal: equal rolls differ only by rounding
CANDIDATES = 1000  # with the right one
BLOCK = 256  # targets that share their random candidates, and the bound of memory


def ranks_among(own, others):
    """How many others are more similar than the right one; those as similar count half.

    own: (N, 1), similarity of each prediction with the right answer; others: (N, M), with the
    other candidates. Returns (N,) floats, 0 to M.
    """
    more = (others > own + TIE).sum(axis=1)
    as_similar = (others >= own - TIE).sum(axis=1) - more
    return more + as_similar / 2


def ranks(similarity, right):
    """The same where the right answer stands among the candidates.

    similarity: (N, M), of N predictions with M candidates; right: (N,), where the right one is.
    """
    xp = array_module(similarity)
    own = similarity[xp.arange(len(similarity)), right][:, None]  # (N, 1)
    return ranks_among(own, similarity) - 0.5  # it is as similar as itself


def random_ranks(predicted, pool, right, seed, candidates=CANDIDATES):
    """Rank among random units, all candidates of a block of targets in one matrix product.

    predicted: (S, D); pool: (U, D), embeddings of all units there are; right: (S,), the place of
    each right answer in the pool. The other candidates are drawn from the pool without
    replacement, anew for each block: the same ones whatever is predicted.
    Returns (S,) floats, 0 to 999, or to U - 1 where the pool is smaller.
    """
    xp = array_module(predicted)
    unit = pool * ((pool * pool).sum(axis=1, keepdims=True) + TINY) ** -0.5  # of length 1
    n = min(candidates, len(pool))
    found = [xp.zeros(0)]
    for block, start in enumerate(range(0, len(predicted), BLOCK)):
        p, q = predicted[start : start + BLOCK], right[start : start + BLOCK]
        p = p * ((p * p).sum(axis=1, keepdims=True) + TINY) ** -0.5  # (B, D), of length 1
        own = (p * unit[xp.asarray(q)]).sum(axis=1, keepdims=True)  # (B, 1)
        # One more is drawn than there are others: the right answer is left out where it is among
        # them, and the last one drawn where it is not.
        drawn = np.random.default_rng([seed, block]).choice(len(pool), n, replace=False)
        is_right = drawn == q[:, None]  # (B, n)
        left_out = np.where(is_right.any(axis=1), is_right.argmax(axis=1), n - 1)
        others = matmul(p, unit[xp.asarray(drawn)].T)  # (B, n)
        others[xp.arange(len(p)), xp.asarray(left_out)] = -2  # below any cosine
        found.append(ranks_among(own, others))
    return to_host(xp.concatenate(found))


def same_piece_ranks(predicted, embeddings, passages, sequences, seed, candidates=CANDIDATES):
    """Rank among units of the same piece and key that share no beat with the sequence.

    predicted: (S, D); embeddings: (R, D), of all rows of the passages; passages: `Passages`;
    sequences: (S, 8) rows, from `Passages.sequences`. The other candidates are drawn with
    replacement, since a piece has fewer than 999 such units. Returns (S,) floats, NaN where the
    piece has no such unit at all.
    """
    xp = array_module(predicted)
    passage = passages.passage_of(sequences[:, 0])
    found = [xp.zeros(0)]
    for p in np.unique(passage):  # so that ranks are found passage by passage
        begin, end = passages.start[p], passages.start[p + 1]
        sounding = np.flatnonzero(passages.sounds[begin:end])  # (V,), rows within the passage
        here = np.flatnonzero(passage == p)
        rng = np.random.default_rng([seed, int(p)])
        for block in np.array_split(here, -(-len(here) // BLOCK)):
            rows = sequences[block] - begin  # (B, 8)
            # A unit overlaps when it starts up to three beats before the first, or up to three
            # after the last: those places in `sounding` are left out.
            low = np.searchsorted(sounding, rows[:, 0] - 3)
            gap = np.searchsorted(sounding, rows[:, -1] + 4) - low
            available = len(sounding) - gap
            drawn = (rng.random((len(block), candidates - 1)) * available[:, None]).astype(int)
            drawn += (drawn >= low[:, None]) * gap[:, None]
            similarity = cosines(predicted[xp.asarray(block)], embeddings[begin:end])  # (B, U)
            drawn = sounding[np.minimum(drawn, len(sounding) - 1)]  # where none is available: any
            pick = xp.arange(len(block))[:, None]
            own = similarity[pick, xp.asarray(rows[:, -1:])]  # (B, 1)
            others = similarity[pick, xp.asarray(drawn)]  # (B, 999)
            found_here = ranks_among(own, others)
            found.append(xp.where(xp.asarray(available > 0), found_here, np.nan))
    in_order = np.empty(len(sequences))
    in_order[np.argsort(passage, kind="stable")] = to_host(xp.concatenate(found))
    return in_order
