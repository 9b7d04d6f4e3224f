# %% [markdown]
# # 11. An LSTM by hand, and the rank among 1,000
#
# Seven units of a polonaise have sounded, and a thousand units lie on the table: which one comes
# next? The hardest rival of a network with a memory turns out to be someone who always says "the
# same again".

# %% [markdown]
# **What you'll do.** Rank the right unit among 1,000 with no network at all; build an LSTM and its
# backward pass; train it before your eyes, and see why at first it loses.
#
# **What you'll learn.** How a cell of four gates keeps something in mind; backpropagation through
# time; why a better loss can mean a worse rank; how to be fair to a simple answer.
#
# **What you need.** [Chapter 2](02_fully_connected.md) (gradients, the complex step), [chapter
# 6](07_candidate_loss.md) (the cosine, a loss by comparison), [chapter 9](09_seven_models.md) (the
# context model), and 25 minutes.

# %% [markdown]
# ## What the paper says
#
# Section 5.0.1 tests whether an embedding is of use for composing. A network of three LSTM layers
# is shown the embeddings of seven units that follow one another, 28 beats of music. It answers with
# 100 numbers, its guess of the eighth embedding. Then the true eighth is put among 999 embeddings
# of random units, and all 1,000 are sorted by their cosine with the guess. The place of the true
# one is the **rank**: 0 is best.
#
# The paper does not say what the simplest possible answers score. That is where we begin.
#
# ## Eight units of real music

# %%
import json

import lesson
import matplotlib.pyplot as plt
import numpy as np

import tinyembed
from tinyembed.layers.gradcheck import cast

music = lesson.corpus()
polonaise = music.names.index("Clara Schumann/polonaise_op1n4.mxl")
beats = music.unit_beats([polonaise])  # the first beat of each of its units, one unit a beat
eight = beats[73] + 4 * np.arange(8)  # eight units, each four beats after the one before
rolls = music.rolls(eight)  # (8, 60, 96)

# %% tags=["thumbnail"] alt="Eight units of a polonaise: seven are given, one is to find"
figure, ax = plt.subplots(figsize=(9, 3), layout="constrained")
lesson.show_roll(ax, np.concatenate(list(rolls), axis=1), onset_width=10)
for i in range(8):
    ax.axvline(4 * i, color=lesson.INK, lw=1)
    name = f"$U_{{i+{i}}}$" if i else "$U_i$"
    ax.text(4 * i + 2, 61, name, ha="center", va="bottom", color=lesson.INK)
ax.axvspan(28, 32, color=lesson.ORANGE, alpha=0.2, lw=0)
ax.set_xlabel("beat; the shaded unit is the one to find")
plt.show()

# %% [markdown]
# ## A hundred numbers a unit
#
# The context model of chapter 9 comes trained with the package. Its encoder turns a unit $U$ into
# $h(U)$, 100 numbers. It learned from piano music; the quartets, songs and chorales here are new to
# it. (We compute in double precision, so that your machine prints the same digits as ours.)
#
# Now everything is an array. Row $r$ of `E` is the embedding of one unit. The rows of a piece
# follow each other, one a beat, so a *sequence* of eight units is eight row numbers, four apart.

# %%
encoder = cast(tinyembed.load("context"), float)


def lay_out(pieces):
    """The units of some pieces, one a row: embeddings E (R, 100), first beats (R,), sequences (S, 8)
    of row numbers, and of each sequence the rows of its piece: (S, 2), first and end.
    """
    parts, sequences, of_piece, row = [], [], [], 0
    for piece in pieces:
        beats = music.unit_beats([piece])
        first = np.arange(max(len(beats) - 28, 0))  # seven more must follow: 28 beats
        first = first[music.has_onset(beats[first + 28])]  # a silent eighth cannot be found
        sequences.append(row + first[:, None] + 4 * np.arange(8))
        of_piece += [(row, row + len(beats))] * len(first)
        parts.append(beats)
        row += len(beats)
    beats = np.concatenate(parts)
    E = encoder.encode(music.rolls(beats, dtype=float), batch_size=200)
    return E, beats, np.concatenate(sequences), np.array(of_piece)


training_E, _, training_sequences, _ = lay_out(np.flatnonzero(~music.piece_is_test))
E, E_beats, sequences, of_piece = lay_out(np.flatnonzero(music.piece_is_test))

print(f"training: {len(training_E):,} embeddings, {len(training_sequences):,} sequences")
print(f"test:     {len(E):,} embeddings, {len(sequences):,} sequences, of other pieces")

# %% [markdown]
# ## The rank, before any network
#
# | Symbol | Meaning | Shape |
# | --- | --- | --- |
# | $N$ | sequences in a batch; $S$ of them in the whole test | |
# | $D$ | numbers in an embedding | 100 |
# | $T$ | steps: units that are given | 7 |
# | $x_t$ | the embedding of the unit at step $t$ | (N, D) |
# | $y$ | the prediction | (N, D) |
# | $q$ | the target: the embedding of the eighth unit | (N, D) |
#
# The rank is a count: how many of the 999 others are more similar to the prediction than the right
# one is? A candidate may be *exactly* as similar, since music repeats itself to the note. Such a
# tie counts half.
#
# $$
# \mathrm{rank} = \sum_{j=1}^{999} \left( [s_j > s_0] + \tfrac{1}{2} [s_j = s_0] \right),
# \qquad s_j = \cos(y, q_j),
# $$
#
# where $q_0$ is the right one, $q_1 \ldots q_{999}$ are the others, and $[\ldots]$ is 1 if true and
# 0 if not.

