"""What a number must beat to mean something: encoders that learned nothing, or no network."""

import numpy as np
from scipy import sparse

from tinyembed.backends.arrays import matmul
from tinyembed.backends.cupy.batches import DeviceExamples
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING, MODELS
from tinyembed.music.cutting import Cutter
from tinyembed.music.roll import PITCHES, TICKS
from tinyembed.training.examples import Examples, random_stream

PCA_UNITS = 100_000
CALIBRATION = 20  # batches


def untrained_encoder(corpus, pieces, width, seed, xp):
    """A context model as it is before training: `encode`, (N, 60, 96) -> (N, 100).

    Its weights are random, but its running statistics are those of the music, as they would be
    after a few steps: without them batch norm would not normalize, an unfair handicap.
    """
    examples = Examples(corpus, MODELS["note_drop"], pieces, seed)
    made = made_on(examples, corpus, xp)
    model = Model("context", width, corpus.composers, random_stream(seed, "weights")).to_device(xp)
    for step in range(CALIBRATION):
        batch = made.make(examples.choose(step, 100), step)
        model.encoder.forward(batch.clean[..., None], training=True)
    return lambda rolls: model.encode(xp.asarray(rolls))


def pca_encoder(corpus, pieces, seed, xp):
    """The first 100 principal components of training rolls: `encode`, (N, 60, 96) -> (N, 100).

    From (at most 100,000) different units in all keys.
    """
    examples = made_on(Examples(corpus, MODELS["note_drop"], pieces, seed), corpus, xp)
    chosen = random_stream(seed, "pca units").permutation(len(examples))[:PCA_UNITS]
    blocks = (
        examples.make(part).target.reshape(len(part), -1)
        for part in np.array_split(chosen, max(1, len(chosen) // 1000))
    )
    if xp is np:
        start = random_stream(seed, "pca start").standard_normal(PITCHES * TICKS)
        mean, components = sparse_components(blocks, start)
    else:
        mean, components = counted_components(blocks, xp)

    def encode(rolls):
        return matmul(xp.asarray(rolls).reshape(-1, PITCHES * TICKS) - mean, components)

    return encode


def made_on(examples, corpus, xp):
    """The same examples, whose batches are made where arrays of xp live."""
    return examples if xp is np else DeviceExamples(examples, Cutter(corpus, xp))


def sparse_components(blocks, start):
    """The mean of rows and their principal components, the largest first: (D,), (D, 100).

    blocks: of rows (n, D), zero nearly everywhere, so that the decomposition works on a sparse
    matrix and subtracts the mean as it goes; start: (D,) numbers to begin with.
    """
    x = sparse.vstack([sparse.csr_array(rows) for rows in blocks], format="csr")  # (R, D)
    mean = np.asarray(x.mean(axis=0)).ravel()  # (D,)
    centred = sparse.linalg.LinearOperator(
        x.shape,
        matvec=lambda v: x @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: x.T @ u.ravel() - mean * u.sum(),
        matmat=lambda v: x @ v - mean @ v,
        rmatmat=lambda u: x.T @ u - np.outer(mean, u.sum(axis=0)),
        dtype=np.float32,
    )
    size = min(EMBEDDING, min(x.shape) - 1)
    start = start[: min(x.shape)].astype(np.float32)
    _, _, components = sparse.linalg.svds(centred, k=size, v0=start)  # (100, D)
    return mean.astype(np.float32), components[::-1].T.astype(np.float32)


def counted_components(blocks, xp):
    """The same on a GPU, from the covariance of the columns.

    Rows are zeros and ones, so the covariance follows from how often two columns are one together,
    and float32 counts exactly up to 16 million. For rolls that takes 133 MB of counts, and with
    the covariance and its eigenvectors in float64 about 1.3 GB in all.
    """
    n, together = 0, 0
    for rows in blocks:
        n, together = n + len(rows), together + matmul(rows.T, rows)  # (D, D)
    together = together.astype(np.float64) / n
    mean = together.diagonal().copy()  # (D,): how often a column is one together with itself
    _, components = xp.linalg.eigh(together - mean[:, None] * mean)  # the smallest first
    size = min(EMBEDDING, n - 1)
    components = xp.ascontiguousarray(components[:, ::-1][:, :size].astype(np.float32))
    return mean.astype(np.float32), components
