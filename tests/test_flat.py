"""All parameters in one array, each aligned for vector loads; checkpoints have no gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import to_host
from tinyembed.layers.layer import Parameter
from tinyembed.models.model import Model
from tinyembed.training.optimizers import ALIGNED, Adam, Flat


def flat_of(xp, shapes, seed=0):
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    parameters = [Parameter(xp.asarray(value)) for value in values]
    return Flat(parameters), parameters, values


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_parameter_is_aligned_and_gaps_stay_zero(xp, sizes):
    flat, parameters, values = flat_of(xp, [(n,) for n in sizes])
    inside = np.zeros(len(flat.values), bool)
    for part, size in zip(flat.parts, sizes, strict=True):
        assert part.start % ALIGNED == 0 and part.stop - part.start == size
        inside[part] = True
    assert inside.sum() == flat.count == sum(sizes)
    adam = Adam(flat)
    for _ in range(3):
        for p in parameters:
            p.grad[...] = 2
        adam.step(0.1)
    for array in (flat.values, adam.m, adam.v):
        assert not to_host(array)[~inside].any()
    moved = np.concatenate(values) - to_host(flat.packed(flat.values))
    np.testing.assert_allclose(moved, 0.3, rtol=1e-4)


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_packed_is_the_parameters_end_to_end_and_spread_its_opposite(sizes):
    flat, _, values = flat_of(np, [(n,) for n in sizes])
    packed = flat.packed(flat.values)
    np.testing.assert_array_equal(packed, np.concatenate(values))
    np.testing.assert_array_equal(flat.spread(packed), flat.values)


@pytest.mark.parametrize("name", ["context", "contrastive"])
def test_the_weights_of_a_model_begin_at_256_bytes(xp, name):
    model = Model(name, "small", ["a", "b", "c"], np.random.default_rng(0)).to(xp)
    parameters = model.parameters()
    assert any(p.value.size % ALIGNED for p in parameters)
    Flat(parameters)

    def address(x):
        return x.data.ptr if hasattr(x.data, "ptr") else x.ctypes.data

    first = address(parameters[0].value)
    assert all((address(p.value) - first) % 256 == 0 for p in parameters)
