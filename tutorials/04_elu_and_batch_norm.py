# %% [markdown]
# # 4. ELU and batch norm
#
# Send music through seven layers and it fades, or it explodes, and so does the gradient on its way
# back. How does one keep a deep network at a size where it can learn?
#
# **What you'll do**
# - Watch values and gradients vanish in seven layers of random weights.
# - Write batch norm in six short lines, and derive its gradient line by line.
# - Ask "Bach or Monteverdi?" again, with batch norm.
#
# **What you'll learn**
# - Vanishing gradients, initialization, and why activations have the shapes they have.
# - Where each term of batch norm's gradient comes from, and a fast form of it.
# - Why batch norm works differently in training and in use.
#
# **What you need**
# - Chapters [1](01_onset_roll.md) (units), [2](02_fully_connected.md) (the complex step) and
#   [3](03_two_layers.md) (backpropagation, the ELU).
# - 32 minutes.
#
# ## What the paper says
#
# Section 4.1: each layer applies an affine transformation and then a nonlinearity, the *exponential
# linear unit* (ELU), and *batch normalization* is performed on each layer. The paper does not give
# the order. We take: affine, then batch norm, then ELU.
#
# ## A hundred units of real music
#
# We take a batch of $N = 100$ units, as many as in the paper.

# %% alt="Three units of the batch: the one with the fewest notes, a middle one, the fullest one"
import lesson
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from tinyembed.backends.cpu.memory import keep_memory

keep_memory()  # makes training faster, as in chapter 3
corpus = lesson.corpus()
beats = corpus.unit_beats()
beats = beats[corpus.has_onset(beats)]
rolls = corpus.rolls(np.random.default_rng(0).choice(beats, 100, replace=False))  # (100, 60, 96)
units = rolls.reshape(100, -1).astype(float)  # (N, D) = (100, 5760)
notes = units.sum(axis=1)  # (100,)

fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
order = np.argsort(notes, kind="stable")
for ax, n in zip(axes, order[[0, 50, 99]], strict=True):
    lesson.show_roll(ax, rolls[n], f"{notes[n]:.0f} notes")
    ax.set_xlabel("beat")
axes[0].set_ylabel("pitch")
plt.show()

# %% [markdown]
# These units go through seven layers of 256 outputs each. There is no activation yet. The weights
# are random, with standard deviation $1 / \sqrt{D}$ for a layer with $D$ inputs. Then a random
# gradient of size 1 goes back through all of them. **Predict first:** if all weights are half as
# large, how much smaller is what comes out of the seventh layer?


# %% alt="Left: spread after each of seven layers. Right: gradients. Both shrink or grow by layer."
def dense_forward(x, W):
    return x @ W, (x, W)  # no bias: there is a reason below


def dense_backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy  # dx, dW


def seven_layers(x, size, forward, backward):
    """Standard deviations of y and of dy after each of seven random layers: two lists of 7."""
    rng = np.random.default_rng(1)
    caches, spread, gradients = [], [], []
    for _ in range(7):
        D = x.shape[1]
        W = size * rng.standard_normal((D, 256)) / np.sqrt(D)  # (D, 256)
        a, dense_cache = dense_forward(x, W)
        x, cache = forward(a)  # (100, 256)
        caches.append((dense_cache, cache))
        spread.append(x.std())
    dy = rng.standard_normal(x.shape)
    for dense_cache, cache in reversed(caches):
        gradients.insert(0, dy.std())
        dy, _ = dense_backward(backward(dy, cache), dense_cache)
    return spread, gradients


def draw_seven(curves):
    """curves: {size of the weights: what seven_layers returned}."""
    _, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    marks = zip(curves.items(), (lesson.ORANGE, lesson.INK, lesson.BLUE), (12, 7, 3), strict=True)
    for (size, pair), color, width in marks:
        for ax, values in zip(axes, pair, strict=True):
            ax.semilogy(range(1, 8), values, "-o", ms=width, color=color, label=f"weights x {size}")
    axes[0].set(xlabel="after layer", ylabel="standard deviation", title="Values, forward")
    axes[1].set(xlabel="after layer", title="Gradients, backward", ylim=(1e-4, 2e3))
    for ax in axes:
        ax.legend(frameon=False, loc="upper left" if ax is axes[0] else "upper right")
        ax.spines[["top", "right"]].set_visible(False)
    plt.show()


def nothing(x):
    return x, None


plain = {size: seven_layers(units, size, nothing, lambda dy, cache: dy) for size in (0.5, 1, 2)}
draw_seven(plain)
print(f"half the weights: values {plain[1][0][6] / plain[0.5][0][6]:.0f} times smaller", end=", ")
print(f"gradients after layer 1 {plain[1][1][0] / plain[0.5][1][0]:.0f} times smaller")

# %% [markdown]
# 128 is 2 to the power of 7: every layer halves what the layers before it have halved. Gradients
# meet the same factors on their way back (six, because layer 7 receives its own directly). In the
# first case the lower layers receive almost no gradient and learn nothing: **vanishing gradients**.
# In the other case they receive far too much: **exploding gradients**.
#
# ## Initialization
#
# So how large should the weights be? A sum of $D$ independent products $x_d W_d$, with weights of
# mean 0, has
#
# $$\text{mean of } y^2 = D \cdot \text{variance of } W \cdot \text{mean of } x^2$$
#
# To keep the size, the variance of $W$ must be $1 / D$, which explains our $1 / \sqrt{D}$. On the
# way back the sum runs over the $M$ outputs, so gradients ask for $1 / M$. Xavier Glorot and Yoshua
# Bengio proposed a compromise, $2 / (D + M)$ (*Glorot* or *Xavier initialization*). Kaiming He and
# others proposed $2 / D$ for the activation $\max(x, 0)$, which sets half of all values to zero and
# so halves the mean square (*He initialization*).
#
# But a good start is not enough: training changes the weights at every step, and no such start
# helps an input that is small itself.