# %%
TIE = 1e-6  # cosines closer than this are equal; the rest is rounding


def unit_length(x):
    """(N, D) -> (N, D), each row divided by its length."""
    return x / np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)


def ranks(prediction, candidates):
    """prediction: (S, D); candidates: (S, 999) rows of E -> (S,), 0 is best."""
    similarity = unit_length(prediction) @ unit_length(E).T  # (S, R)
    own = np.take_along_axis(similarity, sequences[:, -1:], axis=1)  # (S, 1)
    others = np.take_along_axis(similarity, candidates, axis=1)  # (S, 999)
    return (others > own + TIE).sum(axis=1) + (abs(others - own) <= TIE).sum(axis=1) / 2


# %% [markdown]
# The 999 others are drawn from all units of the test pieces, as in the paper.

# %%
rng = np.random.default_rng(0)
sounding = np.flatnonzero(music.has_onset(E_beats))  # rows whose unit is not silent
random_units = np.empty((len(sequences), 999), int)
for s, right in enumerate(sequences[:, -1]):
    random_units[s] = rng.choice(sounding[sounding != right], 999, replace=False)

# %% [markdown]
# Who knows nothing has a rank of 499.5 on average: half of the others are ahead. Now three answers
# that need no training at all:
#
# - **a random unit** of the test pieces,
# - **the last unit again**: what has just sounded, $x_7$,
# - **the mean of the seven**: a bit of everything that has sounded.
#
# Predict first: which median rank does "the last unit again" get, out of 999? The *median* is the
# rank that half of the sequences stay at or below.

# %%
given = E[sequences[:, :-1]]  # (S, 7, D)
target = E[sequences[:, -1]]  # (S, D)
answers = {
    "a random unit": E[rng.integers(len(E), size=len(sequences))],
    "the last unit again": given[:, -1],
    "the mean of the seven": given.mean(axis=1),
}


def show(names, candidates):
    print(f"{'':26s}median rank   mean cosine with the right one")
    for name in names:
        median = np.median(ranks(answers[name], candidates))
        print(f"{name:26s}{median:11.4g}   {mean_cosine(answers[name]):.3f}")


def mean_cosine(prediction):
    return (unit_length(prediction) * unit_length(target)).sum(axis=1).mean()


show(answers, random_units)

# %% tags=["hide"]
random_rank, last_rank, mean_rank = (np.median(ranks(a, random_units)) for a in answers.values())
assert abs(random_rank - 499.5) < 60
assert last_rank < 100 and mean_rank < 100 and last_rank < mean_rank

assert mean_cosine(answers["the mean of the seven"]) > mean_cosine(answers["the last unit again"])

# %% [markdown]
# Saying the same again puts the right unit among the first few dozen of a thousand. A network that
# reaches the same rank has learned nothing that one could not say without it, so **this is the
# number to beat**, not 499.5.
#
# One thing is odd, and will matter. The mean of the seven has the *better* cosine with the right
# unit, and the *worse* rank. Keep it in mind.
#
# The count itself can be checked by sorting, the way the paper words it:

# %%
guess = unit_length(given[:, -1])  # (S, D)
counted = ranks(given[:, -1], random_units)
for s in range(0, len(sequences), 50):
    right = sequences[s, -1]
    similarity = (
        unit_length(E[[right, *random_units[s]]]) @ guess[s]
    )  # (1000,), the right one first
    best_first = np.sort(similarity)[::-1]
    tied = np.flatnonzero(
        abs(best_first - similarity[0]) <= TIE
    )  # their places, the right one's too
    assert tied.mean() == counted[s]  # between those that tie
print("sorting gives the same ranks as counting")

# %% [markdown]
# ## A cell that remembers
#
# What could be better than the last unit? Somebody who has heard all seven, and noticed that two
# ideas take turns. That needs a memory.
#
# A **long short-term memory** (LSTM) reads the sequence a step at a time. It carries two arrays
# from step to step: $c$, the *cell state*, which is the memory, and $h$, the *output*, which is the
# part of it that the cell shows. Each is $K$ numbers for each example. At each step, four things
# are computed from the new input $x$ and from what was shown last, $h'$:
#
# $$
# (z_i, z_f, z_g, z_o) = x W_x + h' W_h + b
# $$
#
# $$
# i = \sigma(z_i), \quad f = \sigma(z_f), \quad g = \tanh(z_g), \quad o = \sigma(z_o)
# $$
#
# and then the memory is rewritten, and partly shown:
#
# $$
# c = f c' + i g, \qquad h = o \tanh(c)
# $$
#
# | Symbol | Meaning | Shape |
# | --- | --- | --- |
# | $\sigma(z)$ | sigmoid, $1 / (1 + e^{-z})$: any number to between 0 and 1 | |
# | $\tanh(z)$ | any number to between -1 and 1 | |
# | $c'$, $h'$ | $c$ and $h$ of the step before; 0 before the first | (N, K) |
# | $g$ | what could be written into the memory | (N, K) |
# | $i$ | input gate: how much of $g$ is written | (N, K) |
# | $f$ | forget gate: how much of $c'$ is kept (1: all, 0: nothing) | (N, K) |
# | $o$ | output gate: how much of the memory is shown | (N, K) |
# | $W_x$, $W_h$, $b$ | weights and bias, the four blocks side by side | (D, 4K), (K, 4K), (4K,) |
#
# Products like $f c'$ are number by number. A *gate* is a multiplication by something between 0 and
# 1: shut or open, or anything in between, and the network decides at every step anew.


