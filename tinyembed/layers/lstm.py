"""Long short-term memory: a layer that reads a sequence one step at a time (section 5.0.1).

At each step t, with the input x, the last output h and the last cell state c,

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    input, forget and output gate
    g       = tanh(z_g)                                   the candidate: what could be written
    c       = f c + i g                                   keep some, write some
    h       = o tanh(c)                                   show some

where (z_i, z_f, z_g, z_o) = x W_x + h W_h + b. Only h W_h has to wait for the step before; x W_x is
one product for all steps.
"""

from tinyembed.backends.arrays import array_module, matmul, normal, zeros
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
        xp, (steps, n, _) = array_module(x), x.shape
        from_x = matmul(flat(x), self.weight_x.value).reshape(steps, n, -1)  # (T, N, 4 units)
        from_h = xp.zeros_like(from_x[0])  # (N, 4 units), of h = 0
        gates, cells, tanhs, outputs = [], [], [], []  # of each step
        cells.append(xp.zeros((n, self.units), from_x.dtype))  # before the first
        for t in range(steps):
            if t:
                from_h = matmul(outputs[-1], self.weight_h.value)
            step = lstm_step(from_x[t], from_h, self.bias.value, cells[-1])
            gates.append(step[0])
            cells.append(step[1])
            tanhs.append(step[2])
            outputs.append(step[3])
        h = xp.stack(outputs)  # (T, N, units)
        return h, (x, gates, cells, tanhs, h)

    def backward(self, dy, cache):
        """Backpropagation through time: from the last step to the first.

        dy: (T, N, units), the gradients of all outputs. What reaches h at step t comes from above,
        dy[t], and from step t + 1, through W_h. What reaches c comes from h and from step t + 1.
        """
        x, gates, cells, tanhs, h = cache
        xp, steps = array_module(dy), len(dy)
        dh, dc = dy[-1], xp.zeros_like(cells[0])  # (N, units) each
        dz = xp.empty((steps, *gates[0].shape), gates[0].dtype)  # (T, N, 4 units)
        for t in reversed(range(steps)):
            dc = lstm_step_backward(dh, dc, gates[t], cells[t], tanhs[t], dz[t])
            if t:
                dh = dy[t - 1] + matmul(dz[t], self.weight_h.value.T)
        self.weight_x.grad += matmul(flat(x).T, flat(dz))
        if steps > 1:  # the h before the first step is 0
            self.weight_h.grad += matmul(flat(h[:-1]).T, flat(dz[1:]))
        self.bias.grad += flat(dz).sum(axis=0)
        return matmul(flat(dz), self.weight_x.value.T).reshape(x.shape)


class LastStep(Layer):
    """What a sequence ends with: (T, N, units) -> (N, units)."""

    def forward(self, x, training=False):
        return x[-1], x.shape

    def backward(self, dy, shape):
        dx = array_module(dy).zeros(shape, dy.dtype)
        dx[-1] = dy
        return dx


@operation
def lstm_step(from_x, from_h, bias, c):
    """One step: x W_x, h W_h (N, 4 units), b and c (N, units) -> gates, c, tanh(c), h."""
    xp = array_module(from_x)
    z_i, z_f, z_g, z_o = split(from_x + from_h + bias)  # (N, units) each
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    g = xp.tanh(z_g)
    c = f * c + i * g
    tanh_c = xp.tanh(c)
    return xp.concatenate([i, f, g, o], axis=1), c, tanh_c, o * tanh_c


@operation
def lstm_step_backward(dh, dc, gates, c, tanh_c, dz):
    """A step back: dh, dc (N, units) -> the dc of the step before. Writes dz (N, 4 units).

    gates, tanh_c: of this step; c: of the step before. The slope of a sigmoid s is s (1 - s), that
    of tanh is 1 - tanh^2.
    """
    i, f, g, o = split(gates)
    dz_i, dz_f, dz_g, dz_o = split(dz)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    dz_i[...] = dc * g * i * (1 - i)
    dz_f[...] = dc * c * f * (1 - f)
    dz_g[...] = dc * i * (1 - g * g)
    dz_o[...] = dh * tanh_c * o * (1 - o)
    return dc * f


def split(z):
    """(N, 4 units) -> views of the four parts, (N, units) each."""
    units = z.shape[1] // 4
    return [z[:, k * units : (k + 1) * units] for k in range(4)]


def sigmoid(z):
    """1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, in which nothing can overflow."""
    return 0.5 * array_module(z).tanh(0.5 * z) + 0.5
