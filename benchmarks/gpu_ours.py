"""Our training steps on a GPU: each kernel started by itself, and replayed as a CUDA graph.

`Replayed` is what `tinyembed.train` takes its steps with. On a CPU there is no graph.

A step is built by a function, so that each way to take it has a network of its own. All begin with
the same weights.
"""

import functools
import operator

import numpy as np

from benchmarks import lstm
from benchmarks.step import random_batch
from tinyembed.backends.cupy.graphs import WARM_UP, Replayed
from tinyembed.errors import WorkError
from tinyembed.evaluation.prediction import RECIPE, inputs_and_target
from tinyembed.evaluation.predictor import GIVEN, Predictor
from tinyembed.layers.contrastive_loss import BatchCosineLoss
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING, MODELS
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.training.examples import Batch
from tinyembed.training.optimizers import Adam, Flat

COMPOSERS = [f"composer{n}" for n in range(25)]


def model_step(name, width, batch, xp):
    """A function that takes one training step of a model, Adam's included, and returns its loss.

    name, width: of the model; batch: a `Batch` on the host.
    """
    model = Model(name, width, COMPOSERS, np.random.default_rng(0)).to(xp)
    given, adam = batch.to(xp), Adam(Flat(model.parameters()))
    factors = xp.asarray(np.array(adam.factors(1, 1e-3), np.float32))  # as a graph needs them

    def step():
        losses, cache = model.loss(given, training=True)
        model.loss_backward(cache)
        adam.update(factors[0], factors[1])
        return functools.reduce(operator.add, losses.values())

    return step


def contrastive_batch(n, seed=0):
    """A `Batch` of n units for the contrastive model: excerpts of random rolls.

    n: a multiple of the length of an excerpt.
    """
    length = MODELS["contrastive"].excerpt
    rng, plain = np.random.default_rng(seed), random_batch(n, seed)
    first = 1000 * np.arange(n // length)[:, None]  # beats: excerpts are far apart
    beat = (first + BEATS_PER_UNIT * np.arange(length)).ravel()
    composer = np.repeat(rng.integers(len(COMPOSERS), size=n // length), length)
    return Batch(plain.input, None, plain.candidates, composer, plain.clean, beat)


def lstm_step(x, dy, xp):
    """The step of benchmarks/lstm.py, without Adam; it returns the last outputs."""
    return lstm.our_step(lstm.our_network().to(xp), xp.asarray(x), xp.asarray(dy))


def predictor_step(n, xp, units=20_000):
    """A training step of the network that predicts the eighth unit, Adam's included.

    n: sequences per step; units: embeddings that they are gathered from. It returns the loss.
    """
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((units, EMBEDDING), dtype=np.float32)
    network = Predictor(EMBEDDING, embeddings, RECIPE.shortcut, RECIPE.attention, rng).to(xp)
    rows = xp.asarray(rng.integers(units, size=(GIVEN + 1, n)))  # (8, N)
    embeddings, loss = xp.asarray(embeddings), BatchCosineLoss(RECIPE.temperature)
    adam = Adam(Flat(network.parameters()))
    factors = xp.asarray(np.array(adam.factors(1, RECIPE.rate), np.float32))

    def step():
        x, target = inputs_and_target(embeddings, rows)
        y, cache = network.forward(x, training=True)
        found, loss_cache = loss.forward(y, target)
        network.backward(loss.backward(loss_cache), cache)
        adam.update(factors[0], factors[1])
        return found

    return step


def ways(xp, build, *arguments):
    """{name: builder} of our ways to take a step: as it is, and where that can be, as a graph.

    build: one of the functions above, and its arguments without the last, xp.
    """
    builders = {"tinyembed": lambda: build(*arguments, xp)}
    if xp is not np:
        builders["tinyembed, graph"] = lambda: recorded(build(*arguments, xp), xp)
    return builders


def recorded(step, xp):
    """The step as a CUDA graph. Raises WorkError where it cannot be recorded."""
    said = []
    replayed = Replayed(step, xp, say=said.append)
    for _ in range(WARM_UP + 1):
        replayed()
    if not replayed.graph:
        raise WorkError(" ".join(said))
    return replayed


def launches(step, xp):
    """{"launches"} of a step as the tests' stand-in for CuPy counts them; {} on a real GPU."""
    standin = getattr(xp, "standin", None)
    if standin is None:
        return {}
    standin.reset()
    step()
    counts = standin.counts()
    return {"launches": counts["launches"] + counts["replayed"]}
