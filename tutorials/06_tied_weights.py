# %% [markdown]
# # 6. Tied weights: one parameter, two gradients
#
# The way out of the network uses the very weights of the way in: count only one of the two uses,
# and the loss still falls, the music still comes back, and the gradient is wrong.
#
# **What you'll do.** Squeeze tiles of real music through 12 numbers and back with one matrix; find
# its gradient; forget one half of it on purpose, then the other, and watch both train.
#
# **What you'll learn.** What an autoencoder is; why gradients *add* where a weight is used twice;
# why a falling loss proves nothing; what twelve numbers keep of a sixteenth of music.
#
# **What you need.** [Chapter 2](02_fully_connected.md) (a layer, its gradient, the complex step),
# [chapter 5](05_convolution.md) (tiles and the transpose), and 20 minutes.
#
# ## What the paper says
#
# Section 4.1: the first half of the network, the *encoder*, takes a unit to its embedding; the
# second half, the *decoder*, goes the same way back and ends with a unit again. Each decoder layer
# belongs to an encoder layer and has that layer's weights, transposed:
#
# $$W' = W^T$$
#
# The biases $b$ and $b'$ are not shared. A network that must give back what it was given is an
# *autoencoder*; what makes it interesting is the narrow place in the middle.
#
# ## One number, used twice
#
# First the whole chapter in school arithmetic. A "network" of one weight: the encoder is $h = w x$,
# the decoder $z = w h$. Let x = 2 and w = 3.
#
# **Predict.** If w grows by a tiny bit, how many times as much does z grow?

# %%
import lesson
import matplotlib.pyplot as plt
import numpy as np

x, w, tiny = 2.0, 3.0, 1e-6
h = w * x
z = w * h
only_encoder = (w * ((w + tiny) * x) - z) / tiny  # the first w grows, the second is held
only_decoder = ((w + tiny) * h - z) / tiny  # the second grows, the first is held
both = ((w + tiny) * ((w + tiny) * x) - z) / tiny
print(f"the encoder's w alone: {only_encoder:.3f}")
print(f"the decoder's w alone: {only_decoder:.3f}")
print(f"both, as it must be:   {both:.3f}")

# %% tags=["hide"]
assert np.isclose(both, only_encoder + only_decoder, rtol=1e-5) and np.isclose(both, 12, rtol=1e-5)

# %% [markdown]
# 12 = 6 + 6. It is the product rule: $z = w w x$ has slope $2 w x$, one $w x$ for each place where
# $w$ stands. **A value that is used in two places has the sum of two gradients.** All that follows
# is this line with matrices in it.
#
# ## Tiles of music, and twelve numbers
#
# Chapter 5 cut a unit into tiles of an octave by a sixteenth, 72 cells each. Here are those of 300
# units, without the silent ones. Our autoencoder takes a tile to 12 numbers and back.

# %% alt="A unit of Clara Schumann; the share of all notes at each tick of a sixteenth"
corpus = lesson.corpus()
rng = np.random.default_rng(0)
beats = corpus.unit_beats()
beats = rng.choice(beats[corpus.has_onset(beats)], 300, replace=False)
rolls = corpus.rolls(beats, keys=rng.integers(-5, 7, 300)).astype(float)  # (300, 60, 96)


def tiles(rolls):
    """(n, 60, 96) -> (n * 80, 72): all tiles, one below the other; chapter 5's columns."""
    return rolls.reshape(-1, 5, 12, 16, 6).swapaxes(2, 3).reshape(-1, 72)


x = tiles(rolls)
x = x[x.any(axis=1)]  # (N, 72), those with a note
ticks = x.reshape(-1, 12, 6).sum(axis=(0, 1)) / x.sum()  # (6,)
print(f"{len(x):,} tiles with a note, of {300 * 80:,}; {x.sum() / len(x):.2f} notes in each")
print(f"{100 * ticks[0]:.0f}% of the notes stand on the first tick of their tile")

