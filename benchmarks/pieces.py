"""Who composed a whole piece? Four methods, in folds of the training pieces and on the test pieces.

    python -m benchmarks.pieces --data FOLDER [--weights NAME|FILE ...] [--json]

evaluation/pieces.py says what the methods are, music/works.py which pieces stay together. The
columns: five folds that divide no work, five that divide no cycle of pieces either, and the test
pieces. Weights with {} in their name, such as runs/context-fold{}, stand for one encoder for each
of the five folds, 0 to 4, trained without it; they are asked in the first column only.
"""

import re
import time
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.machine import finish, read_options
from benchmarks.parser import BenchmarkParser
from benchmarks.pieces_table import report
from tinyembed.cli.options import check_counts, count, music
from tinyembed.cli.running import run
from tinyembed.embedding.trained import load, packaged, weight_file
from tinyembed.evaluation import composers
from tinyembed.evaluation.piece_folds import folds_of
from tinyembed.evaluation.pieces import (
    METHODS,
    Pieces,
    answers_of,
    compare_by_piece,
    held_out_round,
    piece_scores,
    rounds_of,
)
from tinyembed.music.works import works_of
from tinyembed.stores.sources import open_corpus
from tinyembed.training.trainer import fingerprint

FOLDS = 5
SHORT = ("accuracy", "interval", "macro_f1", "weighted_f1", "n")
MOST_MISTAKES = 12


def main(argv=None):
    parser = BenchmarkParser("pieces", __doc__.splitlines()[0])
    parser.add_argument("--data", type=music, required=True, metavar="FOLDER", help="the music")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=packaged(),
        metavar="NAME|FILE",
        help="models of the package, folders of runs, or weight files; {} for the number of a fold",
    )
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    options = read_options(parser, argv)
    check_counts(options, "classifier_steps")
    for name in options.weights:  # a missing one is missed at once, not after minutes
        for k in range(FOLDS):
            weight_file(of_fold(name, k))
    corpus = open_corpus(options.data)
    result = measure(corpus, options.weights, options.classifier_steps)
    if not options.json:
        print(report(result))
    finish("pieces", result, options)
    return 0


def measure(corpus, weights, steps):
    """The contents of pieces.json."""
    pieces = Pieces(corpus)
    works = {"works": works_of(corpus), "cycles": works_of(corpus, cycles=True)}
    rounds = {kind: rounds_of(folds_of(corpus, FOLDS, of)) for kind, of in works.items()}
    if corpus.piece_is_test.any():
        works["test"], rounds["test"] = works["works"], held_out_round(corpus)
    result = {
        "corpus": about(corpus, works, rounds),
        "rows": [row_of(pieces, "counts", "", rounds, works, None, steps)],
        "embedding_seconds": {},
    }
    for name in weights:
        embeddings_of, seconds = encoder(pieces, name)
        asked = {"works": rounds["works"]} if "{}" in name else rounds
        for method in METHODS:
            if method != "counts":
                row = row_of(pieces, method, label(name), asked, works, embeddings_of, steps)
                result["rows"].append(row)
        result["embedding_seconds"][label(name)] = sum(seconds)
    compare_with_voting(result["rows"], corpus)
    result["between_weights"] = between_weights(result["rows"], corpus)
    for row in result["rows"]:
        del row["answers"]
    return result


def encoder(pieces, name):
    """A function from the number of a round to the embeddings, and a list of the seconds taken."""
    seconds = []

    @cache
    def embed(which):
        began = time.perf_counter()
        embeddings = pieces.passages.embed(load(which).encode, False)
        seconds.append(time.perf_counter() - began)
        return embeddings

    return (lambda k: embed(of_fold(name, k))), seconds


def label(name):
    """How weights are called in the table: those of five encoders without their folder."""
    if "{}" not in name:
        return name
    stem = re.sub(r"(-seed\d+)?[-_]?fold\{\}.*", "", Path(name).name)
    return ", ".join([stem] * bool(stem) + ["trained in folds"])


def of_fold(name, k):
    """The weights to use for fold k: the name of one encoder for all, or of its own."""
    return name.replace("{}", str(k))


def row_of(pieces, method, weights, rounds, works, embeddings_of, steps):
    """One row of the table: a method with some weights, by columns."""
    row = {"method": method, "weights": weights, "answers": {}}
    for kind, several in rounds.items():
        for k in range(len(several) if embeddings_of else 0):
            embeddings_of(k)  # not within the time of the method
        began = time.perf_counter()
        asked, predicted = answers_of(pieces, method, several, embeddings_of, steps)
        seconds = time.perf_counter() - began
        scores = piece_scores(pieces.corpus, asked, predicted, works[kind])
        row[kind] = {key: scores[key] for key in SHORT} | {"seconds": seconds}
        if method in ("counts", "both") and kind != "cycles":
            row[kind] |= details(scores)
        row["answers"][kind] = (asked, predicted)
    return row


def details(scores):
    """Precision, recall and confusion by composer, in a form that stays short in JSON."""
    names = scores["composers"]
    return {
        "per_composer": {
            name: [round(entry[key], 3) for key in ("precision", "recall")] + [entry["support"]]
            for name, entry in zip(names, scores["per_composer"], strict=True)
        },
        "confusion": {
            name: " ".join(map(str, row))
            for name, row in zip(names, scores["confusion"], strict=True)
        },
        "mistakes": scores["mistakes"][:MOST_MISTAKES],
    }


def compare_with_voting(rows, corpus):
    """Set beside each row how it does against voting, piece by piece; counts against the first."""
    voting = {row["weights"]: row["answers"] for row in rows if row["method"] == "voting"}
    for row in rows:
        rivals = voting.get(row["weights"]) or next(iter(voting.values()))
        for kind in rivals.keys() & row["answers"].keys():
            asked, predicted = row["answers"][kind]
            truth = corpus.piece_composer[asked]
            if row["method"] != "voting":
                row[kind]["against_voting"] = compare_by_piece(truth, predicted, rivals[kind][1])


def between_weights(rows, corpus):
    """Each method by two weights, piece by piece, in folds that divide no work."""
    found = []
    for first, second in combinations(rows, 2):
        if first["method"] == second["method"]:
            (asked, a), (_, b) = (row["answers"]["works"] for row in (first, second))
            names = {"method": first["method"], "first": first["weights"]}
            compared = compare_by_piece(corpus.piece_composer[asked], a, b)
            found.append({**names, "second": second["weights"], **compared})
    return found


def about(corpus, works, rounds):
    """What a reader must know of the music and of the folds."""
    is_test, composer = corpus.piece_is_test, corpus.piece_composer
    return {
        "fingerprint": fingerprint(corpus)[:12],
        "composers": len(corpus.composers),
        "training_pieces": int((~is_test).sum()),
        "test_pieces": int(is_test.sum()),
        "works": {kind: len(np.unique(works[kind][~is_test])) for kind in ("works", "cycles")},
        # Pieces whose composer is not among those learned from.
        "unknown": {
            kind: int(sum((~np.isin(composer[b], composer[a])).sum() for a, b in several))
            for kind, several in rounds.items()
        },
        "test_pieces_of_trained_works": int(
            np.isin(works["works"][is_test], works["works"][~is_test]).sum()
        ),
    }


if __name__ == "__main__":
    run(main)
