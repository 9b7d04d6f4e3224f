# %% [markdown]
# # 3. Two layers
#
# One layer can only add up evidence. What does a second layer make possible, how does the gradient
# reach the first one, and when has a network learned the answers instead of the music?
#
# **What you'll do**
# - Put an activation between two layers, and derive the gradient through both.
# - Train your first network with a hidden layer, and watch it overfit.
# - Ask "Bach or Monteverdi?" again, in twelve keys.
#
# **What you'll learn**
# - Backpropagation: the chain rule, layer by layer.
# - What minibatches, initialization, overfitting and early stopping are.
# - How much a result varies when only the random numbers change.
#
# **What you need**
# - [Chapter 2](02_fully_connected.md): a layer, the logistic loss, gradient descent, the complex
#   step. The chain rule for a function of one number.
# - 24 minutes.
#
# ## What the paper says
#
# Section 4.1: an encoder is a chain of layers. Each one takes the output of the layer before it,
# applies an affine transformation, and then a nonlinearity, the exponential linear unit (ELU). In
# this chapter the chain has two layers. The paper's has seven, and they are trained in the same
# way.
#
# ## What a weighted sum cannot do
#
# Take two features: $x_1$ is 1 if a unit holds a C, and $x_2$ is 1 if it holds an E. Suppose we
# want $y > 0$ for units that hold both or neither, and $y < 0$ for units that hold exactly one.
# **Predict first:** which weights do that?
#
# None do. With $y = w_1 x_1 + w_2 x_2 + b$, the outputs for "both" and "neither" add up to
# $w_1 + w_2 + 2b$, and so do the outputs for "only C" and "only E". Two positive numbers cannot
# have the same sum as two negative ones. A weighted sum cannot make the meaning of one note depend
# on another note. (Computer scientists call this example *exclusive or*.)
#
# A second layer alone does not help. Matrix products can be bracketed in any order, so two layers
# in a row are one layer with the weights $W_1 W_2$:
#
# $$(x W_1) W_2 = x (W_1 W_2)$$
#
# Something that is not linear must stand between them.
#
# ## An activation: the ELU
#
# A **nonlinearity**, also called an **activation function**, is applied to each number by itself.
# The paper takes the ELU:
#
# $$
# \operatorname{elu}(a) = \begin{cases} a & \text{if } a > 0 \\ e^a - 1 & \text{if } a \le 0
# \end{cases}
# $$
#
# Positive numbers pass unchanged. Negative numbers are squeezed between −1 and 0. The slope is 1
# above zero and $e^a$ below, and there $e^a = \operatorname{elu}(a) + 1$. So the backward pass can
# compute the slope from the output alone, and the output is all that the cache needs.

# %% alt="Left: the ELU, a straight line above 0 that bends to -1 below. Right: its slope."
import lesson
import matplotlib.pyplot as plt
import numpy as np


def elu_forward(a):
    """a: any shape -> h: the same shape."""
    below = np.exp(np.where(a.real > 0, 0, a)) - 1  # the 0 keeps exp from overflowing
    h = np.where(a.real > 0, a, below)
    return h, h


def elu_backward(dh, cache):
    h = cache
    return dh * np.where(h > 0, 1, h + 1)


a = np.linspace(-4, 3, 281)
h, cache = elu_forward(a)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
left.plot(a, h, color=lesson.BLUE)
right.plot(a, elu_backward(np.ones(281), cache), color=lesson.ORANGE)
left.set(title="elu(a)", xlabel="a")
right.set(title="its slope", xlabel="a", ylim=(-0.05, 1.1))
for ax in (left, right):
    ax.axhline(0, color=lesson.GREY, lw=0.5)
    ax.axvline(0, color=lesson.GREY, lw=0.5)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# (For real numbers, `a.real` is `a`. It is there for the complex step: the question "above zero?"
