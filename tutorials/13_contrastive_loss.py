# %% [markdown]
# # 13. Appendix A: the contrastive loss
#
# Which unit comes next? With five candidates, repeating the last unit gives the right answer four
# times out of five, so such questions leave little to learn. This chapter asks harder ones.

# %% [markdown]
# **What you'll do.** Turn the test of chapter 11 into a loss; measure what five candidates leave to
# learn; compare with the whole batch instead, at a low temperature; train an encoder both ways.
#
# **What you'll learn.** The contrastive loss InfoNCE and its gradient; easy, hard and false
# negatives; what a temperature does; how to train an encoder without a decoder.
#
# **What you need.** [Chapter 7](07_candidate_loss.md) (the loss over candidates),
# [chapter 9](09_seven_models.md) (the context model), [chapter 11](11_lstm_and_rank.md) (the rank and
# its baseline), and 18 minutes.

# %% [markdown]
# ## What the paper says
#
# The paper trains and tests with different questions. Section 4.1 trains: which of five
# reconstructions belongs to this unit? Section 5.0.1 tests: which of 1,000 units comes after these
# seven?
#
# The paper does not train on the question of its test. Later work does. It is called **contrastive
# learning**: the embedding of the right answer, the *positive*, must be closer to a prediction than
# the embeddings of other units, the *negatives*. The usual loss for that is **InfoNCE**. It is
# chapter 7's loss with three changes: it compares embeddings instead of rolls, it takes its negatives
# from the whole batch, and its temperature is low.
#
# ## Questions
#
# An **excerpt** is a series of sixteen units of a piece, each four beats after the one before, none
# of them silent. We draw four excerpts from each of four pieces. The four excerpts of a piece are in
# the same random key.

# %%
import math

import lesson
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import tinyembed
from tinyembed.layers.gradcheck import cast

LENGTH, GIVEN, BEATS, PER_PIECE = 16, 7, 4, 4

music = lesson.corpus()


def excerpts_of(pieces):
    """Where excerpts begin: a list of (n,) arrays of beats, one for each piece that has enough."""
    found = []
    for piece in pieces:
        first = music.unit_beats([piece])
        first = first[: max(len(first) - BEATS * (LENGTH - 1), 0)]
        units = first[:, None] + BEATS * np.arange(LENGTH)  # (n, 16)
        first = first[music.has_onset(units).all(axis=1)]
        if len(first) >= PER_PIECE:
            found.append(first)
    return found


def draw_batch(excerpts, pieces, rng):
    """Four excerpts from each of some pieces: the first beat of every unit and its key, (N,) each."""
    share = np.array([len(first) for first in excerpts], float)
    drawn = rng.choice(len(excerpts), pieces, replace=False, p=share / share.sum())
    first = np.concatenate([rng.choice(excerpts[i], PER_PIECE, replace=False) for i in drawn])
    beats = first[:, None] + BEATS * np.arange(LENGTH)  # (excerpts, 16)
    return beats.ravel(), np.repeat(rng.integers(-5, 7, pieces), PER_PIECE * LENGTH)


def right_units(n):
    """Which of n units have seven before them in their excerpt, (N',): the last nine of sixteen."""
    return np.arange(n).reshape(-1, LENGTH)[:, GIVEN:].ravel()


learning = excerpts_of(np.flatnonzero(~music.piece_is_test))
held_out = excerpts_of(np.flatnonzero(music.piece_is_test))
rng = np.random.default_rng(13)
beats, keys = draw_batch(held_out, 4, rng)
rolls = music.rolls(beats, keys, dtype=float)  # (N, 60, 96)
piece = music.beat_piece[beats]  # (N,)

for p in dict.fromkeys(piece):
    print("in this batch:", music.names[p])

# %% [markdown]
# Each excerpt asks nine questions: given seven units, find the eighth. Until we train a predictor,
# every prediction is chapter 11's baseline, the embedding of the last given unit.
#
# | Symbol | Meaning | Shape |
# | --- | --- | --- |
# | $N$, $N'$ | units in the batch; questions, nine per excerpt | 256; 144 |
# | $D$ | numbers in an embedding | 100 |
# | $z$ | the embeddings of the batch; $z_j$ is that of unit $j$ | $(N, D)$ |
# | $y$ | the predictions; $y_n$ is that of question $n$ | $(N', D)$ |
# | $t$ | the right answers: unit $t_n$ answers question $n$ | $(N')$ |
# | $S$ | the cosines: $S_{nj}$ is that of $y_n$ and $z_j$ | $(N', N)$ |
# | $\tau$ | the temperature, in code `temperature` | |


# %%
def lengths(x):
    """(N, D) -> (N, 1)"""
    return np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)


