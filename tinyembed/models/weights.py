"""Weight files: a model's parameters and buffers, and how to build the model that they fit."""

import json
import os
from typing import Any

import numpy as np

from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.storage.files import load_arrays, save_arrays


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
    save_arrays(path, state, compressed=matrices == np.float16, config=config)


def load_weights(path: str | os.PathLike[str]) -> tuple[Model, dict[str, Any]]:
    """The trained `Model` of a weight file, on the CPU, and its config.

    Whatever type the arrays are stored in, the model holds float32.
    Raises InputError for a file that is missing, damaged or not one of ours.
    """
    state = load_arrays(path)
    try:
        config = json.loads(str(state.pop("config")))
        names = [config[key] for key in ("model", "width", "composers")]
        intervals = config.get("intervals", 0)  # older files have none
        rng = np.random.default_rng(0)
        model = Model(*names, rng, config["temperature"], intervals=intervals)
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path}: not a weight file of tinyembed") from None
    try:
        model.load_state(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, TypeError):  # arrays of text, say
        raise InputError(f"{path}: not a weight file of tinyembed") from None
    return model, config
