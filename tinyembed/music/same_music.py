"""Find the same music twice: under several names, in other keys, in training and in test pieces.

Pieces are compared unit by unit, in one key for the whole piece and with octaves aside
(patterns.py). Neither the tempo nor the resolution of a file matters. Not found is music that is
written in other note values or shifted by a part of a beat, and music that is performed.
"""

from dataclasses import dataclass

import numpy as np

from tinyembed.music.patterns import Patterns, smallest

# Measured on 1,045 pieces (434 for piano and 611 of music21's scores): every pair with a quarter of
# its units in common is one piece in two versions. By chance two pieces have up to 23%.
SAME = 0.25  # of one piece's units: the other holds the same music, at least in part
MOST = 0.5  # of a test piece's units in one training piece: it does not test new music


@dataclass(frozen=True)
class Pair:
    """Two pieces with units in common.

    first, second: indices of the pieces
    semitones:     how much higher the music is in the second piece, -5 to 6
    share:         of the different units of one piece, how many occur in the other
    """

    first: int
    second: int
    semitones: int
    share: float


def same_music(corpus, patterns=None):
    """Groups of pieces that hold the same music: SAME or more of the smaller piece's units.

    patterns: the `Patterns` of the corpus, if they are at hand. Returns a list of groups, each a
    list of `Pair`, both by falling share. A group has one pair less than pieces: each further piece
    stands beside the one that it has the most in common with.
    """
    patterns = patterns or Patterns.of(corpus)
    first, second, semitones, common = patterns.pairs(np.arange(corpus.n_pieces))
    smaller = np.minimum(patterns.count[first], patterns.count[second])
    order = np.argsort(-common / smaller, kind="stable")
    order = order[(common / smaller >= SAME)[order]]
    group_of = {}  # piece: (the pieces of its group, their pairs)
    for a, b, up in np.stack([first, second, semitones], axis=1)[order].tolist():
        larger, other = (group_of.setdefault(piece, ([piece], [])) for piece in (a, b))
        if larger is other:
            continue
        if len(larger[0]) < len(other[0]):
            larger, other = other, larger
        larger[0].extend(other[0])
        larger[1].extend([*other[1], _pair(patterns, a, b, up, min(patterns.count[[a, b]]))])
        group_of.update(dict.fromkeys(other[0], larger))
    groups = {id(pairs): _sorted(pairs) for _, pairs in group_of.values()}
    return sorted(groups.values(), key=lambda pairs: -pairs[0].share)


def leaked_music(corpus, patterns=None):
    """Which test pieces have units in common with training pieces.

    patterns: as above. Returns a list of `Pair` by falling share, at most one for each test piece:
    first is the test piece, second the training piece that holds the most of it, share that of the
    test piece's units.
    """
    patterns = patterns or Patterns.of(corpus)
    is_test = corpus.piece_is_test
    pairs = np.stack(patterns.pairs(is_test), axis=1)
    worst = {}
    for a, b, up, _ in pairs[np.argsort(-pairs[:, 3], kind="stable")].tolist():
        test, training, up = (a, b, up) if is_test[a] else (b, a, smallest(-up))
        if test not in worst:
            worst[test] = _pair(patterns, test, training, up, patterns.count[test])
    return _sorted(worst.values())


def _pair(patterns, first, second, semitones, units):
    common = patterns.in_common(first, second, semitones)
    return Pair(first, second, semitones, float(common / units))


def _sorted(pairs):
    return sorted(pairs, key=lambda pair: -pair.share)
