"""One embedding's experiments, stage by stage, each result kept: a killed run goes on from there.

A stage writes its answers to a file and is never run twice. Embeddings, the largest of them, are
removed when both experiments have used them.
"""

import time
from pathlib import Path

import numpy as np

from tinyembed.evaluation.experiments import run_composers, run_prediction
from tinyembed.storage.files import load_arrays, save_arrays


def answer(folder, label, encoder, stage, xp, lstm_steps, classifier_steps, say, progress=None):
    """Embed, predict, classify: what `run_prediction` and `run_composers` return.

    folder: of the answers; label: the files' first part; encoder: () -> encode, called only where
    embeddings are needed; say: told what is going on; the rest as in experiments.py.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    embedded = folder / f"{label}-embeddings.npz"
    tasks = {
        "prediction": lambda e: run_prediction(stage, e, xp, lstm_steps, progress),
        "composers": lambda e: run_composers(stage, e, xp, classifier_steps, progress),
    }
    files = {task: folder / f"{label}-{task}.npz" for task in tasks}
    missing = [task for task in tasks if not files[task].exists()]
    if missing:
        embeddings = _embeddings(embedded, encoder, stage, say, label, progress)
    for task in missing:
        say(f"{label}: {task}")
        answers = {**tasks[task](embeddings), "embed_seconds": embeddings["seconds"]}
        save_arrays(files[task], {k: np.asarray(v) for k, v in answers.items()})
    embedded.unlink(missing_ok=True)
    return tuple(load_arrays(files[task]) for task in tasks)


def _embeddings(file, encoder, stage, say, label, progress):
    if file.exists():
        return load_arrays(file)
    say(f"{label}: embedding {len(stage.train) + len(stage.validation) + len(stage.test):,} units")
    began = time.perf_counter()
    embeddings = stage.embed(encoder(), progress)
    embeddings["seconds"] = np.asarray(time.perf_counter() - began)
    save_arrays(file, embeddings)
    return embeddings


def seconds_of(prediction, composers):
    """How long the stages took, from their answers."""
    return {
        "embed": float(prediction["embed_seconds"]),
        "lstm": float(prediction["lstm_seconds"]),
        "rank": float(prediction["rank_seconds"]),
        "classifier": float(composers["classifier_seconds"]),
    }