encoder = cast(tinyembed.load("context"), float)  # float64: the same digits on every machine
z = encoder.encode(rolls)  # (N, D)
N, D = z.shape
t = right_units(N)  # (N',)
y = z[t - 1]  # (N', D): the unit before the right one
S = (y / lengths(y)) @ (z / lengths(z)).T  # (N', N)
each = np.arange(len(t))  # the rows of S
print(f"{len(t)} questions; prediction and right answer: mean cosine {S[each, t].mean():.2f}")

# %% [markdown]
# ## Easy negatives, hard negatives
#
# Here is one question, asked twice. Above, the three negatives come from other pieces, as most of the
# paper's do. Below, they come from elsewhere in the same piece. **Predict first:** which unit follows
# the last one, above and below? Where did it take you longer?

# %% alt="The last unit and four candidates a to d, in two rows: negatives from other pieces, and from the same piece"
n = 99
here = piece == piece[t[n]]
near = np.abs(beats - beats[t[n]]) < BEATS * (GIVEN + 1)  # this passage itself
easy = rng.choice(np.flatnonzero(~here), 3, replace=False)
hard = rng.choice(np.flatnonzero(here & ~near), 3, replace=False)

figure, axes = plt.subplots(2, 5, figsize=(9, 4.8), layout="constrained", sharey=True)
answers = []
for row, negatives in zip(axes, (easy, hard), strict=True):
    lesson.show_roll(row[0], rolls[t[n] - 1], "the last unit")
    for ax, j, letter in zip(row[1:], rng.permutation([t[n], *negatives]), "abcd", strict=True):
        lesson.show_roll(ax, rolls[j], letter)
        answers.append(f"{letter} {S[n, j]:.2f}{' (right)' if j == t[n] else ''}")
plt.show()
print("cosines above:", ", ".join(answers[:4]))
print("cosines below:", ", ".join(answers[4:]))

# %% [markdown]
# The units of other pieces are **easy negatives**: they are in another key and another style, and
# their cosines with the prediction are low. The units of the same piece are **hard negatives**: they
# are almost as similar to the last unit as the right answer is.
#
# ## False negatives
#
# Some negatives are too hard. A unit begins on every beat, so the batch may contain the unit that
# begins *one beat after* the right one. Three of its four beats are the same notes. Such a unit is a
# **false negative**: the loss would call one of the two right and the other wrong.

# %% alt="The right unit and a unit that begins one beat later; a frame marks the three beats that they share"
others = np.arange(N) != t[:, None]  # (N', N)
overlaps = (np.abs(beats - beats[t][:, None]) < BEATS) & others
print(f"questions with an overlapping unit in the batch: {100 * overlaps.any(axis=1).mean():.0f}%")

later = (beats == beats[t][:, None] + 1) & others
alike = np.where(later, np.minimum(S, S[each, t][:, None]), -1)
case, twin = np.unravel_index(alike.argmax(), alike.shape)  # where both cosines are high
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
shown = {"the last unit": t[case] - 1, "the right one": t[case], "one beat later": twin}
for ax, (name, j) in zip(axes, shown.items(), strict=True):
    cosine = "" if j == t[case] - 1 else f": cosine {S[case, j]:.2f}"
    lesson.show_roll(ax, rolls[j], name + cosine)
for ax, first in ((axes[1], 1), (axes[2], 0)):
    ax.add_patch(plt.Rectangle((first + 0.02, 0.3), 2.96, 59.4, fill=False, ec=lesson.INK, lw=2))
plt.show()

# %% tags=["hide"]
assert overlaps.any(axis=1).mean() > 0.6
assert abs(S[overlaps].mean() - S[each, t].mean()) < 0.05  # as similar as the right one
assert (rolls[t[case]][:, 24:] == rolls[twin][:, :72]).all()

# %% [markdown]
# The framed notes are the same. The seven given units must not be negatives either. A good
# prediction is similar to them, because music often continues as it was. So the training follows
# the rule of chapter 11's test: a candidate shares no beat with the right answer or with the seven
# units before it. Units that do are **hidden** from the question.


# %%
def hidden_units(beats, t):
    """beats: (N,), where units begin; t: (N',) -> (N', N), True where not to be compared with."""
    right = beats[t][:, None]  # (N', 1)
    passage = (beats > right - BEATS * (GIVEN + 1)) & (beats < right + BEATS)  # (N', N)
    return passage & (np.arange(len(beats)) != t[:, None])  # the right one is never hidden


hidden = hidden_units(beats, t)
print(f"hidden from a question: {hidden.sum(axis=1).mean():.1f} of {N} units, on average")

# %% tags=["hide"]
covered = [set(range(b, b + BEATS)) for b in beats]
for question in range(0, len(t), 7):
    start = beats[t[question]] - BEATS * GIVEN
    passage = set(range(start, start + BEATS * (GIVEN + 1)))  # the seven and the right one
    for unit in range(N):
        assert hidden[question, unit] == (bool(covered[unit] & passage) and unit != t[question])
