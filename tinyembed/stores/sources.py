"""The music that `--data` names: a folder, a store, a corpus to download, or the default corpus."""

import os

from tinyembed.music import default_corpus, public_corpora
from tinyembed.music.corpus import Corpus
from tinyembed.music.folders import find_pieces
from tinyembed.music.public_corpora import CORPORA
from tinyembed.stores.large import read_store
from tinyembed.stores.store import is_store


def open_corpus(data=None, seed=0, any_meter=False, splits=None, progress=True, large=None):
    """Open the `Corpus` that a command's `--data` names, split into training and test pieces.

    data: None for the default corpus, the name of one to download ("asap", "krueger"), or a
    folder of MIDI files and scores, one subfolder per composer, or a store; seed: for the split if
    there is no splits.tsv; any_meter: also accept pieces whose beats are not quarter notes (the
    default corpus has none, and a store what it was built with); splits: the path of a splits.tsv.
    large: what becomes of a store of over a million units: "pools" for a `LargeCorpus`, of which a
    training keeps a part in memory; "sample" for a `Corpus` of some of its pieces; None to refuse.
    Raises InputError if there is no such music, WorkError if none of it can be used.
    """
    if data is None:
        return default_corpus.read_default_corpus(seed, splits, progress)
    if data in CORPORA:
        return public_corpora.read_public_corpus(data, seed, any_meter, splits, progress)
    if is_store(data):
        return read_store(data, seed, splits, large)
    return Corpus.from_folder(data, seed, any_meter, splits, progress=progress)


def find_music(data=None):
    """The files that `open_corpus(data)` reads, and what it leaves out: as `find_pieces`."""
    if data is None:
        return default_corpus.find_works(default_corpus.scores_folder()), [], []
    if data in CORPORA:
        return *public_corpora.find_works(data, public_corpora.folder_of(data)), []
    if is_store(data):
        return [], [], []
    return find_pieces(data)


def as_absolute(data):
    """`--data` in a form that is valid from any folder: a name unchanged, a path absolute."""
    return data if data in CORPORA else os.path.abspath(data)


def as_typed(data):
    """`--data` as a user would type it: a name unchanged, a path relative if that is shorter."""
    if data in CORPORA:
        return data
    short = min(os.path.relpath(data), os.path.abspath(data), key=len)
    return os.path.join(os.curdir, short) if short in CORPORA or short[0] == "-" else short
