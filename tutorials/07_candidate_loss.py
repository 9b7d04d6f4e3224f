# %% [markdown]
# # 7. A loss by comparison
#
# A roll of silence gets 99.7% of the cells of real music right. This chapter looks for a loss that
# silence cannot win, and finds one that compares answers with each other.

# %% [markdown]
# **What you'll do.** Watch two obvious losses fail on real music; write the paper's loss in ten
# lines; derive its gradient, check it, and draw it.
#
# **What you'll learn.** Cosine similarity; softmax, logits, cross-entropy and temperature; positives
# and negatives; why this loss cannot reach 0, and why perfect answers do not even minimize it.
#
# **What you need.** [Chapter 1](01_onset_roll.md) (units and rolls),
# [chapter 2](02_fully_connected.md) (gradients and the complex step), and 24 minutes.

# %% [markdown]
# ## What the paper says
#
# In section 4.1 a network receives a corrupted unit and must reconstruct the whole one. The paper
# measures how close it came with the cosine (equation 1). Then it adds *negative examples*: the
# network's answer to a unit is compared with its answers to four other units, and the loss asks
# which of the five belongs to this unit (equations 2 and 3).
#
# That is complicated. We try two simpler losses first.
#
# ## A hundred units of real music
#
# We draw 100 units from our scores, each in a random key, and write each roll in one row.

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
q = rolls.reshape(N, -1)  # (N, D): one target per row

print("rolls", rolls.shape, " targets q", q.shape)
print(f"onsets per unit, on average: {q.sum(axis=1).mean():.1f} of {q.shape[1]:,} cells")
print(f"cells that silence gets right: {100 * (q == 0).mean():.1f}%")

# %% tags=["hide"]
assert q.shape == (100, 5760)
assert f"{100 * (q == 0).mean():.1f}" == "99.7"

# %% [markdown]
# | Symbol | Meaning | Shape |
# | --- | --- | --- |
# | $N$, $D$ | units in the batch; cells in a roll, 60 · 96 | 100; 5,760 |
# | $q$ | the targets; row $q_n$ is unit $n$ | $(N, D)$ |
# | $r$ | the network's answers, the reconstructions; row $r_n$ is the answer for $q_n$ | $(N, D)$ |
# | $L$ | the loss: one number, and lower is better | |
#
# There is no network in this chapter. We make up answers and see what a loss says about them.
#
# ## First try: count the wrong cells
#
# Here are a target and three answers. Every wrong cell has a circle. **Predict first:** which
# answer has the most wrong cells?

# %% alt="A target and three answers, with a circle around each wrong cell"
half_right = np.zeros(q.shape[1])
half_right[np.flatnonzero(q[0])[::2]] = 1  # every other onset of unit 0
extra = rng.choice(np.flatnonzero(q[0] == 0), int(q[0].sum()), replace=False)
too_much = q[0].copy()
too_much[extra] = 1  # every note right, and as many wrong ones

answers = {
    "the target": q[0],
    "silence": np.zeros(q.shape[1]),
    "half of its notes": half_right,
    "its notes and as many wrong ones": too_much,
}
figure, axes = plt.subplots(2, 2, figsize=(8.6, 5), layout="constrained")
for ax, (name, answer) in zip(axes.flat, answers.items(), strict=True):
    wrong = answer != q[0]
    lesson.show_roll(ax, answer.reshape(60, 96), f"{name}: {wrong.sum()} wrong cells")
    pitch, tick = np.nonzero(wrong.reshape(60, 96))
    for x, y in zip((tick + 2) / 24, pitch + 0.5, strict=True):
        ax.plot(x, y, "o", ms=9, mfc="none", color=lesson.ORANGE, clip_on=False)
plt.show()

# %% [markdown]
# By this count, silence is exactly as good as an answer that has *every note right* and adds some
# wrong ones. A network that lowers the count learns to be silent before it learns anything else:
# even the cell that sounds most often is silent in most units.

# %%
print(f"the most frequent cell sounds in {100 * q.mean(axis=0).max():.0f}% of these units")

# %% tags=["hide"]
assert q.mean(axis=0).max() < 0.5  # so silence is the best guess for every single cell
assert (answers["silence"] != q[0]).sum() == (too_much != q[0]).sum()

