# %% [markdown]
# # 8. The denoising autoencoder
#
# A network gets music with half of its notes missing and must return the whole. To do that it has
# to learn what music is like. On this page it begins to, within seconds.

# %% [markdown]
# **What you'll do.** Corrupt music in three ways; assemble the layers of chapters 2 to 7 into the
# paper's network; train it on real music and watch its reconstructions improve.
#
# **What you'll learn.** What a denoising autoencoder is, and how its encoder and decoder share
# weights; Adam, the usual way to take a step; which numbers to compare a loss with; why a network
# can be worse than its own corrupted input and still be useful.
#
# **What you need.** Chapters [2](02_fully_connected.md) to [7](07_candidate_loss.md), whose layers
# come back here in a few lines each, and 19 minutes.

# %% [markdown]
# ## What the paper says
#
# Section 4.1: an **encoder** turns a unit into 100 numbers, its **embedding** $z$. A **decoder**
# turns $z$ into a roll again, with the encoder's weights, transposed. Such a pair is an
# **autoencoder**. If it got whole units as input, it could learn to copy and nothing else. So the
# input is corrupted first, in one of three ways, and the target is the whole unit. That makes it a
# **denoising autoencoder**. The loss is that of chapter 7, and a batch is 100 units.
#
# ## Music to learn from, and music to be tested on
#
# Neighbouring units share three of their four beats. So we split whole *pieces*, not units, into a
# training set and a test set. The network never sees the test set during training.

# %%
import copy
import json
import math

import lesson
import matplotlib.pyplot as plt
import numpy as np

import tinyembed

music = lesson.corpus()


def units_of(pieces):
    """The first beats of all units with an onset in some pieces (a mask): (n,)."""
    beats = music.unit_beats(pieces)
    return beats[music.has_onset(beats)]


training = units_of(~music.piece_is_test)
test = units_of(music.piece_is_test)
print(f"training set: {len(training):,} units of {(~music.piece_is_test).sum()} pieces")
print(f"test set:     {len(test):,} units of {music.piece_is_test.sum()} pieces")


def draw_rolls(beats, n, rng):
    """n units, each in a random key: (n, 60, 96)."""
    return music.rolls(rng.choice(beats, n, replace=False), rng.integers(-5, 7, n), dtype=float)


# %% [markdown]
# ## Three kinds of corruption
#
# **Note drop** removes half of the notes, at random. **Beat drop** silences one of the four beats.
# **Octave split** silences either the two lower octaves, roughly a left hand, or the three upper
# ones, roughly a right hand. Here are a chorale by Bach, a polonaise by Clara Schumann and a slow
# movement by Mozart, all of the test set. The removed notes are outlined.


