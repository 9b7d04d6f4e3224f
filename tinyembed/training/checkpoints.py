"""Checkpoints: all that a killed training needs to go on and end at the same weights."""

import json

from tinyembed.backends.arrays import to_host
from tinyembed.errors import InputError
from tinyembed.storage.files import load_arrays, save_arrays

STANDING = "step", "best_loss", "best_step", "seconds"  # what a `Trainer` has beside its arrays


def save_checkpoint(trainer):
    """Write where a `Trainer` stands: weights, Adam's means, step, best loss, length of the log."""
    state = {f"model.{name}": value for name, value in trainer.model.state().items()}
    state["adam.m"], state["adam.v"] = to_host(trainer.optimizer.m), to_host(trainer.optimizer.v)
    standing = {name: getattr(trainer, name) for name in STANDING}
    standing["log_size"] = trainer.run.log_size()
    save_arrays(trainer.run.checkpoint_file, state, standing=standing)


def load_checkpoint(trainer):
    """Put a `Trainer` back to its last checkpoint; without one, to the beginning.

    Raises InputError where the file is damaged or of another run.
    """
    path = trainer.run.checkpoint_file
    if not path.exists():
        trainer.run.cut_log(0)
        return
    state = load_arrays(path)
    try:
        standing = json.loads(str(state.pop("standing")))
        means = {name: state.pop(f"adam.{name}") for name in "mv"}
    except (KeyError, ValueError):
        raise InputError(f"{path}: not a checkpoint of this run") from None
    trainer.model.load_state({name.removeprefix("model."): v for name, v in state.items()})
    for name, value in means.items():
        getattr(trainer.optimizer, name)[...] = trainer.engine.xp.asarray(value)
    for name in STANDING:
        setattr(trainer, name, standing[name])
    trainer.optimizer.t = trainer.step
    trainer.run.cut_log(standing["log_size"])