assert not overlaps[~hidden].any()

# %% alt="A map of all questions and all units: hidden units, hard negatives in blocks, easy negatives elsewhere, and the right ones"
same_piece = piece[t][:, None] == piece  # (N', N)
kind = same_piece.astype(int)
kind[hidden] = 2
kind[each, t] = 3
names = ("easy negative: another piece", "hard negative: the same piece", "hidden", "right")
colours = ("#c9dcf0", "#f0bd94", "#ffffff", lesson.INK)
figure, ax = plt.subplots(figsize=(8.6, 4.4), layout="constrained")
ax.imshow(kind, aspect="auto", cmap=ListedColormap(colours), interpolation="nearest")
for colour, name in zip(colours, names, strict=True):
    ax.plot([], [], "s", ms=9, color=colour, mec=lesson.GREY, label=name)
ax.set(xlabel="unit j of the batch", ylabel="question n")
figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# Each row is a question, and each of the four blocks is a piece. Where white stripes lie outside the
# excerpt of the question, two excerpts of a piece overlap. (One kind of false negative remains:
# music that returns note for note elsewhere in the piece. The test counts such a tie as half, but
# the loss does not know about it.)
#
# ## The loss and its gradient
#
# The loss is the softmax cross-entropy of chapter 7. The sum in the denominator runs over all units
# that are not hidden:
#
# $$
# P_{nj} = \frac{e^{S_{nj} / \tau}}{\sum_{j' \text{ not hidden}} e^{S_{nj'} / \tau}}, \qquad
# L = -\frac{1}{N'} \sum_n \log P_{n t_n}, \qquad
# dS_{nj} = \frac{1}{N' \tau} \left( P_{nj} - [j = t_n] \right)
# $$
#
# ($[j = t_n]$ is 1 for the right unit, and 0 otherwise.) Predictions and units both receive a
# gradient. With $\hat y = y / |y|$, $\hat z = z / |z|$ and chapter 7's derivative of a cosine:
#
# $$
# dy_n = \frac{1}{|y_n|} \Big( \sum_j dS_{nj}\, \hat z_j
# - \hat y_n \sum_j dS_{nj} S_{nj} \Big), \qquad
# dz_j = \frac{1}{|z_j|} \Big( \sum_n dS_{nj}\, \hat y_n
# - \hat z_j \sum_n dS_{nj} S_{nj} \Big)
# $$


# %%
def contrastive_loss(y, z, t, hidden, temperature):
    """y: (N', D); z: (N, D); t: (N',); hidden: (N', N). Returns the loss and a cache."""
    S = (y / lengths(y)) @ (z / lengths(z)).T  # (N', N)
    logits = np.where(hidden, -1e4, S / temperature)  # exp of that is 0
    logits = logits - logits.real.max(axis=1, keepdims=True)  # P stays, and exp cannot overflow
    P = np.exp(logits)
    P = P / P.sum(axis=1, keepdims=True)
    return -np.log(P[np.arange(len(t)), t]).mean(), (y, z, t, temperature, S, P)


def cosine_gradient(cache):
    """dS: (N', N)"""
    *_, t, temperature, _, P = cache
    dS = P.copy()
    dS[np.arange(len(t)), t] -= 1
    return dS / (len(t) * temperature)


def contrastive_loss_backward(cache):
    """Returns dy, (N', D), and dz, (N, D)."""
    y, z, *_, S, _ = cache
    dS = cosine_gradient(cache)
    y_hat, z_hat = y / lengths(y), z / lengths(z)
    dy = dS @ z_hat - (dS * S).sum(axis=1)[:, None] * y_hat
    dz = dS.T @ y_hat - (dS * S).sum(axis=0)[:, None] * z_hat
    return dy / lengths(y), dz / lengths(z)