# %% alt="Three units, each whole and corrupted in three ways, with the removed notes outlined"
def note_drop(rolls, rng):
    corrupted = rolls.copy()
    for roll in corrupted:
        pitch, tick = np.nonzero(roll)
        gone = rng.permutation(len(pitch))[: (len(pitch) + rng.integers(2)) // 2]
        roll[pitch[gone], tick[gone]] = 0  # if the number is odd, a coin rounds the half
    return corrupted


def beat_drop(rolls, rng):
    corrupted = rolls.copy()
    for roll in corrupted:
        beat = rng.integers(4)
        roll[:, 24 * beat : 24 * (beat + 1)] = 0
    return corrupted


def octave_split(rolls, rng):
    corrupted = rolls.copy()
    for roll in corrupted:
        if rng.integers(2):
            roll[:24] = 0
        else:
            roll[24:] = 0
    return corrupted


def show_with_missing(ax, roll, whole, given, title=""):
    """Draw a roll, and an outline around each onset of `whole` that is missing in `given`."""
    lesson.show_roll(ax, roll, title)
    pitch, tick = np.nonzero((whole > 0) & (given == 0))
    for x, y in zip(tick / 24, pitch, strict=True):
        box = plt.Rectangle((x - 0.02, y - 0.6), 0.21, 2.2, fill=False, lw=0.7, clip_on=False)
        box.set_edgecolor(lesson.ORANGE)
        ax.add_patch(box)


CORRUPTIONS = {"note drop": note_drop, "beat drop": beat_drop, "octave split": octave_split}

examples = music.rolls(test[[49, 187, 2181]], dtype=float)  # (3, 60, 96)
figure, axes = plt.subplots(3, 4, figsize=(9, 6), layout="constrained")
for row, roll in zip(axes, examples, strict=True):
    lesson.show_roll(row[0], roll, "whole")
    for ax, (name, corrupt) in zip(row[1:], CORRUPTIONS.items(), strict=True):
        corrupted = corrupt(roll[None], np.random.default_rng(2))[0]
        show_with_missing(ax, corrupted, roll, corrupted, name)
plt.show()

# %% tags=["hide"]
pieces = [music.names[piece] for piece in music.beat_piece[test[[49, 187, 2181]]]]
assert pieces[0].startswith("Bach/bwv2") and pieces[1].startswith("Clara Schumann/polonaise")
assert pieces[2] == "Mozart/k156/movement2.mxl"
assert all(music.piece_is_test[music.names.index(piece)] for piece in pieces)

# %% [markdown]
# **Predict first.** Which of the three is the hardest to undo? Keep your answer for the end of the
# chapter.

# %%
many = draw_rolls(training, 500, np.random.default_rng(0))
for name, corrupt in CORRUPTIONS.items():
    corrupted = corrupt(many, np.random.default_rng(1))
    assert (corrupted <= many).all()  # notes disappear, none appears
    print(f"{name:12s} removes {100 * (1 - corrupted.sum() / many.sum()):.0f}% of all notes")

# %% [markdown]
# ## The layers
#
# Here are the layers of the last chapters as classes. Each has a `forward`, which returns its output
# and a cache, and a `backward`, which turns $dy$ into $dx$. As in chapter 6, a learned array is a
# `Parameter`, an object with a value and a gradient. A layer *adds* to the gradient, so that two
# layers can share a parameter. In training, batch norm uses the mean and variance of the batch, and
# updates a running mean of each. Afterwards it uses the running ones.


# %%
class Parameter:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class Dense:  # chapter 2: y = x W
    def __init__(self, weight):
        self.weight = weight  # (D, M)

    def forward(self, x):
        return x @ self.weight.value, x

    def backward(self, dy, x):
        self.weight.grad += x.T @ dy
        return dy @ self.weight.value.T


class TiedDense:  # chapter 6: y = x W^T, with the weight of a Dense
    def __init__(self, weight):
        self.weight = weight

    def forward(self, x):
        return x @ self.weight.value.T, x

    def backward(self, dy, x):
        self.weight.grad += dy.T @ x  # the second contribution to the same gradient
        return dy @ self.weight.value


class Elu:  # chapter 4
    def forward(self, x):
        y = np.maximum(x, np.exp(np.minimum(x, 0)) - 1)
        return y, y

    def backward(self, dy, y):
        return dy * (np.minimum(y, 0) + 1)


class BatchNorm:  # chapter 4: each channel to mean 0 and variance 1, then gamma and beta
    def __init__(self, channels):
        self.gamma, self.beta = Parameter(np.ones(channels)), Parameter(np.zeros(channels))
        self.running_mu, self.running_var = np.zeros(channels), np.ones(channels)
        self.training = True

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])  # (N * places, C)
        mu, var = self.running_mu, self.running_var
        if self.training:
            mu = rows.mean(axis=0)
            var = ((rows - mu) * (rows - mu)).mean(axis=0)
            unbiased = var * len(rows) / max(len(rows) - 1, 1)
            self.running_mu = 0.9 * self.running_mu + 0.1 * mu
            self.running_var = 0.9 * self.running_var + 0.1 * unbiased
        scale = (var + 1e-5) ** -0.5
        x_hat = (rows - mu) * scale
        y = self.gamma.value * x_hat + self.beta.value
        return y.reshape(x.shape), (x_hat, scale)

    def backward(self, dy, cache):  # for training, where mu and var depend on x
        x_hat, scale = cache
        rows = dy.reshape(x_hat.shape)
        dgamma, dbeta = (rows * x_hat).sum(axis=0), rows.sum(axis=0)
        self.gamma.grad += dgamma
        self.beta.grad += dbeta
        dx = rows - dbeta / len(rows) - x_hat * (dgamma / len(rows))
        return (self.gamma.value * scale * dx).reshape(dy.shape)


class Reshape:
    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape), x.shape

    def backward(self, dy, shape):
        return dy.reshape(shape)


class Bias:
    def __init__(self, channels):
        self.b = Parameter(np.zeros(channels))

    def forward(self, x):
        return x + self.b.value, None

    def backward(self, dy, _):
        self.b.grad += dy.sum(axis=(0, 1, 2))
        return dy


# %% [markdown]
# The convolutions are those of [chapter 5](05_convolution.md): `im2col` writes each patch in one
# row, and one matrix product does the rest. The transposed convolution multiplies by $W^T$, and
# `col2im` adds the patches up where they overlap. Each of the two is the backward pass of the other.


# %%
def im2col(x, kernel, stride, padding):
    """(N, pitch, time, C) -> (N, places in pitch, in time, kp * kt * C)"""
    (kp, kt), (sp, st), (a_p, a_t) = kernel, stride, padding
    x = np.pad(x, ((0, 0), (a_p, a_p), (a_t, a_t), (0, 0)))
    n, pitch, time, c = x.shape
    nu, nv = (pitch - kp) // sp + 1, (time - kt) // st + 1
    patches = np.empty((n, nu, nv, kp, kt, c), x.dtype)
    for p in range(kp):
        for l in range(kt):
            patches[:, :, :, p, l] = x[:, p : p + sp * nu : sp, l : l + st * nv : st]
    return patches.reshape(n, nu, nv, -1)


def col2im(patches, channels, kernel, stride, padding):
    """The transpose of im2col: (N, nu, nv, kp * kt * C) -> (N, pitch, time, C)"""
    (kp, kt), (sp, st), (a_p, a_t) = kernel, stride, padding
    n, nu, nv, _ = patches.shape
    patches = patches.reshape(n, nu, nv, kp, kt, channels)
    pitch, time = sp * (nu - 1) + kp, st * (nv - 1) + kt
    x = np.zeros((n, pitch, time, channels), patches.dtype)
    for p in range(kp):
        for l in range(kt):
            x[:, p : p + sp * nu : sp, l : l + st * nv : st] += patches[:, :, :, p, l]
    return x[:, a_p : pitch - a_p, a_t : time - a_t]


