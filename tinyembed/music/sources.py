"""Where the music comes from: the one place that knows what `--data` may say."""

import os

from tinyembed.music.corpus import Corpus
from tinyembed.music.default_corpus import read_default_corpus


def open_corpus(data=None, seed=0, any_meter=False, splits=None, progress=True):
    """Open the `Corpus` that a command's `--data` asks for, split into training and test pieces.

    data: None for the default corpus, or a folder of MIDI files, one subfolder a composer;
    seed: for the split where no splits.tsv says it; any_meter: also take pieces whose beats are
    not quarter notes (the default corpus has none); splits: the path of a splits.tsv.
    Raises InputError where there is no such music, WorkError where none of it can be read.
    """
    if data is None:
        return read_default_corpus(seed, splits, progress)
    return Corpus.from_folder(data, seed, any_meter, splits, progress=progress)


def spelled(path):
    """A path as a person would write it: from the present folder, where that is shorter."""
    return min(os.path.relpath(path), os.path.abspath(path), key=len)