# must look at the real part only.)
#
# ## A network with a hidden layer
#
# Our network has $D = 5760$ features, $M = 32$ **hidden neurons**, and one output. A *neuron* is one
# of the numbers that a layer computes. *Hidden* means that nobody says what these 32 numbers should
# be; training decides. (Many books call them hidden *units*. In this course a unit is four beats of
# music.) In the formulas, $n$ is the example, $d$ the feature, and $m$ the hidden neuron:
#
# $$
# a_{nm} = \sum_d x_{nd} W_{1,dm} + b_{1,m}, \qquad
# h_{nm} = \operatorname{elu}(a_{nm}), \qquad
# y_n = \sum_m h_{nm} W_{2,m} + b_2
# $$
#
# | Symbol | Shape | What it is |
# | --- | --- | --- |
# | $x$ | $(N, D)$ | input |
# | $W_1$, $b_1$ | $(D, M)$, $(M)$ | weights and biases of the hidden layer |
# | $a$ | $(N, M)$ | weighted sums of the hidden layer |
# | $h$ | $(N, M)$ | values of the hidden neurons, after the activation |
# | $W_2$, $b_2$ | $(M, 1)$, $(1)$ | weights and bias of the output layer |
# | $y$ | $(N, 1)$ | output, the logit |

# %% alt="Boxes from x to the loss: dense, ELU, dense, loss. Gradients go back below them."
fig, ax = plt.subplots(figsize=(9, 1.8), layout="constrained")
boxes = ["dense 1\n$W_1$, $b_1$", "ELU", "dense 2\n$W_2$, $b_2$", "loss"]
for place, text in enumerate(boxes):
    box = {"boxstyle": "round,pad=0.6", "facecolor": "white", "edgecolor": lesson.INK}
    ax.text(2 * place + 1, 0, text, ha="center", va="center", bbox=box)
for place, value in enumerate(["$x$", "$a$", "$h$", "$y$", "$L$"]):
    for height, color, start, name in [
        (0.1, lesson.BLUE, -0.45, value),
        (-0.1, lesson.ORANGE, 0.45, "$d" + value[1:] if value != "$L$" else "1"),
    ]:
        ends = {"xytext": (2 * place + start, height), "xy": (2 * place - start, height)}
        ax.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": color, "lw": 1.5})
        ax.text(2 * place, height * 3, name, ha="center", va="center", color=color)
ax.text(-1.4, 0.1, "forward", color=lesson.BLUE, va="center", ha="center")
ax.text(-1.4, -0.1, "backward", color=lesson.ORANGE, va="center", ha="center")
ax.set(xlim=(-2, 9), ylim=(-0.5, 0.5))
ax.axis("off")
plt.show()

# %% [markdown]
# ## Backpropagation
#
# Chapter 2 answered how the loss depends on one layer's weights, given $dy$. Now we walk through
# the network from the back to the front. The **chain rule** says: if a change of $h$ changes $y$,
# and that changes $L$, then the two rates of change multiply; and if $h$ reaches $L$ in several
# ways, their contributions add.
#
# **Loss.** As before, $dy_n = -t_n / (1 + e^{t_n y_n}) / N$.
#
# **Output layer.** This is chapter 2, with $h$ in the place of $x$. The input's gradient was of no
# use there. Here it is what the layer below is waiting for:
#
# $$
# dW_{2,m} = \sum_n h_{nm} \, dy_n, \qquad db_2 = \sum_n dy_n, \qquad dh_{nm} = dy_n W_{2,m}
# $$
#
# **Activation.** Each $a_{nm}$ influences only its own $h_{nm}$:
#
# $$da_{nm} = dh_{nm} \, \operatorname{elu}'(a_{nm})$$
#
# **Hidden layer.** Chapter 2 again, with $da$ in the place of $dy$:
#
# $$dW_{1,dm} = \sum_n x_{nd} \, da_{nm}, \qquad db_{1,m} = \sum_n da_{nm}$$
#
# Insert each line into the next, and the gradient of a hidden weight is a product of four factors,
# one for each step on the way from $W_{1,dm}$ to $L$:
#
# $$dW_{1,dm} = \sum_n x_{nd} \cdot \operatorname{elu}'(a_{nm}) \cdot W_{2,m} \cdot dy_n$$
#
# This method is called **backpropagation**. In code nothing is inserted. Each layer has a
# `backward` that takes the gradient of its output and its own cache, and returns the gradient of
# its input, which is handed to the layer below. The network is a layer, too: it follows the same
# convention, and its cache holds the caches of its layers.


