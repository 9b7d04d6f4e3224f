"""The contrastive model's examples: excerpts of pieces, several of each (models/contrastive.py)."""

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.roll import BEATS_PER_UNIT, KEYS
from tinyembed.training.examples import Draws, Examples, random_stream

PER_PIECE = 4  # excerpts of one piece in a batch, in one key


class ExcerptExamples(Examples):
    """Excerpts of consecutive units, each four beats after the one before, none of them silent.

    Arguments as for `Examples`. A batch holds PER_PIECE excerpts of each of its pieces. A piece is
    drawn with a probability proportional to its number of excerpts, each time in another key.
    """

    def __init__(self, corpus, spec, pieces, seed=0, keys=KEYS):
        self.corpus, self.spec, self.seed, self.offsets = corpus, spec, seed, []
        self.length, self.keys = spec.excerpt, np.asarray(keys)
        self.steps = BEATS_PER_UNIT * np.arange(self.length)  # (L,) beats after the first
        beats = corpus.unit_beats(pieces)
        beats = beats[corpus.has_neighbour(beats, int(self.steps[-1]))]
        sounds = corpus.has_onset(beats[:, None] + self.steps)  # (starts, L)
        self.starts = beats[sounds.all(axis=1)]
        _, counts = np.unique(corpus.beat_piece[self.starts], return_counts=True)
        self.piece_start, self.counts = np.cumsum(counts) - counts, counts  # of each piece
        self.share = counts / max(counts.sum(), 1)

    def __len__(self):
        """How many excerpts there are, in all keys."""
        return len(self.starts) * len(self.keys)

    def composers(self):
        """The composer of each excerpt, in one key: (n,)."""
        return self.corpus.composer_of(self.starts)

    def choose(self, step, size):
        """The batch of a step: (size,) integers, excerpt * length + index within it.

        Raises InputError where excerpts do not fill a batch of that size.
        """
        return self._choose(random_stream(self.seed, "order", step), size)

    def _choose(self, rng, size):
        check_batch_size(self.spec, size)
        n = size // (PER_PIECE * self.length)
        pieces = rng.choice(len(self.counts), n, replace=n > len(self.counts), p=self.share)
        drawn = rng.integers(self.counts[pieces], size=(PER_PIECE, n)).T  # (n, PER_PIECE)
        excerpts = self.piece_start[pieces][:, None] + drawn
        excerpts = excerpts * len(self.keys) + rng.integers(len(self.keys), size=(n, 1))
        return (excerpts.reshape(-1, 1) * self.length + np.arange(self.length)).ravel()

    def fixed(self, seed, limit, size):
        """The same batches every time, of the model's usual size: for `make`, a list."""
        if len(self) == 0:
            raise InputError(
                f"no validation piece has {self.length} units of four beats in a row, none of "
                "them silent: add longer pieces"
            )
        size = self.spec.batch_size
        streams = [random_stream(seed, "validation", i) for i in range(-(-limit // size))]
        return [self._choose(rng, size) for rng in streams]

    def draw(self, chosen, step, corruption=False):
        """As for `Examples`."""
        excerpt, index = np.divmod(chosen, self.length)
        start, key = np.divmod(excerpt, len(self.keys))
        beats, keys = self.starts[start] + self.steps[index], self.keys[key]
        candidates = self.candidates(len(chosen), step)
        return Draws(beats, keys, candidates, self.corpus.composer_of(beats))


def check_batch_size(spec, size, negatives=None):
    """Raises InputError where excerpts do not fill a batch of that size.

    negatives: how many units each prediction is compared with beside the true one; None for all.
    """
    if negatives is not None and not spec.excerpt:
        raise InputError("--negatives: of --model contrastive; the others compare five candidates")
    if negatives is not None and not 1 <= negatives < size:
        raise InputError(f"--negatives {negatives}: 1 to {size - 1} others are in a batch")
    least = PER_PIECE * spec.excerpt
    if spec.excerpt and (size % least or size < 2 * least):
        raise InputError(
            f"--batch-size {size}: this model takes {PER_PIECE} excerpts of {spec.excerpt} units "
            f"of each piece, so a multiple of {least}, {2 * least} or more"
        )
