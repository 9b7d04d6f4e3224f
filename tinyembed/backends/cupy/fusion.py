"""Elementwise formulas as one kernel each, compiled by CuPy from the definition itself."""

import functools

from tinyembed.backends.arrays import import_cupy


def fused(plain, *arrays):
    """A variant of any elementwise operation, with at most one sum at its end."""
    return _fuse(plain)(*arrays)


@functools.cache
def _fuse(formula):
    return import_cupy().fuse(kernel_name=formula.__name__.strip("_"))(formula)


NAMES = (
    "elu elu_gradient normalize normalize_elu input_gradient input_gradient_elu adam_step "
    "inverse_length row_products cosine_gradient standardize"
)
VARIANTS = dict.fromkeys(NAMES.split(), fused)
