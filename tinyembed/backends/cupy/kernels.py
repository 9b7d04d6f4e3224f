"""One kernel per formula: a step is then two hundred kernels instead of a thousand.

`cupy.fuse` compiles an elementwise definition to a single kernel, with at most one sum at its end.
im2col and col2im are written by hand, since each of their slices would be a kernel.
"""

import functools

from tinyembed.backends.arrays import import_cupy


def fused(plain, *arrays):
    """A variant of any elementwise operation: its own definition as one kernel."""
    return _fuse(plain)(*arrays)


@functools.cache
def _fuse(formula):
    return import_cupy().fuse(kernel_name=formula.__name__.strip("_"))(formula)


def _column_sum(formula):
    def total(*arrays):
        return import_cupy().sum(formula(*arrays), axis=0)

    total.__name__ = formula.__name__
    return lambda *arrays: _fuse(total)(*arrays)


def _mean(x, n):
    return x / n


def _variance(x, mean, n):
    u = x - mean
    return u * u / n


def batch_statistics(plain, x):
    mean = _mean_of(x, len(x))
    return mean, _variance_of(x, mean, len(x)), len(x)


_mean_of, _variance_of = _column_sum(_mean), _column_sum(_variance)


def _dz(dy, y, x, mean):
    return dy * (import_cupy().minimum(y, 0) + 1)


def _dzu(dy, y, x, mean):
    return dy * (import_cupy().minimum(y, 0) + 1) * (x - mean)


_sum_of_dz, _sum_of_dzu = _column_sum(_dz), _column_sum(_dzu)


def gradient_sums_elu(plain, *arrays):
    return _sum_of_dz(*arrays), _sum_of_dzu(*arrays)


def lstm_step(plain, from_x, from_h, bias, c):
    gates = _fuse(_activate)(from_x, from_h, bias, _gate_scale(c.shape[1]))
    return gates, *_fuse(_cell)(c, *_split(gates))


@functools.cache
def _gate_scale(units):
    """1/2 for the sigmoids and 1 for g, a tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2."""
    cupy = import_cupy()
    return cupy.asarray([0.5] * (2 * units) + [1.0] * units + [0.5] * units, "float32")


def _activate(from_x, from_h, bias, scale):
    z = (from_x + from_h + bias) * scale
    return import_cupy().tanh(z) * scale + (1 - scale)


def _cell(c, i, f, g, o):
    c = f * c + i * g
    tanh_c = import_cupy().tanh(c)
    return c, tanh_c, o * tanh_c


def lstm_step_backward(plain, dh, dc, gates, c, tanh_c, dz):
    return _fuse(_cell_backward)(dh, dc, c, tanh_c, *_split(gates), *_split(dz))


def _cell_backward(dh, dc, c, tanh_c, i, f, g, o, dz_i, dz_f, dz_g, dz_o):
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    dz_i[...] = dc * g * i * (1 - i)
    dz_f[...] = dc * c * f * (1 - f)
    dz_g[...] = dc * i * (1 - g * g)
    dz_o[...] = dh * tanh_c * o * (1 - o)
    return dc * f


def _split(z):
    units = z.shape[1] // 4
    return [z[:, k * units : (k + 1) * units] for k in range(4)]


class Kernel:
    """A kernel written by hand: its code computes one number of the output, the one at `i`.

    name, inputs, outputs, code: as `cupy.ElementwiseKernel` takes them.
    """

    def __init__(self, name, inputs, outputs, code):
        self.name, self.inputs, self.outputs, self.code = name, inputs, outputs, code

    @functools.cached_property
    def compiled(self):
        cupy = import_cupy()
        return cupy.ElementwiseKernel(self.inputs, self.outputs, self.code, self.name)


_GEOMETRY = (
    "int32 h, int32 w, int32 c, int32 ho, int32 wo, int32 kh, int32 kw, "
    "int32 sh, int32 sw, int32 ph, int32 pw"
)
IM2COL = Kernel(
    "tinyembed_im2col",
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
COL2IM = Kernel(
    "tinyembed_col2im",
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


def im2col(plain, x, kernel_size, stride, padding):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, h, w, c = x.shape
    ho, wo = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    patches = import_cupy().empty((n, ho, wo, kh * kw * c), x.dtype)
    IM2COL.compiled(x, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, patches)
    return patches


def col2im(plain, patches, shape, kernel_size, stride, padding):
    image = import_cupy().empty(shape, patches.dtype)
    sizes = (*shape[1:], *patches.shape[1:3], *kernel_size, *stride, *padding)
    COL2IM.compiled(patches, *sizes, image)
    return image


FUSED = (
    "elu elu_gradient normalize normalize_elu input_gradient input_gradient_elu "
    "follow_statistics add_norm_gradients adam_step inverse_length"
)
VARIANTS = {
    **dict.fromkeys(FUSED.split(), fused),
    **{f.__name__: f for f in (batch_statistics, gradient_sums_elu, im2col, col2im, lstm_step)},
    "lstm_step_backward": lstm_step_backward,
}