piece = corpus.names.index("Clara Schumann/polonaise_op1n1.mxl")
unit = corpus.rolls(corpus.unit_beats([piece])[12:13]).astype(float)  # (1, 60, 96)
fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3), layout="constrained", gridspec_kw={"width_ratios": [2, 1]}
)
lesson.show_roll(left, unit[0], "Clara Schumann, Polonaise op. 1 no. 1")
left.set_xlabel("beat")
right.bar(range(6), 100 * ticks, color=lesson.BLUE)
right.set(xlabel="tick of the sixteenth", ylabel="% of all notes", title="Where in a tile?")
right.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# | Symbol | What it is | Shape |
# | --- | --- | --- |
# | $x$ | tiles | (N, 72) |
# | $W$ | the one matrix of weights | (72, 12) |
# | $h$ | what the encoder makes: 12 numbers a tile | (N, 12) |
# | $z$ | what the decoder makes of them | (N, 72) |
# | $L$ | the loss, one number | |
# | $dz, dh, dW$ | gradients of $L$ with respect to $z$, $h$, $W$ | as those |
#
# $$h = x W \qquad\qquad z = h W^T \qquad\qquad L = \frac{\sum (z - x)^2}{\sum x^2}$$
#
# Both sums are over all tiles and cells, so that L is **the share of the music that is lost**: 0 if
# every tile comes back, 1 if nothing does.
#
# ## Two gradients
#
# Pretend for a moment that the decoder had a matrix of its own, $V$ of shape (12, 72), which only
# happens to equal $W^T$. Then these are two layers of chapter 2, and from back to front:
#
# $$dz = \frac{2 (z - x)}{\sum x^2}$$
#
# $$z = h V: \qquad dV = h^T dz \qquad\qquad dh = dz V^T = dz W$$
#
# $$h = x W: \qquad dW_{enc} = x^T dh$$
#
# Now stop pretending. $V$ is $W$ on its side: entry (k, j) of V *is* entry (j, k) of W. So $dV$
# must be laid on its side too before it counts for W:
#
# $$dW_{dec} = (h^T dz)^T = dz^T h$$
#
# $$dW = dW_{enc} + dW_{dec}$$


# %%
def lost(W, x):
    """The loss. W: (72, 12), x: (N, 72) -> the share of x that does not come back."""
    z = (x @ W) @ W.T  # (N, 72)
    return ((z - x) * (z - x)).sum() / (x * x).sum()


def two_gradients(W, x):
    """The encoder's and the decoder's contribution to dW, (72, 12) each."""
    h = x @ W  # (N, 12)
    z = h @ W.T  # (N, 72)
    dz = 2 * (z - x) / (x * x).sum()  # (N, 72)
    from_decoder = dz.T @ h  # (72, 12)
    dh = dz @ W  # (N, 12)
    from_encoder = x.T @ dh  # (72, 12)
    return from_encoder, from_decoder


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


W = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
few = x[:40]  # enough for a check
expected = complex_step(lambda W: lost(W, few), W)
from_encoder, from_decoder = two_gradients(W, few)
for name, guess in {
    "both": from_encoder + from_decoder,
    "encoder's only": from_encoder,
    "decoder's only": from_decoder,
}.items():
    print(f"{name:15} relative error {max(relative_error(guess, expected), 1e-10):.2g}")

# %% tags=["hide"]
assert relative_error(from_encoder + from_decoder, expected) < 1e-10
assert relative_error(from_encoder, expected) > 0.3
assert relative_error(from_decoder, expected) > 0.3

# %% [markdown]
# (Errors below 1e-10 are printed as 1e-10.) The complex step knows nothing of encoders and
# decoders; it moves an entry of W and looks at L. It wants both.
#
# ## Would you have noticed?
#
# Suppose you never check, and train. Training is: take the gradient, go a little way against it,
# repeat.
#
# **Predict.** Three trainings from the same start, 250 steps each: with both halves, with the
# encoder's alone, with the decoder's alone. Which of them will look broken?


# %%
def train(use, steps=250, rate=0.5):
    """use: (1, 1) for both contributions, (1, 0) for the encoder's, (0, 1) for the decoder's."""
    W = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
    losses = []
    for _ in range(steps):
        losses.append(lost(W, x))
        from_encoder, from_decoder = two_gradients(W, x)
        W = W - rate * (use[0] * from_encoder + use[1] * from_decoder)
    return W, losses


