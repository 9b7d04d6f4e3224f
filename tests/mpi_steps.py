"""The first steps of every model, in one process or in several: for test_mpi.py.

    mpiexec -n 3 python tests/mpi_steps.py MUSIC OUT.npz STEPS [gpu] [MODEL ...]

MUSIC: a folder of pieces of sixteen units and more. OUT.npz then holds the losses of each step,
and the gradients of a first step in float64.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BATCHES = {0: 20, 16: 128}  # by the length of an excerpt: 3 processes have unequal parts of both
CONFIG = {"width": "tiny", "seed": 0, "learning_rate": 5e-3}


def steps(company, music, steps, device="cpu", models=None):
    """{name: array}: the losses and the gradients."""
    from tinyembed.backends.choice import engine_for
    from tinyembed.cli.devices import choose_device
    from tinyembed.models.table import MODELS
    from tinyembed.music.corpus import Corpus

    engine = engine_for(choose_device(device), company=company)
    corpus = engine.once(lambda: Corpus.from_folder(music, progress=False))
    found = {}
    for name in models or MODELS:
        spec = MODELS[name]
        size = BATCHES[spec.excerpt]
        config = {**CONFIG, "model": name, "batch_size": size, "examples": size * 50}
        config |= {"temperature": spec.temperature, "negatives": 9 if spec.excerpt else None}
        found[f"losses of {name}"] = losses_of(corpus, config, engine, steps)
        if device == "cpu":
            found[f"gradients of {name}"] = gradients_of(corpus, config, engine)
    return found


def losses_of(corpus, config, engine, steps):
    """The sum of the losses of each step, and then the validation's."""
    from tinyembed.training.trainer import Trainer
    from tinyembed.training.validation import validation_losses

    trainer, found = Trainer(None, config, corpus, engine), []
    with engine.running(), np.errstate(all="ignore"):
        for _ in range(steps):
            trainer.take_step()
            found.append(sum(float(s) for s in trainer._sums.values()))
            for name in trainer._sums:
                trainer._sums[name] *= 0
        found.append(sum(validation_losses(trainer.model, trainer.validation).values()))
    return np.array(found)


def gradients_of(corpus, config, engine):
    """The gradients of all parameters on the first batch, in float64."""
    from tinyembed.layers.gradcheck import cast
    from tinyembed.training.optimizers import Flat
    from tinyembed.training.trainer import Trainer

    trainer = Trainer(None, config, corpus, engine)
    model, (batch, _) = cast(trainer.model, float), trainer.batches.at(0)
    flat = Flat(model.parameters())
    batch.input, batch.clean = batch.input.astype(float), batch.clean.astype(float)
    if batch.target is not None:
        batch.target = batch.target.astype(float)

    def step():
        model.loss_backward(model.loss(batch, training=True)[1])
        engine.add_up(flat.grads)

    with engine.running():
        engine.repeat(step)()
    return flat.packed(flat.grads)


def main(words):
    from tinyembed.cli.processes import together
    from tinyembed.models.table import WIDTHS, Width

    WIDTHS["tiny"] = Width(conv=(4, 6, 6, 8), dense=(16, 12, 100))
    music, out, n, *rest = words

    def work(company):
        found = steps(company, music, int(n), *(rest[:1] or ["cpu"]), models=rest[1:])
        if company is None or company.rank == 0:
            np.savez(out, **found)

    return together(work)


if __name__ == "__main__":
    if "gpu" in sys.argv:
        sys.path.insert(0, str(HERE / "standin"))
    sys.exit(main(sys.argv[1:]))
