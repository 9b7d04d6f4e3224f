# %% [markdown]
# # 9. The models side by side
#
# The paper trains the same encoder seven times, each time on another task. The task decides which
# music the encoder finds similar.

# %% [markdown]
# **What you'll do.** You give the encoder of chapter 8 new tasks: predict the music around a unit,
# name its composer, or do both. You train all seven models of the paper and ask each of them
# which units are similar.
#
# **What you'll learn.** How a network learns from context, how it classifies with softmax and
# cross-entropy, how two losses share one embedding, and how to compare embeddings whose losses
# cannot be compared.
#
# **What you need.** [Chapter 7](07_candidate_loss.md) for the loss,
# [chapter 8](08_denoising_autoencoder.md) for the network, and 20 minutes.

# %% [markdown]
# ## What the paper says
#
# Section 4 trains seven networks that all have the same encoder. They differ in their tasks:
#
# - Three networks repair a corrupted unit (section 4.1). They are the denoising autoencoders of
#   chapter 8.
# - Two networks predict the context of a unit (section 4.2): *forward* predicts the next unit, and
#   *context* predicts the sum of the units before and after.
# - *Composer* names the composer (section 4.3).
# - *Regularized* predicts the context and names the composer (section 4.4).
#
# After training, the paper keeps only the encoders and compares their embeddings (section 5). It
# does not compare the losses: the tasks differ, so a smaller loss does not mean a better
# embedding.
#
# ## The context as a target
#
# In chapter 8 the input was a corrupted unit and the target was the whole unit. Let $x_i$ be the
# unit at place $i$ of a piece. Then $x_{i+1}$ is the unit that starts four beats later and
# $x_{i-1}$ the one that starts four beats earlier. (The paper writes $U_i$.) The context model
# sees $x_i$ alone, and its target is
#
# $$q_i = x_{i-1} + x_{i+1}$$
#
# This target is a roll of the usual shape, (60, 96). A cell is 2 where both neighbours have an
# onset. The target of the forward model is $x_{i+1}$. In general a target is a sum of units at
# certain **offsets**: `(0,)` is the unit itself, `(1,)` the next one, and `(-1, 1)` both
# neighbours.

# %%
import json
import math

import lesson
import matplotlib.pyplot as plt
import numpy as np

music = lesson.corpus()


def units_of(pieces):
    """First beats of the units of some pieces (a mask) that have music before and after: (n,)."""
    beats = music.unit_beats(pieces)
    beats = beats[music.has_onset(beats)]
    for offset in (-4, 4):  # beats
        beats = beats[music.has_neighbour(beats, offset)]
        beats = beats[music.has_onset(beats + offset)]
    return beats


train_pieces, test_pieces = ~music.piece_is_test, music.piece_is_test
train_beats = units_of(train_pieces)
test_beats = units_of(test_pieces)[::2]  # every second one, to save time
print(f"{len(train_beats):,} training units from {train_pieces.sum()} pieces")
print(f"{len(test_beats):,} test units from {test_pieces.sum()} other pieces")


def target_of(beats, keys, offsets):
    """The sum of the units at some offsets: (n, 60, 96)."""
    return sum(music.rolls(beats + 4 * offset, keys, dtype=float) for offset in offsets)


# %% alt="Four rolls: the unit before, the unit itself, the unit after, and the sum of the first and third"
def outline(ax, cells):
    """Draw a frame around some cells of a roll. cells: (60, 96) bool."""
    for pitch, tick in np.argwhere(cells):
        frame = plt.Rectangle((tick / 24 - 0.06, pitch - 0.8), 0.28, 2.6, clip_on=False)
        frame.set(fill=False, edgecolor=lesson.ORANGE, linewidth=1.2, zorder=3)
        ax.add_patch(frame)


before, unit, after, both = (
    target_of(test_beats[[740]], 0, offsets)[0] for offsets in ((-1,), (0,), (1,), (-1, 1))
)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained", sharey=True)
titles = ("the unit before", "the unit: the input", "the unit after", "the target: before + after")
for ax, roll, title in zip(axes, (before, unit, after, both), titles, strict=True):
    lesson.show_roll(ax, roll, title)
outline(axes[3], both == 2)
plt.show()
assert (both == before + after).all()
some = target_of(test_beats[:300], 0, (-1, 1))
print(f"targets with a 2 in some cell: {100 * (some == 2).any(axis=(1, 2)).mean():.0f}%")