def flat(x):
    return x.reshape(-1, x.shape[-1])


class Conv:  # chapter 5
    def __init__(self, weight, c_in, *geometry):
        self.weight, self.c_in, self.geometry = weight, c_in, geometry

    def forward(self, x):
        patches = im2col(x, *self.geometry)
        return patches @ self.weight.value, patches

    def backward(self, dy, patches):
        self.weight.grad += flat(patches).T @ flat(dy)
        return col2im(dy @ self.weight.value.T, self.c_in, *self.geometry)


class TiedConv:  # chapters 5 and 6: the transposed convolution, with the weight of a Conv
    def __init__(self, weight, c_out, *geometry):
        self.weight, self.c_out, self.geometry = weight, c_out, geometry

    def forward(self, x):
        return col2im(x @ self.weight.value.T, self.c_out, *self.geometry), x

    def backward(self, dy, x):
        patches = im2col(dy, *self.geometry)
        self.weight.grad += flat(patches).T @ flat(x)
        return patches @ self.weight.value


# %% [markdown]
# ## The network
#
# Now the network itself, the paper's Figure 1. Read it from top to bottom: seven weights, the
# encoder, and the decoder, which is the encoder in reverse. Every line is one layer: its product,
# its batch norm, its ELU, and the shape of what comes out. The decoder uses the same seven weights,
# and has its own batch norms.
#
# The first kernel covers an octave by a sixteenth note, 12 x 6, and moves by its own size. The three
# others are 2 x 4 and move by 1 in pitch and by 2 in time. The paper does not state its numbers of
# channels. We choose few, 8 to 64, so that a step takes some hundredths of a second.


# %%
def draw_weight(n_in, n_out, rng):
    weight = rng.standard_normal((n_in, n_out)) * n_in**-0.5  # chapter 4
    return Parameter(weight.astype(np.float32).astype(float))  # as the package rounds them


TILE = (12, 6), (12, 6), (0, 0)  # kernel, stride, padding
SMALL = (2, 4), (1, 2), (0, 1)


class Autoencoder:
    def __init__(self, rng):
        W1 = draw_weight(12 * 6 * 1, 8, rng)
        W2 = draw_weight(2 * 4 * 8, 16, rng)
        W3 = draw_weight(2 * 4 * 16, 32, rng)
        W4 = draw_weight(2 * 4 * 32, 64, rng)
        W5 = draw_weight(256, 64, rng)
        W6 = draw_weight(64, 64, rng)
        W7 = draw_weight(64, 100, rng)

        self.encoder = [  # in: (N, 60, 96, 1)
            *(Conv(W1, 1, *TILE), BatchNorm(8), Elu()),  # (N, 5, 16, 8)
            *(Conv(W2, 8, *SMALL), BatchNorm(16), Elu()),  # (N, 4, 8, 16)
            *(Conv(W3, 16, *SMALL), BatchNorm(32), Elu()),  # (N, 3, 4, 32)
            *(Conv(W4, 32, *SMALL), BatchNorm(64), Elu()),  # (N, 2, 2, 64)
            Reshape(256),  # (N, 256)
            *(Dense(W5), BatchNorm(64), Elu()),  # (N, 64)
            *(Dense(W6), BatchNorm(64), Elu()),  # (N, 64)
            *(Dense(W7), BatchNorm(100), Elu()),  # (N, 100), the embedding z
        ]
        self.decoder = [
            *(TiedDense(W7), BatchNorm(64), Elu()),  # (N, 64)
            *(TiedDense(W6), BatchNorm(64), Elu()),  # (N, 64)
            *(TiedDense(W5), BatchNorm(256), Elu()),  # (N, 256)
            Reshape(2, 2, 64),  # (N, 2, 2, 64)
            *(TiedConv(W4, 32, *SMALL), BatchNorm(32), Elu()),  # (N, 3, 4, 32)
            *(TiedConv(W3, 16, *SMALL), BatchNorm(16), Elu()),  # (N, 4, 8, 16)
            *(TiedConv(W2, 8, *SMALL), BatchNorm(8), Elu()),  # (N, 5, 16, 8)
            *(TiedConv(W1, 1, *TILE), Bias(1), Elu()),  # (N, 60, 96, 1), the reconstruction r
        ]

    def forward(self, x):
        """(N, 60, 96) -> r: (N, 60, 96), and a cache."""
        y, caches = x[..., None], []
        for layer in self.encoder + self.decoder:
            y, cache = layer.forward(y)
            caches.append(cache)
        return y[..., 0], caches

    def backward(self, dr, caches):
        """Fills the gradients of all parameters."""
        dy, layers = dr[..., None], self.encoder + self.decoder
        for layer, cache in zip(layers[::-1], caches[::-1], strict=True):
            dy = layer.backward(dy, cache)

    def embed(self, x):
        """(N, 60, 96) -> z: (N, 100)."""
        y = x[..., None]
        for layer in self.encoder:
            y, _ = layer.forward(y)
        return y

    def parameters(self):
        """Every parameter once, though two layers may hold it."""
        held = [vars(layer).values() for layer in self.encoder + self.decoder]
        found = [p for values in held for p in values if isinstance(p, Parameter)]
        return list(dict.fromkeys(found))

    def train(self, training=True):
        """Whether batch norm uses the batch's own mean and variance, or the running ones."""
        for layer in self.encoder + self.decoder:
            if isinstance(layer, BatchNorm):
                layer.training = training