trained = {
    "both": train((1, 1)),
    "encoder's half": train((1, 0)),
    "decoder's half": train((0, 1)),
}
print("share of the music that is lost after   0     50    249 steps")
for name, (_, losses) in trained.items():
    print(f"  {name:32} {losses[0]:9.3f} {losses[50]:6.3f} {losses[249]:6.3f}")

# %% [markdown]
# Is the first one right, or could it do better? Here there is an oracle. What any *linear* map through
# 12 numbers can keep of these tiles at best, tied or not, is known from linear algebra: all but the
# squares of the singular values from the 13th on.

# %% alt="Three falling losses: both and the decoder's half reach the bound"
singular = np.linalg.svd(x, compute_uv=False)  # (72,), falling
best = (singular[12:] ** 2).sum() / (x * x).sum()
print(f"the least that 12 numbers can lose: {best:.3f}")

fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for (name, (_, losses)), style in zip(trained.items(), ("-", "--", ":"), strict=True):
    ax.plot(losses, style, lw=2, label=name)
ax.axhline(best, color=lesson.GREY, lw=0.8)
ax.text(262, best - 0.015, "the best possible", ha="right", va="top", color=lesson.GREY)
ax.set(xlabel="step", ylabel="share of the music lost", ylim=(0, 1))
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
final = {name: losses[-1] for name, (_, losses) in trained.items()}
assert np.isclose(final["both"], best, rtol=0.01)
assert np.isclose(final["decoder's half"], best, rtol=0.01)
assert 0.5 < final["encoder's half"] < 0.7
soon = {name: np.argmax(np.array(trained[name][1]) < 1.05 * best) for name in trained}
assert 0 < soon["decoder's half"] < soon["both"]
assert all(np.diff(losses).max() < 1e-3 for _, losses in trained.values())

# %% [markdown]
# None of them looks broken. All three losses fall, smoothly. The encoder's half gets stuck, but who
# would know that it did, without the other curves? And the decoder's half, a *wrong* gradient,
# arrives at the very best, and even a little sooner than the right one.
#
# That last one is the luck of a network without a bend, and old luck: the decoder's half is known
# since the 1980s as Oja's rule, which finds the directions that hold most of a data set. With a
# bend it may go well or not; nobody promises it. The encoder's half stops because it vanishes as
# soon as the twelve columns of W stand at right angles and have length 1, whichever directions they
# point in (exercise 2).
#
# **A falling loss is no proof of a gradient. A check is.**
#
# ## What did it learn?
#
# $W W^T$, 72 x 72, takes a tile to what comes back. Its diagonal says, for each cell, how much of a
# note in that cell comes back **there**. We fold it into a tile again: 12 pitches by 6 ticks.
#
# **Predict.** Twelve numbers for 72 cells: which notes will it choose to keep?

# %% tags=["thumbnail"] alt="What comes back of each cell of a tile, for three trainings"
fig, axes = plt.subplots(1, 3, figsize=(8, 3.6), layout="constrained", sharey=True)
kept = {}
for ax, (name, (W, _)) in zip(axes, trained.items(), strict=True):
    kept[name] = np.diag(W @ W.T).reshape(12, 6)
    image = ax.imshow(
        kept[name], origin="lower", cmap="Blues", vmin=0, vmax=1, extent=(0, 6, 0, 12)
    )
    ax.set(title=name, xlabel="tick", aspect="auto")
names = ["C", "", "D", "", "E", "F", "", "G", "", "A", "", "B"]
axes[0].set_yticks(np.arange(12) + 0.5, names)
fig.colorbar(image, ax=axes, label="share that comes back")
plt.show()
first_tick = kept["both"][:, 0].mean()
print(f"with both halves: {first_tick:.2f} of the first tick comes back,")
print(f"                  at most {kept['both'][:, 1:].max():.2f} of any other")

# %% tags=["hide"]
turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))
turned = trained["both"][0] @ turn
assert np.isclose(lost(turned, x), lost(trained["both"][0], x)) and np.abs(turn).max() < 0.9
assert first_tick > 0.99 and kept["both"][:, 1:].max() < 0.02
assert 0.93 < ticks[0] < 0.94 and abs(1 - ticks[0] - best) < 0.01
assert kept["encoder's half"][:, 0].min() < 0.7

