"""The rank of the true unit among many candidates (section 5.0.1): 0 is best.

The paper's candidates are 999 random units. Most of them are in another key and another texture
than the music at hand, so the true unit is easy to tell from them. A second set of candidates is
harder: units of the same piece, in the same key.

Ranks are computed where the embeddings are, and reach NumPy in one transfer. Beside the
embeddings this takes at most BLOCK cosines per candidate, or per unit of the longest piece: on a
GPU under 100 MB for a piece of 10,000 beats.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, matmul, to_host
from tinyembed.layers.cosine import cosines, normalized
from tinyembed.training.ranks import ranks_among

CANDIDATES = 1000  # including the true unit
BLOCK = 256  # targets that share their random candidates; it also bounds the memory


def random_ranks(predicted, pool, truth, seed, candidates=CANDIDATES):
    """Rank among random units, with one matrix product per block of targets.

    predicted: (S, D); pool: (U, D), the embeddings of all units; truth: (S,), the index of each
    true unit in the pool. The other candidates are drawn from the pool without replacement, anew
    for each block, and are the same whatever is predicted.
    Returns (S,) floats, 0 to 999, or to U - 1 where the pool is smaller.
    """
    xp = array_module(predicted)
    pool, _ = normalized(pool)
    n = min(candidates, len(pool))
    found = [xp.zeros(0)]
    for block, start in enumerate(range(0, len(predicted), BLOCK)):
        p, _ = normalized(predicted[start : start + BLOCK])  # (B, D)
        t = truth[start : start + BLOCK]
        own = (p * pool[xp.asarray(t)]).sum(axis=1, keepdims=True)  # (B, 1)
        # One candidate too many is drawn. The true unit is left out where it is among them, and
        # the last one drawn where it is not.
        drawn = np.random.default_rng([seed, block]).choice(len(pool), n, replace=False)
        is_true = drawn == t[:, None]  # (B, n)
        left_out = np.where(is_true.any(axis=1), is_true.argmax(axis=1), n - 1)
        others = matmul(p, pool[xp.asarray(drawn)].T)  # (B, n)
        others[xp.arange(len(p)), xp.asarray(left_out)] = -2  # below any cosine
        found.append(ranks_among(own, others))
    return to_host(xp.concatenate(found))


def same_piece_ranks(predicted, embeddings, passages, sequences, seed, candidates=CANDIDATES):
    """Rank among units of the same piece and key that share no beat with the sequence.

    predicted: (S, D); embeddings: (R, D), of all rows of the passages; passages: `Passages`;
    sequences: (S, 8) rows, from `Passages.sequences`. The other candidates are drawn with
    replacement, since a piece has fewer than 999 such units. Returns (S,) floats, NaN where the
    piece has no such unit.
    """
    xp = array_module(predicted)
    passage = passages.passage_of(sequences[:, 0])
    found = [xp.zeros(0)]
    for p in np.unique(passage):  # ranks are appended in order of the passages
        begin, end = passages.start[p], passages.start[p + 1]
        sounding = np.flatnonzero(passages.sounds[begin:end])  # (V,), rows within the passage
        of_passage = np.flatnonzero(passage == p)
        rng = np.random.default_rng([seed, int(p)])
        for block in np.array_split(of_passage, -(-len(of_passage) // BLOCK)):
            rows = sequences[block] - begin  # (B, 8)
            # A unit overlaps the sequence when it starts at most three beats before the first
            # unit or after the last: those indices into `sounding` are skipped.
            low = np.searchsorted(sounding, rows[:, 0] - 3)
            gap = np.searchsorted(sounding, rows[:, -1] + 4) - low
            available = len(sounding) - gap
            drawn = (rng.random((len(block), candidates - 1)) * available[:, None]).astype(int)
            drawn += (drawn >= low[:, None]) * gap[:, None]
            similarity = cosines(predicted[xp.asarray(block)], embeddings[begin:end])  # (B, U)
            drawn = sounding[np.minimum(drawn, len(sounding) - 1)]  # any, where none is available
            each = xp.arange(len(block))[:, None]
            own = similarity[each, xp.asarray(rows[:, -1:])]  # (B, 1)
            ranks = ranks_among(own, similarity[each, xp.asarray(drawn)])  # among (B, 999)
            found.append(xp.where(xp.asarray(available > 0), ranks, np.nan))
    in_order = np.empty(len(sequences))
    in_order[np.argsort(passage, kind="stable")] = to_host(xp.concatenate(found))
    return in_order
