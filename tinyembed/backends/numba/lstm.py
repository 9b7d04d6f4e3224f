"""A step of the LSTM, forward and backward, as loops: a fifth less time per step."""

from tinyembed.backends.numba.compiling import kernel, takes
from tinyembed.backends.numba.scalars import f32, sigmoid, tanh


@kernel
def _step(from_x, from_h, bias, before, gates, c, tanh_c, h):
    rows, units = c.shape
    for n in range(rows):
        x, recurrent, z = from_x[n], from_h[n], gates[n]
        for k in range(4 * units):
            z[k] = x[k] + recurrent[k] + bias[k]
        # Parts of the row, so that no index needs a check whether it counts from the end.
        i, f, g, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
        for k in range(units):
            i[k], f[k], g[k], o[k] = sigmoid(i[k]), sigmoid(f[k]), tanh(g[k]), sigmoid(o[k])
            c[n, k] = f[k] * before[n, k] + i[k] * g[k]
            tanh_c[n, k] = tanh(c[n, k])
            h[n, k] = o[k] * tanh_c[n, k]


@kernel
def _step_backward(dy, recurrent, gates, before, tanh_c, dz, dc):
    rows, units = dc.shape
    for n in range(rows):
        for k in range(units):
            i, f = gates[n, k], gates[n, units + k]
            g, o = gates[n, 2 * units + k], gates[n, 3 * units + k]
            dh = dy[n, k] + recurrent[n, k]
            d = dc[n, k] + dh * o * (f32(1) - tanh_c[n, k] * tanh_c[n, k])
            dz[n, k] = d * g * i * (f32(1) - i)
            dz[n, units + k] = d * before[n, k] * f * (f32(1) - f)
            dz[n, 2 * units + k] = d * i * (f32(1) - g * g)
            dz[n, 3 * units + k] = dh * tanh_c[n, k] * o * (f32(1) - o)
            dc[n, k] = d * f


def lstm_step(plain, *arrays):
    (_step if takes(*arrays) else plain)(*arrays)


def lstm_step_backward(plain, *arrays):
    (_step_backward if takes(*arrays) else plain)(*arrays)
