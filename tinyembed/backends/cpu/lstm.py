"""The LSTM's step block by block, on several threads."""

import numpy as np

from tinyembed.backends.cpu.blocks import in_blocks


def lstm_step(plain, from_x, from_h, bias, c):
    return _by_rows(lambda rows: plain(from_x[rows], from_h[rows], bias, c[rows]), from_x)


def lstm_step_backward(plain, dh, dc, gates, c, tanh_c):
    return _by_rows(lambda r: plain(dh[r], dc[r], gates[r], c[r], tanh_c[r]), gates)


def _by_rows(step, x):
    parts = in_blocks(step, x)
    return parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]
