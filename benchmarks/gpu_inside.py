"""The parts of benchmarks/gpu.py that look inside: kernels, memory, and a training as a whole.

Tasks as in gpu_steps.py.
"""

from functools import partial

from benchmarks import gpu_ours
from benchmarks.gpu_memory import TRAININGS, trainings
from benchmarks.gpu_nodes import REPEATS, driver_bindings, kernels
from benchmarks.gpu_operations import operations
from benchmarks.gpu_pass import BATCH, UNITS, made_up_corpus, time_a_pass
from benchmarks.gpu_steps import PREDICTED, QUICK_BATCH, QUICK_EXCERPTS, cases, precision_of
from benchmarks.step import random_batch
from tinyembed.models.table import MODELS
from tinyembed.stores.sources import open_corpus

QUICK_BATCHES, QUICK_TRAININGS = 3, 2


def whole_pass(bench):
    """One pass over 4 million units, batches and log included, at the largest width, in TF32."""
    options, width = bench.options, cases(bench)[0][1]

    def task():
        batch, batches, music = BATCH, UNITS // BATCH, {}
        if bench.quick:
            batch, batches, music = QUICK_BATCH, QUICK_BATCHES, {"pieces": 30, "beats": 40}
        if options.data:
            corpus = open_corpus(options.data, progress=not options.json)
        else:
            corpus = made_up_corpus(**music)
        bench.use_tf32(True)
        found = time_a_pass(corpus, width, batches, bench.xp, batch)
        return {"tf32": True, "music": "given" if options.data else "made up", **found}

    return [(f"{width} width", task)]


def each_kernel(bench):
    """What each kernel of our recorded steps takes, its blocks and its occupancy."""
    driver, launches = driver_bindings(), 2 if bench.quick else REPEATS
    return ours_alone(bench, lambda step: kernels(step, bench.xp, driver, launches))


def each_operation(bench):
    """What each operation of our steps takes, without a graph."""
    return ours_alone(bench, lambda step: operations(step, bench.xp, bench.quick))


def ours_alone(bench, measure):
    """Tasks that measure a step of the context model, of the contrastive one, of the predictor."""
    _, width, n, tf32 = cases(bench)[0]
    contrastive = QUICK_EXCERPTS if bench.quick else MODELS["contrastive"].batch_size
    predicted = QUICK_BATCH if bench.quick else PREDICTED
    builders = {
        "context": lambda: gpu_ours.model_step("context", width, random_batch(n), bench.xp),
        "contrastive": lambda: gpu_ours.model_step(
            "contrastive", width, gpu_ours.contrastive_batch(contrastive), bench.xp
        ),
        "predictor": lambda: gpu_ours.predictor_step(predicted, bench.xp),
    }
    sizes = {"context": n, "contrastive": contrastive, "predictor": predicted}

    def task(model):
        bench.use_tf32(tf32)
        about = {"model": model, "width": width, "batch_size": sizes[model], "tf32": tf32}
        return about | measure(builders[model]())

    return [(model, partial(task, model)) for model in builders]


def profile(bench):
    """What PyTorch's profiler sees of the same step in all ways."""
    what, width, n, tf32 = cases(bench)[0]

    def task():
        from benchmarks.gpu_profile import profiled

        bench.use_tf32(tf32)
        builders = gpu_ours.ways(
            bench.xp, gpu_ours.model_step, "context", width, random_batch(n)
        ) | bench.peer.autoencoder_ways(width, random_batch(n))
        ways = {
            name: profiled(build(), bench.wait, 1 if bench.quick else 20)
            for name, build in builders.items()
        }
        return {"width": width, "batch_size": n, "tf32": tf32, "ways": ways}

    return [(what, task)]


def memory(bench):
    """What the GPU's memory holds after each of ten trainings in this process."""
    _, width, n, tf32 = cases(bench)[0]

    def task():
        bench.use_tf32(tf32)
        return trainings(width, bench.xp, QUICK_TRAININGS if bench.quick else TRAININGS, n)

    return [(f"{width} width, {precision_of(tf32)}", task)]
