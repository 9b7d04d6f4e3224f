"""Our training steps on a GPU: each kernel started by itself, and replayed as a CUDA graph.

`Replayed` is what `tinyembed.train` takes its steps with. On a CPU there is no graph.
"""

import numpy as np

from benchmarks import lstm
from tinyembed.backends.cupy.graphs import WARM_UP, Replayed
from tinyembed.models.model import Model
from tinyembed.training.optimizers import Adam, Flat


def autoencoder_steps(width, batch, xp):
    """{name: function} of our ways to take a training step of the context model.

    batch: a `Batch` on the host. Each way has a model of its own; "tinyembed" returns the losses.
    """

    def build():
        model = Model("context", width, [], np.random.default_rng(0)).to(xp)
        given, adam = batch.to(xp), Adam(Flat(model.parameters()))
        factors = xp.asarray(np.array(adam.factors(1, 1e-3), np.float32))  # as a graph needs them

        def step():
            losses, cache = model.loss(given, training=True)
            model.loss_backward(cache)
            adam.update(factors[0], factors[1])
            return losses["reconstruction"]

        return step

    return both_ways(build, xp)


def lstm_steps(x, dy, xp):
    """The same for the LSTM of benchmarks/lstm.py; "tinyembed" returns its last outputs."""

    def build():
        network = lstm.our_network().to(xp)
        return lstm.our_step(network, xp.asarray(x), xp.asarray(dy))

    return both_ways(build, xp)


def both_ways(build, xp):
    """The step that `build` makes, once as it is and once as a graph, where that can be."""
    ways = {"tinyembed": build()}
    if xp is not np:
        replayed = Replayed(build(), xp)
        for _ in range(WARM_UP + 1):
            replayed()
        if replayed.graph:
            ways["tinyembed, graph"] = replayed
    return ways


def launches(step, xp):
    """{"launches"} of a step as the tests' stand-in for CuPy counts them; {} on a real GPU."""
    standin = getattr(xp, "standin", None)
    if standin is None:
        return {}
    standin.reset()
    step()
    counts = standin.counts()
    return {"launches": counts["launches"] + counts["replayed"]}