# %% [markdown]
# The frame in the last roll marks a cell that is 2.
#
# No network can predict this target exactly, because many continuations are possible. The loss of
# chapter 7 does not require that. It only asks which of five reconstructions fits the target. The
# key, the register, the rhythm and the number of voices help to answer this question, so the
# embedding has to represent them. Also, units that are close in time have similar contexts, so
# their embeddings should become similar.
#
# ## The composer as a target
#
# The composer model has no decoder. Its **head** is a fully connected layer that turns the
# embedding $z$, (N, 100), into one number per composer. With $M$ composers its output $y$ has the
# shape (N, $M$), and as in chapter 7 these numbers are called **logits**:
#
# $$y = z W + b$$
#
# Softmax turns the logits into probabilities. The loss is the mean of $-\log$ of the probability
# that the model gives to the right composer. It is called **cross-entropy**. Chapter 7 used it to
# choose one of five candidates, and here it chooses one of ten composers. Let $t_n$ be the number
# of the right composer for example $n$. Then
#
# $$
# P_{nm} = \frac{\exp y_{nm}}{\sum_{m'} \exp y_{nm'}}, \qquad L = -\frac1N \sum_n \log P_{n t_n},
# \qquad \frac{\partial L}{\partial y_{nm}} = \frac1N \left(P_{nm} - [m = t_n]\right)
# $$
#
# where $[m = t_n]$ is 1 for the right composer and 0 for the others. We check this gradient with
# the complex step of chapter 2, whose size is $\delta$.


# %%
def cross_entropy(y, t):
    """y: (N, M) logits; t: (N,) the right classes. Returns the loss and a cache."""
    rows = np.arange(len(y))
    y = y - y.real.max(axis=1, keepdims=True)  # the same probabilities, and exp cannot overflow
    P = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    return -np.log(P[rows, t]).mean(), (P, t)


def cross_entropy_backward(cache):
    """dy: (N, M)"""
    P, t = cache
    dy = P / len(P)
    dy[np.arange(len(P)), t] -= 1 / len(P)
    return dy


delta = 1e-30
y, t = np.random.default_rng(0).standard_normal((4, 10)), np.array([3, 0, 9, 3])
measured = np.zeros_like(y)
for index in np.ndindex(y.shape):
    stepped = y.astype(complex)
    stepped[index] += 1j * delta
    measured[index] = cross_entropy(stepped, t)[0].imag / delta
L, cache = cross_entropy(y, t)
agrees = np.allclose(cross_entropy_backward(cache), measured, rtol=1e-10, atol=0)
print(f"the gradient agrees with the complex step to ten digits: {agrees}")

# %% [markdown]
# Two values of the loss are worth knowing in advance. One belongs to a model that gives every
# composer the same probability. The other belongs to a model that knows only how often each
# composer occurs among the training units.

# %%
share = np.bincount(music.composer_of(train_beats), minlength=10) / len(train_beats)  # (10,)
print(f"the same probability for all: loss {np.log(10):.3f}")
print(f"the composers' shares:        loss {-(share * np.log(share)).sum():.3f}")

# %% tags=["hide"]
assert len(music.composers) == 10 and share.min() > 0
assert np.isclose(cross_entropy(np.zeros((7, 10)), np.arange(7))[0], np.log(10))

# %% [markdown]
# ## Both targets at once
#
# The regularized model has a decoder and a head. Its head has a hidden layer of 50 neurons with an
# ELU. Its loss is the sum of the context loss and the composer loss. Both depend on the same
# embedding $z$, so the gradient with respect to $z$ is the sum of two gradients:
#
# $$
# \frac{\partial L}{\partial z} = \frac{\partial L_{\text{context}}}{\partial z} +
# \frac{\partial L_{\text{composer}}}{\partial z}
# $$
#
# To **regularize** a model is to add something to its training that keeps it from overfitting, so
# that it works better on new data. The paper adds the composer task for this purpose.
#
# This table describes all seven models: the corruption of the input, the offsets of the target,
# and the sizes of the head's hidden layers. `()` means a head without a hidden layer, and `None`
# means no head.