# %% [markdown]
# The twelve notes of the octave, on the first tick of the sixteenth, and nothing else. Nobody said
# that music is written in sixteenths. It is the best that twelve numbers can do: 94% of all notes
# stand there, and the others are the loss.
#
# (The columns of W themselves look like noise, each a mixture of all twelve notes. The twelve
# numbers of $h$ can be turned among themselves, and turned back, without $W W^T$ noticing.)
#
# So we know what must get lost in Clara Schumann's bar:

# %% alt="The unit and what comes back of it: all but the triplets"
W, _ = trained["both"]
back = (tiles(unit) @ W @ W.T).reshape(1, 5, 16, 12, 6).swapaxes(2, 3).reshape(1, 60, 96)
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
lesson.show_roll(axes[0], unit[0], "in: 72 numbers a tile")
lesson.show_roll(axes[1], back[0], "out: through 12 numbers a tile")
for ax in axes:
    ax.set_xlabel("beat")
plt.show()
between = unit[0].sum() - unit[0, :, ::6].sum()
print(f"notes: {unit[0].sum():.0f}, of them between the sixteenths: {between:.0f}")
print(f"lost:  {lost(W, tiles(unit)):.2f} of this unit")

# %% tags=["hide"]
assert np.isclose(lost(W, tiles(unit)), between / unit[0].sum(), atol=0.02)

# %% [markdown]
# The triplets in beats 2 and 3 are gone. One layer with 12 channels cannot do more; the paper's
# first layer has the whole network to follow it, and (as we take it) 100.
#
# ## One object, held by two layers
#
# In code the rule has a simple form: the weight is an *object* with two arrays, its value and its
# gradient. Both layers hold the same object, and each one's backward pass **adds**.


# %%
class Parameter:
    def __init__(self, value):
        self.value = value
        self.grad = np.zeros_like(value)


class Dense:
    """y = x W."""

    def __init__(self, weight):
        self.weight = weight

    def forward(self, x):
        return x @ self.weight.value, x  # y, and the cache

    def backward(self, dy, x):
        self.weight.grad += x.T @ dy
        return dy @ self.weight.value.T


class TiedDense:
    """y = x W^T, with the weight of a Dense layer."""

    def __init__(self, dense):
        self.weight = dense.weight  # the same object

    def forward(self, x):
        return x @ self.weight.value.T, x

    def backward(self, dy, x):
        self.weight.grad += dy.T @ x
        return dy @ self.weight.value


def gradient_through(encoder, decoder, x):
    """Forward and backward through both layers. Leaves the gradients in the layers' weights."""
    h, encoder_cache = encoder.forward(x)
    z, decoder_cache = decoder.forward(h)
    dz = 2 * (z - x) / (x * x).sum()
    encoder.backward(decoder.backward(dz, decoder_cache), encoder_cache)


start = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(encoder)
gradient_through(encoder, decoder, few)
print("right:", relative_error(encoder.weight.grad, expected) < 1e-10)
gradient_through(encoder, decoder, few)
print("once more, twice the gradient:", relative_error(encoder.weight.grad, 2 * expected) < 1e-10)

# %% tags=["hide"]
assert relative_error(encoder.weight.grad, 2 * expected) < 1e-10

# %% [markdown]
# No line says "sum the two". Adding is all it takes, and it goes on working for a weight used seven
# times, as in chapter 11. The price: somebody must set `grad` to 0 before each step.
#
# Three ways to get it wrong, all seen in the wild.
#
# **`=` instead of `+=`.** The decoder's half is written first, then the encoder's overwrites it.


# %%
class AssigningDense(Dense):
    def backward(self, dy, x):
        self.weight.grad = x.T @ dy  # wrong
        return dy @ self.weight.value.T


encoder = AssigningDense(Parameter(start.copy()))
gradient_through(encoder, TiedDense(encoder), few)
print(f"relative error {relative_error(encoder.weight.grad, expected):.2g}")

