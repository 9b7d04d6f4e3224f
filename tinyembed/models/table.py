"""All models in one table, and the two widths (sections 4.1 to 4.4, Figure 1)."""

from dataclasses import dataclass

from tinyembed.errors import InputError

EMBEDDING = 100

HEAD_HIDDEN = 50
MOST_INTERVALS = 4096  # features of the counts of intervals, of which there are 113


@dataclass(frozen=True)
class ModelSpec:
    """What a model is given and what it must find.

    title:      the paper's name for it (Table 2)
    section:    where the paper describes it, None for a model of ours
    corruption: what is done to the input unit: note_drop, beat_drop, octave_split, or None
    context:    offsets in units of four beats whose sum is the target: (0,) is the unit itself,
                (1,) the next one, (-1, 1) both neighbours; () is no decoder at all
    head:       hidden widths between embedding and composers, () for none; None is no head
    composer_floor: the share of log(composers), the loss of a uniform guess, below which a batch's
                composer loss is no longer minimized: there the head overfits the training pieces
    excerpt:    units that stand together in a batch, each after the one before, for a model that
                predicts the later from the earlier ones (contrastive.py); 0 for single units
    intervals:  features learned from counts of intervals (layers/intervals.py), beside those of the
                convolutions; 0 for Figure 1's encoder, the only one that a decoder can be tied to
    temperature, batch_size: the defaults
    negatives:  other units of the batch to compare each prediction with; None for all of them
    """

    title: str
    section: str | None
    corruption: str | None = None
    context: tuple = (0,)
    head: tuple | None = None
    composer_floor: float = 0.0
    excerpt: int = 0
    intervals: int = 0
    temperature: float = 1.0
    batch_size: int = 100
    negatives: int | None = None


MODELS = {
    "note_drop": ModelSpec("Autoencoder - Note Drop", "4.1", corruption="note_drop"),
    "beat_drop": ModelSpec("Autoencoder - Beat Drop", "4.1", corruption="beat_drop"),
    "octave_split": ModelSpec("Autoencoder - Octave Split", "4.1", corruption="octave_split"),
    "forward": ModelSpec("Predict Forward", "4.2", context=(1,)),
    "context": ModelSpec("Predict Context", "4.2", context=(-1, 1)),
    "composer": ModelSpec("Composer Discrimination", "4.3", context=(), head=()),
    "regularized": ModelSpec("Regularized", "4.4", context=(-1, 1), head=(HEAD_HIDDEN,)),
    "contrastive": ModelSpec(
        "Contrastive", None, context=(), head=(HEAD_HIDDEN,), composer_floor=0.6, excerpt=16,
        intervals=64, temperature=0.1, batch_size=512,
    ),
}  # fmt: skip

PAPER_MODELS = tuple(name for name, spec in MODELS.items() if spec.section)


@dataclass(frozen=True)
class Width:
    """Channels of the four convolutions, and widths of the fully connected layers (Figure 1)."""

    conv: tuple
    dense: tuple


WIDTHS = {
    "small": Width(conv=(32, 64, 128, 256), dense=(256, 128, EMBEDDING)),
    "paper": Width(conv=(100, 200, 400, 800), dense=(800, 400, EMBEDDING)),
}

# The first kernel is an octave by a sixteenth note and moves by its own size; the others move by
# half of theirs in time, and by one in pitch. (kernel, stride, padding), each (pitch, time):
# 60 x 96 -> 5 x 16 -> 4 x 8 -> 3 x 4 -> 2 x 2. Every step can be inverted exactly.
GEOMETRY = (((12, 6), (12, 6), (0, 0)),) + (((2, 4), (1, 2), (0, 1)),) * 3

LAST_IMAGE = (2, 2)


def check_intervals(name, intervals):
    """Raises InputError for too many of them, and for a model with a decoder."""
    if intervals > MOST_INTERVALS:
        raise InputError(f"--intervals {intervals}: {MOST_INTERVALS:,} at most")
    if intervals and MODELS[name].context:
        without = ", ".join(n for n, spec in MODELS.items() if not spec.context)
        raise InputError(
            f"--intervals {intervals}: --model {name} has a decoder, which is tied to the encoder "
            f"of the paper; those without: {without}"
        )
