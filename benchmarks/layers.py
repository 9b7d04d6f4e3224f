"""Where does the time of a training step go, layer by layer, and how much of it is arithmetic?

    python -m benchmarks.layers [--width paper] [--json]

Times each layer's forward and backward inside whole training steps, and the matrix products in
them. The arithmetic limit is what the products would take at the rate of the machine's sgemm.
"""

import time
from collections import defaultdict

import numpy as np

from benchmarks.machine import finish, gflops_of, positive, read_options, sgemm, side_by_side
from benchmarks.parser import BenchmarkParser
from benchmarks.step import random_batch
from tinyembed.backends import arrays
from tinyembed.cli.running import run
from tinyembed.layers import candidate_loss, conv, dense, first_conv
from tinyembed.models.model import Model
from tinyembed.training.optimizers import Adam, Flat

PRODUCTS = [
    (module, name)
    for module in (conv, dense, first_conv, candidate_loss)
    for name in ("matmul", "add_matmul")
    if hasattr(module, name)
]


def main(argv=None):
    parser = BenchmarkParser("layers", __doc__.splitlines()[0])
    parser.share("--width")
    parser.add_argument("--steps", type=positive, default=20, help="to take the median of")
    options = read_options(parser, argv)
    rate = gflops_of(side_by_side({"sgemm": sgemm()}, 7)["sgemm"])
    rows, total = profile(options.width, options.steps)
    for row in rows:
        row["limit_ms"] = row["gflop"] / rate * 1e3
    result = {
        "sgemm_gflops": rate,
        "step_ms": total,
        "limit_ms": sum(row["limit_ms"] for row in rows),
        "rows": rows,
    }
    if not options.json:
        print(table(rows, total))
    finish(f"layers-{options.width}", result, options)
    return 0


def profile(width, steps):
    """A row for each layer of encoder and decoder, the loss and Adam; and ms per step."""
    model, batch = Model("context", width, [], np.random.default_rng(0)), random_batch(100)
    optimizer = Adam(Flat(model.parameters()))
    clock = Clock()
    for part in ("encoder", "decoder"):
        for name, layer in getattr(model, part).sublayers().items():
            clock.watch(layer, f"{part} {name}")
    clock.watch(model.candidate_loss, "loss")
    clock.watch(optimizer, "Adam", ("step",))
    clock.watch_products()
    totals = []
    try:
        for step in range(steps + 3):  # the first ones warm up
            if step == 3:
                clock.steps.clear()
            clock.steps.append(defaultdict(lambda: [0.0, 0.0, 0.0]))
            began = time.perf_counter()
            _, cache = model.loss(batch, training=True)
            model.loss_backward(cache)
            optimizer.step(1e-3)
            totals.append(time.perf_counter() - began)
    finally:
        clock.leave_products()
    rows = []
    for name in clock.steps[0]:
        every = np.array([step[name] for step in clock.steps])  # (steps, 3)
        whole, products = np.median(every[:, :2], axis=0) * 1e3
        rows.append({"name": name, "ms": whole, "product_ms": products, "gflop": every[0, 2]})
    return rows, float(np.median(totals[3:]) * 1e3)


class Clock:
    """Times methods, and the matrix products inside them."""

    def __init__(self):
        self.steps, self.inside = [], None

    def watch(self, thing, name, methods=("forward", "backward")):
        """Time a thing's methods from now on, under a name."""
        for method in methods:
            setattr(thing, method, self._timed(getattr(thing, method), name))

    def _timed(self, method, name):
        def timed(*args):
            self.inside = name
            began = time.perf_counter()
            result = method(*args)
            self.steps[-1][name][0] += time.perf_counter() - began
            return result

        return timed

    def watch_products(self):
        """Time every matrix product of the layers from now on."""
        for module, name in PRODUCTS:
            setattr(module, name, self._product(getattr(arrays, name)))

    def leave_products(self):
        """And no longer."""
        for module, name in PRODUCTS:
            setattr(module, name, getattr(arrays, name))

    def _product(self, multiply):
        def timed(*matrices):  # a, b, or total, a, b
            began = time.perf_counter()
            result = multiply(*matrices)
            entry = self.steps[-1][self.inside]
            entry[1] += time.perf_counter() - began
            a, b = matrices[-2:]
            entry[2] += 2 * a.shape[0] * a.shape[1] * b.shape[1] / 1e9
            return result

        return timed


def table(rows, total):
    lines = [f"{'':24}{'ms':>8}{'products':>10}{'limit':>8}"]
    rest = total - sum(row["ms"] for row in rows)
    everything = {
        "name": "all", "ms": total, "product_ms": sum(row["product_ms"] for row in rows),
        "limit_ms": sum(row["limit_ms"] for row in rows),
    }  # fmt: skip
    between = {"name": "between layers", "ms": rest, "product_ms": 0, "limit_ms": 0}
    for row in [*rows, between, everything]:
        lines.append(
            f"{row['name']:24}{row['ms']:8.2f}{row['product_ms']:10.2f}{row['limit_ms']:8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
