"""One training of the table of ablations, with what `tinyembed.train` has no option for."""

from dataclasses import replace

from benchmarks.ablated import Row
from tinyembed.errors import InputError
from tinyembed.models.table import MODELS
from tinyembed.training.checkpoints import load_checkpoint
from tinyembed.training.optimizers import Adam
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer
from tinyembed.training.validation import compare_composers


def train(row: Row, seed, corpus, place, examples):
    """Train the model of a row to its end, or go on where that was left. place: a `Path`."""
    spec = MODELS[row.model]
    size = row.batch_size or spec.batch_size
    config = {
        "model": row.model,
        "width": row.width,
        "examples": examples // size * size,
        "batch_size": size,
        "seed": seed,
        "learning_rate": 1e-3,
        "temperature": row.temperature or spec.temperature,
        "negatives": row.negatives,
        "intervals": row.intervals,
    }
    there = (place / "config.json").exists()
    if there and Run.open(place)[1]["examples"] != config["examples"]:
        raise InputError(f"--examples {examples}: {place} saw another number; take another --out")
    training_run = Run(place) if there else Run.create(place, {**config, "row": str(row)})
    kind = MostAccurate if row.keeps == "accuracy" else Trainer
    trainer = kind(training_run, config, corpus)
    if row.composer_floor is not None:
        trainer.model.spec = replace(trainer.model.spec, composer_floor=row.composer_floor)
    if row.examples:
        trainer.examples = row.examples(corpus, trainer.model.spec, trainer.pieces, seed)
        # The batches were to be of the former examples.
        trainer.batches = trainer.engine.batches(
            trainer.examples, size, trainer._factors, trainer.steps
        )
    if row.weight_decay:
        trainer.optimizer = DecayingAdam(trainer.optimizer, row.weight_decay)
    if there:
        load_checkpoint(trainer)
    trainer.train()


class MostAccurate(Trainer):
    """Keeps the weights that name most composers of the validation pieces."""

    def validate(self):
        found = compare_composers(self.model, self.validation, self.examples.composers())
        self._mistakes = 1 - found["accuracy"]
        super().validate()

    def checked(self, number, what):
        """The number that decides: at a validation the share of mistakes."""
        number = super().checked(number, what)
        return self._mistakes if what == "validation loss" else number


class DecayingAdam(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, adam, decay):
        super().__init__(adam.flat)
        self.decay = decay

    def update(self, rate, inverse_correction):
        super().update(rate, inverse_correction)
        self.flat.values *= 1 - rate * self.decay