# %%
SEVEN = {
    #               corruption      offsets  head
    "note_drop":    ("note_drop",    (0,),     None),
    "beat_drop":    ("beat_drop",    (0,),     None),
    "octave_split": ("octave_split", (0,),     None),
    "forward":      (None,           (1,),     None),
    "context":      (None,           (-1, 1),  None),
    "composer":     (None,           (),       ()),
    "regularized":  (None,           (-1, 1),  (50,)),
}  # fmt: skip

# %% [markdown]
# ## One class for all seven
#
# The earlier chapters have shown that the package's layers compute what ours compute, so from here
# on we use the package's encoder, decoder, corruptions, candidate loss and Adam. Two things in the
# following class are new: the head, and the place where two gradients are added. `Layer` is the
# package's base class, which finds all parameters inside an object.

# %%
from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.layers.dense import Dense
from tinyembed.layers.elu import Elu
from tinyembed.layers.gradcheck import cast
from tinyembed.layers.layer import Layer, Sequential
from tinyembed.models.networks import build_decoder, build_encoder
from tinyembed.models.table import Width
from tinyembed.music.corruption import CORRUPTIONS
from tinyembed.training.examples import draw_candidates
from tinyembed.training.optimizers import Adam, Flat

NARROW = Width(conv=(8, 16, 32, 64), dense=(64, 64, 100))  # as in chapter 8
COMPOSERS = len(music.composers)


def make_head(hidden, rng):
    """(N, 100) -> logits (N, M)"""
    if hidden == ():
        return Sequential(output=Dense(100, COMPOSERS, rng=rng))
    return Sequential(
        dense1=Dense(100, hidden[0], rng=rng),
        elu1=Elu(),
        output=Dense(hidden[0], COMPOSERS, rng=rng),
    )


class PaperModel(Layer):
    def __init__(self, name, rng):
        self.corruption, self.offsets, hidden = SEVEN[name]
        self.encoder = build_encoder(NARROW, rng)
        self.decoder = build_decoder(self.encoder, NARROW) if self.offsets else None
        self.head = make_head(hidden, rng) if hidden is not None else None
        self.candidate_loss = CandidateCosineLoss()
        cast(self, float)  # float64, so that every machine prints the same numbers

    def loss(self, x, q, candidates, t):
        """x, q: (N, 60, 96); candidates: (N, 5); t: (N,). Returns {name: loss} and a cache."""
        losses, cache = {}, {}
        z, cache["encoder"] = self.encoder.forward(x[..., None], training=True)  # (N, 100)
        if self.decoder:
            r, cache["decoder"] = self.decoder.forward(z, training=True)  # (N, 60, 96, 1)
            losses["candidates"], cache["candidates"] = self.candidate_loss.forward(
                r[..., 0], q, candidates
            )
        if self.head:
            y, cache["head"] = self.head.forward(z)  # (N, M)
            losses["composer"], cache["composer"] = cross_entropy(y, t)
        return losses, cache

    def loss_backward(self, cache):
        """Adds to the gradients of all parameters."""
        dz = 0
        if self.decoder:
            dr = self.candidate_loss.backward(cache["candidates"])
            dz = dz + self.decoder.backward(dr[..., None], cache["decoder"])
        if self.head:
            dy = cross_entropy_backward(cache["composer"])
            dz = dz + self.head.backward(dy, cache["head"])  # the two gradients are added
        self.encoder.backward(dz, cache["encoder"])

    def encode(self, rolls):
        """(N, 60, 96) -> (N, 100), with batch norm's running means."""
        parts = np.array_split(rolls, max(1, len(rolls) // 100))  # small parts stay in fast memory
        return np.concatenate([self.encoder.forward(part[..., None])[0] for part in parts])


def draw_batch(model, n, rng):
    """n training units in random keys: the arguments of `loss`."""
    beats, keys = rng.choice(train_beats, n, replace=False), rng.integers(-5, 7, n)
    x = target_of(beats, keys, (0,))
    q = target_of(beats, keys, model.offsets) if model.offsets else None
    if model.corruption:
        x = CORRUPTIONS[model.corruption](x, rng)
    return x, q, draw_candidates(n, rng), music.composer_of(beats)


# %% [markdown]
# We check the regularized model, because it has all the parts. As in chapter 8, we take one random
# direction through all parameters and compare two slopes of the loss along it: the slope that the
# gradients predict, and the slope that the complex step measures.

# %%
model, rng = PaperModel("regularized", np.random.default_rng(0)), np.random.default_rng(1)
batch = draw_batch(model, 8, rng)
losses, cache = model.loss(*batch)
model.loss_backward(cache)

parameters = model.parameters()
directions = [rng.standard_normal(p.value.shape) for p in parameters]
predicted = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True))
for p, d in zip(parameters, directions, strict=True):
    p.value = p.value + 1j * delta * d
