"""How fast is one training step of the LSTM of section 5.0.1, beside torch.nn.LSTM's?

    python -m benchmarks.lstm [--json]

Three layers of 400 units over seven embeddings of 100 numbers, batch 100, the last output: forward
and backward, gradients of all weights. Same weights, float32, in turns.
"""

import numpy as np

from benchmarks.machine import (
    finish,
    fraction_of_sgemm,
    gflops_of,
    positive,
    ratio,
    read_options,
    sgemm,
    side_by_side,
    spread,
)
from benchmarks.parser import BenchmarkParser
from tinyembed.backends.cpu.threads import workers
from tinyembed.cli.running import run
from tinyembed.layers.layer import Sequential
from tinyembed.layers.lstm import LastStep, Lstm
from tinyembed.training.optimizers import Flat

STEPS, BATCH, FEATURES, UNITS, LAYERS = 7, 100, 100, 400, 3


def main(argv=None):
    parser = BenchmarkParser("lstm", __doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=11, help="turns that each takes")
    options = read_options(parser, argv)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS, BATCH, FEATURES), dtype=np.float32)
    dy = rng.standard_normal((BATCH, UNITS), dtype=np.float32)
    ours = our_network()
    rivals = {
        "tinyembed": our_step(ours, x, dy),
        "torch.nn.LSTM": their_step(ours, x, dy),
        "sgemm": sgemm(),
    }
    taken = side_by_side(rivals, options.rounds)
    product = taken.pop("sgemm")
    seconds = float(np.median(taken["tinyembed"]))
    result = {
        "gflop_a_step": step_flops() / 1e9,
        "sgemm_gflops": gflops_of(product),
        "fraction_of_sgemm": fraction_of_sgemm(step_flops(), taken["tinyembed"], product),
        "torch_fraction_of_sgemm": fraction_of_sgemm(step_flops(), taken["torch.nn.LSTM"], product),
        "gflops": step_flops() / seconds / 1e9,
        "torch_gflops": step_flops() / float(np.median(taken["torch.nn.LSTM"])) / 1e9,
        "ratio": ratio(taken["tinyembed"], taken["torch.nn.LSTM"]),
        "seconds": {name: spread(s) for name, s in taken.items()},
    }
    if not options.json:
        for name, s in taken.items():
            print(f"{name:16}{1e3 * np.median(s):8.1f} ms per step")
        print(f"{'ratio':16}{result['ratio']:8.2f}")
        print(f"{'of sgemm':16}{result['fraction_of_sgemm']:8.0%}")
        print(f"{'theirs':16}{result['torch_fraction_of_sgemm']:8.0%}")
    finish("lstm", result, options)
    return 0


def our_network():
    rng = np.random.default_rng(0)
    sizes = [FEATURES] + [UNITS] * LAYERS
    layers = {f"lstm{i}": Lstm(sizes[i], sizes[i + 1], rng=rng) for i in range(LAYERS)}
    return Sequential(**layers, last=LastStep())


def our_step(network, x, dy):
    flat = Flat(network.parameters())

    def step():
        flat.grads[...] = 0
        y, cache = network.forward(x, training=True)
        network.backward(dy, cache)
        return y

    return step


def their_step(network, x, dy, device="cpu", wrap=lambda function: function):
    """The same with PyTorch, from the same weights.

    device: where; wrap: what is done to the function that runs the network, such as torch.compile.
    """
    import torch

    torch.set_num_threads(workers())
    theirs = torch.nn.LSTM(FEATURES, UNITS, num_layers=LAYERS)
    for i, layer in enumerate(list(network.sublayers().values())[:LAYERS]):
        for name, parameter in zip(
            ("weight_ih", "weight_hh", "bias_ih"), layer.parameters(), strict=True
        ):
            getattr(theirs, f"{name}_l{i}").data = torch.tensor(parameter.value.T.copy())
        getattr(theirs, f"bias_hh_l{i}").data.zero_()
    theirs.to(device).flatten_parameters()
    given = torch.tensor(x, device=device, requires_grad=True)
    gradient = torch.tensor(dy, device=device)
    last = wrap(lambda x: theirs(x)[0][-1])

    def step():
        theirs.zero_grad()
        given.grad = None
        y = last(given)
        y.backward(gradient)
        return y.detach()

    return step


def step_flops():
    """Of the products with W_x and W_h: each forward and twice backward, over all seven steps.

    Those with the first h, which is 0, count too, though they need not be done.
    """
    products = sum(size + UNITS for size in [FEATURES] + [UNITS] * (LAYERS - 1))
    return 3 * 2 * STEPS * BATCH * products * 4 * UNITS


if __name__ == "__main__":
    run(main)