# %% [markdown]
# ## Second try: the cosine
#
# Think of a roll as a vector in a space of 5,760 dimensions. The **cosine similarity** of two
# vectors, or cosine for short, is the cosine of the angle between them. It ignores the cells that
# are 0 in both:
#
# $$
# \cos(q_n, r_n) = \frac{q_n \cdot r_n}{|q_n| \, |r_n|}
# = \frac{\sum_d q_{nd} r_{nd}}{\sqrt{\sum_d q_{nd}^2} \sqrt{\sum_d r_{nd}^2}}
# $$
#
# $|q_n|$ is the length of the vector. This is the paper's equation 1. The cosine is 1 for equal
# directions, 0 for a right angle, and -1 for opposite directions.

# %%
TINY = 1e-12  # silence has length 0; with this its cosine is 0 instead of 0/0


def lengths(x):
    """(N, D) -> (N,)"""
    return np.sqrt((x * x).sum(axis=1) + TINY)


def cosines(q, r):
    """Every row of q with every row of r: (n, D), (m, D) -> (n, m)."""
    return (q @ r.T) / (lengths(q)[:, None] * lengths(r))


for name, answer in answers.items():
    print(f"{name:33s} cosine {cosines(q[:1], answer[None])[0, 0]:.3f}")

# %% [markdown]
# Now silence is the worst. For rolls of zeros and ones you can compute the cosine by counting: it is
# the number of shared notes, divided by the square root of (notes in one · notes in the other). The
# answer with all 21 notes of the target and 21 wrong ones has $21 / \sqrt{21 \cdot 42} = 0.707$.
#
# How similar are two different units of our hundred?

# %%
S = cosines(q, q)  # (N, N)
others = S[~np.eye(N, dtype=bool)]  # each unit with the 99 others
print(f"cosine of two different units: {others.mean():.3f} on average, at most {others.max():.3f}")
print(f"pairs that share no note at all: {100 * (others == 0).mean():.0f}%")

# %% tags=["hide"]
counted = np.zeros((N, N))
notes = [set(np.flatnonzero(row)) for row in q]
for a, b in np.ndindex(N, N):
    counted[a, b] = len(notes[a] & notes[b]) / np.sqrt(len(notes[a]) * len(notes[b]))
assert np.allclose(S, counted, rtol=1e-9)
assert np.allclose(cosines(q, 5 * q), S)  # only the direction counts
assert np.isclose(cosines(q[:1], too_much[None])[0, 0], 0.5**0.5)

# %% [markdown]
# ## Why the cosine alone is not enough
#
# Imagine a lazy network. It ignores its input and always answers with the average of all units.

# %% alt="The average of a hundred rolls, a pale cloud in the middle octaves"
lazy = np.tile(q.mean(axis=0), (N, 1))  # (N, D), all rows equal
own = np.diag(cosines(q, lazy))  # each target with the answer for it
print(f"the average as the answer:    cosine {own.mean():.3f}")
print(f"another unit as the answer:   cosine {others.mean():.3f}")

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
lesson.show_roll(ax, lazy[0].reshape(60, 96), "the average of 100 units: one answer for all")
plt.show()

# %% tags=["hide"]
assert 4.5 < own.mean() / others.mean() < 5.5

# %% [markdown]
# The average is five times as good as another piece of real music, although it says nothing about
# the unit. A network that only raises the cosine moves towards this cloud first, and may stay there.
#
# ## The paper's way: which of five?
#
# So let the answers compete. For the target $q_n$ take five **candidates** $r_{n1}, \dots, r_{n5}$.
# The first one is the **positive**: the network's answer for this unit, $r_{n1} = r_n$. The four
# others are the **negatives**: the network's answers for four other units of the batch. The
# question is which candidate has the largest cosine with $q_n$.
#
# Here are five candidates as they would be if every answer were perfect, that is, if $r = q$.


# %% alt="A target and its five candidates, with the cosine of each" tags=["thumbnail"]
def draw_candidates(n, rng):
    """Each of n units with four others, all different: (n, 5), itself in column 0."""
    return np.array(
        [[own, *rng.choice(np.delete(np.arange(n), own), 4, replace=False)] for own in range(n)]
    )


candidates = draw_candidates(N, rng)  # (N, 5)
print(candidates[:3])

figure, axes = plt.subplots(2, 3, figsize=(8.8, 4.8), layout="constrained")
lesson.show_roll(axes.flat[0], rolls[0], "target")
for j, ax in enumerate(axes.flat[1:]):
    row = candidates[0, j]
    kind = "negative" if j else "positive"
    lesson.show_roll(ax, rolls[row], f"candidate {j + 1}, {kind}: cosine {S[0, row]:.2f}")
