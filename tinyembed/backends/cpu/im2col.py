"""im2col and col2im in long runs of memory, block by block."""

import numpy as np

from tinyembed.backends.cpu.blocks import in_blocks


def im2col(plain, x, kernel_size, stride, padding):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, h, w, c = x.shape
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    patches = np.empty((n, ho, wo, kh, kw * c), x.dtype)
    if tiles(kernel_size, stride, padding, (h, w)):  # nothing overlaps: a change of order
        image = _runs(x.reshape(n, ho, kh, wo, kw * c))

        def lay_out(block):
            _runs(patches)[block] = image[block].swapaxes(2, 3)

    else:

        def lay_out(block):
            image, inside = _zero_image(x[block], (h, w, c), wo, kernel_size, stride, padding)
            inside[...] = x[block]
            part = patches[block]
            for in_patches, in_image in _meetings(ho, wo, c, kernel_size, stride):
                part[in_patches] = image[in_image]

    in_blocks(lay_out, patches)
    return patches.reshape(n, ho, wo, kh * kw * c)


def col2im(plain, patches, shape, kernel_size, stride, padding):
    (kh, kw), (n, h, w, c) = kernel_size, shape
    ho, wo = patches.shape[1:3]
    patches = patches.reshape(n, ho, wo, kh, kw * c)
    y = np.empty(shape, patches.dtype)
    if tiles(kernel_size, stride, padding, (h, w)):
        image = _runs(y.reshape(n, ho, kh, wo, kw * c))

        def add_up(block):
            image[block] = _runs(patches)[block].swapaxes(2, 3)

    else:

        def add_up(block):
            part = patches[block]
            image, inside = _zero_image(part, (h, w, c), wo, kernel_size, stride, padding)
            for in_patches, in_image in _meetings(ho, wo, c, kernel_size, stride):
                image[in_image] += part[in_patches]
            y[block] = inside

    in_blocks(add_up, patches)
    return y


def tiles(kernel_size, stride, padding, size):
    """Whether the patches cover the image once, like tiles."""
    fits = all(length % kernel == 0 for length, kernel in zip(size, kernel_size, strict=True))
    return fits and kernel_size == stride and not any(padding)


def _zero_image(like, shape, wo, kernel_size, stride, padding):
    """Padded images of zeros for some rows of `like`, their columns in groups of the stride.

    Returns the image, (n, padded height, groups, stride * C), and the view of it within the
    padding, (n, H, W, C).
    """
    (h, w, c), (ph, pw), sw = shape, padding, stride[1]
    groups = max(wo + -(-kernel_size[1] // sw) - 1, -(-(w + 2 * pw) // sw))
    image = np.zeros((len(like), h + 2 * ph, groups * sw, c), like.dtype)
    inside = image[:, ph : ph + h, pw : pw + w]
    return image.reshape(len(like), h + 2 * ph, groups, sw * c), inside


def _meetings(ho, wo, c, kernel_size, stride):
    """Where patches and image meet: pairs of indices into (n, Ho, Wo, kh, kw * C) and the image.

    The columns of a kernel's row are taken as many at a time as the stride is wide: neighbouring
    patches share none of them, and one long run is copied faster than many short ones.
    """
    (kh, kw), (sh, sw) = kernel_size, stride
    for i in range(kh):
        for group, j in enumerate(range(0, kw, sw)):
            width = min(sw, kw - j) * c
            in_patches = (slice(None), slice(None), slice(None), i, slice(j * c, j * c + width))
            rows, groups = slice(i, i + sh * ho, sh), slice(group, group + wo)
            yield in_patches, (slice(None), rows, groups, slice(width))


def _runs(x):
    """(..., run) -> (...): each run of values as one item, which NumPy copies in half the time."""
    x = np.ascontiguousarray(x)
    return x.view(f"V{x.shape[-1] * x.itemsize}")[..., 0]
