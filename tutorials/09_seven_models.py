# %% [markdown]
# # 9. Seven models
#
# One encoder, asked seven different questions: what a network is asked decides which music it
# finds alike.

# %% [markdown]
# **What you'll do.** Give the encoder of chapter 8 new targets: the music around a unit, its
# composer, or both. Train all seven models of the paper side by side, and ask each which music it
# finds alike.
#
# **What you'll learn.** Learning from context; classification by softmax and cross-entropy; how
# two losses meet in one embedding; how to compare embeddings without trusting any loss.
#
# **What you need.** [Chapter 7](07_candidate_loss.md) (the loss) and
# [chapter 8](08_denoising_autoencoder.md) (the network), and 25 minutes.

# %% [markdown]
# ## What the paper says
#
# Section 4 trains seven networks with one and the same encoder. Three undo damage (4.1; that was
# chapter 8). Two predict context (4.2): the next unit, or the sum of the units before and after.
# One names the composer (4.3). The last one predicts the context *and* names the composer (4.4).
# Then the decoders and the answers are thrown away, and only the embeddings are compared
# (section 5). That is why it does not matter that the losses of the seven cannot be compared.
#
# ## The target is the neighbourhood
#
# In chapter 8 the question was "what did this unit look like before?". Now we write $U_i$ for the
# unit at hand, $U_{i+1}$ for the four beats after it and $U_{i-1}$ for the four before it. The
# context model must produce
#
# $$\text{target} = U_{i-1} + U_{i+1}$$
#
# from $U_i$ alone: a roll of the same shape (60, 96), a 2 where both neighbours have an onset in
# the same cell. The forward model must produce $U_{i+1}$. In general a target is a sum over
# **offsets**, counted in units: $(0)$ is the unit itself, $(1)$ the next, $(-1, 1)$ both sides.

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


learning, held_out = units_of(~music.piece_is_test), units_of(music.piece_is_test)
print(f"{len(learning):,} units to learn from, {len(held_out):,} held out in other pieces")


def target_of(beats, keys, offsets):
    """The sum of the units at some offsets: (n, 60, 96)."""
    return sum(music.rolls(beats + 4 * offset, keys, dtype=float) for offset in offsets)


# %% alt="A unit, the units before and after it, and their sum"
beat = held_out[[1480]]
before, unit, after, both = (target_of(beat, 0, o)[0] for o in ((-1,), (0,), (1,), (-1, 1)))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained", sharey=True)
titles = ("the unit before", "the unit: the input", "the unit after", "the target: before + after")
for ax, roll, title in zip(axes, (before, unit, after, both), titles, strict=True):
    lesson.show_roll(ax, roll, title)
plt.show()
assert (both == before + after).all()
shared = np.mean([(target_of(held_out[i : i + 1], 0, (-1, 1)) == 2).any() for i in range(300)])
print(f"units whose neighbours share an onset in some cell: {100 * shared:.0f}%")

# %% [markdown]
# There is no way to compute such a target. Many continuations are right. But the loss of chapter 7
# does not ask for the continuation; it asks which of five neighbourhoods fits. For that it helps to
# know the key, the register, the rhythm, how many voices there are: just what one would call the
# character of a passage. And neighbouring units have nearly the same answer, so they should get
# nearly the same 100 numbers.
#
# ## Whose music is it?
#
# The composer model has no decoder. From the embedding $h$, (N, 100), a fully connected layer
# makes one number a composer, the **logits** $z$, (N, composers):
#
# $$z = h W + b$$
#
# Softmax turns them into probabilities, and the loss is minus the logarithm of the right one's, as
# in chapter 7; only that the choice is among ten composers now, not among five answers. This is
# called **cross-entropy**. With $c_n$ the composer of unit $n$:
#
# $$
# P_{nj} = \frac{\exp z_{nj}}{\sum_k \exp z_{nk}}, \qquad L = -\frac1N \sum_n \log P_{n c_n},
# \qquad \frac{\partial L}{\partial z_{nj}} = \frac1N \left(P_{nj} - [j = c_n]\right)
# $$


# %%
def cross_entropy(z, composer):
    """z: (N, composers); composer: (N,) integers. Returns the loss and dz."""
    rows = np.arange(len(z))
    z = z - z.real.max(axis=1, keepdims=True)  # changes no probability, and exp cannot overflow
    P = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dz = P / len(z)
    dz[rows, composer] -= 1 / len(z)
    return -np.log(P[rows, composer]).mean(), dz


