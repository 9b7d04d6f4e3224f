"""The operations that numba compiles. Each falls back for anything but float32 without gaps."""

from tinyembed.backends.numba import batchnorm, elementwise, im2col, lstm

VARIANTS = {
    function.__name__: function
    for function in (
        im2col.im2col,
        im2col.col2im,
        elementwise.elu,
        elementwise.elu_gradient,
        elementwise.adam_step,
        batchnorm.batch_statistics,
        batchnorm.normalize_elu,
        batchnorm.gradient_sums_elu,
        batchnorm.input_gradient_elu,
        lstm.lstm_step,
        lstm.lstm_step_backward,
    )
}
