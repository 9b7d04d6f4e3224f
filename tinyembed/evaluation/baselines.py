"""Baselines for the embeddings: an untrained encoder, and PCA."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from tinyembed.backends.arrays import matmul
from tinyembed.backends.choice import engine_for
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING, MODELS
from tinyembed.music.roll import PITCHES, TICKS
from tinyembed.training.examples import Examples, random_stream

PCA_UNITS = 100_000
CALIBRATION = 20  # batches for the running statistics of batch norm


def untrained_encoder(corpus, pieces, width, seed, xp):
    """A context model before training: `encode`, (N, 60, 96) -> (N, 100).

    Its weights are random, but its running statistics are those of the music, as after a few
    steps of training: without them batch norm would not normalize, an unfair handicap.
    """
    examples, engine = Examples(corpus, MODELS["note_drop"], pieces, seed), engine_for(xp)
    model = Model("context", width, corpus.composers, random_stream(seed, "weights")).to(xp)
    for step in range(CALIBRATION):
        batch = engine.make(examples, examples.choose(step, 100), step)
        model.encoder.forward(batch.clean[..., None], training=True)
    return lambda rolls: model.encode(xp.asarray(rolls))


def pca_encoder(corpus, pieces, seed, xp):
    """The first 100 principal components of training rolls: `encode`, (N, 60, 96) -> (N, 100).

    They are computed from at most 100,000 different units, in all keys.
    """
    examples, engine = Examples(corpus, MODELS["note_drop"], pieces, seed), engine_for(xp)
    chosen = random_stream(seed, "pca units").permutation(len(examples))[:PCA_UNITS]
    blocks = (
        engine.make(examples, part, 0).target.reshape(len(part), -1)
        for part in np.array_split(chosen, max(1, len(chosen) // 1000))
    )
    if xp is np:
        start = random_stream(seed, "pca start").standard_normal(PITCHES * TICKS)
        mean, components = sparse_components(blocks, start)
    else:
        mean, components = covariance_components(blocks, xp)
    return lambda rolls: matmul(xp.asarray(rolls).reshape(-1, PITCHES * TICKS) - mean, components)


def sparse_components(blocks, start):
    """The mean of all rows and their principal components, the largest first: (D,), (D, 100).

    blocks: arrays of rows (n, D) that are mostly zero, so that the decomposition works on a sparse
    matrix and subtracts the mean implicitly; start: (D,) initial vector of the iteration.
    """
    x = sparse.vstack([sparse.csr_array(rows) for rows in blocks], format="csr")  # (R, D)
    mean = x.mean(axis=0)  # (D,)

    def times(v):  # v: (D,) or (D, K)
        return x @ v - mean @ v

    def transposed_times(u):  # u: (R,) or (R, K)
        return x.T @ u - np.multiply.outer(mean, u.sum(axis=0))

    centred = LinearOperator(x.shape, times, transposed_times, times, np.float32, transposed_times)
    size = min(EMBEDDING, min(x.shape) - 1)
    start = start[: min(x.shape)].astype(np.float32)
    _, _, components = svds(centred, k=size, v0=start)  # (100, D)
    return mean, components[::-1].T.astype(np.float32)


def covariance_components(blocks, xp):
    """The same from the covariance of the columns, as arrays of xp.

    Rows consist of zeros and ones, so the covariance follows from co-occurrence counts of columns,
    which float32 holds exactly up to 16 million. For rolls the counts take 133 MB, and with the
    covariance and its eigenvectors in float64 about 1.3 GB in all.
    """
    n, counts = 0, 0
    for rows in blocks:
        n, counts = n + len(rows), counts + matmul(rows.T, rows)  # (D, D)
    second_moment = counts.astype(np.float64) / n
    mean = second_moment.diagonal().copy()  # (D,), since x * x = x for zeros and ones
    _, components = xp.linalg.eigh(second_moment - mean[:, None] * mean)  # the smallest first
    size = min(EMBEDDING, n - 1)
    components = xp.ascontiguousarray(components[:, ::-1][:, :size].astype(np.float32))
    return mean.astype(np.float32), components
