"""Folds of the training pieces, so that each piece is tested by a classifier that never saw it.

There are few test pieces, and an answer about them is worth something only as long as nothing was
chosen by it. With folds all training pieces can be asked, each once.
"""

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.works import works_of


def folds_of(corpus, n_folds=5, works=None):
    """Deal the training pieces out to folds, all pieces of a work to the same one.

    Every composer is spread over the folds as evenly as its works allow: the works of a composer,
    the largest first, go each to the fold that has the fewest pieces of that composer so far, and
    among equals the fewest pieces in all.

    works: (n_pieces,) int, the work of each piece; default: `works_of`.
    Returns (n_pieces,) int: 0 to n_folds - 1, and -1 for test pieces.
    Raises InputError for fewer than two folds, and for more than there are works.
    """
    works = works_of(corpus) if works is None else np.asarray(works)
    train = np.flatnonzero(~corpus.piece_is_test)
    n_works = len(np.unique(works[train]))
    if not 2 <= n_folds <= n_works:
        raise InputError(
            f"{n_folds} folds of {n_works} works: each fold needs a work, and another one to learn "
            "from; give more training pieces or another number of folds"
        )
    fold = np.full(corpus.n_pieces, -1)
    in_all = np.zeros(n_folds, int)
    for composer in range(len(corpus.composers)):
        own = train[(corpus.piece_composer[train] == composer) & (fold[train] < 0)]
        names, first, sizes = np.unique(works[own], return_index=True, return_counts=True)
        of_composer = np.zeros(n_folds, int)
        for k in np.lexsort((first, -sizes)):  # works of one size in the order of their pieces
            chosen = np.lexsort((in_all, of_composer))[0]
            fold[train[works[train] == names[k]]] = chosen
            of_composer[chosen] += sizes[k]
            in_all[chosen] += sizes[k]
    return fold
