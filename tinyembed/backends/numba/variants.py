"""The operations that numba compiles. Each falls back for anything but float32 without gaps."""

from tinyembed.backends.dispatch import variants_in
from tinyembed.backends.numba import batchnorm, elementwise, im2col, lstm

VARIANTS = variants_in(batchnorm, elementwise, im2col, lstm)