# %%
def sigmoid(z):
    return 0.5 * np.tanh(0.5 * z) + 0.5  # the same as 1 / (1 + exp(-z)), and nothing overflows


def step(x, h, c, W_x, W_h, b):
    """x: (N, D); h, c: (N, K), of the step before -> h, c of this step, and what backward needs."""
    z_i, z_f, z_g, z_o = np.split(x @ W_x + h @ W_h + b, 4, axis=1)  # (N, K) each
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c_new = f * c + i * g  # (N, K): keep some, write some
    h_new = o * np.tanh(c_new)  # (N, K): show some
    return h_new, c_new, (x, h, c, i, f, g, o, c_new)


# %% [markdown]
# To see it work, here is one cell ($K = 1$) with weights set by hand. Its input is one number: 1
# where a note sounds, 0 where not. The input gate opens on a note ($z_i = 10 x - 5$) and
# $g = \tanh(3x)$. The only note is in the first of seven steps. How much of it is left at the end
# depends on one number, the bias $b_f$ of the forget gate:

# %% alt="The memory of one note over seven steps, for four biases of the forget gate"
figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
colours = ["#c05621", "#888888", "#2b6cb0", "#222222"]
for b_f, colour, marker in zip([-1, 0, 1, 3], colours, "osD^", strict=True):
    W_x = np.array([[10.0, 0, 3, 0]])  # i, f, g, o
    W_h, b = np.zeros((1, 4)), np.array([-5.0, b_f, 0, 5])
    h, c, memory = np.zeros((1, 1)), np.zeros((1, 1)), []
    for x in [1, 0, 0, 0, 0, 0, 0]:
        h, c, _ = step(np.array([[float(x)]]), h, c, W_x, W_h, b)
        memory.append(c.item())
    print(f"b_f = {b_f:2d}: keeps {sigmoid(b_f):.3f} a step, and {memory[-1]:.3f} until the end")
    ax.plot(range(1, 8), memory, color=colour, marker=marker, label=f"$b_f = {b_f}$")
    assert np.isclose(memory[-1] / memory[0], sigmoid(b_f) ** 6)
ax.set_xlabel("step (the note is in the first)")
ax.set_ylabel("the memory $c$")
ax.set_ylim(0, 1.05)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# With a bias of 0 the gate stands half open and after six more steps the note is all but forgotten:
# $0.5^6$ is under two percent. So the forget gate's bias *starts* at 1. From there, training may
# open it further or close it.
#
# ## Seven steps forward
#
# A layer runs the same step seven times, with the same weights. We write the whole network in one
# function: the LSTM, then a fully connected layer from its last output $h_7$ to the 100 numbers of
# a prediction.
#
# $$
# y = h_7 W_y + b_y
# $$
#
# Embeddings come in different sizes, so the input is first brought to mean 0 and standard deviation
# 1, each of its 100 numbers over all training units.

# %%
D, K = E.shape[1], 40


def new_weights(seed):
    rng = np.random.default_rng(seed)
    weights = {
        "W_x": rng.standard_normal((D, 4 * K)) / np.sqrt(D),
        "W_h": rng.standard_normal((K, 4 * K)) / np.sqrt(K),
        "b": np.zeros(4 * K),
        "W_y": 0.01 * rng.standard_normal((K, D)) / np.sqrt(K),
        "b_y": np.zeros(D),
    }
    weights["b"][K : 2 * K] = 1  # the forget gate starts open
    return weights


def lstm_forward(x, w):
    """x: (T, N, D), the inputs of all steps -> h: (N, K), the last output, and a cache."""
    N, K = x.shape[1], len(w["W_h"])
    h, c, cache = np.zeros((N, K)), np.zeros((N, K)), []
    for x_t in x:
        h, c, kept = step(x_t, h, c, w["W_x"], w["W_h"], w["b"])
        cache.append(kept)
    return h, cache


# %% [markdown]
# ## Backward, from the last step to the first
#
# As always, $dh$ stands for the gradient of the loss $L$ with respect to $h$: one number for each
# of its numbers, saying how much $L$ grows when that one grows a little. We get $dh$ from above and
# go through the step from its end to its beginning, line by line.
#
# **$h = o \tanh(c)$** has two factors. Each gets $dh$ times the other one; and the slope of $\tanh$
# is $1 - \tanh^2$:
#
# $$
# do = dh \cdot \tanh(c), \qquad dc = dc_{\text{next}} + dh \cdot o (1 - \tanh^2(c))
# $$
#
# Where does $dc_{\text{next}}$ come from? The memory $c$ is used twice: shown now, and kept for the
# next step. A number that is used twice collects two gradients, and they add (chapter 6 was about
# just that).
#
# **$c = f c' + i g$**: products again, and the gradient of the old memory goes back to the step
# before.
#
# $$
# df = dc \cdot c', \qquad dc' = dc \cdot f, \qquad di = dc \cdot g, \qquad dg = dc \cdot i
# $$
#
# **The gates**: the slope of a sigmoid $s$ is $s(1 - s)$.
#
# $$
# dz_i = di \cdot i (1 - i), \quad dz_f = df \cdot f (1 - f), \quad dz_g = dg \cdot (1 - g^2), \quad
# dz_o = do \cdot o (1 - o)
# $$
#
# **$z = x W_x + h' W_h + b$** is a fully connected layer with two inputs, as in chapter 2:
#
# $$
# dx = dz W_x^T, \qquad dh' = dz W_h^T, \qquad
# dW_x \mathrel{+}= x^T dz, \qquad dW_h \mathrel{+}= (h')^T dz, \qquad
# db \mathrel{+}= \textstyle\sum_n dz_n
# $$
#
# All steps share the weights, so their contributions are *added*. That is all of **backpropagation
# through time**: the same lines, run from the last step to the first.


