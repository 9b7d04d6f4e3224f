"""The examples that a model is trained on, drawn batch by batch (sections 3.2 and 4).

Each draw is a function of the seed and the step, never of earlier draws. A run that was killed
therefore continues exactly where it stopped, and no generator state has to be stored.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from tinyembed.errors import InputError
from tinyembed.music.corruption import CORRUPTIONS, draw
from tinyembed.music.cutting import Cutter
from tinyembed.music.duplicates import unique_units
from tinyembed.music.roll import BEATS_PER_UNIT, KEYS
from tinyembed.training.eligible import eligible, offsets_of
from tinyembed.training.parts import Part

CANDIDATES = 5  # the reconstruction itself and four others (equation 2)
STREAMS = (
    "weights", "order", "occurrence", "corruption", "candidates", "validation", "mean target",
    "keys", "lstm weights", "lstm batches", "lstm validation", "classifier weights",
    "classifier batches", "pca units", "pca start", "shortcut batches",
)  # fmt: skip


def random_stream(seed, purpose, *counters):
    """A separate generator for each purpose (one of STREAMS) and counter, such as the step."""
    key = (STREAMS.index(purpose), *counters)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@dataclass
class Batch:
    """N examples: what `Model.loss` takes.

    input:      (N, 60, 96), the units, corrupted where the model denoises
    target:     (N, 60, 96), what the decoder must find; None for a model without one
    candidates: (N, 5), members of the batch to compare with, the example itself first; or more;
                (N, 1), the example alone, for a model that compares with none or with all
    composer:   (N,), the index of each unit's composer
    clean:      (N, 60, 96), the units before corruption
    beat:       (N,), the beat of the corpus at which each unit begins
    """

    input: np.ndarray
    target: np.ndarray | None
    candidates: np.ndarray
    composer: np.ndarray
    clean: np.ndarray
    beat: np.ndarray | None = None

    def to(self, xp):
        """The same batch in arrays of xp."""
        return replace(
            self, **{k: v if v is None else xp.asarray(v) for k, v in vars(self).items()}
        )


@dataclass
class Draws:
    """The same N examples as they are drawn: numbers, before there are rolls.

    beats, keys: (N,), the unit of each; candidates, composer: as in `Batch`; choice, order: what
    a corruption of onsets draws (corruption.py), or None
    """

    beats: np.ndarray
    keys: np.ndarray
    candidates: np.ndarray
    composer: np.ndarray
    choice: np.ndarray | None = None
    order: np.ndarray | None = None


class Examples:
    """All the examples that some pieces hold for one model, in all keys.

    An example is a unique input unit; when drawn, it is one of that unit's occurrences, which may
    have different neighbours and composers. Units that are silent, or whose target does not exist
    or is silent, are left out.

    corpus: a `Corpus`; spec: a `ModelSpec`; pieces: indices of the pieces; seed: of all draws.
    """

    def __init__(self, corpus, spec, pieces, seed=0, keys=KEYS):
        self._begin(corpus, spec, seed)
        beats = eligible(corpus, corpus.unit_beats(pieces), self.offsets)
        self.units = unique_units(corpus, beats, keys)

    def _begin(self, corpus, spec, seed):
        self.corpus, self.spec, self.seed = corpus, spec, seed
        self.offsets = offsets_of(spec)
        self._pass, self._order = None, None

    def __len__(self):
        """How many unique inputs there are."""
        return len(self.units)

    batch_of = Batch  # what `make` returns, for an engine that cuts rolls itself

    first, end = 0, math.inf  # the steps that these examples are for

    def at(self, step, size):
        """The examples that a step is for: these, unless they are one of many pools (pools.py)."""
        return self

    def sample(self):
        """Examples to measure on: these."""
        return self

    def cutter(self, xp):
        """A `Cutter` of these examples' corpus, for arrays of xp."""
        return Cutter(self.corpus, xp)

    def batch(self, step, size):
        """The batch of one training step: every unique input once per pass, in a new order."""
        return self.make(self.choose(step, size), step)

    def choose(self, step, size):
        """Which unique inputs are in the batch of a step: (size,) indices."""
        chosen, place, end = [], step * size, (step + 1) * size  # of all that were ever drawn
        while place < end:
            n, begin = divmod(place, len(self))
            part = self._order_of_pass(n)[begin : begin + end - place]
            chosen.append(part)
            place += len(part)
        return np.concatenate(chosen)

    def composers(self):
        """The composer of each occurrence of a unit: (n,)."""
        return self.corpus.composer_of(self.units.occurrence_beat)

    def fixed(self, seed, limit, size):
        """The same examples every time, at most `limit`, in whole batches: for `make`, a list.

        Raises InputError where there are too few to compare.
        """
        chosen = random_stream(seed, "validation").permutation(len(self))[:limit]
        if len(chosen) > size:  # whole batches only
            chosen = chosen[: len(chosen) // size * size]
        if len(chosen) < CANDIDATES:
            raise InputError(
                f"the validation pieces hold {len(chosen)} examples, at least {CANDIDATES} are "
                "needed: add pieces, or longer ones"
            )
        return [chosen[i : i + size] for i in range(0, len(chosen), size)]

    def _order_of_pass(self, n):
        if self._pass != n:
            self._pass = n
            self._order = random_stream(self.seed, "order", int(n)).permutation(len(self))
        return self._order

    def make(self, chosen, step=0):
        """The batch of given examples.

        chosen: (N,) indices of unique inputs; step: chooses the occurrences, the corruption and
        the candidates. Returns a `Batch` of float32 arrays.
        """
        draws = self.draw(chosen, step)
        rng = random_stream(self.seed, "corruption", step) if self.spec.corruption else None
        return self.cut(draws, rng)

    def cut(self, draws, rng):
        """The batch of examples that were drawn. draws: `Draws`; rng: for the corruption."""
        beats, keys = draws.beats, draws.keys
        clean = self.corpus.rolls(beats, keys)
        target = None
        if self.offsets == [0]:
            target = clean
        elif self.offsets:
            target, *others = (self.corpus.rolls(beats + offset, keys) for offset in self.offsets)
            for other in others:
                target += other
        given = clean
        if self.spec.corruption:
            corrupt = CORRUPTIONS[self.spec.corruption]
            given = corrupt(clean, rng)
        return Batch(
            input=given,
            target=target,
            candidates=draws.candidates,
            composer=draws.composer,
            clean=clean,
            beat=beats,
        )

    def part(self, size, rows):
        """What one of several processes takes of each batch: a `Part`.

        size: of a batch; rows: a slice of it.
        """
        return Part(self, size, rows)

    def candidates(self, n, step):
        """What each of n examples is compared with in a step: see `Batch`."""
        others = self.spec.negatives or (CANDIDATES - 1 if self.spec.context else 0)
        if not others:
            return np.arange(n)[:, None]
        return draw_candidates(n, random_stream(self.seed, "candidates", step), others)

    def draw(self, chosen, step, corruption=False):
        """The random choices of a batch: `Draws`, with those of the corruption if asked for.

        Other arguments as for `make`.
        """
        first, last = self.units.group_start[chosen], self.units.group_start[chosen + 1]
        drawn = random_stream(self.seed, "occurrence", step).integers(first, last)
        beats, keys = self.units.occurrence_beat[drawn], self.units.occurrence_key[drawn]
        candidates = self.candidates(len(chosen), step)
        draws = Draws(beats, keys, candidates, self.corpus.composer_of(beats))
        if corruption and self.spec.corruption:
            rng = random_stream(self.seed, "corruption", step)
            start = self.corpus.beat_start
            n_onsets = int((start[beats + BEATS_PER_UNIT] - start[beats]).sum())
            draws.choice, draws.order = draw(self.spec.corruption, rng, len(chosen), n_onsets)
        return draws


def draw_candidates(n, rng, others=CANDIDATES - 1):
    """For each of n examples itself and other, different ones: (n, 1 + others) integers."""
    if n < 1 + others:
        raise InputError(f"a batch of {n}: the loss compares {1 + others} examples")
    candidates = [np.arange(n)]
    if others >= CANDIDATES:  # shuffle all the others and take the first ones
        drawn = rng.random((n, n - 1)).argsort(axis=1)[:, :others]
        return np.column_stack([*candidates, drawn + (drawn >= candidates[0][:, None])])
    taken = candidates[:]  # the same, each example's in ascending order
    for k in range(1, 1 + others):
        drawn = rng.integers(n - k, size=n)  # an index among those not taken yet
        for smaller in taken:
            drawn += drawn >= smaller
        candidates.append(drawn)
        for i, other in enumerate(taken):  # insert it
            taken[i], drawn = np.minimum(other, drawn), np.maximum(other, drawn)
        taken.append(drawn)
    return np.column_stack(candidates)