losses, cache = model.loss(*batch)
measured = sum(losses.values()).imag / delta
print(f"slope predicted {predicted:.6f}, measured {measured:.6f}")
assert abs(predicted - measured) < 1e-10 * abs(measured)

# %% [markdown]
# ## Train all seven
#
# Each model takes 100 steps with 25 units per step. That is one or two seconds per model. All
# encoders start from the same weights.

# %%
N, STEPS = 25, 100


def train(name, seed=0):
    """Returns the model, and {name of a loss: its mean over the last 20 steps}."""
    model, rng = PaperModel(name, np.random.default_rng(seed)), np.random.default_rng(seed + 1)
    adam, history = Adam(Flat(model.parameters())), []
    for step in range(STEPS):
        losses, cache = model.loss(*draw_batch(model, N, rng))
        model.loss_backward(cache)
        rate = 0.01 * (1 + math.cos(math.pi * step / STEPS)) / 2  # from 0.01 down to 0
        adam.step(rate)
        history.append(losses)
    return model, {key: np.mean([losses[key] for losses in history[-20:]]) for key in history[0]}


trained, last_losses = {}, {}
for name in SEVEN:
    trained[name], last_losses[name] = train(name)
    words = [f"{key} {value:.3f}" for key, value in last_losses[name].items()]
    print(f"{name:12s} {', '.join(words)}")

# %% [markdown]
# Random guessing gives 1.609 for five candidates and 2.303 for ten composers. Compare each loss
# only with these values, because the tasks are not equally hard.
#
# The composer loss looks good. **Predict first:** what is the composer loss on pieces that the
# model has not seen?

# %%
test_rolls = target_of(test_beats, 0, (0,))  # (n, 60, 96)
composers = music.composer_of(test_beats)  # (n,)
test_losses = {}
for name in ("composer", "regularized"):
    y, _ = trained[name].head.forward(trained[name].encode(test_rolls))
    test_losses[name], _ = cross_entropy(y, composers)
    correct = 100 * (y.argmax(axis=1) == composers).mean()
    print(f"{name:12s} training loss {last_losses[name]['composer']:.2f}, "
          f"test loss {test_losses[name]:.2f}, {correct:.0f}% correct")  # fmt: skip
most_frequent = (composers == share.argmax()).mean()
print(f"always the most frequent composer: {100 * most_frequent:.0f}% correct")

# %% tags=["hide"]
for name in ("composer", "regularized"):
    assert test_losses[name] > np.log(10) > last_losses[name]["composer"] + 0.5
assert abs(test_losses["composer"] - test_losses["regularized"]) < 0.1
assert np.isclose(np.log(5), 1.609, atol=5e-4) and np.isclose(np.log(10), 2.303, atol=5e-4)
assert (music.n_pieces, train_pieces.sum()) == (58, 41)

# %% [markdown]
# The test loss is worse than the 2.303 of equal probabilities. This is **overfitting**: the models
# have learned who wrote the 41 training pieces, and they are confident where they should not be.
# They are still correct more often than a model that always names the most frequent composer.
# 58 pieces are far too few for this task.
#
# ## Which units are similar?
#
# We now drop the decoders and heads. Each model is then a function from a unit to 100 numbers. How
# can we compare seven such functions if their losses cannot be compared?
#
# We use the embeddings for a new task that is the same for all models. The next unit of a piece
# usually resembles the current one, so its embedding should be close to the current one's. For
# each test unit we compute the cosine between its embedding and the embedding of every next unit
# in the test set. The **rank** of the true next unit is the number of other units that have a
# larger cosine, scaled to 999 candidates. Rank 0 is best, and random guessing gives 499.5 on
# average. We report the *median* rank over all test units: half of the ranks are at most as large.
#
# (Chapter 11 trains a network that makes this prediction better. Here the prediction is simply
# "the current unit again".)


