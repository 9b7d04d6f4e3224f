"""The findings in sentences, computed from the results."""

from tinyembed.report.access import KINDS, by_accuracy, by_rank, dig, models_of, title
from tinyembed.report.words import number, p_or_dash, rank_text, share


def summary(results):
    """The findings as a list of sentences, computed from the results."""
    sentences = [part(results, kind) for part in (_prediction, _repetition) for kind in KINDS]
    return [text for text in (*sentences, _classification(results)) if text]


def _prediction(results, kind):
    order = by_rank(results, kind)
    if not order:
        return None
    candidates = dig(results, "corpus", "candidates")
    size = f" {number(candidates, 0)}" if candidates else ""
    rank = results["models"][order[0]][kind]
    verb = "leads with" if order[1:] else "has"
    text = (
        f"Prediction among{size} {KINDS[kind]}: {title(results, order[0])} {verb} a median rank of "
        f"{rank_text(rank['median'])}{_interval(rank, rank_text)}"
    )
    text += _others(results, order, lambda model: rank_text(model[kind]["median"]))
    theirs = by_rank(results, kind, "paper")
    if not theirs:
        return text
    medians = (
        f"{title(results, name)} "
        f"{rank_text(results['models'][name]['paper_predictor'][kind]['median'])}"
        for name in theirs
    )
    return f"{text} With the paper's own predictor, from best to worst: {', '.join(medians)}."


def _interval(scores, show):
    low, high = scores.get("interval") or (None, None)
    return "" if low is None else f" (95% interval {show(low)} to {show(high)})"


def _others(results, order, show):
    """The end of a sentence: the second and the last model of an order, and what each reaches."""
    places = {"next": order[1:2], "last": order[2:][-1:]}
    parts = [
        f"; {place}: {title(results, name)} ({show(results['models'][name])})"
        for place, names in places.items()
        for name in names
    ]
    return "".join(parts) + "."


def _repetition(results, kind):
    pairs = dig(results, "tests", "against_repetition", kind)
    pairs = {name: pair for name, pair in (pairs or {}).items() if name in models_of(results)}
    if not pairs:
        return None
    ahead = [name for name, pair in pairs.items() if beats_repetition(pair)]
    best = next(name for name in [*by_rank(results, kind), *pairs] if name in pairs)
    pair = pairs[best]
    text = (
        f"Compared with repeating the last unit, among {KINDS[kind]}: the trained predictor is "
        f"significantly better for {len(ahead)} of {len(pairs)} embeddings. For "
        f"{title(results, best)} it ranks {share(pair['better'])} of the targets better and "
        f"{share(pair['worse'])} worse (rank-biserial correlation "
        f"{number(pair['rank_biserial'])}, Wilcoxon p {_equals(pair['wilcoxon'])}"
    )
    if "pieces" in pair:
        text += (
            f"; on means of {pair['pieces']['n']} pieces {number(pair['pieces']['rank_biserial'])}"
            f", p {_equals(pair['pieces']['wilcoxon'])}"
        )
    return text + ")."


def beats_repetition(pair):
    """Whether a model is significantly better than repetition: Wilcoxon's test, means by piece."""
    test = pair.get("pieces") or pair
    return test["rank_biserial"] < 0 and test["wilcoxon"]["significant"]


def _equals(test):
    text = p_or_dash(test)
    return text if text.startswith("<") else f"= {text}"


def _classification(results):
    order = by_accuracy(results)
    if not order:
        return None
    scores = results["models"][order[0]]["composers"]
    text = (
        f"Composers: {title(results, order[0])} classifies {share(scores['accuracy'])} of the "
        f"units correctly{_interval(scores, share)}"
    )
    pieces = dig(scores, "pieces", "accuracy")
    majority = dig(results, "baselines", "majority", "composers", "accuracy")
    if pieces is not None:
        text += f" and {share(pieces)} of whole pieces"
    if majority is not None:
        text += (
            f"; always naming the most common composer gets {share(majority)} of the units right"
        )
    return text + _others(results, order, lambda model: share(model["composers"]["accuracy"]))