plt.show()

# %% [markdown]
# Two steps turn five cosines into one loss. **Softmax** turns them into probabilities, which are
# positive and add up to 1: each candidate gets its share of the sum of exponentials. With
# $\cos_{nj}$ for the cosine of $q_n$ and its candidate $r_{nj}$:
#
# $$P_{nj} = \frac{e^{\cos_{nj}}}{\sum_{j'=1}^{5} e^{\cos_{nj'}}}$$
#
# This is equation 2. The inputs of a softmax are called **logits**; here they are the cosines.
#
# Then take minus the logarithm of the positive's probability. It is 0 if the network gives the
# positive the probability 1, and large if it gives it a small one. This is the **cross-entropy**.
# The loss is its mean over the batch:
#
# $$L = -\frac{1}{N} \sum_{n} \log P_{n1}$$
#
# (The paper's equation 3 has the sum. Dividing it by $N$ only changes the size of a step.)


# %%
def candidate_loss(r, q, candidates, temperature=1.0):  # temperature: explained below
    """r, q: (N, D); candidates: (N, 5), rows of r. Returns the loss and a cache."""
    S = cosines(q, r)  # (N, N)
    cos = S[np.arange(len(q))[:, None], candidates]  # (N, 5), the positive in column 0
    e = np.exp(cos / temperature)
    P = e / e.sum(axis=1, keepdims=True)  # (N, 5)
    L = -np.log(P[:, 0]).mean()
    return L, (r, q, candidates, temperature, S, P)


L, cache = candidate_loss(q, q, candidates)
print("unit 0, perfect answers: probabilities", np.round(cache[-1][0], 3))

# %% [markdown]
# **Predict first.** Take three networks: the lazy one; one that returns each unit with every other
# note missing; and a perfect one, $r = q$. What are their losses? Is the perfect one's 0?

# %%
half = q.copy()
for row in half:
    row[np.flatnonzero(row)[1::2]] = 0  # every other note

for name, r in (("lazy", lazy), ("half", half), ("perfect", q)):
    own = np.diag(cosines(q, r)).mean()
    print(f"{name:8s} cosine {own:.3f}   loss {candidate_loss(r, q, candidates)[0]:.4f}")

# %% [markdown]
# There are two surprises.
#
# The lazy network gets exactly $\log 5 = 1.609$, the loss of random guessing among five. That is
# what we wanted: five equal answers have five equal cosines, so each gets the probability 1/5,
# however high the cosine is.
#
# But the perfect network is far from 0.

# %% tags=["hide"]
perfect = candidate_loss(q, q, candidates)[0]
assert np.isclose(candidate_loss(lazy, q, candidates)[0], np.log(5))
assert f"{np.log(5):.3f}" == "1.609" and perfect > 0.9
assert np.allclose(cache[-1].sum(axis=1), 1)

# %% [markdown]
# ## Why it cannot reach 0
#
# A cosine is at most 1, so the positive's exponential is at most $e = 2.718$. Suppose all four
# negatives have the same cosine with the target, $\cos_-$. Then
#
# $$L = -\log\frac{e}{e + 4 e^{\cos_-}} = \log\left(1 + 4 e^{\cos_- - 1}\right)$$
#
# If the negatives share nothing with the target, $\cos_- = 0$ and this is 0.905. If they are its
# exact opposite, $\cos_- = -1$ and it is 0.433. A roll has no opposite, because its cells are never
# negative, but an answer may have one: the network's last layer is an ELU (chapter 4), whose output
# goes down to -1. So 0.433 is the least that a target can ever contribute.
#
# The reason is that a softmax depends only on *differences* of logits, and a difference of 1 is
# small. With five candidates it gives the positive a probability of 0.40. Later work therefore
# divides the cosines by a **temperature** $\tau$ below 1, which enlarges the differences:
#
# $$P_{nj} = \frac{e^{\cos_{nj} / \tau}}{\sum_{j'} e^{\cos_{nj'} / \tau}}, \qquad
# L = \log\left(1 + 4 e^{(\cos_- - 1) / \tau}\right) \text{ for perfect answers}$$
#
# The paper has no temperature, which is $\tau = 1$.


# %% alt="The loss of perfect answers against the cosine of the negatives, for three temperatures"
def least(cos, temperature=1.0):
    """The loss of a perfect answer if each of its four negatives has this cosine."""
    return np.log(1 + 4 * np.exp((cos - 1) / temperature))