rng = np.random.default_rng(0)
z, composer = rng.standard_normal((4, 10)), np.array([3, 0, 9, 3])
exact = np.zeros_like(z)
for n, j in np.ndindex(z.shape):
    stepped = z.astype(complex)
    stepped[n, j] += 1e-30j
    exact[n, j] = cross_entropy(stepped, composer)[0].imag / 1e-30
assert np.allclose(cross_entropy(z, composer)[1], exact, rtol=1e-12)

count = np.bincount(music.composer_of(learning), minlength=10)
share = count / count.sum()
print(f"ten composers, all equally likely: loss {np.log(10):.3f}")
print(f"knowing only how common each is:   loss {-(share * np.log(share)).sum():.3f}")

# %% tags=["hide"]
assert len(music.composers) == 10 and count.min() > 0
assert np.isclose(cross_entropy(np.zeros((7, 10)), np.arange(7))[0], np.log(10))

# %% [markdown]
# ## Both at once
#
# The regularized model has a decoder *and* a head, the latter with a hidden layer of 50 ELU units.
# Its loss is the sum of the two losses. Both start from the same $h$. How does a gradient go back
# to where two ways part? It adds up:
#
# $$
# \frac{\partial L}{\partial h} = \frac{\partial L_{\text{context}}}{\partial h} +
# \frac{\partial L_{\text{composer}}}{\partial h}
# $$
#
# That is the whole of it. The embedding is pulled in two directions and moves along the sum. The
# name in the paper says what the second pull is for: it keeps the first from going astray, and the
# other way round.
#
# So here are all seven, in one table: what is done to the input, the offsets of the target, and
# the widths of the head's hidden layers (`()` is a head without any, `None` no head at all).

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
# ## One class for all of them
#
# Encoder and decoder are the lists of chapter 8. That chapter has shown that the package's are the
# same, step by step, so here we take them from there, and with them the three corruptions, the
# candidate loss, and Adam. A `Parameter` is a learned array (`value`) with its gradient (`grad`),
# and a `Layer` is something that finds all parameters inside it. New are the head and the place
# where the two sides meet.

# %%
from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.layers.gradcheck import cast
from tinyembed.layers.layer import Layer, Parameter
from tinyembed.models.networks import build_decoder, build_encoder
from tinyembed.models.table import Width
from tinyembed.music.corruption import CORRUPTIONS
from tinyembed.training.examples import draw_candidates
from tinyembed.training.optimizers import Adam, Flat

NARROW = Width(conv=(8, 16, 32, 64), dense=(64, 64, 100))


class Head(Layer):
    """(N, 100) -> logits (N, composers), through hidden layers with ELU."""

    def __init__(self, hidden, rng):
        self.n = len(hidden) + 1
        sizes = (100, *hidden, len(music.composers))
        for i in range(self.n):
            W = rng.standard_normal((sizes[i], sizes[i + 1])) * sizes[i] ** -0.5
            setattr(self, f"W{i}", Parameter(W.astype(np.float32)))
            setattr(self, f"b{i}", Parameter(np.zeros(sizes[i + 1], np.float32)))

    def forward(self, x):
        inputs = []
        for i in range(self.n):
            if i > 0:
                x = np.maximum(x, np.exp(np.minimum(x, 0)) - 1)  # ELU
            inputs.append(x)
            x = x @ getattr(self, f"W{i}").value + getattr(self, f"b{i}").value
        return x, inputs

    def backward(self, dx, inputs):
        for i in reversed(range(self.n)):
            W, b, x = getattr(self, f"W{i}"), getattr(self, f"b{i}"), inputs[i]
            W.grad += x.T @ dx
            b.grad += dx.sum(axis=0)
            dx = dx @ W.value.T
            if i > 0:
                dx = dx * (np.minimum(x, 0) + 1)  # ELU's slope, from its output
        return dx


