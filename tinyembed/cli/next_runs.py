"""The next steps after `corpus`, `train` and `evaluate`: commands that work when pasted."""

import os

import numpy as np

from tinyembed.cli.options import command, music_words, numbered
from tinyembed.errors import InputError
from tinyembed.evaluation.passages import Passages
from tinyembed.models.table import MODELS
from tinyembed.music.splits import validation_pieces
from tinyembed.stores.large import LargeCorpus
from tinyembed.stores.sources import as_typed
from tinyembed.training.examples import CANDIDATES, Examples


def after_corpus(corpus, settings, seed=0):
    """The training of the default model on a corpus, or where it holds too little, its map.

    settings: a dict of data, any_meter and splits; seed: of the split.
    """
    if has_examples(corpus, "context", seed):
        return _train("context", settings, seed)
    return command("explore", *_music_without_splits(settings))


def after_train(corpus, settings, out):
    """The evaluation of a run, or where it is not possible, another model, or the run's map.

    settings: of the run, in the folder `out`.
    """
    if isinstance(corpus, LargeCorpus):
        store = as_typed(settings["data"])
        return command("embed", "--in", store, "-o", "embeddings", "--model", out)
    if can_be_evaluated(corpus, settings["seed"]):
        return command("evaluate", out)
    other = "note_drop" if settings["model"] != "note_drop" else "context"
    seed = settings["split_seed"]
    if has_examples(corpus, other, seed):
        return _train(other, settings, seed, "--width", settings["width"])
    return command("explore", *_music_without_splits(settings), "--model", out)


def after_evaluate(settings, seed=0):
    """All seven models on the same music. settings, seed: as for `after_corpus`."""
    words = [*music_words(settings), *_other_seed(seed), *_other_folder("report")]
    return command("reproduce", *words)


def has_examples(corpus, model, seed=0):
    """Whether a model can be trained on a corpus, and validated."""
    try:
        held_out = validation_pieces(corpus, seed)
    except InputError:
        return False
    train = np.setdiff1d(np.flatnonzero(~corpus.piece_is_test), held_out)
    spec = MODELS[model]
    if not len(Examples(corpus, spec, train, seed, keys=[0])):
        return False
    return len(Examples(corpus, spec, held_out, seed)) >= CANDIDATES


def can_be_evaluated(corpus, seed=0):
    """Whether eight units stand in a row both in a test piece and in a training piece."""
    train = np.setdiff1d(np.flatnonzero(~corpus.piece_is_test), validation_pieces(corpus, seed))
    parts = np.flatnonzero(corpus.piece_is_test), train
    return all(len(part) and len(Passages.of(corpus, part).sequences()) for part in parts)


def _train(model, settings, seed, *words):
    """The training of a model, into a folder that is not there yet."""
    words = [*music_words(settings), *words, *_other_seed(seed), *_other_folder(f"runs/{model}")]
    return command("train", *(["--model", model] if model != "context" else []), *words)


def _other_seed(seed):
    return ["--seed", str(seed)] if seed else []


def _other_folder(usual):
    """[--out and a new folder], or [] if the usual one is new."""
    name = next(name for name in numbered(usual) if not os.path.lexists(name))
    return ["--out", name] if name != usual else []


def _music_without_splits(settings):
    return music_words({**settings, "splits": None})
