"""Long short-term memory: a layer that reads a sequence one step at a time (section 5.0.1).

At each step t, with the input x, the last output h and the last cell state c,

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    input, forget and output gate
    g       = tanh(z_g)                                   what could be written
    c       = f c + i g                                   keep some, write some
    h       = o tanh(c)                                   show some

where (z_i, z_f, z_g, z_o) = x W_x + h W_h + b. Of these products only h W_h must wait for the step
before; x W_x is one product for all steps.
"""

from tinyembed.arrays import array_module, fuse, matmul, normal, zeros
from tinyembed.layers.conv import flat
from tinyembed.layers.layer import Layer, Parameter


class Lstm(Layer):
    """One layer of LSTM over a sequence, from h = c = 0: (T, N, in_features) -> (T, N, units).

    weight_x: (in_features, 4 units); weight_h: (units, 4 units); bias: (4 units,). Their columns
    are the gates i, f, g, o in this order. The forget gate's bias starts at 1: open.
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
        xp, units = array_module(x), self.units
        steps, n, _ = x.shape
        z_x = matmul(flat(x), self.weight_x.value) + self.bias.value  # (T*N, 4 units)
        z_x = z_x.reshape(steps, n, 4 * units)
        h, c = [xp.zeros((n, units), z_x.dtype)], [xp.zeros((n, units), z_x.dtype)]
        gates, tanh_c = [], []  # of each step, as h and c are, with one more before the first
        for t in range(steps):
            z = z_x[t] + matmul(h[t], self.weight_h.value)  # (N, 4 units)
            i, f = _sigmoid(z[:, :units]), _sigmoid(z[:, units : 2 * units])
            g, o = xp.tanh(z[:, 2 * units : 3 * units]), _sigmoid(z[:, 3 * units :])
            c.append(f * c[t] + i * g)
            tanh_c.append(xp.tanh(c[t + 1]))
            h.append(o * tanh_c[t])
            gates.append((i, f, g, o))
        return xp.stack(h[1:]), (x, gates, c, tanh_c, h)

    def backward(self, dy, cache):
        """Backpropagation through time: from the last step to the first.

        dy: (T, N, units), the gradients of all outputs. What reaches h[t] comes from above, dy[t],
        and from step t + 1, through W_h; what reaches c[t] from h[t] and from c[t + 1].
        """
        x, gates, c, tanh_c, h = cache
        xp = array_module(dy)
        dz = xp.empty((*dy.shape[:2], 4 * self.units), dy.dtype)  # (T, N, 4 units)
        dh_next = dc_next = xp.zeros_like(c[0])  # (N, units), from step t + 1
        for t in reversed(range(len(dy))):
            i, f, g, o = gates[t]
            dh = dy[t] + dh_next
            dc = dc_next + dh * o * (1 - tanh_c[t] * tanh_c[t])
            # The slope of a sigmoid s is s (1 - s), that of tanh is 1 - tanh^2.
            dz_i = dc * g * i * (1 - i)
            dz_f = dc * c[t] * f * (1 - f)
            dz_g = dc * i * (1 - g * g)
            dz_o = dh * tanh_c[t] * o * (1 - o)
            xp.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1, out=dz[t])
            dc_next = dc * f
            dh_next = matmul(dz[t], self.weight_h.value.T)
        self.weight_x.grad += matmul(flat(x).T, flat(dz))
        self.weight_h.grad += matmul(flat(xp.stack(h[:-1])).T, flat(dz))
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


@fuse
def _sigmoid(z):
    # 1 / (1 + exp(-z)), written so that no exp can overflow.
    return 0.5 * array_module(z).tanh(0.5 * z) + 0.5
