"""Where the music comes from: the one place that knows what `--data` may say."""

import os

from tinyembed.music.corpus import Corpus
from tinyembed.music.default_corpus import read_default_corpus
from tinyembed.music.public_corpora import CORPORA, read_public_corpus


def open_corpus(data=None, seed=0, any_meter=False, splits=None, progress=True):
    """Open the `Corpus` that a command's `--data` asks for, split into training and test pieces.

    data: None for the default corpus, the name of one to download ("asap", "krueger"), or a
    folder of MIDI files, one subfolder a composer; seed: for the split where no splits.tsv says
    it; any_meter: also take pieces whose beats are not quarter notes (the default corpus has
    none); splits: the path of a splits.tsv.
    Raises InputError where there is no such music, WorkError where none of it can be read.
    """
    if data is None:
        return read_default_corpus(seed, splits, progress)
    if data in CORPORA:
        return read_public_corpus(data, seed, any_meter, splits, progress)
    return Corpus.from_folder(data, seed, any_meter, splits, progress=progress)


def located(data):
    """What `--data` says, so that it holds in any folder: a name as it is, a path absolute."""
    return data if data in CORPORA else os.path.abspath(data)


def spelled(data):
    """A name as it is; a path as a person would write it: from here, where that is shorter."""
    if data in CORPORA:
        return data
    short = min(os.path.relpath(data), os.path.abspath(data), key=len)
    return os.path.join(os.curdir, short) if short in CORPORA else short