# %%
def dense_forward(x, W, b):
    """x: (N, D), W: (D, M), b: (M,) -> y: (N, M)."""
    return x @ W + b, (x, W)


def dense_backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)  # dx, dW, db


def network_forward(x, W1, b1, W2, b2):
    """x: (N, D) -> y: (N, 1)."""
    a, cache1 = dense_forward(x, W1, b1)  # (N, M)
    h, cache_elu = elu_forward(a)  # (N, M)
    y, cache2 = dense_forward(h, W2, b2)  # (N, 1)
    return y, (cache1, cache_elu, cache2)


def network_backward(dy, cache):
    cache1, cache_elu, cache2 = cache
    dh, dW2, db2 = dense_backward(dy, cache2)
    da = elu_backward(dh, cache_elu)
    dx, dW1, db1 = dense_backward(da, cache1)
    return dx, dW1, db1, dW2, db2


def loss(y, t):
    """The logistic loss of y: (N, 1), where t: (N, 1) is 1 or -1."""
    return np.log(1 + np.exp(-t * y)).mean(), (y, t)


def loss_backward(cache):
    y, t = cache
    return -t / (1 + np.exp(t * y)) / len(y)  # dy: (N, 1)


# %% [markdown]
# ## Is it right?
#
# We check the whole network at once: a small one, every entry of every parameter, by complex step.
# The check must be able to fail, so we also run it with a forgetful `elu_backward`, which takes the
# slope to be 1 everywhere. **Predict first:** which of the five gradients will then be wrong?


