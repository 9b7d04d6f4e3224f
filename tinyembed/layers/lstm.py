"""Long short-term memory: a layer that reads a sequence one step at a time (section 5.0.1).

At each step t, with the input x, the last output h and the last cell state c,

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    input, forget and output gate
    g       = tanh(z_g)                                   the candidate: what could be written
    c       = f c + i g                                   keep some, write some
    h       = o tanh(c)                                   show some

where (z_i, z_f, z_g, z_o) = x W_x + h W_h + b. Only h W_h has to wait for the step before; x W_x is
one product for all steps.
"""

from tinyembed.backends.arrays import (
    add_column_sums,
    add_matmul,
    array_module,
    matmul,
    normal,
    zeros,
)
from tinyembed.backends.dispatch import operation
from tinyembed.layers.layer import Layer, Parameter, flat


class Lstm(Layer):
    """One layer of LSTM over a sequence, from h = c = 0: (T, N, in_features) -> (T, N, units).

    weight_x: (in_features, 4 units); weight_h: (units, 4 units); bias: (4 units,). Their columns
    are i, f, g, o in this order. The forget gate's bias starts at 1: open.
    """

    def __init__(self, in_features, units, *, rng):
        self.units = units
        self.weight_x = Parameter(normal(rng, in_features, 4 * units, std=in_features**-0.5))
        self.weight_h = Parameter(normal(rng, units, 4 * units, std=units**-0.5))
        bias = zeros(4 * units)
        bias[units : 2 * units] = 1
        self.bias = Parameter(bias)

    def forward(self, x, training=False):
        """x: (T, N, in_features) -> h: (T, N, units), the outputs of all steps."""
        xp, (steps, n, _), units = array_module(x), x.shape, self.units
        from_x = matmul(flat(x), self.weight_x.value).reshape(steps, n, -1)  # (T, N, 4 units)
        dtype = xp.result_type(from_x, self.weight_h.value, self.bias.value)
        gates = xp.empty(from_x.shape, dtype)
        cells, tanhs, h = (xp.empty((steps, n, units), dtype) for _ in range(3))
        start = xp.zeros((5, n, units), dtype)
        from_h, before = start[:4].reshape(n, -1), start[4]  # h W_h and c of no step: zeros
        for t in range(steps):
            if t:
                from_h, before = matmul(h[t - 1], self.weight_h.value), cells[t - 1]
            into = gates[t], cells[t], tanhs[t], h[t]
            lstm_step(from_x[t], from_h, self.bias.value, before, *into)
        return h, (x, gates, cells, tanhs, h)

    def backward(self, dy, cache):
        """Backpropagation through time: from the last step to the first.

        dy: (T, N, units), the gradients of all outputs. Returns dx.
        """
        x, dz = cache[0], self.add_gradients(dy, cache)
        return matmul(flat(dz), self.weight_x.value.T).reshape(x.shape)

    def add_gradients(self, dy, cache):
        """Add to the gradients of weights and bias. Returns dz (T, N, 4 units).

        What reaches h at step t comes from above, dy[t], and from step t + 1, through W_h. What
        reaches c comes from h and from step t + 1.
        """
        x, gates, cells, tanhs, h = cache
        xp, steps = array_module(dy), len(dy)
        dz = xp.empty(gates.shape, gates.dtype)  # (T, N, 4 units)
        start, dc = xp.zeros((2, *cells.shape[1:]), gates.dtype)  # (N, units) each
        recurrent = start
        for t in reversed(range(steps)):
            before = cells[t - 1] if t else start
            lstm_step_backward(dy[t], recurrent, gates[t], before, tanhs[t], dz[t], dc)
            if t:
                recurrent = matmul(dz[t], self.weight_h.value.T)
        add_matmul(self.weight_x.grad, flat(x).T, flat(dz))
        if steps > 1:  # the h before the first step is 0
            add_matmul(self.weight_h.grad, flat(h[:-1]).T, flat(dz[1:]))
        add_column_sums(self.bias.grad, flat(dz))
        return dz


class FirstLstm(Lstm):
    """A network's first LSTM, which needs no gradient with respect to its input."""

    def backward(self, dy, cache):
        """Adds to the gradients of weights and bias. Returns None."""
        self.add_gradients(dy, cache)


class LastStep(Layer):
    """What a sequence ends with: (T, N, units) -> (N, units)."""

    def forward(self, x, training=False):
        return x[-1], x.shape

    def backward(self, dy, shape):
        dx = array_module(dy).zeros(shape, dy.dtype)
        dx[-1] = dy
        return dx


@operation
def lstm_step(from_x, from_h, bias, before, gates, c, tanh_c, h):
    """One step, written into its last four arguments.

    from_x, from_h: x W_x and h W_h, (N, 4 units); bias: (4 units,); before: the c before, (N,
    units). Writes gates (N, 4 units), c, tanh(c) and h (N, units).
    """
    xp = array_module(from_x)
    z_i, z_f, z_g, z_o = split(from_x + from_h + bias)  # (N, units) each
    i, f, g, o = split(gates)
    i[...], f[...], o[...] = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    g[...] = xp.tanh(z_g)
    c[...] = f * before + i * g
    tanh_c[...] = xp.tanh(c)
    h[...] = o * tanh_c


@operation
def lstm_step_backward(dy, recurrent, gates, before, tanh_c, dz, dc):
    """A step back: writes dz (N, 4 units), and into dc (N, units) that of the step before.

    dy, recurrent: the gradients of h from above and from the step after, (N, units); gates, tanh_c:
    of this step; before: the c of the step before. The slope of a sigmoid s is s (1 - s), that of
    tanh is 1 - tanh^2.
    """
    i, f, g, o = split(gates)
    dz_i, dz_f, dz_g, dz_o = split(dz)
    dh = dy + recurrent
    dc += dh * o * (1 - tanh_c * tanh_c)
    dz_i[...] = dc * g * i * (1 - i)
    dz_f[...] = dc * before * f * (1 - f)
    dz_g[...] = dc * i * (1 - g * g)
    dz_o[...] = dh * tanh_c * o * (1 - o)
    dc *= f


def split(z):
    """(N, 4 units) -> views of the four parts, (N, units) each."""
    units = z.shape[1] // 4
    return [z[:, k * units : (k + 1) * units] for k in range(4)]


def sigmoid(z):
    """1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, in which nothing can overflow."""
    return 0.5 * array_module(z).tanh(0.5 * z) + 0.5