def complex_step(f, x, delta=1e-30):
    """The gradient of f at x, entry by entry. f: takes an array like x, returns one number."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * delta
        gradient[index] = f(stepped).imag / delta
    return gradient


small_y, small_z = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
small_t, small_hidden = np.array([4, 0, 2]), rng.random((3, 5)) < 0.3
small_hidden[np.arange(3), small_t] = False
small = small_t, small_hidden, 0.1
found = contrastive_loss_backward(contrastive_loss(small_y, small_z, *small)[1])
exact = (
    complex_step(lambda moved: contrastive_loss(moved, small_z, *small)[0], small_y),
    complex_step(lambda moved: contrastive_loss(small_y, moved, *small)[0], small_z),
)
for name, ours, right in zip(("dy", "dz"), found, exact, strict=True):
    error = np.abs(ours - right).max() / np.abs(right).max()
    print(f"{name} agrees with the complex step to 11 digits: {error < 1e-11}")

# %% [markdown]
# ## What five candidates leave to learn
#
# Five candidates are a special case of this loss: all units but five are hidden. So one function can
# compare both kinds of questions on our 144. We measure how long the gradient of each question's
# own loss is, with respect to the direction of its prediction. Call this length the **pull**. We
# average it over the questions that the baseline answers correctly (no negative is nearer than the
# right unit), and over the others. **Predict first:** with five candidates at temperature 1, by
# what factor do the two averages differ?


# %%
def all_but_five(hidden, t, rng):
    """Hide all but the right unit and four others, drawn from those that are not hidden."""
    rows = np.arange(len(t))
    lot = np.where(hidden, 2, rng.random(hidden.shape))
    lot[rows, t] = -1  # the five lowest are the candidates
    result = np.ones_like(hidden)
    result[rows[:, None], np.argsort(lot, axis=1)[:, :5]] = False
    return result


def pulls(hidden, temperature):
    """The pull of each question, (N',), and whether the baseline answers it correctly."""
    _, cache = contrastive_loss(y, z, t, hidden, temperature)
    dy, _ = contrastive_loss_backward(cache)
    return len(t) * (lengths(y) * lengths(dy))[:, 0], cache[-1].argmax(axis=1) == t


five = all_but_five(hidden, t, rng)
table = {}
print("                               correct   pull if correct   pull if not")
for name, not_seen in (("five candidates", five), ("the whole batch", hidden)):
    for temperature in (1, 0.1):
        pull, ok = pulls(not_seen, temperature)
        table[name, temperature] = ok.mean(), pull[ok].mean(), pull[~ok].mean()
        print(f"{name}, temperature {temperature:<5}", end="")
        print(f"{100 * ok.mean():4.0f}% {pull[ok].mean():17.2f} {pull[~ok].mean():13.2f}")

# %% tags=["hide"]
share, calm, busy = table["five candidates", 1]
assert 0.75 < share < 0.88 and 1 < busy / calm < 1.4
share, calm, busy = table["five candidates", 0.1]
assert busy > 4 * calm and share > 0.7
share, calm, busy = table["the whole batch", 1]
assert busy < 1.5 * calm and share < 0.35
share, calm, busy = table["the whole batch", 0.1]
assert busy > 1.3 * calm > 2 and share < 0.35
assert (five.sum(axis=1) == N - 5).all() and not five[each, t].any()
assert not (hidden & ~five).any()

# %% [markdown]
# Compare the two pulls within a row. (Between temperatures they cannot be compared, because of the
# factor $1 / \tau$. Adam ignores such a factor.)
#
# - **Five candidates, temperature 1.** Four questions out of five are answered by repeating the last
#   unit, before anything is learned. The loss pulls at these almost as strongly as at the others.
#   Its gradient is spent on pushing away negatives that are far away already.
# - **Five candidates, temperature 0.1.** Correct answers are pulled much less, but most answers are
#   correct, so few questions are left to learn from.
# - **The whole batch, temperature 1.** The questions are hard, but both kinds are pulled alike again.
#   At temperature 1 a cosine can raise a probability by a factor of $e$ at most (chapter 7).
# - **The whole batch, temperature 0.1.** Most questions are open, and these are pulled more strongly.
#
# ## What the temperature does
#
# Apart from the factor $1 / (N' \tau)$, $dS_{nj}$ of a negative is its probability. So each negative
# pushes the prediction away in proportion to its probability. Here are the negatives of the question
# above, and the share of the push that each one has.

# %% alt="Left, the cosine of each negative of one prediction; right, the share of the push that each has, at four temperatures" tags=["thumbnail"]
negatives = np.flatnonzero(~hidden[n] & others[n])
negatives = negatives[np.argsort(-S[n, negatives])]  # nearest first
place = np.arange(1, len(negatives) + 1)
of_piece = same_piece[n, negatives]


def push_shares(temperature):
    """The share of each negative in the push on each prediction: (N', N)."""
    _, cache = contrastive_loss(y, z, t, hidden, temperature)
    P = np.where(others, cache[-1], 0)
    return P / P.sum(axis=1, keepdims=True)


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.axhline(S[n, t[n]], color=lesson.INK, lw=1, ls="--", label="the right unit")
for own, colour, label in (
    (of_piece, lesson.ORANGE, "the same piece"),
    (~of_piece, lesson.BLUE, "other pieces"),
):
    left.plot(place[own], S[n, negatives][own], "o", ms=4, color=colour, label=label)
left.set(xlabel="negatives, nearest first", ylabel="cosine with the prediction")
for temperature, style in ((1, ":"), (0.3, "--"), (0.1, "-"), (0.03, "-.")):
    share = push_shares(temperature)[n, negatives]
    label = f"$\\tau$ = {temperature}"
    right.plot(place, share, style, color=lesson.INK, lw=1.8, label=label)
right.set(xscale="log", xlabel="negatives, nearest first", ylabel="share of the push")
right.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], [1, 2, 5, 10, 20, 50, 100, 200])
right.minorticks_off()
for ax in (left, right):
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

