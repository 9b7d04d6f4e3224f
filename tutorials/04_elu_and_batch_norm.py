# %% [markdown]
# # 4. ELU and batch norm
#
# Seven layers are worth no more than one until something between them bends, and a bend is worth
# nothing where the values are too faint to feel it.
#
# **What you'll do.** Send real music through seven layers and watch it fade; write batch norm in
# six short lines, and go back through each; leave terms out and be caught.
#
# **What you'll learn.** Why a network needs a bend, and which one the paper takes; where each term
# of batch norm's gradient comes from: directly, through the variance, through the mean; why the sum
# of the outputs is a bad loss to test with.
#
# **What you need.** [Chapter 1](01_onset_roll.md) (units and rolls),
# [chapter 2](02_fully_connected.md) (a layer, its gradient, the complex step), the chain rule from
# school, and 25 minutes.
#
# ## What the paper says
#
# Section 4.1: a layer takes what the layer before it made, applies an affine map (chapter 2) and
# then a nonlinearity. The nonlinearity is the *exponential linear unit*, ELU, and *batch
# normalization* is performed on each layer. It does not say in which order. We take: affine, then
# batch norm, then ELU.
#
# ## A hundred units of real music
#
# A unit is four beats, a 60 x 96 roll of zeros with a one wherever a note starts
# ([chapter 1](01_onset_roll.md)). A *batch* is a handful of them that go through the network
# together: N = 100, as in the paper.

# %% alt="Three units of the batch: the one with the fewest notes, a middle one, the fullest one"
import lesson
import matplotlib.pyplot as plt
import numpy as np

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
plt.show()

# %% [markdown]
# The three have very different amounts to say. A layer of chapter 2, $y = x W + b$, adds up what is
# there, so a full unit comes out large and a sparse one small. We shall meet them again; first a
# question.
#
# **Predict.** Take seven layers of 256 outputs each, one behind the other. Their weights are random
# numbers of standard deviation $1 / \sqrt{D}$, for a layer with D inputs. If we make all weights
# half as large, how much smaller is what comes out of the seventh layer?


# %% alt="Spread of the values after each of seven layers, for three sizes of weights"
def seven_layers(x, size, then):
    """The standard deviation of all values after each of seven random layers."""
    rng = np.random.default_rng(1)
    spread = []
    for _ in range(7):
        D = x.shape[1]
        W = size * rng.standard_normal((D, 256)) / np.sqrt(D)  # (D, 256)
        x = then(x @ W)  # (100, 256)
        spread.append(x.std())
    return spread


def nothing(x):
    return x


def draw_spreads(curves, title):
    _, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for (size, spread), width in zip(curves.items(), (13, 8, 3), strict=True):
        ax.semilogy(range(1, 8), spread, "-o", ms=width, label=f"weights x {size}")
    ax.set(xlabel="after layer", ylabel="standard deviation", title=title, ylim=(1e-4, 30))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    plt.show()


plain = {size: seven_layers(units, size, nothing) for size in (0.5, 1, 2)}
draw_spreads(plain, "A hundred units on their way through seven layers")
print(f"half the weights: {plain[1][6] / plain[0.5][6]:.0f} times smaller")

# %% [markdown]
# 128 = 2 to the 7th, exactly: each layer halves what the others have halved. Gradients on their way
# back meet the same seven factors. Training changes the weights at every step, so some layers will
# soon whisper and others shout.
#
# And there is a second trouble: **seven such layers are one layer.** Matrix products can be taken
# in any order of brackets,
#
# $$((x W_1) W_2) W_3 = x (W_1 W_2 W_3),$$
#
# and what stands in the brackets on the right is a single matrix.

# %%
rng = np.random.default_rng(2)
W1, W2, W3 = (rng.standard_normal(shape) for shape in ((5760, 64), (64, 64), (64, 10)))
three_layers = ((units @ W1) @ W2) @ W3  # (100, 10)
one_layer = units @ (W1 @ W2 @ W3)  # (100, 10)
print("the same:", np.allclose(three_layers, one_layer))

# %% [markdown]
# ## A bend: the ELU
#
# Between two layers there must be something that is no straight line. The paper takes
#
# $$y = x \quad\text{where}\quad x > 0, \qquad y = e^x - 1 \quad\text{where}\quad x \le 0,$$
#
# for every number by itself: $x$ and $y$ have the same shape, whatever it is. Above zero nothing
# happens. Below, a value may sink as deep as it likes, the answer never falls under −1.
#
# Its slope is $1$ above zero and $e^x$ below. There, $e^x = y + 1$: **the output already knows the
# slope**, so the backward pass needs to keep only y. With $dy$ for the gradient of the loss with
# respect to y, and $dx$ with respect to x (chapter 2):
#
# $$dx = dy \quad\text{where}\quad y > 0, \qquad dx = dy (y + 1) \quad\text{where}\quad y \le 0.$$


