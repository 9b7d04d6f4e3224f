"""A corpus in the file of an index: its arrays, and how they must fit each other and the labels.

The file may come from an untrusted source. So every slice that its numbers describe must lie
within the arrays, and every row of the index must be a unit of its piece. What can still be wrong
is the music itself.
"""

from dataclasses import fields

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.neighbours.files import expect, inside

PREFIX = "corpus_"  # of the names of a corpus's arrays in a file


def corpus_to_arrays(corpus):
    """{name: array} of everything except the names of pieces and composers."""
    arrays = {f.name: getattr(corpus, f.name) for f in fields(Corpus)}
    return {PREFIX + name: a for name, a in arrays.items() if isinstance(a, np.ndarray)}


def arrays_to_corpus(arrays, labels):
    """The `Corpus` in the arrays of a file, whose index has the `Labels`.

    Raises InputError where there is none, or where it is not that of the labels.
    """
    if labels is None or PREFIX + "ticks" not in arrays:
        raise InputError("an index without its music; use one that tinyembed.search --save wrote")
    n, p = len(arrays[PREFIX + "ticks"]), len(labels.pieces)
    parts = {
        name: expect(arrays, PREFIX + name, kind, length)
        for name, kind, length in (
            ("ticks", "<i4", n),
            ("pitches", "|u1", n),
            ("beat_start", "<i4", None),
            ("piece_beats", "<i4", p + 1),
            ("piece_composer", "<i4", p),
            ("piece_on_grid", "<f4", p),
            ("piece_is_test", "|b1", p),
        )
    }
    beats = len(parts["beat_start"]) - 1
    inside("corpus_pitches", parts["pitches"], 0, 127)
    inside("corpus_piece_on_grid", parts["piece_on_grid"], 0, 1)
    _ascending("corpus_beat_start", parts["beat_start"], 0, n)
    _ascending("corpus_piece_beats", parts["piece_beats"], BEATS_PER_UNIT, beats)
    first = np.arange(beats + 1, dtype=np.int64) * TICKS_PER_BEAT
    starts = np.searchsorted(parts["ticks"], first)
    sorted_ticks = n == 0 or bool((np.diff(parts["ticks"]) >= 0).all())
    if not sorted_ticks or not np.array_equal(starts, parts["beat_start"]):
        raise InputError("its parts do not fit: the onsets are not those of its beats")
    if not np.array_equal(parts["piece_composer"], labels.piece_composer):
        raise InputError("its parts do not fit: the music is of other composers")
    units = np.diff(parts["piece_beats"]) - BEATS_PER_UNIT
    if len(labels) and (labels.beat > units[labels.piece]).any():
        raise InputError("its parts do not fit: a row is no unit of its piece")
    return Corpus(**parts, names=labels.pieces, composers=labels.composers)


def _ascending(name, array, step, last):
    """Raise InputError unless an array goes from 0 to `last`, at least `step` at a time."""
    inside(name, array, 0, last)
    if len(array) == 0 or array[0] != 0 or array[-1] != last or (np.diff(array) < step).any():
        raise InputError(f"its parts do not fit: {name} is not in order")
