# %% [markdown]
# # 7. A loss by comparison
#
# Silence is the right answer in 99.7% of all cells of real music, so this chapter looks for a
# question that silence cannot answer.

# %% [markdown]
# **What you'll do.** Watch two obvious losses fail on real music; write the paper's loss in six
# lines; take its gradient, check it, and look at it.
#
# **What you'll learn.** The cosine, or the direction of a roll; softmax, and a loss by comparison;
# why this loss cannot reach 0, and why perfect answers are not even the best ones.
#
# **What you need.** [Chapter 1](01_onset_roll.md) (units and rolls),
# [chapter 2](02_fully_connected.md) (gradients and the complex step), and 20 minutes.

# %% [markdown]
# ## What the paper says
#
# In section 4.1 a network is shown a damaged unit and must bring the whole one back. The paper
# measures how close it came by a cosine (its equation 1). Then it adds negative examples: the
# network's answer is set beside four answers to other units, and the loss asks which of the five
# belongs to this unit (equations 2 and 3).
#
# Why so roundabout? Let us try the short ways first.
#
# ## A hundred units of real music
#
# `lesson.corpus()` reads 58 scores. We draw 100 units from them, each in a random key, and lay
# every roll out as one long row.

# %%
import lesson
import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(6)
music = lesson.corpus()
beats = music.unit_beats()  # the first beat of every unit
beats = beats[music.has_onset(beats)]

N = 100
rolls = music.rolls(rng.choice(beats, N, replace=False), rng.integers(-5, 7, N), dtype=float)
Q = rolls.reshape(N, -1)  # (N, D): one target a row

print("rolls", rolls.shape, " targets Q", Q.shape)
print(f"onsets in a unit, on average: {Q.sum(axis=1).mean():.1f} of {Q.shape[1]:,} cells")
print(f"cells that silence gets right: {100 * (Q == 0).mean():.1f}%")

# %% tags=["hide"]
assert Q.shape == (100, 5760)
assert f"{100 * (Q == 0).mean():.1f}" == "99.7"

# %% [markdown]
# | Symbol | Meaning | Shape |
# | --- | --- | --- |
# | $N$, $D$ | units in the batch; cells in a roll, $60 \cdot 96$ | 100; 5,760 |
# | $Q$ | the targets, one unit a row; $Q_n$ is the $n$-th | (N, D) |
# | $R$ | the network's answers (reconstructions); $R_n$ answers for $Q_n$ | (N, D) |
# | $L$ | the loss: one number, low is good | |
#
# ## The short way: count the wrong cells
#
# Here is a target and three answers. Before you look at the numbers: which answer is the worst?

# %% alt="A target and three answers, with the number of wrong cells of each"
half = np.flatnonzero(Q[0])[::2]  # every other onset of unit 0
half_right = np.zeros(Q.shape[1])
half_right[half] = 1
extra = rng.choice(np.flatnonzero(Q[0] == 0), int(Q[0].sum()), replace=False)
too_much = Q[0].copy()
too_much[extra] = 1  # every note right, and as many wrong ones

answers = {
    "the target": Q[0],
    "silence": np.zeros(Q.shape[1]),
    "half of its notes": half_right,
    "its notes and as many wrong": too_much,
}
figure, axes = plt.subplots(2, 2, figsize=(8.6, 5), layout="constrained")
for ax, (name, answer) in zip(axes.flat, answers.items(), strict=True):
    wrong = int((answer != Q[0]).sum())
    lesson.show_roll(ax, answer.reshape(60, 96), f"{name}: {wrong} wrong cells")
plt.show()

# %% [markdown]
# By this count silence, which says nothing, is exactly as good as an answer that has *every note
# right* among some wrong ones. A network that lowers the count learns to be silent before it
# learns anything else: no cell of these units is more often 1 than 0.

# %%
most_common = Q.mean(axis=0).max()
print(f"the cell that sounds most often sounds in {100 * most_common:.0f}% of these units")
assert most_common < 0.5  # so for every single cell, silence is the best guess
assert (answers["silence"] != Q[0]).sum() == (too_much != Q[0]).sum()