# %%
def elu(x):
    """x: any shape -> y: the same."""
    small = np.exp(np.where(x.real > 0, 0, x)) - 1  # no overflow where x is large
    return np.where(x.real > 0, x, small)


def elu_backward(dy, y):
    return dy * np.where(y > 0, 1, y + 1)


# %% [markdown]
# (`x.real` is x itself, for real numbers. It is written so that a complex step can pass through:
# the question "above zero?" is asked of the real part alone.)
#
# Is the formula right? Chapter 2's judge: a complex step in each entry.


# %%
def complex_step(f, x, h=1e-30):
    """The gradient of f, a function from an array to one number, at x: entry by entry."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * h
        gradient[index] = f(stepped).imag / h
    return gradient


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


rng = np.random.default_rng(3)
x = rng.standard_normal((6, 4))
dy = rng.standard_normal((6, 4))  # some loss, whose gradient at y is dy: L = sum of y * dy
expected = complex_step(lambda x: (elu(x) * dy).sum(), x)
found = elu_backward(dy, elu(x))
print("ELU agrees to ten digits:", relative_error(found, expected) < 1e-10)

# %% alt="Left: the ELU, a straight line above zero that bends to -1 below. Right: its slope."
line = np.linspace(-4, 3, 281)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
left.plot(line, elu(line), color=lesson.BLUE)
left.axhline(-1, color=lesson.GREY, lw=0.8, ls="--")
right.plot(line, elu_backward(np.ones(281), elu(line)), color=lesson.ORANGE)
left.set(title="y = elu(x)", xlabel="x")
right.set(title="its slope, 1 or y + 1", xlabel="x", ylim=(-0.05, 1.1))
for ax in (left, right):
    ax.axvline(0, color=lesson.GREY, lw=0.5)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The slope has no jump at zero, and it is nowhere exactly 0: a gradient can always get through, if
# faintly. (Many networks take $\max(x, 0)$ instead, whose slope below zero is 0.)
#
# The bend lies near zero and is about one unit wide. Now look at what our layers handed on: even
# with weights of the right size the values spread by 0.05. At that scale the ELU is a straight line
# too:

# %%
whisper = 0.05 * np.linspace(-1, 1, 101)
bent_away = np.abs(elu(whisper) - whisper).max()
print(f"largest difference between elu(x) and x, for |x| up to 0.05: {bent_away:.4f}")

# %% tags=["hide"]
assert np.isclose(plain[1][6] / plain[0.5][6], 128)
assert 0.04 < plain[1][6] < 0.06
assert bent_away < 0.0013

# %% [markdown]
# So a bend alone is not enough. Somebody must keep the values at the size where it bends.
#
# ## Batch norm, forward
#
# The idea: look at one feature, that is, one of the D columns, in all N examples of the batch at
# once. Subtract the column's mean, divide by its standard deviation. Whatever the weights did, the
# column now has mean 0 and spread 1. Then let two learned numbers move it to where the network
# wants it.
#
# Everything below is for **one** column; all columns are treated alike, and none knows of another.
#
# | Symbol | What it is | In code, for all columns | Shape |
# | --- | --- | --- | --- |
# | $x_n$ | value of example n, of N | `x` | (N, D) |
# | $m$ | mean over the batch | `mean` | (D,) |
# | $c_n$ | centred value | `c` | (N, D) |
# | $v$ | variance over the batch | `var` | (D,) |
# | $\epsilon$ | a small number, so that nothing is divided by 0 | `eps` = 0.00001 | |
# | $s$ | 1 / standard deviation | `s` | (D,) |
# | $z_n$ | normalized value | `z` | (N, D) |
# | $\gamma$, $\beta$ | learned scale and shift, at first 1 and 0 | `gamma`, `beta` | (D,) |
# | $y_n$ | output | `y` | (N, D) |
#
# Six lines:
#
# $$m = \frac{1}{N} \sum_k x_k \qquad (1)$$
#
# $$c_n = x_n - m \qquad (2)$$
#
# $$v = \frac{1}{N} \sum_k c_k^2 \qquad (3)$$
#
# $$s = (v + \epsilon)^{-1/2} \qquad (4)$$
#
# $$z_n = s c_n \qquad (5)$$
#
# $$y_n = \gamma z_n + \beta \qquad (6)$$


# %%
def batch_norm(x, gamma, beta, eps=1e-5):
    """x: (N, D); gamma, beta: (D,) -> y: (N, D), and what the way back will need."""
    N = len(x)
    mean = x.sum(axis=0) / N  # line 1 (D,)
    c = x - mean  # line 2 (N, D)
    var = (c * c).sum(axis=0) / N  # line 3 (D,)
    s = (var + eps) ** -0.5  # line 4 (D,)
    z = s * c  # line 5 (N, D)
    y = gamma * z + beta  # line 6 (N, D)
    return y, (c, s, z, gamma)


W = np.random.default_rng(1).standard_normal((5760, 256)) / np.sqrt(5760)
affine = units @ W  # (100, 256)
gamma, beta = np.ones(256), np.zeros(256)
normalized, _ = batch_norm(affine, gamma, beta)

print("three columns:        before                after")
for d in (0, 1, 2):
    a, b = affine[:, d], normalized[:, d]
    print(f"  {a.mean():+.4f} +- {a.std():.4f}     {abs(b.mean()):.4f} +- {b.std():.4f}")

# %% [markdown]
# (The spread is 0.998 and not 1 because of $\epsilon$: it is not quite nothing beside a variance
# of 0.003. Further up in the network it is.)

# %% tags=["hide"]
assert np.abs(normalized.mean(axis=0)).max() < 1e-12
assert 0.99 < normalized.std(axis=0).min() < normalized.std(axis=0).max() < 1
assert 0.0025 < affine[:, :3].var() < 0.0035


# %% alt="The same seven layers with batch norm and ELU: three curves on top of each other"
def norm_and_elu(x):
    y, _ = batch_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]))
    return elu(y)


steady = {size: seven_layers(units, size, norm_and_elu) for size in (0.5, 1, 2)}
draw_spreads(steady, "The same layers, each followed by batch norm and ELU")

# %% tags=["hide"]
assert all(0.75 < value < 0.85 for spread in steady.values() for value in spread)

# %% [markdown]
# Three curves, one on top of the other. The size of the weights no longer matters at all, and the
# values lie where the ELU bends.
#
# Two things follow at once. If $x$ is multiplied by 3, so are $c$ and the standard deviation, and
# $z$ stays. And a bias $b$ added to every $x_n$ of a column is subtracted again with the mean. So
# **a layer that batch norm follows needs no bias**; $\beta$ does that work.

# %%
with_bias, _ = batch_norm(affine + 5, gamma, beta)
three_times, _ = batch_norm(3 * affine, gamma, beta, eps=0)
as_it_was, _ = batch_norm(affine, gamma, beta, eps=0)
print("a bias changes nothing:", np.allclose(with_bias, normalized))
print("three times the weights change nothing:", np.allclose(three_times, as_it_was))

# %% [markdown]
# ## The price: examples now know each other
#
# Until here each example went through a layer alone. Now it does not: every $x_n$ has a part in the
# mean and in the variance, and through them in **every** output of the column.
#
# **Predict.** In one column we raise $x_3$, the value of one single unit. Which outputs go up,
# which go down?

# %%
column = affine[:8, :1]  # (8, 1): eight units, one feature, to have little to read
raised = column.copy()
raised[3] += 0.001
before, _ = batch_norm(column, np.ones(1), np.zeros(1))
after, _ = batch_norm(raised, np.ones(1), np.zeros(1))
print("unit     z       how fast it moves")
for n, (z, move) in enumerate(zip(before[:, 0], (after - before)[:, 0] / 0.001, strict=True)):
    print(f"{n:4}   {z:+.2f}   {move:+9.2f}{'   <- raised' if n == 3 else ''}")

# %% [markdown]
# The raised one goes up. The mean goes up too, and that pulls all others down. But not evenly: the
# raised one moved away from the middle, so the variance grew, and all are pressed together a
# little. Those far above the middle lose most, those far below get some of their loss back.
#
# So there are three ways for a change of one $x$ to reach the loss:
#
# - **directly**, by its own $c$ and $z$;
# - **through the variance**, line 3, which every $z$ is divided by;
# - **through the mean**, line 1, which every $x$ has subtracted.
#
# ## Backward, line by line
#
# We are given $dy_n$, the gradient of the loss $L$ with respect to each $y_n$, and look for
# $d\gamma$, $d\beta$ and $dx_n$. Two rules are enough:
#
# - *One use:* if $a$ makes $b$, then $da = db$ times the slope of $b$ in $a$.
# - *Several uses:* if $a$ is used in several places, the gradients from all of them **add**.
#
# We walk the six lines from the last to the first. Each has one new idea at most.
#
# **Line 6,** $y_n = \gamma z_n + \beta$. The one number $\beta$ is used in all N outputs, each time
# with slope 1. The one number $\gamma$ is used N times too, with slope $z_n$. Each $z_n$ is used
# once, with slope $\gamma$:
#
# $$d\beta = \sum_n dy_n \qquad\qquad d\gamma = \sum_n dy_n z_n \qquad\qquad dz_n = \gamma dy_n$$
#
# **Line 5,** $z_n = s c_n$. Each $c_n$ is used here with slope $s$; this is the direct way. And $s$
# is used N times, with slope $c_n$:
#
# $$\text{directly:}\quad dc_n = s dz_n \qquad\qquad ds = \sum_n dz_n c_n$$
#
# **Line 4,** $s = (v + \epsilon)^{-1/2}$. The slope of a power: take the exponent to the front and
# lower it by one, $-\frac{1}{2} (v + \epsilon)^{-3/2}$. And $(v + \epsilon)^{-3/2}$ is just $s^3$:
#
# $$dv = -\frac{1}{2} s^3 ds$$
#
# **Line 3,** $v = \frac{1}{N} \sum_k c_k^2$. Each $c_n$ is in there once, squared and divided by N:
# slope $2 c_n / N$. This is a second use of $c_n$, so it adds to the first:
#
# $$\text{through the variance:}\quad dc_n = \frac{2 c_n}{N} dv$$
#
# **Line 2,** $c_n = x_n - m$. Both uses of $c_n$ are known now, and together they are
#
# $$dc_n = s dz_n + \frac{2 c_n}{N} dv$$
#
# Here $x_n$ is used with slope 1, so it inherits both as they are. The mean is subtracted N times,
# slope −1 each, and collects from all:
#
# $$dm = -\sum_n dc_n$$
#
# **Line 1,** $m = \frac{1}{N} \sum_k x_k$. The second use of $x_n$, with slope $1 / N$:
#
# $$\text{through the mean:}\quad dx_n = \frac{1}{N} dm$$
#
# That is all. The code says the same, and hands the three contributions out one by one.


# %%
def batch_norm_backward(dy, cache):
    """dy: (N, D) -> the three parts of dx, each (N, D), then dgamma and dbeta, (D,)."""
    c, s, z, gamma = cache
    N = len(dy)
    dbeta = dy.sum(axis=0)  # line 6 (D,)
    dgamma = (dy * z).sum(axis=0)  # line 6 (D,)
    dz = gamma * dy  # line 6 (N, D)
    direct = s * dz  # line 5 (N, D)
    ds = (dz * c).sum(axis=0)  # line 5 (D,)
    dvar = -0.5 * s**3 * ds  # line 4 (D,)
    by_variance = 2 * c / N * dvar  # line 3 (N, D)
    dmean = -(direct + by_variance).sum(axis=0)  # line 2 (D,)
    by_mean = np.ones((N, 1)) / N * dmean  # line 1 (N, D), the same for all n
    return (direct, by_mean, by_variance), dgamma, dbeta


rng = np.random.default_rng(4)
x = affine[:12, :3]  # (12, 3)
gamma, beta = rng.uniform(0.5, 2, 3), rng.standard_normal(3)  # not 1 and 0, or they prove nothing
dy = rng.standard_normal((12, 3))


def loss(x, gamma, beta):
    return (batch_norm(x, gamma, beta)[0] * dy).sum()


_, cache = batch_norm(x, gamma, beta)
(direct, by_mean, by_variance), dgamma, dbeta = batch_norm_backward(dy, cache)
dx_expected = complex_step(lambda x: loss(x, gamma, beta), x)
dgamma_expected = complex_step(lambda gamma: loss(x, gamma, beta), gamma)
dbeta_expected = complex_step(lambda beta: loss(x, gamma, beta), beta)

dx = direct + by_mean + by_variance
print("to ten digits: dx    ", relative_error(dx, dx_expected) < 1e-10)
print("               dgamma", relative_error(dgamma, dgamma_expected) < 1e-10)
print("               dbeta ", relative_error(dbeta, dbeta_expected) < 1e-10)

# %% [markdown]
# Is each of the three needed? Leave some out and ask the judge again.

# %%
for name, guess in {
    "all three": direct + by_mean + by_variance,
    "without the mean": direct + by_variance,
    "without the variance": direct + by_mean,
    "directly only": direct,
}.items():
    print(f"{name:22} relative error {max(relative_error(guess, dx_expected), 1e-10):.2g}")

# %% tags=["hide"]
assert relative_error(dx, dx_expected) < 1e-10
assert relative_error(dgamma, dgamma_expected) < 1e-10
assert relative_error(dbeta, dbeta_expected) < 1e-10
for guess in (direct + by_variance, direct + by_mean, direct):
    assert relative_error(guess, dx_expected) > 0.1

# %% [markdown]
# (Errors below 1e-10 are printed as 1e-10.)
#
# ## A test that sees nothing
#
# Why all the random numbers in `dy`? It would be simpler to take the sum of all outputs as the
# loss, so that every $dy_n$ is 1.
#
# **Predict.** With that simple loss, how wrong is the formula that forgets the variance?

# %%
ones = np.ones((12, 3))
(direct1, by_mean1, by_variance1), _, _ = batch_norm_backward(ones, cache)
expected1 = complex_step(lambda x: batch_norm(x, gamma, beta)[0].sum(), x)
print("largest entry of the true gradient is 0:", np.abs(expected1).max() < 1e-10)
print("the forgetful formula also gives 0:     ", np.abs(direct1 + by_mean1).max() < 1e-10)

# %% tags=["hide"]
assert np.abs(expected1).max() < 1e-10
assert np.abs(direct1 + by_mean1).max() < 1e-10

# %% [markdown]
# It passes. The outputs of a column always sum to $N \beta$, whatever $x$ is, so the gradient of
# the sum is 0, and a formula that forgets a third of the work gives 0 as well. A check is as good
# as the question it asks: **never test with a uniform** `dy`.
#
# ## The short form, and what it means
#
# Put the lines into one another. For the way through the variance, start at line 3 and insert $dv$,
# then $ds$:
#
# $$\frac{2 c_n}{N} dv = \frac{2 c_n}{N} \left( -\frac{1}{2} s^3 \sum_k dz_k c_k \right)$$
#
# The 2 and the ½ cancel. Of the three factors $s$, give one to $c_n$ and one to $c_k$, which makes
# them $z_n$ and $z_k$; one is left:
#
# $$= -s z_n \frac{1}{N} \sum_k dz_k z_k$$
#
# For the way through the mean, line 2 sums both contributions to $dc_n$. The second sum is 0,
# because $\sum_n z_n = 0$: shifting a whole column does not change its variance. What remains is
#
# $$\frac{1}{N} dm = -s \frac{1}{N} \sum_k dz_k$$
#
# All three together, with a bar for the mean over the batch:
#
# $$dx_n = s \left( dz_n - \overline{dz} - z_n \overline{dz z} \right)$$
#
# And since $dz = \gamma dy$, the two means are old acquaintances:
#
# $$dx_n = \gamma s \left( dy_n - \frac{d\beta}{N} - z_n \frac{d\gamma}{N} \right)$$
#
# The first term is the direct way, the second the mean's, the third the variance's.


# %%
def batch_norm_backward_short(dy, cache):
    """dy: (N, D) -> dx (N, D), dgamma (D,), dbeta (D,)."""
    _, s, z, gamma = cache
    N = len(dy)
    dbeta = dy.sum(axis=0)  # (D,)
    dgamma = (dy * z).sum(axis=0)  # (D,)
    dx = gamma * s * (dy - dbeta / N - z * dgamma / N)  # (N, D)
    return dx, dgamma, dbeta


dx_short, _, _ = batch_norm_backward_short(dy, cache)
_, s, z, _ = cache
for name, term, part in (
    ("direct", gamma * s * dy, direct),
    ("mean", gamma * s * -dbeta / 12, by_mean),
    ("variance", gamma * s * -z * dgamma / 12, by_variance),
    ("dx", dx_short, dx),
):
    assert np.allclose(term, part, rtol=1e-10, atol=0)
    print(f"{name:9} the same as line by line")

# %% [markdown]
# Two pictures of that formula. The first shows, for one column of forty units sorted by $z$, how
# fast each $z_n$ (up) moves with each $x_k$ (across), and the three terms it is the sum of. The
# measured one on the right comes from complex steps; it knows nothing of our formula.

# %% tags=["thumbnail"] alt="Four 40 x 40 maps: direct, mean, variance, and their sum as measured"
x40 = np.sort(affine[:40, :1], axis=0)  # (40, 1)
_, (_, s40, z40, _) = batch_norm(x40, np.ones(1), np.zeros(1))
three = [
    s40 * np.eye(40),
    -s40 / 40 * np.ones((40, 40)),
    -s40 / 40 * z40 * z40.T,
]  # each (40, 40): [n, k]
measured = np.array(
    [
        complex_step(lambda x, n=n: batch_norm(x, np.ones(1), np.zeros(1))[0][n, 0], x40)[:, 0]
        for n in range(40)
    ]
)
assert np.allclose(sum(three), measured, rtol=1e-10, atol=1e-10)

fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained", sharey=True)
titles = ("direct", "through the mean", "through the variance", "measured: their sum")
limit = 4 * s40[0] / 40
for ax, part, title in zip(axes, [*three, measured], titles, strict=True):
    image = ax.imshow(part, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower")
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[], xlabel="this x moves")
axes[0].set_ylabel("this z follows")
fig.colorbar(image, ax=axes, shrink=0.8, label="down   up", ticks=[0])
plt.show()

# %% [markdown]
# Most of it is the diagonal (cut off in colour here; it would be ten times darker). The mean
# takes the same from all. The variance binds units on the same side of the middle against each
# other (blue) and lets those on opposite sides help each other (red).
#
# For the second picture, forget calculus. Plot $dy_n$ over $z_n$, and draw the straight line
# that fits best. Its height at $z = 0$ is the mean of dy, $d\beta / N$; its slope is
# $d\gamma / N$. What the formula keeps is what that line leaves over. **Batch norm's gradient is
# the residual of a linear regression.** A line in z is just what $\gamma$ and $\beta$ can do by
# themselves; the layers below are asked only for what those two cannot.

# %% alt="dy over z with its regression line, and the residuals that are left as dx"
rng = np.random.default_rng(5)
x40 = affine[:40, :1]
y40, cache40 = batch_norm(x40, np.ones(1), np.zeros(1), eps=0)
z40 = cache40[2][:, 0]
dy40 = 0.5 + 0.8 * z40 + 0.7 * rng.standard_normal(40)
dx40, _, _ = batch_norm_backward_short(dy40[:, None], cache40)
slope, height = np.polyfit(z40, dy40, 1)
residual = dy40 - (height + slope * z40)
assert np.allclose(dx40[:, 0] / cache40[1], residual)

fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained", sharey=True)
left.plot(z40, dy40, "o", color=lesson.BLUE, ms=4)
ends = np.array([z40.min(), z40.max()])
left.plot(ends, height + slope * ends, color=lesson.INK)
right.axhline(0, color=lesson.INK)
right.vlines(z40, 0, residual, color=lesson.ORANGE, lw=1)
right.plot(z40, residual, "o", color=lesson.ORANGE, ms=4)
left.set(title="dy, and the line that fits it best", xlabel="z")
right.set(title="dx / (gamma s): what the line leaves", xlabel="z")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# (Exactly so for $\epsilon = 0$, as here; else $\epsilon$ makes the line a trifle flatter.)
#
# ## A unit that comes alone
#
# **Predict.** The network is trained; now we hand it a single unit, a batch of N = 1. What does
# batch norm make of it?

# %%
gamma, beta = np.ones(256), np.zeros(256)
alone, _ = batch_norm(affine[:1], gamma, beta)
print("alone, every output is beta:", np.array_equal(alone[0], beta))

# And in company? The unit with the fewest notes, once among the sparsest, once among the fullest.
among_sparse, _ = batch_norm(affine[order[:50]], gamma, beta)
among_full, _ = batch_norm(affine[[order[0], *order[51:]]], gamma, beta)
sizes = np.abs(among_sparse[0]).mean(), np.abs(among_full[0]).mean()
print(f"its outputs: {sizes[0]:.2f} on average among the sparsest units")
print(f"             {sizes[1]:.2f} among the fullest")

# %% tags=["hide"]
assert np.array_equal(alone[0], beta)
assert sizes[0] > 1.3 * sizes[1]

# %% [markdown]
# A value minus the mean of itself is 0: the unit is gone. And even in company, what comes out
# depends on the company. That is tolerable in training, where the company is drawn at random, and
# useless afterwards: an embedding must be a unit's own.
#
# So batch norm has two modes. While training it also keeps *running averages* of the means and
# variances that it meets, each batch moving them by a tenth (`momentum` = 0.1) of the way:
#
# $$r \leftarrow r + 0.1 (m - r)$$
#
# The variance is first multiplied by $N / (N - 1)$: a sample scatters less around its own mean than
# around the true one. In *evaluation* the running averages take the place of $m$ and $v$. They are
# constants there, so two of the three ways are closed and only the direct one is left.


# %%
class BatchNorm:
    """One feature a column. In training: the batch's mean and variance. Else: running ones."""

    def __init__(self, D, momentum=0.1, eps=1e-5):
        self.momentum, self.eps = momentum, eps
        self.gamma, self.beta = np.ones(D), np.zeros(D)
        self.running_mean, self.running_var = np.zeros(D), np.ones(D)

    def forward(self, x, training):
        """x: (N, D) -> y: (N, D) and a cache."""
        if training:
            N, mean, var = len(x), x.mean(axis=0), x.var(axis=0)  # x.var divides by N
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * N / (N - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        c, s = x - mean, (var + self.eps) ** -0.5
        return self.gamma * s * c + self.beta, (c, s, s * c, self.gamma, training)

    def backward(self, dy, cache):
        """dy: (N, D) -> dx (N, D), dgamma (D,), dbeta (D,)."""
        *rest, training = cache
        dx, dgamma, dbeta = batch_norm_backward_short(dy, rest)
        if not training:
            _, s, _, gamma = rest
            dx = gamma * s * dy  # (N, D): the direct way alone
        return dx, dgamma, dbeta


# %% [markdown]
# Batch after batch of a hundred units, drawn from the whole corpus; the running averages find the
# whole corpus's mean and variance without ever seeing it at once.

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
for ax, values, true, title in zip(
    axes, track.T, (whole.mean(), whole.var()), ("running mean", "running variance"), strict=True
):
    ax.plot(range(1, 121), values, color=lesson.BLUE)
    ax.axhline(true, color=lesson.ORANGE, ls="--", label="of all units seen")
    ax.set(title=title, xlabel="batch")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(-whole.std(), whole.std())
axes[1].set_yscale("log")
plt.show()

alone, _ = norm.forward(seen[0][:1], training=False)
together, _ = norm.forward(seen[0], training=False)
print("a unit alone, and among a hundred, in evaluation:", np.allclose(alone[0], together[0]))

# %% tags=["hide"]
assert abs(track[-1, 0] - whole.mean()) < 0.01
assert track[59, 1] / whole.var() > 1.5 and 0.8 < track[-1, 1] / whole.var() < 1.2
assert 300 < 1 / whole.var() < 500
assert np.allclose(alone[0], together[0])

# %% [markdown]
# (On the left the axis spans one standard deviation of the feature up and down: the wobble is small
# beside it.) The variance starts at 1, some 400 times too high, and comes down by a tenth of the
# distance each time: after sixty batches it is still more than half as much again. The first steps
# of a training are no time to judge a network by.
#
# ## Pictures instead of rows
#
# The first layers of the paper's network are convolutions ([chapter 5](05_convolution.md)): their
# output is an image with C channels, (N, H, W, C). A channel is the same question asked at every
# place of the image, so it is *one* column: all places of all examples are rows, N·H·W of them.

# %%
images = np.random.default_rng(7).standard_normal((10, 5, 16, 4))  # (N, H, W, C)
rows = images.reshape(-1, 4)  # (800, 4)
y, _ = batch_norm(rows, np.ones(4), np.zeros(4))
y = y.reshape(images.shape)  # (10, 5, 16, 4)
print("one mean for each channel:", np.allclose(y.mean(axis=(0, 1, 2)), 0))

# %% [markdown]
# ## The package does the same
#
# [`Elu`](../tinyembed/layers/elu.py) and [`BatchNorm`](../tinyembed/layers/batchnorm.py), whose
# `backward` is the short form. They hold the gradients of $\gamma$ and $\beta$ as
# `gamma.grad` and `beta.grad`. Where an ELU follows batch norm at once, as in all encoders here,
# [`BatchNormElu`](../tinyembed/layers/batchnorm_elu.py) is both: the same numbers, in fewer passes
# over memory.

# %%
from tinyembed.layers import batchnorm, gradcheck
from tinyembed.layers import elu as package_elu

rng = np.random.default_rng(8)
x, dy = affine[:, :5], rng.standard_normal((100, 5))
theirs = package_elu.Elu()
y, cache = theirs.forward(x)
assert np.allclose(y, elu(x), rtol=1e-12)
assert np.allclose(theirs.backward(dy, cache), elu_backward(dy, elu(x)), rtol=1e-12)

theirs, ours = gradcheck.cast(batchnorm.BatchNorm(5), float), BatchNorm(5)
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
# 1. **A steeper fall.** Some take $y = a (e^x - 1)$ below zero, with a constant $a$. Write the
#    slope with the help of y alone. What is lost at zero when $a = 2$?
#
#    <details><summary>Solution</summary>
#
#    Below zero the slope is $a e^x = y + a$. Coming from below it reaches $a = 2$ at zero, and is 1
#    from there on: the curve gets a kink. With $a = 1$ there is none.
#
#    ```python
#    def elu_a(x, a):
#        return np.where(x.real > 0, x, a * (np.exp(np.where(x.real > 0, 0, x)) - 1))
#    ```
#
#    ```python
#    def elu_a_backward(dy, y, a):
#        return dy * np.where(y > 0, 1, y + a)
#    ```
#
#    ```python
#    x, dy = np.linspace(-2, 2, 8), np.arange(8.0)
#    expected = complex_step(lambda x: (elu_a(x, 2) * dy).sum(), x)
#    assert relative_error(elu_a_backward(dy, elu_a(x, 2), 2), expected) < 1e-10
#    ```
#
#    </details>
#
# 2. **A batch of two.** Normalize a batch of N = 2 with $\epsilon = 0$. What can $z$ be? What,
#    then, must $dx$ be, without any calculation? Check both.
#
#    <details><summary>Solution</summary>
#
#    The mean lies halfway, and both are one standard deviation away from it: $z$ is +1 and −1
#    (which of them is the larger x?), however far apart they were. Nothing that x does, short of
#    changing places, can change z, so dx is 0. Or: a straight line fits two points exactly and
#    leaves no residual.
#
#    ```python
#    x = np.array([[0.3], [11.0]])
#    y, cache = batch_norm(x, np.ones(1), np.zeros(1), eps=0)
#    dx, _, _ = batch_norm_backward_short(np.array([[0.7], [-2.0]]), cache)
#    assert np.allclose(y, [[-1], [1]])
#    assert np.allclose(dx, 0)
#    ```
#
#    </details>
#
# 4. **Turn it by a quarter.** *Layer norm* normalizes each example over its own D features, instead
#    of each feature over N examples. Write its forward and backward, with $\gamma$ and $\beta$ of
#    shape (D,) as before. You need nothing new. Does a unit now depend on its company?
#
#    <details><summary>Solution</summary>
#
#    Normalize the transposed array with $\gamma = 1$ and $\beta = 0$, turn it back, then scale and
#    shift. An example is alone with itself, so no running averages are needed.
#
#    ```python
#    def layer_norm(x, gamma, beta):
#        z, cache = batch_norm(x.T, np.ones(1), np.zeros(1))
#        return gamma * z.T + beta, (z.T, cache, gamma)
#    ```
#
#    ```python
#    def layer_norm_backward(dy, saved):
#        z, cache, gamma = saved
#        dx, _, _ = batch_norm_backward_short((gamma * dy).T, cache)
#        return dx.T, (dy * z).sum(axis=0), dy.sum(axis=0)
#    ```
#
#    ```python
#    rng = np.random.default_rng(9)
#    x, dy = rng.standard_normal((2, 5, 6))
#    gamma, beta = rng.standard_normal((2, 6))
#    _, saved = layer_norm(x, gamma, beta)
#    dx, dgamma, _ = layer_norm_backward(dy, saved)
#    expected = complex_step(lambda x: (layer_norm(x, gamma, beta)[0] * dy).sum(), x)
#    assert relative_error(dx, expected) < 1e-10
#    expected = complex_step(lambda gamma: (layer_norm(x, gamma, beta)[0] * dy).sum(), gamma)
#    assert relative_error(dgamma, expected) < 1e-10
#    ```
#
#    </details>


# %% tags=["hide"]
def elu_a(x, a):
    return np.where(x.real > 0, x, a * (np.exp(np.where(x.real > 0, 0, x)) - 1))


def elu_a_backward(dy, y, a):
    return dy * np.where(y > 0, 1, y + a)


x, dy = np.linspace(-2, 2, 8), np.arange(8.0)
expected = complex_step(lambda x: (elu_a(x, 2) * dy).sum(), x)
assert relative_error(elu_a_backward(dy, elu_a(x, 2), 2), expected) < 1e-10

x = np.array([[0.3], [11.0]])
y, cache = batch_norm(x, np.ones(1), np.zeros(1), eps=0)
dx, _, _ = batch_norm_backward_short(np.array([[0.7], [-2.0]]), cache)
assert np.allclose(y, [[-1], [1]])
assert np.allclose(dx, 0)


def layer_norm(x, gamma, beta):
    z, cache = batch_norm(x.T, np.ones(1), np.zeros(1))
    return gamma * z.T + beta, (z.T, cache, gamma)


def layer_norm_backward(dy, saved):
    z, cache, gamma = saved
    dx, _, _ = batch_norm_backward_short((gamma * dy).T, cache)
    return dx.T, (dy * z).sum(axis=0), dy.sum(axis=0)


rng = np.random.default_rng(9)
x, dy = rng.standard_normal((2, 5, 6))
gamma, beta = rng.standard_normal((2, 6))
_, saved = layer_norm(x, gamma, beta)
dx, dgamma, _ = layer_norm_backward(dy, saved)
expected = complex_step(lambda x: (layer_norm(x, gamma, beta)[0] * dy).sum(), x)
assert relative_error(dx, expected) < 1e-10
expected = complex_step(lambda gamma: (layer_norm(x, gamma, beta)[0] * dy).sum(), gamma)
assert relative_error(dgamma, expected) < 1e-10

# %% [markdown]
# ## What comes next
#
# A note means the same in every bar, yet our layer learned a weight of its own for each place:
# [chapter 5](05_convolution.md) asks one question everywhere, and it is still a matrix product.