print("share of the push             nearest   ten nearest   same piece")
for temperature in (1, 0.3, 0.1, 0.03):
    shares = push_shares(temperature)
    ranked = np.sort(shares, axis=1)[:, ::-1]
    columns = ranked[:, 0], ranked[:, :10].sum(axis=1), (shares * same_piece).sum(axis=1)
    columns = 100 * np.stack(columns)  # (3, N'), in percent
    for which, column in (("mean", columns.mean(axis=1)), ("this question", columns[:, n])):
        nearest, ten, own = column
        print(f"temperature {temperature:<5}{which:14s}{nearest:4.0f}% {ten:12.0f}% {own:11.0f}%")

# %% tags=["hide"]
hot, cold, coldest = push_shares(1), push_shares(0.1), push_shares(0.03)
assert np.sort(hot, axis=1)[:, -10:].sum() / len(t) < 0.1 and hot[same_piece].sum() / len(t) < 0.3
assert np.sort(cold, axis=1)[:, -10:].sum() / len(t) > 0.5 and cold[same_piece].sum() / len(t) > 0.7
assert 0.45 < coldest.max(axis=1).mean() < 0.55  # half, on average
assert 0.18 < coldest[n].max() < 0.28  # a quarter in the picture
assert hidden[n].sum() + len(negatives) + 1 == N and len(negatives) > 200

# %% [markdown]
# At temperature 1 all negatives push about equally. Together they push the prediction away from the
# average of all units, which is nearly the same direction for every question. At 0.1, ten of more
# than 200 negatives do most of the pushing, and most of them are of the same piece. At 0.03 the
# nearest negative alone does half of the pushing on average over the questions, and about a quarter
# in the question drawn. Then training depends on single negatives, and some of these are accidents.
#
# This is why a batch holds several excerpts of each piece in *one key*: it needs hard negatives, and
# recognizing the key must not be enough.
#
# ## The predictor
#
# The simplest predictor that sees all seven units is one matrix. As in chapter 11 it adds a
# correction to the last unit:
#
# $$
# y_n = z_{t_n - 1} + [z_{t_n - 7}, \ldots, z_{t_n - 1}]\, W + b
# $$
#
# The brackets put seven embeddings side by side, so $W$ has the shape $(7D, D)$. Its first weights
# are close to 0, so training starts from the baseline. A unit occurs in up to seven windows, and in
# many comparisons. All its gradients are added.


# %%
def predict(z, W, b):
    """z: (N, D), excerpts of 16 units. Returns y, (N', D), and a cache."""
    t = right_units(len(z))
    given = t[:, None] - np.arange(GIVEN, 0, -1)  # (N', 7): the units before each right one
    x = z[given].reshape(len(t), -1)  # (N', 7D)
    return z[t - 1] + x @ W + b, (z.shape, given, x, W)


def predict_backward(dy, cache):
    """Returns dz, (N, D), dW and db."""
    shape, given, x, W = cache
    dgiven = (dy @ W.T).reshape(*given.shape, -1)  # (N', 7, D)
    dgiven[:, -1] += dy  # of the last unit itself
    dz = np.zeros(shape, dy.dtype)
    np.add.at(dz, given, dgiven)  # adds also where an index occurs more than once
    return dz, x.T @ dy, dy.sum(axis=0)


def excerpt_loss(z, W, b, t, hidden, temperature):
    """Predict, then compare. Returns the loss and a cache."""
    y, predict_cache = predict(z, W, b)
    L, cache = contrastive_loss(y, z, t, hidden, temperature)
    return L, (predict_cache, cache)


def excerpt_loss_backward(cache):
    """Returns dz, (N, D), dW and db."""
    dy, dz = contrastive_loss_backward(cache[1])
    dz_predict, dW, db = predict_backward(dy, cache[0])
    return dz + dz_predict, dW, db


small = {
    "z": rng.standard_normal((2 * LENGTH, 3)),
    "W": rng.standard_normal((GIVEN * 3, 3)),
    "b": rng.standard_normal(3),
}
small_t = right_units(2 * LENGTH)
rest = small_t, hidden[: len(small_t), : 2 * LENGTH], 0.1
found = excerpt_loss_backward(excerpt_loss(*small.values(), *rest)[1])
for name, ours in zip(small, found, strict=True):
    exact = complex_step(
        lambda moved, name=name: excerpt_loss(*(small | {name: moved}).values(), *rest)[0],
        small[name],
    )
    error = np.abs(ours - exact).max() / np.abs(exact).max()
    print(f"d{name}: {exact.size} numbers agree to 10 digits: {error < 1e-10}")

