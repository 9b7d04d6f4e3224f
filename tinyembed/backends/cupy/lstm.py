"""One kernel per step of an LSTM and one per step back; each writes where its results belong."""

import functools

import numpy as np

from tinyembed.backends.cupy.kernel import Kernel, example


def _split(z):
    return np.split(z, 4, axis=1)  # views


def _step(from_x, from_h, bias, before, gates, c, tanh_c, h, units):
    gates[...] = from_x + from_h + bias
    i, f, g, o = _split(gates)
    for gate in (i, f, o):
        gate[...] = np.tanh(gate * 0.5) * 0.5 + 0.5
    g[...] = np.tanh(g)
    c[...] = f * before + i * g
    tanh_c[...] = np.tanh(c)
    h[...] = o * tanh_c


def _step_backward(dy, recurrent, gates, before, tanh_c, dz, dc, units):
    i, f, g, o = _split(gates)
    dz_i, dz_f, dz_g, dz_o = _split(dz)
    dh = dy + recurrent
    d = dc + dh * o * (1 - tanh_c * tanh_c)
    dz_i[...] = d * g * i * (1 - i)
    dz_f[...] = d * before * f * (1 - f)
    dz_g[...] = d * i * (1 - g * g)
    dz_o[...] = dh * tanh_c * o * (1 - o)
    dc[...] = d * f


_STEP = """
Index column = i % units, place = (i - column) * 4 + column;  // of the input gate in its row
T mid = T(0.5), z[4];
for (int k = 0; k < 4; k++)
    z[k] = from_x[place + k * units] + from_h[place + k * units] + bias[column + k * units];
T input = tanh(z[0] * mid) * mid + mid, forget = tanh(z[1] * mid) * mid + mid;
T candidate = tanh(z[2]), output = tanh(z[3] * mid) * mid + mid;
T cell = forget * before + input * candidate, shown = tanh(cell);
gates[place] = input;
gates[place + units] = forget;
gates[place + 2 * units] = candidate;
gates[place + 3 * units] = output;
c = cell;
tanh_c = shown;
h = output * shown;
"""
_STEP_BACKWARD = """
Index column = i % units, place = (i - column) * 4 + column;  // of the input gate in its row
T one = T(1), input = gates[place], forget = gates[place + units];
T candidate = gates[place + 2 * units], output = gates[place + 3 * units];
T dh = dy + recurrent, d = dc + dh * output * (one - tanh_c * tanh_c);
dz[place] = d * candidate * input * (one - input);
dz[place + units] = d * before * forget * (one - forget);
dz[place + 2 * units] = d * input * (one - candidate * candidate);
dz[place + 3 * units] = dh * tanh_c * output * (one - output);
dc = d * forget;
"""


@functools.cache
def step_kernel(units):
    """The kernel of a step, one thread per cell."""
    return Kernel(
        "tinyembed_lstm_step",
        "raw T from_x, raw T from_h, raw T bias, T before",
        "raw T gates, T c, T tanh_c, T h",
        _STEP,
        _step,
        {"units": units},
    )


@functools.cache
def step_backward_kernel(units):
    """The kernel of a step back."""
    return Kernel(
        "tinyembed_lstm_step_backward",
        "T dy, T recurrent, raw T gates, T before, T tanh_c",
        "raw T dz, T dc",
        _STEP_BACKWARD,
        _step_backward,
        {"units": units},
    )


def lstm_step(plain, *arrays):
    if _takes(arrays):
        step_kernel(arrays[-1].shape[1])(*arrays)
    else:
        plain(*arrays)


def lstm_step_backward(plain, *arrays):
    if _takes(arrays):
        step_backward_kernel(arrays[-1].shape[1])(*arrays)
    else:
        plain(*arrays)


def _takes(arrays):
    """Whether they are of one type: a complex step may make some of them complex."""
    return len({x.dtype for x in arrays}) == 1 and arrays[0].dtype.kind == "f"


def examples():
    """[(kernel, examples of its arguments)]; see `kernels.all_kernels`."""
    found = []
    for rows, units in ((5, 3), (2, 8)):
        wide, narrow = [example(rows, 4 * units) for _ in range(3)], example(6, rows, units)
        before, c, tanh_c, h, dy, recurrent = narrow
        step = (*wide[:2], example(4 * units), before, wide[2], c, tanh_c, h)
        back = dy, recurrent, wide[0], before, tanh_c, wide[1], c
        found += [(step_kernel(units), [step]), (step_backward_kernel(units), [back])]
    return found