class OneOfSeven(Layer):
    def __init__(self, name, rng):
        self.corruption, self.offsets, hidden = SEVEN[name]
        self.encoder = build_encoder(NARROW, rng)
        self.decoder = build_decoder(self.encoder, NARROW) if self.offsets else None
        self.head = None if hidden is None else Head(hidden, rng)
        self.candidate_loss = CandidateCosineLoss()
        cast(self, float)  # float64: a page should print the same on every machine

    def loss(self, x, target, candidates, composer):
        """Returns the losses, {name: number}, and a function that adds to all gradients."""
        h, encoder_cache = self.encoder.forward(x[..., None], training=True)  # (N, 100)
        losses, ways_back = {}, []
        if self.decoder:
            y, decoder_cache = self.decoder.forward(h, training=True)  # (N, 60, 96, 1)
            losses["candidates"], loss_cache = self.candidate_loss.forward(
                y[..., 0], target, candidates
            )

            def back_from_music():
                dy = self.candidate_loss.backward(loss_cache)
                return self.decoder.backward(dy[..., None], decoder_cache)

            ways_back.append(back_from_music)
        if self.head:
            z, inputs = self.head.forward(h)
            losses["composer"], dz = cross_entropy(z, composer)
            ways_back.append(lambda: self.head.backward(dz, inputs))

        def learn():
            dh = sum(back() for back in ways_back)  # the two sides meet
            self.encoder.backward(dh, encoder_cache)

        return losses, learn

    def encode(self, rolls):
        """(N, 60, 96) -> (N, 100), with the running means of batch norm."""
        parts = np.array_split(rolls, max(1, len(rolls) // 100))  # small parts stay in fast memory
        return np.concatenate([self.encoder.forward(part[..., None])[0] for part in parts])


def draw_batch(model, n, rng):
    """n training units in random keys: what `loss` takes."""
    beats, keys = rng.choice(learning, n, replace=False), rng.integers(-5, 7, n)
    x = target_of(beats, keys, (0,))
    target = target_of(beats, keys, model.offsets) if model.offsets else None
    if model.corruption:
        x = CORRUPTIONS[model.corruption](x, rng)
    return x, target, draw_candidates(n, rng), music.composer_of(beats)


# %% [markdown]
# **The check,** for the model that has everything: the slope along one random direction of all
# learned numbers, predicted by the gradient and measured by a complex step.

# %%
model, rng = OneOfSeven("regularized", np.random.default_rng(0)), np.random.default_rng(1)
batch = draw_batch(model, 8, rng)
model.loss(*batch)[1]()  # fills the gradients

parameters = model.parameters()
directions = [rng.standard_normal(p.value.shape) for p in parameters]
predicted = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True))
for p, d in zip(parameters, directions, strict=True):
    p.value = p.value + 1e-30j * d
measured = sum(model.loss(*batch)[0].values()).imag / 1e-30
print(f"slope predicted {predicted:.6f}, measured {measured:.6f}")
assert abs(predicted - measured) < 1e-10 * abs(measured)

# %% [markdown]
# ## Train all seven
#
# 100 steps of 25 units each, a second or two a model. All start from the same encoder.

# %%
N, STEPS = 25, 100


def train(name, seed=0):
    model, rng = OneOfSeven(name, np.random.default_rng(seed)), np.random.default_rng(seed + 1)
    adam, history = Adam(Flat(model.parameters())), []
    for step in range(STEPS):
        losses, learn = model.loss(*draw_batch(model, N, rng))
        learn()
        adam.step(0.01 * (1 + math.cos(math.pi * step / STEPS)) / 2)
        history.append(losses)
    return model, {key: np.array([losses[key] for losses in history]) for key in history[0]}


trained, histories = {}, {}
for name in SEVEN:
    trained[name], histories[name] = train(name)
    last = {key: values[-20:].mean() for key, values in histories[name].items()}
    print(f"{name:12s} " + ", ".join(f"{key} {value:.3f}" for key, value in last.items()))

# %% [markdown]
# Compare these with 1.609 (guessing among five) and 2.303 (guessing among ten composers), and only
# with these: each model has a question of its own, and the questions are not equally hard.
#
# The composer model looks like the star of the evening. Before we believe it, one question.
# **Predict:** what is its loss on pieces that it has never seen?

