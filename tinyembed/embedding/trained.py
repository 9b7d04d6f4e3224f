"""Trained models by name, by the folder of a run, or by the path of a weight file."""

import os
from functools import lru_cache
from pathlib import Path

from tinyembed.backends.arrays import device_module
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights
from tinyembed.training.runs import Run

WEIGHTS = Path(__file__).with_name("weights")  # NAME.npz, and NAME.md that says how it was made
DEFAULT = "contrastive"
ModelSource = Model | str | os.PathLike[str] | None  # a model, or where `load_cached` finds one


def packaged():
    """The names of the trained models in the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.npz"))


def weight_file(which=None):
    """The path of the weight file that `load(which)` reads.

    Raises InputError if there is none.
    """
    names = packaged()
    which = DEFAULT if which is None else which
    if not isinstance(which, (str, os.PathLike)):
        raise InputError(f"a model is given by name or path, not by {type(which).__name__}")
    path = WEIGHTS / f"{which}.npz" if which in names else Path(which)
    if path.is_dir():
        path = Run(path).weights_file
        if not path.exists():
            raise InputError(f"{which}: a folder without {path.name}; tinyembed.train writes one")
    if not path.exists():
        raise InputError(
            f"{which}: no such model; choose one of {', '.join(names) or '(none is installed)'}, "
            "or give the folder of a run or a weight file"
        )
    return path


def load(which: str | os.PathLike[str] | None = None) -> Model:
    """A trained `Model`, on the CPU.

    which: "contrastive" (the default), "context" or "regularized", the models in the package; the
    folder of a run, such as "runs/context"; or the path of a weight file. A folder with the name
    of a model in the package is given as "./context".
    Raises InputError if there is no such model, or if the file is damaged or not a weight file.
    """
    return load_weights(weight_file(which))[0]


def load_cached(which=None, device="auto"):
    """The model that `load(which)` returns, on a device: the same object each time."""
    path = weight_file(which)
    status = path.stat()  # a run that is still training writes its weights again
    return _load_cached(path.absolute(), status.st_mtime_ns, status.st_size, device_module(device))


@lru_cache(maxsize=4)
def _load_cached(path, time, size, xp):
    return load_weights(path)[0].to(xp)
