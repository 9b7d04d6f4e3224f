"""Which recipe for the forward predictor? Judged on the validation pieces, never on the test's.

    python -m benchmarks.recipes RUN [--steps 500] [--json]

trains the predictor on the embedding of a trained model in several ways and ranks the right
eighth unit of every validation sequence among both kinds of candidates.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import count
from tinyembed.cli.running import run
from tinyembed.evaluation.experiments import Dataset, train_predictor
from tinyembed.evaluation.prediction import PAPER, RECIPE, predict
from tinyembed.evaluation.shrinkage import WEIGHTS, shrink
from tinyembed.evaluation.statistics import describe
from tinyembed.models.weights import load_weights
from tinyembed.storage.files import write_json
from tinyembed.stores.sources import open_corpus
from tinyembed.training.runs import Run

LINEAR = replace(RECIPE, attention=False)
PLAIN = replace(PAPER, standardize=True)
RECIPES = {
    "the paper's: three LSTM layers, 1 - cosine": PAPER,
    "the same on standardized embeddings": PLAIN,
    "comparison within the batch": replace(PLAIN, temperature=0.1),
    "linear shortcut, 1 - cosine": replace(PLAIN, shortcut=True),
    "linear shortcut, comparison": replace(LINEAR, per_piece=1, warm_up=0, rate=1e-3),
    "the same, ten a piece": replace(LINEAR, warm_up=0, rate=1e-3),
    "linear shortcut learned first": LINEAR,
    "shortcut with recall learned first": RECIPE,
    "the same at temperature 0.05": replace(RECIPE, temperature=0.05),
}


def main(argv=None):
    parser = BenchmarkParser("recipes", __doc__)
    parser.add_argument("run", metavar="RUN", help="folder that tinyembed.train wrote")
    parser.add_argument("--steps", type=count, default=500, help="of 100 sequences")
    parser.share("--json")
    options = parser.parse_args(argv)
    model, _ = load_weights(Run(options.run).weights_file)
    _, config = Run.open(options.run)
    corpus = open_corpus(
        config["data"],
        config["split_seed"],
        any_meter=config["any_meter"],
        splits=config["splits"],
    )
    dataset = Dataset.build(corpus, config["seed"])
    dataset = replace(dataset, test=dataset.validation)  # ranks are of the validation pieces
    embeddings = {name: getattr(dataset, name).embed(model.encode) for name in ("train", "test")}
    embeddings["validation"] = embeddings["test"]
    sequences, pieces = dataset.test.sequences(), dataset.target_pieces()

    rows = {}

    def rank(name, predicted, seconds=0.0):
        rows[name] = {"seconds": round(seconds, 1)}
        for kind, ranks in dataset.rank(predicted, embeddings["test"], np).items():
            there = ~np.isnan(ranks)
            rows[name][kind] = describe(ranks[there], pieces[there])
        if not options.json:
            cells = [
                f"{rows[name][kind][key]:9.3f}"
                for kind in ("rank", "rank_same_piece")
                for key in ("median", "iqr", "mrr")
            ]
            print(f"{name:42}", *cells, f"{seconds:7.0f} s", flush=True)

    if not options.json:
        print(f"{'':42}    random: median, spread, mrr    same piece: the same")
    last = embeddings["test"][sequences[:, -2]]
    rank("the last unit repeated", last)
    for name, recipe in RECIPES.items():
        began = time.perf_counter()
        network, _ = train_predictor(dataset, embeddings, np, options.steps, recipe)
        predicted = predict(network, embeddings["test"], sequences, np)
        rank(name, predicted, time.perf_counter() - began)
        if recipe == RECIPE:
            for weight in WEIGHTS[1:]:
                rank(f"... and {weight:g} of the last unit", shrink(predicted, last, weight))
    result = {
        "command": options.command,
        "steps": options.steps,
        "model": model.name,
        "sequences": len(sequences),
        "recipes": rows,
    }
    write_json(Path(__file__).parent / "results" / f"recipes-{model.name}.json", result)
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    run(main)
