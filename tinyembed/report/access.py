"""What results.json holds: its models and baselines, their names and their order."""

DENOISING = ("note_drop", "beat_drop", "octave_split")
BASELINES = {  # in the order of the tables
    "untrained": "Untrained encoder",
    "pca": "PCA of the rolls, 100 components",
    "mean": "Mean embedding as the prediction",
    "repetition": "Last unit repeated",
    "majority": "Most common composer",
    "chance": "Chance",
}
KINDS = {"rank": "random units", "rank_same_piece": "units of the same piece"}
PREDICTORS = {"ours": "our predictor", "paper": "the paper's predictor"}


def dig(results, *path):
    """results[path[0]][path[1]]..., or None where a part is missing."""
    for key in path:
        if not isinstance(results, dict) or results.get(key) is None:
            return None
        results = results[key]
    return results


def models_of(results):
    """{name: results} of the models that have any."""
    return {name: model for name, model in (dig(results, "models") or {}).items() if model}


def title(results, name):
    """The paper's name for a model."""
    return dig(results, "models", name, "title") or name


def label(results, name):
    """The name of a model, of another row or of a baseline in the report."""
    return BASELINES.get(name) or dig(results, "others", name, "title") or title(results, name)


def entries(results):
    """(name, results) of the paper's models, then of other rows, then of the baselines."""
    baselines = dig(results, "baselines") or {}
    present = [(name, baselines[name]) for name in BASELINES if baselines.get(name)]
    return [*models_of(results).items(), *(dig(results, "others") or {}).items(), *present]


def rank_of(entry, kind, predictor="ours"):
    """The statistics of one model's or baseline's ranks, or None."""
    return dig(entry, "paper_predictor", kind) if predictor == "paper" else dig(entry, kind)


def tests_of(results, kind, predictor="ours"):
    """The tests between all pairs of models, by the ranks of a predictor."""
    path = ("paper_predictor", kind) if predictor == "paper" else (kind,)
    return dig(results, "tests", *path, "pairs") or []


def by_rank(results, kind="rank", predictor="ours"):
    """The models from best to worst: by median, then by mean reciprocal rank."""
    found = {name: rank_of(model, kind, predictor) for name, model in models_of(results).items()}
    found = {name: rank for name, rank in found.items() if rank}
    return sorted(found, key=lambda name: (found[name]["median"], -found[name].get("mrr", 0)))


def by_accuracy(results):
    """The models from best to worst at classifying composers."""
    models = models_of(results)
    found = {name: dig(model, "composers", "accuracy") for name, model in models.items()}
    return sorted((name for name in found if found[name] is not None), key=lambda n: -found[n])