# %% [markdown]
# ## The next way: directions
#
# Think of a roll as an arrow in a space of 5,760 dimensions. The **cosine** of the angle between
# two arrows does not ask how many cells agree, but what share of the *notes* does:
#
# $$
# \mathrm{sim}(Q_n, R_n) = \frac{Q_n \cdot R_n}{|Q_n| |R_n|}
# = \frac{\sum_d Q_{nd} R_{nd}}{\sqrt{\sum_d Q_{nd}^2} \sqrt{\sum_d R_{nd}^2}}
# $$
#
# $|Q_n|$ is the length of the arrow. This is the paper's equation 1. It is 1 for the same
# direction, 0 for a right angle, -1 for opposite ones.

# %%
TINY = 1e-12  # silence has length 0 and no direction; this makes its cosine 0 instead of 0/0


def lengths(x):
    """(N, D) -> (N,)"""
    return np.sqrt((x * x).sum(axis=1) + TINY)


def cosines(q, r):
    """Every row of q with every row of r: (N, D), (M, D) -> (N, M)."""
    return (q @ r.T) / (lengths(q)[:, None] * lengths(r))


for name, answer in answers.items():
    print(f"{name:28s} cosine {cosines(Q[:1], answer[None])[0, 0]:.3f}")

# %% [markdown]
# Silence is the worst now. For rolls of zeros and ones there is a shortcut that you can check by
# counting: the cosine is the number of shared notes over the root of (notes in one times notes in
# the other). All the target's notes and as many wrong ones: $n / \sqrt{n \cdot 2n} = 0.707$. It is
# the same for half of the notes, where $n$ is even: $\frac{n}{2} / \sqrt{n \cdot \frac{n}{2}}$.
#
# The check, by plain counting, over all pairs of our hundred units:

# %%
counted = np.zeros((N, N))
notes = [set(np.flatnonzero(q)) for q in Q]
for a in range(N):
    for b in range(N):
        shared = len(notes[a] & notes[b])
        counted[a, b] = shared / np.sqrt(len(notes[a]) * len(notes[b]))

S = cosines(Q, Q)  # (N, N)
assert np.allclose(S, counted, rtol=1e-9)
assert np.allclose(cosines(Q, 5 * Q), S)  # loudness does not count, only direction
assert np.isclose(cosines(Q[:1], too_much[None])[0, 0], 0.5**0.5)

others = S[~np.eye(N, dtype=bool)]  # each unit with the 99 others
print(f"cosine of two different units: {others.mean():.3f} on average, at most {others.max():.3f}")
print(f"pairs that share no note at all: {100 * (others == 0).mean():.0f}%")

# %% tags=["hide"]
assert 0.5 < (others == 0).mean() < 0.7
assert 0.03 < others.mean() < 0.06

# %% [markdown]
# ## Why the cosine alone is not enough
#
# Now take the laziest network there is: whatever it is shown, it answers with the average of all
# units. It has looked at nothing.

# %% alt="The average of a hundred rolls, a grey cloud in the middle octaves"
lazy = np.tile(Q.mean(axis=0), (N, 1))  # (N, D), all rows equal
own = np.diag(cosines(Q, lazy))  # each target with the answer for it
print(f"the average as the answer: cosine {own.mean():.3f}")
print(f"another unit as the answer: {others.mean():.3f}")

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
lesson.show_roll(ax, lazy[0].reshape(60, 96), "the average of 100 units: one answer for all")
plt.show()

# %% tags=["hide"]
assert own.mean() > 5 * others.mean()

# %% [markdown]
# Five times as good as answering with real music, for no understanding at all. A network that
# only raises the cosine moves towards this grey cloud first, and may well stay there.
#
# ## The paper's way: which of five?
#
# So make the answers compete. For the target $Q_n$ take five **candidates**: the answer $R_n$ that
# the network gave for it, and the answers that it gave for four other units of the batch. Look at
# the cosine of each with $Q_n$. Is the right one the largest?
#
# Here are five candidates as they would be if every answer were perfect, that is, $R = Q$.


