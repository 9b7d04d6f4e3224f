"""All work goes through two functions: `compute` makes a new array, `change` writes into one.

Both count what they start, and hand it to a stream that is recording.
"""

import numpy as np

from cupy import _array, standin  # which needs this module: each looks into the other when called
from cupy._launches import elementwise
from cupy._quiet import quiet
from cupy.cuda import capture
from cupy.standin import Buffer

SCALARS = (int, float, complex, bool, np.generic)


def buffer_of(nbytes):
    buffer = Buffer(nbytes, capture.in_use())
    recording = capture.recording()
    if recording is not None:
        recording.bear(buffer)
    return buffer


def accept(x, what="operand"):
    """An operand: an array of the device, or a number. Everything else raises TypeError."""
    if isinstance(x, (_array.ndarray, *SCALARS)):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def raw(x):
    return x._a if isinstance(x, _array.ndarray) else x


def wrap(a):
    """A new array with the values of a NumPy array, in memory of the device's pool."""
    a = np.array(a, order="K", copy=True)
    return _array.ndarray._view(a, buffer_of(a.nbytes))


def _own(a, given):
    """A result as a new array; copied where it is a view of something that was given."""
    if isinstance(a, np.ndarray) and a.base is None and all(a is not x for x in given):
        return _array.ndarray._view(a, buffer_of(a.nbytes))
    return wrap(a)


def compute(function, *operands, launches=1, started=None):
    """A new array, function(operands) of their NumPy arrays; or a tuple of new arrays.

    launches: how many elementwise kernels that takes; started: (results, operands) -> the launches,
    where they are of another kind.
    """
    given = [raw(x) for x in operands]
    with quiet:
        result = function(*given)
    many = isinstance(result, tuple)
    made = [_own(a, given) for a in (result if many else (result,))]
    outputs = [new._a for new in made]

    def work():
        with quiet:
            again = function(*given)
        for out, a in zip(outputs, again if many else (again,), strict=True):
            out[...] = a

    launches = _say(function, outputs, given, launches, started)
    if capture.recording() is None:
        standin.count("launches", launches)
    else:
        _record(work, [*made, *operands], launches)
    return tuple(made) if many else made[0]


def change(function, target, *operands, launches=1, started=None):
    """function(target, operands) writes into the target, an array, or several in a list."""
    targets = target if isinstance(target, list) else [target]
    written = [t._a for t in targets]
    first = written if isinstance(target, list) else written[0]
    given = [raw(x) for x in operands]

    def work():
        with quiet:
            function(first, *given)

    launches = _say(function, written, given, launches, started)
    if capture.recording() is None:
        work()
        standin.count("launches", launches)
    else:
        _record(work, [*targets, *operands], launches)


def _say(function, results, given, launches, started):
    """Tell a test that watches what is started. Returns how many launches that are."""
    if started is not None:
        kernels = started(results, given)
        standin.say(kernels)
        return len(kernels)
    if standin.watched():
        standin.say([elementwise(_name_of(function), results)] * launches)
    return launches


def _name_of(function):
    """Of a function of NumPy, or of the one around a lambda."""
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None) or function.__name__
    return name.partition(".<locals>")[0].rpartition(".")[2].strip("_")


def _record(work, operands, launches):
    buffers = [x._buffer for x in operands if isinstance(x, _array.ndarray)]
    capture.recording().add(work, buffers, launches)
