"""ELU and Adam as loops over all values, whatever the shape."""

import numpy as np

from tinyembed.backends.numba import scalars
from tinyembed.backends.numba.compiling import kernel, over_rows, takes
from tinyembed.backends.numba.scalars import f32


@kernel
def _elu(x, y):
    for i in range(x.size):
        y[i] = scalars.elu(x[i])


@kernel
def _elu_gradient(dy, y, dx):
    for i in range(y.size):
        dx[i] = dy[i] * scalars.elu_slope(y[i])


@kernel
def _adam_step(value, grad, m, v, rate, inverse_correction, beta1, rest1, beta2, rest2, eps):
    for i in range(value.size):
        g = grad[i]
        m[i] = m[i] * beta1 + g * rest1
        v[i] = v[i] * beta2 + g * g * rest2
        value[i] -= m[i] / (np.sqrt(v[i] * inverse_correction) + eps) * rate
        grad[i] = f32(0)


def elu(plain, x):
    return _values(_elu, x) if takes(x) else plain(x)


def elu_gradient(plain, dy, y):
    return _values(_elu_gradient, dy, y) if takes(dy, y) else plain(dy, y)


def adam_step(plain, value, grad, m, v, *numbers):
    if not takes(value, grad, m, v):
        plain(value, grad, m, v, *numbers)
        return
    numbers = [f32(number) for number in numbers]
    arrays = value, grad, m, v
    over_rows(lambda part: _adam_step(*[a[part] for a in arrays], *numbers), value)


def _values(loops, *arrays):
    out = np.empty_like(arrays[0])
    flat = [a.reshape(-1) for a in (*arrays, out)]
    over_rows(lambda part: loops(*[a[part] for a in flat]), flat[-1])
    return out
