# %% [markdown]
# # 6. Tied weights: one parameter, two gradients
#
# The decoder uses the encoder's own weights, transposed. If you count only one of the two uses, the
# loss still falls and music still comes back, but the gradient is wrong.
#
# **What you'll do**
# - Squeeze tiles of real music through 12 numbers and back, with a single matrix.
# - Derive the gradient of that matrix, then leave out one half of it on purpose, and train.
# - Make three common mistakes with shared weights, and find out what detects each of them.
#
# **What you'll learn**
# - What an autoencoder is, and what *tied weights* are.
# - Why gradients *add* where a weight is used twice.
# - Why a falling loss does not prove that a gradient is right.
#
# **What you need**
# - [Chapter 2](02_fully_connected.md) (a layer, its gradient, the complex step) and
#   [chapter 5](05_convolution.md) (tiles, the transposed convolution).
# - 20 minutes.
#
# ## What the paper says
#
# Section 4.1: the first half of the network, the **encoder**, turns a unit into its embedding, a
# short vector. The second half, the **decoder**, goes the same way back and ends with a unit. Each
# decoder layer belongs to an encoder layer, and its weights are those of that layer, transposed:
#
# $$W' = W^T$$
#
# Such weights are called **tied**. The biases $b$ and $b'$ are not tied. A network that is trained
# to return its own input is an **autoencoder**. It can only do so by keeping what matters, because
# the vector in the middle is short.
#
# ## One number, used twice
#
# Here is the whole chapter with numbers instead of matrices. A "network" has one weight $w$: the
# encoder computes $z = w x$, and the decoder $r = w z$. Let $x = 2$ and $w = 3$. **Predict first:**
# if $w$ grows by a tiny $\delta$, how many times $\delta$ does $r$ grow?

# %%
import lesson
import matplotlib.pyplot as plt
import numpy as np

x, w, delta = 2.0, 3.0, 1e-6
z = w * x
r = w * z
only_encoder = (w * ((w + delta) * x) - r) / delta  # the decoder's w stays
only_decoder = ((w + delta) * z - r) / delta  # the encoder's w stays
both = ((w + delta) * ((w + delta) * x) - r) / delta
print(f"the encoder's w alone: {only_encoder:.3f}")
print(f"the decoder's w alone: {only_decoder:.3f}")
print(f"both, as it must be:   {both:.3f}")

# %% tags=["hide"]
assert np.isclose(both, only_encoder + only_decoder, rtol=1e-5) and np.isclose(both, 12, rtol=1e-5)

# %% [markdown]
# $12 = 6 + 6$. This is the product rule: $r = w \cdot w \cdot x$ has the derivative $2 w x$, one
# $w x$ for each place where $w$ stands. **The gradient of a value that is used in two places is the
# sum of two gradients.** Everything that follows is this sentence, with matrices.
#
# ## Tiles of music, and twelve numbers
#
# Chapter 5 cut a unit into tiles of an octave by a sixteenth note, 72 cells each. We take 300 units
# in random keys, and keep the tiles that hold a note. Our autoencoder turns each tile into 12
# numbers, and these back into a tile.

# %% alt="A unit of Clara Schumann, and the share of all notes at each tick of a sixteenth"
corpus = lesson.corpus()
rng = np.random.default_rng(0)
beats = corpus.unit_beats()
beats = rng.choice(beats[corpus.has_onset(beats)], 300, replace=False)
rolls = corpus.rolls(beats, keys=rng.integers(-5, 7, 300)).astype(float)  # (300, 60, 96)


def tiles(rolls):
    """(n, 60, 96) -> (n * 80, 72): all tiles as rows, as im2col makes them."""
    return rolls.reshape(-1, 5, 12, 16, 6).swapaxes(2, 3).reshape(-1, 72)


x = tiles(rolls)
x = x[x.any(axis=1)]  # (N, 72): those with a note
ticks = x.reshape(-1, 12, 6).sum(axis=(0, 1)) / x.sum()  # (6,)
print(f"{len(x):,} tiles with a note, of {300 * 80:,}; {x.sum() / len(x):.2f} notes in each")
print(f"{100 * ticks[0]:.0f}% of the notes are on the first tick of their tile")

