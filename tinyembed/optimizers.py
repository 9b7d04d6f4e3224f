"""Adam, over all parameters of a model laid end to end."""

import math

from tinyembed.arrays import array_module, in_blocks


class Flat:
    """All parameters of a model in one array, and all their gradients in another.

    values, grads: (n,) with n the number of weights. Each Parameter's `value` and `grad` become
    views into them, so the optimizer sees two long arrays and the layers see their own shapes;
    processes that share the work can add up one buffer.
    """

    def __init__(self, parameters):
        xp = array_module(parameters[0].value)
        self.values = xp.concatenate([p.value.ravel() for p in parameters])
        self.grads = xp.zeros_like(self.values)
        start = 0
        for p in parameters:
            end = start + p.value.size
            p.value = self.values[start:end].reshape(p.value.shape)
            p.grad = self.grads[start:end].reshape(p.value.shape)
            start = end


class Adam:
    """Kingma & Ba 2015: steps of the mean gradient over the root of the mean squared gradient.

    flat: a `Flat`. m, v: (n,) running means of the gradients and of their squares; t: steps taken.
    """

    def __init__(self, flat, beta1=0.9, beta2=0.999, eps=1e-8):
        xp = array_module(flat.values)
        self.flat, self.beta1, self.beta2, self.eps = flat, beta1, beta2, eps
        self.m, self.v = xp.zeros_like(flat.values), xp.zeros_like(flat.values)
        self.t = 0

    def step(self, learning_rate):
        """Move every weight against its gradient, and set the gradients to zero."""
        xp = array_module(self.flat.values)
        self.t += 1
        # Both means start at zero; dividing by these undoes the pull towards it.
        m_correction = 1 - self.beta1**self.t
        v_correction = 1 - self.beta2**self.t
        rate = learning_rate / m_correction

        def update(block):
            value, g, m, v = (a[block] for a in (self.flat.values, self.flat.grads, self.m, self.v))
            s = xp.multiply(g, 1 - self.beta1)
            m *= self.beta1
            m += s  # m = beta1 m + (1 - beta1) g
            xp.multiply(g, g, out=s)
            s *= 1 - self.beta2
            v *= self.beta2
            v += s  # v = beta2 v + (1 - beta2) g^2
            xp.multiply(v, 1 / v_correction, out=s)
            xp.sqrt(s, out=s)
            s += self.eps
            xp.divide(m, s, out=s)
            s *= rate
            value -= s
            g[...] = 0

        in_blocks(update, self.flat.values)


def cosine_decay(step, steps, peak):
    """The learning rate at `step` of `steps`: from `peak` along half a cosine down to 0."""
    return peak * 0.5 * (1 + math.cos(math.pi * step / steps))