print(f"negatives at cosine 0: {least(0):.3f}   at -1: {least(-1):.3f}")
for temperature in (1, 0.5, 0.2, 0.1):
    print(f"temperature {temperature:3}: negatives at cosine 0 leave {least(0, temperature):.4f}")

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
cos = np.linspace(-1, 1, 200)
for temperature, style in ((1, "-"), (0.5, "--"), (0.2, ":")):
    label = f"$\\tau$ = {temperature}"
    ax.plot(cos, least(cos, temperature), color=lesson.BLUE, ls=style, lw=2, label=label)
ax.axhline(np.log(5), color=lesson.GREY, lw=1, label="guessing, log 5")
ours = others.mean()
ax.plot(ours, least(ours), "o", color=lesson.ORANGE, label="our units, $\\tau$ = 1")
ax.set(xlabel="cosine of the four negatives with the target", ylabel="loss of perfect answers")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.95))
plt.show()

# %% tags=["hide"]
assert f"{least(0):.3f}" == "0.905" and f"{least(-1):.3f}" == "0.433"
assert f"{np.e / (np.e + 4):.2f}" == "0.40"
assert abs(least(others.mean()) - perfect) < 0.01
assert np.isclose(cosines(q[:1], -0.5 * q[:1])[0, 0], -1)  # within the range of an ELU

# %% [markdown]
# At $\tau = 1$ nearly everything that this loss can tell us lies between 1.609 (guessing) and about
# 0.93 (perfect). When you read "loss 1.19" in a log of tinyembed, compare it with these two numbers.
# (Every training prints the perfect loss of its own music for that reason.)
#
# ## The gradient
#
# We need $dr$, the gradient of the loss with respect to the answers. It takes two steps.
#
# **With respect to the cosines.** Write $-\log P_{n1} = -\cos_{n1} / \tau + \log \sum_{j'} e^{\cos_{nj'} / \tau}$
# and differentiate. The result is the probability, minus 1 for the positive:
#
# $$d\!\cos_{nj} = \frac{1}{N \tau}\left(P_{nj} - [j = 1]\right)$$
#
# ($[j = 1]$ is 1 for the positive and 0 for a negative.) So the loss raises the positive's cosine
# and lowers each negative's in proportion to its probability. The five numbers add up to 0.
#
# **With respect to the answers.** The product $q \cdot r$ in the cosine contributes $q / (|q| |r|)$,
# and the length $|r|$ in the denominator contributes $-\cos(q, r) \, r / |r|^2$. With
# $\hat q = q / |q|$ and $\hat r = r / |r|$, both of length 1, the sum is
#
# $$\frac{\partial \cos(q, r)}{\partial r} = \frac{\hat q - \cos(q, r) \, \hat r}{|r|}$$
#
# This is the direction of the target, minus the part of it that the answer has already. An answer
# is the positive of its own target and a negative of others, so it collects one such term from each
# place where it stands in the table of candidates.


# %%
def loss_backward_by_loops(cache):
    """dr as in the formulas: one candidate of one target at a time."""
    r, q, candidates, temperature, _, P = cache
    q_hat, r_hat = q / lengths(q)[:, None], r / lengths(r)[:, None]
    dr = np.zeros_like(r)
    for n in range(len(q)):
        for j, row in enumerate(candidates[n]):
            dcos = (P[n, j] - (j == 0)) / (len(q) * temperature)
            cos = q_hat[n] @ r_hat[row]
            dr[row] += dcos * (q_hat[n] - cos * r_hat[row]) / lengths(r)[row]
    return dr


# %% [markdown]
# The loops visit 500 pairs. A matrix of shape $(N, N)$ that is zero everywhere except at the
# candidates does the same in two products:


# %%
def candidate_loss_backward(cache):
    """Returns dr, (N, D)."""
    r, q, candidates, temperature, S, P = cache
    dcos = P / (len(q) * temperature)  # (N, 5)
    dcos[:, 0] -= 1 / (len(q) * temperature)
    dS = np.zeros_like(S)  # (N, N): target, answer
    dS[np.arange(len(q))[:, None], candidates] = dcos
    q_hat, r_hat = q / lengths(q)[:, None], r / lengths(r)[:, None]
    dr = dS.T @ q_hat - (dS * S).sum(axis=0)[:, None] * r_hat  # (N, D)
    return dr / lengths(r)[:, None]