net = Autoencoder(np.random.default_rng(0))
r, _ = net.forward(examples)
z = net.embed(examples)
print("input", examples.shape, " embedding", z.shape, " reconstruction", r.shape)

learned = sum(p.value.size for p in net.parameters())
shared = {layer.weight for layer in net.decoder if hasattr(layer, "weight")}
tied = sum(p.value.size for p in shared)
print(f"{learned:,} learned numbers; {tied:,} of them are used twice, in encoder and decoder")

# %% tags=["hide"]
shapes, y = [], examples[..., None]
for layer in copy.deepcopy(net.encoder) + copy.deepcopy(net.decoder):
    y, _ = layer.forward(y)
    if isinstance(layer, Elu | Reshape):
        shapes.append(y.shape[1:])
said = [(5, 16, 8), (4, 8, 16), (3, 4, 32), (2, 2, 64), (256,), (64,), (64,), (100,)]
assert shapes == [*said, *said[-2::-1][:2], *said[4:2:-1], *said[2::-1], (60, 96, 1)], shapes
assert len(shared) == 7 and 0.95 < tied / learned < 1

# %% [markdown]
# ## The loss, and one number that checks everything
#
# The loss is [chapter 7](07_candidate_loss.md)'s softmax cross-entropy over five candidates.


# %%
def candidate_loss(r, q, candidates):
    """r, q: (N, 60, 96); candidates: (N, 5). Returns the loss and a cache."""
    shape, r, q = r.shape, r.reshape(len(r), -1), q.reshape(len(q), -1)  # (N, D)
    r_scale = ((r * r).sum(axis=1) + 1e-12) ** -0.5  # 1 / length
    q_scale = ((q * q).sum(axis=1) + 1e-12) ** -0.5
    S = (q @ r.T) * (q_scale[:, None] * r_scale)  # (N, N): all cosines
    P = np.exp(S[np.arange(len(q))[:, None], candidates])  # (N, 5)
    P = P / P.sum(axis=1, keepdims=True)
    return -np.log(P[:, 0]).mean(), (r, q, r_scale, q_scale, S, P, candidates, shape)


def candidate_loss_backward(cache):
    r, q, r_scale, q_scale, S, P, candidates, shape = cache
    dS, n = np.zeros_like(S), np.arange(len(q))
    dS[n[:, None], candidates] = P / len(P)
    dS[n, n] -= 1 / len(P)  # the positives
    dr = (dS * q_scale[:, None] * r_scale).T @ q
    dr -= ((dS * S).sum(axis=0) * r_scale**2)[:, None] * r
    return dr.reshape(shape)


def draw_candidates(n, rng):
    """Each of n units with four others, all different: (n, 5), itself in column 0."""
    others = rng.permuted(np.tile(np.arange(1, n), (n, 1)), axis=1)[:, :4]
    return np.column_stack([np.arange(n), (np.arange(n)[:, None] + others) % n])


def loss_and_gradients(net, corrupted, whole, candidates):
    """Through the whole network and back. Returns the loss."""
    r, caches = net.forward(corrupted)
    L, loss_cache = candidate_loss(r, whole, candidates)
    net.backward(candidate_loss_backward(loss_cache), caches)
    return L


# %% [markdown]
# Those are some two hundred lines of code. Is one of them wrong? Choose a random direction in the
# space of all learned numbers. The gradient predicts the slope of the loss in this direction: the
# sum of gradient times direction. Chapter 2's complex step measures it. A mistake in any layer would
# make the two differ.

# %%
rng = np.random.default_rng(1)
check = copy.deepcopy(net)
whole = draw_rolls(training, 8, rng)
batch = note_drop(whole, rng), whole, draw_candidates(8, rng)

loss_and_gradients(check, *batch)
parameters = check.parameters()
direction = [rng.standard_normal(p.value.shape) for p in parameters]
predicted = sum((p.grad * d).sum() for p, d in zip(parameters, direction, strict=True))

delta = 1e-30
for p, d in zip(parameters, direction, strict=True):
    p.value = p.value + 1j * delta * d
r, _ = check.forward(batch[0])
measured = candidate_loss(r, *batch[1:])[0].imag / delta
print(f"slope predicted {predicted:.6f}, measured {measured:.6f}")
print("ten digits agree:", abs(predicted - measured) < 1e-10 * abs(measured))

# %% tags=["hide"]
assert abs(predicted - measured) < 1e-10 * abs(measured)