# %%
def lstm_backward(dh, cache, w):
    """dh: (N, K), the gradient of the last output -> dx: (T, N, D), and {"W_x": dW_x, ...}."""
    grads = {name: np.zeros_like(w[name]) for name in ("W_x", "W_h", "b")}
    dc, dx = np.zeros_like(dh), []
    for x, h_old, c_old, i, f, g, o, c in reversed(cache):
        tanh_c = np.tanh(c)
        do = dh * tanh_c  # (N, K)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)  # from the next step, and from this one's output
        dz = np.concatenate(  # (N, 4K)
            [
                dc * g * i * (1 - i),
                dc * c_old * f * (1 - f),
                dc * i * (1 - g * g),
                do * o * (1 - o),
            ],
            axis=1,
        )
        grads["W_x"] += x.T @ dz
        grads["W_h"] += h_old.T @ dz
        grads["b"] += dz.sum(axis=0)
        dx.append(dz @ w["W_x"].T)
        dh, dc = dz @ w["W_h"].T, dc * f  # for the step before
    return np.stack(dx[::-1]), grads


# %% [markdown]
# ## The check
#
# Chapter 2's complex step gives every derivative without any formula: step a tiny way $\epsilon$ in
# the imaginary direction, and read it off the imaginary part of the loss,
# $f'(x) = \mathrm{Im} f(x + i\epsilon) / \epsilon$. A small network is enough: five steps, two
# sequences, three inputs, four memories. The gradient from above, `dh`, is random.

# %%
rng = np.random.default_rng(9)
x = rng.standard_normal((5, 2, 3))  # (T, N, D)
small = {
    "W_x": rng.standard_normal((3, 16)),
    "W_h": rng.standard_normal((4, 16)),
    "b": rng.standard_normal(16),
}
dh = rng.standard_normal((2, 4))

dx, grads = lstm_backward(dh, lstm_forward(x, small)[1], small)
found = {"x": dx, **grads}
EPSILON = 1e-30
for name, by_hand in found.items():
    derivative = np.zeros_like(by_hand)
    for place in np.ndindex(by_hand.shape):
        moved = {"x": x, **small}
        moved[name] = moved[name].astype(complex)
        moved[name][place] += 1j * EPSILON
        h, _ = lstm_forward(moved["x"], moved)
        derivative[place] = (h * dh).sum().imag / EPSILON
    error = abs(by_hand - derivative).max() / abs(derivative).max()
    print(f"d{name}: {by_hand.size} numbers, equal to 10 digits or more: {error < 1e-10}")
    assert error < 1e-10

# %% [markdown]
# ## Two ways to say "closer"
#
# What should the network minimize? The paper does not say. The obvious loss is one minus the cosine
# with the target, averaged over the batch:
#
# $$
# L_1 = \frac{1}{N} \sum_n \left( 1 - \cos(y_n, q_n) \right)
# $$
#
# The other one is chapter 7's idea, a loss by comparison. The candidates of each prediction are all
# $N$ targets of the batch, and the cosines are divided by a temperature $\tau = 0.1$ before the
# softmax, which makes small differences count:
#
# $$
# L_2 = - \frac{1}{N} \sum_n \log P_{nn}, \qquad
# P_{nm} = \frac{e^{\cos(y_n, q_m) / \tau}}{\sum_k e^{\cos(y_n, q_k) / \tau}}
# $$
#
# Both gradients go through the derivative of a cosine,
# $\left( \hat q - \cos(y, q) \hat y \right) / |y|$, where a hat means "divided by its length".

# %%
TAU = 0.1


def one_minus_cosine(y, q):
    """(N, D), (N, D) -> the loss, and dy: (N, D)."""
    y_hat, q_hat = unit_length(y), unit_length(q)
    cosine = (y_hat * q_hat).sum(axis=1, keepdims=True)  # (N, 1)
    length = np.sqrt((y * y).sum(axis=1, keepdims=True) + 1e-12)  # (N, 1)
    return 1 - cosine.mean(), (cosine * y_hat - q_hat) / length / len(y)


