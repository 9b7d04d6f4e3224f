"""How fast is one training step, beside PyTorch's?

    python -m benchmarks.step [--width paper] [--vs torch] [--compile] [--busy 2] [--json]

Forward, backward and Adam of the context model on one batch of 100 random rolls, float32, the
loss by candidates. The peer is the same network with the same weights, and the same loss and
gradients; it takes its steps eagerly, with images channels last, and compiled with --compile.
All take turns, several steps per turn, and one large matrix product with them (sgemm). The ratio is
to the fastest of theirs.
"""

import numpy as np

from benchmarks.machine import (
    as_in_training,
    busy,
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
from tinyembed.models.model import Model
from tinyembed.models.table import GEOMETRY, LAST_IMAGE, WIDTHS
from tinyembed.training.examples import Batch, draw_candidates
from tinyembed.training.optimizers import Adam, Flat

REST = 0.3  # seconds
SIZES = ((5, 16), (4, 8), (3, 4), LAST_IMAGE)  # of the images that the convolutions make


def main(argv=None):
    parser = BenchmarkParser("step", __doc__.splitlines()[0])
    parser.share("--width")
    parser.add_argument("--batch-size", type=positive, default=100, help="examples per step")
    parser.add_argument("--vs", choices=["torch", "nothing"], default="torch", help="the peer")
    parser.add_argument("--busy", type=positive, nargs="+", default=[], help="loops beside it")
    parser.add_argument("--compile", action="store_true", help="also torch.compile: minutes")
    parser.add_argument("--rounds", type=positive, default=11, help="turns that each takes")
    options = read_options(parser, argv)
    n = options.batch_size
    model = Model("context", options.width, [], np.random.default_rng(0))
    batch = random_batch(n)
    rivals = {"tinyembed": as_in_training(our_step(model, batch))}
    if options.vs == "torch":
        rivals |= their_steps(options.width, batch, options.compile)
    taken = side_by_side(rivals | {"sgemm": sgemm()}, options.rounds, rest=REST)
    ours, product = taken["tinyembed"], taken.pop("sgemm")
    work = step_flops(options.width, n)
    result = {
        "width": options.width,
        "batch_size": n,
        "examples_per_s": n / float(np.median(ours)),
        "sgemm_gflops": gflops_of(product),
        "fraction_of_sgemm": fraction_of_sgemm(work, ours, product),
        "gflop_a_step": work / 1e9,
        "seconds": {name: spread(seconds) for name, seconds in taken.items()},
    }
    if options.busy:
        result["beside"] = beside_loops(rivals, taken, options)
    if options.vs == "torch":
        theirs = {name: seconds for name, seconds in taken.items() if name != "tinyembed"}
        best = min(theirs, key=lambda name: np.median(theirs[name]))
        result |= {
            "torch_examples_per_s": n / float(np.median(theirs[best])),
            "torch_best": best,
            "ratio": ratio(ours, theirs[best]),
        }
    if not options.json:
        for name, seconds in taken.items():
            print(f"{name:24}{n / np.median(seconds):8.0f} examples/s")
        rate = f"{result['sgemm_gflops']:.0f} GFLOP/s"
        print(f"{'of sgemm':24}{result['fraction_of_sgemm']:8.0%} of {rate}")
        for loops, times in result.get("beside", {}).items():
            found = ", ".join(f"{name} {longer:.1f}" for name, longer in times.items())
            print(f"beside {loops} loops, times as long: {found}")
        if "ratio" in result:
            print(f"{'ratio':24}{result['ratio']:8.2f} to {result['torch_best']}")
    finish(f"step-{options.width}-{n}", result, options)
    return 0


def beside_loops(rivals, alone, options):
    """{loops: {name: times as long as alone}}, of the mean: a step may wait for a whole turn."""
    found = {}
    for loops in options.busy:
        with busy(loops):
            taken = side_by_side(rivals, options.rounds, rest=REST)
        found[str(loops)] = {
            name: float(np.mean(taken[name]) / np.median(alone[name])) for name in rivals
        }
    return found


def random_batch(n, seed=0):
    """A `Batch` of rolls as sparse as real ones, some 20 onsets each."""
    rng = np.random.default_rng(seed)
    rolls, target = (rng.random((2, n, 60, 96)) < 20 / (60 * 96)).astype(np.float32)
    return Batch(rolls, target, draw_candidates(n, rng), np.zeros(n, np.int64), rolls)


def our_step(model, batch):
    """A function that takes one training step."""
    optimizer = Adam(Flat(model.parameters()))

    def step():
        losses, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        optimizer.step(1e-3)
        return losses

    return step


def their_steps(width, batch, compiled):
    """{name: function} of the peer's ways to take the same step."""
    import torch

    from benchmarks.peer import Peer

    torch.set_num_threads(workers())
    given = [torch.tensor(a) for a in (batch.input, batch.target, batch.candidates)]

    def stepper(channels_last=False, compiled=False):
        peer = Peer(Model("context", width, [], np.random.default_rng(0))).train()
        if channels_last:
            peer = peer.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(peer.parameters(), lr=1e-3, fused=True)
        loss_of = torch.compile(peer.loss) if compiled else peer.loss

        def step():
            optimizer.zero_grad()
            loss_of(*given).backward()
            optimizer.step()

        return step

    steps = {"torch eager": stepper(), "torch channels last": stepper(channels_last=True)}
    if compiled:
        steps["torch compiled"] = stepper(channels_last=True, compiled=True)
    return steps


def step_flops(width, n):
    """Multiplications and additions of the matrix products in one step.

    Each layer's weight takes part six times: forward, and twice backward, in encoder and decoder;
    but nobody needs the first convolution's gradient with respect to the rolls.
    """
    channels, total = 1, 0
    for out, (kernel, _, _), size in zip(WIDTHS[width].conv, GEOMETRY, SIZES, strict=True):
        product = 2 * n * size[0] * size[1] * kernel[0] * kernel[1] * channels * out
        total += (5 if channels == 1 else 6) * product
        channels = out
    features = LAST_IMAGE[0] * LAST_IMAGE[1] * channels
    for out in WIDTHS[width].dense:
        total += 6 * 2 * n * features * out
        features = out
    return total


if __name__ == "__main__":
    run(main)
