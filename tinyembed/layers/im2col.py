"""Patches of images: what lies under a kernel at each of its positions, and back again.

`columns` lays each patch out as one row, so that a convolution is a matrix product; `fold`, its
transpose, adds such rows into an image, where they overlap. Three ways to do the same: with NumPy
slices, compiled for a CPU where numba is installed, and as kernels for a GPU.
"""

from tinyembed.backends.arrays import array_module, on_gpu
from tinyembed.backends.compiled import compile_loops, takes
from tinyembed.backends.formulas import Kernel, in_blocks
from tinyembed.backends.numba.scalars import index


def columns(x, kernel_size, stride, padding):
    """The patch under every kernel position: (N, H, W, C) -> (N, Ho, Wo, kh * kw * C)."""
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, h, w, c = x.shape
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    patches = array_module(x).empty((n, ho, wo, kh, kw * c), x.dtype)
    if on_gpu(x):
        _COLUMNS(x, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, patches)
        return patches.reshape(n, ho, wo, kh * kw * c)
    if tiles(kernel_size, stride, padding, (h, w)):  # nothing overlaps: a change of order
        image = _runs(x.reshape(n, ho, kh, wo, kw * c))

        def lay_out(block):
            _runs(patches)[block] = image[block].swapaxes(2, 3)

    elif takes(x):
        rows = x.reshape(n, h, w * c)

        def lay_out(block):
            _columns(rows[block], patches[block], c, sh, sw, ph, pw)

    else:

        def lay_out(block):
            image, inside = _zero_image(x[block], (h, w, c), wo, kernel_size, stride, padding)
            inside[...] = x[block]
            part = patches[block]
            for in_patches, in_image in _meetings(ho, wo, c, kernel_size, stride):
                part[in_patches] = image[in_image]

    in_blocks(lay_out, patches)
    return patches.reshape(n, ho, wo, kh * kw * c)


def fold(patches, shape, kernel_size, stride, padding):
    """The transpose of `columns`: patches are added into an image of shape (N, H, W, C)."""
    (kh, kw), (n, h, w, c) = kernel_size, shape
    ho, wo = patches.shape[1:3]
    patches = patches.reshape(n, ho, wo, kh, kw * c)
    y = array_module(patches).empty(shape, patches.dtype)
    if on_gpu(patches):
        return _FOLD(patches, h, w, c, ho, wo, kh, kw, *stride, *padding, y)
    if tiles(kernel_size, stride, padding, (h, w)):
        image = _runs(y.reshape(n, ho, kh, wo, kw * c))

        def add_up(block):
            image[block] = _runs(patches)[block].swapaxes(2, 3)

    elif takes(patches):
        rows = y.reshape(n, h, w * c)

        def add_up(block):
            _fold(patches[block], rows[block], c, *stride, *padding)

    else:

        def add_up(block):
            part = patches[block]
            image, inside = _zero_image(part, (h, w, c), wo, kernel_size, stride, padding)
            for in_patches, in_image in _meetings(ho, wo, c, kernel_size, stride):
                image[in_image] += part[in_patches]
            y[block] = inside

    in_blocks(add_up, patches)
    return y


def _zero_image(like, shape, wo, kernel_size, stride, padding):
    """Padded images of zeros for some rows of `like`, their columns in groups of the stride.

    Returns the image, (n, padded height, groups, stride * C), and the view of it within the
    padding, (n, H, W, C).
    """
    (h, w, c), (ph, pw), sw = shape, padding, stride[1]
    groups = max(wo + -(-kernel_size[1] // sw) - 1, -(-(w + 2 * pw) // sw))
    image = array_module(like).zeros((len(like), h + 2 * ph, groups * sw, c), like.dtype)
    inside = image[:, ph : ph + h, pw : pw + w]
    return image.reshape(len(like), h + 2 * ph, groups, sw * c), inside


def _meetings(ho, wo, c, kernel_size, stride):
    """Where patches and image meet: pairs of places in (n, Ho, Wo, kh, kw * C) and in the image.

    The columns of a kernel's row are taken as many at a time as the stride is wide: that is what
    neighbouring patches share none of, and one long run is copied faster than many short ones.
    """
    (kh, kw), (sh, sw) = kernel_size, stride
    for i in range(kh):
        for group, j in enumerate(range(0, kw, sw)):
            width = min(sw, kw - j) * c
            in_patches = (slice(None), slice(None), slice(None), i, slice(j * c, j * c + width))
            rows, groups = slice(i, i + sh * ho, sh), slice(group, group + wo)
            yield in_patches, (slice(None), rows, groups, slice(width))


def tiles(kernel_size, stride, padding, size):
    """Whether the patches cover the image once, like tiles."""
    fits = all(length % kernel == 0 for length, kernel in zip(size, kernel_size, strict=True))
    return fits and kernel_size == stride and not any(padding)


def _runs(x):
    """(..., run) -> (...): each run of numbers as one item, which NumPy copies in half the time."""
    x = array_module(x).ascontiguousarray(x)
    return x.view(f"V{x.shape[-1] * x.itemsize}")[..., 0]


# Both once more as loops, for numba, but for tiles, which NumPy lays out as fast. A kernel's row,
# kw * c numbers, is one run of the image's row, but for what lies in the padding. To cut both runs
# out first makes them twice as fast as to count places from the image's left.


@compile_loops
def _columns(image, patches, c, sh, sw, ph, pw):
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


@compile_loops
def _fold(patches, image, c, sh, sw, ph, pw):
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


# And for a GPU, where each of the slices above would be a kernel: 85 fewer in a step.
_GEOMETRY = (
    "int32 h, int32 w, int32 c, int32 ho, int32 wo, int32 kh, int32 kw, "
    "int32 sh, int32 sw, int32 ph, int32 pw"
)
_COLUMNS = Kernel(
    "tinyembed_columns",
    f"raw T image, {_GEOMETRY}",
    "T patch",
    """
    int rest = i, run = kw * c;
    int place = rest % run; rest /= run;
    int row = rest % kh;    rest /= kh;
    int left = rest % wo;   rest /= wo;
    int top = rest % ho;    rest /= ho;  // the rest is the example
    row += top * sh - ph;
    place += (left * sw - pw) * c;
    bool inside = row >= 0 && row < h && place >= 0 && place < w * c;
    patch = inside ? image[(rest * h + row) * w * c + place] : T(0);
    """,
)
_FOLD = Kernel(
    "tinyembed_fold",
    f"raw T patches, {_GEOMETRY}",
    "T sum",
    """
    int rest = i;
    int channel = rest % c; rest /= c;
    int column = rest % w + pw; rest /= w;
    int row = rest % h + ph; rest /= h;  // the rest is the example
    T total = T(0);
    for (int a = 0; a < kh; a++) {
        int top = (row - a) / sh;
        if (row < a || (row - a) % sh || top >= ho) continue;
        int last = column / sw < wo ? column / sw : wo - 1;
        for (int left = last; left >= 0 && column - left * sw < kw; left--) {
            int patch = (rest * ho + top) * wo + left;
            total += patches[((patch * kh + a) * kw + column - left * sw) * c + channel];
        }
    }
    sum = total;
    """,
)
