"""A kernel written by hand: a few lines of C++ that compute what belongs at index i."""

import functools

import numpy as np

from tinyembed.backends.arrays import import_cupy


class Kernel:
    """One kernel, compiled when it first runs.

    name, inputs, outputs, code: as `cupy.ElementwiseKernel` takes them; the code runs once for
    each number of the outputs that are not raw. plainly: a function of the same arguments, NumPy
    arrays and numbers, and of the constants, that writes the same results; tests compare the two.
    constants: {name: number} that the code reads and the compiler knows, so that dividing by a
    whole one needs no division. wide: whether an Index, the type of indices in the code, has 64
    bits instead of 32.
    """

    def __init__(self, name, inputs, outputs, code, plainly, constants=None, wide=True):
        self.name, self.inputs, self.outputs, self.code = name, inputs, outputs, code
        self.plainly, self.constants, self.wide = plainly, constants or {}, wide

    @property
    def loop_prep(self):
        """What stands before the loop over i: the type of an index, and the constants."""
        lines = [f"typedef {'long long' if self.wide else 'int'} Index;"]
        for name, value in self.constants.items():
            lines.append(f"const {'Index' if isinstance(value, int) else 'T'} {name} = {value};")
        return " ".join(lines)

    def same(self, *arguments):
        """The same by NumPy: writes into the last arguments, the outputs."""
        self.plainly(*arguments, **self.constants)

    @functools.cached_property
    def compiled(self):
        """Called with inputs and outputs; returns nothing of interest."""
        return import_cupy().ElementwiseKernel(
            self.inputs, self.outputs, self.code, self.name, loop_prep=self.loop_prep
        )

    def __call__(self, *arguments):
        self.compiled(*arguments)


def example(*shape):
    """An array for an example of a kernel's arguments: float32 between 0.5 and 1.5."""
    return np.random.default_rng(0).random(shape, np.float32) + np.float32(0.5)
