"""im2col and col2im as one kernel each, since each of their slices would be a kernel.

Both find out from one index where a number belongs, by divisions. So there is a kernel for each
geometry: a compiler turns a division by a number that it knows into a product.
"""

import functools

import numpy as np

from tinyembed.backends.arrays import import_cupy
from tinyembed.backends.cupy.kernel import Kernel, example

_LIMIT = 1 << 31  # an index of 32 bits ends here


def _im2col(image, patches, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw):
    padded = np.pad(image.reshape(-1, h, w, c), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    patches = patches.reshape(-1, ho, wo, kh, kw, c)
    for a, b in np.ndindex(kh, kw):
        patches[:, :, :, a, b] = padded[:, a : a + sh * ho : sh, b : b + sw * wo : sw]


def _col2im(patches, image, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw):
    patches = patches.reshape(-1, ho, wo, kh, kw, c)
    padded = np.zeros((len(patches), h + 2 * ph, w + 2 * pw, c), image.dtype)
    for a, b in np.ndindex(kh, kw):
        padded[:, a : a + sh * ho : sh, b : b + sw * wo : sw] += patches[:, :, :, a, b]
    image[...] = padded[:, ph : ph + h, pw : pw + w].reshape(image.shape)


_IM2COL = """
Index rest = i, run = kw * c;
Index place = rest % run; rest /= run;
Index row = rest % kh;    rest /= kh;
Index left = rest % wo;   rest /= wo;
Index top = rest % ho;    rest /= ho;  // the rest is the example
row += top * sh - ph;
place += (left * sw - pw) * c;
bool inside = row >= 0 && row < h && place >= 0 && place < w * c;
patch = inside ? image[(rest * h + row) * w * c + place] : T(0);
"""
_COL2IM = """
Index rest = i;
Index channel = rest % c;     rest /= c;
Index column = rest % w + pw; rest /= w;
Index row = rest % h + ph;    rest /= h;  // the rest is the example
T sum = T(0);
for (Index a = 0; a < kh; a++) {
    Index top = (row - a) / sh;
    if (row < a || (row - a) % sh || top >= ho) continue;
    Index last = column / sw < wo ? column / sw : wo - 1;
    for (Index left = last; left >= 0 && column - left * sw < kw; left--) {
        Index patch = (rest * ho + top) * wo + left;
        sum += patches[((patch * kh + a) * kw + column - left * sw) * c + channel];
    }
}
pixel = sum;
"""
_SIZES = "h w c ho wo kh kw sh sw ph pw".split()


@functools.cache
def im2col_kernel(sizes, wide):
    """The kernel of one geometry. sizes: the eleven numbers of `_SIZES`."""
    constants = dict(zip(_SIZES, sizes, strict=True))
    return Kernel("tinyembed_im2col", "raw T image", "T patch", _IM2COL, _im2col, constants, wide)


@functools.cache
def col2im_kernel(sizes, wide):
    """The same for the way back."""
    constants = dict(zip(_SIZES, sizes, strict=True))
    return Kernel("tinyembed_col2im", "raw T patches", "T pixel", _COL2IM, _col2im, constants, wide)


def im2col(plain, x, kernel_size, stride, padding):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, h, w, c = x.shape
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    patches = import_cupy().empty((n, ho, wo, kh * kw * c), x.dtype)
    sizes = h, w, c, ho, wo, kh, kw, sh, sw, ph, pw
    im2col_kernel(sizes, _wide(x, patches))(x, patches)
    return patches


def col2im(plain, patches, shape, kernel_size, stride, padding):
    image = import_cupy().empty(shape, patches.dtype)
    sizes = (*shape[1:], *patches.shape[1:3], *kernel_size, *stride, *padding)
    col2im_kernel(sizes, _wide(image, patches))(patches, image)
    return image


def _wide(*arrays):
    return max(x.size for x in arrays) >= _LIMIT


def examples():
    """[(kernel, examples of its arguments)]; see `kernels.all_kernels`."""
    found = []
    for sizes in (
        (12, 12, 1, 2, 2, 6, 6, 6, 6, 0, 0),  # no overlap, as in the first layer
        (5, 16, 3, 4, 8, 2, 4, 1, 2, 0, 1),  # as in the others
        (4, 3, 2, 1, 6, 3, 2, 4, 1, 0, 2),  # a rest that no patch meets, and more padding
    ):
        h, w, c, ho, wo, kh, kw, *_ = sizes
        image, patches = example(2, h, w, c), example(2, ho, wo, kh * kw * c)
        for wide in (False, True):
            found.append((im2col_kernel(sizes, wide), [(image, patches)]))
            found.append((col2im_kernel(sizes, wide), [(patches, image)]))
    return found