# %%
small = np.sqrt((units**2).mean())
print(f"root of the mean square of x: {small:.3f}; after the first layer: {plain[1][0][0]:.3f}")

# %% [markdown]
# Rolls are nearly all zeros, and what follows is as small as they are.
#
# ## Activations
#
# An activation multiplies the gradient by its slope. Three well-known ones:


# %% alt="Sigmoid, ReLU and ELU, and their slopes: at most 1/4; 0 or 1; 1 above 0, falling below."
def elu_forward(x):
    below = np.exp(np.where(x.real > 0, 0, x)) - 1
    y = np.where(x.real > 0, x, below)
    return y, y


def elu_backward(dy, cache):
    y = cache
    return dy * np.where(y > 0, 1, y + 1)


line = np.linspace(-4, 3, 281)
sigmoid = 1 / (1 + np.exp(-line))
curves = [
    ("sigmoid", sigmoid, sigmoid * (1 - sigmoid), lesson.GREY, "-"),
    ("ELU", elu_forward(line)[0], elu_backward(1, elu_forward(line)[1]), lesson.BLUE, "-"),
    ("ReLU", np.maximum(line, 0), (line > 0) * 1.0, lesson.ORANGE, "--"),
]
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 2.9), layout="constrained")
for name, y, slope, color, style in curves:
    left.plot(line, y, color=color, ls=style, label=name)
    right.plot(line, slope, color=color, ls=style, label=name)
left.set(title="activation", xlabel="x")
right.set(title="slope", xlabel="x", ylim=(-0.05, 1.1))
for ax in (left, right):
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
print(f"largest slope of the sigmoid: {curves[0][2].max():.2f}; seven of them: {0.25**7:.6f}")

# %% [markdown]
# The *sigmoid* has a slope of at most 1/4, so seven of them in a row make every gradient more than
# 16,000 times smaller. The *ReLU*, $\max(x, 0)$, has slope 1 above zero, but below zero no gradient
# passes. The ELU has slope 1 above zero, and below zero a slope that is never 0.
#
# But the ELU bends near zero, over a width of about one. At the size of 0.05 that we measured, it
# is a straight line. Something must keep the values at the size where it bends.
#
# ## Batch norm, forward
#
# The idea: take one feature, that is, one column of the batch. Subtract its mean over the $N$
# examples, and divide by its standard deviation. Whatever the weights were, the column now has mean
# 0 and variance 1. Then two learned numbers scale and shift it. The formulas are for **one**
# column; all columns are treated alike, independently.
#
# | Symbol | What it is | In code, for all columns | Shape |
# | --- | --- | --- | --- |
# | $x_n$ | value of example n, of N | `x` | (N, D) |
# | $\mu$ | mean over the batch | `mean` | (D,) |
# | $\tilde x_n$ | centred value | `centred` | (N, D) |
# | $\sigma^2$ | variance over the batch | `var` | (D,) |
# | $\epsilon$ | a small number, so that nothing is divided by 0 | `eps` = 0.00001 | |
# | $s$ | 1 / standard deviation | `s` | (D,) |
# | $\hat x_n$ | normalized value | `x_hat` | (N, D) |
# | $\gamma$, $\beta$ | learned scale and shift, at first 1 and 0 | `gamma`, `beta` | (D,) |
# | $y_n$ | output | `y` | (N, D) |
#
# $$
# \begin{aligned}
# \mu &= \frac{1}{N} \sum_n x_n & (1) \qquad & \tilde x_n = x_n - \mu & (2) \\
# \sigma^2 &= \frac{1}{N} \sum_n \tilde x_n^2 & (3) \qquad & s = (\sigma^2 + \epsilon)^{-1/2} & (4) \\
# \hat x_n &= s \, \tilde x_n & (5) \qquad & y_n = \gamma \hat x_n + \beta & (6)
# \end{aligned}
# $$


# %%
def batch_norm(x, gamma, beta, eps=1e-5):
    """x: (N, D); gamma, beta: (D,) -> y: (N, D)."""
    N = len(x)
    mean = x.sum(axis=0) / N  # line 1 (D,)
    centred = x - mean  # line 2 (N, D)
    var = (centred * centred).sum(axis=0) / N  # line 3 (D,)
    s = (var + eps) ** -0.5  # line 4 (D,)
    x_hat = s * centred  # line 5 (N, D)
    y = gamma * x_hat + beta  # line 6 (N, D)
    return y, (centred, s, x_hat, gamma)


W = np.random.default_rng(1).standard_normal((5760, 256)) / np.sqrt(5760)
affine, _ = dense_forward(units, W)  # (100, 256)
gamma, beta = np.ones(256), np.zeros(256)
normalized, _ = batch_norm(affine, gamma, beta)

print("two columns:          before                after")
for d in (0, 1):
    before, after = affine[:, d], normalized[:, d]
    print(f"  {before.mean():+.4f} +- {before.std():.4f}     ", end="")
    print(f"{abs(after.mean()):.4f} +- {after.std():.4f}")

with_bias, _ = batch_norm(affine + 5, gamma, beta)
three_times, _ = batch_norm(3 * affine, gamma, beta, eps=0)
as_it_was, _ = batch_norm(affine, gamma, beta, eps=0)
print("a bias changes nothing:", np.allclose(with_bias, normalized))
print("three times the weights change nothing:", np.allclose(three_times, as_it_was))

# %% tags=["hide"]
assert np.isclose(plain[1][0][6] / plain[0.5][0][6], 128)
assert np.isclose(plain[1][1][0] / plain[0.5][1][0], 64)
assert 0.04 < plain[1][0][6] < 0.06
assert np.abs(normalized.mean(axis=0)).max() < 1e-12
assert 0.99 < normalized.std(axis=0).min() < normalized.std(axis=0).max() < 1
assert 1 / 0.25**7 > 16000

