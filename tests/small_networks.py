"""Commands with small networks, for tests of everything around the arithmetic.

A test calls `use_small_networks` and then a command's main(). A test that needs a process to kill
starts one: python -m tests.small_networks reproduce --width tiny ...
"""

import importlib
import sys

import numpy as np
import pytest

from tinyembed.cli.running import run
from tinyembed.evaluation import prediction, predictor
from tinyembed.models.table import WIDTHS, Width
from tinyembed.storage.arrays import load_arrays


def use_small_networks(patch):
    """Offer --width tiny, and shrink the LSTM and the validation of the predictor.

    Commands run without numba, which takes seconds to load and to compile.
    """
    patch.setenv("TINYEMBED_BACKEND", "cpu")
    patch.setitem(WIDTHS, "tiny", Width(conv=(4, 6, 6, 8), dense=(16, 12, 100)))
    patch.setattr(predictor, "UNITS", 40)
    patch.setattr(prediction, "VALIDATED", 200)


def nearly_same_weights(a, b):
    """Check that the checkpoints in two folders of runs agree up to rounding."""
    ours, theirs = load_arrays(a / "checkpoint.npz"), load_arrays(b / "checkpoint.npz")
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"standing"}:
        # Where a gradient is next to nothing, Adam divides it by itself: a step either way.
        apart = np.abs(ours[key] - theirs[key])
        assert np.mean(apart > 1e-3 * np.abs(theirs[key]).max()) < 0.05, key


if __name__ == "__main__":
    use_small_networks(pytest.MonkeyPatch())
    command = importlib.import_module(f"tinyembed.{sys.argv.pop(1)}")
    run(command.main)