# %%
def complex_step(f, x, delta=1e-30):
    """The gradient of f at x, entry by entry. f: takes an array like x, returns one number."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1j * delta
        gradient[index] = f(stepped).imag / delta
    return gradient


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


NAMES = ["x", "W1", "b1", "W2", "b2"]
rng = np.random.default_rng(0)
arrays = [rng.standard_normal(shape) for shape in [(5, 6), (6, 4), (4,), (4, 1), (1,)]]
t = np.array([1, 1, -1, -1, 1.0])[:, None]  # N, D, M = 5, 6, 4


def loss_with(place, array):
    """The loss, with another array in the place of the one that is number `place`."""
    y, _ = network_forward(*arrays[:place], array, *arrays[place + 1 :])
    return loss(y, t)[0]


expected = [
    complex_step(lambda changed, place=place: loss_with(place, changed), array)
    for place, array in enumerate(arrays)
]


def wrong_gradients():
    """The names of the gradients that do not agree with the complex step to ten digits."""
    y, cache = network_forward(*arrays)
    _, loss_cache = loss(y, t)
    found = network_backward(loss_backward(loss_cache), cache)
    pairs = zip(NAMES, found, expected, strict=True)
    return [name for name, mine, right in pairs if relative_error(mine, right) > 1e-10]


print("wrong:", wrong_gradients())
good, elu_backward = elu_backward, lambda dh, cache: dh  # forgets the slope
print("wrong, without the slope:", wrong_gradients())
elu_backward = good

# %% tags=["hide"]
assert wrong_gradients() == []

# %% [markdown]
# The parameters of the output layer stay right, because the walk from the back reaches them before
# the mistake. Everything below the mistake is wrong. In a deep network, this pattern tells you
# where to look.
#
# ## Where to start: initialization
#
# In chapter 2 all weights started at 0. **Predict first:** what happens if we do that here?

# %%
corpus = lesson.corpus()


def beats_of(composer, test):
    """Where the units of a composer start that sound, in test or training pieces: (N,)."""
    is_theirs = corpus.piece_composer == corpus.composers.index(composer)
    beats = corpus.unit_beats(is_theirs & (corpus.piece_is_test == test))
    return beats[corpus.has_onset(beats)]


def units_and_answers(test):
    """The starts of all units of both composers, (N,), and t: (N, 1), 1 for Bach."""
    bach, monteverdi = beats_of("Bach", test), beats_of("Monteverdi", test)
    t = np.repeat(np.float32([1, -1]), [len(bach), len(monteverdi)])[:, None]
    return np.concatenate([bach, monteverdi]), t


train_beats, train_t = units_and_answers(test=False)
test_beats, test_t = units_and_answers(test=True)
majority = float((test_t < 0).mean())
print(f"{len(train_beats)} units of training pieces, {len(test_beats)} of test pieces")


def gradient_step(params, x, t, rate):
    """Change the parameters by one step of gradient descent, in place."""
    y, cache = network_forward(x, *params)
    _, loss_cache = loss(y, t)
    _, *gradients = network_backward(loss_backward(loss_cache), cache)  # all but dx
    for param, gradient in zip(params, gradients, strict=True):
        param -= rate * gradient


def random_params(rng, M=32):
    W1 = rng.standard_normal((5760, M)) / np.sqrt(5760)
    W2 = rng.standard_normal((M, 1)) / np.sqrt(M)
    return [p.astype(np.float32) for p in (W1, np.zeros(M), W2, np.zeros(1))]


def constant_params(value, M=32):
    shapes = [(5760, M), (M,), (M, 1), (1,)]
    return [np.full(shape, value, np.float32) for shape in shapes]


some = np.random.default_rng(1).integers(len(train_beats), size=100)
x, t = corpus.rolls(train_beats[some]).reshape(100, 5760), train_t[some]
for name, params in {
    "all 0": constant_params(0),
    "all 0.01": constant_params(0.01),
    "random": random_params(np.random.default_rng(2)),
}.items():
    before = params[0].copy()
    for _ in range(20):
        gradient_step(params, x, t, rate=0.3)
    moved = np.abs(params[0] - before).max() > 0
    different = len(np.unique(params[0].round(6), axis=1).T)
    print(f"{name:9} W1 has changed: {moved!s:5}  different hidden neurons: {different}")

# %% tags=["hide"]
assert 0.74 < majority < 0.77
assert (len(train_beats), 12 * len(train_beats)) == (1730, 20760)
assert sum(p.size for p in random_params(np.random.default_rng(0))) == 5760 * 32 + 65

# %% [markdown]
# Starting from 0, nothing below the last bias ever moves: $h = 0$ makes $dW_2 = 0$, and $W_2 = 0$
# makes $dh = 0$. Starting from any other constant, all hidden neurons compute the same number,
# receive the same gradient, and stay equal forever: 32 hidden neurons are worth one. Random weights
# break this symmetry. We draw them around 0 with standard deviation $1 / \sqrt{D}$, for a layer of
# $D$ inputs; chapter 4 explains this size. (The *variance* of some numbers is their mean squared
# distance from their mean, and the *standard deviation* is its square root.)
#
# ## Minibatches
#
# There are 1,730 training units, in twelve keys each. Gradient descent on all of them would look at
# 20,760 examples for a single step. Instead we draw 100 units at random for each step, a
# **minibatch**. Its gradient is only an estimate, but it is right on average, and for the price of
# one exact step we can take about 200 of these. This is **stochastic gradient descent**.
# (`keep_memory` is only about speed: a step reuses memory that the step before it has freed.)

# %%
from tinyembed.backends.cpu.memory import keep_memory

keep_memory()


def minibatch(rng, all_keys, N=100):
    """Random training units, each in a random key or all as written: x (N, 5760), t (N, 1)."""
    n = rng.integers(len(train_beats), size=N)
    keys = rng.integers(-5, 7, size=N) if all_keys else 0
    return corpus.rolls(train_beats[n], keys).reshape(N, 5760), train_t[n]


def all_units(beats, key=0):
    return corpus.rolls(beats, key).reshape(-1, 5760)


# %% [markdown]
# ## Overfitting
#
# First we train on the music as written. Every 50 steps we measure the loss on all training units
# and on all units of the test pieces. (We split *pieces*, not units: neighbouring units share three
# of their four beats, so a split by units would put nearly the same music on both sides.)
# **Predict first:** will the two curves fall together?

# %% tags=["thumbnail"] alt="Training loss falls to 0; test loss falls, then rises; weights grow."
rng = np.random.default_rng(3)
params = random_params(rng)
train_x, test_x = all_units(train_beats), all_units(test_beats)
steps, train_losses, test_losses, sizes = [], [], [], []
for step in range(1001):
    if step % 50 == 0:
        steps.append(step)
        train_losses.append(loss(network_forward(train_x, *params)[0], train_t)[0])
        test_losses.append(loss(network_forward(test_x, *params)[0], test_t)[0])
        sizes.append(np.sqrt((params[0] ** 2).sum()))
    gradient_step(params, *minibatch(rng, all_keys=False), rate=0.5)
best = int(np.argmin(test_losses))

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(steps, train_losses, color=lesson.BLUE, label="training pieces")
left.plot(steps, test_losses, color=lesson.ORANGE, label="test pieces")
left.axvline(steps[best], color=lesson.GREY, ls="--", lw=1, label="lowest test loss")
left.set(xlabel="step", ylabel="loss", ylim=(0, 0.75), title="The same network, two sets of pieces")
left.legend(frameon=False, loc="upper right")
right.plot(steps, sizes, color=lesson.INK)
right.set(xlabel="step", title="Size of W1: root of the sum of squares", ylim=(0, None))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

for place in (best, -1):
    print(f"step {steps[place]:4}: loss {train_losses[place]:.3f} on training pieces, ", end="")
    print(f"{test_losses[place]:.3f} on test pieces; size of W1 {sizes[place]:.1f}")

# %% tags=["hide"]
assert test_losses[-1] > 1.5 * test_losses[best] and train_losses[-1] < 0.04
assert 100 <= steps[best] <= 600 and np.diff(sizes).min() > -0.05

# %% [markdown]
# At first both fall. Then the loss on the training pieces goes on falling to nearly 0, while the
# loss on the test pieces rises. This is **overfitting**: the network has $5760 \cdot 32 + 65$
# weights and biases and only 1,730 examples, so it can memorize the answers, unit by unit. It
# becomes surer and surer of them, which takes ever larger weights, and a sure answer that is wrong
# costs a large loss.
#
# There are several remedies:
#
# - **Early stopping**: keep the weights of the step where the loss on unseen pieces was lowest. If
#   the test pieces choose the step, they have taken part in training, and the test is no longer
#   fair. So one sets aside a third group, the *validation pieces*.
# - **Weight decay**, which keeps the weights small (chapter 2, exercise 2; here, exercise 2).
# - **More data**, or augmented data. Transposition gives us twelve times as many units.
#
# ## Bach or Monteverdi, again
#
# Now the question of chapter 2, with all keys in training. We compare the single layer and the
# network with 32 hidden neurons. Both take 600 steps with minibatches, at the same learning rate.
# Each is trained with three *seeds*, that is, three sequences of random numbers, which decide the
# initial weights and the minibatches.

# %% alt="Accuracy by transposition: both rise with the key; the network is a little above."
KEYS = range(-5, 7)
test_rolls = [all_units(test_beats, key) for key in KEYS]  # twelve of (517, 5760)


def train_linear(seed, steps=600, rate=0.3):
    """Chapter 2's layer. Returns a function from x to y."""
    rng = np.random.default_rng(seed)
    W, b = np.zeros((5760, 1), np.float32), np.zeros(1, np.float32)
    for _ in range(steps):
        x, t = minibatch(rng, all_keys=True)
        y, _ = dense_forward(x, W, b)
        dy = loss_backward(loss(y, t)[1])
        W -= rate * (x.T @ dy)
        b -= rate * dy.sum(axis=0)
    return lambda x: dense_forward(x, W, b)[0]


