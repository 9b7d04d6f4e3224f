"""Whole pieces: who composed a piece, from all that is known of it?

Four methods answer, from frozen embeddings of units or without any:

    voting      the classifier of units (composers.py); the highest mean log-probability over a
                piece's units decides
    embeddings  a discriminant of the mean and standard deviation of a piece's embeddings
    counts      a discriminant of counts in a piece's notes
    both        a discriminant of both

A *round* is a pair of sets of pieces: what is learned from, and what is asked about. Five folds
are five rounds; the test is one. Each round may have embeddings of its own, by an encoder that was
trained without the pieces asked about.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import binomtest

from tinyembed.evaluation import composers
from tinyembed.evaluation.classification import classification_scores, interval_of_accuracy
from tinyembed.evaluation.discriminant import Discriminant
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.piece_features import count_features, embedding_features
from tinyembed.music.splits import validation_pieces

METHODS = ("voting", "embeddings", "counts", "both")


@dataclass(frozen=True)
class Pieces:
    """All pieces of a corpus as written, and the seed of the classifier of units."""

    corpus: object
    seed: int = 0

    @cached_property
    def passages(self):
        """One passage for each piece, in the order of the corpus."""
        return Passages.of(self.corpus, np.arange(self.corpus.n_pieces))

    @cached_property
    def counts(self):
        """What `count_features` says of each piece: (n_pieces, F)."""
        return count_features(self.corpus, np.arange(self.corpus.n_pieces))

    def predict(self, method, train, asked, embeddings=None, steps=composers.STEPS):
        """The composers of some pieces, by one of `METHODS`: (n,) indices.

        train, asked: pieces, (m,) and (n,) indices; embeddings: (R, D), of all rows of `passages`,
        not used by counts; steps: of the classifier of units.
        """
        if method == "voting":
            return self._vote(train, asked, embeddings, steps)
        features = [] if method == "counts" else [embedding_features(self.passages, embeddings)]
        features += [] if method == "embeddings" else [self.counts]
        rows = np.concatenate(features, axis=1)
        rows = standardized(rows, rows[train])
        return Discriminant.fit(rows[train], self.corpus.piece_composer[train]).predict(rows[asked])

    def _vote(self, train, asked, embeddings, steps):
        # A tenth of the pieces stops the training, as in the report's experiment on units.
        is_train = np.isin(np.arange(self.corpus.n_pieces), train)
        validation = validation_pieces(replace(self.corpus, piece_is_test=~is_train), self.seed)
        learned = np.setdiff1d(train, validation)
        pairs = [self._sounding(embeddings, pieces)[:2] for pieces in (learned, validation)]
        n = len(self.corpus.composers)
        network, _ = composers.train_classifier(*pairs, n, self.seed, np, steps, progress=False)
        rows, _, piece = self._sounding(embeddings, asked)
        found, predicted = composers.classify_pieces(composers.classify(network, rows), piece)
        return predicted[np.searchsorted(found, asked)]

    def _sounding(self, embeddings, pieces):
        """Units of some pieces that have an onset: embeddings, composers, pieces."""
        piece = self.passages.piece_of(np.arange(len(self.passages)))
        chosen = np.isin(piece, pieces) & self.passages.sounds
        return embeddings[chosen], self.corpus.piece_composer[piece[chosen]], piece[chosen]


def standardized(rows, train):
    """Rows, (N, D), with each number at mean 0 and variance 1 over the training rows, (M, D).

    A number that is the same in all training rows becomes 0 in all of them.
    """
    constant = train.max(axis=0) == train.min(axis=0)
    scale = np.where(constant, np.inf, train.std(axis=0))
    return (rows - train.mean(axis=0)) / scale


def rounds_of(fold):
    """The rounds of folds, (n_pieces,) int from `folds_of`: a list of (train, asked)."""
    return [
        (np.flatnonzero((fold >= 0) & (fold != k)), np.flatnonzero(fold == k))
        for k in range(fold.max() + 1)
    ]


def held_out_round(corpus):
    """The one round of the test pieces: a list of one (train, asked)."""
    return [(np.flatnonzero(~corpus.piece_is_test), np.flatnonzero(corpus.piece_is_test))]


def answers_of(pieces, method, rounds, embeddings_of=None, steps=composers.STEPS):
    """The composers predicted for all pieces that the rounds ask about, each asked once.

    embeddings_of: the number of a round -> its embeddings, as in `Pieces.predict`.
    Returns the pieces, sorted, and their predicted composers: (n,) int each.
    """
    predicted = np.full(pieces.corpus.n_pieces, -1)
    for k, (train, asked) in enumerate(rounds):
        embeddings = None if method == "counts" else embeddings_of(k)
        predicted[asked] = pieces.predict(method, train, asked, embeddings, steps)
    found = np.flatnonzero(predicted >= 0)
    return found, predicted[found]


def piece_scores(corpus, asked, predicted, works):
    """`classification_scores` of pieces, with three entries more.

    asked, predicted: from `answers_of`; works: (n_pieces,) int, from `works_of`.
    interval: of the accuracy, resampled by work, since movements of one are not independent;
    composers: their names; mistakes: what `mistakes_of` returns.
    """
    truth = corpus.piece_composer[asked]
    return {
        **classification_scores(truth, predicted, len(corpus.composers)),
        "interval": interval_of_accuracy(truth, predicted, works[asked]),
        "composers": list(corpus.composers),
        "mistakes": mistakes_of(truth, predicted, corpus.composers),
    }


def mistakes_of(truth, predicted, names):
    """Which composers were taken for which others, the most common first.

    truth, predicted: (n,) indices into names. Returns a list of {"composer", "taken_for",
    "pieces"}; among equally common ones the composer's share that was mistaken decides.
    """
    support = np.bincount(truth, minlength=len(names))
    wrong = truth != predicted
    pairs, counts = np.unique(
        np.stack([truth[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    order = np.lexsort((-counts / support[pairs[:, 0]], -counts))
    return [
        {"composer": names[a], "taken_for": names[b], "pieces": int(n)}
        for (a, b), n in zip(pairs[order], counts[order], strict=True)
    ]


def compare_by_piece(truth, first, second):
    """Two classifiers on the same pieces, by McNemar's exact test.

    truth, first, second: (n,) composers: the true ones and those predicted. Pieces that both
    recognize, or neither does, say nothing; of the others a fair coin would give each half.
    Returns won and lost, the pieces that only first or only second recognizes, and p, two-sided.
    """
    won = int(((first == truth) & (second != truth)).sum())
    lost = int(((first != truth) & (second == truth)).sum())
    p = binomtest(won, won + lost).pvalue if won + lost else 1.0
    return {"won": won, "lost": lost, "p": float(p)}