# %% [markdown]
# (The spread is not exactly 1 because $\epsilon$ counts a little beside so small a variance.) The
# size of the weights no longer matters. And a bias, added to every $x_n$ of a column, is subtracted
# again with the mean. So **a layer that batch norm follows needs no bias**; $\beta$ does its work.
#
# ## The price: examples now depend on each other
#
# Until here each example went through a layer alone. Now every $x_n$ has a part in the mean and in
# the variance, and through them in **every** output of its column. **Predict first:** in one column
# we raise $x_3$, the value of a single unit. Which outputs go up, and which go down?

# %%
column = affine[:6, :1]  # (6, 1): six units, one feature
raised = column.copy()
raised[3] += 0.001
before, _ = batch_norm(column, np.ones(1), np.zeros(1))
after, _ = batch_norm(raised, np.ones(1), np.zeros(1))
print("unit   x_hat     how fast it moves")
for n, (x_hat, move) in enumerate(zip(before[:, 0], (after - before)[:, 0] / 0.001, strict=True)):
    print(f"{n:4}   {x_hat:+.2f}   {move:+9.2f}{'   <- raised' if n == 3 else ''}")

# %% [markdown]
# The raised one goes up. The mean goes up as well, and that pulls the others down, but not evenly,
# because the variance has changed too. So a change of one $x$ reaches the loss in three ways:
# **directly**, through its own $\tilde x$ and $\hat x$; **through the variance**, line 3, which
# scales every $\hat x$; and **through the mean**, line 1, which is subtracted from every $x$.
#
# ## Backward, line by line
#
# We are given $dy_n$ and look for $d\gamma$, $d\beta$ and $dx_n$. The two rules of chapter 3 are
# enough: along a path, slopes multiply; where paths meet, contributions add. We walk through the
# six lines from the last to the first.
#
# **Line 6,** $y_n = \gamma \hat x_n + \beta$. The number $\beta$ is used in all $N$ outputs, each
# time with slope 1; $\gamma$ is used with slope $\hat x_n$; and each $\hat x_n$ is used once:
#
# $$
# d\beta = \sum_n dy_n, \qquad d\gamma = \sum_n dy_n \, \hat x_n, \qquad d\hat x_n = \gamma \, dy_n
# $$
#
# **Line 5,** $\hat x_n = s \tilde x_n$. Here $\tilde x_n$ is used with slope $s$, which is the
# direct way, and $s$ is used $N$ times, with slope $\tilde x_n$:
#
# $$\text{directly: } d\tilde x_n = s \, d\hat x_n, \qquad ds = \sum_n d\hat x_n \, \tilde x_n$$
#
# **Lines 4 and 3.** The slope of $(\sigma^2 + \epsilon)^{-1/2}$ is
# $-\frac{1}{2} (\sigma^2 + \epsilon)^{-3/2}$, which is $-\frac{1}{2} s^3$. The slope of
# $\frac{1}{N} \sum_n \tilde x_n^2$ with respect to $\tilde x_n$ is $2 \tilde x_n / N$, a second use
# of $\tilde x_n$:
#
# $$
# d\sigma^2 = -\frac{1}{2} s^3 ds, \qquad
# \text{through the variance: } d\tilde x_n = \frac{2 \tilde x_n}{N} d\sigma^2
# $$
#
# **Lines 2 and 1.** $x_n$ is used in $\tilde x_n = x_n - \mu$ with slope 1, so it inherits the sum
# of both contributions. $\mu$ is subtracted $N$ times and collects from all; each $x_n$ has a part of
# $1 / N$ in it:
#
# $$
# d\mu = -\sum_n \left( s \, d\hat x_n + \frac{2 \tilde x_n}{N} d\sigma^2 \right), \qquad
# \text{through the mean: } dx_n = \frac{1}{N} d\mu
# $$


# %%
def batch_norm_three_parts(dy, cache):
    """dy: (N, D) -> the three parts of dx, each (N, D), then dgamma and dbeta, (D,)."""
    centred, s, x_hat, gamma = cache
    N = len(dy)
    dbeta = dy.sum(axis=0)  # line 6 (D,)
    dgamma = (dy * x_hat).sum(axis=0)  # line 6 (D,)
    dx_hat = gamma * dy  # line 6 (N, D)
    direct = s * dx_hat  # line 5 (N, D)
    ds = (dx_hat * centred).sum(axis=0)  # line 5 (D,)
    dvar = -0.5 * s**3 * ds  # line 4 (D,)
    by_variance = 2 * centred / N * dvar  # line 3 (N, D)
    dmean = -(direct + by_variance).sum(axis=0)  # line 2 (D,)
    by_mean = np.ones((N, 1)) / N * dmean  # line 1 (N, D), the same for all n
    return (direct, by_mean, by_variance), dgamma, dbeta