# %%
held_out = held_out[::2]  # half of them tell as much, in half the time
rolls = target_of(held_out, 0, (0,))  # (n, 60, 96)
composers = music.composer_of(held_out)
for name in ("composer", "regularized"):
    z, _ = trained[name].head.forward(trained[name].encode(rolls))
    seen = histories[name]["composer"][-20:].mean()
    unseen = cross_entropy(z, composers)[0]
    right = (z.argmax(axis=1) == composers).mean()
    print(f"{name:12s} loss on its batches {seen:.2f}, on held-out pieces {unseen:.2f}; "
          f"names {100 * right:.0f}% rightly")  # fmt: skip
    assert unseen > 2.2 > seen + 0.5
print(f"always naming the commonest one: {100 * (composers == share.argmax()).mean():.0f}%")

# %% [markdown]
# No better than an even guess among ten, which has 2.30! It names some more composers rightly than
# somebody who always says the commonest, but it is sure of itself where it has no reason to be:
# it has learned who wrote the 41 pieces it was shown, by heart. 58 scores are far too few for this
# question; and it stays a sore point with 434 of them, as we shall see.
#
# ## Which music is alike?
#
# Now throw decoders and heads away. What is left of each model is a map from units to 100 numbers.
# How can seven such maps be compared, when no loss can?
#
# By use. Here is the simplest: music goes on in its own manner, so the next unit should lie close
# to this one. For each held-out unit, compare the embedding of the unit after it with those of all
# other held-out units: how many of them are closer (by cosine) to this one? Scaled to 1,000
# candidates, that is the **rank** of the true next unit: 0 is best, 500 is chance. (Chapter 11 puts
# an LSTM in between; this is its simplest rival, "the last unit, repeated".)


# %%
def cosines(a, b):
    """(N, D), (M, D) -> (N, M)"""
    a = a / np.sqrt((a * a).sum(axis=1, keepdims=True) + 1e-12)
    b = b / np.sqrt((b * b).sum(axis=1, keepdims=True) + 1e-12)
    return a @ b.T


next_rolls = target_of(held_out, 0, (1,))


def median_rank(encode):
    S = cosines(encode(rolls), encode(next_rolls))  # (n, n): this unit, all next ones
    own = np.diag(S)[:, None]
    closer = (S > own + 1e-6).sum(axis=1)
    as_close = (S >= own - 1e-6).sum(axis=1) - closer - 1  # equal rolls; they count half
    return np.median((closer + as_close / 2) * 999 / (len(S) - 1))


untrained = OneOfSeven("context", np.random.default_rng(0))
ranks = {"untrained": median_rank(untrained.encode)}
ranks |= {name: median_rank(model.encode) for name, model in trained.items()}
ranks["the roll itself"] = median_rank(lambda rolls: rolls.reshape(len(rolls), -1))
for name, rank in ranks.items():
    print(f"{name:16s} median rank of the next unit {rank:4.0f}")

# %% [markdown]
# The same list twice: on the left our page's models, a second or two of training each, 58 scores;
# on the right models 13 times as large, 300,000 examples each, on 434 piano pieces. The figures on
# the right are from [the reproduction](../benchmarks/reproduction/report.md) in this repository.

# %% alt="Median rank of the next unit for the seven models: on this page, and after long training"
results = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
repeated = results["baselines"]["repetition"]
long_run = {name: repeated[name]["rank"]["median"] for name in SEVEN}

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, values, title in ((axes[0], ranks, "this page"), (axes[1], long_run, "long training")):
    numbers = [values[name] for name in SEVEN]
    ax.barh(range(7), numbers, color=lesson.BLUE, height=0.6)
    for y, number in enumerate(numbers):
        ax.text(number, y, f" {number:.3g}", va="center", fontsize=9)
    ax.set_yticks(range(7), [name.replace("_", " ") for name in SEVEN])
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("median rank of the next unit, 0 is best")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
print("best to worst, this page:    ", ", ".join(sorted(SEVEN, key=ranks.get)))
print("best to worst, long training:", ", ".join(sorted(SEVEN, key=long_run.get)))

# %% tags=["hide"]
here, there = sorted(SEVEN, key=ranks.get), sorted(SEVEN, key=long_run.get)
assert here[0] == there[0] == "context" and here[4:] == there[4:] and here != there
assert set(here[1:4]) == {"forward", "regularized", "composer"}
assert ranks["untrained"] > max(ranks[name] for name in SEVEN)
assert 0.85 < ranks["note_drop"] / ranks["the roll itself"] < 1.15
assert ranks["context"] < 0.5 * ranks["the roll itself"]

