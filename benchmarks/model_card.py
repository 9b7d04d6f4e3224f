"""A model card: what a weight file is, what it was made from and how, and what it can do."""

import platform
import textwrap
from collections import Counter

import numpy as np

from tinyembed.evaluation import composers, prediction
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import READER_VERSION
from tinyembed.music.public_corpora import CORPORA, source_of
from tinyembed.storage.files import digest, write_atomically
from tinyembed.training.validation import CHANCE

# What follows for weights from the licence of what they were trained on: whose music it is, and
# under which terms it, and so what is made from it, may be shared.
TERMS = {
    "asap": ("the ASAP dataset", "CC BY-NC-SA 4.0"),
    "krueger": ("Bernd Krueger, piano-midi.de", "CC BY-SA 3.0 DE"),
}


def write_card(weights, options, rows, summary, results, difference):
    """Write NAME.md beside the weight file NAME.npz. Returns its path.

    weights: the path; options: of `benchmarks.weights`; rows: of corpus.tsv; summary: of the
    training; results: of the evaluation; difference: from `benchmarks.weights.compare`.
    """
    name = weights.stem
    blocks = [
        *_head(weights, name, summary),
        *_licence(rows),
        *_corpus(rows),
        *_making(name, options, summary, results),
        *_training_scores(summary),
        *_test_scores(name, results),
        *_rounding(difference),
    ]
    path = weights.with_suffix(".md")
    text = "\n\n".join(blocks) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _paragraph(text, **indent):
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False, **indent)


def _table(header, rows):
    line = " --- | " + " | ".join("---:" for _ in header[1:])
    body = [" | ".join(str(cell) for cell in row) for row in [header, *rows]]
    return "\n".join(f"| {row} |" for row in [body[0], line.strip(), *body[1:]])


def _head(weights, name, summary):
    spec = MODELS[name]
    yield f"# {weights.name}: {spec.title}, {summary['width']} width"
    which = f"that of the paper's section {spec.section}" if spec.section else "one of our own"
    yield _paragraph(
        f'`tinyembed.load("{name}")` gives this model: {which}, trained on piano music. '
        "It turns four beats of music into 100 numbers. "
        "Matrices are stored in float16, vectors in float32, and it runs in float32."
    )
    yield f"SHA-256: `{digest(weights)}`"


def _licence(rows):
    used = [corpus for corpus in CORPORA if any(row["corpus"] == corpus for row in rows)]
    terms = TERMS["asap" if "asap" in used else "krueger"][1]
    yield "## Licence"
    yield _paragraph(
        f"These weights: {terms}. That is not the licence of the code (MIT); it follows those of "
        "the music:"
    )
    yield "\n".join(
        _paragraph(
            f"- {TERMS[corpus][0]}, {TERMS[corpus][1]}; by way of {source_of(corpus)}, which says: "
            f"{CORPORA[corpus].licence}",
            subsequent_indent="  ",
        )
        for corpus in used
    )


def _corpus(rows):
    yield "## Corpus"
    yield _paragraph(
        f"{len(rows)} files, each named in [corpus.tsv](corpus.tsv) with its SHA-256; none of them "
        "is part of the package. The pieces for testing were never seen in training; a tenth of "
        "the others only chose the best weights."
    )
    counts = Counter((row["composer"], row["split"]) for row in rows)
    counts += Counter(("all", row["split"]) for row in rows)
    names = [*sorted({row["composer"] for row in rows}), "all"]
    yield _table(
        ("Composer", "for training", "for testing"),
        [(name, counts[name, "train"], counts[name, "test"]) for name in names],
    )


def _making(name, options, summary, results):
    yield "## How it was made"
    steps = ("lstm_steps", prediction.STEPS), ("classifier_steps", composers.STEPS)
    others = [(o, getattr(options, o)) for o, usual in steps if getattr(options, o) != usual]
    words = "".join(f" --{option.replace('_', '-')} {value}" for option, value in others)
    yield (
        f"```sh\npython -m benchmarks.weights --data {' '.join(CORPORA)} --model {name} "
        f"--examples {options.examples} --seed {options.seed}{words}\n```"
    )
    yield _paragraph(
        f"{summary['examples']:,} examples, drawn from {summary['unique_examples']:,} different "
        f"ones in all keys, in batches of {results['settings']['batch_size']}, on the "
        f"{summary['device']}; the best weights were those of step {summary['best_step']:,} of "
        f"{summary['steps']:,}. Seed {options.seed}; Python {platform.python_version()}, NumPy "
        f"{np.__version__}; {results['created']}. Version {READER_VERSION} of tinyembed's reader "
        "read the music (`reader` in the file's config); embedding does not depend on it."
    )


def _training_scores(summary):
    yield "## Scores at the end of training"
    yield _paragraph(
        f"On {summary['validation_examples']:,} examples of {summary['validation_pieces']} "
        f"validation pieces; validation loss {summary['validation_loss']:.3f}."
    )
    if "reconstruction" in summary:
        rows = [
            (who, f"{s['loss']:.3f}", f"{s['cosine']:.3f}", f"{s['median_rank']:g}")
            for who, s in summary["reconstruction"].items()
        ]
        header = ("What the decoder makes", "loss", "cosine", f"median rank of {summary['ranked']}")
        yield _table(header, [*rows, ("chance", f"{CHANCE:.3f}", "", "")])
    if "composer" in summary:
        head = summary["composer"]
        yield _paragraph(
            f"Its head is right about the composer of {head['accuracy']:.1%} of the units; always "
            f"answering the most common one is right for {head['majority']:.1%}."
        )


def _test_scores(name, results):
    entry, baselines = results["models"][name], results["baselines"]
    yield "## Scores on the test pieces"
    yield _paragraph(
        "Both experiments of the paper, with the weights as they are in the file. The rank of the "
        f"right next unit, 0 is best, by an LSTM of {results['settings']['lstm_steps']:,} steps, "
        "among random units and among units of the same piece:"
    )
    rows = []
    for label, ranks in (
        ("this model", entry),
        ("its last unit repeated", baselines["repetition"][name]),
        ("the mean embedding", baselines["mean"]),
    ):
        kinds = [ranks.get(kind) for kind in ("rank", "rank_same_piece")]
        cells = [(f"{k['median']:g}", f"{k['iqr']:g}") if k else ("-", "-") for k in kinds]
        rows.append((label, *cells[0], *cells[1]))
    yield _table(("", "median rank", "spread", "same piece: median rank", "spread"), rows)
    scores, majority = entry["composers"], baselines["majority"]["composers"]
    yield _paragraph(
        f"A classifier of {len(scores['composers'])} composers is right about "
        f"{scores['accuracy']:.1%} of the units and {scores['pieces']['accuracy']:.1%} of the "
        f"pieces; always answering the most common one is right for {majority['accuracy']:.1%} and "
        f"{majority['pieces']['accuracy']:.1%}."
    )


def _rounding(difference):
    yield "## Rounding"
    yield _paragraph(
        f"Embeddings of {difference['units']:,} test units by these weights, and by those before "
        f"rounding to float16, differ by {difference['largest_difference']:.1e} at most, where the "
        f"largest number is {difference['largest_number']:.2f}; the smallest cosine between the "
        f"two is {difference['smallest_cosine']:.7f}."
    )
