"""im2col and col2im as loops, except where patches tile the image: NumPy is as fast there.

A kernel's row, kw * C values, is one run of the image's row, except for what lies in the padding.
To cut both runs out first makes the loops twice as fast as counting from the image's left.
"""

import numpy as np

from tinyembed.backends.cpu.blocks import in_blocks
from tinyembed.backends.cpu.im2col import tiles
from tinyembed.backends.numba.compiling import kernel, takes

index = np.uint64  # with a sign, each index would be checked for counting from the end


@kernel
def _im2col(image, patches, c, sh, sw, ph, pw):
    examples, ho, wo, kh, run = patches.shape
    _, height, width = image.shape
    for n in range(examples):
        for top in range(ho):
            for left in range(wo):
                start = (left * sw - pw) * c  # of the run, in the image's row
                first = min(run, max(0, -start))
                last = max(first, min(run, width - start))
                for i in range(kh):
                    row = top * sh - ph + i
                    patch = patches[n, top, left, i]
                    if row < 0 or row >= height:
                        for k in range(run):
                            patch[index(k)] = 0
                    else:
                        for k in range(first):
                            patch[index(k)] = 0
                        inside = patch[first:last]
                        seen = image[n, row, start + first : start + last]
                        for k in range(seen.size):
                            inside[index(k)] = seen[index(k)]
                        for k in range(last, run):
                            patch[index(k)] = 0


@kernel
def _col2im(patches, image, c, sh, sw, ph, pw):
    examples, ho, wo, kh, run = patches.shape
    _, height, width = image.shape
    for n in range(examples):
        for row in range(height):
            for k in range(width):
                image[n, row, index(k)] = 0
            for i in range(kh):
                top = (row + ph - i) // sh
                if top >= 0 and top < ho and top * sh == row + ph - i:
                    for left in range(wo):
                        start = (left * sw - pw) * c
                        first = min(run, max(0, -start))
                        last = max(first, min(run, width - start))
                        inside = patches[n, top, left, i, first:last]
                        seen = image[n, row, start + first : start + last]
                        for k in range(seen.size):
                            seen[index(k)] += inside[index(k)]


def im2col(plain, x, kernel_size, stride, padding):
    n, h, w, c = x.shape
    if not takes(x) or tiles(kernel_size, stride, padding, (h, w)):
        return plain(x, kernel_size, stride, padding)
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    rows, patches = x.reshape(n, h, w * c), np.empty((n, ho, wo, kh, kw * c), x.dtype)
    in_blocks(lambda block: _im2col(rows[block], patches[block], c, sh, sw, ph, pw), patches)
    return patches.reshape(n, ho, wo, kh * kw * c)


def col2im(plain, patches, shape, kernel_size, stride, padding):
    n, h, w, c = shape
    if not takes(patches) or tiles(kernel_size, stride, padding, (h, w)):
        return plain(patches, shape, kernel_size, stride, padding)
    (kh, kw), (ho, wo) = kernel_size, patches.shape[1:3]
    patches, image = patches.reshape(n, ho, wo, kh, kw * c), np.empty(shape, patches.dtype)
    rows = image.reshape(n, h, w * c)
    in_blocks(lambda block: _col2im(patches[block], rows[block], c, *stride, *padding), patches)
    return image