def comparison(y, q):
    """(N, D), (N, D) -> the loss, and dy: (N, D)."""
    y_hat, q_hat = unit_length(y), unit_length(q)
    similarity = y_hat @ q_hat.T  # (N, N): prediction, target
    P = np.exp((similarity - 1) / TAU)
    P /= P.sum(axis=1, keepdims=True)  # (N, N)
    d_similarity = (P - np.eye(len(y))) / len(y) / TAU  # softmax with cross-entropy
    along = (d_similarity * similarity).sum(axis=1, keepdims=True)  # (N, 1)
    length = np.sqrt((y * y).sum(axis=1, keepdims=True) + 1e-12)
    return -np.log(np.diagonal(P)).mean(), (d_similarity @ q_hat - along * y_hat) / length


# %% tags=["hide"]
y, q = rng.standard_normal((2, 4, 5))
for loss in (one_minus_cosine, comparison):
    _, dy = loss(y, q)
    derivative = np.zeros_like(y)
    for place in np.ndindex(y.shape):
        moved = y.astype(complex)
        moved[place] += 1j * EPSILON
        derivative[place] = loss(moved, q)[0].imag / EPSILON
    assert abs(dy - derivative).max() < 1e-10 * abs(derivative).max()

# %% [markdown]
# (Both were checked by the complex step behind the scenes, like the cell above.)
#
# ## Training
#
# 300 batches of 100 training sequences. **Adam** moves each weight $w$ against its gradient, by a
# length that does not depend on how large the gradients are: the running mean $m$ of the gradients
# over the root of the running mean $v$ of their squares. The learning rate falls along half a
# cosine to 0.
#
# We build it twice: once as the paper has it, and once with a head start: the network adds its
# output to the last unit, $y = x_7 + h_7 W_y + b_y$. Its output weights begin near 0, so before
# training it says "the same again", and has only the difference left to learn.

# %%
mean, std = training_E.mean(axis=0), training_E.std(axis=0) + 1e-6
STEPS, BATCH, RATE = 300, 100, 3e-3


def forward(E, rows, w, head_start):
    """rows: (N, 7) of E -> y: (N, D), and a cache."""
    x = E[rows.T]  # (7, N, D)
    h, cache = lstm_forward((x - mean) / std, w)
    y = h @ w["W_y"] + w["b_y"] + (x[-1] if head_start else 0)
    return y, (h, cache)


def train(loss, head_start, seed=0):
    """Returns the weights, and the loss of every step."""
    rng, w, losses = np.random.default_rng(seed), new_weights(seed), []
    m, v = ({name: np.zeros_like(value) for name, value in w.items()} for _ in range(2))
    for t in range(1, STEPS + 1):
        rows = training_sequences[rng.integers(len(training_sequences), size=BATCH)]  # (100, 8)
        y, (h, cache) = forward(training_E, rows[:, :-1], w, head_start)
        found, dy = loss(y, training_E[rows[:, -1]])
        _, grads = lstm_backward(dy @ w["W_y"].T, cache, w)
        grads |= {"W_y": h.T @ dy, "b_y": dy.sum(axis=0)}
        rate = RATE * 0.5 * (1 + np.cos(np.pi * (t - 1) / STEPS))
        for name, grad in grads.items():
            m[name] = 0.9 * m[name] + 0.1 * grad
            v[name] = 0.999 * v[name] + 0.001 * grad * grad
            unbiased = np.sqrt(v[name] / (1 - 0.999**t)) + 1e-8
            w[name] -= rate * (m[name] / (1 - 0.9**t)) / unbiased
        losses.append(found)
    return w, np.array(losses)


plain, plain_losses = train(one_minus_cosine, head_start=False)
ahead, ahead_losses = train(one_minus_cosine, head_start=True)

# %% alt="Training loss of both networks, and the loss of repeating the last unit"
repeated = (
    1
    - (
        unit_length(training_E)[training_sequences[:, -2]]
        * unit_length(training_E)[training_sequences[:, -1]]
    )
    .sum(axis=1)
    .mean()
)
figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
smooth = np.ones(10) / 10
for losses, colour, style, name in (
    (plain_losses, lesson.BLUE, "-", "LSTM"),
    (ahead_losses, lesson.ORANGE, "--", "LSTM with a head start"),
):
    ax.plot(
        np.arange(10, STEPS + 1),
        np.convolve(losses, smooth, "valid"),
        style,
        color=colour,
        label=name,
    )
ax.axhline(repeated, color=lesson.GREY, ls=":", label="the last unit again")
ax.set_xlabel("step (mean of ten)")
ax.set_ylabel("1 - cosine")
ax.legend(frameon=False)
plt.show()

# %% tags=["hide"]
assert plain_losses[-20:].mean() < 0.8 * repeated
assert ahead_losses[-20:].mean() < 0.8 * repeated

# %% [markdown]
# Both go far below the dotted line, the loss of repeating the last unit. On training music, but
# still: it looks like a clear win. Predict first: are their ranks on the *test* pieces better than
# repetition's, too?

# %%
for name, w, head_start in (
    ("LSTM, 1 - cosine", plain, False),
    ("head start, 1 - cosine", ahead, True),
):
    answers[name], _ = forward(E, sequences[:, :-1], w, head_start)
show(list(answers)[1:], random_units)

# %% tags=["hide"]
plain_rank, ahead_rank = (
    np.median(ranks(answers[name], random_units))
    for name in ("LSTM, 1 - cosine", "head start, 1 - cosine")
)
assert plain_rank > 1.1 * last_rank and ahead_rank > 1.05 * last_rank
assert (
    mean_cosine(answers["head start, 1 - cosine"])
    > mean_cosine(answers["the last unit again"]) + 0.02
)
last_cosine = mean_cosine(answers["the last unit again"])

