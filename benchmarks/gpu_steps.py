"""The parts of benchmarks/gpu.py that time training steps, ours beside PyTorch's.

A part is a function that lists its tasks, the most important first: [(what, function)]. A task
returns an entry of the results file.
"""

from functools import partial
from itertools import product

import numpy as np

from benchmarks import gpu_ours, lstm
from benchmarks.gpu_compare import compare
from benchmarks.step import random_batch, step_flops
from tinyembed.evaluation.prediction import BATCH as PREDICTED
from tinyembed.models.table import MODELS, WIDTHS

PRECISIONS = {"TF32": True, "FP32": False}
QUICK_BATCH, QUICK_EXCERPTS = 10, 128  # units per step; 128 are the fewest that hold excerpts


def cases(bench):
    """[(text, width, batch, whether in TF32)]: batch sizes as given, the largest width first."""
    widths = [w for w in reversed(WIDTHS) if bench.options.width in (w, "both")]
    batches = bench.options.batch
    if bench.quick:
        widths, batches = widths[-1:], [QUICK_BATCH]
    return [
        (f"{width} width, batch {n:,}, {precision}", width, n, PRECISIONS[precision])
        for n, width, precision in product(batches, widths, PRECISIONS)
    ]


def steps(bench):
    """A training step of the context model, beside PyTorch's: eager, and as a graph."""

    def task(width, n, tf32):
        theirs = bench.peer.autoencoder_ways(width, random_batch(n)) if bench.peer else {}
        return context_model(bench, width, n, tf32, theirs)

    return [(what, partial(task, *case)) for what, *case in cases(bench)]


def compiled(bench):
    """The same beside PyTorch's compiled steps: by themselves, and inside a graph."""

    def task(width, n, tf32, images):
        theirs = bench.peer.compiled_ways(width, random_batch(n), images)
        return context_model(bench, width, n, tf32, theirs)

    return [
        (what + images, partial(task, *case, images))
        for images in reversed(bench.peer.FORMATS)
        for what, *case in cases(bench)[: 1 if bench.quick else None]
    ]


def context_model(bench, width, n, tf32, theirs):
    """An entry on the context model's step, beside the ways of PyTorch's in `theirs`."""
    ours = gpu_ours.ways(bench.xp, gpu_ours.model_step, "context", width, random_batch(n))
    entry = compare(bench, ours | theirs, tf32, step_flops(width, n), n)
    return {"width": width, "batch_size": n} | entry


def contrastive(bench):
    """A training step of the contrastive model, which has no peer."""
    n = QUICK_EXCERPTS if bench.quick else MODELS["contrastive"].batch_size

    def task(width, tf32):
        batch = gpu_ours.contrastive_batch(n)
        ours = gpu_ours.ways(bench.xp, gpu_ours.model_step, "contrastive", width, batch)
        entry = compare(bench, ours, tf32, examples=n)
        return {"model": "contrastive", "width": width, "batch_size": n} | entry

    first = cases(bench)[0][2]
    return [
        (f"{width} width, {precision_of(tf32)}", partial(task, width, tf32))
        for _, width, batch, tf32 in cases(bench)
        if batch == first
    ]


def lstm_steps(bench):
    """Forward and backward of three layers of LSTM, beside torch.nn.LSTM."""
    n = QUICK_BATCH if bench.quick else lstm.BATCH

    def task(tf32):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((lstm.STEPS, n, lstm.FEATURES), dtype=np.float32)
        dy = rng.standard_normal((n, lstm.UNITS), dtype=np.float32)
        ways = gpu_ours.ways(bench.xp, gpu_ours.lstm_step, x, dy)
        if bench.peer:
            ways |= bench.peer.lstm_ways(lstm.our_network(), x, dy)
        flops = lstm.step_flops() * n / lstm.BATCH
        entry = compare(bench, ways, tf32, flops, n)
        return {"model": "LSTM", "batch_size": n} | entry

    return [(precision, partial(task, tf32)) for precision, tf32 in PRECISIONS.items()]


def predictor(bench):
    """A training step of the network that predicts the eighth unit: LSTM, shortcut, Adam."""

    n = QUICK_BATCH if bench.quick else PREDICTED

    def task(tf32):
        ways = gpu_ours.ways(bench.xp, gpu_ours.predictor_step, n)
        entry = compare(bench, ways, tf32, examples=n)
        return {"model": "predictor", "batch_size": n} | entry

    return [(precision, partial(task, tf32)) for precision, tf32 in PRECISIONS.items()]


def precision_of(tf32):
    """What to call it."""
    return "TF32" if tf32 else "FP32"
