"""--device and --tf32: the array module of a command, and the fastest backend for it."""

import numpy as np

from tinyembed.backends import choice
from tinyembed.backends.arrays import device_module
from tinyembed.errors import InputError


def choose_device(device, tf32=False):
    """The array module, numpy or cupy, with the fastest backend that is installed in use.

    device: "auto", "cpu" or "gpu"; tf32: whether a GPU multiplies in TF32.
    Raises InputError where the device is not there or cannot do it.
    """
    xp = device_module(device)
    if xp is not np:  # numba would only take its time to be imported
        from tinyembed.backends.cupy.products import use_tf32

        use_tf32(tf32)
    elif tf32:
        raise InputError("--tf32: a GPU's way to multiply; it needs --device gpu")
    else:
        choice.use()
    return xp