# %% [markdown]
# They *lose*. Even the one that began as repetition, and only had to keep what it had, is worse
# than before it was trained. Its cosine on test pieces rose, though. And now you know this pattern:
# it is that of the mean of the seven.
#
# It is called hedging. Music may go on in several ways, and the answer with the best *average*
# cosine is something in the middle of them: not quite right for any. The middle lies close to the
# target and just as close to a hundred others. The rank does not ask how close you are. It asks
# **who is closer**. So should the loss:

# %%
compared, _ = train(comparison, head_start=True)
answers["head start, comparison"], _ = forward(E, sequences[:, :-1], compared, True)
show(list(answers)[1:], random_units)

# %% tags=["hide"]
compared_rank = np.median(ranks(answers["head start, comparison"], random_units))
assert compared_rank < 0.85 * ahead_rank and compared_rank < last_rank
assert mean_cosine(answers["head start, comparison"]) < last_cosine

# %% [markdown]
# The lowest cosine of all, and the best rank. A network learns what its loss asks, not what you had
# in mind.

# %% alt="Share of test sequences whose rank is at most a given number, for four answers"
figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
looks = {
    "a random unit": (lesson.GREY, ":"),
    "the last unit again": (lesson.INK, "-"),
    "LSTM, 1 - cosine": (lesson.BLUE, "--"),
    "head start, comparison": (lesson.ORANGE, "-"),
}
for name, (colour, style) in looks.items():
    found = np.sort(ranks(answers[name], random_units))
    ax.step(
        found + 1,
        np.arange(1, len(found) + 1) / len(found),
        style,
        color=colour,
        label=name,
        where="post",
    )
ax.axhline(0.5, color="#cccccc", lw=0.8)
ax.set_xscale("log")
ax.set_xticks([1, 2, 6, 11, 101, 1000], ["0", "1", "5", "10", "100", "999"])
ax.minorticks_off()
ax.set_xlabel("rank; the median is where a curve crosses one half")
ax.set_ylabel("share of sequences up to there")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## A harder table
#
# Random units are mostly in another key and another texture: one glance tells them from a
# polonaise. So we ask again with 999 candidates from the *same piece*, drawn with replacement among
# the units that share no beat with the eight of the sequence. Those are all in the right key, by
# the same composer, for the same instruments.

# %%
rng = np.random.default_rng(1)
same_piece = np.empty_like(random_units)
for s, (rows, (begin, end)) in enumerate(zip(sequences, of_piece, strict=True)):
    others = sounding[(sounding >= begin) & (sounding < end)]
    others = others[(others <= rows[0] - 4) | (others >= rows[-1] + 4)]  # a unit is four beats long
    same_piece[s] = rng.choice(others, 999)

print(f"{'':26s}median rank among units of the same piece")
for name in answers:
    print(f"{name:26s}{np.median(ranks(answers[name], same_piece)):11.4g}")

# %% tags=["hide"]
easy = {name: np.median(ranks(answer, random_units)) for name, answer in answers.items()}
hard = {name: np.median(ranks(answer, same_piece)) for name, answer in answers.items()}
assert all(hard[name] > 3 * easy[name] for name in list(answers)[1:])
last = hard.pop("the last unit again")
assert last < 1.1 * min(hard.values())
assert last < 0.9 * hard["LSTM, 1 - cosine"]

# %% [markdown]
# All ranks are several times higher: this table is where knowing the key is worth nothing. And no
# network of ours is clearly ahead of "the same again" here. An honest report has both columns, and
# it has repetition in both.
#
# Sequence by sequence, the network trained by comparison against "the same again":

# %%
for title, candidates in (("random units", random_units), ("same piece", same_piece)):
    ours = ranks(answers["head start, comparison"], candidates)
    repetition = ranks(answers["the last unit again"], candidates)
    better, worse = (ours < repetition).mean(), (ours > repetition).mean()
    print(f"{title:13s} better in {100 * better:.0f}% of sequences, worse in {100 * worse:.0f}%")

# %% [markdown]
# Is such a difference luck? [Chapter 12](12_statistics.md) asks.
#
# ## What did it expect?
#
# Back to the polonaise. Of all its sequences we take the one in which the network gains most on
# "the same again" (so this is not a typical one). Here are the seventh unit, the right one, and the
# three of the 1,000 that the network holds most likely.

# %% alt="The seventh unit, the right eighth, and the three units the network expects most"
ours = ranks(answers["head start, comparison"], random_units)
repetition = ranks(answers["the last unit again"], random_units)
gain = np.log((repetition + 1) / (ours + 1))
s = np.argmax(np.where(np.isin(E_beats[sequences[:, 0]], beats), gain, -np.inf))

prediction = unit_length(answers["head start, comparison"][s : s + 1])[0]  # (D,)
pool = np.concatenate([sequences[s, -1:], random_units[s]])  # (1000,) rows, the right one first
cosines = unit_length(E[pool]) @ prediction
best = np.argsort(-cosines)[:3]

