"""Leakage: whether test music also occurs in training."""

from tinyembed.music.census import count_units
from tinyembed.music.same_music import MOST, leaked_music


def check_split(corpus):
    """Whether test music also occurs in training.

    Returns unique_train_units, over all keys; pieces_in_both, how many test pieces have at least
    half of their units in one training piece; and the number and share of test units, as written,
    that also occur in training in some key.
    """
    counts = count_units(corpus)
    return {
        "unique_train_units": counts["unique_12_keys"]["train"],
        "pieces_in_both": sum(pair.share >= MOST for pair in leaked_music(corpus)),
        "test_units_in_training": counts["test_units_in_training"],
        "test_units_in_training_share": counts["test_units_in_training_share"],
    }
