"""Which units can be examples for a model: they sound, and so does what is to be found."""

import numpy as np

from tinyembed.music.roll import BEATS_PER_UNIT


def offsets_of(spec):
    """Where the targets of a model begin, in beats after the unit: a list. spec: a `ModelSpec`."""
    return [BEATS_PER_UNIT * unit for unit in spec.context]


def eligible(corpus, beats, offsets):
    """Those of the units at `beats`, (N,), that can be examples."""
    beats = beats[corpus.has_onset(beats)]
    for offset in offsets:
        beats = beats[corpus.has_neighbour(beats, offset)]
    if offsets:
        sounds = [corpus.has_onset(beats + offset) for offset in offsets]
        beats = beats[np.logical_or.reduce(sounds)]
    return beats