piece = corpus.names.index("Clara Schumann/polonaise_op1n1.mxl")
unit = corpus.rolls(corpus.unit_beats([piece])[12:13]).astype(float)  # (1, 60, 96)
fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3), layout="constrained", gridspec_kw={"width_ratios": [2, 1]}
)
lesson.show_roll(left, unit[0], "Clara Schumann, Polonaise op. 1 no. 1")
left.set_xlabel("beat")
right.bar(range(6), 100 * ticks, color=lesson.BLUE)
right.set(xlabel="tick within the tile", ylabel="% of all notes", title="All tiles")
right.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# | Symbol | What it is | Shape |
# | --- | --- | --- |
# | $x$ | tiles | (N, 72) |
# | $W$ | the only matrix of weights | (72, 12) |
# | $z$ | output of the encoder: 12 numbers per tile | (N, 12) |
# | $r$ | output of the decoder, the **reconstruction** | (N, 72) |
# | $L$ | loss | one number |
#
# $$z = x W, \qquad r = z W^T, \qquad L = \frac{\sum (r - x)^2}{\sum x^2}$$
#
# Both sums run over all tiles and all cells. So $L$ is **the share of the music that is lost**: 0
# if every tile comes back, and 1 if nothing does.
#
# ## Two gradients
#
# Pretend for a moment that the decoder's matrix $W'$, of shape (12, 72), is a separate one, which
# only happens to equal $W^T$. Then there are two layers of chapter 2, and we go through them from the
# back to the front:
#
# $$dr = \frac{2 (r - x)}{\sum x^2}$$
#
# $$r = z W': \qquad dW' = z^T dr, \qquad dz = dr \, W'^T = dr \, W$$
#
# $$z = x W: \qquad dW_{\text{enc}} = x^T dz$$
#
# Now stop pretending: the entry of $W'$ in row $m$ and column $d$ *is* the entry of $W$ in row
# $d$ and column $m$. So $dW'$ must be transposed before it is added:
#
# $$dW_{\text{dec}} = (z^T dr)^T = dr^T z, \qquad dW = dW_{\text{enc}} + dW_{\text{dec}}$$


# %%
def lost(W, x):
    """The loss. W: (72, 12), x: (N, 72) -> the share of x that does not come back."""
    r = (x @ W) @ W.T  # (N, 72)
    return ((r - x) * (r - x)).sum() / (x * x).sum()


def two_gradients(W, x):
    """The encoder's and the decoder's contribution to dW, (72, 12) each."""
    z = x @ W  # (N, 12)
    r = z @ W.T  # (N, 72)
    dr = 2 * (r - x) / (x * x).sum()  # (N, 72)
    from_decoder = dr.T @ z  # (72, 12)
    dz = dr @ W  # (N, 12)
    from_encoder = x.T @ dz  # (72, 12)
    return from_encoder, from_decoder


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


W = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
few = x[:40]  # enough for a check
expected = complex_step(lambda W: lost(W, few), W)
from_encoder, from_decoder = two_gradients(W, few)
for name, guess in {
    "the sum": from_encoder + from_decoder,
    "encoder only": from_encoder,
    "decoder only": from_decoder,
}.items():
    error = relative_error(guess, expected)
    print(f"{name:12}  ten digits right: {error < 1e-10!s:5}  relative error {error:.1f}")

# %% tags=["hide"]
assert relative_error(from_encoder + from_decoder, expected) < 1e-10
assert relative_error(from_encoder, expected) > 0.3
assert relative_error(from_decoder, expected) > 0.3

# %% [markdown]
# The complex step knows nothing about encoders and decoders. It moves an entry of $W$ and looks at
# $L$, and it confirms the sum.
#
# ## Would you have noticed?
#
# Suppose you skip the check and train, by gradient descent. **Predict first:** three trainings
# start from the same weights and take 250 steps each, one with the whole gradient, one with the
# encoder's part only, and one with the decoder's part only. Which of them will look broken?


# %%
def train(encoder_counts, decoder_counts, steps=250, rate=0.5):
    W = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
    losses = []
    for _ in range(steps):
        losses.append(lost(W, x))
        from_encoder, from_decoder = two_gradients(W, x)
        W = W - rate * (encoder_counts * from_encoder + decoder_counts * from_decoder)
    return W, losses


trained = {
    "the sum": train(1, 1),
    "encoder only": train(1, 0),
    "decoder only": train(0, 1),
}
print("share of the music that is lost, after   0     50    249 steps")
for name, (_, losses) in trained.items():
    print(f"  {name:33} {losses[0]:9.3f} {losses[50]:6.3f} {losses[249]:6.3f}")

