"""Count the pieces and units of a corpus, as in the paper's Table 1."""

import numpy as np

from tinyembed.music.duplicates import unique_units
from tinyembed.music.roll import KEYS

LOW = 0.8  # with a smaller share of its onsets on the grid, music is performed, not from a score
MOST_LISTED = 20


def count_units(corpus):
    """Pieces, units with an onset, and unique units over twelve keys, by split."""
    counts = {"pieces": {}, "units": {}, "unique_12_keys": {}}
    for split, pieces in (("train", ~corpus.piece_is_test), ("test", corpus.piece_is_test)):
        beats = corpus.unit_beats(pieces)
        counts["pieces"][split] = int(pieces.sum())
        counts["units"][split] = int(corpus.has_onset(beats).sum())
        counts["unique_12_keys"][split] = len(unique_units(corpus, beats))
    return counts


def as_object(corpus, counts):
    """The corpus and the result of `count_units` as JSON values."""
    return {
        **counts,
        "left_out": [{"file": name, "reason": reason} for name, reason in corpus.left_out],
        "composers": corpus.composers,
        "on_grid": corpus.on_grid,
        "on_grid_low": {name: round(share, 4) for name, share in _off_grid(corpus)},
        "notes": corpus.notes,
    }


def as_text(corpus, counts):
    """The corpus and the result of `count_units` as text."""
    pieces = [
        (name, np.bincount(corpus.piece_is_test[corpus.piece_composer == n], minlength=2))
        for n, name in enumerate(corpus.composers)
    ]
    units = counts["units"].values()
    rows = [
        ("in one key, with an onset", units),
        (f"in {len(KEYS)} keys", [n * len(KEYS) for n in units]),
        (f"in {len(KEYS)} keys, without duplicates", counts["unique_12_keys"].values()),
    ]
    all_pieces = ("all", counts["pieces"].values())
    lines = [
        *_table("Composer", "training pieces", "test pieces", [*pieces, all_pieces]),
        "",
        *_table("Units", "  training", "      test", rows),
        "",
        *_grid(corpus),
        *([f"left out: {len(corpus.left_out)}"] if corpus.left_out else []),
        *(f"  {name}: {reason}" for name, reason in corpus.left_out),
        *(f"note: {note}" for note in corpus.notes),
    ]
    return "\n".join(lines)


def _table(title, training, test, rows):
    """The lines of a table. training, test: headings, as wide as their columns."""
    width = max(len(title), *(len(name) for name, _ in rows))
    yield f"{title:{width}}  {training}  {test}"
    for name, (n_train, n_test) in rows:
        yield f"{name:{width}}  {n_train:{len(training)},}  {n_test:{len(test)},}"


def _off_grid(corpus):
    """(name, share of onsets on the grid) of each piece where that share is low."""
    pieces = zip(corpus.names, corpus.piece_on_grid.tolist(), strict=True)
    return [(name, share) for name, share in pieces if share < LOW]


def _grid(corpus):
    yield f"{corpus.on_grid:.1%} of the onsets lie on the grid of 24 ticks per beat"
    if corpus.on_grid < LOW:
        yield (
            f"warning: that is under {LOW:.0%}. Performed MIDI has no meaningful beats: its units "
            "begin anywhere in the music. Use files made from scores."
        )
    low = sorted((share, name) for name, share in _off_grid(corpus))
    if low:
        yield f"pieces under {LOW:.0%}:"
    yield from (f"  {share:6.1%}  {name}" for share, name in low[:MOST_LISTED])
    if len(low) > MOST_LISTED:
        yield f"  and {len(low) - MOST_LISTED} more pieces under {LOW:.0%}"
