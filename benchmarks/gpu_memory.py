"""Whether a process keeps GPU memory of trainings that have ended.

Ten trainings, one after the other, each with its recorded step; after each, all of it is dropped.
What the GPU holds then must not grow.
"""

import gc

from benchmarks.gpu_pass import made_up_corpus
from tinyembed.backends.choice import engine_for
from tinyembed.training.trainer import Trainer

TRAININGS, STEPS = 10, 6  # each; two warm up, the third is recorded


def used_bytes(xp):
    """Of the GPU's memory, by whatever process, once the free blocks are given back."""
    gc.collect()
    xp.cuda.Device().synchronize()
    xp.get_default_memory_pool().free_all_blocks()
    free, total = xp.cuda.Device().mem_info
    return total - free


def trainings(width, xp, times=TRAININGS, batch_size=100):
    """Train several times: {"before_bytes", "after_bytes": one per training, "growth_bytes"}.

    growth_bytes: from the first to the last; what the first leaves is there once, such as compiled
    kernels and cuBLAS's workspace.
    """
    corpus = made_up_corpus(30, 60)
    before, after = used_bytes(xp), []
    for seed in range(times):
        _train(corpus, width, seed, batch_size, xp)
        after.append(used_bytes(xp))
    return {
        "width": width,
        "batch_size": batch_size,
        "before_bytes": before,
        "after_bytes": after,
        "growth_bytes": after[-1] - after[0],
    }


def _train(corpus, width, seed, batch_size, xp):
    config = {
        "model": "context", "width": width, "examples": STEPS * batch_size,
        "batch_size": batch_size, "seed": seed, "learning_rate": 1e-3, "temperature": 1.0,
    }  # fmt: skip
    trainer = Trainer(None, config, corpus, engine_for(xp))
    with trainer.engine.running():
        for _ in range(STEPS):
            trainer.take_step()