# %%
def cosines(a, b):
    """(N, D), (M, D) -> (N, M)"""
    a = a / np.sqrt((a * a).sum(axis=1, keepdims=True) + 1e-12)
    b = b / np.sqrt((b * b).sum(axis=1, keepdims=True) + 1e-12)
    return a @ b.T


next_rolls = target_of(test_beats, 0, (1,))


def median_rank(encode):
    S = cosines(encode(test_rolls), encode(next_rolls))  # (n, n): each unit with all next units
    own = np.diag(S)[:, None]
    closer = (S > own + 1e-6).sum(axis=1)
    ties = (S >= own - 1e-6).sum(axis=1) - closer - 1  # equal rolls count half
    return np.median((closer + ties / 2) * 999 / (len(S) - 1))


untrained = PaperModel("context", np.random.default_rng(0))
ranks = {name: median_rank(model.encode) for name, model in trained.items()}
ranks["untrained"] = median_rank(untrained.encode)
ranks["the roll itself"] = median_rank(lambda rolls: rolls.reshape(len(rolls), -1))
for name, rank in ranks.items():
    print(f"{name:16s} median rank of the next unit {rank:4.0f}")

# %% [markdown]
# How much of this order is due to our short training? The repository contains
# [a reproduction of the paper](../benchmarks/reproduction/report.md) with larger networks, many
# more examples and far more piano pieces. We read the same ranks from its results file.

# %% alt="Bars: the median rank of the next unit for the seven models, on this page and after long training"
results = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
repetition = results["baselines"]["repetition"]
long_ranks = {name: repetition[name]["rank"]["median"] for name in SEVEN}
pieces = sum(row["train"] + row["test"] for row in results["corpus"]["table"])
print(f"long training: {results['settings']['examples']:,} examples from {pieces} pieces")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, values, title in ((axes[0], ranks, "this page"), (axes[1], long_ranks, "long training")):
    numbers = [values[name] for name in SEVEN]
    ax.barh(range(7), numbers, color=lesson.BLUE, height=0.6)
    for place, number in enumerate(numbers):
        ax.text(number, place, f" {number:.3g}", va="center", fontsize=9)
    ax.set_yticks(range(7), [name.replace("_", " ") for name in SEVEN])
    ax.set_xlim(0, 1.1 * max(numbers))
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("median rank of the next unit (0 is best)")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
axes[0].set_ylabel("model")
plt.show()

# %% tags=["hide"]
here, there = sorted(SEVEN, key=ranks.get), sorted(SEVEN, key=long_ranks.get)
denoising = ["note_drop", "beat_drop", "octave_split"]
assert here[0] == there[0] == "context" and here[4:] == there[4:] == denoising
assert set(here[1:4]) == set(there[1:4]) == {"forward", "regularized", "composer"}
assert ranks["untrained"] > max(ranks[name] for name in SEVEN)
assert 0.85 < ranks["note_drop"] / ranks["the roll itself"] < 1.15
assert ranks["context"] < 0.5 * ranks["the roll itself"]
assert ranks["note_drop"] < ranks["beat_drop"] < ranks["octave_split"]

# %% [markdown]
# The numbers differ. In both panels context is best, and the three denoising autoencoders are worst
# and in the same order. The other three models are close together on this page. Exercise 2 shows
# how much a rank depends on the random first weights. The tasks explain the order:
#
# - **Note drop** ranks about as well as the roll itself. To restore half of the notes, it has to
#   represent individual notes. Two units are therefore similar to it if they share notes.
# - **Beat drop** and **octave split** have to restore whole beats or whole registers. They
#   represent the notes that they see less exactly.
# - **Forward** and **context** have similar targets for two neighbouring units. Their embeddings of
#   neighbours are therefore close.
# - **Composer** never sees the neighbour of a unit, but neighbours have the same composer.
# - **Regularized** combines the last two tasks, and its rank is close to theirs.
#
# ## Two examples
#
# Each row shows a test unit and the most similar unit from another piece, as chosen by four of the
# models. The titles give the model and the composer. Frames mark the onsets that a unit shares with
# the one on the left.

# %% tags=["thumbnail"] alt="Two units, and for each the most similar unit of another piece according to four models"
piece = music.beat_piece[test_beats]
looked_at = ("note_drop", "octave_split", "context", "composer")
nearest = {}
for name in looked_at:
    z = trained[name].encode(test_rolls)  # (n, 100)
    closeness = cosines(z, z)  # (n, n)
    closeness[piece[:, None] == piece] = -2  # never the same piece
    nearest[name] = closeness.argmax(axis=1)  # (n,)

