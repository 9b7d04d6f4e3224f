"""Long short-term memory: a layer that reads a sequence one step at a time (section 5.0.1).

At each step t, with the input x, the last output h and the last cell state c,

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    input, forget and output gate
    g       = tanh(z_g)                                   what could be written
    c       = f c + i g                                   keep some, write some
    h       = o tanh(c)                                   show some

where (z_i, z_f, z_g, z_o) = x W_x + h W_h + b. Of these products only h W_h must wait for the step
before; x W_x is one product for all steps.
"""

from tinyembed.backends.arrays import array_module, matmul, normal, zeros
from tinyembed.backends.compiled import compile_loops, takes
from tinyembed.backends.formulas import fuse, in_blocks
from tinyembed.backends.numba.scalars import f32, tanh
from tinyembed.layers.conv import flat
from tinyembed.layers.layer import Layer, Parameter


class Lstm(Layer):
    """One layer of LSTM over a sequence, from h = c = 0: (T, N, in_features) -> (T, N, units).

    weight_x: (in_features, 4 units); weight_h: (units, 4 units); bias: (4 units,). Their columns
    are the gates i, f, g, o in this order. The forget gate's bias starts at 1: open.
    """

    buffers = ("scale",)

    def __init__(self, in_features, units, *, rng):
        self.units = units
        self.weight_x = Parameter(normal(rng, in_features, 4 * units, std=in_features**-0.5))
        self.weight_h = Parameter(normal(rng, units, 4 * units, std=units**-0.5))
        bias = zeros(4 * units)
        bias[units : 2 * units] = 1
        self.bias = Parameter(bias)
        # sigmoid(z) = 1/2 tanh(z / 2) + 1/2, and no exp can overflow: all gates are one tanh.
        self.scale = zeros(4 * units) + 0.5  # (4 units,)
        self.scale[2 * units : 3 * units] = 1  # of g, which is a tanh itself

    def forward(self, x, training=False):
        """x: (T, N, in_features) -> h: (T, N, units), the outputs of all steps."""
        xp = array_module(x)
        steps, n, _ = x.shape
        gates = matmul(flat(x), self.weight_x.value).reshape(steps, n, -1)  # not yet: x W_x
        dtype = xp.result_type(gates, self.weight_h.value, self.bias.value)
        gates = gates.astype(dtype, copy=False)
        h = xp.zeros((steps + 1, n, self.units), gates.dtype)  # and one more, before the first
        c, tanh_c = xp.zeros_like(h), xp.empty_like(h[1:])
        for t in range(steps):
            recurrent = matmul(h[t], self.weight_h.value) if t else xp.zeros_like(gates[t])
            if takes(gates):
                state = c[t], c[t + 1], tanh_c[t], h[t + 1]
                _step(gates[t], recurrent, self.bias.value, self.scale, *state)
                continue

            def step(rows, t=t, recurrent=recurrent):
                z = gates[t, rows]  # (n, 4 units)
                z += recurrent[rows]
                z[...] = _activate(z, self.bias.value, self.scale)
                i, f, g, o = self._split(z)
                c[t + 1, rows] = _keep_and_write(f, c[t, rows], i, g)
                tanh_c[t, rows] = xp.tanh(c[t + 1, rows])
                h[t + 1, rows] = o * tanh_c[t, rows]

            in_blocks(step, gates[t])
        return h[1:], (x, gates, c, tanh_c, h)

    def backward(self, dy, cache):
        """Backpropagation through time: from the last step to the first.

        dy: (T, N, units), the gradients of all outputs. What reaches h[t] comes from above, dy[t],
        and from step t + 1, through W_h; what reaches c[t] from h[t] and from c[t + 1].
        """
        x, gates, c, tanh_c, h = cache
        xp, last = array_module(dy), len(dy) - 1
        dz = xp.empty_like(gates)  # (T, N, 4 units)
        dc_next = xp.zeros_like(c[0])  # (N, units), from step t + 1
        for t in range(last, -1, -1):
            dh_next = None if t == last else matmul(dz[t + 1], self.weight_h.value.T)  # (N, units)
            if takes(gates):
                dh = dy[t] if t == last else dy[t] + dh_next
                _step_back(gates[t], c[t], tanh_c[t], dh, dc_next, dz[t])
                continue

            def step(rows, t=t, dh_next=dh_next):
                i, f, g, o = self._split(gates[t, rows])
                dz_i, dz_f, dz_g, dz_o = self._split(dz[t, rows])
                dh = dy[t, rows] if t == last else dy[t, rows] + dh_next[rows]
                dc = _cell_gradient(dc_next[rows], dh, o, tanh_c[t, rows])
                dz_i[...] = _through_sigmoid(dc, g, i)
                dz_f[...] = _through_sigmoid(dc, c[t, rows], f)
                dz_g[...] = _through_tanh(dc, i, g)
                dz_o[...] = _through_sigmoid(dh, tanh_c[t, rows], o)
                dc_next[rows] = dc * f

            in_blocks(step, dz[t])
        self.weight_x.grad += matmul(flat(x).T, flat(dz))
        if last:  # the h before the first step is 0
            self.weight_h.grad += matmul(flat(h[1:-1]).T, flat(dz[1:]))
        self.bias.grad += flat(dz).sum(axis=0)
        return matmul(flat(dz), self.weight_x.value.T).reshape(x.shape)

    def _split(self, z):
        """(N, 4 units) -> views of the four gates, (N, units) each."""
        return [z[:, k * self.units : (k + 1) * self.units] for k in range(4)]


