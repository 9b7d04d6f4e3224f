"""Several ways to take the same step, timed in turns on one GPU."""

import numpy as np

from benchmarks.gpu_bench import reason
from benchmarks.gpu_ours import launches
from benchmarks.machine import ratio, side_by_side, spread
from tinyembed.backends.arrays import matmul, to_host
from tinyembed.errors import WorkError

TURNS, TURN_S = 11, 0.05  # that each way takes, and seconds per turn
AGREE = {False: 1e-4, True: 1e-2}  # relative: two losses on the same weights, in FP32 and in TF32
KINDS = ("torch eager", "torch graph", "torch compiled", "torch compiled, graph")


def compare(bench, builders, tf32, flops=None, examples=1):
    """An entry: how long each way takes, and how much faster our fastest one is.

    builders: {name: function that returns a step}, names of ours begin with "tinyembed", those of
    PyTorch's with a kind of `KINDS`; tf32: how products are computed; flops: operations of a step's
    products; examples: of a step. The first step of "tinyembed" and of "torch eager" must give the
    same. A way that cannot be built is named under "failed".
    """
    bench.use_tf32(tf32)
    ways, first, failed = built(builders)
    if {"tinyembed", "torch eager"} <= set(first):
        agree(first["tinyembed"], first["torch eager"], tf32)
    turns, turn_s = (1, 0) if bench.quick else (TURNS, TURN_S)
    taken = side_by_side(ways, turns, turn_s, bench.wait)
    entry = {"tf32": tf32, "ways": {}, "failed": failed, "times_faster_than": {}}
    for name, seconds in taken.items():
        ms = spread(1e3 * np.array(seconds))
        entry["ways"][name] = {"ms": ms, "examples_per_s": 1e3 * examples / ms["median"]}
        if name.startswith("tinyembed"):
            entry["ways"][name] |= launches(ways[name], bench.xp)
    if flops:
        peak = product_gflops(bench, tf32)
        entry |= {"gflop": flops / 1e9, "product_gflops": peak, "arithmetic_ms": flops / peak / 1e6}
    ours = fastest(taken, "tinyembed")
    entry["ours"] = ours
    for kind in (*KINDS, "torch"):
        if ours and (best := fastest(taken, kind)):
            entry["times_faster_than"][kind] = {
                "of": best,
                "ratio": ratio(taken[ours], taken[best]),
            }
    return entry


def built(builders):
    """Build each way and take its first step.

    Returns the ways, what their first steps gave, and why the others failed: three dicts by name.
    """
    ways, first, failed = {}, {}, {}
    for name, builder in builders.items():
        try:
            way = builder()
            first[name] = way()
        except Exception as error:  # one way less; the others are still worth their time
            failed[name] = reason(error)
        else:
            ways[name] = way
    return ways, first, failed


def agree(ours, theirs, tf32):
    """Raise WorkError unless both networks gave the same: they are meant to be the same."""
    ours, theirs = to_host(ours), theirs.cpu().numpy()
    apart = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not apart <= AGREE[tf32]:
        raise WorkError(f"ours and PyTorch's networks differ by {apart:.1e}; nothing to compare")


def fastest(taken, kind):
    """The fastest way of this kind, or None. "torch" is any of PyTorch's, "tinyembed" of ours.

    A name is its kind, and perhaps ", channels last".
    """
    whole = kind in ("torch", "tinyembed")
    of_kind = [
        name
        for name in taken
        if (name.startswith(kind) if whole else name.removesuffix(", channels last") == kind)
    ]
    return min(of_kind, key=lambda name: np.median(taken[name]), default=None)


def product_gflops(bench, tf32):
    """What the matrix product reaches at a good shape: 1e9 operations per second."""
    if tf32 not in bench.peaks:
        size = 64 if bench.quick else 8192
        work = {"product": product(bench.xp, size)}
        seconds = side_by_side(work, 3, 0 if bench.quick else 0.1, bench.wait)["product"]
        bench.peaks[tf32] = 2 * size**3 / min(seconds) / 1e9
    return bench.peaks[tf32]


def product(xp, size):
    """A function that multiplies two matrices of this size on the GPU."""
    rng = np.random.default_rng(0)
    a, b = (xp.asarray(x) for x in rng.standard_normal((2, size, size), dtype=np.float32))
    return lambda: matmul(a, b)
