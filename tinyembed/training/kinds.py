"""Which kind of examples a model takes from a corpus."""

import numpy as np

from tinyembed.stores.large import LargeCorpus
from tinyembed.training.examples import Examples
from tinyembed.training.excerpts import ExcerptExamples
from tinyembed.training.pools import PooledExamples


def examples_for(corpus, spec, pieces, seed=0):
    """The examples that a model with this spec is trained on.

    corpus: a `Corpus` or a `LargeCorpus`; pieces: sorted indices.
    """
    if isinstance(corpus, LargeCorpus):
        return PooledExamples(corpus, spec, pieces, seed)
    of_model = ExcerptExamples if spec.excerpt else Examples
    return of_model(corpus, spec, pieces, seed)


def in_memory(corpus, spec, pieces, seed=0):
    """The same for a few pieces, which are read into memory."""
    if isinstance(corpus, LargeCorpus):
        corpus, _ = corpus.read(pieces)
        pieces = np.arange(corpus.n_pieces)
    return examples_for(corpus, spec, pieces, seed)