# %% [markdown]
# The numbers differ, as they must, and so does the order of the second, third and fourth model. These
# are close together here, and with other first weights they change places (exercise 2). Context leads
# both lists, and the three autoencoders end both in the same order. What stays comes from the question,
# not from the training:
#
# * **Note drop** comes out about where the roll itself does: to undo that damage it has to keep the
#   notes, so it finds alike what shares notes, cell by cell. Beat drop and octave split, which must
#   fill in what was never shown, keep less of them.
# * **Forward and context** put a unit near its neighbours because both were asked nearly the same
#   question.
# * **The composer model** was never shown a neighbour, but neighbours are by the same composer.
# * **Regularized** is made of the last two, and keeps their company.
#
# ## Look at it
#
# Two held-out units, and the unit of another piece that is nearest to each in four of the spaces.

# %% alt="Two units and their nearest neighbours in other pieces, for four of the models" tags=["thumbnail"]
piece = music.beat_piece[held_out]
looked_at = ("note_drop", "octave_split", "context", "composer")
nearest = {}
for name in looked_at:
    h = trained[name].encode(rolls)  # (n, 100)
    closeness = cosines(h, h)  # (n, n)
    closeness[piece[:, None] == piece] = -2  # never the same piece
    nearest[name] = closeness.argmax(axis=1)  # (n,)

figure, axes = plt.subplots(2, 5, figsize=(9, 4.6), layout="constrained", sharey=True)
for row, query in zip(axes, (747, 722), strict=True):
    lesson.show_roll(row[0], rolls[query], music.composers[composers[query]])
    for ax, name in zip(row[1:], looked_at, strict=True):
        found = nearest[name][query]
        writer = music.composers[composers[found]]
        lesson.show_roll(ax, rolls[found], f"{name.replace('_', ' ')}: {writer}")
        ax.title.set_fontsize(9)
plt.show()

# %% [markdown]
# Two units are an anecdote. Here are all of them: what the nearest unit of another piece has in
# common with this one.

# %%
notes = rolls.sum(axis=(1, 2))  # (n,)
shared, busier, same = {}, {}, {}
print("nearest by      onsets shared   difference in number of notes   same composer")
for name, found in nearest.items():
    shared[name] = (rolls * rolls[found]).sum(axis=(1, 2)).mean()
    busier[name] = np.abs(notes - notes[found]).mean()
    same[name] = 100 * (composers == composers[found]).mean()
    print(f"{name:12s} {shared[name]:16.2f} {busier[name]:31.1f} {same[name]:14.0f}%")

# %% tags=["hide"]
assert shared["note_drop"] > 1.25 * shared["context"] > 1.25 * shared["composer"]
assert busier["note_drop"] > 1.3 * busier["context"] > 1.3 * busier["composer"]
assert min(same["context"], same["composer"]) > same["note_drop"] > same["octave_split"]

# %% [markdown]
# There it is, in numbers. For the autoencoders two units are alike when their notes coincide, be
# one of them as busy as it may. For the context and the composer model they are alike when there
# is as much going on in both, and more often they are by the same composer, though fewer of their
# notes coincide.
#
# ## The real figures
#
# What the paper does with the embeddings takes hours, not seconds: an LSTM that predicts the
# eighth unit from seven (chapter 11), and a network that names the composer from $h$. Here is what
# came out of both on 434 piano pieces, read from the results file. The median rank is among 1,000
# candidates, of two kinds: random units, as in the paper, or units of the same piece, which is
# harder. Below the seven stand two to compare with: the encoder before any training, and the 100
# principal components of the rolls (PCA), the directions in which rolls vary most.

# %%
rows = {name: results["models"][name] for name in SEVEN}
rows |= {name: results["baselines"][name] for name in ("untrained", "pca")}
random_rank = {name: row["rank"]["median"] for name, row in rows.items()}
same_piece = {name: row["rank_same_piece"]["median"] for name, row in rows.items()}
accuracy = {name: row["composers"]["accuracy"] for name, row in rows.items()}

print("               rank among   rank in the   composer")
print("             random units    same piece    named rightly")
for name in rows:
    print(f"{name:12s} {random_rank[name]:12.0f} {same_piece[name]:13.3g} "
          f"{100 * accuracy[name]:13.1f}%")  # fmt: skip
commonest = results["baselines"]["majority"]["composers"]["accuracy"]
print(f"always naming the commonest composer {100 * commonest:16.1f}%")

