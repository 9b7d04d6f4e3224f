"""The times of units. A `Corpus` counts in beats, and only its files know the length of a beat."""

from functools import partial

import numpy as np

from tinyembed.music.inputs import read_file
from tinyembed.music.reading import read_pieces


def unit_seconds(corpus, items, progress=True):
    """When each unit begins, in seconds, at the tempo of its file: (N,) float32.

    items: list of (composer, name, path), the files of the corpus's pieces; N: the number of its
    units, in the order of `corpus.unit_beats()`. nan where the time is unknown: a file that is not
    among the items, or is gone.
    """
    beats = corpus.unit_beats()
    piece = corpus.beat_piece[beats]
    seconds = np.full(len(beats), np.nan, np.float32)
    index = {name: n for n, name in enumerate(corpus.names)}
    items = [item for item in items if item[1] in index]
    found, _ = read_pieces(items, partial(read_file, any_meter=True), None, progress, "Tempi")
    for _, name, music in found:
        rows = slice(*np.searchsorted(piece, [index[name], index[name] + 1]))
        seconds[rows] = music.seconds(np.arange(rows.stop - rows.start))
    return seconds