# %% alt="A target and its five candidates, with the cosine of each" tags=["thumbnail"]
def draw_candidates(n, rng):
    """Each of n units with four others, all different: (n, 5), itself in column 0."""
    return np.array(
        [[own, *rng.choice(np.delete(np.arange(n), own), 4, replace=False)] for own in range(n)]
    )


candidates = draw_candidates(N, rng)
print(candidates[:3])

figure, axes = plt.subplots(2, 3, figsize=(8.8, 4.8), layout="constrained")
lesson.show_roll(axes.flat[0], rolls[0], "target")
for k, ax in enumerate(axes.flat[1:]):
    j = candidates[0, k]
    lesson.show_roll(ax, rolls[j], f"candidate {k}: cosine {S[0, j]:.2f}")
plt.show()

# %% [markdown]
# To turn five cosines into one loss, take two steps. **Softmax** turns them into probabilities,
# five positive numbers that add up to 1, by giving each its share of the sum of exponentials:
#
# $$
# P_{nk} = \frac{\exp s_{nk}}{\sum_{j=0}^{4} \exp s_{nj}},
# \qquad s_{nk} = \mathrm{sim}(Q_n, R_{c(n,k)})
# $$
#
# $c(n, k)$ is the $k$-th candidate of unit $n$, an entry of the table above, and $c(n, 0) = n$ is
# the right one. This is equation 2. Then take **minus the logarithm** of the right one's
# probability: 0 when the network is sure and right, large when it is sure and wrong. The loss is
# the mean over the batch:
#
# $$L = -\frac{1}{N} \sum_{n} \log P_{n0}$$
#
# (The paper's equation 3 has the sum. Dividing it by $N$ only changes the size of a step.)


# %%
def candidate_loss(R, Q, candidates):
    """R, Q: (N, D); candidates: (N, 5). Returns the loss and the probabilities (N, 5)."""
    rows = np.arange(len(Q))[:, None]  # (N, 1)
    s = cosines(Q, R)[rows, candidates]  # (N, 5)
    P = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)  # (N, 5)
    return -np.log(P[:, 0]).mean(), P


loss, P = candidate_loss(Q, Q, candidates)
print("unit 0, perfect answers: probabilities", np.round(P[0], 3))
assert np.allclose(P.sum(axis=1), 1)

# %% [markdown]
# **Predict first.** Three networks: the lazy one, which always answers with the average; one that
# hands back a damaged unit, with every other note missing; and a perfect one, $R = Q$. What are
# their losses? The perfect one's, surely, is 0?

# %%
damaged = Q.copy()
for row in damaged:
    row[np.flatnonzero(row)[1::2]] = 0  # every other note

for name, R in (("lazy", lazy), ("damaged", damaged), ("perfect", Q)):
    own = np.diag(cosines(Q, R)).mean()
    print(f"{name:8s} cosine {own:.3f}   loss {candidate_loss(R, Q, candidates)[0]:.4f}")

# %% [markdown]
# Two surprises.
#
# The lazy network gets exactly $\log 5 = 1.609$, the loss of somebody who guesses among five.
# That is what we wanted: five equal answers have equal cosines, each gets $P = 1/5$, and however
# high its cosine was, it is worth nothing now.
#
# But the perfect network is nowhere near 0.

# %%
perfect = candidate_loss(Q, Q, candidates)[0]
assert np.isclose(candidate_loss(lazy, Q, candidates)[0], np.log(5))
assert perfect > 0.9