figure, axes = plt.subplots(1, 5, figsize=(9, 2.6), layout="constrained", sharey=True)
shown = [(sequences[s, -2], "the seventh"), (pool[0], f"right: {cosines[0]:.2f}")]
shown += [(pool[j], f"choice {n}: {cosines[j]:.2f}") for n, j in enumerate(best, start=1)]
for ax, (row, title) in zip(axes, shown, strict=True):
    lesson.show_roll(ax, music.rolls(E_beats[[row]])[0], title, onset_width=6)
plt.show()
print(f"rank of the right one: {ours[s]:.4g}, by the last unit again: {repetition[s]:.4g}")
print("the three choices are from")
for j in best:
    print("   ", music.names[music.beat_piece[E_beats[pool[j]]]])

# %% [markdown]
# The numbers are cosines with the prediction.
#
# ## The same question with more music
#
# This page trained on 41 short pieces, for seconds. The package's report did it on 331 piano
# pieces, for hours, with three layers of 400 cells as in the paper, a head start that can also
# point back at *any* of the seven units ([predictor.py](../tinyembed/evaluation/predictor.py)), the
# loss by comparison, and an answer to which some of the last unit is added again, as much as helps
# on validation pieces ([shrinkage.py](../tinyembed/evaluation/shrinkage.py)). Its
# [numbers](../benchmarks/reproduction/report.md) are kept in a file:

# %% alt="Median ranks of the predictor and of repetition, seven embeddings"
results = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
models, repetition = results["models"], results["baselines"]["repetition"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, kind, title in zip(
    axes, ("rank", "rank_same_piece"), ("random units", "units of the same piece"), strict=True
):
    print(f"median rank among {title}: the predictor, and the last unit again")
    for place, (name, model) in enumerate(models.items()):
        ours, simple = model[kind]["median"], repetition[name][kind]["median"]
        print(f"    {name:14s}{ours:6.4g}{simple:8.4g}")
        assert ours < simple
        ax.plot([ours, simple], [place, place], color="#cccccc", zorder=0)
        ax.plot(ours, place, "o", color=lesson.ORANGE, label="" if place else "predictor")
        ax.plot(simple, place, "s", color=lesson.INK, label="" if place else "last unit again")
    ax.set_title(f"among {title}", fontsize=10)
    ax.set_xlabel("median rank")
    ax.set_xlim(0)
axes[0].set_yticks(range(len(models)), [name.replace("_", " ") for name in models])
axes[0].invert_yaxis()
axes[0].legend(frameon=False, loc="lower right")
plt.show()

# %% tags=["hide"]
assert results["corpus"]["candidates"] == 1000
assert min(models, key=lambda name: models[name]["rank"]["median"]) == "context"
assert min(models, key=lambda name: models[name]["rank_same_piece"]["median"]) == "note_drop"
gain = {
    name: repetition[name]["rank"]["median"] - models[name]["rank"]["median"] for name in models
}
assert gain["context"] == min(gain.values()) and gain["note_drop"] > 30

# %% [markdown]
# With enough music the predictor is ahead of repetition everywhere. Look at the squares, too: for
# the context model repetition alone is nearly as good. That model was trained to find a unit's
# neighbours, so neighbours lie close together in its space, and saying "the same again" is already
# a forecast. A low rank in the paper's Table 2 is therefore praise for the *embedding*; how much
# the LSTM added to it, only the pair of marks can tell.
#
# ## The package does the same
#
# [`Lstm`](../tinyembed/layers/lstm.py) takes the input products of all steps in one go and returns
# the outputs of all steps; the numbers are those of this page, forward and backward. So are those
# of the two losses and of the rank.

# %%
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.ranks import random_ranks, ranks_among
from tinyembed.layers.contrastive_loss import BatchCosineLoss
from tinyembed.layers.cosine import CosineLoss
from tinyembed.layers.lstm import LastStep, Lstm

layer = cast(Lstm(D, K, rng=np.random.default_rng(0)), float)
layer.weight_x.value, layer.weight_h.value = compared["W_x"], compared["W_h"]
layer.bias.value = compared["b"]
x = (E[sequences[:100, :-1].T] - mean) / std  # (7, 100, D)
dh = np.random.default_rng(1).standard_normal((100, K))

h, cache = lstm_forward(x, compared)
dx, grads = lstm_backward(dh, cache, compared)
all_h, layer_cache = layer.forward(x)  # (7, 100, K)
last_h, last_cache = LastStep().forward(all_h)
layer_dx = layer.backward(LastStep().backward(dh, last_cache), layer_cache)
assert np.allclose(last_h, h, rtol=1e-12)
assert np.allclose(layer_dx, dx, atol=1e-12)
for parameter, name in ((layer.weight_x, "W_x"), (layer.weight_h, "W_h"), (layer.bias, "b")):
    assert np.allclose(parameter.grad, grads[name], atol=1e-10)

y, q = answers["head start, comparison"][:100], target[:100]
for ours, theirs in ((one_minus_cosine, CosineLoss()), (comparison, BatchCosineLoss(TAU))):
    loss, dy = ours(y, q)
    their_loss, cache = theirs.forward(y, q)
    assert np.isclose(loss, their_loss, rtol=1e-9)
    assert np.allclose(dy, theirs.backward(cache), atol=1e-9)

similarity = unit_length(y) @ unit_length(E).T
own = np.take_along_axis(similarity, sequences[:100, -1:], axis=1)
others = np.take_along_axis(similarity, random_units[:100], axis=1)
assert (
    ranks_among(own, others) == ranks(answers["head start, comparison"], random_units)[:100]
).all()

passages = Passages.of(music, np.flatnonzero(music.piece_is_test))
assert (passages.sequences() == sequences).all()
print("the same numbers: outputs, gradients, losses, ranks")

# %% [markdown]
# To rank 325,219 sequences in a minute, the package lets each block of 256 sequences share one draw
# of candidates, so that all their cosines are a single matrix product. Another draw, nearly the
# same median:

# %%
their_ranks = random_ranks(
    answers["the last unit again"], E[sounding], np.searchsorted(sounding, sequences[:, -1]), seed=0
)
print(f"the last unit again: median {np.median(their_ranks):.4g}, with our draw {last_rank:.4g}")
assert abs(np.median(their_ranks) / last_rank - 1) < 0.15

# %% [markdown]
# ## Exercises
#
# 1. **How far back does the gradient reach?** Take the weights before training (`new_weights(0)`)
#    with a forget bias of -1, 0, 1 and 3, and a random `dh`. How large is $dx_1$, the gradient of
#    the first unit, beside $dx_7$, that of the last? Predict first.
#
#    <details><summary>Solution</summary>
#
#    ```python
#    reach = {}
#    for b_f in (-1, 0, 1, 3):
#        w = new_weights(0)
#        w["b"][K : 2 * K] = b_f
#        _, cache = lstm_forward(x, w)
#        dx, _ = lstm_backward(dh, cache, w)
#        size = np.sqrt((dx * dx).sum(axis=(1, 2)))  # (7,)
#        reach[b_f] = size[0] / size[-1]
#    ```
#
#    The path through the memory shrinks by $f$ at each step, so over six steps by $f^6$, as the
#    memory itself did: a closed gate forgets in both directions. That would leave less than a
#    thousandth with a bias of -1. A second path, through $h'$ and $W_h$, brings it to a few
#    percent. With a bias of 3, about half arrives.
#
#    </details>
#
# 2. **Does it listen to the order?** Give the trained network (`compared`) the right seventh unit,
#    but shuffle the six before it. Does the median rank suffer? And if you take the six from
#    another sequence?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    rng = np.random.default_rng(2)
#    rows = sequences[:, :-1]
#    shuffled = np.concatenate([rng.permuted(rows[:, :-1], axis=1), rows[:, -1:]], axis=1)
#    foreign = np.concatenate([rng.permutation(rows[:, :-1]), rows[:, -1:]], axis=1)
#    medians = {
#        name: np.median(ranks(forward(E, changed, compared, True)[0], random_units))
#        for name, changed in (("as it is", rows), ("shuffled", shuffled), ("foreign", foreign))
#    }
#    ```
#
#    Foreign units hurt it: it does listen to what came before the last unit. The order of the six
#    matters far less.
#
#    </details>
#
# 4. **Why should a tie count half?** Somebody sends in an embedding that is the same 100 numbers
#    for every unit. Which median rank does it get under our rule, and which if ties counted
#    nothing?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    similarity = np.ones((1, 1000))  # every cosine is 1
#    own, others = similarity[:, :1], similarity[:, 1:]
#    half = ranks_among(own, others)
#    nothing = (others > own + TIE).sum(axis=1)
#    ```
#
#    499.5 under our rule, which is what knowing nothing is worth. If ties counted nothing it would
#    be 0: a perfect score for an embedding without any content.
#
#    </details>

# %% tags=["hide"]
reach = {}
for b_f in (-1, 0, 1, 3):
    w = new_weights(0)
    w["b"][K : 2 * K] = b_f
    _, cache = lstm_forward(x, w)
    dx, _ = lstm_backward(dh, cache, w)
    size = np.sqrt((dx * dx).sum(axis=(1, 2)))  # (7,)
    reach[b_f] = size[0] / size[-1]
assert list(reach.values()) == sorted(reach.values())
assert 0.01 < reach[-1] < 0.1 and 0.4 < reach[3] < 0.7
assert sigmoid(-1) ** 6 < 0.001  # what the memory alone would let through

rng = np.random.default_rng(2)
rows = sequences[:, :-1]
shuffled = np.concatenate([rng.permuted(rows[:, :-1], axis=1), rows[:, -1:]], axis=1)
foreign = np.concatenate([rng.permutation(rows[:, :-1]), rows[:, -1:]], axis=1)
medians = {
    name: np.median(ranks(forward(E, changed, compared, True)[0], random_units))
    for name, changed in (("as it is", rows), ("shuffled", shuffled), ("foreign", foreign))
}
assert medians["as it is"] == compared_rank
assert medians["foreign"] > 1.15 * compared_rank
assert abs(medians["shuffled"] - compared_rank) < 0.5 * (medians["foreign"] - compared_rank)

similarity = np.ones((1, 1000))  # every cosine is 1
own, others = similarity[:, :1], similarity[:, 1:]
half = ranks_among(own, others)
nothing = (others > own + TIE).sum(axis=1)
assert half[0] == 499.5 and nothing[0] == 0

# %% [markdown]
# ## What comes next
#
# A median of 32 beside one of 34: is that a better network, or a lucky draw? The paper answers with
# 21 tests and one small number, and [chapter 12](12_statistics.md) reads both with a pencil in
# hand.
