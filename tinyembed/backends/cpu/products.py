"""Matrix products that add up in one order, whatever the number of rows.

OpenBLAS adds up a small product in another order than a large one (up to a million multiplications
on processors with AVX-512), and a single row in yet another. A unit's embedding would then depend
on how many units are encoded with it. Rows of zeros make a small product large.

In a training, products also take turns with what else runs on the machine (turns.py).
"""

import numpy as np

from tinyembed.backends.cpu import turns

LARGE = 1_000_001  # multiplications, from which the order is always the same
MOST_ROWS = 512  # a smaller product than so many rows make large stays as it is


def matmul(plain, a, b):
    if not (a.ndim == b.ndim == 2 and a.dtype == b.dtype == np.float32 and b.size):
        return turns.on_one_thread(plain, a, b)
    rows = max(2, -(-LARGE // b.size))
    if not (a.flags.c_contiguous and 0 < len(a) < rows <= MOST_ROWS):
        return turns.multiply(plain, a, b)
    filled = np.zeros((rows, a.shape[1]), np.float32)
    filled[: len(a)] = a
    return turns.multiply(plain, filled, b)[: len(a)]
