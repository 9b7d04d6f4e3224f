"""The public names as a typed program uses them. Read by mypy (test_typing.py), never run.

A line with `type: ignore` is a mistake that mypy must report: an ignore without one is an error.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import tinyembed
from tinyembed import Corpus, Embedder, Index, load_weights, onset_roll, read_midi, use_backend

corpus = Corpus.from_folder(Path("my-music"), seed=1, any_meter=True)
assert_type(corpus, Corpus)
beats = corpus.unit_beats([0, 1])
assert_type(beats, NDArray[np.int32])
rolls = corpus.rolls(beats)
assert_type(corpus.names, list[str])

model = tinyembed.load("context")
embeddings = model.encode(rolls, batch_size=100)
assert_type(embeddings, NDArray[np.floating[Any]])
assert_type(model.reconstruct(rolls[0]), NDArray[np.floating[Any]])
_, config = load_weights(Path("runs/context/weights.npz"))
assert_type(config, dict[str, Any])

for rows in tinyembed.embed(["a.mid", "b.krn"], model):
    assert_type(rows, NDArray[np.float32] | None)
assert_type(Embedder(pool="max").fit_transform(["a.mid"]), NDArray[np.float32])

index = Index(embeddings, model=model)
neighbours = index.search(embeddings[:3], k=5)
assert_type(neighbours.rows, NDArray[np.int64])
assert_type(neighbours.cosines, NDArray[np.float64])
assert_type(Index.load("units.index"), Index)

piece = read_midi("song.mid", any_meter=True)
assert_type(piece.n_beats, int)
assert_type(onset_roll(piece, beat=4), NDArray[np.float32])
tinyembed.to_midi(rolls[0], Path("unit.mid"))
assert_type(use_backend("plain"), str)

tinyembed.load(3)  # type: ignore[arg-type]
nothing = tinyembed.nothing  # type: ignore[attr-defined]
Index("units.index")  # type: ignore[arg-type]
index.search(embeddings, k="5")  # type: ignore[arg-type]
model.encode("song.mid")  # type: ignore[arg-type]
Corpus.from_folder()  # type: ignore[call-arg]