# %% [markdown]
# The gradient is right, so we can train.
#
# ## Adam
#
# Plain gradient descent takes the step $W \leftarrow W - \eta \, dW$ with the learning rate $\eta$.
# But the gradients of different weights differ by orders of magnitude, and each batch is noisy. The
# usual remedy is **Adam**. It keeps a moving mean $\bar g$ of each weight's gradient $g$, and a
# moving mean $\bar s$ of its square, and takes the step
#
# $$W \leftarrow W - \eta \, \frac{\bar g}{\sqrt{\bar s} + \epsilon}$$
#
# Each new gradient contributes a tenth to $\bar g$, and its square a thousandth to $\bar s$. Both
# start at 0, which makes them too small at first. Two factors in the code correct that.


# %%
class Adam:
    def __init__(self, parameters):
        self.parameters, self.steps = parameters, 0
        self.mean_g = [np.zeros_like(p.value) for p in parameters]
        self.mean_g2 = [np.zeros_like(p.value) for p in parameters]

    def step(self, rate, eps=1e-8):
        self.steps += 1
        for p, mean_g, mean_g2 in zip(self.parameters, self.mean_g, self.mean_g2, strict=True):
            mean_g += 0.1 * (p.grad - mean_g)
            mean_g2 += 0.001 * (p.grad * p.grad - mean_g2)
            g = mean_g / (1 - 0.9**self.steps)
            g2 = mean_g2 / (1 - 0.999**self.steps)
            p.value = p.value - rate * g / (np.sqrt(g2) + eps)
            p.grad[...] = 0


# %% [markdown]
# **Predict first.** One weight, learning rate 1, and a hundred gradients. How large is the hundredth
# step if all gradients are 0.001? If they are 1 and 3 in turn? If they are +1 and -1 in turn?

# %%
sequences = {"0.001, always": (0.001, 0.001), "1 and 3 in turn": (1, 3), "+1 and -1": (1, -1)}
for name, pair in sequences.items():
    weight = Parameter(np.zeros(1))
    adam = Adam([weight])
    for i in range(100):
        before = weight.value
        weight.grad[:] = pair[i % 2]
        adam.step(rate=1)
    print(f"{name:16s} step {abs(weight.value - before)[0]:.2f}")

# %% [markdown]
# A gradient of constant size and sign gives a step of $\eta$, however small the gradient is. If its
# size varies, the step is smaller, because the root of the mean square is larger than the mean. If its
# sign keeps changing, the mean is nearly 0, and so is the step.
#
# ## Training
#
# One step: draw 25 units, corrupt them, compute the loss and the gradients, and let Adam move the
# weights. The learning rate falls from 0.01 to 0 along half a cosine. At four moments we look at the
# loss on the test set, and at what the network makes of three units with half of their notes missing.


# %%
N, STEPS, MOMENTS = 25, 200, (0, 20, 60, 200)
test_rolls = draw_rolls(test, 300, np.random.default_rng(3))  # (300, 60, 96)
test_candidates = draw_candidates(300, np.random.default_rng(4))


def reconstruct(net, x):
    """The reconstructions of rolls, with batch norm's running means: (N, 60, 96)."""
    net.train(False)
    r, _ = net.forward(x)
    net.train(True)
    return r


def train(corrupt, look=None):
    """Returns the trained network, and the loss of every step."""
    net = Autoencoder(np.random.default_rng(0))
    adam, rng, losses = Adam(net.parameters()), np.random.default_rng(1), []
    for step in range(STEPS):
        if look and step in MOMENTS:
            look(step, net)
        whole = draw_rolls(training, N, rng)
        corrupted, candidates = corrupt(whole, rng), draw_candidates(N, rng)
        losses.append(loss_and_gradients(net, corrupted, whole, candidates))
        adam.step(0.01 * (1 + math.cos(math.pi * step / STEPS)) / 2)
    if look:
        look(STEPS, net)
    return net, np.array(losses)


shown = note_drop(examples, np.random.default_rng(2))  # (3, 60, 96)
test_shown = note_drop(test_rolls, np.random.default_rng(5))  # (300, 60, 96)
album, test_losses = {}, {}


def look(step, net):
    album[step] = reconstruct(net, shown)
    test_losses[step] = candidate_loss(reconstruct(net, test_shown), test_rolls, test_candidates)[0]


note_net, losses = train(note_drop, look)
for step, loss in test_losses.items():
    print(f"after {step:3d} steps: loss on the test set {loss:.3f}")

# %% [markdown]
# Is 1.384 good? A loss needs something to be compared with: random guessing, perfect answers, and
# the simplest answer of all, to return the corrupted input.

# %% alt="The training loss falls from guessing towards, but not to, that of the corrupted input"
guessing = np.log(5)
perfect = candidate_loss(test_rolls, test_rolls, test_candidates)[0]
copied = candidate_loss(test_shown, test_rolls, test_candidates)[0]

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
smooth = np.convolve(losses, np.ones(10) / 10, "valid")
ax.plot(losses, color=lesson.BLUE, lw=0.6, alpha=0.4, label="each step's batch")
ax.plot(np.arange(len(smooth)) + 5, smooth, color=lesson.BLUE, lw=2, label="mean of ten steps")
ax.plot(test_losses.keys(), test_losses.values(), "o", color=lesson.ORANGE, label="test set")
levels = {"guessing": guessing, "the corrupted input": copied, "perfect answers": perfect}
for (name, level), style in zip(levels.items(), (":", "--", "-"), strict=True):
    ax.axhline(level, color=lesson.GREY, lw=1.2, ls=style, label=name)
    print(f"{name:20s} {level:.3f}")