queries = (747, 722)
figure, axes = plt.subplots(2, 5, figsize=(9, 5), layout="constrained", sharex=True, sharey=True)
for row, query in zip(axes, queries, strict=True):
    lesson.show_roll(row[0], test_rolls[query], f"the unit:\n{music.composers[composers[query]]}")
    for ax, name in zip(row[1:], looked_at, strict=True):
        found = nearest[name][query]
        writer = music.composers[composers[found]]
        lesson.show_roll(ax, test_rolls[found], f"{name.replace('_', ' ')}:\n{writer}")
        outline(ax, test_rolls[found] * test_rolls[query] > 0)
for ax in axes.flat:
    ax.title.set_fontsize(9)
plt.show()
found = [nearest[name][queries[0]] for name in looked_at]
lesson.play(list(test_rolls[[queries[0], *found]]), "similar",
            "the unit of the first row, then what each of the four models finds similar")  # fmt: skip

# %% [markdown]
# Two examples prove nothing, so we take all test units. We compare each unit with the most similar
# unit of another piece. Three numbers describe the pair: how many onsets they share, how much
# their numbers of notes differ, and how often they have the same composer.

# %%
notes = test_rolls.sum(axis=(1, 2))  # (n,)
shared, busier, same = {}, {}, {}
print("              onsets   difference in     same")
print("model         shared   number of notes   composer")
for name, found in nearest.items():
    shared[name] = (test_rolls * test_rolls[found]).sum(axis=(1, 2)).mean()
    busier[name] = np.abs(notes - notes[found]).mean()
    same[name] = 100 * (composers == composers[found]).mean()
    print(f"{name:12s} {shared[name]:7.2f} {busier[name]:17.1f} {same[name]:9.0f}%")

# %% tags=["hide"]
assert shared["note_drop"] > 1.25 * shared["context"] > 1.25 * shared["composer"]
assert shared["octave_split"] > shared["context"]
assert busier["note_drop"] > 1.3 * busier["context"] > 1.3 * busier["composer"]
assert busier["octave_split"] > busier["context"]
assert min(same["context"], same["composer"]) > same["note_drop"] > same["octave_split"]

# %% [markdown]
# For the two autoencoders, similar units share more onsets, even if one of them has many more notes
# than the other. For the context and composer models, similar units have more nearly the same
# number of notes. They share fewer onsets, and they more often have the same composer.
#
# ## The paper's two experiments
#
# The paper tests each embedding in two experiments. The first one predicts the eighth unit from
# the embeddings of the seven before it, with an LSTM, a network with memory that chapter 11
# builds. The result is again a median rank among 1,000 units. The second one trains a small
# network to name the composer from the embedding.
#
# Both take hours, so we read them from the results file. The file also has a second kind of rank,
# where all 1,000 units come from the same piece as the target, which makes the task harder. Two
# rows at the end are for comparison: the encoder before training, and **principal component
# analysis** (PCA), which projects a roll onto the 100 directions in which the training rolls vary
# most. PCA is linear. Chapter 10 explains it.

# %%
rows = {name: results["models"][name] for name in SEVEN}
rows |= {name: results["baselines"][name] for name in ("untrained", "pca")}
random_rank = {name: row["rank"]["median"] for name, row in rows.items()}
same_piece = {name: row["rank_same_piece"]["median"] for name, row in rows.items()}
accuracy = {name: 100 * row["composers"]["accuracy"] for name, row in rows.items()}

print("               median rank among   median rank in   composer")
print("               random units        the same piece   correct")
for name in rows:
    print(f"{name:12s} {random_rank[name]:19.3g} {same_piece[name]:16.3g} {accuracy[name]:9.1f}%")
commonest = results["baselines"]["majority"]["composers"]["accuracy"]
print(f"always the most frequent composer {100 * commonest:25.1f}%")
intervals = [rows[name]["composers"]["interval"] for name in SEVEN]  # 95% confidence
widest = 50 * max(high - low for low, high in intervals)
test_count = sum(row["test"] for row in results["corpus"]["table"])
print(f"with {test_count} test pieces, a percentage is uncertain by up to {widest:.0f} points")