# %% tags=["hide"]
assert np.allclose(encoder.weight.grad, from_encoder)

# %% [markdown]
# Only the encoder's half is left: that is the stuck curve from above.
#
# **Equal, but not the same.** The decoder gets a *copy* of the weight.
#
# **Predict.** Does a gradient check find this one?

# %%
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(Dense(Parameter(start.copy())))  # wrong: equal values, another object
gradient_through(encoder, decoder, few)


def lost_apart(W):
    """The loss as a function of the encoder's weight, the decoder's copy held still."""
    z = (few @ W) @ start.T
    return ((z - few) * (z - few)).sum() / (few * few).sum()


apart = complex_step(lost_apart, start)
print("the gradient check passes:", relative_error(encoder.weight.grad, apart) < 1e-10)
for weight in (encoder.weight, decoder.weight):
    weight.value -= 0.5 * weight.grad
still_equal = np.allclose(encoder.weight.value, decoder.weight.value)
print("equal after one step:     ", still_equal)

# %% tags=["hide"]
assert relative_error(encoder.weight.grad, apart) < 1e-10 and not still_equal

# %% [markdown]
# It does not. Every gradient is right, for another network: an untied one with twice the weights.
# What finds it is a question about identity, `decoder.weight is encoder.weight`.
#
# **Listed twice.** The optimizer is handed the weights of all layers, and the shared one comes
# twice. Each step is then taken twice.

# %%
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(encoder)
gradient_through(encoder, decoder, few)
for weight in [encoder.weight, decoder.weight]:  # wrong: one object, listed twice
    weight.value -= 0.5 * weight.grad
step = start - encoder.weight.value
print(f"the step is {np.mean(step / (0.5 * expected)):.1f} times what it should be")

# %% tags=["hide"]
assert np.allclose(step, 2 * 0.5 * expected)

# %% [markdown]
# ## The package does the same
#
# [`Dense` and `TiedDense`](../tinyembed/layers/dense.py) are the classes above. [`Conv2d` and
# `TiedConvTranspose2d`](../tinyembed/layers/conv.py) tie a convolution: its patches are our tiles,
# so that on **whole rolls** they find the very same gradient. (Silent tiles add nothing.)

# %%
from tinyembed.layers import conv, dense
from tinyembed.layers.gradcheck import cast
from tinyembed.models.model import Model

encoder = cast(dense.Dense(72, 12, bias=False, rng=rng), float)
decoder = dense.TiedDense(encoder)
encoder.weight.value[:] = start
h, encoder_cache = encoder.forward(x)
z, decoder_cache = decoder.forward(h)
dz = 2 * (z - x) / (x * x).sum()
dh = decoder.backward(dz, decoder_cache)
from_encoder, from_decoder = two_gradients(start, x)
assert decoder.weight is encoder.weight
assert np.allclose(encoder.weight.grad, from_decoder, rtol=1e-10, atol=1e-15)  # so far
encoder.backward(dh, encoder_cache)
assert np.allclose(encoder.weight.grad, from_encoder + from_decoder, rtol=1e-10, atol=1e-15)
print("fully connected: the same gradient, in two contributions")

layer = conv.Conv2d(1, 12, (12, 6), (12, 6), bias=False, rng=rng)
encoder = cast(layer, float)
decoder = conv.TiedConvTranspose2d(encoder, bias=False)
encoder.weight.value[:] = start
images = rolls[..., None]  # (300, 60, 96, 1)
h, encoder_cache = encoder.forward(images)  # (300, 5, 16, 12)
z, decoder_cache = decoder.forward(h)  # (300, 60, 96, 1)
dz = 2 * (z - images) / (images * images).sum()
encoder.backward(decoder.backward(dz, decoder_cache), encoder_cache)
assert np.allclose(encoder.weight.grad, from_encoder + from_decoder, rtol=1e-9, atol=1e-12)
print("convolution:     the same, on whole rolls")

