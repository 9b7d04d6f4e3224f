"""Kernels written by hand: the stand-in cannot run CUDA code, and does the same by NumPy.

It knows tinyembed's kernels by name: each comes with a NumPy function that does the same.
tests/test_kernels.py compiles the code itself and compares.
"""

import functools
import math
import re

import numpy as np

from cupy._array import ndarray
from cupy._launches import elementwise
from cupy._work import SCALARS, change, raw


class ElementwiseKernel:
    """A kernel by its name. The constants before its loop are those of the NumPy function."""

    def __init__(self, in_params, out_params, operation, name="kernel", *, loop_prep=""):
        if name not in _kernels():
            raise NotImplementedError(f"the stand-in does not know the kernel {name}")
        self.name, self.outputs = name, len(out_params.split(","))
        self.parameters = [p.split()[-3:] for p in f"{in_params}, {out_params}".split(",")]
        found = re.findall(r"const (Index|T) (\w+) = ([^;]+);", loop_prep)
        self.constants = {
            key: int(value) if kind == "Index" else float(value) for kind, key, value in found
        }

    def __call__(self, *arguments):
        size = self._threads(arguments)
        given, outputs = arguments[: -self.outputs], list(arguments[-self.outputs :])
        same = functools.partial(_kernels()[self.name], **self.constants)
        change(
            lambda outputs, *given: same(*given, *outputs), outputs, *given,
            started=lambda *_: [
                elementwise(self.name, [raw(x) for x in arguments if isinstance(x, ndarray)], size)
            ],
        )  # fmt: skip

    def _threads(self, arguments):
        """One for each number of the parameters that are not raw. Checks what CuPy checks."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments")
        shapes, types = [], set()
        for x, parameter in zip(arguments, self.parameters, strict=True):
            if not isinstance(x, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(x)}")
            if isinstance(x, ndarray) and parameter[-2] == "T":
                types.add(x.dtype)
            if isinstance(x, ndarray) and "raw" not in parameter:
                shapes.append(x.shape)
        if len(types) > 1:
            raise TypeError(f"Type is mismatched. {types} all called T in {self.name}")
        shape = np.broadcast_shapes(*shapes)
        for x, parameter in zip(arguments, self.parameters, strict=True):
            if parameter in self.parameters[-self.outputs :] and "raw" not in parameter:
                if x.shape != shape:
                    raise ValueError(f"{parameter[-1]} of {self.name} has shape {x.shape}")
        return math.prod(shape)


@functools.cache
def _kernels():
    """{name: function of the same arguments}."""
    from tinyembed.backends.cupy.kernels import all_kernels

    return {kernel.name: kernel.plainly for kernel, *_ in all_kernels()}