# %% [markdown]
# Is the first one good, or could it do better? Linear algebra has the answer. It turns the tiles into
# 72 directions at right angles, sorted by how much of the music lies in each; the *singular values*
# are the roots of these amounts. The best **linear** map through 12 numbers, tied or not, keeps the
# first 12 directions and loses the rest. (A network with activations is not bound by this. The best
# linear map is also what *principal component analysis* finds, if the mean is not subtracted;
# chapter 10 explains it.)

# %% alt="Three falling losses: the sum and the decoder's part reach the lowest possible loss"
singular = np.linalg.svd(x, compute_uv=False)  # (72,), falling
best = (singular[12:] ** 2).sum() / (x * x).sum()
print(f"the least that a linear map through 12 numbers can lose: {best:.3f}")

fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
colors = (lesson.BLUE, lesson.ORANGE, lesson.INK)
for (name, (_, losses)), color in zip(trained.items(), colors, strict=True):
    ax.plot(losses, color=color, lw=2, label=name)
ax.axhline(best, color=lesson.GREY, lw=1, ls="--", label="best linear map")
ax.set(xlabel="step", ylabel="share of the music lost", ylim=(0, 1))
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
final = {name: losses[-1] for name, (_, losses) in trained.items()}
assert np.isclose(final["the sum"], best, rtol=0.01)
assert np.isclose(final["decoder only"], best, rtol=0.01)
assert 0.5 < final["encoder only"] < 0.7
soon = {name: np.argmax(np.array(trained[name][1]) < 1.05 * best) for name in trained}
assert 0 < soon["decoder only"] < soon["the sum"]
assert all(np.diff(losses).max() < 1e-3 for _, losses in trained.values())

# %% [markdown]
# None of them looks broken. All three losses fall, smoothly. With the encoder's part only, the
# training gets stuck, but you see that only beside the other curves. The decoder's part alone is a
# *wrong* gradient, and yet it reaches the best possible loss. It is behind the right one at step 50,
# and comes within 5% of the best loss before it.
#
# The last case is luck, and it depends on the network being linear. For a linear network the
# decoder's part is *Oja's rule*, known since the 1980s to find the directions in which data vary
# most. With an activation there is no such guarantee. The encoder's part vanishes as soon as the
# twelve columns of $W$ are at right angles and have length 1, whatever their directions are
# (exercise 2), so it stops too early.
#
# **A falling loss does not prove that a gradient is right. A gradient check does.**
#
# ## What did it learn?
#
# The matrix $W W^T$, 72 x 72, turns a tile into its reconstruction. Its diagonal says, for each
# cell, how much of a note in that cell comes back in the same cell. We draw the diagonal as a tile,
# 12 pitches by 6 ticks. **Predict first:** twelve numbers cannot keep 72 cells. Which notes will
# they keep?

# %% tags=["thumbnail"] alt="How much of each cell comes back, for three trainings: the first tick"
fig, axes = plt.subplots(1, 3, figsize=(8, 3.6), layout="constrained", sharey=True)
NOTES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
kept = {}
for ax, (name, (W, _)) in zip(axes, trained.items(), strict=True):
    kept[name] = np.diag(W @ W.T).reshape(12, 6)
    image = ax.imshow(
        kept[name], origin="lower", cmap="Blues", vmin=0, vmax=1, extent=(0, 6, 0, 12)
    )
    ax.set(title=name, xlabel="tick", aspect="auto")
    ax.set_xticks(np.arange(6) + 0.5, range(6))
axes[0].set_yticks(np.arange(12) + 0.5, NOTES)
axes[0].set_ylabel("pitch")
fig.colorbar(image, ax=axes, label="share that comes back")
plt.show()
first_tick = kept["the sum"][:, 0].mean()
print(f"the sum: {first_tick:.2f} of the first tick comes back,")
print(f"         at most {kept['the sum'][:, 1:].max():.2f} of any other")

# %% tags=["hide"]
turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))
turned = trained["the sum"][0] @ turn
assert np.isclose(lost(turned, x), lost(trained["the sum"][0], x)) and np.abs(turn).max() < 0.9
assert first_tick > 0.99 and kept["the sum"][:, 1:].max() < 0.02
assert 0.93 < ticks[0] < 0.94 and abs(1 - ticks[0] - best) < 0.01
assert kept["encoder only"][:, 0].min() < 0.7

