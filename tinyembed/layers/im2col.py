"""im2col and col2im: what turns a convolution into one matrix product, and its way back.

`im2col` lays the patch under each position of the kernel out as one row. `col2im` is its transpose:
it adds such rows into an image, where patches overlap. PyTorch calls them unfold and fold.
"""

from tinyembed.backends.arrays import array_module
from tinyembed.backends.dispatch import operation


def output_size(size, kernel_size, stride, padding):
    """Positions of the kernel along each axis: (length + 2 padding - kernel) // stride + 1."""
    axes = zip(size, kernel_size, stride, padding, strict=True)
    return tuple((length + 2 * p - k) // s + 1 for length, k, s, p in axes)


@operation
def im2col(x, kernel_size, stride, padding):
    """The patch under each kernel position: (N, H, W, C) -> (N, Ho, Wo, kh * kw * C)."""
    xp, (n, h, w, c) = array_module(x), x.shape
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    ho, wo = output_size((h, w), kernel_size, stride, padding)
    image = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    image[:, ph : ph + h, pw : pw + w] = x
    patches = xp.empty((n, ho, wo, kh, kw, c), x.dtype)
    for i in range(kh):
        for j in range(kw):  # what the kernel's entry (i, j) meets at every position
            patches[:, :, :, i, j] = image[:, i : i + sh * ho : sh, j : j + sw * wo : sw]
    return patches.reshape(n, ho, wo, kh * kw * c)


@operation
def col2im(patches, shape, kernel_size, stride, padding):
    """The transpose of im2col: patches are added into an image of shape (N, H, W, C)."""
    xp, (n, h, w, c) = array_module(patches), shape
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    ho, wo = patches.shape[1:3]
    patches = patches.reshape(n, ho, wo, kh, kw, c)
    image = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), patches.dtype)
    for i in range(kh):
        for j in range(kw):
            image[:, i : i + sh * ho : sh, j : j + sw * wo : sw] += patches[:, :, :, i, j]
    return xp.ascontiguousarray(image[:, ph : ph + h, pw : pw + w])
