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
    found, note = trainer.engine.once(lambda: _find(trainer))
    if found:
        _restore(trainer, *found)
    return note


def _find(trainer):
    """The last whole checkpoint, or None, and a note. The log is cut to where it belongs."""
    problem = None
    for path in (trainer.run.checkpoint_file, trainer.run.previous_file):
        if path.exists():
            try:
                found = _read(trainer, path)
            except InputError as error:
                problem = problem or error
            else:
                trainer.run.cut_log(found[-1].pop("log_size"))
                return found, problem and f"{problem}; the checkpoint before it is used"
    if problem:
        raise InputError(f"{problem}; start a new run in another --out")
    trainer.run.cut_log(0)
    return None, None


def _read(trainer, path):
    """A checkpoint as a whole: the model's state, Adam's two means, and what it says beside."""
    own, optimizer = trainer.model.named_arrays(), trainer.optimizer
    with open_arrays(path, KIND, "checkpoint") as archive:
        standing = archive.text("standing")
        check(standing, _rules(trainer), _rules(trainer))
        state = {name: archive.array(f"model.{name}", ("<f4",), own[name].shape) for name in own}
        check_state(state, math.inf)  # a training that diverges is told so by its loss
        shape = (optimizer.flat.count,)
        m, v = (archive.array(f"adam.{name}", ("<f4",), shape) for name in "mv")
    return state, m, v, standing


def _restore(trainer, state, m, v, standing):
    optimizer = trainer.optimizer
    trainer.model.load_state(state)
    m, v = (trainer.engine.xp.asarray(optimizer.flat.spread(x)) for x in (m, v))
    optimizer.m[...], optimizer.v[...] = m, v
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