# %% [markdown]
# ## Why it cannot reach 0
#
# A cosine is at most 1, so the right candidate's exponential is at most $e = 2.718$. Suppose that
# the four others are at cosine $a$ with the target. Then
#
# $$L = -\log\frac{e}{e + 4 e^{a}} = \log\left(1 + 4 e^{a - 1}\right)$$
#
# With $a = 0$, four candidates that have nothing at all to do with the target, that is 0.905. Even
# with $a = -1$, four candidates that are its exact opposite, it would be 0.433, and a roll has no
# opposite: its cells are never negative.
#
# In words: the softmax sees *differences* of cosines, and a difference of 1 is not much to it. Five
# candidates and a gap of 1 leave the right one with a probability of 0.40. For certainty the gap
# would have to be far larger. Later work divides the cosines by a **temperature** $T$ below 1,
# which stretches the gap: $L = \log(1 + 4 e^{(a-1)/T})$. The paper has none, which is $T = 1$.


# %% alt="The loss of perfect answers against the cosine of the others, for three temperatures"
def floor(a, T=1.0):
    """The loss of perfect answers, where the four others are at cosine a."""
    return np.log(1 + 4 * np.exp((a - 1) / T))


print(f"others at cosine 0: {floor(0):.3f}   at -1: {floor(-1):.3f}")
print(f"others at our units' mean cosine, {others.mean():.3f}: {floor(others.mean()):.3f}")
print(f"perfect answers on our units: {perfect:.3f}")
for T in (1, 0.5, 0.2, 0.1):
    print(f"temperature {T:3}: others at cosine 0 leave {floor(0, T):.4f}")

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
a = np.linspace(-1, 1, 200)
for T, color, style in ((1, lesson.BLUE, "-"), (0.5, lesson.INK, "--"), (0.2, lesson.ORANGE, ":")):
    ax.plot(a, floor(a, T), color=color, ls=style, lw=2, label=f"temperature {T}")
ax.axhline(np.log(5), color=lesson.GREY, lw=1)
ax.text(-0.98, np.log(5) + 0.02, "guessing: log 5", color=lesson.GREY, fontsize=9)
ax.plot(others.mean(), perfect, "o", color=lesson.BLUE, ms=8)
ax.annotate("our units", (others.mean(), perfect), (0.12, 0.78), fontsize=9, color=lesson.BLUE)
ax.set(xlabel="cosine of the four others with the target", ylabel="loss of perfect answers")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.9))
plt.show()

# %% tags=["hide"]
assert f"{floor(0):.3f}" == "0.905" and f"{floor(-1):.3f}" == "0.433"
assert f"{np.e / (np.e + 4):.2f}" == "0.40"
assert abs(floor(others.mean()) - perfect) < 0.01

# %% [markdown]
# So nearly everything that this loss can tell lies between 1.609, guessing, and about 0.93, perfect. When
# you read "loss 1.19" in a log of tinyembed, measure it on this scale. (Every training prints the
# perfect loss of its own music for that reason.)
#
# ## The gradient
#
# A network learns by the gradient: $dR$, how the loss changes when a cell of an answer does. It
# comes in two steps.
#
# **By the cosines.** For softmax followed by minus log, the derivative is what you would hope for:
# the probability, minus 1 at the right place:
#
# $$\frac{\partial L}{\partial s_{nk}} = \frac{1}{N}\left(P_{nk} - [k = 0]\right)$$
#
# ($[k = 0]$ is 1 for the right candidate and 0 for the others. To see it, write
# $-\log P_{n0} = -s_{n0} + \log \sum_j e^{s_{nj}}$ and differentiate by $s_{nk}$.)
#
# **By the answers.** The numerator of the cosine gives $Q/(|Q||R|)$. The length $|R|$ in the
# denominator gives $-\mathrm{sim} \cdot R/|R|^2$. Together, with $\hat Q = Q/|Q|$ and
# $\hat R = R/|R|$, both of length 1:
#
# $$
# \frac{\partial \mathrm{sim}(Q, R)}{\partial R}
# = \frac{\hat Q - \mathrm{sim}(Q, R) \hat R}{|R|}
# $$
#
# That is the direction of the target, less what the answer has of it already. An answer $R_j$ is
# right for one target and a wrong candidate for others, so it collects such a term from each
# place where it stands in the table.