# %% [markdown]
# The picture shows both results beside those of the paper's Tables 2 and 3, whose Micro-F1 is the
# share of correct units. The paper used other music, so compare the arrangement of the points and
# not their values. The best place is the top left corner. Grey marks the denoising autoencoders,
# blue the models that predict context only, and orange those with a head.

# %% alt="Composers correct against the median rank of the seven models, in this repository and in the paper"
from tinyembed.report import paper

styles = {
    "note_drop": ("s", lesson.GREY), "beat_drop": ("D", lesson.GREY),
    "octave_split": ("X", lesson.GREY), "forward": (">", lesson.BLUE),
    "context": ("o", lesson.BLUE), "composer": ("^", lesson.ORANGE),
    "regularized": ("P", lesson.ORANGE),
}  # fmt: skip
paper_points = {name: (row.median, 100 * row.micro_f1) for name, row in paper.MODELS.items()}
our_points = {name: (random_rank[name], accuracy[name]) for name in SEVEN}
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, points, title in (
    (axes[0], our_points, f"this repository ({pieces} piano pieces)"),
    (axes[1], paper_points, "the paper"),
):
    for name, (marker, color) in styles.items():
        label = name.replace("_", " ")
        ax.plot(*points[name], marker, color=color, ms=9, alpha=0.8, label=label)
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("median rank among random units (0 is best)")
    ax.margins(0.12)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("composer correct (percent of units)")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncol=7, frameon=False, fontsize=9,
              columnspacing=1.2, handletextpad=0.2)  # fmt: skip
plt.show()

# %% tags=["hide"]
for table in (our_points, paper_points):
    rank = {name: point[0] for name, point in table.items()}
    correct = {name: point[1] for name, point in table.items()}
    assert sorted(rank, key=rank.get)[:2] == ["context", "forward"]
    assert max(rank, key=rank.get) == min(correct, key=correct.get) == "octave_split"
    assert rank["context"] < rank["regularized"] < rank["composer"]
paper_correct = sorted((point[1], name) for name, point in paper_points.items())
assert [name for _, name in paper_correct[:-3:-1]] == ["composer", "regularized"]
assert max(SEVEN, key=accuracy.get) == "regularized"
assert max(accuracy[name] for name in SEVEN) - min(accuracy[name] for name in SEVEN) < widest
assert same_piece["note_drop"] <= same_piece["context"]
assert random_rank["note_drop"] > random_rank["context"]
for kind, certain in (("rank", True), ("rank_same_piece", False)):
    (pair,) = (
        pair
        for pair in results["tests"][kind]["pairs"]
        if (pair["first"], pair["second"]) == ("note_drop", "context")
    )
    assert pair["pieces"]["wilcoxon"]["significant"] == certain
assert random_rank["pca"] < random_rank["octave_split"]
assert 2 * random_rank["context"] < random_rank["pca"]  # chapter 10 says "much better"
assert 0 < accuracy["context"] - accuracy["pca"] < 2

# %% [markdown]
# Some findings agree. In both, context and forward have the best ranks, octave split comes last in
# both experiments, and the rank of regularized lies between those of context and composer.
#
# Others differ:
#
# - In the paper, the composer model is far ahead at naming composers. Here the regularized model
#   leads. A possible reason is overfitting: the composer model learns its training pieces, and the
#   context task may keep the regularized model from doing so. Our short training does not show such
#   an effect: the two test losses above are nearly the same. Also, all seven percentages are close,
#   and their differences are smaller than their uncertainty.
# - The paper does not rank units of the same piece. There, note drop catches up with context: the
#   difference is too small to be significant with so few pieces. Units of one piece have the key,
#   the register and the texture in common, so only details can tell them apart, and details are
#   what note drop represents.
# - PCA ranks better than octave split, and it names composers almost as well as context. A deep
#   network has to be compared with such a simple method before we trust it.
#
# [Chapter 12](12_statistics.md) explains how certain such an order is.
#
# ## The package does the same
#
# In the package the seven models are rows of the table `MODELS`, and each of them is a `Model`.
# (The table has one more row, a model of our own:
# [appendix A](13_contrastive_loss.md) is about it.) We compare the table, then the losses and
# gradients of all seven models from the same weights and batches.

# %%
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.training.examples import Batch