L, cache = candidate_loss(half, q, candidates)
dr = candidate_loss_backward(cache)
by_loops = loss_backward_by_loops(cache)
print("loops and matrices agree:", np.allclose(dr, by_loops, rtol=1e-10, atol=1e-15))

# %% [markdown]
# **The check** is chapter 2's complex step, on six small "units" of seven cells, with random
# answers and a temperature of 0.3.


# %%
def complex_step(f, x, delta=1e-30):
    """The gradient of f at x, entry by entry. f: takes an array like x, returns one number."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * delta
        gradient[index] = f(stepped).imag / delta
    return gradient


small_q, small_r = rng.random((6, 7)), rng.standard_normal((6, 7))
small = small_q, draw_candidates(6, rng), 0.3
exact = complex_step(lambda r: candidate_loss(r, *small)[0], small_r)
found = candidate_loss_backward(candidate_loss(small_r, *small)[1])
error = np.abs(found - exact).max() / np.abs(exact).max()
print("every entry agrees to 12 digits:", error < 1e-12)

# %% tags=["hide"]
assert error < 1e-12

# %% [markdown]
# ## What does the loss ask for?
#
# Take the answers with every other note missing again. Gradient descent moves *against* the
# gradient, so a positive entry of $-dr_n$ is a cell that the loss wants raised (blue), and a
# negative entry is one that it wants lowered (orange). Outlined are the cells where the answer has
# a note already. **Predict first:** what happens at the missing notes? Where does the orange come
# from?

# %% alt="Where the loss asks for more and for less, around the notes of one unit"
n = 2
wanted = -N * dr[n].reshape(60, 96)  # without the 1/N of the mean
kept = half[n].reshape(60, 96) > 0
missing = (q[n].reshape(60, 96) > 0) & ~kept

figure, ax = plt.subplots(figsize=(9, 5), layout="constrained")
lesson.show_roll(ax, np.zeros((60, 96)), "minus the gradient, cell by cell")
for sign, color, label in ((1, lesson.BLUE, "more of this"), (-1, lesson.ORANGE, "less of this")):
    pitch, tick = np.nonzero((sign * wanted > 1e-6) & ~kept)
    area = 70 * np.abs(wanted[pitch, tick]) / np.abs(wanted).max()
    ax.scatter(tick / 24, pitch + 0.5, area, color=color, lw=0, label=label, clip_on=False)
pitch, tick = np.nonzero(kept)
ax.scatter(
    tick / 24, pitch + 0.5, 40, marker="s", facecolor="none", edgecolor=lesson.INK, lw=1.2,
    label="there already", clip_on=False,
)  # fmt: skip
figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
plt.show()

print(f"at a missing note:             {wanted[missing].mean():+.4f}")
print(f"at a note of another target:   {wanted[wanted < -1e-6].mean():+.4f}")
print("at a note that is there, zero:", np.abs(wanted[kept]).max() < 1e-6)

# %% tags=["hide"]
target = missing | kept
assert wanted[missing].min() > 0 and np.abs(wanted[kept]).max() < 1e-6
assert wanted[~target].max() <= 1e-12 and wanted[~target].min() < 0
assert wanted[missing].mean() > 2.5 * np.abs(wanted[wanted < -1e-6]).mean()
along = (dr * half).sum(axis=1) / (lengths(dr) * lengths(half))
assert np.allclose(along, 0, atol=1e-9)

# %% [markdown]
# The missing notes are blue, and all but one of the dots are large. The orange dots are notes of the
# targets for which this answer is a negative: the loss asks it to be less like them. (The small blue
# dot is a missing note that one of those targets has as well.) At the notes that are there already,
# it asks for nothing. They have the right proportions, and making the answer louder would not change
# its direction. (In general $dr_n \cdot r_n = 0$: the gradient is at a right angle to the answer.)
#
# ## What the temperature does
#
# Here is the unit whose negatives include the most similar one, with four kinds of answers: perfect;
# half of the notes; the average; and perfect, but half a beat late.

# %%
late = np.roll(rolls, 12, axis=2).reshape(N, -1)  # 12 ticks
kinds = {"perfect": q, "half of the notes": half, "the average": lazy, "half a beat late": late}
n = int(S[np.arange(N)[:, None], candidates][:, 1:].max(axis=1).argmax())
five = {name: cosines(q, r)[n, candidates[n]].round(3) for name, r in kinds.items()}  # (5,) each


def one_unit(cos, temperature):
    """cos: (5,). The loss of one unit, the probabilities, and the gradient: (5,) each."""
    e = np.exp(cos / temperature)
    P = e / e.sum()
    return -np.log(P[0]), P, (P - (np.arange(5) == 0)) / temperature


print("cosines:              positive  four negatives               loss at 1    at 0.1")
for name, cos in five.items():
    row = f"{cos[0]:8.3f}  " + "".join(f"{c:7.3f}" for c in cos[1:])
    print(f"{name:20s}{row}      {one_unit(cos, 1)[0]:9.3f} {one_unit(cos, 0.1)[0]:9.3f}")

for temperature in (1.0, 0.1):
    _, P, dcos = one_unit(five["half of the notes"], temperature)
    print(f"\nhalf of the notes, temperature {temperature}")
    print("  probabilities     ", "".join(f"{value:7.3f}" for value in P))
    print("  gradient          ", "".join(f"{value:7.3f}" for value in dcos))

# %% tags=["hide"]
for temperature in (1.0, 0.1):
    _, check = candidate_loss(half, q, candidates, temperature)
    assert np.allclose(check[-1][n], one_unit(five["half of the notes"], temperature)[1], atol=1e-3)
_, _, dcos = one_unit(five["half of the notes"], 0.1)
assert 0.74 < dcos[1:].max() / dcos[1:].sum() < 0.78  # three quarters
_, _, dcos = one_unit(five["half of the notes"], 1)
assert 0.25 < dcos[1:].max() / dcos[1:].sum() < 0.31

# %% [markdown]
# Look at the two gradients. At $\tau = 1$ the four negatives are pushed away almost equally, even the
# two that share no note with the target. At $\tau = 0.1$ three quarters of the push go to the most
# similar one. Such a negative is called a **hard negative**, and a low temperature makes training
# concentrate on hard negatives. It also makes errors expensive: the answer that is half a beat late
# is less similar to the target than two of the negatives, and at $\tau = 0.1$ the loss is well above
# guessing.
#
# **Try it.** [The temperature slider](pages/temperature.html) is a page with these four cases. Save
# it, open it in a browser, and drag the cosines and the temperature:
#
# - Choose "the average" and move the temperature. Why does the loss stay at 1.609?
# - Choose "half of the notes" and lower the temperature from 1. Where do the four negatives stop
#   having about equal gradients? Which one is left at 0.05?
# - Choose "half a beat late". Is the loss lowest at the highest or at the lowest temperature? Why?
#
# ## Perfect is not best
#
# If the perfect answers, $r = q$, minimized the loss, the gradient there would be 0. Is it?

# %% alt="The loss falls below that of perfect answers as the average is subtracted"
at_perfect = candidate_loss_backward(candidate_loss(q, q, candidates)[1])
print(f"largest entry of N dr at r = q: {N * np.abs(at_perfect).max():.3f}")

shares = np.linspace(0, 1.6, 33)
average = q.mean(axis=0)
losses = [candidate_loss(q - share * average, q, candidates)[0] for share in shares]
best = int(np.argmin(losses))
best_cosine = np.diag(cosines(q, q - shares[best] * average)).mean()
print(f"perfect answers:                    loss {losses[0]:.4f}, cosine 1.000")
print(f"perfect minus {shares[best]:.2f} times the average: loss {losses[best]:.4f}, "
      f"cosine {best_cosine:.3f}")  # fmt: skip

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(shares, losses, color=lesson.BLUE, lw=2)
ax.plot(0, losses[0], "s", color=lesson.INK, ms=7, label="perfect answers", clip_on=False)
ax.plot(shares[best], losses[best], "o", color=lesson.ORANGE, ms=8, label="lowest loss")
ax.set(xlabel="how many times the average is subtracted from every answer", ylabel="loss")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
assert losses[best] < losses[0] - 0.005 and np.abs(at_perfect).max() > 1e-4
assert best_cosine < 0.99

# %% [markdown]
# It is not 0. If an answer leaves out what all units have in common, and even goes below zero there,
# its cosine with its own target falls a little, but its cosines with the other targets fall more.
# The loss does not ask for a copy of the unit. It asks for what distinguishes this unit from others.
# That is a useful question if the goal is an embedding.
#
# ## The package does the same
#
# tinyembed's layer is [`CandidateCosineLoss`](../tinyembed/layers/candidate_loss.py). It takes rolls
# of shape $(N, 60, 96)$, and it subtracts the largest logit before it takes exponentials: the
# softmax stays the same, and `exp` cannot overflow. The product of all targets with all answers
# multiplies mostly by zeros. On a CPU the package looks at each answer only where the target has an
# onset ([sparse_cosines.py](../tinyembed/backends/cpu/sparse_cosines.py)).

# %%
from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.training.examples import draw_candidates as draw_of_the_package

for temperature in (1.0, 0.1):
    layer = CandidateCosineLoss(temperature)
    their_L, their_cache = layer.forward(half.reshape(N, 60, 96), rolls, candidates)
    L, cache = candidate_loss(half, q, candidates, temperature)
    assert np.isclose(their_L, L, rtol=1e-12)
    their_dr = layer.backward(their_cache).reshape(N, -1)
    assert np.allclose(their_dr, candidate_loss_backward(cache), rtol=1e-9, atol=1e-15)

drawn = draw_of_the_package(N, np.random.default_rng(0))
assert (drawn[:, 0] == np.arange(N)).all()  # itself first
assert all(len(set(row)) == 5 for row in drawn)  # all different
print("the same loss and the same gradient, at temperatures 1 and 0.1")

# %% [markdown]
# ## Exercises
#
# 1. **More candidates.** What is the loss of guessing, and what is the loss of perfect answers if the
#    negatives have cosine 0? How far apart are the two with 2, 5, 100 and 10,000 candidates?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    for count in (2, 5, 100, 10_000):
#        gap = np.log(count) - np.log(1 + (count - 1) / np.e)
#        print(f"{count} candidates: {gap:.2f}")
#    ```
#
#    With 2 candidates the distance is 0.38, with 5 it is 0.70, with 100 it is 0.98, and with 10,000
#    it is 1.00. It never exceeds 1, because the positive's exponential is at most $e$ times as large
#    as that of a negative with cosine 0. So more candidates alone do not help for long. They need a
#    lower temperature as well.
#    </details>
#
# 2. **One tick late.** Shift the perfect answers by one tick, a twenty-fourth of a beat. You would
#    hardly hear it. What are the mean cosine and the loss at temperature 1?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    r = np.roll(rolls, 1, axis=2).reshape(N, -1)
#    print(f"cosine {np.diag(cosines(q, r)).mean():.3f}")
#    print(f"loss {candidate_loss(r, q, candidates)[0]:.3f}")
#    ```
#
#    The cosine is 0.000, because hardly any cell matches now, and the loss is 1.609, that of guessing.
#    To a cosine, two neighbouring ticks are as different as any other two. A network can learn that
#    they are neighbours, because its first kernels span a sixteenth note (chapter 5).
#    </details>
#
# 3. **How low can it go?** Do not train a network; train the answers. Start at $r = q$ and take 200
#    steps of gradient descent on $r$ itself. (Leave out the cells that are 0 in all targets: it is
#    ten times as fast.)
#
#    <details><summary>Solution</summary>
#
#    ```python
#    few = q[:, q.any(axis=0)]  # (100, 621)
#    r = few.copy()
#    for _ in range(200):
#        L, cache = candidate_loss(r, few, candidates)
#        r = r - 300 * candidate_loss_backward(cache)
#    print(f"loss {L:.3f}, cosine {np.diag(cosines(few, r)).mean():.3f}")
#    ```
#
#    The loss is 0.851, below the 0.935 of perfect answers, and the cosine of each answer with its
#    target has fallen to 0.874.
#    </details>
#
# ## Further reading
#
# - Po-Sen Huang, Xiaodong He, Jianfeng Gao, Li Deng, Alex Acero and Larry Heck, *Learning Deep
#   Structured Semantic Models for Web Search using Clickthrough Data*, 2013: cosines, a softmax, one
#   positive and four negatives, with a factor that plays the part of the temperature.
# - Michael Gutmann and Aapo Hyvärinen, *Noise-contrastive Estimation*, 2010: why comparing real
#   examples with false ones is enough to learn a distribution.
# - Geoffrey Hinton, Oriol Vinyals and Jeff Dean, *Distilling the Knowledge in a Neural Network*,
#   2015: the temperature of a softmax, there a high one.
#
# ## What comes next
#
# We have all the parts: layers, tied weights, a loss. In
# [chapter 8](08_denoising_autoencoder.md) they become one network, and we train it.
