"""Access to the results, numbers as text, and the findings in sentences."""

import math

from tinyembed.evaluation.significance import p_text

MISSING = "—"
DENOISING = ("note_drop", "beat_drop", "octave_split")
BASELINES = {  # in the order of the tables
    "untrained": "Untrained encoder",
    "pca": "PCA of the rolls, 100 components",
    "mean": "Mean embedding as the prediction",
    "repetition": "Last unit repeated",
    "majority": "Commonest composer",
    "chance": "Chance",
}
KINDS = {"rank": "random units", "rank_same_piece": "units of the same piece"}


def dig(results, *path):
    """results[path[0]][path[1]]..., or None where a part is missing."""
    for key in path:
        if not isinstance(results, dict) or results.get(key) is None:
            return None
        results = results[key]
    return results


def number(x, digits=2):
    """A number with separated thousands and a fixed count of decimals; a dash if missing."""
    if x is None or not math.isfinite(x):
        return MISSING
    text = f"{x:,.{digits}f}"
    return text.replace("-", "", 1) if float(text.replace(",", "")) == 0 else text  # no "-0.0"


def rank_text(x):
    """A rank, median or spread without trailing zeros: 6, 6.5 or 6.25."""
    text = number(x)
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval_text(limits, show=rank_text):
    """[low, high], or an empty string if it is missing."""
    return f" [{show(limits[0])}, {show(limits[1])}]" if limits else ""


def share(x):
    """A share in percent."""
    return MISSING if x is None else f"{100 * x:.1f}%"


def duration(seconds):
    """A duration in seconds, minutes or hours, by its size."""
    if seconds is None:
        return MISSING
    for size, unit in (3600, "h"), (60, "min"):
        if seconds >= 2 * size:
            return f"{number(seconds / size, 1)} {unit}"
    return f"{number(seconds, 1)} s"


def setting_text(value):
    """The text of a setting."""
    if value is None:
        return MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def p_or_dash(test, key="p_bonferroni"):
    """The p value of a test; a dash if missing."""
    p = dig(test, key)
    return MISSING if p is None else p_text(p)


def models_of(results):
    """{name: results} of the models that have any."""
    return {name: model for name, model in (dig(results, "models") or {}).items() if model}


def title(results, name):
    """The paper's name for a model."""
    return dig(results, "models", name, "title") or name


def label(results, name):
    """The name of a model or a baseline in the report."""
    return BASELINES.get(name) or title(results, name)


def entries(results):
    """(name, results) of the models, then of the baselines."""
    baselines = dig(results, "baselines") or {}
    present = [(name, baselines[name]) for name in BASELINES if baselines.get(name)]
    return [*models_of(results).items(), *present]


def by_rank(results, kind="rank"):
    """The models from best to worst: by median, then by mean reciprocal rank."""
    found = {name: dig(model, kind) for name, model in models_of(results).items()}
    found = {name: rank for name, rank in found.items() if rank}
    return sorted(found, key=lambda name: (found[name]["median"], -found[name].get("mrr", 0)))


def by_accuracy(results):
    """The models from best to worst at classifying composers."""
    models = models_of(results)
    found = {name: dig(model, "composers", "accuracy") for name, model in models.items()}
    return sorted((name for name in found if found[name] is not None), key=lambda n: -found[n])


def beats_repetition(pair):
    """Whether a model is significantly ahead of repetition: Wilcoxon's test, means by piece."""
    test = pair.get("pieces") or pair
    return test["rank_biserial"] < 0 and test["wilcoxon"]["significant"]


def summary(results):
    """The findings as a list of sentences, computed from the results."""
    sentences = []
    for kind, among in KINDS.items():
        sentences += _prediction(results, kind, among)
    for kind, among in KINDS.items():
        sentences += _repetition(results, kind, among)
    sentences += _classification(results)
    return sentences


