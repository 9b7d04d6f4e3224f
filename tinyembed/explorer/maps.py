"""Layouts of units on a map: 100 numbers become two."""

import warnings
from importlib.util import find_spec

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.progress import hidden

NEAREST = 15  # UMAP's own default: how many neighbours of a unit it tries to keep


def pca_map(embeddings, seed=0, progress=None):
    """The two directions in which units differ most.

    embeddings: (n, D), without zero rows; only their directions matter, as in a cosine.
    Returns positions (n, 2) float64, and a description of them.
    """
    x = embeddings.astype(np.float64)
    x /= np.sqrt((x * x).sum(axis=1, keepdims=True))
    x -= x.mean(axis=0)
    variances, directions = np.linalg.eigh(x.T @ x)  # ascending
    directions = directions[:, :-3:-1]  # (D, 2)
    largest = directions[np.abs(directions).argmax(axis=0), [0, 1]]
    directions = directions * np.sign(largest)  # eigh may return either sign: choose one
    share = variances[-2:].sum() / max(variances.sum(), 1e-300)
    return x @ directions, f"PCA, which keeps {share:.0%} of the variance"


def umap_map(embeddings, seed=0, progress=None):
    """A map that keeps neighbours close. Arguments and results are those of `pca_map`.

    seed: of the order in which points are moved; with a seed UMAP uses one core. progress: False
    for no progress bar. Raises InputError if there are too few units.
    """
    if len(embeddings) <= NEAREST:
        raise InputError(
            f"--map umap: {len(embeddings)} units with an onset are too few, it needs "
            f"{NEAREST + 1}; --map pca takes any number"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # UMAP mentions that Tensorflow is missing
        import umap
    layout = umap.UMAP(
        metric="cosine",
        n_neighbors=NEAREST,
        init="pca",
        random_state=seed,
        n_jobs=1,
        tqdm_kwds={"desc": "UMAP", "unit": " epochs", "disable": hidden(progress)},
    )
    positions = layout.fit_transform(embeddings)
    return positions.astype(np.float64), "UMAP, which keeps neighbours close"


def auto_map(embeddings, seed=0, progress=None):
    """UMAP where it is installed and there are enough units, or else PCA."""
    layout = umap_map if find_spec("umap") and len(embeddings) > NEAREST else pca_map
    return layout(embeddings, seed, progress)


MAPS = {"auto": auto_map, "pca": pca_map, "umap": umap_map}


def check_map(name):
    """Raise InputError if a map needs a package that is not installed."""
    if name == "umap" and not find_spec("umap"):
        raise InputError(
            '--map umap: umap-learn is not installed (pip install "tinyembed[umap]"); '
            "--map pca needs nothing"
        )