# %%
def loss_backward_by_loops(R, Q, candidates):
    """dR, as the formulas say it: one candidate of one target at a time."""
    _, P = candidate_loss(R, Q, candidates)
    Q_hat, R_hat = Q / lengths(Q)[:, None], R / lengths(R)[:, None]
    dR = np.zeros_like(R)
    for n in range(len(Q)):
        for k, j in enumerate(candidates[n]):
            ds = (P[n, k] - (k == 0)) / len(Q)
            sim = Q_hat[n] @ R_hat[j]
            dR[j] += ds * (Q_hat[n] - sim * R_hat[j]) / lengths(R)[j]
    return dR


# %% [markdown]
# The loops visit 500 pairs. One matrix of the size (N, N), zero except where a candidate stands,
# does the same in two products:


# %%
def loss_backward(R, Q, candidates):
    """R, Q: (N, D); candidates: (N, 5). Returns dR, (N, D)."""
    _, P = candidate_loss(R, Q, candidates)
    ds = P / len(Q)  # (N, 5)
    ds[:, 0] -= 1 / len(Q)
    S = cosines(Q, R)  # (N, N): target, answer
    dS = np.zeros_like(S)
    dS[np.arange(len(Q))[:, None], candidates] = ds
    Q_hat, R_hat = Q / lengths(Q)[:, None], R / lengths(R)[:, None]
    dR = dS.T @ Q_hat - (dS * S).sum(axis=0)[:, None] * R_hat  # (N, D)
    return dR / lengths(R)[:, None]


dR = loss_backward(damaged, Q, candidates)
assert np.allclose(dR, loss_backward_by_loops(damaged, Q, candidates), rtol=1e-10, atol=1e-15)

# %% [markdown]
# **The check.** Chapter 2's complex step, on a case small enough to go through every entry: six
# "units" of seven cells, answers drawn at random.

# %%
small_Q, small_R = rng.random((6, 7)), rng.standard_normal((6, 7))
small_candidates = draw_candidates(6, rng)

exact = np.zeros_like(small_R)
for n, d in np.ndindex(small_R.shape):
    stepped = small_R.astype(complex)
    stepped[n, d] += 1e-30j
    exact[n, d] = candidate_loss(stepped, small_Q, small_candidates)[0].imag / 1e-30

found = loss_backward(small_R, small_Q, small_candidates)
error = np.abs(found - exact).max() / np.abs(exact).max()
assert error < 1e-12
print("every entry agrees to 12 digits:", error < 1e-12)

# %% [markdown]
# ## Look at it
#
# Take the damaged answers again: every other note is missing. A step of learning goes *against*
# the gradient, so $-dR_n$ is what the loss wishes the answer for unit $n$ had more of (blue) and
# less of (orange). What do you expect at the notes that are missing? And where does the orange
# come from?

# %% alt="Where the loss wants more and where less, around the notes of one unit"
n = 2
wish = -N * dR[n].reshape(60, 96)  # times N: for this unit alone
pitch, tick = np.nonzero(wish)
value = wish[pitch, tick]
size = 160 * np.abs(value) / np.abs(value).max() + 6
is_kept = damaged[n].reshape(60, 96) > 0

figure, ax = plt.subplots(figsize=(8.6, 4.4), layout="constrained")
lesson.show_roll(ax, np.zeros((60, 96)), "what the loss wishes for, cell by cell")
for sign, color, label in ((1, lesson.BLUE, "more of this"), (-1, lesson.ORANGE, "less of this")):
    mine = np.sign(value) == sign
    spot = tick[mine] / 24, pitch[mine] + 0.5, size[mine]
    ax.scatter(*spot, color=color, alpha=0.8, label=label, clip_on=False)
pitch, tick = np.nonzero(is_kept)
ax.scatter(
    tick / 24, pitch + 0.5, 60, color=lesson.INK, marker="x", label="already there", clip_on=False
)
ax.legend(loc="upper right", fontsize=8)
plt.show()

