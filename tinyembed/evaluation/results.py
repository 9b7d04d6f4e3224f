"""From raw answers to the contents of results.json. The answers of several seeds are pooled."""

import platform
from datetime import date

import numpy as np
from scipy.stats import contingency

from tinyembed import __version__
from tinyembed.backends.arrays import device_name
from tinyembed.evaluation import composers, prediction
from tinyembed.evaluation.classification import classification_scores, interval_of_accuracy
from tinyembed.evaluation.leakage import check_split
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.evaluation.significance import compare, compare_pairs, levene
from tinyembed.evaluation.statistics import box, describe
from tinyembed.models.table import MODELS
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.storage.text import printable
from tinyembed.stores.sources import as_typed

SHORTEST = BEATS_PER_UNIT * SEQUENCE  # beats
FEW_PIECES = 10  # 21 * 2 ** (1 - 9) > 0.05: the smallest corrected p of Wilcoxon's test for nine
KINDS = ("rank", "rank_same_piece")
STAGES = ("embed", "lstm", "rank", "classifier")


class Answers:
    """The answers of one embedding: lists with one entry per training.

    prediction: what `run_prediction` returns; paper: what `run_predictor` returns for the paper's
    predictor; composers: what `run_composers` returns; pieces: the piece of each test sequence,
    (S,).
    seeds: the seed of each entry, an int; by default each has its own. Entries of one seed are
    about different pieces, as those of folds are.
    """

    def __init__(self):
        self.prediction, self.paper, self.composers, self.pieces = [], [], [], []
        self.seeds = None

    def seed_of_each(self, lengths):
        """The seed of each answer, where entry i has lengths[i] of them: (sum of lengths,) ints."""
        seeds = np.arange(len(lengths)) if self.seeds is None else self.seeds
        return np.repeat(seeds, lengths)

    def ranks(self, kind, baseline="", predictor="prediction"):
        """All ranks of a kind, their pieces and their seeds, without those without candidates.

        baseline: "repetition_" or "mean_" for the ranks of that baseline instead; predictor:
        "prediction" or "paper".
        """
        values = np.concatenate([p[baseline + kind] for p in getattr(self, predictor)])
        pieces = np.concatenate(self.pieces)
        seeds = self.seed_of_each([len(p) for p in self.pieces])
        ranked = ~np.isnan(values)
        return values[ranked], pieces[ranked], seeds[ranked]

    def rank_entry(self, baseline="", predictor="prediction"):
        """{"rank", "rank_same_piece", "box", "box_same_piece"}, for kinds that have ranks."""
        entry = {}
        for kind in KINDS:
            values, pieces, seeds = self.ranks(kind, baseline, predictor)
            if len(values):
                entry[kind] = describe(values, pieces, seeds)
                entry[kind.replace("rank", "box")] = box(values)
        return entry


def composer_scores(answers, names, seeds=None):
    """The scores of Table 3, of units and of whole pieces, with several seeds' answers pooled.

    answers: list of what `run_composers` returns; names: of the composers; seeds: as in `Answers`.
    """
    truth, predicted, unit_piece, piece_truth, piece_predicted = (
        np.concatenate([a[key] for a in answers])
        for key in ("truth", "predicted", "unit_piece", "piece_truth", "piece_predicted")
    )
    seeds = range(len(answers)) if seeds is None else seeds
    seeds = np.repeat(list(seeds), [len(a["truth"]) for a in answers])
    return {
        **classification_scores(truth, predicted, len(names)),
        "interval": interval_of_accuracy(truth, predicted, unit_piece, seeds),
        "composers": list(names),
        "pieces": classification_scores(piece_truth, piece_predicted, len(names)),
    }


