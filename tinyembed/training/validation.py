"""How well a model does what it was trained to do, on pieces it has not seen.

The loss by candidates (equation 3) says little by itself. Chance is log 5 = 1.609, and even a
perfect reconstruction stays far above 0, because other music is not at cosine -1. So it is shown
between what two simple answers score and what perfect reconstruction scores on the same data.
"""

import math

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.backends.engine import Engine
from tinyembed.layers.cosine import cosines
from tinyembed.training.examples import CANDIDATES, random_stream
from tinyembed.training.ranks import ranks

CHANCE = math.log(CANDIDATES)  # the loss of a model that cannot tell five candidates apart
VALIDATION_EXAMPLES = 2000
VALIDATION_BATCH = 100  # the paper's batch size, whatever the training's
RANKED = 1000


class Validation:
    """Examples to measure on, with the same corruptions and candidates every time.

    examples: the `Examples` of the validation pieces; seed: chooses at most `limit` of them;
    engine: what makes their batches.
    """

    def __init__(self, examples, seed, engine=None, limit=VALIDATION_EXAMPLES):
        self.examples, self.engine = examples, engine or Engine()
        self.chosen = examples.fixed(seed, limit, VALIDATION_BATCH)  # batch by batch

    def __len__(self):
        return sum(map(len, self.chosen))

    def batches(self, numbers=None):
        """Each validation batch, or those of some numbers, and its share of all examples.

        Batches are made anew each time: keeping them would take 140 MB.
        """
        for i in range(len(self.chosen)) if numbers is None else numbers:
            chosen = self.chosen[i]
            yield self.engine.make(self.examples, chosen, i), len(chosen) / len(self)


def validation_losses(model, validation):
    """The model's losses in evaluation mode: {"reconstruction": ..., "composer": ...} floats."""
    totals, engine = {}, validation.engine
    for batch, share in validation.batches(engine.share(range(len(validation.chosen)))):
        for name, loss in model.loss(batch)[0].items():
            totals[name] = totals.get(name, 0) + loss * share
    return engine.total({name: float(total) for name, total in totals.items()})


def mean_target(examples, seed, limit=10_000):
    """The mean of (at most `limit`) training targets: (60, 96), the best constant answer."""
    examples = examples.sample()
    chosen = random_stream(seed, "mean target").permutation(len(examples))[:limit]
    parts = np.array_split(chosen, max(1, len(chosen) // 500))
    return sum(examples.make(part).target.sum(axis=0) for part in parts) / len(chosen)


def score_reconstructions(answer, model, validation):
    """Score one way to answer.

    answer: takes a `Batch` and returns reconstructions (N, 60, 96).
    Returns loss (equation 3), cosine (the mean over examples) and median_rank: the rank of the true
    target by cosine to the answer, among the targets of the first 1,000 examples.
    """
    loss, cosine, answers, targets = 0.0, 0.0, [], []
    for batch, share in validation.batches():
        r = answer(batch)
        part, _ = model.candidate_loss.forward(r, batch.target, batch.candidates)
        loss += float(part) * share
        r, q = r.reshape(len(r), -1), batch.target.reshape(len(r), -1)  # (N, 5760)
        cosine += float(cosines(r, q).diagonal().mean()) * share
        if len(answers) * VALIDATION_BATCH < RANKED:
            answers.append(r.copy())  # batches may share memory
            targets.append(q.copy())
    xp = array_module(r)
    similarity = cosines(xp.concatenate(answers), xp.concatenate(targets))  # (1000, 1000)
    found = to_host(ranks(similarity, xp.arange(len(similarity))))
    return {"loss": loss, "cosine": cosine, "median_rank": float(np.median(found))}


def compare_reconstructions(model, validation, mean):
    """The model between the simple answers and the perfect one.

    mean: (60, 96), from `mean_target`. Returns {who: scores}, in the order to print.
    """

    def constant(batch):
        xp = array_module(batch.target)
        return xp.broadcast_to(xp.asarray(mean, np.float32), batch.target.shape)

    answers = {
        "this model": lambda batch: model.forward(batch.input)[0].reconstruction,
        "mean training target": constant,
        "uncorrupted input": lambda batch: batch.clean,
    }
    if model.spec.corruption:  # there the uncorrupted input is the target itself
        answers["corrupted input"] = lambda batch: batch.input
    answers["perfect reconstruction"] = lambda batch: batch.target
    return {
        who: score_reconstructions(answer, model, validation) for who, answer in answers.items()
    }


def compare_composers(model, validation, training_composers):
    """Accuracy of the composer head beside always answering the most common composer.

    training_composers: (n,) composer indices of the training units. Returns accuracy, loss,
    majority (its accuracy), majority_composer and chance (the loss of a uniform guess).
    """
    right, loss, truth = 0.0, 0.0, []
    for batch, share in validation.batches():
        logits = model.forward(batch.input)[0].logits
        loss += float(model.cross_entropy.forward(logits, batch.composer)[0]) * share
        right += float((logits.argmax(axis=1) == batch.composer).sum())
        truth.append(to_host(batch.composer).copy())
    majority = int(np.bincount(training_composers).argmax())
    return {
        "accuracy": right / len(validation),
        "loss": loss,
        "majority": float(np.mean(np.concatenate(truth) == majority)),
        "majority_composer": model.composers[majority],
        "chance": math.log(len(model.composers)),
    }
