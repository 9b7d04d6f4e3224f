"""Functions of one float32, written so that the compiler works on eight or sixteen at once.

The kernels call these instead of NumPy's functions: they have no branch, and everything is
float32. NaN stays NaN. (numba's own exp is five times slower, since SVML does not load with its
wheels.)
"""

import numpy as np

from tinyembed.backends.numba.compiling import inlined

f32 = np.float32


@inlined
def minimum(a, b):
    return a if (a <= b or a != a) else b


@inlined
def maximum(a, b):
    return a if (a >= b or a != a) else b


@inlined
def exp(x):
    """e^x to 2e-7 of its value; beyond the range of float32 its smallest and largest numbers.

    e^x = 2^n e^r with n an integer and |r| <= ln(2) / 2, where seven terms of the series suffice,
    their factors adjusted to the range (those of the Cephes library). ln(2) is subtracted in two
    parts, so that r keeps its last digits. 2^n is a float32 whose exponent is n.
    """
    x = minimum(maximum(x, f32(-87)), f32(88))
    n = np.floor(x * f32(1.44269504) + f32(0.5))
    r = x - n * f32(0.693359375) + n * f32(2.12194440e-4)
    p = f32(1.3981999507e-3) + r * f32(1.9875691500e-4)
    p = f32(4.1665795894e-2) + r * (f32(8.3334519073e-3) + r * p)
    p = f32(5.0000001201e-1) + r * (f32(1.6666665459e-1) + r * p)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (f32(1) + (r + r * r * p)) * power


@inlined
def tanh(x):
    return f32(1) - f32(2) / (exp(f32(2) * x) + f32(1))


@inlined
def sigmoid(x):
    return tanh(x * f32(0.5)) * f32(0.5) + f32(0.5)


@inlined
def elu(z):
    return maximum(z, exp(minimum(z, f32(0))) - f32(1))


@inlined
def elu_slope(y):
    return minimum(y, f32(0)) + f32(1)