def significance(answers_by_model):
    """The tests between models, by both predictors, and of each against its last unit repeated."""
    paper = _between_models(answers_by_model, "paper")
    tests = {**_between_models(answers_by_model), "paper_predictor": paper}
    tests["against_repetition"] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        ranks = _ranks_of(answers_by_model, kind)
        for name, values in ranks.items():
            repeated, pieces, _ = answers_by_model[name].ranks(kind, "repetition_")
            tests["against_repetition"][kind][name] = compare(
                values, repeated, pieces, len(ranks), (name, "repetition")
            )
    return tests


def against_models(others, models):
    """The tests of other rows against each of the paper's models, by our predictor.

    others, models: {name: `Answers`}. Returns {kind: list of what `compare` returns}.
    """
    tests = {}
    for kind in KINDS:
        theirs = _ranks_of(models, kind)
        tests[kind] = [
            compare(ours, ranks, others[name].ranks(kind)[1], len(theirs), (name, model))
            for name, ours in _ranks_of(others, kind).items()
            for model, ranks in theirs.items()
        ]
    return tests


def _between_models(answers_by_model, predictor="prediction"):
    """{kind: {"pairs", "levene"}} for kinds of which two models or more have ranks."""
    tests = {}
    for kind in KINDS:
        ranks = _ranks_of(answers_by_model, kind, predictor)
        if len(ranks) > 1:
            _, pieces, _ = next(iter(answers_by_model.values())).ranks(kind, "", predictor)
            tests[kind] = {"pairs": compare_pairs(ranks, pieces), "levene": levene(ranks)}
    return tests


def _ranks_of(answers_by_model, kind, predictor="prediction"):
    """{name: ranks} of the models that have any."""
    found = {name: a.ranks(kind, "", predictor)[0] for name, a in answers_by_model.items()}
    return {name: values for name, values in found.items() if len(values)}


def corpus_entry(dataset, data):
    """What the report says about the music. data: what --data named, or None."""
    corpus = dataset.test.corpus
    rows = zip(corpus.composers, *pieces_by_composer(corpus).tolist(), strict=True)
    is_test = corpus.piece_is_test[corpus.beat_piece[corpus.unit_beats()]]
    sounds = corpus.has_onset(corpus.unit_beats())
    return {
        "data": printable(as_typed(data)) if data else "the default corpus",
        "table": [{"composer": c, "train": a, "test": b} for c, a, b in rows],
        "train_units": int((sounds & ~is_test).sum()),
        "test_units": int((sounds & is_test).sum()),
        "test_sequences": len(dataset.test.sequences()),
        "candidates": dataset.candidates,
        **check_split(corpus),
        "notes": corpus.notes,
        "left_out": [{"file": name, "reason": reason} for name, reason in corpus.left_out],
    }


def pieces_by_composer(corpus):
    """The number of pieces for training and for testing: (2, C)."""
    levels = ((False, True), range(len(corpus.composers)))
    return contingency.crosstab(corpus.piece_is_test, corpus.piece_composer, levels=levels).count


def warnings_of(dataset, answers):
    """What a reader of the results must know: a list of sentences. answers: list of `Answers`."""
    found, corpus = [], dataset.test.corpus
    if dataset.candidates < 1000:
        found.append(
            f"The test pieces hold {dataset.candidates - 1} units with an onset, so a target is "
            f"ranked among {dataset.candidates} and not among 1,000."
        )
    trained, tested = pieces_by_composer(corpus) > 0
    for lacking, split in ((tested & ~trained, "testing"), (trained & ~tested, "training")):
        if names := [corpus.composers[c] for c in np.flatnonzero(lacking)]:
            found.append(
                f"Of these composers there are only pieces for {split}: {', '.join(names)}."
            )
    pieces = len(np.unique(dataset.target_pieces()))
    if pieces < FEW_PIECES:
        found.append(
            f"There are sequences of {pieces} test pieces only. Tests on means by piece cannot "
            f"become significant with fewer than {FEW_PIECES}, whatever the ranks."
        )
    if not any(len(a.ranks("rank_same_piece")[0]) for a in answers):
        found.append("No test piece is long enough to rank among units of the same piece.")
    if short := int((np.diff(corpus.piece_beats) < SHORTEST).sum()):
        found.append(
            f"{short} pieces are shorter than eight units ({SHORTEST} beats) and have no sequence "
            "to predict."
        )
    return found


