"""Checking a backward pass: the complex step.

A derivative from a difference, (f(x + h) - f(x)) / h, loses half its digits: a small h cancels,
a large h curves. Stepping in the imaginary direction subtracts nothing,

    f(x + ih) = f(x) + ih f'(x) - ...,   so   f'(x) = Im f(x + ih) / h,

and with h = 1e-30 it is exact to the last digit, provided that forward is written without abs,
conj or a comparison that looks at the imaginary part. So these checks ask for ten digits.
"""

import numpy as np

from tinyembed.backends.arrays import array_module, to_host

STEP = 1e-30


def complex_step(f, x):
    """The gradient of f at x, one entry at a time.

    f: takes an array like x, complex, and returns one number; x: real, any shape.
    Returns an array of x's shape, on the host.
    """
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * STEP
        gradient[index] = float(f(stepped).imag) / STEP
    return gradient


def relative_error(found, expected):
    """The largest difference, in units of the largest entry expected (0 / 0 counts as 0)."""
    found, expected = to_host(found), to_host(expected)
    difference = np.max(np.abs(found - expected), initial=0)
    scale = np.max(np.abs(expected), initial=0)
    return float(difference / scale) if scale else float(difference)


def cast(layer, dtype):
    """Give a layer's parameters and buffers another dtype, in place; gradients start at 0."""
    for parameter in layer.parameters():
        parameter.value = parameter.value.astype(dtype)
        parameter.grad = array_module(parameter.value).zeros_like(parameter.value)
    for owner, name in layer.named_buffers().values():
        buffer = getattr(owner, name)
        if buffer.dtype.kind == "f":  # the others are indices
            setattr(owner, name, buffer.astype(dtype))
    return layer


def layer_errors(layer, x, dy, training=True):
    """Compare backward with the complex step, entry by entry, in float64.

    layer: any layer; x: an input; dy: an upstream gradient, of the output's shape. dy must not be
    uniform: after softmax or batch norm the sum of all outputs is constant, so that its gradient
    is 0 and a wrong backward would pass. Returns {"x" or a parameter's name: relative error},
    without x where the layer's backward returns None, as a network's first layer's does.
    """
    cast(layer, float)
    named = layer.named_parameters()
    _, cache = layer.forward(x, training)
    dx = layer.backward(dy, cache)

    def loss_of(x):
        return (layer.forward(x, training)[0] * dy).sum()

    errors = {} if dx is None else {"x": relative_error(dx, complex_step(loss_of, x))}
    for name, parameter in named.items():
        real = parameter.value

        def loss_of_parameter(value, parameter=parameter):
            parameter.value = value
            return loss_of(x)

        errors[name] = relative_error(parameter.grad, complex_step(loss_of_parameter, real))
        parameter.value = real
    return errors


def directional_error(loss_of, parameters, rng):
    """The same for a whole model, along one random direction of all its parameters at once.

    loss_of: () -> a number, from the parameters' present values; parameters: in float64, with
    their gradients already in `grad`. Returns the relative error of the slope.
    """
    xp = array_module(parameters[0].value)
    directions = [xp.asarray(rng.standard_normal(p.value.shape)) for p in parameters]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, directions, strict=True))
    real = [p.value for p in parameters]
    for p, d in zip(parameters, directions, strict=True):
        p.value = p.value + 1j * STEP * d
    measured = float(loss_of().imag) / STEP
    for p, value in zip(parameters, real, strict=True):
        p.value = value
    return abs(slope - measured) / abs(measured)