model = Model("context", "paper", composers=[], rng=np.random.default_rng(0))
weights = {name: p for name, p in model.named_parameters().items() if name.endswith("weight")}
names = {name: part for name, part in model.decoder.sublayers().items() if hasattr(part, "weight")}
assert all(part.weight is getattr(model.encoder, name).weight for name, part in names.items())
count = sum(p.value.size for p in weights.values())
print(f"the paper's network: {len(names)} tied layers, {count:,} weights; untied {2 * count:,}")

# %% tags=["hide"]
assert len(names) == len(weights) == 7 and count == 6_287_200

# %% [markdown]
# ## Exercises
#
# 1. **With an activation.** Put the ELU of [chapter 4](04_elu_and_batch_norm.md) between: $h$ = elu(x W).
#    Which of the two contributions changes, and how? Check it.
#
#    <details><summary>Solution</summary>
#
#    The decoder's stays as it is: it only sees $h$. The encoder's is multiplied by the ELU's slope,
#    which is 1 where $h > 0$ and $h + 1$ elsewhere. The sum agrees with the complex step: True. One
#    of the two alone does not: False.
#
#    ```python
#    def elu(x):
#        return np.where(x.real > 0, x, np.exp(np.where(x.real > 0, 0, x)) - 1)
#    ```
#
#    ```python
#    def lost_bent(W, x):
#        z = elu(x @ W) @ W.T
#        return ((z - x) * (z - x)).sum() / (x * x).sum()
#    ```
#
#    ```python
#    h = elu(few @ start)
#    dz = 2 * (h @ start.T - few) / (few * few).sum()
#    from_decoder = dz.T @ h
#    from_encoder = few.T @ ((dz @ start) * np.where(h > 0, 1, h + 1))
#    expected = complex_step(lambda W: lost_bent(W, few), start)
#    print(relative_error(from_encoder + from_decoder, expected) < 1e-10)
#    print(relative_error(from_decoder, expected) < 0.3)
#    ```
#
#    </details>
#
# 2. **Why it got stuck.** Take any W whose columns stand at right angles and have length 1, so that
#    $W^T W$ is the identity; `np.linalg.qr` makes one of random numbers. Show on paper that the
#    encoder's half is then 0, and check it. Is the decoder's?
#
#    <details><summary>Solution</summary>
#
#    The encoder's half is $x^T dz W$, and $dz$ is a number times $x W W^T - x$. Multiplied by W
#    from the right: $x W W^T W - x W = x W - x W = 0$ (True). The decoder's half is not 0 (False): it
#    still turns W towards the directions in which the music varies most.
#
#    ```python
#    W, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((72, 12)))
#    from_encoder, from_decoder = two_gradients(W, x)
#    print(np.allclose(W.T @ W, np.eye(12)) and np.abs(from_encoder).max() < 1e-12)
#    print(np.abs(from_decoder).max() < 1e-3)
#    ```
#
#    </details>
#
# 3. **Three uses.** Let the twelve numbers go round once more: $h = x W$, $z = h W^T$, and then
#    $u = z W$, the embedding of what came back. With any loss whose gradient at $u$ is $du$, write
#    $dW$. Check it.
#
#    <details><summary>Solution</summary>
#
#    Three uses, three contributions, and they agree with the complex step: True.
#
#    ```python
#    du = np.random.default_rng(4).standard_normal((40, 12))
#    h = few @ start
#    z = h @ start.T
#    dz = du @ start.T
#    dh = dz @ start
#    dW = z.T @ du + dz.T @ h + few.T @ dh
#    expected = complex_step(lambda W: ((((few @ W) @ W.T) @ W) * du).sum(), start)
#    print(relative_error(dW, expected) < 1e-10)
#    ```
#
#    </details>

# %% [markdown]
# ## Further reading
#
# - Vincent, Larochelle, Lajoie, Bengio and Manzagol, *Stacked denoising autoencoders*, 2010: tied
#   weights in the autoencoders that chapter 8 comes to.
# - Baldi and Hornik, *Neural networks and principal component analysis: learning from examples
#   without local minima*, 1989: what a linear autoencoder finds, and why.
#
# ## What comes next
#
# We measured what is lost cell by cell, in squares, and a sixteenth at a time. For whole units that
# is a poor judge, silence being right nearly everywhere: [chapter 7](07_candidate_loss.md) asks a
# better question.
