"""The first convolution of rolls: three quarters of their patches are all zeros, and left out."""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import add_matmul, matmul
from tinyembed.backends.cpu.im2col import tiles

SPARSE = 0.1  # the share of values that are not 0, up to which silent patches are looked for
# BLAS adds up in another order where a product is small, and an image's answers would then change
# in their last bit with the images beside it. With so many rows, filled up with zeros, it is large.
LEAST = 512


@dataclass
class SoundingPatches:
    """The P patches that are not all zeros, of all N * Ho * Wo.

    index: (P,), which they are; patches: (P, kh * kw * C), or LEAST rows where P is less.
    """

    index: np.ndarray
    patches: np.ndarray


def convolve_rolls(plain, x, weight, kernel_size, stride, padding):
    (n, h, w, _), (kh, kw) = x.shape, kernel_size
    found = None
    if tiles(kernel_size, stride, padding, (h, w)):
        found = sounding_patches(x, kernel_size)
    if found is None:
        return plain(x, weight, kernel_size, stride, padding)
    products = matmul(found.patches, weight)[: len(found.index)]  # (P, M)
    y = np.zeros((n, h // kh, w // kw, weight.shape[1]), products.dtype)
    y.reshape(-1, weight.shape[1])[found.index] = products
    return y, found


def add_weight_gradient(plain, grad, dy, found):
    if not isinstance(found, SoundingPatches):
        plain(grad, dy, found)
        return
    dy = dy.reshape(-1, dy.shape[-1])[found.index]
    add_matmul(grad, found.patches[: len(found.index)].T, dy)


def sounding_patches(x, kernel_size):
    """The patches that are not all zeros, of images cut like tiles; None where much is not 0.

    x: (N, H, W, C), where the kernel divides H and W. Returns `SoundingPatches`.
    """
    (n, h, w, c), (kh, kw) = x.shape, kernel_size
    values = x.reshape(-1)
    index = np.flatnonzero(values != 0)
    if len(index) > SPARSE * values.size:
        return None
    rest, channel = np.divmod(index, c)
    rest, column = np.divmod(rest, w)
    example, row = np.divmod(rest, h)
    patch = (example * (h // kh) + row // kh) * (w // kw) + column // kw
    within = (row % kh * kw + column % kw) * c + channel
    sounds = np.zeros(n * (h // kh) * (w // kw), bool)
    sounds[patch] = True
    sounding = np.flatnonzero(sounds)
    patches = np.zeros((max(len(sounding), LEAST), kh * kw * c), x.dtype)
    patches[(np.cumsum(sounds) - 1)[patch], within] = values[index]
    return SoundingPatches(sounding, patches)