target = Q[n].reshape(60, 96) > 0
missing = target & ~is_kept
print(f"wish at a missing note:        {wish[missing].mean():+.4f}")
print(f"at a note of a rival's target: {wish[wish < 0].mean():+.4f}")
print("at a note already there, nothing:", np.abs(wish[is_kept]).max() < 1e-6)

# %% tags=["hide"]
assert wish[missing].min() > 0 and np.abs(wish[is_kept]).max() < 0.2 * wish[missing].min()
assert wish[~target].max() <= 1e-12 and wish[~target].min() < 0

# %% [markdown]
# The missing notes are the largest blue dots. The orange ones are the notes of the other targets
# for which this answer was a wrong candidate: "be less like those". Between them the wish is 0.
# And at the notes that are there already there is next to nothing to wish for: they stand in the
# right proportion to each other, and louder does not count.
#
# One more property, which follows from the formula: the gradient is at a right angle to the
# answer. Making an answer louder changes nothing, so the loss never asks for it.

# %%
along = (dR * damaged).sum(axis=1) / (lengths(dR) * lengths(damaged))
assert np.allclose(along, 0, atol=1e-9)
print("dR . R is 0 for every unit")

# %% [markdown]
# ## Perfect is not best
#
# Here is something that the formula hides well. If the perfect answers, $R = Q$, were the best
# ones, the gradient there would be 0. Is it?

# %% alt="The loss falls below that of perfect answers as the average is taken away"
at_perfect = loss_backward(Q, Q, candidates)
print(f"largest entry of N dR at R = Q: {N * np.abs(at_perfect).max():.3f}")

shares = np.linspace(0, 1.6, 33)
average = Q.mean(axis=0)
losses = [candidate_loss(Q - share * average, Q, candidates)[0] for share in shares]
own = [np.diag(cosines(Q, Q - share * average)).mean() for share in shares]
best = int(np.argmin(losses))
print(f"perfect answers:                        loss {losses[0]:.4f}, cosine {own[0]:.3f}")
print(f"the same less {shares[best]:.2f} times the average:   loss {losses[best]:.4f}, "
      f"cosine {own[best]:.3f}")  # fmt: skip

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(shares, losses, color=lesson.BLUE, lw=2)
ax.plot(shares[best], losses[best], "o", color=lesson.ORANGE, ms=8)
ax.annotate("lowest loss", (shares[best], losses[best]), (shares[best] - 0.1, losses[best] + 0.003),
            color=lesson.ORANGE, fontsize=9)  # fmt: skip
ax.annotate("perfect", (0, losses[0]), (0.04, losses[0]), color=lesson.BLUE, fontsize=9)
ax.set(xlabel="how much of the average is taken away from every answer", ylabel="loss")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
assert losses[best] < losses[0] - 0.005 and np.abs(at_perfect).max() > 1e-4
assert own[best] < 0.99

# %% [markdown]
# It is not 0. An answer that leaves out what all units have in common, and even goes below zero
# there, loses a little cosine with its own target but more with the others. The loss does not ask
# "reproduce this unit". It asks "say what sets this unit apart", and that is not a bad thing to
# ask for when the goal is an embedding.
#
# ## The package does the same
#
# tinyembed's layer is [`CandidateCosineLoss`](../tinyembed/layers/candidate_loss.py). It takes rolls
# as they are, `(N, 60, 96)`, and has a temperature. A product $Q R^T$ of all with all multiplies
# mostly by zeros: a roll has some twenty onsets in 5,760 places. On a CPU it looks at each answer
# only where its own target has an onset: in a batch of 100, some 100 products a target instead of
# 576,000 ([sparse_cosines.py](../tinyembed/backends/cpu/sparse_cosines.py)).

# %%
from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.training.examples import draw_candidates as draw_of_the_package