# %% [markdown]
# That is the whole model. It has no decoder and no target roll, because it compares embeddings with
# embeddings.
#
# ## Train it both ways
#
# Now we train the encoder and the predictor together, from random weights, twice: with five
# candidates at temperature 1, and with the whole batch at 0.1. Everything else is equal: the first
# weights, the excerpts and the number of steps. To keep it short, a batch is two pieces (128 units),
# the encoder is narrow, and an embedding has 32 numbers. The predictor has a smaller learning rate,
# because with so few pieces it would overfit.

# %%
from tinyembed.layers.layer import Parameter
from tinyembed.models.networks import build_encoder
from tinyembed.models.table import Width
from tinyembed.training.optimizers import Adam, Flat

WIDE, PIECES, STEPS = 32, 2, 280


def train(five_candidates, temperature, seed=0):
    """Returns the encoder, W and b, and the loss of every step."""
    rng, order = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    encoder = cast(build_encoder(Width(conv=(4, 8, 8, 16), dense=(WIDE,)), rng), float)
    W = Parameter(0.01 * rng.standard_normal((GIVEN * WIDE, WIDE)) / math.sqrt(GIVEN * WIDE))
    b = Parameter(np.zeros(WIDE))
    optimizers = (Adam(Flat(encoder.parameters())), 0.02), (Adam(Flat([W, b])), 0.0003)
    losses = []
    for step in range(STEPS):
        beats, keys = draw_batch(learning, PIECES, order)
        t = right_units(len(beats))
        hidden = hidden_units(beats, t)
        if five_candidates:
            hidden = all_but_five(hidden, t, rng)
        rolls = music.rolls(beats, keys, dtype=float)
        z, encoder_cache = encoder.forward(rolls[..., None], training=True)  # (N, 32)
        L, cache = excerpt_loss(z, W.value, b.value, t, hidden, temperature)
        dz, dW, db = excerpt_loss_backward(cache)
        encoder.backward(dz, encoder_cache)  # adds to its gradients
        W.grad += dW
        b.grad += db
        for adam, rate in optimizers:
            adam.step(rate * (1 + math.cos(math.pi * step / STEPS)) / 2)
        losses.append(L)
    return encoder, W.value, b.value, np.array(losses)


print(f"{len(learning)} pieces to learn from, {len(held_out)} held out")
trained = {"five candidates": train(True, 1), "the whole batch": train(False, 0.1)}
for name, (*_, losses) in trained.items():
    print(f"{name}: mean loss of the first 5 steps {losses[:5].mean():.2f}, "
          f"of the last 20 {losses[-20:].mean():.2f}")  # fmt: skip

# %% [markdown]
# The two losses cannot be compared: guessing gives $\log 5 = 1.61$ in one case, and about 4.7, the
# logarithm of about a hundred, in the other. (The second loss starts above that: at a low
# temperature an untrained network is confident and wrong.) But both networks can take the test of
# chapter 11, on the pieces held out: rank the right eighth unit, once among all units of these
# pieces, and once among the units of its own piece that are not hidden. (Ranks are scaled to 999 negatives.)

# %%
parts, sequences = [], []  # N' sequences of eight units, among N units
for p in np.flatnonzero(music.piece_is_test):
    first, row = music.unit_beats([p]), sum(len(part) for part in parts)
    start = np.arange(max(len(first) - BEATS * GIVEN, 0))
    start = start[music.has_onset(first[start + BEATS * GIVEN])]  # a silent unit cannot be found
    sequences.append(row + start[:, None] + BEATS * np.arange(GIVEN + 1))
    parts.append(first)
test_beats, sequences = np.concatenate(parts), np.concatenate(sequences)  # (N,), (N', 8)
test_rolls = music.rolls(test_beats, dtype=float)
test_piece = music.beat_piece[test_beats]  # (N,)

test_t = sequences[:, -1]
allowed = np.tile(music.has_onset(test_beats), (len(test_t), 1))  # (N', N)
allowed[np.arange(len(test_t)), test_t] = False
allowed_in_piece = allowed & (test_piece[test_t][:, None] == test_piece)
allowed_in_piece &= ~hidden_units(test_beats, test_t)


def median_rank(y, z, allowed):
    """y: (N', D); z: (N, D); allowed: (N', N), the negatives. 0 is best."""
    S = (y / lengths(y)) @ (z / lengths(z)).T  # (N', N)
    own = S[np.arange(len(y)), test_t][:, None]
    ahead = ((S > own + 1e-6) & allowed).sum(axis=1)
    tied = ((np.abs(S - own) <= 1e-6) & allowed).sum(axis=1)
    count = allowed.sum(axis=1)
    return np.median(((ahead + tied / 2) * 999)[count > 0] / count[count > 0])


