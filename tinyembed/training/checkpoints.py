"""Checkpoints: all that a killed training needs to go on and end at the same weights."""

import math

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.models.weights import check_state
from tinyembed.storage.arrays import open_arrays, save_arrays
from tinyembed.storage.values import check, number, whole

KIND = "checkpoint"


def save_checkpoint(trainer):
    """Write where a `Trainer` stands: weights, Adam's means, step, best loss, length of the log.

    The checkpoint before this one is kept, in case that this one is damaged one day.
    """
    run = trainer.run
    state = {f"model.{name}": value for name, value in trainer.model.state().items()}
    adam = trainer.optimizer
    for name in "mv":
        state[f"adam.{name}"] = adam.flat.packed(to_host(getattr(adam, name)))
    standing = {name: getattr(trainer, name) for name in _rules(trainer) if name != "log_size"}
    standing["log_size"] = run.log_size()
    save_arrays(run.checkpoint_file, state, KIND, kept=run.previous_file, standing=standing)


def load_checkpoint(trainer):
    """Put a `Trainer` back to its last checkpoint; without one, to the beginning.

    Where the last is damaged, the one before is taken: then the result is a line that says so, else
    None. Raises InputError where no checkpoint is whole, or where it is of another run.
    """
    problem = None
    for path in (trainer.run.checkpoint_file, trainer.run.previous_file):
        if path.exists():
            try:
                _restore(trainer, path)
            except InputError as error:
                problem = problem or error
            else:
                return problem and f"{problem}; the checkpoint before it is used"
    if problem:
        raise InputError(f"{problem}; start a new run in another --out")
    trainer.run.cut_log(0)


def _restore(trainer, path):
    """Read a checkpoint as a whole, and only then change the trainer."""
    own, optimizer = trainer.model.named_arrays(), trainer.optimizer
    with open_arrays(path, KIND, "checkpoint") as archive:
        standing = archive.text("standing")
        check(standing, _rules(trainer), _rules(trainer))
        state = {name: archive.array(f"model.{name}", ("<f4",), own[name].shape) for name in own}
        check_state(state, math.inf)  # a training that diverges is told so by its loss
        shape = (optimizer.flat.count,)
        m, v = (archive.array(f"adam.{name}", ("<f4",), shape) for name in "mv")
    trainer.model.load_state(state)
    m, v = (trainer.engine.xp.asarray(optimizer.flat.spread(x)) for x in (m, v))
    optimizer.m[...], optimizer.v[...] = m, v
    trainer.run.cut_log(standing.pop("log_size"))
    for name, value in standing.items():
        setattr(trainer, name, value)
    optimizer.t = trainer.step


def _rules(trainer):
    """What a checkpoint says beside its arrays, and what that must be."""
    return {
        "step": whole(0, trainer.steps),
        "best_loss": number(infinite=True),
        "best_step": whole(0, trainer.steps),
        "seconds": number(0, math.inf),
        "log_size": whole(),
    }