def entry_of(answers, title, names):
    """The results of one embedding: ranks, scores, seconds. names: of the composers."""
    both = [p | c for p, c in zip(answers.prediction, answers.composers, strict=True)]
    return {
        "title": title,
        **answers.rank_entry(),
        "paper_predictor": {
            **answers.rank_entry(predictor="paper"),
            "seconds": _seconds(answers.paper, ("lstm", "rank")),
        },
        "last_unit_weights": [float(p["last_unit_weight"]) for p in answers.prediction],
        "composers": composer_scores(answers.composers, names),
        **each_seed(answers),
        "seconds": _seconds(both, STAGES),
    }


def each_seed(answers):
    """{"each_seed": a list with the numbers of each training}, or {} for one training.

    The numbers are the median and mrr of each kind of ranks, by our predictor and under
    "paper_predictor" by the paper's, and the share of correct units and pieces.
    """
    if len(answers.composers) < 2:
        return {}
    found = []
    for n, scores in enumerate(answers.composers):
        entry = {
            **_ranks_of_seed(answers, n),
            "paper_predictor": _ranks_of_seed(answers, n, "paper"),
        }
        for what, prefix in ("units", ""), ("pieces", "piece_"):
            is_right = scores[f"{prefix}truth"] == scores[f"{prefix}predicted"]
            entry[what] = float(np.mean(is_right))
        found.append(entry)
    return {"each_seed": found}


def _ranks_of_seed(answers, seed, predictor="prediction"):
    found = {}
    for kind in KINDS:
        values, _, seeds = answers.ranks(kind, "", predictor)
        if len(own := values[seeds == seed]):
            found[kind] = {"median": float(np.median(own)), "mrr": float(np.mean(1 / (own + 1)))}
    return found


def _seconds(answers, stages):
    return {stage: float(sum(a[f"{stage}_seconds"] for a in answers)) for stage in stages}


def results_of(dataset, answers, majority, settings, xp):
    """The contents of results.json for some models, without what is known of their training.

    answers: {model: `Answers`}; majority: list of what `run_majority` returns, one per seed.
    """
    names = dataset.test.corpus.composers
    return {
        **about(xp, settings),
        "corpus": corpus_entry(dataset, settings["data"]),
        "warnings": warnings_of(dataset, answers.values()),
        "models": {name: entry_of(a, MODELS[name].title, names) for name, a in answers.items()},
        "baselines": {
            "mean": {name: a.rank_entry("mean_") for name, a in answers.items()},
            "majority": {"composers": composer_scores(majority, names)},
            "repetition": {name: a.rank_entry("repetition_") for name, a in answers.items()},
        },
        "tests": significance(answers),
    }


def about(xp, settings):
    """When, on what machine and with what settings the results were made."""
    return {
        "created": date.today().isoformat(),
        "version": __version__,
        "device": device_name(xp),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}",
        "settings": {
            **{key: settings[key] for key in ("width", "examples", "batch_size", "keys")},
            "seeds": list(range(settings["seed"], settings["seed"] + settings["seeds"])),
            "lstm_steps": settings["lstm_steps"],
            "lstm_batch": prediction.BATCH,
            "predictor": prediction.RECIPE.describe(),
            "paper_predictor": prediction.PAPER.describe(),
            "classifier_steps": settings["classifier_steps"],
            "classifier_batch": composers.BATCH,
        },
    }


def total_seconds(results):
    """The seconds of all stages together, over all the runs that they took."""
    parts = "models", "others", "baselines"
    entries = [entry for part in parts for entry in results.get(part, {}).values()]
    entries += [entry["paper_predictor"] for entry in entries if "paper_predictor" in entry]
    return sum(sum(entry["seconds"].values()) for entry in entries if "seconds" in entry)