# %% [markdown]
# They keep the twelve notes of the octave on the first tick of the sixteenth, and nothing else.
# Nobody told the network that music is written in sixteenth notes. But 94% of all notes are on that
# tick, so this is the best that twelve numbers can do, and the other notes are the loss.
#
# (The columns of $W$ themselves look like noise, and each one mixes all twelve notes. Rotating the
# twelve numbers of $z$ leaves $W W^T$ unchanged, so the loss does not care which mixture it is.)
#
# We can now say what will be lost in the bar by Clara Schumann:

# %% alt="The unit and its reconstruction; circles mark the notes of triplets, which are lost"
W, _ = trained["the sum"]
back = (tiles(unit) @ W @ W.T).reshape(1, 5, 16, 12, 6).swapaxes(2, 3).reshape(1, 60, 96)
between = unit[0].copy()
between[:, ::6] = 0  # only the notes that are not on a sixteenth
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
lesson.show_roll(axes[0], unit[0], "in: 72 cells per tile")
lesson.show_roll(axes[1], back[0], "out: through 12 numbers per tile")
for row, tick in zip(*np.nonzero(between), strict=True):
    for ax in axes:
        ax.plot((tick + 2) / 24, row + 0.5, "o", ms=9, mfc="none", c=lesson.ORANGE)
for ax in axes:
    ax.set_xlabel("beat")
plt.show()
print(f"notes: {unit[0].sum():.0f}, of them not on a sixteenth (circles): {between.sum():.0f}")
print(f"lost:  {lost(W, tiles(unit)):.2f} of this unit")

# %% tags=["hide"]
assert np.isclose(lost(W, tiles(unit)), between.sum() / unit[0].sum(), atol=0.02)

# %% [markdown]
# The run in beats 2 and 3 consists of triplets, and only the first note of each is left. One layer
# with 12 channels cannot do more. The paper's first layer has more channels (we take 100), and a
# whole network after it.
#
# ## One object, held by two layers
#
# In code, tying weights takes one idea. A weight becomes an *object* that holds two arrays: its
# value, and its gradient. Both layers hold the same object, and the backward pass of each **adds**
# to the gradient instead of returning it. So `backward` returns $dx$ only. The package's layers
# work like this.


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
        return x @ self.weight.value, x  # y, cache

    def backward(self, dy, cache):
        x = cache
        self.weight.grad += x.T @ dy
        return dy @ self.weight.value.T


class TiedDense:
    """y = x W^T, with the weight of a Dense layer."""

    def __init__(self, dense):
        self.weight = dense.weight  # the same object

    def forward(self, x):
        return x @ self.weight.value.T, x

    def backward(self, dy, cache):
        x = cache
        self.weight.grad += dy.T @ x
        return dy @ self.weight.value


def add_gradients(encoder, decoder, x):
    """Forward and backward through both layers. Adds to the gradients of their weights."""
    z, encoder_cache = encoder.forward(x)
    r, decoder_cache = decoder.forward(z)
    dr = 2 * (r - x) / (x * x).sum()
    dz = decoder.backward(dr, decoder_cache)
    encoder.backward(dz, encoder_cache)


start = 0.1 * np.random.default_rng(1).standard_normal((72, 12))
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(encoder)
add_gradients(encoder, decoder, few)
print("the gradient is right:", relative_error(encoder.weight.grad, expected) < 1e-10)
add_gradients(encoder, decoder, few)
print("twice it, after a second pass:", relative_error(encoder.weight.grad, 2 * expected) < 1e-10)

# %% tags=["hide"]
assert relative_error(encoder.weight.grad, 2 * expected) < 1e-10

# %% [markdown]
# No line of this code mentions a sum of two gradients; adding is enough. It works for any number of
# uses, such as the seven steps of the LSTM in chapter 11. The price is that `grad` must be set to 0
# before each training step.
#
# There are three common mistakes.
#
# **Mistake 1: `=` instead of `+=`.** The decoder's contribution is written first. Then the
# encoder's overwrites it.


# %%
class AssigningDense(Dense):
    def backward(self, dy, cache):
        self.weight.grad = cache.T @ dy  # wrong
        return dy @ self.weight.value.T