# %% tags=["hide"]
assert min(random_rank, key=random_rank.get) == "context"
assert min(same_piece, key=same_piece.get) == "note_drop"
assert max(accuracy, key=accuracy.get) == "regularized"
assert sum(accuracy["composer"] < value for value in accuracy.values()) == 2
assert random_rank["context"] < random_rank["regularized"] < random_rank["composer"]
assert 0 < accuracy["context"] - accuracy["pca"] < 0.005
assert random_rank["pca"] < random_rank["octave_split"]
for name in SEVEN:
    low, high = rows[name]["composers"]["interval"]
    assert 0.11 < high - low < 0.15
assert round(same_piece["note_drop"]) == 46 and round(same_piece["context"]) == 50
for kind, certain in (("rank", True), ("rank_same_piece", False)):
    (pair,) = (
        pair
        for pair in results["tests"][kind]["pairs"]
        if (pair["first"], pair["second"]) == ("note_drop", "context")
    )
    assert pair["pieces"]["wilcoxon"]["significant"] == certain

# %% [markdown]
# And the same two figures beside the paper's Tables 2 and 3. Its corpus is another one, so look at
# the shapes, not at the scales. A good embedding stands at the top left.

# %% alt="Composers named rightly against the median rank of the seven models, here and in the paper"
from tinyembed.report import paper

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
points = (
    {name: (random_rank[name], 100 * accuracy[name]) for name in SEVEN},
    {name: (paper.MODELS[name].median, 100 * paper.MODELS[name].micro_f1) for name in SEVEN},
)
sides = {"context": ((0, -18), "center"), "forward": ((0, 9), "center")}  # where a name goes
sides |= {"note_drop": ((13, 9), "center"), "beat_drop": ((0, -18), "center")}
sides |= {"octave_split": ((-9, -4), "right"), "composer": ((0, -18), "center")}
for ax, table, title in zip(axes, points, ("434 piano pieces", "the paper"), strict=True):
    for name, (x, y) in table.items():
        is_denoiser, has_head = SEVEN[name][0] is not None, SEVEN[name][2] is not None
        color = lesson.GREY if is_denoiser else lesson.ORANGE if has_head else lesson.BLUE
        ax.plot(x, y, "s" if is_denoiser else "^" if has_head else "o", color=color, ms=8)
        shift, side = sides.get(name, ((8, 4), "left"))
        ax.annotate(name.replace("_", " "), (x, y), shift, textcoords="offset points", ha=side)
    ax.set(title=title, xlabel="median rank among random units, 0 is best")
    ax.margins(0.16)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("composers named rightly (percent of units)")
plt.show()

# %% [markdown]
# What holds in both: the two context models lead the prediction, octave split comes last in both
# experiments, and regularized predicts worse than context but better than composer.
#
# What does not: in the paper the composer model is far ahead in naming composers. Here it is third,
# and the regularized model leads. A likely reason is on this page: alone, the head learns its pieces
# by heart; predicting the neighbours as well keeps the embedding about the music. That is what
# "regularized" means. (But all of these percentages are close together: with 66 test pieces,
# each is known to about seven points either way.)
#
# And one that the paper could not see, as it has no such column: among units of the *same piece*
# the note-drop autoencoder, well behind the context model among random units, has caught up with
# it: 46 against 50, too close to call. There, key, register and texture tell nothing, they are
# everybody's. What is left to go by is detail, and detail is what it keeps.
#
# Last, some modesty: PCA, a plain linear map, predicts better than the octave-split network, and in
# naming composers it is half a point behind context.
#
# [Chapter 12](12_statistics.md) is about how sure one can be of such an order.
#
# ## The package does the same
#
# In tinyembed the seven are rows of the table `MODELS` (beside an eighth of its own, see
# [chapter 13](13_contrastive_loss.md)), and each is a `Model`. The table first; then losses and gradients
# of all seven, from the same first weights on the same batches.

# %%
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.training.examples import Batch

for name, row in SEVEN.items():
    spec = MODELS[name]
    assert row == (spec.corruption, spec.context, spec.head)

