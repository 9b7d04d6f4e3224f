"""The reader of MIDI events: the very function of music/, compiled, with every index checked."""

import functools
import types

import numba
import numpy as np

from tinyembed.backends.numba.compiling import OPTIONS, kernel

CHECKED = {**OPTIONS, "boundscheck": True}  # an index outside raises IndexError, as in Python


@functools.cache
def compiled(plain):
    """A function compiled together with those of its module that it calls.

    Its code is taken as it stands; only the names of those others mean their compiled forms.
    """
    names = dict(plain.__globals__)
    for name in plain.__code__.co_names:
        if isinstance(names.get(name), types.FunctionType):
            names[name] = numba.njit(**CHECKED)(names[name])
    copy = types.FunctionType(plain.__code__, names, plain.__name__)
    return kernel(copy, boundscheck=True)


def read_events(plain, data, at, end, time, running, n, *columns):
    arrays = [np.asarray(column) for column in columns]
    bytes_of_file = np.frombuffer(data, np.uint8)
    return compiled(plain)(bytes_of_file, at, end, time, running, n, *arrays)