ax.set(xlabel="step", ylabel="loss")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% tags=["hide"]
assert list(test_losses) == list(MOMENTS) and f"{test_losses[200]:.3f}" == "1.384"
assert test_losses[200] < test_losses[60] < test_losses[20] < test_losses[0] < guessing
assert guessing - 0.1 < test_losses[0]
assert perfect < copied < test_losses[200] - 0.1
assert abs(losses[-20:].mean() - test_losses[200]) < 0.05

# %% [markdown]
# The network is better than guessing, and better than before training, on music that it has never
# seen. But it is worse than its own input. We come back to this.
#
# ## See and hear it
#
# Three units of the test set, the half of each that the network was shown, and its reconstructions.
# The notes to be found are outlined. (To make pale cells visible, the pictures show each
# value to the power 0.7.)

# %% tags=["thumbnail"] alt="Three units, what was shown, and what the network made as it learned"
figure, axes = plt.subplots(3, 6, figsize=(9, 6), layout="constrained", sharey=True)
for k, row in enumerate(axes):
    pictures = {"whole": examples[k], "shown": shown[k]}
    pictures |= {f"after {step} steps": album[step][k] for step in MOMENTS}
    for ax, (name, roll) in zip(row, pictures.items(), strict=True):
        bright = np.maximum(roll, 0) ** 0.7
        show_with_missing(ax, bright, examples[k], shown[k], name if k == 0 else "")
        ax.title.set_fontsize(9)
plt.show()

# %%
for name, whole, r in zip(("chorale", "polonaise", "Mozart"), examples, album[200], strict=True):
    count = int(whole.sum())
    strongest = np.zeros(whole.size)
    strongest[np.argsort(-r, axis=None)[:count]] = 1
    strongest = strongest.reshape(60, 96)
    right, in_time = (strongest * whole).sum(), strongest[:, whole.any(axis=0)].sum()
    print(f"{name}: of the {count} strongest cells, {in_time:.0f} are at a time when a note begins, "
          f"{right:.0f} are such notes")  # fmt: skip

count = int(examples[0].sum())
rebuilt = tinyembed.to_midi(album[200][0], beats_per_minute=120, onsets=count)
lesson.play(
    [examples[0], shown[0], rebuilt],
    "chorale",
    "the chorale whole, with half of its notes, and the strongest cells of its reconstruction",
)

# %% [markdown]
# Before training there is a haze. Then the rhythm appears: notes on the beats, few between them. Then
# the register, high or low, and some of the pitches. The strongest cells, which you hear at the end,
# are all at the right times, but in thick clusters around the right pitches.
#
# ## Did it find what was missing?
#
# Pictures can mislead, so we count. In a corrupted unit, some number of notes is missing. We take
# as many of the reconstruction's strongest cells, among the cells that were silent in the input. What
# share of them are missing notes? Random guessing would find the number of missing notes divided by
# the number of silent cells, which is about 5,750.


# %%
def found(r, shown, whole):
    """The share of missing notes among the strongest silent cells, and by chance."""
    share, chance = [], []
    for made, given, full in zip(r, shown, whole, strict=True):
        silent = given == 0
        missing = (full > 0) & silent
        count = missing.sum()
        if count:
            strongest = np.argpartition(np.where(silent, -made, np.inf), count, axis=None)[:count]
            share.append(missing.ravel()[strongest].mean())
            chance.append(count / silent.sum())
    return np.mean(share), np.mean(chance)


def mean_cosine(a, b):
    a, b = flat(a.reshape(len(a), -1)), flat(b.reshape(len(b), -1))
    return ((a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1) + 1e-12)).mean()


r = reconstruct(note_net, test_shown)
share, chance = found(r, test_shown, test_rolls)
print(f"missing notes found: {100 * share:.2f}%, by chance {100 * chance:.3f}%")
print(f"cosine with the whole unit: reconstruction {mean_cosine(r, test_rolls):.3f}, "
      f"input {mean_cosine(test_shown, test_rolls):.3f}")  # fmt: skip

# %% tags=["hide"]
assert 55 < share / chance < 65
assert mean_cosine(r, test_rolls) < 0.5 * mean_cosine(test_shown, test_rolls)

# %% [markdown]
# These two lines seem to contradict each other. The network finds notes that it was not shown, about
# 60 times as often as random guessing. It has learned something about music. Yet its reconstruction
# is much less similar to the whole unit than the input is. Returning the input would be better, by
# cosine and by loss.
#
# This is not a mistake, and more training changes less than you might think. The input has 5,760
# cells, and the output has passed through 100 numbers. It is hard to keep through such a **bottleneck**
# exactly where each note was; it is easier to keep roughly where they were, how many, and of what
# kind. The bottleneck is intended. Reconstruction is not what this network is for: we want the 100
# numbers, and [chapter 9](09_seven_models.md) shows what they are good for.
#
# How far does more training go? The repository has the results of networks with 13 times as many
# weights, trained on 1,000,000 examples (ours saw 5,000) of 434 piano pieces.

