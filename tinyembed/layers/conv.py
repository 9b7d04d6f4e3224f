"""Convolution as one matrix product, and its transpose with the same weights (section 4.1).

Images are channels last: (N, height, width, channels), here pitch by time. `columns` lays the
patch under each kernel position out as one row; the convolution of all patches with all kernels
is then a single product, columns(x) @ W. Its transpose multiplies by W^T and folds the patches
back, adding where they overlap. So the paper's tied decoder, W' = W^T, is a line of code.
"""

from tinyembed.arrays import (
    Kernel,
    add_matmul,
    array_module,
    in_blocks,
    matmul,
    normal,
    on_gpu,
    zeros,
)
from tinyembed.layers.layer import Layer, Parameter


class Conv2d(Layer):
    """Convolution (cross-correlation, as everywhere in this field): y = columns(x) W + b.

    in_channels, out_channels: C and M; kernel_size, stride, padding: (height, width) each.
    weight: (kh * kw * C, M), its rows ordered by kernel row, kernel column, channel.
    bias: (M,), or None where batch norm follows, which would subtract it again.
    input_gradient: False where nobody asks for dx, below a network's first layer.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding=(0, 0), bias=True,
        input_gradient=True, *, rng,
    ):  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_gradient = input_gradient
        fan_in = kernel_size[0] * kernel_size[1] * in_channels
        self.weight = Parameter(normal(rng, fan_in, out_channels, std=fan_in**-0.5))
        self.bias = Parameter(zeros(out_channels)) if bias else None

    def forward(self, x, training=False):
        """x: (N, H, W, C) -> y: (N, Ho, Wo, M), Ho = (H + 2 padding - kernel) / stride + 1."""
        patches = columns(x, self.kernel_size, self.stride, self.padding)  # (N, Ho, Wo, kh*kw*C)
        y = matmul(flat(patches), self.weight.value)  # (N*Ho*Wo, M)
        if self.bias is not None:
            y = y + self.bias.value
        return y.reshape(*patches.shape[:3], -1), (patches, x.shape)

    def backward(self, dy, cache):
        patches, shape = cache
        add_matmul(self.weight.grad, flat(patches).T, flat(dy))  # (kh*kw*C, M)
        if self.bias is not None:
            self.bias.grad += flat(dy).sum(axis=0)
        if not self.input_gradient:
            return None
        dpatches = matmul(flat(dy), self.weight.value.T).reshape(patches.shape)
        return fold(dpatches, shape, self.kernel_size, self.stride, self.padding)


class TiedConvTranspose2d(Layer):
    """The transpose of a convolution, with that convolution's own weight: y = fold(x W^T) + b.

    It holds the same Parameter, so that both layers add to one gradient. It is to Conv2d.backward
    what Conv2d.forward is to its own backward: each one's backward is the other's forward.
    """

    def __init__(self, conv, bias=True):
        self.kernel_size, self.stride, self.padding = conv.kernel_size, conv.stride, conv.padding
        self.out_channels = conv.in_channels
        self.weight = conv.weight
        self.bias = Parameter(zeros(self.out_channels)) if bias else None

    def output_shape(self, shape):
        """(N, Ho, Wo, M) -> (N, H, W, C): the smallest image that the convolution maps to x."""
        n, *sizes, _ = shape
        geometry = zip(sizes, self.kernel_size, self.stride, self.padding, strict=True)
        return n, *[(size - 1) * s + k - 2 * p for size, k, s, p in geometry], self.out_channels

    def forward(self, x, training=False):
        """x: (N, Ho, Wo, M) -> y: (N, H, W, C)."""
        patches = matmul(flat(x), self.weight.value.T)  # (N*Ho*Wo, kh*kw*C)
        patches = patches.reshape(*x.shape[:3], -1)
        shape = self.output_shape(x.shape)
        y = fold(patches, shape, self.kernel_size, self.stride, self.padding)
        if self.bias is not None:
            y = y + self.bias.value
        return y, x

    def backward(self, dy, x):
        if self.bias is not None:
            self.bias.grad += flat(dy).sum(axis=0)
        dpatches = columns(dy, self.kernel_size, self.stride, self.padding)
        add_matmul(self.weight.grad, flat(dpatches).T, flat(x))  # (kh*kw*C, M)
        return matmul(flat(dpatches), self.weight.value).reshape(x.shape)


def flat(x):
    """(..., C) -> (rows, C): all positions of all examples, one below the other."""
    return x.reshape(-1, x.shape[-1])


def columns(x, kernel_size, stride, padding):
    """The patch under every kernel position: (N, H, W, C) -> (N, Ho, Wo, kh * kw * C)."""
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, h, w, c = x.shape
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    patches = array_module(x).empty((n, ho, wo, kh, kw * c), x.dtype)
    if on_gpu(x):
        _COLUMNS(x, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, patches)
        return patches.reshape(n, ho, wo, kh * kw * c)

    if _tiles(kernel_size, stride, padding, (h, w)):  # nothing overlaps: a change of order

        def lay_out(block):
            patches[block] = x[block].reshape(-1, ho, kh, wo, kw * c).swapaxes(2, 3)

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

    if _tiles(kernel_size, stride, padding, (h, w)):

        def add_up(block):
            y[block].reshape(-1, ho, kh, wo, kw * c)[...] = patches[block].swapaxes(2, 3)

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


def _tiles(kernel_size, stride, padding, size):
    """Whether the patches cover the image once, like tiles."""
    fits = all(length % kernel == 0 for length, kernel in zip(size, kernel_size, strict=True))
    return fits and kernel_size == stride and not any(padding)


# Both once more for a GPU, where each of the slices above would be a kernel: 85 fewer in a step.
# A kernel's row, kw * c numbers, is one run of the image's row, but for what lies in the padding.
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
