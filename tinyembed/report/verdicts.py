"""The paper's five findings, and whether they hold here: yes, no or partly, with the numbers.

A finding is a list of pairs of models; it claims that the first of each pair is better. A finding
about prediction is judged with each predictor, ours and the paper's own. A pair holds if the median
ranks are in that order (or, for equal medians, the mean reciprocal ranks), or the accuracies. For
ranks, the line also says how many of these pairs are significant on means by piece.
"""

from dataclasses import dataclass
from itertools import product

from tinyembed.report.access import DENOISING, PREDICTORS, dig, models_of, rank_of, tests_of
from tinyembed.report.words import number, rank_text

CONTEXTS = "context", "forward"
REST = tuple(product(("composer",), (*DENOISING, *CONTEXTS, "regularized")))


@dataclass(frozen=True)
class Finding:
    """text: what the paper found; by: "rank" or "accuracy"; pairs: (better, worse) models."""

    text: str
    by: str
    pairs: tuple

    @property
    def names(self):
        """The models that the finding is about, in order."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))


FINDINGS = (
    Finding(
        "Both context models lead all denoising autoencoders in prediction",
        "rank",
        tuple(product(CONTEXTS, DENOISING)),
    ),
    Finding("Composer discrimination leads classification", "accuracy", REST),
    Finding(
        "Regularized stands between context and composer in classification",
        "accuracy",
        (("composer", "regularized"), ("regularized", "context")),
    ),
    Finding(
        "Composer discrimination trails the context models in prediction",
        "rank",
        tuple((name, "composer") for name in (*CONTEXTS, "regularized")),
    ),
    Finding(
        "Regularized stands between context and composer in prediction",
        "rank",
        (("context", "regularized"), ("regularized", "composer")),
    ),
)


@dataclass(frozen=True)
class Verdict:
    """finding: its text; holds: "yes", "no" or "partly"; numbers: a line with the evidence."""

    finding: str
    holds: str
    numbers: str


def verdicts(results):
    """A `Verdict` on each finding whose models all have results."""
    found = []
    for finding in FINDINGS:
        judge = _by_rank if finding.by == "rank" else _by_accuracy
        judged = judge(results, finding)
        if judged:
            counts, lines = zip(*judged, strict=True)
            share = sum(counts) / (len(counts) * len(finding.pairs))
            holds = {1.0: "yes", 0.0: "no"}.get(share, "partly")
            found.append(Verdict(finding.text, holds, "; ".join(lines)))
    return found


def _by_rank(results, finding):
    """[(pairs that hold, a line)], one per predictor that has ranked all models of a finding."""
    judged = []
    for predictor, words in PREDICTORS.items():
        models = models_of(results)
        ranks = {name: rank_of(models.get(name), "rank", predictor) for name in finding.names}
        if None in ranks.values():
            continue
        standing = {name: (rank["median"], -rank["mrr"]) for name, rank in ranks.items()}
        holding = [pair for pair in finding.pairs if standing[pair[0]] < standing[pair[1]]]
        sure = sum(_is_significant(results, predictor, *pair) for pair in holding)
        order = sorted(standing, key=standing.get)
        medians = ", ".join(f"{_short(n)} {rank_text(ranks[n]['median'])}" for n in order)
        judged.append(
            (
                len(holding),
                f"{words}: {len(holding)} of {len(finding.pairs)} pairs ({sure} significant), "
                f"median ranks {medians}",
            )
        )
    return judged


def _is_significant(results, predictor, ahead, behind):
    """Whether a model ranks significantly better than another, on means by piece."""
    for pair in tests_of(results, "rank", predictor):
        sides = {pair["first"]: -1, pair["second"]: 1}
        if sides.keys() == {ahead, behind}:
            test = pair.get("pieces") or pair
            return bool(dig(test, "wilcoxon", "significant")) and (
                test["rank_biserial"] * sides[ahead] > 0
            )
    return False


def _by_accuracy(results, finding):
    models = models_of(results)
    found = {n: dig(models.get(n), "composers", "accuracy") for n in finding.names}
    if None in found.values():
        return []
    holding = sum(found[ahead] > found[behind] for ahead, behind in finding.pairs)
    order = sorted(found, key=found.get, reverse=True)
    shares = ", ".join(f"{_short(name)} {number(found[name], 3)}" for name in order)
    return [(holding, f"{holding} of {len(finding.pairs)} pairs, accuracies {shares}")]


def _short(name):
    return name.replace("_", " ")