class LastStep(Layer):
    """What a sequence ends with: (T, N, units) -> (N, units)."""

    def forward(self, x, training=False):
        return x[-1], x.shape

    def backward(self, dy, shape):
        dx = array_module(dy).zeros(shape, dy.dtype)
        dx[-1] = dy
        return dx


@fuse
def _activate(z, bias, scale):
    return array_module(z).tanh((z + bias) * scale) * scale + (1 - scale)


@fuse
def _keep_and_write(f, c, i, g):
    return f * c + i * g


@fuse
def _cell_gradient(dc_next, dh, o, tanh_c):
    return dc_next + dh * o * (1 - tanh_c * tanh_c)


@fuse
def _through_sigmoid(da, other, gate):
    # The slope of a sigmoid s is s (1 - s), that of tanh is 1 - tanh^2.
    return da * other * gate * (1 - gate)


@fuse
def _through_tanh(da, other, gate):
    return da * other * (1 - gate * gate)


# A step forward and a step back once more as loops, for numba: an LSTM's step takes a fifth less.


@compile_loops
def _step(gates, recurrent, bias, scale, c_before, c, tanh_c, h):
    rows, units = c.shape
    for n in range(rows):
        for k in range(4 * units):
            z = gates[n, k] + recurrent[n, k] + bias[k]
            gates[n, k] = tanh(z * scale[k]) * scale[k] + (f32(1) - scale[k])
        for k in range(units):
            i, f = gates[n, k], gates[n, units + k]
            g, o = gates[n, 2 * units + k], gates[n, 3 * units + k]
            c[n, k] = f * c_before[n, k] + i * g
            tanh_c[n, k] = tanh(c[n, k])
            h[n, k] = o * tanh_c[n, k]


@compile_loops
def _step_back(gates, c_before, tanh_c, dh, dc_next, dz):
    rows, units = c_before.shape
    for n in range(rows):
        for k in range(units):
            i, f = gates[n, k], gates[n, units + k]
            g, o = gates[n, 2 * units + k], gates[n, 3 * units + k]
            dc = dc_next[n, k] + dh[n, k] * o * (f32(1) - tanh_c[n, k] * tanh_c[n, k])
            dz[n, k] = dc * g * i * (f32(1) - i)
            dz[n, units + k] = dc * c_before[n, k] * f * (f32(1) - f)
            dz[n, 2 * units + k] = dc * i * (f32(1) - g * g)
            dz[n, 3 * units + k] = dh[n, k] * tanh_c[n, k] * o * (f32(1) - o)
            dc_next[n, k] = dc * f
