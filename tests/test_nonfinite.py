"""Numbers that are not finite: the layer where they first appear is found."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.embedding.embed import embed_piece, embed_rolls
from tinyembed.errors import WorkError
from tinyembed.layers.batchnorm import BatchNorm
from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.dense import Dense
from tinyembed.layers.elu import Elu
from tinyembed.layers.layer import Sequential
from tinyembed.models.model import Model
from tinyembed.music.piece import Piece
from tinyembed.training.nonfinite import NotFiniteError, Watched, check_weights


def network():
    rng = np.random.default_rng(0)
    return Sequential(
        first=Dense(3, 4, rng=rng), inner=Sequential(elu=Elu(), second=Dense(4, 2, rng=rng))
    )


def step(layer, x):
    y, cache = layer.forward(x, True)
    layer.backward(np.ones_like(y), cache)


X = np.linspace(-1, 1, 6).reshape(2, 3)


def test_a_finite_step_is_the_same_as_without():
    watched, plain = network(), network()
    with Watched(watched):
        step(watched, X)
    step(plain, X)
    for name, parameter in plain.named_parameters().items():
        np.testing.assert_array_equal(watched.named_parameters()[name].grad, parameter.grad)
    assert "forward" not in vars(watched.first)  # the layer's own methods are back


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "where"), [("first", "first"), ("inner.second", "inner.second")])
def test_the_first_layer_in_the_forward_pass(name, where, value):
    layer = network()
    layer.named_parameters()[f"{name}.weight"].value[0, 0] = value
    with pytest.raises(NotFiniteError, match=f"^{where}, in the forward pass$"), Watched(layer):
        step(layer, X)
    with pytest.raises(NotFiniteError, match=f"^{name}.weight, after the update$"):
        check_weights(layer)


@given(st.sampled_from(["first", "inner.elu", "inner.second"]))
@settings(max_examples=10, deadline=None)
def test_the_first_layer_in_the_backward_pass(name):
    layer = network()
    broken = layer
    for part in name.split("."):
        broken = getattr(broken, part)
    right = type(broken).backward

    def backward(dy, cache):
        return right(broken, dy, cache) * np.inf

    broken.backward = backward
    with pytest.raises(NotFiniteError, match=f"^{name}, in the backward pass$"), Watched(layer):
        step(layer, X)


def test_a_gradient_that_overflows():
    layer = network()
    layer.first.weight.grad[...] = np.inf
    with pytest.raises(NotFiniteError, match=r"^the gradient of first\.weight$"), Watched(layer):
        step(layer, X)


@pytest.fixture(scope="module")
def model():
    return Model("context", "small", ["A", "B"], np.random.default_rng(0))


def test_no_embedding_is_silently_not_finite(model):
    rolls = np.zeros((2, 60, 96))
    rolls[1, 3, 4] = 1e300  # finite, and infinite in float32
    with pytest.raises(WorkError, match="are not finite"), np.errstate(all="ignore"):
        embed_rolls(rolls, model)
    broken = Model("context", "small", ["A", "B"], np.random.default_rng(0))
    broken.encoder.dense1.weight.value[0, 0] = np.nan
    piece = Piece(np.array([0, 5], np.int32), np.array([60, 62], np.uint8), 4)
    with pytest.raises(WorkError, match="are not finite"):
        embed_piece(piece, broken)


def is_finite(arrays):
    return all(np.isfinite(array).all() for array in arrays)


def test_silent_units_and_a_batch_of_one(model):
    for n in (1, 5):
        silence = np.zeros((n, 60, 96), np.float32)
        output, cache = model.forward(silence, training=True)
        model.backward(replace(output, logits=None), cache)
        assert is_finite([output.embedding, output.reconstruction])
        assert is_finite(p.grad for p in model.parameters())
        assert is_finite([model.encode(silence)])


@pytest.mark.parametrize("layer", [BatchNorm(3), BatchNormElu(3)])
@pytest.mark.parametrize("rows", [1, 4])
def test_a_channel_that_is_constant_has_no_gradient(layer, rows):
    x = np.full((rows, 3), 1e4)  # the variance is zero, and eps stands in for it
    y, cache = layer.forward(x, training=True)
    np.testing.assert_array_equal(y, 0)  # beta
    np.testing.assert_allclose(layer.backward(np.ones_like(y), cache), 0, atol=1e-9)
    assert is_finite(layer.named_arrays().values())
