"""Find where a training first met a number that is not finite.

A NaN spreads: once it is in one weight, every loss after it is NaN. So the steps since the last
checkpoint are taken again, while each layer checks what it returns.
"""

from functools import wraps

import numpy as np

from tinyembed.backends.arrays import array_module
from tinyembed.errors import InputError, WorkError
from tinyembed.training.checkpoints import load_checkpoint
from tinyembed.training.runs import Run
from tinyembed.training.validation import validation_losses


class NotFiniteError(ArithmeticError):
    """The message says which layer returned the first number that is not finite, and when."""


class Watched:
    """Within it, each layer of a model raises NotFiniteError instead of returning such a number.

    model: a `Layer`. Forward passes, backward passes and the gradients they add are checked.
    """

    def __init__(self, model):
        self.layers = dict(_named_layers(model))

    def __enter__(self):
        for name, layer in self.layers.items():
            layer.forward = self._checked(layer.forward, name, "forward", layer)
            layer.backward = self._checked(layer.backward, name, "backward", layer)

    def __exit__(self, *_):
        for layer in self.layers.values():
            del layer.forward, layer.backward  # those of the class are found again

    def _checked(self, method, name, way, layer):
        @wraps(method)
        def checked(*args, **options):
            result = method(*args, **options)
            if way == "forward":
                check(result[0], f"{name}, in the forward pass")
            else:
                check(result, f"{name}, in the backward pass")
                for parameter, own in layer.named_parameters().items():
                    check(own.grad, f"the gradient of {name}.{parameter}")
            return result

        return checked


def check(value, where):
    """Raise NotFiniteError if an array, or one in a list or tuple of arrays, is not finite."""
    for array in value if isinstance(value, (list, tuple)) else [value]:
        if hasattr(array, "dtype") and not bool(array_module(array).isfinite(array).all()):
            raise NotFiniteError(where)


def check_weights(model):
    """Raise NotFiniteError, naming the array, if a weight or a running statistic is not finite."""
    for name, array in model.named_arrays().items():
        check(array, f"{name}, after the update")


def _named_layers(layer, prefix=""):
    """(name, layer) of all layers inside one, the innermost first."""
    for name, inside in layer.sublayers().items():
        yield from _named_layers(inside, f"{prefix}{name}.")
        yield prefix + name, inside


class _Untouched(Run):
    """The folder of a run that is only looked at."""

    def cut_log(self, size):
        pass


def locate(trainer):
    """Replay the steps since a `Trainer`'s last checkpoint, up to the first number not finite.

    The trainer and its files stay as they are. Without a checkpoint, the replay starts from the
    beginning. Returns the layer and the batch in words. Returns None if the replay is not possible,
    or if it stays finite: a GPU may add in another order.
    """
    run, engine = _Untouched(trainer.run.folder), trainer.engine.unrecorded()
    try:
        twin = type(trainer)(run, trainer.config, trainer.corpus, engine)
        load_checkpoint(twin)
    except (InputError, WorkError):  # no memory for a second model, or a damaged checkpoint
        return None
    with Watched(twin.model), np.errstate(all="ignore"), engine.running():
        try:
            while twin.step < trainer.step:
                during = f"with batch {twin.step:,} of seed {trainer.config['seed']}"
                twin.take_step()
                check_weights(twin.model)
            during = "in the validation"
            validation_losses(twin.model, twin.validation)
        except NotFiniteError as error:
            return f"{error}, {during}"
    return None