WIDTHS["chapter 9"] = NARROW
for name in SEVEN:
    ours = OneOfSeven(name, np.random.default_rng(3))
    theirs = Model(name, "chapter 9", music.composers, np.random.default_rng(3))
    cast(theirs, float)
    x, target, candidates, composer = draw_batch(ours, 10, np.random.default_rng(4))

    our_losses, learn = ours.loss(x, target, candidates, composer)
    learn()
    their_losses, cache = theirs.loss(Batch(x, target, candidates, composer, x), training=True)
    theirs.loss_backward(cache)

    assert np.isclose(sum(our_losses.values()), sum(their_losses.values()), rtol=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert np.allclose(p.grad, q.grad, rtol=1e-8, atol=1e-12)
print(f"{len(SEVEN)} models: the same table, losses and gradients")

# %% tags=["hide"]
del WIDTHS["chapter 9"]

# %% [markdown]
# The head is [`build_head`](../tinyembed/models/networks.py), the cross-entropy
# [`SoftmaxCrossEntropy`](../tinyembed/layers/softmax.py), the targets are made in
# [examples.py](../tinyembed/training/examples.py), and the table `MODELS` is in
# [table.py](../tinyembed/models/table.py). `python -m tinyembed.train --model context` trains one;
# `python -m tinyembed.reproduce` trains them all and runs both experiments.
#
# ## Exercises
#
# **1. Backwards.** Play a piece with its units in reverse order, each unit itself left as it is.
# Which of the seven models cannot tell the difference?
#
# <details><summary>Solution</summary>
#
# Only `forward` can. The three autoencoders and the composer model see one unit at a time; context
# and regularized see the sum of both neighbours, and a sum does not say which one came first.
#
# ```python
# beats = held_out[:50]
# there = target_of(beats, 0, (-1, 1))
# back = target_of(beats, 0, (1, -1))  # neighbours exchanged
# assert (there == back).all()
# assert not (target_of(beats, 0, (1,)) == target_of(beats, 0, (-1,))).all()
# ```
#
# </details>
#
# **2. Another seed.** Train `context` once more, with `seed=10`. How far does its rank move? Which of
# the statements above survive?
#
# <details><summary>Solution</summary>
#
# ```python
# model, _ = train("context", seed=10)
# again = median_rank(model.encode)
# ```
#
# It goes from 90 to about 133: from the first place to the fourth, behind the composer model, but
# still ahead of the autoencoders. So one seed does not put the first four in order. The long runs
# were made with one seed as well: they compare seven trained networks, and only with care seven
# methods.
#
# </details>
#
# **3. Which guess is best?** Somebody knows how common each composer is and nothing else. Which
# probabilities should they give to make the mean cross-entropy smallest, and what is it then? Check
# that moving a little probability from one composer to another makes it worse.
#
# <details><summary>Solution</summary>
#
# The shares themselves: then the loss is $-\sum_j p_j \log p_j$, the *entropy* of the shares, 2.200
# at the top of this page.
#
# ```python
# def mean_loss(q):
#     return -(share * np.log(q)).sum()
#
#
# best = mean_loss(share)
# for i in range(10):
#     for j in range(10):
#         if i != j:
#             q = share.copy()
#             q[i] += 0.01
#             q[j] -= 0.01
#             assert mean_loss(q) > best
# ```
#
# </details>

# %% tags=["hide"]
beats = held_out[:50]
there = target_of(beats, 0, (-1, 1))
back = target_of(beats, 0, (1, -1))  # neighbours exchanged
assert (there == back).all()
assert not (target_of(beats, 0, (1,)) == target_of(beats, 0, (-1,))).all()

model, _ = train("context", seed=10)
again = median_rank(model.encode)
assert f"{ranks['context']:.0f}" == "90" and 125 < again < 145
others_ranks = sorted(ranks[name] for name in SEVEN if name != "context")
assert ranks["composer"] < others_ranks[2] < again < others_ranks[3] == ranks["note_drop"]


def mean_loss(q):
    return -(share * np.log(q)).sum()


best = mean_loss(share)
for i in range(10):
    for j in range(10):
        if i != j:
            q = share.copy()
            q[i] += 0.01
            q[j] -= 0.01
            assert mean_loss(q) > best
assert f"{best:.3f}" == "2.200"

# %% [markdown]
# ## What comes next
#
# Repeating the last unit is the simplest prediction. [Chapter 11](11_lstm_and_rank.md) builds the
# one that the paper uses: a network with a memory, which reads seven units and predicts the eighth.
