"""The report's sections about runs in addition to the main one: seeds, folds, the paper's width.

`results["beside"]` holds them, each as its own command wrote it: "seeds" and "width" are the
results.json of other seeds and of another width; "folds" is the output of `benchmarks.ablations
--folds`, and "pieces" that of `benchmarks.pieces`. Missing runs are listed as not run, and so is
the main run where `results["earlier"]` says that an earlier, smaller one stands in its place.
"""

import numpy as np

from tinyembed.evaluation.significance import p_text
from tinyembed.report.access import KINDS, PREDICTORS, dig, entries, label, models_of, rank_of
from tinyembed.report.blocks import Bullets, Heading, Paragraph, Table
from tinyembed.report.words import MISSING, interval_text, number, rank_text, setting_text

EARLIER = (
    "one seed with 1,000,000 examples per model, tested in all keys with both predictors: not run; "
    "the tables of prediction and of composers are those of an earlier run"
)
NOT_RUN = {
    "seeds": "other seeds: not run",
    "folds": "folds of the training pieces: not run",
    "pieces": "whole pieces: not run",
    "width": "the paper's width: not run",
}

ROW_NAMES = {  # of rows of `benchmarks.ablations`
    "base": "contrastive",
    "composer,intervals=64": "composer with counts of intervals",
}


def beside_sections(results):
    """All sections, then what was not run, if anything. Nothing if there is no other run."""
    beside = dig(results, "beside")
    if beside is None:
        return []
    sections = {
        "seeds": _seeds,
        "folds": _folds,
        "pieces": _pieces,
        "width": lambda width: _width(width, beside.get("seeds")),
    }
    blocks = [b for name, show in sections.items() if beside.get(name) for b in show(beside[name])]
    missing = [EARLIER] if results.get("earlier") else []
    missing += [words for name, words in NOT_RUN.items() if not beside.get(name)]
    return blocks + ([Heading("What was not run"), Bullets(missing)] if missing else [])


def three(x):
    """A share with three decimals."""
    return number(x, 3)


def median_of(rank):
    """The cell of a median and its interval."""
    return rank_text(dig(rank, "median")) + interval_text(dig(rank, "interval"))


def row_name(name):
    """What a row of `benchmarks.ablations`, or the weights trained for it, are called here."""
    for row, words in ROW_NAMES.items():
        if name == row or name.startswith(f"{row}, trained"):
            return words + name.removeprefix(row)
    return name


def accuracy_of(scores):
    """The cell of an accuracy and its interval."""
    return three(dig(scores, "accuracy")) + interval_text(dig(scores, "interval"), three)


def _seeds(results):
    """How much the numbers of a model vary from training to training."""
    shown = [(name, entry) for name, entry in entries(results) if entry.get("each_seed")]
    composers = []
    for name, entry in shown:
        shares = [one["units"] for one in entry["each_seed"]]
        row = [label(results, name), ", ".join(map(three, shares)), three(np.std(shares, ddof=1))]
        composers.append([*row, accuracy_of(entry["composers"])])
    examples = setting_text(dig(results, "settings", "examples"))
    seeds = " and ".join(map(str, dig(results, "settings", "seeds")))
    header = ["Model", "units: accuracy of each seed", "standard deviation", "of all"]
    return [
        Heading("Other seeds"),
        Paragraph(
            f"Each model was trained again with seeds {seeds}, on {examples} examples each, and "
            "tested on the same pieces. The intervals resample seeds and pieces. The standard "
            "deviation is that of the accuracy across seeds."
        ),
        *(_ranks_of_seeds(results, shown, predictor) for predictor in PREDICTORS),
        Table(header, composers, "Composers of units."),
    ]


def _ranks_of_seeds(results, shown, predictor):
    """The median ranks of each seed and of all. shown: list of (name, entry)."""
    rows = []
    for name, entry in shown:
        row = [label(results, name)]
        for kind in KINDS:
            medians = (
                rank_text(dig(rank_of(one, kind, predictor), "median"))
                for one in entry["each_seed"]
            )
            row += [", ".join(medians), median_of(rank_of(entry, kind, predictor))]
        rows.append(row)
    header = ["Model"]
    for kind in "random", "same piece":
        header += [f"{kind}: median of each seed", "of all"]
    return Table(header, rows, f"With {PREDICTORS[predictor]}.")


