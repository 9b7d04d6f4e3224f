"""The models: shapes, the gradient of a whole model, tied weights, states that are loaded."""

import numpy as np
import pytest
from small_networks import use_small_networks

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.layers.conv import TiedConvTranspose2d
from tinyembed.layers.dense import TiedDense
from tinyembed.layers.gradcheck import cast, directional_error
from tinyembed.layers.intervals import COUNTS
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.training.examples import Batch, draw_candidates

COMPOSERS = ["Bach", "Chopin", "Joplin"]


def make_batch(n=6, seed=0, dtype=float, excerpt=0):
    """excerpt: how many units an excerpt has, for a model that is trained on excerpts."""
    beat = np.arange(n)
    if excerpt:  # four excerpts that overlap
        beat = (7 * np.arange(4)[:, None] + 4 * np.arange(excerpt)).ravel()
        n = len(beat)
    rng = np.random.default_rng(seed)
    rolls = (rng.random((2, n, 60, 96)) < 0.02).astype(dtype)
    composer = rng.integers(len(COMPOSERS), size=n)
    return Batch(rolls[0], rolls[1], draw_candidates(n, rng), composer, rolls[0], beat)


def make_model(name, width="small", seed=0):
    return Model(name, width, COMPOSERS, np.random.default_rng(seed))


@pytest.fixture
def make_small(monkeypatch):
    """`make_model` of few channels, in float64."""
    use_small_networks(monkeypatch)
    return lambda name: cast(make_model(name, "tiny"), float)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_whole_model(make_small, xp, name):
    model = make_small(name).to(xp)
    batch = make_batch(excerpt=model.spec.excerpt).to(xp)
    _, cache = model.loss(batch, training=True)
    model.loss_backward(cache)

    def loss_of():
        return sum(model.loss(batch, training=True)[0].values())

    error = directional_error(loss_of, model.parameters(), np.random.default_rng(1))
    assert error < 1e-12


@pytest.mark.parametrize("name", ["regularized", "contrastive"])
def test_below_its_floor_the_composer_loss_is_not_minimized(make_small, xp, name):
    model = make_small(name).to(xp)
    batch = make_batch(excerpt=model.spec.excerpt or 4)
    batch.composer[:] = 1
    batch, has_floor = batch.to(xp), model.spec.composer_floor > 0
    assert has_floor == (name == "contrastive")
    for bias, minimized in ((0, True), (9, not has_floor)):  # of the right composer
        model.head.output.bias.value[1] = bias
        losses, cache = model.loss(batch, training=True)
        floor = model.spec.composer_floor * np.log(len(COMPOSERS))
        assert (float(losses["composer"]) > floor) == (minimized or not has_floor)
        before = [p.grad.copy() for p in model.parameters()]
        model.loss_backward(cache)
        pairs = zip(model.named_parameters().items(), before, strict=True)
        moved = {key for (key, p), old in pairs if float(abs(p.grad - old).max()) > 0}
        assert any(key.startswith("head") for key in moved) == minimized
        assert "encoder.dense1.weight" in moved  # by the other loss in either case


@pytest.mark.parametrize("tied", [TiedDense, TiedConvTranspose2d])
def test_dropping_one_contribution_to_a_tied_weight_is_noticed(make_small, tied, monkeypatch):
    model, batch = make_small("context"), make_batch()
    whole = tied.backward

    def without_its_share(layer, dy, cache):
        before = layer.weight.grad.copy()
        dx = whole(layer, dy, cache)
        layer.weight.grad[...] = before
        return dx

    monkeypatch.setattr(tied, "backward", without_its_share)
    _, cache = model.loss(batch, training=True)
    model.loss_backward(cache)

    def loss_of():
        return sum(model.loss(batch, training=True)[0].values())

    assert directional_error(loss_of, model.parameters(), np.random.default_rng(1)) > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_shapes_of_the_outputs(xp, name):
    model, spec = make_model(name).to(xp), MODELS[name]
    output, _ = model.forward(xp.asarray(make_batch(dtype=np.float32).input))
    assert output.embedding.shape == (6, 100) and output.embedding.dtype == np.float32
    assert (output.reconstruction is not None) == bool(spec.context)
    assert (output.logits is not None) == (spec.head is not None)
    if spec.context:
        assert output.reconstruction.shape == (6, 60, 96)
    if spec.head is not None:
        assert output.logits.shape == (6, 3)