medians = {}
print(f"median ranks of {len(test_t):,} sequences           all units   same piece")
for name, (encoder, W, b, _) in trained.items():
    blocks = np.array_split(test_rolls, 20)
    test_z = np.concatenate([encoder.forward(block[..., None])[0] for block in blocks])
    last = test_z[sequences[:, -2]]
    predicted = last + test_z[sequences[:, :-1]].reshape(len(last), -1) @ W + b
    for what, guess in (("predictor", predicted), ("baseline", last)):
        ranks = [median_rank(guess, test_z, which) for which in (allowed, allowed_in_piece)]
        medians[name, what] = ranks
        print(f"{name + ', ' + what:36s} {ranks[0]:10.4g} {ranks[1]:12.4g}")

# %% alt="Median ranks of both networks, with the predictor and with the baseline, among all units and in the same piece"
figure, axes = plt.subplots(1, 2, figsize=(9, 2.4), layout="constrained", sharey=True)
for k, (ax, title) in enumerate(zip(axes, ("all units", "units of the same piece"), strict=True)):
    for line, name in enumerate(trained):
        ranks = [medians[name, what][k] for what in ("predictor", "baseline")]
        ax.plot(ranks, [line, line], color="#cccccc", zorder=0)
        ax.plot(ranks[0], line, "o", color=lesson.INK, label="" if line else "predictor")
        ax.plot(ranks[1], line, "s", color=lesson.GREY, label="" if line else "baseline")
    most = max(ranks[k] for ranks in medians.values())
    ax.set(xlim=(0, 1.08 * most), ylim=(1.5, -0.5), xlabel="median rank; guessing: 499.5")
    ax.set_title(f"among {title}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks([0, 1], trained)
axes[0].legend(frameon=False, loc="lower left")
plt.show()

# %% tags=["hide"]
for k in range(2):
    for what in ("predictor", "baseline"):
        assert medians["the whole batch", what][k] < 0.95 * medians["five candidates", what][k]
for name in trained:
    predicted, in_piece = medians[name, "predictor"]
    repeated, in_piece_again = medians[name, "baseline"]
    assert predicted < 0.97 * repeated and in_piece > 0.98 * in_piece_again
small_beats, _ = draw_batch(learning, PIECES, np.random.default_rng(0))
compared = (~hidden_units(small_beats, right_units(len(small_beats)))).sum(axis=1)
assert len(small_beats) == 128 and abs(np.log(compared).mean() - 4.7) < 0.1

# %% [markdown]
# With the same music, network and number of steps, the harder question gives the better embedding,
# on both tests. It is the embedding that has improved: the baseline, which has no predictor, gains as
# much as the predictor does.
#
# The predictor itself adds a little among all units and nothing in the same piece, with either loss.
# Chapter 11 found the same for its LSTM: how a piece continues cannot be learned from 25 pieces.
# Chapter 14 shows what the same loss does with more music.
#
# ## The package does the same
#
# [`ContrastiveLoss`](../tinyembed/layers/contrastive_loss.py) is the loss, and
# [`ExcerptContrast`](../tinyembed/models/contrastive.py) adds the predictor and hides units.
# `ExcerptExamples` in [excerpts.py](../tinyembed/training/excerpts.py) draws the excerpts.

# %%
from tinyembed.layers.contrastive_loss import ContrastiveLoss
from tinyembed.models.contrastive import ExcerptContrast
from tinyembed.models.table import MODELS
from tinyembed.training.excerpts import ExcerptExamples

spec = MODELS["contrastive"]
layer = cast(ExcerptContrast(LENGTH, D, spec.temperature, np.random.default_rng(0)), float)
W, b = layer.predict.weight, layer.predict.bias
W.value = W.value + 0.01 * rng.standard_normal(W.value.shape)
b.value = 0.01 * rng.standard_normal(D)
L, cache = excerpt_loss(z, W.value, b.value, t, hidden, spec.temperature)
their_L, their_cache = layer.forward(z, beats)  # it finds by itself what to hide
assert np.isclose(L, their_L, rtol=1e-12)
their_dz = layer.backward(their_cache)
for ours, theirs in zip(excerpt_loss_backward(cache), (their_dz, W.grad, b.grad), strict=True):
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-13)

L, cache = contrastive_loss(y, z, t, five, 1)
their_loss = ContrastiveLoss(temperature=1)
their_L, their_cache = their_loss.forward(y, z, t, five)
assert np.isclose(L, their_L, rtol=1e-12)
their_gradients = their_loss.backward(their_cache)
for ours, theirs in zip(contrastive_loss_backward(cache), their_gradients, strict=True):
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-13)