# %%
results = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
long_run = {name: results["models"][name.replace(" ", "_")] for name in CORRUPTIONS}
for name, model in long_run.items():
    print(f"{name:12s} loss on other pieces after {model['examples']:,} examples: "
          f"{model['validation_loss']:.3f}")  # fmt: skip

# %% tags=["hide"]
assert long_run["note drop"]["validation_loss"] > copied
assert STEPS * N == 5000 and {model["examples"] for model in long_run.values()} == {1_000_000}

# %% [markdown]
# Even then, note drop does not get below the 1.11 of the corrupted input.
#
# ## Three corruptions, three networks
#
# Now train two more networks, one per corruption, from the same first weights and with as many steps.
# Then let each of the three undo each kind of corruption. **Predict first:** does each network do best
# on the corruption that it was trained on?

# %%
nets = {"note drop": note_net}
for name in ("beat drop", "octave split"):
    nets[name], _ = train(CORRUPTIONS[name])

times, own_loss = {}, {}
for name, corrupt in CORRUPTIONS.items():
    corrupted = corrupt(test_rolls, np.random.default_rng(5))
    for trained, network in nets.items():
        r = reconstruct(network, corrupted)
        share, chance = found(r, corrupted, test_rolls)
        times[trained, name] = share / chance
        if trained == name:
            own_loss[name] = candidate_loss(r, test_rolls, test_candidates)[0]

# %% alt="How often each network finds the notes that each corruption removed, relative to chance"
table = np.array([[times[trained, name] for name in CORRUPTIONS] for trained in nets])
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
image = ax.imshow(table, cmap="Blues", aspect="auto", vmin=0)
for (i, j), value in np.ndenumerate(table):
    color = "white" if value > table.max() / 2 else lesson.INK
    ax.text(j, i, f"{value:.0f} x", ha="center", va="center", color=color, fontsize=12)
ax.set_xticks(range(3), CORRUPTIONS)
ax.set_yticks(range(3), [f"trained on\n{name}" for name in nets])
ax.set_title("missing notes found, relative to chance", fontsize=10)
ax.set_xlabel("corrupted by")
plt.show()

for trained in nets:
    row = ", ".join(f"{name} {times[trained, name]:.0f}" for name in CORRUPTIONS)
    print(f"trained on {trained:13s} finds, times chance: {row}")
for name, loss in own_loss.items():
    print(f"loss of the network trained on {name:13s} on its own corruption: {loss:.3f}")

# %% [markdown]
# **Octave split needs its own training.** Only the network that was trained on it can add one hand to
# the other: it finds missing notes more than three times as often as the two others. Those always saw
# some notes of both hands in training, and look for missing notes near the given ones.
#
# **The other two are different.** The network trained on note drop is the best at note drop and at
# beat drop, better even than the network trained on beat drop. And all three are good at note drop,
# probably because its missing notes have neighbours in every beat and in both hands. (Each number is
# from one training. With another seed, small differences may be reversed.)
#
# **Octave split is the hardest** of the three, if you go by each network's loss on its own corruption.
# The same is true after 1,000,000 examples (above), and in the paper the embedding of octave split comes
# last in both experiments. Was that your answer?

# %% tags=["hide"]
best = {name: max(nets, key=lambda trained: times[trained, name]) for name in CORRUPTIONS}
assert list(best.values()) == ["note drop", "note drop", "octave split"]
own = times["octave split", "octave split"]
assert own > 3 * times["note drop", "octave split"]
assert own > 3 * times["beat drop", "octave split"]
assert min(times[trained, "note drop"] for trained in nets) > 0.7 * times["note drop", "note drop"]
assert max(own_loss, key=own_loss.get) == "octave split"
assert max(long_run, key=lambda name: long_run[name]["validation_loss"]) == "octave split"

# %% [markdown]
# Here is what each makes of the corruption that it was trained on:

# %% alt="One unit corrupted in three ways, and the reconstruction by the network trained on each"
roll = examples[1]
figure, axes = plt.subplots(2, 4, figsize=(9, 4.6), layout="constrained")
lesson.show_roll(axes[0, 0], roll, "whole")
axes[1, 0].set_axis_off()
for column, (name, network) in zip(axes.T[1:], nets.items(), strict=True):
    corrupted = CORRUPTIONS[name](roll[None], np.random.default_rng(2))
    show_with_missing(column[0], corrupted[0], roll, corrupted[0], name)
    bright = np.maximum(reconstruct(network, corrupted)[0], 0) ** 0.7
    show_with_missing(column[1], bright, roll, corrupted[0], "its reconstruction")
plt.show()

# %% [markdown]
# ## The package does the same
#
# tinyembed's table of widths can hold our numbers of channels for a moment. The model is called
# `note_drop`, and it draws the same first weights from the same generator. Both networks take three
# steps on the same batches, and we compare every loss, every learned number, and a reconstruction.

# %%
from tinyembed.layers.gradcheck import cast
from tinyembed.models.model import Model
from tinyembed.models.table import WIDTHS, Width
from tinyembed.training.examples import Batch
from tinyembed.training.optimizers import Adam as AdamOfThePackage
from tinyembed.training.optimizers import Flat

