"""The tables of the prediction experiment (section 5.0.1): Table 2 and the tests.

Each function returns a `Table`, which has no rows if the results have no numbers for it. A column
is defined by its heading and a function that fills a cell.
"""

from tinyembed.evaluation.significance import p_text
from tinyembed.report import paper
from tinyembed.report.access import (
    BASELINES,
    KINDS,
    by_rank,
    dig,
    entries,
    label,
    rank_of,
    tests_of,
)
from tinyembed.report.blocks import Strong, Table
from tinyembed.report.words import interval_text, number, p_or_dash, rank_text, share

DETAILS = {
    "median": lambda rank: _median(rank),
    "spread": lambda rank: rank_text(rank.get("iqr")),
    "standard deviation": lambda rank: number(rank.get("std"), 1),
    "skew": lambda rank: number(rank.get("skew")),
    "mean 1 / (rank + 1)": lambda rank: number(rank.get("mrr"), 3),
    "rank under 10": lambda rank: share(rank.get("recall_at_10")),
    "sequences": lambda rank: number(rank.get("n"), 0),
}
BY_PIECE = {
    "by piece: d_z": lambda pair: number(dig(pair, "pieces", "d_z")),
    "by piece: paired p": lambda pair: _sure(dig(pair, "pieces", "paired")),
    "by piece: rank-biserial": lambda pair: number(dig(pair, "pieces", "rank_biserial")),
    "by piece: Wilcoxon p": lambda pair: _sure(dig(pair, "pieces", "wilcoxon")),
}
PAIR = {
    "mean difference": lambda pair: number(pair["mean_difference"]),
    "median difference": lambda pair: rank_text(pair["median_difference"]),
    "Cohen's d": lambda pair: number(pair["cohen_d"]),
    "Welch p": lambda pair: _sure(pair["welch"]),
    "d_z": lambda pair: number(pair["d_z"]),
    "paired p": lambda pair: _sure(pair["paired"]),
    "rank-biserial": lambda pair: number(pair["rank_biserial"]),
    "Wilcoxon p": lambda pair: _sure(pair["wilcoxon"]),
    **BY_PIECE,
}
PAIRED = {
    "ranked better": lambda pair: share(pair["better"]),
    "worse": lambda pair: share(pair["worse"]),
    **{key: PAIR[key] for key in ("mean difference", "rank-biserial", "Wilcoxon p", *BY_PIECE)},
}
COMPARED = ("median", "spread", "skew")  # with the paper


def table_2(results, predictor="ours"):
    """The prediction ranks of models and baselines, for both kinds of candidates."""
    best = {kind: (by_rank(results, kind, predictor) or [None])[0] for kind in KINDS}
    rows = []
    for name, entry in entries(results):
        if not any(rank_of(entry, kind, predictor) for kind in KINDS):
            continue
        theirs = paper.MODELS.get(name)
        row = [label(results, name)]
        for kind in KINDS:
            rank = rank_of(entry, kind, predictor) or {}
            repeated = dig(results, "baselines", "repetition", name, kind, "median")
            for what in COMPARED:
                text = DETAILS[what](rank)
                row.append(Strong(text) if what == "median" and name == best[kind] else text)
                if kind == "rank":  # the only kind in the paper; its numbers go next to ours
                    row.append(rank_text(theirs and getattr(theirs, what)))
            row.append(rank_text(repeated))
        rows.append(row)
    header = ["Model", *(f"{who}: {what}" for what in COMPARED for who in ("random", "paper"))]
    header += ["random: repetition", *(f"same piece: {what}" for what in COMPARED)]
    header += ["same piece: repetition"]
    what = "Table 2, with the paper's own predictor" if predictor == "paper" else "Table 2"
    return Table(
        header,
        rows,
        f"{what}: rank of the true unit, 0 is best. Random: among random units. Same piece: among "
        "units of the same piece. In brackets: 95% interval of the median, resampled by piece. "
        "Repetition: the median rank of the last unit, repeated as the prediction, in the same "
        "embedding. Spread: interquartile range.",
    )


def rank_details(results, kind):
    """All statistics of the ranks among one kind of candidates; repetition once per model."""
    found = [(label(results, name), entry) for name, entry in entries(results)]
    for baseline in "repetition", "mean":
        for name, entry in (dig(results, "baselines", baseline) or {}).items():
            if isinstance(entry, dict) and kind in entry:  # one per model
                found.append((f"{BASELINES[baseline]}: {label(results, name)}", entry))
    rows = [
        [name, *(show(entry[kind]) for show in DETAILS.values())]
        for name, entry in found
        if entry.get(kind)
    ]
    header = ["Model or baseline", *DETAILS]
    return Table(header, rows, f"Ranks among {KINDS[kind]}, in full.")


def repetition_table(results):
    """Each model's predictor compared with repeating the last unit, paired by target."""
    rows = [
        [label(results, name), KINDS[kind], *(show(pair) for show in PAIRED.values())]
        for kind in KINDS
        for name, pair in (dig(results, "tests", "against_repetition", kind) or {}).items()
    ]
    caption = (
        "The trained predictor compared with repeating the last unit, on the same targets. "
        "Negative differences and correlations mean that the predictor is better. p values are "
        "Bonferroni-corrected; bold: significant."
    )
    return Table(["Model", "candidates", *PAIRED], rows, caption)


def others_table(results):
    """Each row that is not the paper's compared with each of its models, paired by target."""
    rows = [
        [_names_of(results, pair), KINDS[kind], *(show(pair) for show in PAIRED.values())]
        for kind in KINDS
        for pair in dig(results, "tests", "others", kind) or []
    ]
    caption = (
        "Rows of our own compared with each of the paper's models, with our predictor, on the same "
        "targets. Negative differences and correlations mean that the first is better. p values "
        "are Bonferroni-corrected for the comparisons of one row; bold: significant."
    )
    return Table(["Pair", "candidates", *PAIRED], rows, caption)


def pair_table(results, kind, predictor="ours"):
    """Every pair of models, by every test."""
    rows = [
        [_names_of(results, pair), *(show(pair) for show in PAIR.values())]
        for pair in tests_of(results, kind, predictor)
    ]
    who = ", with the paper's own predictor" if predictor == "paper" else ""
    caption = (
        f"All pairs among {KINDS[kind]}{who}. Differences are first minus second, so they are "
        f"negative where the first ranks better. Every p is multiplied by {len(rows)} "
        "(Bonferroni); bold: significant at 0.05."
    )
    return Table(["Pair", *PAIR], rows, caption)


def levene_table(results):
    """The tests of equal spreads."""
    rows = []
    for kind in KINDS:
        for key, name in ("levene", "Levene (mean)"), ("brown_forsythe", "Brown-Forsythe (median)"):
            if test := dig(results, "tests", kind, "levene", key):
                rows.append([KINDS[kind], name, number(test["statistic"]), p_text(test["p"])])
    if rows:
        rows.append(["random units", "Levene, the paper", number(paper.LEVENE_W), "< .001"])
    caption = "Tests of whether the spreads of the models differ."
    return Table(["Candidates", "Test", "W", "p"], rows, caption)


def _names_of(results, pair):
    return " against ".join(label(results, pair[side]) for side in ("first", "second"))


def _median(rank):
    return rank_text(rank.get("median")) + interval_text(rank.get("interval"))


def _sure(test):
    """A corrected p value, in bold if it is significant."""
    text = p_or_dash(test)
    return Strong(text) if dig(test, "significant") else text
