"""The operations that NumPy runs faster than their definitions, in blocks on several threads."""

from tinyembed.backends.cpu import batchnorm, im2col, intervals, lstm, products, sparse_cosines
from tinyembed.backends.cpu.blocks import elementwise, in_place
from tinyembed.backends.dispatch import variants_in

VARIANTS = {
    **dict.fromkeys(("elu", "elu_gradient", "normalize", "input_gradient"), elementwise),
    "adam_step": in_place,
    **variants_in(batchnorm, im2col, intervals, lstm, products, sparse_cosines),
}