encoder = AssigningDense(Parameter(start.copy()))
add_gradients(encoder, TiedDense(encoder), few)
print("ten digits right:", relative_error(encoder.weight.grad, expected) < 1e-10)
print("the encoder's part only:", np.allclose(encoder.weight.grad, from_encoder))

# %% tags=["hide"]
assert np.allclose(encoder.weight.grad, from_encoder)

# %% [markdown]
# A gradient check finds this one. Without a check you would get the curve that got stuck.
#
# **Mistake 2: equal values in two objects.** The decoder gets a *copy* of the weight. **Predict
# first:** does a gradient check find this?

# %%
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(Dense(Parameter(start.copy())))  # wrong: another object
add_gradients(encoder, decoder, few)


def lost_untied(W):
    """The loss as a function of the encoder's weight, while the decoder's copy stays."""
    r = (few @ W) @ start.T
    return ((r - few) * (r - few)).sum() / (few * few).sum()


untied = complex_step(lost_untied, start)
print("the gradient check passes:", relative_error(encoder.weight.grad, untied) < 1e-10)
for weight in (encoder.weight, decoder.weight):
    weight.value -= 0.5 * weight.grad
equal = np.allclose(encoder.weight.value, decoder.weight.value)
print("the weights are equal after one step:", equal)

# %% tags=["hide"]
assert relative_error(encoder.weight.grad, untied) < 1e-10 and not equal

# %% [markdown]
# It does not. Every gradient is right, but it belongs to another network: an untied one, with twice
# as many weights. What finds it is the question whether `decoder.weight is encoder.weight`.
#
# **Mistake 3: a parameter that is listed twice.** The *optimizer* is the code that takes the training
# steps. It gets the weights of all layers, and the shared one is among them twice. So each step is
# taken twice.

# %%
encoder = Dense(Parameter(start.copy()))
decoder = TiedDense(encoder)
add_gradients(encoder, decoder, few)
for weight in [encoder.weight, decoder.weight]:  # wrong: one object, listed twice
    weight.value -= 0.5 * weight.grad
step = start - encoder.weight.value
print(f"the step is {np.mean(step / (0.5 * expected)):.1f} times as long as it should be")

# %% tags=["hide"]
assert np.allclose(step, 2 * 0.5 * expected)

# %% [markdown]
# ## The package does the same
#
# [`Dense` and `TiedDense`](../tinyembed/layers/dense.py) are the classes above, and `parameters()`
# of any network lists a shared parameter once.
# [`Conv2d` and `TiedConvTranspose2d`](../tinyembed/layers/conv.py) tie a convolution. Chapter 5
# showed that the transposed convolution is the gradient of the convolution with respect to its
# input. So with tied weights, each of the two layers computes forward what the other computes
# backward. The patches of our convolution are tiles, so on **whole rolls** it finds the same
# gradient. (Silent tiles add nothing to it.)

# %%
from tinyembed.layers import conv, dense
from tinyembed.layers.gradcheck import cast
from tinyembed.models.model import Model

from_encoder, from_decoder = two_gradients(start, x)

encoder = cast(dense.Dense(72, 12, bias=False, rng=rng), float)
decoder = dense.TiedDense(encoder)
encoder.weight.value[:] = start
assert decoder.weight is encoder.weight
add_gradients(encoder, decoder, x)
assert np.allclose(encoder.weight.grad, from_encoder + from_decoder, rtol=1e-10, atol=1e-15)
print("fully connected: the same gradient")

encoder = cast(conv.Conv2d(1, 12, (12, 6), (12, 6), bias=False, rng=rng), float)
decoder = conv.TiedConvTranspose2d(encoder, bias=False)
encoder.weight.value[:] = start
add_gradients(encoder, decoder, rolls[..., None])  # (300, 60, 96, 1)
assert np.allclose(encoder.weight.grad, from_encoder + from_decoder, rtol=1e-9, atol=1e-12)
print("convolution:     the same gradient, on whole rolls")

model = Model("context", "paper", composers=[], rng=np.random.default_rng(0))
weights = {name: p for name, p in model.named_parameters().items() if name.endswith("weight")}
tied = {name: part for name, part in model.decoder.sublayers().items() if hasattr(part, "weight")}
assert all(part.weight is getattr(model.encoder, name).weight for name, part in tied.items())
count = sum(p.value.size for p in weights.values())
print(f"the paper's network: {len(tied)} tied layers, {count:,} weights; untied {2 * count:,}")

