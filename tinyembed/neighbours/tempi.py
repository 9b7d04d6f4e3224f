"""The times of units. A `Corpus` counts in beats, and only its files know the length of a beat."""

from functools import partial

import numpy as np

from tinyembed.music.midi import read_midi
from tinyembed.music.public_corpora import CORPORA, find_works, folder_of
from tinyembed.music.reading import find_pieces, read_pieces


def unit_seconds(corpus, data, progress=True):
    """When each unit begins, in seconds, at the tempo of its file: (N,) float32.

    corpus: the result of `open_corpus(data)`; N: the number of its units, in the order of
    `corpus.unit_beats()`. nan where the time is unknown: the default corpus consists of scores,
    and a file may be gone.
    """
    beats = corpus.unit_beats()
    piece = corpus.beat_piece[beats]
    seconds = np.full(len(beats), np.nan, np.float32)
    if data is None:
        return seconds
    items = find_works(data, folder_of(data))[0] if data in CORPORA else find_pieces(data)[0]
    index = {name: n for n, name in enumerate(corpus.names)}
    items = [item for item in items if item[1] in index]
    found, _ = read_pieces(items, partial(read_midi, any_meter=True), None, progress, "Tempi")
    for _, name, music in found:
        rows = slice(*np.searchsorted(piece, [index[name], index[name] + 1]))
        seconds[rows] = music.seconds(np.arange(rows.stop - rows.start))
    return seconds
