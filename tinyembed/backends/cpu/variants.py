"""The operations that NumPy runs faster than their definitions, in blocks on several threads."""

from tinyembed.backends.cpu import (
    batchnorm,
    im2col,
    interval_pairs,
    lstm,
    sparse_conv,
    sparse_cosines,
)
from tinyembed.backends.cpu.blocks import elementwise, in_place

VARIANTS = {
    "im2col": im2col.im2col,
    "col2im": im2col.col2im,
    "convolve_rolls": sparse_conv.convolve_rolls,
    "add_weight_gradient": sparse_conv.add_weight_gradient,
    "elu": elementwise,
    "elu_gradient": elementwise,
    "batch_statistics": batchnorm.batch_statistics,
    "normalize": elementwise,
    "normalize_elu": batchnorm.normalize_elu,
    "gradient_sums": batchnorm.gradient_sums,
    "gradient_sums_elu": batchnorm.gradient_sums_elu,
    "input_gradient": elementwise,
    "input_gradient_elu": batchnorm.input_gradient_elu,
    "lstm_step": lstm.lstm_step,
    "lstm_step_backward": lstm.lstm_step_backward,
    "candidate_cosines": sparse_cosines.candidate_cosines,
    "candidate_cosines_backward": sparse_cosines.candidate_cosines_backward,
    "interval_counts": interval_pairs.interval_counts,
    "adam_step": in_place,
}
