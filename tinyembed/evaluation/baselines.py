"""What a number must beat to mean something: encoders that learned nothing, or no network."""

import numpy as np
from scipy import sparse

from tinyembed.batches import Examples, random_stream
from tinyembed.models import EMBEDDING, MODELS, Model
from tinyembed.music.roll import PITCHES, TICKS

PCA_UNITS = 100_000
CALIBRATION = 20  # batches


def untrained_encoder(corpus, pieces, width, seed, xp):
    """A context model as it is before training: `encode`, (N, 60, 96) -> (N, 100).

    Its weights are random, but its running statistics are those of the music, as they would be
    after a few steps: without them batch norm would not normalize, an unfair handicap.
    """
    examples = Examples(corpus, MODELS["note_drop"], pieces, seed)
    model = Model("context", width, corpus.composers, random_stream(seed, "weights")).to_device(xp)
    for step in range(CALIBRATION):
        batch = examples.batch(step, 100)
        model.encoder.forward(xp.asarray(batch.clean[..., None]), training=True)
    return lambda rolls: model.encode(xp.asarray(rolls))


def pca_encoder(corpus, pieces, seed, xp):
    """The first 100 principal components of training rolls: `encode`, (N, 60, 96) -> (N, 100).

    From (at most 100,000) different units in all keys. Rolls are nearly empty, so the
    decomposition works on a sparse matrix and subtracts the mean as it goes.
    """
    examples = Examples(corpus, MODELS["note_drop"], pieces, seed)
    chosen = random_stream(seed, "pca units").permutation(len(examples))[:PCA_UNITS]
    rows = [
        sparse.csr_array(examples.make(part).target.reshape(len(part), -1))
        for part in np.array_split(chosen, max(1, len(chosen) // 1000))
    ]
    x = sparse.vstack(rows, format="csr")  # (R, 5760)
    mean = np.asarray(x.mean(axis=0)).ravel()  # (5760,)
    centred = sparse.linalg.LinearOperator(
        x.shape,
        matvec=lambda v: x @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: x.T @ u.ravel() - mean * u.sum(),
        matmat=lambda v: x @ v - mean @ v,
        rmatmat=lambda u: x.T @ u - np.outer(mean, u.sum(axis=0)),
        dtype=np.float32,
    )
    size = min(EMBEDDING, min(x.shape) - 1)
    start = random_stream(seed, "pca start").standard_normal(min(x.shape)).astype(np.float32)
    _, _, components = sparse.linalg.svds(centred, k=size, v0=start)  # (100, 5760)
    components = xp.asarray(components[::-1].T.astype(np.float32))  # (5760, 100), largest first
    mean = xp.asarray(mean.astype(np.float32))

    def encode(rolls):
        return (xp.asarray(rolls).reshape(-1, PITCHES * TICKS) - mean) @ components

    return encode
