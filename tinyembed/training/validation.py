"""How well a model does what it was trained to do, on pieces it has not seen.

The loss by comparison (equation 3) says little by itself: chance is log 5 = 1.609 and even a
perfect reconstruction stays far above 0, because other music is not at cosine -1. So it is shown
between what two simple answers score and what perfect reconstruction scores on the same data.
"""

import math

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.evaluation.ranks import ranks
from tinyembed.layers.cosine import cosines
from tinyembed.training.examples import CANDIDATES, random_stream

CHANCE = math.log(CANDIDATES)  # the loss of a model that cannot tell five candidates apart
VALIDATION_EXAMPLES = 2000
VALIDATION_BATCH = 100  # the paper's batch size, whatever the training's
RANKED = 1000


class Validation:
    """Examples to measure on, with the same corruptions and candidates every time.

    examples: the `Examples` of the validation pieces; seed: chooses at most `limit` of them.
    """

    def __init__(self, examples, seed, limit=VALIDATION_EXAMPLES):
        self.examples = examples
        self.chosen = examples.fixed(seed, limit, VALIDATION_BATCH)  # batch by batch

    def __len__(self):
        return sum(map(len, self.chosen))

    def batches(self):
        """The validation batches, made anew each time: keeping them would take 140 MB."""
        for i, chosen in enumerate(self.chosen):
            yield self.examples.make(chosen, step=i)


def validation_losses(model, validation, xp):
    """The model's losses in evaluation mode: {"reconstruction": ..., "composer": ...} floats."""
    totals = {}
    for batch in validation.batches():
        losses, _ = model.loss(batch.to_device(xp))
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss * (len(batch.input) / len(validation))
    return {name: float(total) for name, total in totals.items()}


def mean_target(examples, seed, limit=10_000):
    """The mean of (at most `limit`) training targets: (60, 96), the best constant answer."""
    chosen = random_stream(seed, "mean target").permutation(len(examples))[:limit]
    parts = np.array_split(chosen, max(1, len(chosen) // 500))
    return sum(examples.make(part).target.sum(axis=0) for part in parts) / len(chosen)


def score_reconstructions(answer, model, validation, xp):
    """Score one way to answer.

    answer: takes a `Batch` (on the device) and returns reconstructions (N, 60, 96).
    Returns loss (equation 3), cosine (the mean over examples) and median_rank, that of the true
    target among those of the first 1,000 examples by cosine to the answer.
    """
    loss, cosine, answers, targets = 0.0, 0.0, [], []
    for batch in validation.batches():
        batch = batch.to_device(xp)
        r = answer(batch)
        part, _ = model.candidate_loss.forward(r, batch.target, batch.candidates)
        share = len(batch.input) / len(validation)
        loss += float(part) * share
        r, q = r.reshape(len(r), -1), batch.target.reshape(len(r), -1)  # (N, 5760)
        cosine += float(cosines(r, q).diagonal().mean()) * share
        if len(answers) * VALIDATION_BATCH < RANKED:
            answers.append(r)
            targets.append(q)
    similarity = cosines(xp.concatenate(answers), xp.concatenate(targets))  # (1000, 1000)
    found = to_host(ranks(similarity, xp.arange(len(similarity))))
    return {"loss": loss, "cosine": cosine, "median_rank": float(np.median(found))}


def compare_reconstructions(model, validation, mean, xp):
    """The model between the simple answers and the perfect one.

    mean: (60, 96), from `mean_target`. Returns {who: scores}, in the order to print.
    """
    mean = xp.asarray(mean, np.float32)

    def decoded(batch):
        return model.forward(batch.input)[0].reconstruction

    answers = {
        "this model": decoded,
        "mean training target": lambda batch: array_module(mean).broadcast_to(
            mean, batch.target.shape
        ),
        "uncorrupted input": lambda batch: batch.clean,
    }
    if model.spec.corruption:  # there the uncorrupted input is the target itself
        answers["corrupted input"] = lambda batch: batch.input
    answers["perfect reconstruction"] = lambda batch: batch.target
    return {
        who: score_reconstructions(answer, model, validation, xp) for who, answer in answers.items()
    }


def compare_composers(model, validation, training_composers, xp):
    """Accuracy of the composer head beside always naming the commonest composer.

    training_composers: (n,) composer indices of the training units. Returns accuracy, loss,
    majority (its accuracy), majority_composer and chance (the loss of an even guess).
    """
    right, loss, truth = 0.0, 0.0, []
    for batch in validation.batches():
        batch = batch.to_device(xp)
        logits = model.forward(batch.input)[0].logits
        part, _ = model.cross_entropy.forward(logits, batch.composer)
        loss += float(part) * len(logits) / len(validation)
        right += float((logits.argmax(axis=1) == batch.composer).sum())
        truth.append(to_host(batch.composer))
    majority = int(np.bincount(training_composers).argmax())
    return {
        "accuracy": right / len(validation),
        "loss": loss,
        "majority": float(np.mean(np.concatenate(truth) == majority)),
        "majority_composer": model.composers[majority],
        "chance": math.log(len(model.composers)),
    }
