"""How alike two pieces of music are, as one number."""

import os
from typing import Any

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.embedding.embed import embed
from tinyembed.embedding.sources import is_path, is_rolls, is_several, name_of
from tinyembed.embedding.trained import ModelSource
from tinyembed.errors import InputError


def similarity(
    a: Any,
    b: Any,
    model: ModelSource = None,
    any_meter: bool = False,
    device: str = "auto",
) -> float:
    """The cosine of two pieces' vectors, from `embed(..., per="piece")`: 1 for equal pieces.

    a, b: pieces of music, each a path, bytes, an open file, a `mido.MidiFile` or rolls; other
    arguments: as for `embed`. Compare the numbers of several pairs with each other: half of all
    pairs of unrelated piano pieces have more than 0.6, since the deviations in a vector are never
    negative. To find the pieces nearest to one among many, `python -m tinyembed.search --per piece`
    first brings each number to mean 0 and variance 1 over all of them.
    Raises what `embed` raises, and InputError for a folder or several pieces.
    """
    vectors = []
    for music in (a, b):
        is_folder = is_path(music) and os.path.isdir(music)
        if is_folder or (is_several(music) and not is_rolls(music)):
            raise InputError(f"{name_of(music)}: similarity compares two pieces, not several")
        vector = embed(music, model, any_meter, device, per="piece")
        vectors.append(to_host(vector).astype(np.float64))
    x, y = (vector / np.linalg.norm(vector) for vector in vectors)
    return float(np.clip(x @ y, -1, 1))