def train_network(seed, steps=600, rate=0.3):
    """The network with a hidden layer. Returns a function from x to y."""
    rng = np.random.default_rng(seed)
    params = random_params(rng)
    for _ in range(steps):
        gradient_step(params, *minibatch(rng, all_keys=True), rate)
    return lambda x: network_forward(x, *params)[0]


def accuracy_by_key(model):
    """The share of test units that are correctly classified, in each of the twelve keys."""
    return [float((model(x) * test_t > 0).mean()) for x in test_rolls]


results = {}
for name, train in [("one layer", train_linear), ("two layers", train_network)]:
    results[name] = np.array([accuracy_by_key(train(seed)) for seed in (0, 1, 2)])  # (3, 12)
    for seed, row in enumerate(results[name]):
        print(f"{name:10} seed {seed}: mean of twelve keys {row.mean():.3f}, worst {row.min():.3f}")
    means, worst = results[name].mean(axis=1), results[name].min(axis=1)
    print(f"{name:10} average: {means.mean():.3f}, worst key {worst.mean():.3f}")
print(f"always saying Monteverdi: {majority:.3f} in every key")

fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for name, color, marker in [("one layer", lesson.ORANGE, "o"), ("two layers", lesson.BLUE, "s")]:
    rows = results[name]
    ax.plot(KEYS, rows.mean(axis=0), color=color, marker=marker, label=name)
    ax.fill_between(KEYS, rows.min(axis=0), rows.max(axis=0), color=color, alpha=0.2, lw=0)