examples = ExcerptExamples(music, spec, np.flatnonzero(~music.piece_is_test))
assert set(np.concatenate(learning)) <= set(examples.starts)
print("the same loss, the same gradients, the same excerpts")
print(f"the package: temperature {spec.temperature}, excerpts of {spec.excerpt} units, "
      f"batches of {spec.batch_size}")  # fmt: skip

# %% tags=["hide"]
assert (spec.excerpt, spec.temperature, spec.batch_size) == (LENGTH, 0.1, 8 * PER_PIECE * LENGTH)

# %% [markdown]
# `python -m tinyembed.train --model contrastive` trains this model on your own music.
#
# ## Exercises
#
# **1. Why 0.1?** In a batch of 512, let the right unit have the cosine 1 with the prediction, and all
# 511 others the cosine 0. Which probability does the right unit get at temperature 1? At which
# temperature does it get 0.99?
#
# <details><summary>Solution</summary>
#
# $P = 1 / (1 + 511 e^{-1 / \tau})$. It is 0.99 where $511 e^{-1 / \tau} = 1 / 99$.
#
# ```python
# print(f"{1 / (1 + 511 * math.exp(-1)):.3f}")
# print(f"{1 / math.log(99 * 511):.3f}")
# ```
#
# At temperature 1 a perfect network gives the right unit the probability 0.005. For 0.99 the
# temperature has to be 0.092. So a temperature of about 0.1 lets cosines express certainty among
# some hundred candidates.
#
# </details>
#
# **2. Learn the temperature.** What is the derivative of the loss with respect to $\tau$? Check it at
# 0.1. At which temperature, to 0.01, is the loss of the baseline smallest on our questions? What
# happens to the loss of perfect predictions, $y_n = z_{t_n}$, as the temperature falls?
#
# <details><summary>Solution</summary>
#
# The loss depends on $\tau$ only through $S / \tau$, so $d\tau = -\frac{1}{\tau} \sum_{nj} dS_{nj} S_{nj}$.
#
# ```python
# _, cache = contrastive_loss(y, z, t, hidden, 0.1)
# by_hand = -(cosine_gradient(cache) * S).sum() / 0.1
# stepped = contrastive_loss(y, z, t, hidden, 0.1 + 1e-30j)[0].imag / 1e-30
# print(f"by hand {by_hand:.3f}, by the complex step {stepped:.3f}")
# grid = np.arange(0.05, 0.31, 0.01)
# losses = [contrastive_loss(y, z, t, hidden, value)[0] for value in grid]
# print(f"smallest at {grid[np.argmin(losses)]:.2f}")
# for value in (0.2, 0.1, 0.05):
#     perfect = contrastive_loss(z[t], z, t, hidden, value)[0]
#     print(f"perfect predictions at {value}: {perfect:.3f}")
# ```
#
# Both derivatives are -1.266. The baseline's loss is smallest at 0.11. For perfect predictions it
# falls from 2.012 at 0.2 to 0.706 at 0.1 and 0.166 at 0.05. So a learned temperature falls as the
# predictions improve. The package keeps it fixed.
#
# </details>
#
# **3. Without the rule.** Hide nothing but the right unit itself. At temperature 0.1, what share of
# the push comes, on average, from units that `hidden_units` would have hidden?
#
# <details><summary>Solution</summary>
#
# ```python
# _, cache = contrastive_loss(y, z, t, np.zeros_like(hidden), 0.1)
# P = np.where(others, cache[-1], 0)
# P = P / P.sum(axis=1, keepdims=True)
# print(f"{hidden.mean():.2f} of the units, {P[hidden].sum() / len(t):.2f} of the push")
# ```
#
# They are 0.09 of the units, and 0.72 of the push comes from them. (The prediction here is the
# embedding of the last given unit, so that unit has the cosine 1 with it.) A low temperature
# concentrates on hard negatives, so it concentrates on false ones if they are let in.
#
# </details>
#
# ## Further reading
#
# - Aaron van den Oord, Yazhe Li and Oriol Vinyals, *Representation Learning with Contrastive
#   Predictive Coding*, 2018: where InfoNCE comes from. It predicts the embeddings of what follows, as
#   this chapter does.
# - Ting Chen, Simon Kornblith, Mohammad Norouzi and Geoffrey Hinton, *A Simple Framework for
#   Contrastive Learning of Visual Representations*, 2020: a batch as the source of negatives, and
#   experiments with the temperature.
# - Feng Wang and Huaping Liu, *Understanding the Behaviour of Contrastive Loss*, 2021: how the
#   temperature weights hard negatives.
#
# ## What comes next
#
# [Chapter 14](14_counts_and_results.md) gives the encoder something that convolutions cannot compute,
# counts of intervals, and shows what the model reaches when it is trained on 368 pieces.