# %% tags=["hide"]
assert len(tied) == len(weights) == 7 and count == 6_287_200

# %% [markdown]
# ## Exercises
#
# 1. **With an activation.** Put the ELU between the layers: $z = \operatorname{elu}(x W)$. Which of
#    the two contributions changes, and how? Check it. How large is the relative error if you forget
#    the change?
#
#    <details><summary>Solution</summary>
#
#    The decoder's contribution stays, because it only sees $z$. The encoder's is multiplied by the
#    slope of the ELU, which is 1 where $z > 0$ and $z + 1$ elsewhere. With the slope, ten digits
#    are right. Without it, the relative error is 0.061.
#
#    ```python
#    def elu(a):
#        return np.where(a.real > 0, a, np.exp(np.where(a.real > 0, 0, a)) - 1)
#
#    def lost_with_elu(W):
#        r = elu(few @ W) @ W.T
#        return ((r - few) * (r - few)).sum() / (few * few).sum()
#
#    z = elu(few @ start)
#    dr = 2 * (z @ start.T - few) / (few * few).sum()
#    expected = complex_step(lost_with_elu, start)
#    for slope in (np.where(z > 0, 1, z + 1), 1):
#        dW = few.T @ (dr @ start * slope) + dr.T @ z
#        error = relative_error(dW, expected)
#        print("right" if error < 1e-10 else f"wrong by {error:.3f}")
#    ```
#    </details>
#
# 2. **Why it got stuck.** Take any $W$ whose columns are at right angles and have length 1, so that
#    $W^T W$ is the identity. (`np.linalg.qr` makes one from random numbers.) Show on paper that the
#    encoder's contribution is 0, and check it. Is the decoder's also 0?
#
#    <details><summary>Solution</summary>
#
#    The encoder's contribution is $x^T dr \, W$, and $dr$ is a multiple of $x W W^T - x$. Times $W$,
#    this is $x W W^T W - x W = x W - x W = 0$. The decoder's contribution still turns $W$ towards
#    the directions in which the tiles vary most. The largest entries are 0.000 and 0.033.
#
#    ```python
#    W, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((72, 12)))
#    assert np.allclose(W.T @ W, np.eye(12))
#    for contribution in two_gradients(W, x):
#        print(f"{np.abs(contribution).max():.3f}")
#    ```
#    </details>
#
# 3. **Three uses.** Encode the reconstruction once more: $z = x W$, $r = z W^T$, and then
#    $y = r W$. Write $dW$ for a loss whose gradient with respect to $y$ is $dy$. Check it, and also
#    each of the three contributions alone.
#
#    <details><summary>Solution</summary>
#
#    There are three uses and three contributions: $r^T dy$, $dr^T z$ and $x^T dz$. The sum has ten
#    digits right. The number of single contributions that do is 0.
#
#    ```python
#    dy = np.random.default_rng(4).standard_normal((40, 12))
#    z = few @ start
#    r = z @ start.T
#    dr = dy @ start.T
#    dz = dr @ start
#    expected = complex_step(lambda W: ((((few @ W) @ W.T) @ W) * dy).sum(), start)
#    parts = [r.T @ dy, dr.T @ z, few.T @ dz]
#    assert relative_error(sum(parts), expected) < 1e-10
#    print(sum(relative_error(part, expected) < 1e-10 for part in parts))
#    ```
#    </details>
#
# ## Further reading
#
# - Pierre Baldi and Kurt Hornik, "Neural Networks and Principal Component Analysis: Learning from
#   Examples Without Local Minima", 1989: why linear autoencoders find principal components.
# - Erkki Oja, "A Simplified Neuron Model as a Principal Component Analyzer", 1982: the decoder's
#   part of the gradient, as a model of learning in a nerve cell.
# - Pascal Vincent and others, "Stacked Denoising Autoencoders: Learning Useful Representations in a
#   Deep Network with a Local Denoising Criterion", 2010: autoencoders that must repair a corrupted
#   input, as in chapter 8.
#
# ## What comes next
#
# We measured the loss cell by cell, in squares. For whole units this is a poor measure, because
# silence gets nearly every cell right. [Chapter 7](07_candidate_loss.md) finds a better one.