ax.axhline(majority, color=lesson.GREY, ls="--", lw=1, label="always Monteverdi")
ax.set(xlabel="semitones by which the test pieces are transposed", ylabel="correctly classified")
ax.set(ylim=(0.5, 1), xticks=KEYS, title="Means of three seeds, and the range between them")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %% tags=["hide"]
assert (results["two layers"].mean(axis=1) > results["one layer"].mean(axis=1)).all()

# %% [markdown]
# A network has learned. With each seed the two layers are better than the one: .833 against .811 on
# average, and .715 against .674 in the worst key. But the gain is small. Look at the seeds: the
# three networks differ only in their random numbers, yet their means lie between .823 and .851. A
# difference of .02 between two single runs would mean nothing. And all of them are tested on the
# same five pieces; five other pieces would give other numbers. Keep the .76 of always saying
# Monteverdi in mind, too: in the worst key both models are below it.
#
# Why does the hidden layer help so little? Look at its weighted sums before training:

# %%
W1, b1, _, _ = random_params(np.random.default_rng(0))
a, _ = dense_forward(test_x, W1, b1)  # (517, 32)
bent = np.abs(elu_forward(a)[0] - a)
print(f"standard deviation of a: {a.std():.3f}; mean |elu(a) - a|: {bent.mean():.4f}")

# %% [markdown]
# A roll is nearly all zeros, so the sums are small, and close to 0 the ELU is almost a straight
# line. Our network starts as a nearly linear one and is slow to leave that state. Chapter 4 cures
# this, with the same network and the same number of steps.
#
# ## The package does the same
#
# The package chains layers with `Sequential`, whose cache is the list of its layers' caches, as in
# our network. Its [`Elu`](../tinyembed/layers/elu.py) keeps the output as its cache, too.

# %%
from tinyembed.layers.dense import Dense
from tinyembed.layers.elu import Elu
from tinyembed.layers.gradcheck import cast
from tinyembed.layers.layer import Sequential

rng = np.random.default_rng(4)
layers = {"dense1": Dense(6, 4, rng=rng), "elu": Elu(), "dense2": Dense(4, 1, rng=rng)}
network = cast(Sequential(**layers), float)
for parameter, array in zip(network.parameters(), arrays[1:], strict=True):
    parameter.value = array