WIDTHS["chapter 8"] = Width(conv=(8, 16, 32, 64), dense=(64, 64, 100))
theirs = Model("note_drop", "chapter 8", music.composers, np.random.default_rng(0))
del WIDTHS["chapter 8"]
cast(theirs, float)  # the package trains in float32; this page computes in float64
their_adam = AdamOfThePackage(Flat(theirs.parameters()))

ours, rng = Autoencoder(np.random.default_rng(0)), np.random.default_rng(7)
our_adam = Adam(ours.parameters())

for _ in range(3):
    whole = draw_rolls(training, N, rng)
    corrupted, candidates = note_drop(whole, rng), draw_candidates(N, rng)

    our_loss = loss_and_gradients(ours, corrupted, whole, candidates)
    our_adam.step(0.01)

    batch = Batch(corrupted, whole, candidates, None, whole)
    their_losses, cache = theirs.loss(batch, training=True)
    theirs.loss_backward(cache)
    their_adam.step(0.01)
    assert np.isclose(our_loss, their_losses["reconstruction"], rtol=1e-9)

for mine, parameter in zip(ours.parameters(), theirs.parameters(), strict=True):
    assert np.allclose(parameter.value, mine.value, rtol=1e-6, atol=1e-8)
assert np.allclose(theirs.reconstruct(examples), reconstruct(ours, examples), rtol=1e-6, atol=1e-8)
print(f"after three steps, {len(ours.parameters())} arrays of learned numbers are the same")

# %% [markdown]
# In the package the corruptions are in [corruption.py](../tinyembed/music/corruption.py), the layers
# of all models in [networks.py](../tinyembed/models/networks.py), and the training loop in
# [trainer.py](../tinyembed/training/trainer.py). `python -m tinyembed.train --model note_drop` does
# what this page does, for longer and with more weights.
#
# ## Exercises
#
# 1. **Before any training.** What cosine do you expect between a unit and its note-dropped version?
#    And for beat drop, if every beat has equally many notes? Compare with real music.
#
#    <details><summary>Solution</summary>
#
#    For rolls of zeros and ones the cosine is the number of shared notes over the root of the product
#    of the two counts (chapter 7). With half of the notes it is $\sqrt{1/2}$, about 0.707, and with
#    three quarters $\sqrt{3/4}$, about 0.866.
#
#    ```python
#    for name, corrupt in CORRUPTIONS.items():
#        corrupted = corrupt(test_rolls, np.random.default_rng(5))
#        print(f"{name}: {mean_cosine(corrupted, test_rolls):.2f}")
#    ```
#
#    The measured ones are 0.71 and 0.87. For octave split it is 0.64; there it depends on how the
#    notes are shared between the hands.
#    </details>
#
# 2. **How many weights?** The paper's network, as tinyembed takes it, has 100, 200, 400 and 800
#    channels and then 800, 400 and 100 features. How many weights has its encoder? How many more has
#    its decoder?
#
#    <details><summary>Solution</summary>
#
#    A convolution has one weight per cell of the kernel, channel in and channel out. A fully connected
#    layer has one per feature in and feature out, and the last image has 2 · 2 · 800 = 3200 features.
#
#    ```python
#    convolutions = 72 * 100 + 8 * (100 * 200 + 200 * 400 + 400 * 800)
#    fully_connected = 3200 * 800 + 800 * 400 + 400 * 100
#    print(convolutions + fully_connected)
#    ```
#
#    There are 6,287,200 weights. The decoder has no more: it uses the same ones, transposed.
#    </details>
#
# 3. **One unit alone.** Leave batch norm in training mode and embed a single unit, and then another
#    one. How different are the two embeddings? Why does batch norm need running means?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    copied_net = copy.deepcopy(note_net)
#    copied_net.train(True)
#    first, second = copied_net.embed(examples[:1]), copied_net.embed(examples[1:2])
#    print(f"largest difference: {np.abs(first - second).max():.3f}")
#    ```
#
#    The largest difference is 0.000. In the fully connected layers, a batch of one unit has one row.
#    Minus its own mean it is 0, whatever the unit is, so the output depends on $\beta$ alone. An answer
#    must not depend on which other units are in the batch. So outside of training, the running means
#    replace the batch's own.
#    </details>
#
# ## Further reading
#
# - Pascal Vincent, Hugo Larochelle, Yoshua Bengio and Pierre-Antoine Manzagol, *Extracting and
#   Composing Robust Features with Denoising Autoencoders*, 2008: the idea of corrupting the input.
# - Diederik Kingma and Jimmy Ba, *Adam: A Method for Stochastic Optimization*, 2015: the step of this
#   chapter, with its reasons.
# - Geoffrey Hinton and Ruslan Salakhutdinov, *Reducing the Dimensionality of Data with Neural
#   Networks*, 2006: deep autoencoders with a narrow middle, and what they keep of images and texts.
#
# ## What comes next
#
# With another target, the same network learns something else: in
# [chapter 9](09_seven_models.md) it predicts the music around a unit, or who wrote it, or both.