def _folds(result):
    """Composers of units and pieces, by models trained without the pieces they are tested on."""
    rows = [
        [row_name(name), accuracy_of(row), three(row["accuracy_of_pieces"])]
        + [rank_text(dig(row, kind, "median")) for kind in KINDS]
        for name, row in result["rows"].items()
    ]
    pairs = []
    for pair in result.get("between") or []:
        units, pieces = pair["units"], pair["pieces"]
        names = " against ".join(row_name(pair[which]) for which in ("first", "second"))
        cells = [names, three(units["mean_difference"])]
        cells += [p_text(units["p"]), f"{pieces['won']} : {pieces['lost']}", p_text(pieces["p"])]
        cells += [p_text(pair[kind]["p"]) if kind in pair else MISSING for kind in KINDS]
        pairs.append(cells)
    examples = setting_text(result["examples"])
    return [
        Heading("Folds of the training pieces"),
        Paragraph(
            f"{result['folds']}-fold cross-validation on the training pieces: each model is "
            f"trained {result['folds']} times, on {examples} examples each, without one fold, and "
            "tested on that fold. No work is split between folds. The test pieces are not used."
        ),
        Table(["Model", "units: accuracy", "pieces: accuracy",
               "random: median", "same piece: median"], rows),
        Table(
            ["Pair", "units: difference", "p", "pieces won : lost", "p", "random: p",
             "same piece: p"],
            pairs,
            "Paired by piece. Units: the mean difference of the share of correct units per piece, "
            "with Wilcoxon's p. Pieces: the number that only one of the two classifies correctly, "
            "with McNemar's exact p. Ranks: Wilcoxon's p for mean ranks per piece. The p values "
            "are not corrected for the number of pairs.",
        ),
    ]  # fmt: skip


def _pieces(result):
    """The composers of whole pieces."""
    kinds = {"works": "folds", "cycles": "folds, no cycle split", "test": "test pieces"}
    rows = [
        [row_name(row["weights"]) or "none", row["method"]]
        + [accuracy_of(row[kind]) if kind in row else MISSING for kind in kinds]
        for row in result["rows"]
    ]
    return [
        Heading("Whole pieces"),
        Paragraph(
            "Several methods predict the composer of a whole piece. Voting adds up the predictions "
            "of a classifier of units. The others are a shrinkage linear discriminant on the mean "
            "and standard deviation of a piece's embeddings, on counts of its notes, or on both. "
            "The weights in the package were trained on many of the training pieces, contrastive "
            "and regularized with their composers as labels, so their accuracy in folds is too "
            "high. Those trained in folds did not see the pieces that they are tested on."
        ),
        Table(
            ["Embedding", "method", *kinds.values()],
            rows,
            "Accuracy, with its 95% interval, resampled by work.",
        ),
    ]


def _width(results, seeds):
    """The same experiments at another width. seeds: results of other seeds, or None.

    The seeds are shown beside them if they differ in seed and width only.
    """
    runs = [run for run in (results, seeds) if run and _budget(run) == _budget(results)]
    widths = [f"{dig(run, 'settings', 'width')} width" for run in runs]
    composers = []
    for name in models_of(results):
        found = [dig(run, "models", name, "composers") for run in runs]
        composers.append([label(results, name), *map(accuracy_of, found)])
    examples = setting_text(dig(results, "settings", "examples"))
    about = f"One seed, {examples} examples per model, tested on the same pieces."
    if len(runs) == 2:
        about += (
            f" The columns of {widths[1]} are those of the other seeds above, trained on as many "
            "examples and tested in the same way."
        )
    return [
        Heading(f"At {widths[0]}"),
        Paragraph(about),
        *(_ranks_of_widths(runs, widths, predictor) for predictor in PREDICTORS),
        Table(["Model", *widths], composers, "Composers of units: accuracy."),
    ]


def _ranks_of_widths(runs, widths, predictor):
    """The median ranks of each model of the first run, in all runs."""
    rows = []
    for name in models_of(runs[0]):
        found = [dig(run, "models", name) for run in runs]
        medians = [median_of(rank_of(entry, kind, predictor)) for kind in KINDS for entry in found]
        rows.append([label(runs[0], name), *medians])
    header = ["Model", *(f"{kind}: {width}" for kind in KINDS.values() for width in widths)]
    return Table(header, rows, f"Median rank with {PREDICTORS[predictor]}.")


def _budget(results):
    """The settings that two runs must share for a comparison of their widths."""
    names = "examples", "batch_size", "keys", "lstm_steps", "classifier_steps"
    return [dig(results, "settings", name) for name in names]