@pytest.mark.parametrize(("width", "millions"), [("small", 0.66), ("paper", 6.3)])
def test_number_of_weights(width, millions):
    model = make_model("context", width)
    assert sum(p.value.size for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_images_shrink_as_designed():
    model = make_model("context")
    x = np.zeros((2, 60, 96, 1), np.float32)
    shapes = []
    for name, layer in model.encoder.sublayers().items():
        x, _ = layer.forward(x)
        if name.startswith("conv") and name[4:].isdigit():
            shapes.append(x.shape[1:3])
    assert shapes == [(5, 16), (4, 8), (3, 4), (2, 2)]


def test_the_decoder_holds_the_encoders_own_weights():
    model = make_model("context")
    for name, layer in model.decoder.sublayers().items():
        if hasattr(layer, "weight"):
            assert layer.weight is getattr(model.encoder, name).weight
    names = model.named_parameters()
    assert not any(name.startswith("decoder") and name.endswith("weight") for name in names)
    gammas = [p for name, p in names.items() if name.endswith("gamma")]
    assert len({id(p) for p in gammas}) == len(gammas) == 7 + 6  # each norm is its own
    biases = [name for name in names if name.endswith("bias")]
    assert biases == ["decoder.conv1.bias"]


def test_encoding_does_not_depend_on_the_batch_or_the_device(xp):
    model, rolls = make_model("context"), make_batch(7, dtype=np.float32).input
    whole = model.encode(rolls)
    model.to(xp)
    rolls = xp.asarray(rolls)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(to_host(model.encode(rolls)), whole, **close)
    np.testing.assert_allclose(to_host(model.encode(rolls, batch_size=3)), whole, **close)
    np.testing.assert_allclose(to_host(model.encode(rolls[2:3]))[0], whole[2], **close)
    assert model.encode(rolls[:0]).shape == (0, 100)


def test_a_state_can_be_loaded_on_either_device(xp):
    a, b = make_model("regularized", seed=0), make_model("regularized", seed=1)
    batch = make_batch(dtype=np.float32)
    a.to(xp).loss(batch.to(xp), training=True)  # moves the running statistics
    b.load_state(a.state())
    assert {type(value) for value in a.state().values()} == {np.ndarray}
    for name, value in b.state().items():
        np.testing.assert_array_equal(value, a.state()[name])
    theirs = b.encode(batch.input)
    np.testing.assert_allclose(
        to_host(a.encode(xp.asarray(batch.input))), theirs, rtol=1e-4, atol=1e-6
    )
    a.load_state(b.state())
    np.testing.assert_allclose(
        to_host(a.encode(xp.asarray(batch.input))), theirs, rtol=1e-4, atol=1e-6
    )


def test_the_state_of_another_model_is_refused():
    small = make_model("context")
    with pytest.raises(InputError, match="another width"):
        small.load_state(make_model("context", "paper").state())
    with pytest.raises(InputError, match="no head"):
        make_model("composer").load_state(small.state())


def test_an_encoder_with_counts_of_intervals_and_one_without():
    rng = np.random.default_rng
    own, plain = (Model("contrastive", "small", COMPOSERS, rng(0), intervals=n) for n in (None, 0))
    paper = make_model("context")
    assert plain.encoder.named_parameters().keys() == paper.encoder.named_parameters().keys()
    assert own.spec.intervals == MODELS["contrastive"].intervals > 0
    assert own.encoder.dense1.weight.value.shape[0] == 1024 + own.spec.intervals
    five = Model("composer", "small", COMPOSERS, rng(0), intervals=5)
    assert five.encoder.features.intervals.dense.weight.value.shape == (COUNTS, 5)
    rolls = make_batch(dtype=np.float32).input
    before = own.encode(rolls)
    own.encoder.features.intervals.norm.beta.value += 1
    assert np.abs(own.encode(rolls) - before).max() > 1e-3  # the embedding depends on the counts


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.context])
def test_a_model_with_a_decoder_takes_no_counts_of_intervals(name):
    with pytest.raises(InputError, match=r"^--intervals 5.*composer, contrastive"):
        Model(name, "small", COMPOSERS, np.random.default_rng(0), intervals=5)


@pytest.mark.parametrize(("name", "width"), [("contest", "small"), ("context", "tiny")])
def test_unknown_names(name, width):
    with pytest.raises(InputError, match="choose one of"):
        make_model(name, width)


def test_widths_fit_the_embedding():
    assert {w.dense[-1] for w in WIDTHS.values()} == {100}
