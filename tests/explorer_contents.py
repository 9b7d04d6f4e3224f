"""A corpus too large to embed in a test, with random positions and neighbours."""

from functools import cache
from types import SimpleNamespace

import numpy as np

from tinyembed.explorer.contents import Contents, draw_rows
from tinyembed.explorer.page import html_page
from tinyembed.neighbours.labels import Labels


@cache
def many_units(n=20_000, composers=27, pieces=400, beats=600, notes=10):
    """n units from `pieces` long pieces, so that hardly any two share a beat."""
    rng = np.random.default_rng(0)
    n_beats, units = pieces * beats, beats - 3
    corpus = SimpleNamespace(
        ticks=np.arange(notes * n_beats) * 24 // notes,
        pitches=rng.integers(36, 96, notes * n_beats),
        beat_start=notes * np.arange(n_beats + 1),
        piece_beats=np.arange(0, n_beats + 1, beats),
    )
    labels = Labels(
        piece=np.repeat(np.arange(pieces), units),
        beat=np.tile(np.arange(units), pieces),
        sounds=np.ones(pieces * units, bool),
        seconds=np.tile(np.arange(units), pieces) / 2,
        piece_composer=np.arange(pieces) % composers,
        pieces=[f"Composer {i % composers}/piece {i}, of a long name.mid" for i in range(pieces)],
        composers=[f"Composer {i}" for i in range(composers)],
    )
    return Contents(
        collection=SimpleNamespace(corpus=corpus, index=SimpleNamespace(labels=labels)),
        rows=draw_rows(len(labels), n, 0),
        placed=np.ones(n, bool),
        positions=rng.standard_normal((n, 2)),
        map_description="a map",
        neighbours=rng.integers(0, n, (n, 10)),
        cosines=rng.random((n, 10)),
    )


@cache
def large_page():
    """The page of `many_units`."""
    return html_page(many_units(), "context")
