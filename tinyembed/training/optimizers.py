"""Adam, over all parameters of a model laid end to end."""

import math

from tinyembed.backends.arrays import array_module
from tinyembed.backends.dispatch import operation

ALIGNED = 64  # numbers: each parameter begins at a multiple of these, as vector loads want it


class Flat:
    """All parameters of a model in one array, and all their gradients in another.

    values, grads: (n,), with gaps of zeros between parameters; count: the number of weights. Each
    Parameter's `value` and `grad` become views into them: the optimizer sees two long arrays, the
    layers see their own shapes.
    """

    def __init__(self, parameters):
        xp = array_module(parameters[0].value)
        self.parts, end = [], 0  # where each parameter lies
        for p in parameters:
            self.parts.append(slice(end, end + p.value.size))
            end += p.value.size + -p.value.size % ALIGNED
        self.count = sum(p.value.size for p in parameters)
        self.values = xp.zeros(end, parameters[0].value.dtype)
        self.grads = xp.zeros_like(self.values)
        for p, part in zip(parameters, self.parts, strict=True):
            self.values[part] = p.value.ravel()
            p.value = self.values[part].reshape(p.value.shape)
            p.grad = self.grads[part].reshape(p.value.shape)

    def packed(self, x):
        """An array like `values` without its gaps: (number of weights,)."""
        return array_module(x).concatenate([x[part] for part in self.parts])

    def spread(self, packed):
        """The opposite of `packed`: an array like `values`, with zeros in its gaps."""
        x, start = array_module(packed).zeros(len(self.values), packed.dtype), 0
        for part in self.parts:
            size = part.stop - part.start
            x[part] = packed[start : start + size]
            start += size
        return x


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
        self.t += 1
        self.update(*self.factors(self.t, learning_rate))

    def factors(self, t, learning_rate):
        """What `update` needs for step t, counted from 1: two numbers."""
        # Both means start at zero; dividing by these undoes the pull towards it.
        m_correction = 1 - self.beta1**t
        v_correction = 1 - self.beta2**t
        return learning_rate / m_correction, 1 / v_correction

    def update(self, rate, inverse_correction):
        """One step with given factors: numbers, or 0-d arrays that hold them when the step runs."""
        betas = self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2
        arrays = self.flat.values, self.flat.grads, self.m, self.v
        adam_step(*arrays, rate, inverse_correction, *betas, self.eps)


@operation
def adam_step(value, grad, m, v, rate, inverse_correction, beta1, rest1, beta2, rest2, eps):
    """Move weights against their gradients, and set the gradients to zero, all in place.

    rest1, rest2: 1 - beta1 and 1 - beta2.
    """
    m *= beta1
    m += grad * rest1
    v *= beta2
    v += grad * grad * rest2
    value -= m / (array_module(grad).sqrt(v * inverse_correction) + eps) * rate
    grad[...] = 0


def cosine_decay(step, steps, peak):
    """The learning rate at `step` of `steps`: from `peak` along half a cosine down to 0."""
    return peak * 0.5 * (1 + math.cos(math.pi * step / steps))