def complex_step(f, x, delta=1e-30):
    """The gradient of f, a function from an array to one number, at x: entry by entry."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * delta
        gradient[index] = f(stepped).imag / delta
    return gradient


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def loss(x, gamma, beta):
    return (batch_norm(x, gamma, beta)[0] * dy).sum()


rng = np.random.default_rng(4)
x = affine[:12, :3]  # (12, 3)
gamma, beta = rng.uniform(0.5, 2, 3), rng.standard_normal(3)  # not 1 and 0, which hide mistakes
dy = rng.standard_normal((12, 3))
_, cache = batch_norm(x, gamma, beta)
(direct, by_mean, by_variance), dgamma, dbeta = batch_norm_three_parts(dy, cache)
dx_expected = complex_step(lambda x: loss(x, gamma, beta), x)
dgamma_expected = complex_step(lambda gamma: loss(x, gamma, beta), gamma)
dbeta_expected = complex_step(lambda beta: loss(x, gamma, beta), beta)

print("ten digits right: dgamma", relative_error(dgamma, dgamma_expected) < 1e-10, end=", ")
print("dbeta", relative_error(dbeta, dbeta_expected) < 1e-10)
for name, guess in {
    "dx": direct + by_mean + by_variance,
    "dx without the mean": direct + by_variance,
    "dx without the variance": direct + by_mean,
}.items():
    error = relative_error(guess, dx_expected)
    print(f"{name:24} relative error {'< 1e-10' if error < 1e-10 else f'{error:.2f}'}")

# %% tags=["hide"]
assert relative_error(direct + by_mean + by_variance, dx_expected) < 1e-10
assert relative_error(dgamma, dgamma_expected) < 1e-10
assert relative_error(dbeta, dbeta_expected) < 1e-10
for guess in (direct + by_variance, direct + by_mean, direct):
    assert relative_error(guess, dx_expected) > 0.1

# %% [markdown]
# Why the random numbers in `dy`? The plain sum of all outputs would be a simpler loss, with
# $dy_n = 1$ everywhere. **Predict first:** how wrong is the formula without the variance then?

# %%
ones = np.ones((12, 3))
(direct_1, by_mean_1, _), _, _ = batch_norm_three_parts(ones, cache)
true_1 = complex_step(lambda x: batch_norm(x, gamma, beta)[0].sum(), x)
print("the true gradient is 0:", np.abs(true_1).max() < 1e-10)
print("without the variance it is also 0:", np.abs(direct_1 + by_mean_1).max() < 1e-10)

# %% [markdown]
# It passes. The outputs of a column always add up to $N \beta$, so the true gradient of their sum
# is 0, and the incomplete formula gives 0 as well. **Never test with a uniform** `dy`.
#
# ## The short form
#
# Insert the lines into one another. For the way through the variance, insert $d\sigma^2$ and then
# $ds$; the 2 and the ½ cancel, and two of the three factors $s$ turn $\tilde x_n$ and
# $\tilde x_{n'}$ into $\hat x_n$ and $\hat x_{n'}$ (the sum runs over all examples $n'$):
#
# $$
# \frac{2 \tilde x_n}{N} d\sigma^2
# = \frac{2 \tilde x_n}{N} \left( -\frac{1}{2} s^3 \sum_{n'} d\hat x_{n'} \, \tilde x_{n'} \right)
# = -s \, \hat x_n \frac{1}{N} \sum_{n'} d\hat x_{n'} \, \hat x_{n'}
# = -\gamma s \, \hat x_n \frac{d\gamma}{N}
# $$
#
# For the way through the mean, the second part of the sum is 0, because $\sum_n \tilde x_n = 0$. What
# remains is $-\frac{1}{N} \sum_{n'} s \, d\hat x_{n'} = -\gamma s \, d\beta / N$. All three together:
#
# $$dx_n = \gamma s \left( dy_n - \frac{d\beta}{N} - \hat x_n \frac{d\gamma}{N} \right)$$
#
# Fast code goes one step further. Insert $\hat x_n = s (x_n - \mu)$ and sort by $dy_n$, $x_n$, and
# what is the same for all $n$:
#
# $$
# dx_n = \kappa_1 \, dy_n + \kappa_2 \, x_n + \kappa_3, \qquad
# \kappa_1 = \gamma s, \qquad
# \kappa_2 = -\gamma s^2 \frac{d\gamma}{N}, \qquad
# \kappa_3 = \gamma s \, \frac{s \mu \, d\gamma - d\beta}{N}
# $$
#
# The three numbers $\kappa_1$, $\kappa_2$ and $\kappa_3$ are computed once per column; then one pass
# over the batch is enough. The package does it this way and calls them a, b and c.


# %%
def batch_norm_backward(dy, cache):
    """dy: (N, D) -> dx (N, D), dgamma (D,), dbeta (D,)."""
    _, s, x_hat, gamma = cache
    N = len(dy)
    dbeta = dy.sum(axis=0)  # (D,)
    dgamma = (dy * x_hat).sum(axis=0)  # (D,)
    dx = gamma * s * (dy - dbeta / N - x_hat * dgamma / N)  # (N, D)
    return dx, dgamma, dbeta


dx, _, _ = batch_norm_backward(dy, cache)
_, s, x_hat, _ = cache
k1, k2 = gamma * s, -gamma * s**2 * dgamma / 12
k3 = gamma * s * (s * x.mean(axis=0) * dgamma - dbeta) / 12  # (3,) each
by_column = k1 * dy + k2 * x + k3  # (12, 3)
print("short form, ten digits right:      ", relative_error(dx, dx_expected) < 1e-10)
print("k1 dy + k2 x + k3, ten digits right:", relative_error(by_column, dx_expected) < 1e-10)

# %% tags=["hide"]
for term, part in (
    (gamma * s * dy, direct),
    (gamma * s * -dbeta / 12, by_mean),
    (gamma * s * -x_hat * dgamma / 12, by_variance),
):
    assert np.allclose(term, part, rtol=1e-10, atol=0)
assert np.abs(true_1).max() < 1e-10 and np.abs(direct_1 + by_mean_1).max() < 1e-10

# %% [markdown]
# Two pictures of this formula. The first shows one column of forty units, sorted by $\hat x$: how
# fast each $\hat x_n$ (up) moves with each $x_{n'}$ (across). The map on the right is measured by
# complex steps, and the other three are the terms of the formula. They add up to it.

# %% tags=["thumbnail"] alt="Four 40 x 40 maps: direct, mean, variance, and their sum as measured"
x40 = np.sort(affine[:40, :1], axis=0)  # (40, 1)
_, (_, s40, hat40, _) = batch_norm(x40, np.ones(1), np.zeros(1))
three = [
    s40 * np.eye(40),
    -s40 / 40 * np.ones((40, 40)),
    -s40 / 40 * hat40 * hat40.T,
]  # each (40, 40): [n, n']
rows = [
    complex_step(lambda x, n=n: batch_norm(x, np.ones(1), np.zeros(1))[0][n, 0], x40)[:, 0]
    for n in range(40)
]
measured = np.array(rows)  # (40, 40)

fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained", sharey=True)
titles = ("direct", "through the mean", "through the variance", "measured: their sum")
limit = 4 * s40[0] / 40
blue_up = LinearSegmentedColormap.from_list("", [lesson.ORANGE, "white", lesson.BLUE])
for ax, part, title in zip(axes, [*three, measured], titles, strict=True):
    image = ax.imshow(part, cmap=blue_up, vmin=-limit, vmax=limit, origin="lower")
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[], xlabel="this $x_{n'}$ moves")
axes[0].set_ylabel("this $\\hat{x}_n$ follows")
bar = fig.colorbar(image, ax=axes, shrink=0.8, ticks=[-limit, 0, limit], extend="max")
bar.ax.set_yticklabels(["down", "0", "up"])
plt.show()

# %% tags=["hide"]
assert np.allclose(sum(three), measured, rtol=1e-10, atol=1e-10)

# %% [markdown]
# The diagonal is the largest part (ten times darker than shown). The mean lowers all alike. Through
# the variance, raising one unit lowers the others on its side of the mean (orange) and raises those
# on the other side (blue).
#
# For the second picture, plot $dy_n$ over $\hat x_n$ and draw the straight line that fits best. Its
# height at $\hat x = 0$ is $d\beta / N$, and its slope is $d\gamma / N$. What the short form keeps
# is what the line leaves over: **batch norm's gradient is the residual of a linear regression.** A
# line in $\hat x$ is what $\beta$ and $\gamma$ can change by themselves. The layers below are asked
# only for the rest.

# %% alt="dy over x-hat with its regression line, and the residuals that are left as dx"
rng = np.random.default_rng(5)
x40 = affine[:40, :1]
_, cache40 = batch_norm(x40, np.ones(1), np.zeros(1), eps=0)  # exact only for eps = 0
hat40 = cache40[2][:, 0]
dy40 = 0.5 + 0.8 * hat40 + 0.7 * rng.standard_normal(40)
dx40, _, _ = batch_norm_backward(dy40[:, None], cache40)
slope, height = np.polyfit(hat40, dy40, 1)
residual = dy40 - (height + slope * hat40)

fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained", sharey=True)
ends = np.array([hat40.min(), hat40.max()])
left.plot(hat40, dy40, "o", color=lesson.BLUE, ms=4, label="dy of each unit")
left.plot(ends, height + slope * ends, color=lesson.INK, label="line that fits best")
right.axhline(0, color=lesson.INK, lw=1)
right.vlines(hat40, 0, residual, color=lesson.ORANGE, lw=1)
right.plot(hat40, residual, "o", color=lesson.ORANGE, ms=4, label="dx / (gamma s)")
left.set(title="dy, and a line", xlabel="$\\hat{x}$")
right.set(title="what the line leaves over", xlabel="$\\hat{x}$")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left")
plt.show()
print("dx is what is left over:", np.allclose(dx40[:, 0] / cache40[1], residual))

# %% [markdown]
# ## Seven layers again
#
# Now every layer is followed by batch norm and an ELU.


# %% alt="The seven layers with batch norm and ELU: the curves of all sizes lie on each other."
def norm_elu_forward(x):
    y, cache = batch_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]))
    y, elu_cache = elu_forward(y)
    return y, (cache, elu_cache)


def norm_elu_backward(dy, cache):
    norm_cache, elu_cache = cache
    return batch_norm_backward(elu_backward(dy, elu_cache), norm_cache)[0]


steady = {
    size: seven_layers(units, size, norm_elu_forward, norm_elu_backward) for size in (0.5, 1, 2)
}
draw_seven(steady)

# %% tags=["hide"]
assert np.allclose(dx40[:, 0] / cache40[1], residual)
assert all(0.75 < value < 0.85 for spread, _ in steady.values() for value in spread)
assert all(0.5 < value < 1.5 for _, gradients in steady.values() for value in gradients)

# %% [markdown]
# The curves of all three sizes lie on top of each other, and they are level: values stay where the
# ELU bends, and the first layer receives a gradient of nearly the size that the last one received.
#
# ## A unit that comes alone
#
# **Predict first:** the network is trained, and we give it a single unit, a batch of $N = 1$. What
# does batch norm make of it?

# %%
gamma, beta = np.ones(256), np.zeros(256)
alone, _ = batch_norm(affine[:1], gamma, beta)
print("alone, every output is beta:", np.array_equal(alone[0], beta))

# And with others? The unit with the fewest notes, once among the sparsest, once among the fullest.
among_sparse, _ = batch_norm(affine[order[:50]], gamma, beta)
among_full, _ = batch_norm(affine[[order[0], *order[51:]]], gamma, beta)
sizes = np.abs(among_sparse[0]).mean(), np.abs(among_full[0]).mean()
print(f"size of its outputs: {sizes[0]:.2f} among the sparsest units, ", end="")
print(f"{sizes[1]:.2f} among the fullest")

# %% [markdown]
# A value minus the mean of itself is 0, so the unit is lost. Among other units, the result
# depends on them. That is tolerable in training, where batches are drawn at random, but an embedding
# must depend on its unit only.
#
# So batch norm has two modes. In *training* it also keeps *running averages* of the means and
# variances that it meets. Each batch moves them a tenth of the way (`momentum` = 0.1):
#
# $$\text{running mean} \leftarrow \text{running mean} + 0.1 \, (\mu - \text{running mean})$$
#
# (The variance is first multiplied by $N / (N - 1)$, because a sample scatters less around its own
# mean than around the true one.) In *evaluation* the running averages take the place of $\mu$ and
# $\sigma^2$. They are constants then, so only the direct way is left in the backward pass.


# %%
class BatchNorm:
    """Normalizes each column, by the batch in training, by running averages in evaluation."""

    def __init__(self, D, momentum=0.1, eps=1e-5):
        self.momentum, self.eps = momentum, eps
        self.gamma, self.beta = np.ones(D, np.float32), np.zeros(D, np.float32)
        self.running_mean, self.running_var = np.zeros(D, np.float32), np.ones(D, np.float32)

    def forward(self, x, training):
        """x: (N, D) -> y: (N, D)."""
        if training:
            N, mean, var = len(x), x.mean(axis=0), x.var(axis=0)  # x.var divides by N
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * N / (N - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        centred, s = x - mean, (var + self.eps) ** -0.5
        x_hat = s * centred
        return self.gamma * x_hat + self.beta, (centred, s, x_hat, self.gamma, training)

    def backward(self, dy, cache):
        """dy: (N, D) -> dx (N, D), dgamma (D,), dbeta (D,)."""
        *rest, training = cache
        dx, dgamma, dbeta = batch_norm_backward(dy, rest)
        if not training:
            _, s, _, gamma = rest
            dx = gamma * s * dy  # (N, D): the direct way alone
        return dx, dgamma, dbeta


# %% [markdown]
# Batch after batch of a hundred units, the running averages approach the mean and the variance of
# the whole corpus, without ever seeing it at once.

# %% alt="Running mean and variance of one feature over 120 batches, approaching the corpus's own"
rng = np.random.default_rng(6)
norm, track, seen = BatchNorm(2), [], []
for _ in range(120):
    batch = corpus.rolls(rng.choice(beats, 100)).reshape(100, -1)  # (100, 5760)
    seen.append(batch.astype(float) @ W[:, :2])  # (100, 2): two features are enough here
    norm.forward(seen[-1], training=True)
    track.append((norm.running_mean[0], norm.running_var[0]))
track = np.array(track)  # (120, 2)
whole = np.concatenate(seen)[:, 0]  # (12000,)

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3), layout="constrained")
for ax, values, true, name in zip(
    axes, track.T, (whole.mean(), whole.var()), ("mean", "variance"), strict=True
):
    ax.plot(range(1, 121), values, color=lesson.BLUE, label=f"running {name}")
    ax.axhline(true, color=lesson.ORANGE, ls="--", label=f"{name} of all units seen")
    ax.set(title=f"running {name}", xlabel="batch")
    ax.legend(frameon=False, loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(-whole.std(), whole.std())
axes[1].set_yscale("log")
plt.show()

alone, _ = norm.forward(seen[0][:1], training=False)
together, _ = norm.forward(seen[0], training=False)
print("a unit alone, and among a hundred, in evaluation:", np.allclose(alone[0], together[0]))

# %% tags=["hide"]
assert sizes[0] > 1.3 * sizes[1]
assert abs(track[-1, 0] - whole.mean()) < 0.01
assert track[59, 1] / whole.var() > 1.5 and 0.8 < track[-1, 1] / whole.var() < 1.2
assert 300 < 1 / whole.var() < 500
assert np.allclose(alone[0], together[0])

# %% [markdown]
# (The left axis spans one standard deviation up and down.) The variance starts at 1, about 400
# times too high, and after sixty batches it is still more than 50% too high.
#
# Where a layer's output is an image with C channels, as in [chapter 5](05_convolution.md), each
# channel is *one* column: all places of all examples are its rows.
#
# ## Bach or Monteverdi, with batch norm
#
# Chapter 3's network had 32 hidden neurons, and its sums were too small for the ELU. We put batch
# norm between the weights and the ELU. The 600 steps, the learning rate and the three seeds are
# those of chapter 3, and so are the training pieces, in all keys.

# %% alt="Training loss over 600 steps: with batch norm it falls faster and lower than without."
COMPOSERS = ("Bach", "Monteverdi")
KEYS = range(-5, 7)


def beats_and_answers(test):
    """The starts of all units of both composers, (N,), and t: (N, 1), 1 for Bach."""
    both = []
    for name in COMPOSERS:
        is_theirs = corpus.piece_composer == corpus.composers.index(name)
        theirs = corpus.unit_beats(is_theirs & (corpus.piece_is_test == test))
        both.append(theirs[corpus.has_onset(theirs)])
    return np.concatenate(both), np.repeat(np.float32([1, -1]), [len(b) for b in both])[:, None]


class Network:
    """5760 features, M hidden neurons with or without batch norm, one output."""

    def __init__(self, rng, with_norm, M=32):
        W1 = rng.standard_normal((5760, M)) / np.sqrt(5760)
        W2 = rng.standard_normal((M, 1)) / np.sqrt(M)
        self.W1, self.W2 = W1.astype(np.float32), W2.astype(np.float32)
        self.b1, self.b2 = np.zeros(M, np.float32), np.zeros(1, np.float32)
        self.norm = BatchNorm(M) if with_norm else None

    def forward(self, x, training=False):
        """x: (N, 5760) -> y: (N, 1)."""
        a, dense1 = dense_forward(x, self.W1)
        norm = None
        if self.norm:
            a, norm = self.norm.forward(a, training)
        h, elu = elu_forward(a + self.b1)  # with batch norm, b1 stays 0
        y, dense2 = dense_forward(h, self.W2)
        return y + self.b2, (dense1, norm, elu, dense2)

    def step(self, x, t, rate):
        """One step of gradient descent. Returns the loss before it."""
        y, (dense1, norm, elu, dense2) = self.forward(x, training=True)
        dy = -t / (1 + np.exp(t * y)) / len(y)
        dh, dW2 = dense_backward(dy, dense2)
        da = elu_backward(dh, elu)
        if self.norm:
            da, dgamma, dbeta = self.norm.backward(da, norm)
            self.norm.gamma -= rate * dgamma
            self.norm.beta -= rate * dbeta
        else:
            self.b1 -= rate * da.sum(axis=0)
        _, dW1 = dense_backward(da, dense1)
        self.W1 -= rate * dW1
        self.W2 -= rate * dW2
        self.b2 -= rate * dy.sum(axis=0)
        return np.log(1 + np.exp(-t * y)).mean()


train_beats, train_t = beats_and_answers(test=False)
test_beats, test_t = beats_and_answers(test=True)
test_rolls = [corpus.rolls(test_beats, key).reshape(-1, 5760) for key in KEYS]


def train(seed, with_norm, steps=600, rate=0.3, N=100):
    """Returns the accuracy in each of the twelve keys, and the loss of each step."""
    rng = np.random.default_rng(seed)
    network, losses = Network(rng, with_norm), []
    for _ in range(steps):
        n, keys = rng.integers(len(train_beats), size=N), rng.integers(-5, 7, size=N)
        x = corpus.rolls(train_beats[n], keys).reshape(N, 5760)
        losses.append(network.step(x, train_t[n], rate))
    return [float((network.forward(x)[0] * test_t > 0).mean()) for x in test_rolls], losses


without, losses_without = train(0, with_norm=False)
print(f"without batch norm, seed 0: mean of twelve keys {np.mean(without):.3f}", end=", ")
print(f"worst {min(without):.3f}")
accuracies, all_losses = zip(*(train(seed, with_norm=True) for seed in (0, 1, 2)), strict=True)
for seed, row in enumerate(accuracies):
    print(f"with batch norm, seed {seed}: mean {np.mean(row):.3f}, worst {min(row):.3f}")
mean, worst = np.mean(accuracies), np.mean([min(row) for row in accuracies])
print(f"with batch norm, average: mean {mean:.3f}, worst {worst:.3f}")
print(f"always saying Monteverdi: {(test_t < 0).mean():.3f}")
last = [np.mean(losses[-20:]) for losses in (losses_without, all_losses[0])]
print(f"training loss at the end, seed 0: {last[0]:.3f} without batch norm, {last[1]:.3f} with it")

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for name, losses, color in [
    ("without batch norm", losses_without, lesson.ORANGE),
    ("with batch norm", all_losses[0], lesson.BLUE),
]:
    smooth = np.convolve(losses, np.ones(20) / 20, mode="valid")
    ax.plot(range(20, 601), smooth, color=color, label=name)
ax.set(xlabel="step", ylabel="loss, mean of 20 steps", ylim=(0, 0.75), title="Seed 0, training")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
from pathlib import Path

chapter_3 = Path(lesson.__file__).with_name("03_two_layers.md").read_text()
assert "one layer  average: 0.811, worst key 0.674" in chapter_3
assert "two layers average: 0.833, worst key 0.715" in chapter_3
assert "two layers seed 1: mean of twelve keys 0.851" in chapter_3
plain_means = [0.823, 0.851, 0.824]
assert all(f"seed {k}: mean of twelve keys {m}" in chapter_3 for k, m in enumerate(plain_means))
assert all(np.mean(row) > m for row, m in zip(accuracies, plain_means, strict=True))
assert 18 < 1 / plain[1][0][0] < 20
assert abs(mean - 0.859) < 0.001 and abs(worst - 0.737) < 0.001

# %% [markdown]
# With every seed the network is better than without batch norm: .859 on average, where chapter 3
# measured .833 without it and .811 for a single layer. In the worst key the averages are .737, .715
# and .674. The training loss falls faster and lower. There are two reasons: the hidden neurons use
# the bend of the ELU from the first step on, and on its way back batch norm multiplies the gradient
# by $s$, which is nearly 20 for sums of size 0.053.
#
# The result has limits. In the worst key it is still below the .762 of always saying Monteverdi.
# The seeds lie between .846 and .873, and chapter 3's best single run without batch norm had .851:
# compare averages, not runs. And a hidden neuron has a separate weight for each pitch and each tick,
# so what it learns in one place does not help in another.
#
# ## The package does the same
#
# [`Elu`](../tinyembed/layers/elu.py) and [`BatchNorm`](../tinyembed/layers/batchnorm.py) hold the
# gradients of $\gamma$ and $\beta$ as `gamma.grad` and `beta.grad`. Where an ELU follows batch norm
# at once, as in all encoders here, [`BatchNormElu`](../tinyembed/layers/batchnorm_elu.py) is both,
# in fewer passes over memory. On a CPU, `multiples` computes our $\kappa_1$, $\kappa_2$
# and $\kappa_3$.

# %%
from tinyembed.backends.cpu.batchnorm import multiples
from tinyembed.layers import batchnorm, gradcheck
from tinyembed.layers import elu as package_elu

gamma = cache[3]  # of the small batch above, like x, s, dgamma, dbeta, k1, k2 and k3
theirs = multiples(x.mean(axis=0), x.var(axis=0), gamma, dbeta, dgamma / s, 12, 1e-5)
for one, ours in zip(theirs, (k1, k2, k3), strict=True):
    assert np.allclose(one, ours, rtol=1e-10)

rng = np.random.default_rng(8)
x, dy = affine[:, :5], rng.standard_normal((100, 5))
theirs = package_elu.Elu()
y, cache = theirs.forward(x)
assert np.allclose(y, elu_forward(x)[0], rtol=1e-12)
assert np.allclose(theirs.backward(dy, cache), elu_backward(dy, elu_forward(x)[1]), rtol=1e-12)

theirs, ours = gradcheck.cast(batchnorm.BatchNorm(5), float), BatchNorm(5)
ours.running_mean, ours.running_var = np.zeros(5), np.ones(5)  # in float64
ours.gamma, ours.beta = rng.uniform(0.5, 2, 5), rng.standard_normal(5)
theirs.gamma.value[:], theirs.beta.value[:] = ours.gamma, ours.beta
for training in (True, False):
    y, cache = theirs.forward(x, training)
    y_ours, cache_ours = ours.forward(x, training)
    theirs.gamma.grad[:], theirs.beta.grad[:] = 0, 0
    dx = theirs.backward(dy, cache)
    dx_ours, dgamma, dbeta = ours.backward(dy, cache_ours)
    assert np.allclose(y, y_ours, rtol=1e-10)
    assert np.allclose(dx, dx_ours, rtol=1e-10)
    assert np.allclose(theirs.gamma.grad, dgamma, rtol=1e-10)
    assert np.allclose(theirs.beta.grad, dbeta, rtol=1e-10)
    assert np.allclose(theirs.running_mean, ours.running_mean, rtol=1e-10)
    assert np.allclose(theirs.running_var, ours.running_var, rtol=1e-10)
print("the package's ELU and batch norm: the same numbers, forward and backward, in both modes")

# %% [markdown]
# ## Exercises
#
# 1. **A steeper ELU.** Some take $y = 2 (e^x - 1)$ below zero. Write the slope in terms of $y$
#    alone, and check it. What is lost at zero?
#
#    <details><summary>Solution</summary>
#
#    Below zero the slope is $2 e^x = y + 2$. Just below zero it is 2, and just above it is 1: the
#    curve has a kink, which the paper's ELU does not have.
#
#    ```python
#    def steep(x):
#        return np.where(x.real > 0, x, 2 * (np.exp(np.where(x.real > 0, 0, x)) - 1))
#
#    x = np.array([-2, -1, -1e-9, 1e-9, 1])
#    slope = np.where(x > 0, 1, steep(x) + 2)
#    assert relative_error(slope, complex_step(lambda x: steep(x).sum(), x)) < 1e-10
#    print("just below and above zero:", slope[2].round(6), slope[3])
#    ```
#    </details>
#
# 2. **A batch of two.** Normalize a batch of $N = 2$ with $\epsilon = 0$. Which values can
#    $\hat x$ have? What must $dx$ be, without any calculation? Check both.
#
#    <details><summary>Solution</summary>
#
#    The mean lies halfway, and both values are one standard deviation away from it: the smaller one
#    becomes -1 and the larger one 1, whatever they were. A small change of $x$ leaves $\hat x$ as it
#    is, so $dx$ is 0. (A straight line through two points leaves no
#    residual.)
#
#    ```python
#    x = np.array([[0.3], [11.0]])
#    y, cache = batch_norm(x, np.ones(1), np.zeros(1), eps=0)
#    dx, _, _ = batch_norm_backward(np.array([[0.7], [-2.0]]), cache)
#    assert np.abs(dx).max() < 1e-12
#    print(y[:, 0].round(6), np.abs(dx).max().round(6))
#    ```
#    </details>
#
# 3. **Layer norm** normalizes each example over its own $D$ features, instead of each feature over
#    the examples. Write its forward and backward with the functions above. Does a unit now depend
#    on the other units of its batch?
#
#    <details><summary>Solution</summary>
#
#    Transpose, normalize with $\gamma = 1$ and $\beta = 0$, transpose back, then scale and shift.
#    An example is normalized alone, so no running averages are needed. The gradient has ten digits
#    right, and the outputs of a unit differ by 0.0 when the other units change.
#
#    ```python
#    def layer_norm(x, gamma, beta):
#        x_hat, cache = batch_norm(x.T, np.ones(1), np.zeros(1))
#        return gamma * x_hat.T + beta, (x_hat.T, cache, gamma)
#
#    def layer_norm_backward(dy, cache):
#        x_hat, norm_cache, gamma = cache
#        dx, _, _ = batch_norm_backward((gamma * dy).T, norm_cache)
#        return dx.T, (dy * x_hat).sum(axis=0), dy.sum(axis=0)
#
#    x, dy = np.random.default_rng(9).standard_normal((2, 5, 6))
#    gamma, beta = np.random.default_rng(10).standard_normal((2, 6))
#    y, cache = layer_norm(x, gamma, beta)
#    dx, dgamma, _ = layer_norm_backward(dy, cache)
#    expected = complex_step(lambda x: (layer_norm(x, gamma, beta)[0] * dy).sum(), x)
#    assert relative_error(dx, expected) < 1e-10
#    print(np.abs(layer_norm(x[:1], gamma, beta)[0] - y[:1]).max())
#    ```
#    </details>
#
# ## Further reading
#
# - Xavier Glorot and Yoshua Bengio, "Understanding the Difficulty of Training Deep Feedforward
#   Neural Networks", 2010: where the variance of initial weights comes from.
# - Kaiming He and others, "Delving Deep into Rectifiers", 2015: the same for ReLU.
# - Djork-Arné Clevert, Thomas Unterthiner and Sepp Hochreiter, "Fast and Accurate Deep Network
#   Learning by Exponential Linear Units (ELUs)", 2016: the paper's activation.
# - Sergey Ioffe and Christian Szegedy, "Batch Normalization: Accelerating Deep Network Training by
#   Reducing Internal Covariate Shift", 2015: batch norm itself.
#
# ## What comes next
#
# A chord is the same chord in every beat, but our layers must learn it in each place anew.
# [Chapter 5](05_convolution.md) asks one question everywhere, and it is still a matrix product.
