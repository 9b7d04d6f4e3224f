"""The operations that numba compiles: for bytes, and for float32 arrays without gaps."""

from tinyembed.backends.dispatch import variants_in
from tinyembed.backends.numba import (
    batchnorm,
    elementwise,
    first_conv,
    im2col,
    intervals,
    lstm,
    midi_events,
)

VARIANTS = variants_in(batchnorm, elementwise, first_conv, im2col, intervals, lstm, midi_events)
