"""The report's other tables: the corpus, composer classification and times.

Each function returns a `Table`, which has no rows if the results have no numbers for it. A dash
stands for a number that the paper does not give; the best model's number is in bold.
"""

from tinyembed.report import paper
from tinyembed.report.access import by_accuracy, dig, entries, label, title
from tinyembed.report.blocks import Strong, Table
from tinyembed.report.words import duration, interval_text, number


def table_1(results):
    """Pieces per composer, here and in the paper."""
    rows = [
        [row["composer"], *(number(row[split], 0) for split in ("train", "test"))]
        + [number(songs, 0) for songs in paper.songs(row["composer"]) or (None, None)]
        for row in dig(results, "corpus", "table") or []
    ]
    header = ["Composer", "training pieces", "test pieces", "paper: training", "paper: test"]
    if not rows:
        return Table(header, rows)
    ours = [sum(row[s] for row in results["corpus"]["table"]) for s in ("train", "test")]
    theirs = [sum(column) for column in zip(*paper.COMPOSERS.values(), strict=True)]
    listed = {paper.last_name(row[0]) for row in rows}
    absent = [name for name in paper.COMPOSERS if paper.last_name(name) not in listed]
    rows += [[name, "0", "0", *(number(n, 0) for n in paper.COMPOSERS[name])] for name in absent]
    rows.append(["All", *(Strong(number(n, 0)) for n in ours + theirs)])
    return Table(header, rows, "Table 1: pieces per composer.")


def table_3(results):
    """Composer classification by models and baselines, of units and of whole pieces."""
    best = (by_accuracy(results) or [None])[0]
    rows = []
    for name, entry in entries(results):
        if scores := entry.get("composers"):
            accuracy, *f1 = _scores(scores)
            row = [label(results, name), Strong(accuracy) if name == best else accuracy, *f1]
            theirs = paper.MODELS.get(name)
            printed = [number(theirs and getattr(theirs, k)) for k in ("micro_f1", "macro_f1")]
            rows.append([*row, *_scores(scores.get("pieces") or {}), *printed])
    header = ["Model", "units: accuracy", "macro-F1", "weighted F1"]
    header += ["pieces: accuracy", "macro-F1", "weighted F1", "paper: Micro-F1", "paper: Macro-F1"]
    return Table(
        header,
        rows,
        "Table 3: composer classification. Accuracy equals micro-F1. Macro-F1 is the unweighted "
        "mean over composers; weighted F1 is the mean weighted by support, which is how the paper "
        "defines its Macro-F1. In brackets: 95% interval, resampled by piece.",
    )


def composer_table(results):
    """Precision, recall and F1 for each composer, of the model with the best accuracy."""
    best = (by_accuracy(results) or [None])[0]
    scores = dig(results, "models", best, "composers") or {}
    per_composer = scores.get("per_composer") or []
    names = scores.get("composers") or [str(i) for i in range(len(per_composer))]
    by_piece = dig(scores, "pieces", "per_composer") or [{}] * len(per_composer)
    rows = [
        [name, number(unit["support"], 0)]
        + [number(unit[key], 3) for key in ("precision", "recall", "f1")]
        + [number(piece.get("support"), 0), number(piece.get("recall"), 3)]
        for name, unit, piece in zip(names, per_composer, by_piece, strict=False)
    ]
    header = ["Composer", "test units", "precision", "recall", "F1"]
    header += ["test pieces", "recall of pieces"]
    return Table(header, rows, f"Scores per composer: {title(results, best)}.")


def time_table(results):
    """The validation loss of each model, and the seconds of each stage."""
    stages = ("train", "embed", "lstm", "rank", "classifier")
    rows = [
        [label(results, name), number(entry.get("examples"), 0)]
        + [number(entry.get("validation_loss"), 4)]
        + [duration(entry["seconds"].get(stage)) for stage in stages]
        for name, entry in entries(results)
        if entry.get("seconds")
    ]
    header = ["Model", "examples", "validation loss", "training", "embedding"]
    header += ["LSTM", "ranking", "classifier"]
    return Table(header, rows, "Sizes and times.")


def _scores(scores):
    """Three cells: the accuracy and its interval, the macro-F1 and the weighted F1."""
    cells = [number(scores.get(key), 3) for key in ("accuracy", "macro_f1", "weighted_f1")]
    cells[0] += interval_text(scores.get("interval"), lambda x: number(x, 3))
    return cells