layer = CandidateCosineLoss(temperature=1.0)
loss, cache = layer.forward(damaged.reshape(N, 60, 96), rolls, candidates)
assert np.isclose(loss, candidate_loss(damaged, Q, candidates)[0], rtol=1e-12)

their_dR = layer.backward(cache).reshape(N, -1)
assert np.allclose(their_dR, dR, rtol=1e-9, atol=1e-15)

drawn = draw_of_the_package(N, np.random.default_rng(0))
assert (drawn[:, 0] == np.arange(N)).all()  # itself first
assert all(len(set(row)) == 5 for row in drawn)  # all different
print("the same loss and the same gradient")

# %% [markdown]
# ## Exercises
#
# **1. More candidates.** With $K$ candidates instead of five, what is the loss of guessing, and
# what that of perfect answers if the others are at cosine 0? How far apart are the two for
# $K = 2$, 5, 100 and 10,000? What happens to the distance?
#
# <details><summary>Solution</summary>
#
# Guessing is $\log K$, perfect is $\log(1 + (K - 1)/e)$.
#
# ```python
# gaps = {}
# for K in (2, 5, 100, 10_000):
#     guessing, perfect_loss = np.log(K), np.log(1 + (K - 1) / np.e)
#     gaps[K] = guessing - perfect_loss
# ```
#
# The distance is 0.38, 0.70, 0.98 and 1.00. It never exceeds 1: a cosine can set the right one
# apart by a factor of $e$, and with thousands of rivals that factor is all there is. So more
# candidates alone do not help for long. They need a temperature as well.
#
# </details>
#
# **2. Twice as loud.** Multiply an answer by 2. What becomes of the loss, and of the gradient?
# Think first, then run it.
#
# <details><summary>Solution</summary>
#
# The loss stays. The gradient halves: there is $1/|R|$ in front of it. A louder answer has to be
# changed by more to turn it by the same angle.
#
# ```python
# louder = loss_backward(2 * damaged, Q, candidates)
# assert np.isclose(
#     candidate_loss(2 * damaged, Q, candidates)[0], candidate_loss(damaged, Q, candidates)[0]
# )
# assert np.allclose(louder, dR / 2)
# ```
#
# </details>
#
# **3. One tick late.** Shift every answer of the perfect network by one tick, a twenty-fourth of a
# beat. No ear would mind. Does the loss?
#
# <details><summary>Solution</summary>
#
# ```python
# late = np.roll(rolls, 1, axis=2).reshape(N, -1)
# late_loss = candidate_loss(late, Q, candidates)[0]
# late_cosine = np.diag(cosines(Q, late)).mean()
# ```
#
# It minds very much: nearly no cell matches any more, the cosine is close to 0 and the loss close
# to $\log 5$. Cosine on rolls knows nothing of "nearly". A network can learn to, before it comes to
# this comparison: its first kernels are a sixteenth note wide (chapter 5).
#
# </details>

# %% tags=["hide"]
gaps = {}
for K in (2, 5, 100, 10_000):
    guessing, perfect_loss = np.log(K), np.log(1 + (K - 1) / np.e)
    gaps[K] = guessing - perfect_loss
assert [f"{gap:.2f}" for gap in gaps.values()] == ["0.38", "0.70", "0.98", "1.00"]
assert max(gaps.values()) < 1

louder = loss_backward(2 * damaged, Q, candidates)
assert np.isclose(
    candidate_loss(2 * damaged, Q, candidates)[0], candidate_loss(damaged, Q, candidates)[0]
)
assert np.allclose(louder, dR / 2)

late = np.roll(rolls, 1, axis=2).reshape(N, -1)
late_loss = candidate_loss(late, Q, candidates)[0]
late_cosine = np.diag(cosines(Q, late)).mean()
assert late_cosine < 0.1 and late_loss > 1.55

# %% [markdown]
# ## What comes next
#
# All parts are on the table: layers, tied weights, a loss. In
# [chapter 8](08_denoising_autoencoder.md) they become one network, and it learns while you watch.
