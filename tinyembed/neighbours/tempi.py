"""When units are heard: a `Corpus` counts in beats, and only its files know how long one is."""

from functools import partial

import numpy as np

from tinyembed.music.midi import read_midi
from tinyembed.music.public_corpora import CORPORA, find_works, folder_of
from tinyembed.music.reading import find_pieces, read_pieces


def unit_seconds(corpus, data, progress=True):
    """When each unit begins, in seconds, at the tempo its file asks for: (N,) float32.

    corpus: what `open_corpus(data)` read; N: its units, in the order of `corpus.unit_beats()`.
    nan where nobody knows: the default corpus are scores, and a file may have gone.
    """
    beats = corpus.unit_beats()
    piece = corpus.beat_piece[beats]
    seconds = np.full(len(beats), np.nan, np.float32)
    if data is None:
        return seconds
    items = find_works(data, folder_of(data))[0] if data in CORPORA else find_pieces(data)[0]
    number = {name: n for n, name in enumerate(corpus.names)}
    items = [item for item in items if item[1] in number]
    found, _ = read_pieces(items, partial(read_midi, any_meter=True), None, progress, "Tempi")
    for _, name, music in found:
        rows = slice(*np.searchsorted(piece, [number[name], number[name] + 1]))
        seconds[rows] = music.seconds(np.arange(rows.stop - rows.start))
    return seconds
