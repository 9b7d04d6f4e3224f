"""Weight files: a model's parameters and buffers, and how to build the model that they fit."""

import os
from typing import Any

import numpy as np

from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS, MOST_INTERVALS, WIDTHS
from tinyembed.storage.arrays import open_arrays, save_arrays
from tinyembed.storage.values import check as check_values
from tinyembed.storage.values import choice, number, positive, texts, whole

KIND = "weights"
TYPES = "<f4", "<f2"  # of the arrays in a file
LARGEST = 1e9  # of a weight; products of larger ones would overflow layer after layer
CONFIG = {  # what a file says of its model and its training
    "model": choice(MODELS),
    "width": choice(WIDTHS),
    "composers": texts(10_000, printed=True),
    "temperature": positive(),
    "intervals": whole(0, MOST_INTERVALS),  # older files have none
    "step": whole(),
    "examples": whole(),
    "validation_loss": number(),
    "reader": whole(),  # READER_VERSION of music/corpus.py; older files have none
}


def save_weights(path, model, matrices=np.float32, **about):
    """Write a weight file: the model's state, and how to build the model that it fits.

    matrices: the type to store them in; np.float16 halves the file, which is then compressed, too.
    The few vectors stay exact.
    """
    config = {
        "model": model.name,
        "width": model.width,
        "composers": model.composers,
        "temperature": model.candidate_loss.temperature,
        "intervals": model.spec.intervals,
        **about,
    }
    state = model.state()
    for name, array in state.items():
        if array.ndim > 1 and array.dtype.kind == "f":
            state[name] = array.astype(matrices)
    save_arrays(path, state, KIND, compressed=matrices == np.float16, config=config)


def load_weights(path: str | os.PathLike[str]) -> tuple[Model, dict[str, Any]]:
    """The trained `Model` of a weight file, on the CPU, and its config.

    Whatever type the arrays are stored in, the model holds float32.
    Raises InputError for a file that is missing, damaged or not one of ours, and for weights that
    are not finite or absurdly large.
    """
    with open_arrays(path, KIND, "weight file") as archive:
        if "config" not in archive.names:
            raise InputError("not a weight file of tinyembed")
        try:
            config = archive.text("config")
            check_values(config, CONFIG, ("model", "width", "composers", "temperature"))
            names = [config[key] for key in ("model", "width", "composers", "temperature")]
            model = Model(
                *names[:3], np.random.default_rng(0), names[3], intervals=config.get("intervals", 0)
            )
            own = model.named_arrays()
            state = {name: archive.array(name, TYPES, own[name].shape) for name in own}
        except InputError as error:
            raise InputError(
                f"not a weight file of tinyembed, or of another width: {error}"
            ) from None
        check_state(state)
        model.load_state(state)
    return model, config


def check_state(state, largest=LARGEST):
    """Raise InputError unless weights, {name: array}, are finite and none exceeds `largest`."""
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise InputError(f"some of the weights in it are not numbers: {name}")
        is_variance = name.endswith("running_var")
        if float(np.abs(array).max()) > (largest**2 if is_variance else largest):
            raise InputError(f"some of the weights in it are absurdly large: {name}")
        if is_variance and array.min() < 0:
            raise InputError(f"a variance in it is negative: {name}")
