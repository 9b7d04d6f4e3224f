"""The LSTM's step block by block, on several threads."""

import numpy as np

from tinyembed.backends.cpu.blocks import in_blocks


def lstm_step(plain, from_x, from_h, bias, c):
    parts = in_blocks(lambda rows: plain(from_x[rows], from_h[rows], bias, c[rows]), from_x)
    return parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]


def lstm_step_backward(plain, *arrays):
    parts = in_blocks(lambda rows: plain(*[a[rows] for a in arrays]), arrays[0])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
