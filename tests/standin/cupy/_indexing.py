"""What may stand between the brackets after an array of the device."""

import numpy as np


def split(index, kind):
    """An index as a function of its arrays' NumPy arrays, and those arrays, of a kind."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [p for p in parts if isinstance(p, kind)]
    for part in parts:
        if not (part is None or part is Ellipsis or isinstance(part, (slice, kind, int))):
            if isinstance(part, np.integer):
                continue
            raise TypeError(f"an index of {type(part)} on an array of the device")
    kinds = {a.dtype.kind for a in arrays}
    if kinds - set("biu"):
        raise IndexError("arrays used as indices must be of integer or boolean type")

    parts = tuple(_Hole if isinstance(p, kind) else p for p in parts)

    def filled(given):
        given = iter(given)
        return tuple(next(given) if p is _Hole else p for p in parts)

    return filled, arrays


class _Hole:
    """Stands where an index has an array, so that no record holds on to that array."""


def check_different(a, index):
    """CuPy leaves undefined which of several values for one place stays there."""
    places = np.arange(a.size).reshape(a.shape)[index]
    if len(np.unique(places)) < places.size:
        raise ValueError("an assignment gives one place several values; which stays is undefined")
