"""Count the pieces and units of a corpus, as in the paper's Table 1."""

import numpy as np

from tinyembed.music import remarks
from tinyembed.music.duplicates import unique_units
from tinyembed.music.roll import KEYS

LOW = 0.8  # with a smaller share of its onsets on the grid, music is performed, not from a score
MOST_LISTED = 20


def count_units(corpus):
    """Pieces, units with an onset, and unique units over twelve keys, by split.

    Also the number and the share of the test units, as written, that occur in training pieces too,
    note for note, in some key.
    """
    units = unique_units(corpus, corpus.unit_beats())
    is_test = corpus.piece_is_test[corpus.beat_piece[units.occurrence_beat]]
    is_written = units.occurrence_key == 0
    occurs = [np.logical_or.reduceat(mine, units.group_start[:-1]) for mine in (~is_test, is_test)]
    in_training = np.repeat(occurs[0], np.diff(units.group_start))
    seen = int((in_training & is_test & is_written).sum())
    n_test = int((is_test & is_written).sum())
    return {
        "pieces": _by_split(np.bincount(corpus.piece_is_test, minlength=2)),
        "units": _by_split(np.bincount(is_test[is_written], minlength=2)),
        "unique_12_keys": _by_split(np.sum(occurs, axis=1)),
        "test_units_in_training": seen,
        "test_units_in_training_share": seen / max(n_test, 1),
    }


def as_object(corpus, counts, leaked, groups):
    """The corpus as JSON values.

    counts, leaked, groups: what `count_units`, `leaked_music` and `same_music` return.
    """
    return {
        **counts,
        **remarks.as_object(corpus, leaked, groups),
        "left_out": [{"file": name, "reason": reason} for name, reason in corpus.left_out],
        "composers": corpus.composers,
        "on_grid": corpus.on_grid,
        "on_grid_low": {name: round(share, 4) for name, share in _off_grid(corpus)},
        "notes": corpus.notes,
    }


def as_text(corpus, counts, leaked, groups, list_groups=False):
    """The corpus as text. Arguments as above; list_groups: whether to list the same music."""
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
        *remarks.leaked_lines(corpus, counts, leaked),
        *remarks.same_lines(corpus, groups, list_groups),
        *remarks.repaired_lines(corpus),
        f"left out: {len(corpus.left_out)} files",
        *(f"  {name}: {reason}" for name, reason in corpus.left_out),
        *(f"note: {note}" for note in corpus.notes),
    ]
    return "\n".join(lines)


def _by_split(numbers):
    return dict(zip(("train", "test"), map(int, numbers), strict=True))


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
