"""Both experiments on one embedding, in stages whose results are kept in files.

A stage that has written its file is never run again, so a killed run resumes after the last one.
The embeddings, the largest of these files, are removed when both experiments have used them.
"""

import time

import numpy as np

from tinyembed.evaluation.experiments import SPLITS, run_composers, run_prediction
from tinyembed.storage.files import load_arrays, save_arrays


def run_stages(folder, label, make_encoder, dataset, settings, xp, say, progress=None):
    """Embed, predict, classify: what `run_prediction` and `run_composers` return.

    folder: where the files are; label: how their names begin; make_encoder: () -> encode, called
    only where embeddings are needed; settings: has lstm_steps and classifier_steps; say: prints
    what is being done; dataset, xp, progress: as in experiments.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    experiments = {
        "prediction": (run_prediction, settings["lstm_steps"]),
        "composers": (run_composers, settings["classifier_steps"]),
    }
    files = {name: folder / f"{label}-{name}.npz" for name in experiments}
    embeddings_file = folder / f"{label}-embeddings.npz"
    missing = [name for name, file in files.items() if not file.exists()]
    if missing:
        if not embeddings_file.exists():
            say(f"{label}: embedding {sum(len(getattr(dataset, s)) for s in SPLITS):,} units")
            save_arrays(embeddings_file, _timed_embeddings(dataset, make_encoder, progress))
        embeddings = load_arrays(embeddings_file)
    for name in missing:
        say(f"{label}: {name}")
        experiment, steps = experiments[name]
        answers = experiment(dataset, embeddings, xp, steps, progress)
        answers["embed_seconds"] = embeddings["seconds"]
        save_arrays(files[name], {key: np.asarray(value) for key, value in answers.items()})
    embeddings_file.unlink(missing_ok=True)
    return tuple(load_arrays(file) for file in files.values())


def _timed_embeddings(dataset, make_encoder, progress):
    began = time.perf_counter()
    embeddings = dataset.embed(make_encoder(), progress)
    return {**embeddings, "seconds": np.array(time.perf_counter() - began)}


def seconds_of(prediction, composers):
    """The seconds that each stage took, from the answers of both experiments."""
    return {
        "embed": float(prediction["embed_seconds"]),
        "lstm": float(prediction["lstm_seconds"]),
        "rank": float(prediction["rank_seconds"]),
        "classifier": float(composers["classifier_seconds"]),
    }
