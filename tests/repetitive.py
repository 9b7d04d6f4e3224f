"""Music made of a few beats that come again and again, so that much of it is equal."""

import numpy as np
from hypothesis import strategies as st

from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece


def corpus_of(*pieces):
    """A `Corpus` of one composer. pieces: (notes, n_beats), notes a list of (tick, pitch)."""
    made = []
    for i, (notes, n_beats) in enumerate(pieces):
        notes = np.array(sorted(set(notes)))
        piece = Piece(notes[:, 0].astype(np.int32), notes[:, 1].astype(np.uint8), n_beats)
        made.append(("A", f"A/{i}.mid", piece))
    return Corpus.from_pieces(made)


@st.composite
def corpora(draw, vocabularies, n_pieces, transpositions):
    """A corpus whose pieces put beats of one vocabulary into different orders.

    vocabularies: draws a list of beats, each a list of (tick, pitch); n_pieces: draws their number;
    transpositions: draws semitones.
    """
    vocabulary = draw(vocabularies)
    pieces = []
    for _ in range(draw(n_pieces)):
        order = draw(st.lists(st.integers(0, len(vocabulary) - 1), min_size=1, max_size=12))
        up = draw(transpositions)
        notes = [(24 * b + t, p + up) for b, i in enumerate(order) for t, p in vocabulary[i]]
        pieces.append((notes or [(0, 60)], len(order)))
    return corpus_of(*pieces)