def _prediction(results, kind, among):
    order = by_rank(results, kind)
    if not order:
        return []
    candidates = dig(results, "corpus", "candidates")
    size = f" {number(candidates, 0)}" if candidates else ""
    rank = results["models"][order[0]][kind]
    verb = "leads with" if order[1:] else "has"
    text = (
        f"Prediction among{size} {among}: {title(results, order[0])} {verb} a median rank of "
        f"{rank_text(rank['median'])}"
    )
    if rank.get("interval"):
        low, high = rank["interval"]
        text += f" (95% interval {rank_text(low)} to {rank_text(high)})"
    for place, name in _next_and_last(order):
        median = rank_text(results["models"][name][kind]["median"])
        text += f"; {place}: {title(results, name)} ({median})"
    return [text + "."]


def _next_and_last(order):
    return [("next", name) for name in order[1:2]] + [("last", name) for name in order[2:][-1:]]


def _repetition(results, kind, among):
    pairs = dig(results, "tests", "against_repetition", kind)
    pairs = {name: pair for name, pair in (pairs or {}).items() if name in models_of(results)}
    if not pairs:
        return []
    ahead = [name for name, pair in pairs.items() if beats_repetition(pair)]
    best = next(name for name in [*by_rank(results, kind), *pairs] if name in pairs)
    pair = pairs[best]
    text = (
        f"Against the last unit repeated, among {among}: the trained predictor is significantly "
        f"ahead for {len(ahead)} of {len(pairs)} embeddings. For {title(results, best)} it ranks "
        f"{share(pair['better'])} of the targets better and {share(pair['worse'])} worse "
        f"(rank-biserial correlation {number(pair['rank_biserial'])}, Wilcoxon p "
        f"{_equals(pair['wilcoxon'])}"
    )
    if "pieces" in pair:
        text += (
            f"; on means of {pair['pieces']['n']} pieces {number(pair['pieces']['rank_biserial'])}"
            f", p {_equals(pair['pieces']['wilcoxon'])}"
        )
    return [text + ")."]


def _equals(test):
    text = p_or_dash(test)
    return text if text.startswith("<") else f"= {text}"


def _classification(results):
    order = by_accuracy(results)
    if not order:
        return []
    scores = results["models"][order[0]]["composers"]
    text = (
        f"Composers: {title(results, order[0])} names {share(scores['accuracy'])} of the units "
        "rightly"
    )
    if scores.get("interval"):
        low, high = scores["interval"]
        text += f" (95% interval {share(low)} to {share(high)})"
    pieces = dig(scores, "pieces", "accuracy")
    majority = dig(results, "baselines", "majority", "composers", "accuracy")
    if pieces is not None:
        text += f" and {share(pieces)} of whole pieces"
    if majority is not None:
        text += (
            f"; always naming the commonest composer is right for {share(majority)} of the units"
        )
    for place, name in _next_and_last(order):
        accuracy = share(results["models"][name]["composers"]["accuracy"])
        text += f"; {place}: {title(results, name)} ({accuracy})"
    return [text + "."]


def expectations(results):
    """The paper's five findings, and whether they hold here: (finding, True or False) pairs.

    Models are ordered by median rank among random units, then by mean reciprocal rank.
    """
    order = {name: i for i, name in enumerate(by_rank(results))}
    skill = {name: -i for i, name in enumerate(by_accuracy(results))}
    found = []
    if {"forward", "context", *DENOISING} <= order.keys():
        worst = max(order["forward"], order["context"])
        ahead = worst < min(order[name] for name in DENOISING)
        found.append(("Both context models lead all denoising autoencoders in prediction", ahead))
    if {"composer", "regularized", "context"} <= skill.keys():
        leads = skill["composer"] == max(skill.values())
        found.append(("Composer discrimination leads classification", leads))
        between = skill["context"] < skill["regularized"] < skill["composer"]
        found.append(("Regularized stands between context and composer in classification", between))
    if {"composer", "regularized", "context", "forward"} <= order.keys():
        trails = order["composer"] > max(order[n] for n in ("context", "forward", "regularized"))
        found.append(("Composer discrimination trails the context models in prediction", trails))
        between = order["context"] < order["regularized"] < order["composer"]
        found.append(("Regularized stands between context and composer in prediction", between))
    return found