y, cache = network.forward(arrays[0])
y_ours, cache_ours = network_forward(*arrays)
dy = rng.standard_normal((5, 1))
dx = network.backward(dy, cache)
assert np.allclose(y, y_ours, rtol=1e-12)
found = [dx, *(parameter.grad for parameter in network.parameters())]
for theirs, ours in zip(found, network_backward(dy, cache_ours), strict=True):
    assert np.allclose(theirs, ours, rtol=1e-10)
print("the same output and the same five gradients")

# %% [markdown]
# ## Exercises
#
# 1. Solve "both or neither" by hand, with two hidden neurons: find $W_1$, $b_1$, $W_2$ and $b_2$ so
#    that $y > 0$ for (0, 0) and (1, 1), and $y < 0$ for (1, 0) and (0, 1). Hint: what does
#    $\operatorname{elu}(a) + \operatorname{elu}(-a)$ look like?
#
#    <details><summary>Solution</summary>
#
#    The sum in the hint is 0 at $a = 0$ and positive on both sides. With $a = x_1 + x_2 - 1$, the
#    four inputs give $a = -1, 0, 0, 1$. The output bias moves the sum a little down: the four
#    outputs are 0.168, -0.200, -0.200 and 0.168.
#
#    ```python
#    both_or_neither = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
#    W1, b1 = np.array([[1, -1], [1, -1]]), np.array([-1, 1])
#    W2, b2 = np.array([[1], [1]]), np.array([-0.2])
#    y, _ = network_forward(both_or_neither, W1, b1, W2, b2)
#    print(" ".join(f"{value:.3f}" for value in y[:, 0]))
#    ```
#    </details>
#
# 2. Train on the music as written again, with weight decay: add $\lambda W_1$ to $dW_1$, with
#    $\lambda = 0.01$. What is the loss on the test pieces after 1,000 steps?
#
#    <details><summary>Solution</summary>
#
#    It is 0.159, where it was 0.329 before, and even a little lower than at the best step. The size
#    of $W_1$ ends at 3.2 instead of 9.0.
#
#    ```python
#    rng = np.random.default_rng(3)
#    params = random_params(rng)
#    for _ in range(1000):
#        params[0] *= 1 - 0.5 * 0.01  # the step of rate 0.5 along 0.01 W1
#        gradient_step(params, *minibatch(rng, all_keys=False), rate=0.5)
#    test_loss, _ = loss(network_forward(test_x, *params)[0], test_t)
#    print(f"{test_loss:.3f}; size of W1 {np.sqrt((params[0] ** 2).sum()):.1f}")
#    ```
#    </details>
#
# 3. How many hidden neurons does it take? Train in all keys with $M = 2$, with seed 0.
#
#    <details><summary>Solution</summary>
#
#    Two are nearly enough here: mean 0.821, worst 0.692, where 32 neurons reached 0.823 and 0.691
#    with the same seed. The other thirty add little, because the network is still nearly linear.
#
#    ```python
#    rng = np.random.default_rng(0)
#    params = random_params(rng, M=2)
#    for _ in range(600):
#        gradient_step(params, *minibatch(rng, all_keys=True), rate=0.3)
#    row = accuracy_by_key(lambda x: network_forward(x, *params)[0])
#    print(f"mean {np.mean(row):.3f}, worst {min(row):.3f}")
#    ```
#    </details>
#
# ## Further reading
#
# - David Rumelhart, Geoffrey Hinton and Ronald Williams, "Learning Representations by
#   Back-Propagating Errors", 1986: four pages that made backpropagation known.
# - Michael Nielsen, *Neural Networks and Deep Learning*, 2015: an online book whose second chapter
#   derives backpropagation slowly, with exercises.
# - Lutz Prechelt, "Early Stopping - But When?", 1998: when exactly to stop, tried out.
# - Xavier Bouthillier and others, "Accounting for Variance in Machine Learning Benchmarks", 2021:
#   what varies between runs besides the seed, and how to compare models in spite of it.
#
# ## What comes next
#
# The sums of the hidden layer are too small for the ELU to act as more than a straight line. In
# [chapter 4](04_elu_and_batch_norm.md) seven layers make this worse, and batch norm repairs it.
