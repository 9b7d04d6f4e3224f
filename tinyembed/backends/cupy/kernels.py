"""The operations that run on a GPU as one or two kernels, where the definition would be several.

A training step is then two hundred kernels instead of a thousand.
"""

from tinyembed.backends.cupy import batchnorm, column_sums, fusion, im2col, lstm, softmax
from tinyembed.backends.dispatch import variants_in

HAND_WRITTEN = batchnorm, column_sums, im2col, lstm, softmax

VARIANTS = {**fusion.VARIANTS, **variants_in(*HAND_WRITTEN)}


def all_kernels():
    """Every kernel written by hand: [(kernel, examples of its arguments, the same by NumPy)].

    The arguments are NumPy arrays and whole numbers, outputs last. The third is a function of the
    same arguments, which writes the outputs.
    """
    return [
        (kernel, arguments, kernel.same)
        for module in HAND_WRITTEN
        for kernel, arguments in module.examples()
    ]
