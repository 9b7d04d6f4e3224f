"""The paper's numbers, and contradictions among them (Tables 1 to 3, sections 3 and 5)."""

import re
from dataclasses import dataclass

COMPOSERS = {  # Table 1: (training songs, test songs)
    "Albeniz": (15, 2), "J.S. Bach": (8, 2), "Bartok": (21, 4), "Beethoven": (30, 4),
    "Borodin": (8, 2), "Brahms": (31, 5), "Burgmueller": (10, 2), "Byrd": (34, 4),
    "Chopin": (49, 6), "Clementi": (17, 2), "Couperin": (10, 2), "Debussy": (10, 2),
    "Galuppi": (6, 2), "Grieg": (17, 2), "Handel": (20, 3), "Haydn": (20, 3),
    "Scott Joplin": (57, 4), "Liszt": (17, 2), "Mendelssohn": (16, 2), "Mozart": (22, 3),
    "Mussorgsky": (9, 2), "Rachmaninov": (10, 2), "Ravel": (5, 2), "Scarlatti": (6, 2),
    "Schubert": (30, 4), "Schumann": (25, 3), "Tschaikovsky": (13, 2),
}  # fmt: skip
SPELLINGS = {"tchaikovsky": "tschaikovsky", "burgmuller": "burgmueller"}


@dataclass(frozen=True)
class PaperModel:
    """A model's rows in Tables 2 and 3."""

    median: float
    spread: float
    skew: float
    micro_f1: float
    macro_f1: float  # "weighted by the number of true instances for each composer"


MODELS = {
    "note_drop": PaperModel(32, 120, 2.18, 0.14, 0.48),
    "beat_drop": PaperModel(32, 106, 2.51, 0.13, 0.47),
    "octave_split": PaperModel(52, 131, 2.22, 0.12, 0.43),
    "forward": PaperModel(17, 47, 4.0, 0.14, 0.52),
    "context": PaperModel(15, 43, 3.98, 0.14, 0.53),
    "composer": PaperModel(50, 129, 1.92, 0.29, 0.76),
    "regularized": PaperModel(30, 87, 2.31, 0.21, 0.66),
}
ARTISTS = 25  # section 3.1
PITCHES, LOWEST, HIGHEST = 60, 36, 96  # section 3.2
UNITS, UNIQUE_UNITS = 4_682_293, 3_997_873  # section 3.2
KEYS = 12
TEST_SEQUENCES = 325_219  # section 5.0.1
COMPARISONS, THRESHOLD = 21, 0.00037  # section 5.1
LEVENE_W = 7398.17  # section 5.1


def songs(composer):
    """(training songs, test songs) of a composer in Table 1, or None if it is not listed.

    Names are compared by their last word, so "Bach", "J. S. Bach" and "bach" are the same.
    """
    return _BY_LAST_NAME.get(last_name(composer))


def last_name(composer):
    """A composer's last name, in lower case and in the spelling of Table 1."""
    words = re.findall(r"[^\W\d_]+", composer.lower()) or [""]
    return SPELLINGS.get(words[-1], words[-1])


_BY_LAST_NAME = {last_name(name): row for name, row in COMPOSERS.items()}


def weighted_f1_bound(accuracy):
    """An upper bound of the support-weighted F1, given the accuracy: twice the accuracy.

    For a composer with n units, TP of them correctly classified, and p units classified as this
    composer, n F1 = 2 TP n / (n + p), which is less than 2 TP if p > 0. Summed over all composers
    and divided by the number of units: weighted F1 < 2 accuracy.
    """
    return 2 * accuracy


def impossibilities():
    """Statements of the paper that contradict arithmetic or each other.

    Returns a list of dicts: claim (what the paper says, and where), finding (what follows from
    it), and certain: True where no reading of the claim can hold, False where an unstated step
    could explain it.
    """
    return [
        *(_table3(name, row) for name, row in MODELS.items()),
        _threshold(),
        _artists(),
        _pitches(),
        _keys("training units", UNITS, "3.2"),
        _keys("test sequences", TEST_SEQUENCES, "5.0.1"),
    ]


def _table3(name, row):
    # Before rounding to two places, accuracy < micro + .005 and weighted F1 >= macro - .005.
    highest, least = weighted_f1_bound(row.micro_f1 + 0.005), row.macro_f1 - 0.005
    return {
        "claim": f"Table 3, {name}: micro-F1 {row.micro_f1:.2f} and support-weighted F1 "
        f"{row.macro_f1:.2f}",
        "finding": "with one composer per unit, micro-F1 is the accuracy, and the weighted F1 is "
        f"below twice that: {weighted_f1_bound(row.micro_f1):.2f}, or {highest:.2f} allowing for "
        f"rounding; the paper has {row.macro_f1 / row.micro_f1:.1f} times the accuracy",
        "certain": least >= highest,
    }


def _threshold():
    return {
        "claim": f"section 5.1: {COMPARISONS} comparisons, so p < {THRESHOLD} is significant",
        "finding": f"0.05 / {COMPARISONS} = {0.05 / COMPARISONS:.4f} and 0.01 / {COMPARISONS} = "
        f"{0.01 / COMPARISONS:.5f}; {THRESHOLD} is 0.05 / {0.05 / THRESHOLD:.0f} or 0.01 / "
        f"{0.01 / THRESHOLD:.0f}. This threshold is stricter than the correct one, so results "
        "that pass it also pass the correct one",
        "certain": all(round(alpha / COMPARISONS, 5) != THRESHOLD for alpha in (0.05, 0.01, 0.001)),
    }


def _artists():
    training, test = (sum(column) for column in zip(*COMPOSERS.values(), strict=True))
    return {
        "claim": f"section 3.1: {ARTISTS} artists, distributed as in Table 1",
        "finding": f"Table 1 has {len(COMPOSERS)} rows ({training} training, {test} test songs), "
        "as many as the classifier of section 5.0.2 has outputs",
        "certain": len(COMPOSERS) != ARTISTS,
    }


def _pitches():
    span = HIGHEST - LOWEST + 1
    return {
        "claim": f"section 3.2: {PITCHES} pitches, from MIDI note {LOWEST} to {HIGHEST}",
        "finding": f"{LOWEST} to {HIGHEST} are {span} notes; five octaves, 24 + 36 rows as in "
        f"section 4.1, end at {LOWEST + PITCHES - 1}",
        "certain": span != PITCHES,
    }


def _keys(what, count, section):
    return {
        "claim": f"section {section}: {count:,} {what}, each piece in all {KEYS} keys",
        "finding": f"a piece has the same number in every key, so the count should be divisible by "
        f"{KEYS}; the remainder is {count % KEYS}. Some units were left out or not transposed, "
        "which the paper does not mention",
        "certain": False,
    }