for name, row in SEVEN.items():
    spec = MODELS[name]
    assert row == (spec.corruption, spec.context, spec.head)

WIDTHS["chapter 9"] = NARROW
for name in SEVEN:
    ours = PaperModel(name, np.random.default_rng(3))
    theirs = Model(name, "chapter 9", music.composers, np.random.default_rng(3))
    cast(theirs, float)
    x, q, candidates, t = draw_batch(ours, 10, np.random.default_rng(4))

    our_losses, cache = ours.loss(x, q, candidates, t)
    ours.loss_backward(cache)
    their_losses, cache = theirs.loss(Batch(x, q, candidates, t, x), training=True)
    theirs.loss_backward(cache)

    assert np.isclose(sum(our_losses.values()), sum(their_losses.values()), rtol=1e-12)
    for p, p_theirs in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert np.allclose(p.grad, p_theirs.grad, rtol=1e-8, atol=1e-12)
print(f"{len(SEVEN)} models: the same table, losses and gradients")

# %% [markdown]
# The head is [`build_head`](../tinyembed/models/networks.py), the cross-entropy is
# [`SoftmaxCrossEntropy`](../tinyembed/layers/softmax.py), and
# [examples.py](../tinyembed/training/examples.py) makes the targets. `python -m tinyembed.train
# --model context` trains one model. `python -m tinyembed.reproduce` trains all of them and runs
# both experiments.
#
# ## Exercises
#
# **1. Backwards.** Reverse the order of the units of a piece, but leave each unit as it is. Which
# of the seven models see a difference in their inputs or targets?
#
# <details><summary>Solution</summary>
#
# ```python
# chosen = test_beats[:50]
# for offsets, reversed_offsets in (((1,), (-1,)), ((-1, 1), (1, -1))):
#     q, q_reversed = target_of(chosen, 0, offsets), target_of(chosen, 0, reversed_offsets)
#     changed = (q != q_reversed).any(axis=(1, 2)).sum()
#     print(f"offsets {offsets}: {changed} of {len(chosen)} targets change")
# ```
#
# Only the forward model, with the offsets (1,): 50 of 50 targets change. For the offsets (-1, 1)
# of context and regularized, 0 of 50 targets change, because a sum does not depend on the order of
# its terms. The autoencoders and the composer model see one unit at a time.
#
# </details>
#
# **2. Another seed.** Train `context` again with `seed=10`. How much does its rank change? Does it
# still lead?
#
# <details><summary>Solution</summary>
#
# ```python
# another, _ = train("context", seed=10)
# print(f"{ranks['context']:.0f} {median_rank(another.encode):.0f}")
# ```
#
# The rank changes from 90 to 133. The model is now behind forward, composer and regularized, but
# still ahead of the autoencoders. So training with one seed cannot put the first four models in
# order.
#
# </details>
#
# **3. The best guess.** A model knows only the share of each composer. Which probabilities should
# it give to make its mean cross-entropy as small as possible? Check that the loss grows when you
# move 0.01 of probability from one composer to another.
#
# <details><summary>Solution</summary>
#
# ```python
# def mean_loss(probabilities):
#     return -(share * np.log(probabilities)).sum()
#
#
# moved = []
# for i, j in np.ndindex(10, 10):
#     if i != j:
#         probabilities = share.copy()
#         probabilities[i] += 0.01
#         probabilities[j] -= 0.01
#         moved.append(mean_loss(probabilities))
# print(f"shares {mean_loss(share):.4f}, moved: {min(moved):.4f} or more")
# ```
#
# It should give the shares themselves. The loss is then the **entropy** of the shares, 2.2002.
# Each of the 90 moves gives 2.2008 or more.
#
# </details>
#
# ## Further reading
#
# - T. Mikolov, K. Chen, G. Corrado and J. Dean, *Efficient Estimation of Word Representations in
#   Vector Space*, 2013. Word embeddings learned from context, the idea behind section 4.2.
# - R. Caruana, *Multitask Learning*, 1997. It explains why a second task can improve the first one.
# - J. Yosinski, J. Clune, Y. Bengio and H. Lipson, *How transferable are features in deep neural
#   networks?*, 2014. It measures how well features learned for one task serve another.
#
# ## What comes next
#
# We have compared embeddings with numbers. [Chapter 10](10_walking_the_space.md) explores one of
# them: its neighbours, a map, and a walk that you can hear.
