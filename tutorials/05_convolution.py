# %% [markdown]
# # 5. Convolution as one matrix product
#
# A chord is the same chord on the first beat and on the last. How does a layer ask one question
# everywhere at once, and how does it paint music from the answers?
#
# **What you'll do**
# - Make three detectors of chords by hand, and slide them over a chorale by Bach.
# - Turn four loops into one matrix product, and derive its gradient.
# - Ask "Bach or Monteverdi?" once more, with two convolutions.
#
# **What you'll learn**
# - Kernel, stride, padding, channel, feature map, receptive field and weight sharing.
# - What im2col and col2im do.
# - Why the gradient of a convolution is a *transposed convolution*, and what is transposed in it.
#
# **What you need**
# - Chapters [1](01_onset_roll.md) (units and rolls), [2](02_fully_connected.md) (a layer, its
#   gradient, the complex step) and [4](04_elu_and_batch_norm.md) (batch norm).
# - 25 minutes.
#
# ## What the paper says
#
# Section 4.1: convolution is used "to capture local features that may repeat themselves". The first
# layer's kernel is 12 x 6, one octave of pitches by a sixteenth note, and moves by its own size.
# (The paper calls the kernel a feature map; today the word means something else, see below.) The
# later convolutions move by half their size.
#
# ## Four beats of Bach

# %% alt="Four beats of a Bach chorale, cut into 5 x 16 tiles of an octave by a sixteenth"
import lesson
import matplotlib.pyplot as plt
import numpy as np

corpus = lesson.corpus()
piece = corpus.names.index("Bach/bwv255.mxl")
roll = corpus.rolls(corpus.unit_beats([piece])[:1])[0].astype(float)  # (60, 96)

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
lesson.show_roll(ax, roll, "BWV 255, four beats, in tiles of 12 pitches by 6 ticks")
ax.vlines(np.arange(1, 16) / 4, 0, 60, color="#cccccc", lw=0.5)
ax.hlines(range(12, 60, 12), 0, 4, color="#cccccc", lw=0.5)
for beat in range(4):
    ax.add_patch(plt.Rectangle((beat, 0), 0.25, 60, fill=False, ec=lesson.ORANGE, lw=1.5))
plt.show()

# %% [markdown]
# Five octaves times sixteen sixteenths make 80 tiles of $12 \cdot 6 = 72$ cells. A **kernel** (or
# *filter*) is a tile of 72 weights. Lay it on a tile of the roll, multiply cell by cell, and add up
# the products: the sum says how well the two agree.
#
# We have trained nothing yet, so we make three kernels by hand. Row 0 of a tile is always a C, row
# 1 a C sharp, and so on up to the B in row 11.
#
# - *notes* is 1 everywhere. It counts the notes of its tile.
# - *C major* is 1 in the rows of C, E and G.
# - *G major* is 1 in the rows of G, B and D.
#
# **Predict first:** each outlined column holds one chord. Which of them is C major?

# %%
kernels = np.zeros((12, 6, 1, 3))  # (kp, kt, C, C')
kernels[:, :, 0, 0] = 1  # notes
kernels[[0, 4, 7], :, 0, 1] = 1  # C, E, G
kernels[[7, 11, 2], :, 0, 2] = 1  # G, B, D

# %% [markdown]
# ## The definition
#
# An image has **channels**: a color photo has three, red, green and blue. A roll has one. The
# output of a convolution has one channel per kernel, called a **feature map**: the answers to one
# question in all places.
#
# | Symbol | What it is | Shape | Here |
# | --- | --- | --- | --- |
# | $x$ | input: examples, pitch, time, channels | (N, pitch, time, $C$) | (1, 60, 96, 1) |
# | $W$ | $C'$ kernels of $k_P$ pitches by $k_T$ ticks | ($k_P$, $k_T$, $C$, $C'$) | (12, 6, 1, 3) |
# | $s_P, s_T$ | **stride**: how far the kernel moves in pitch, in time | | 12, 6 |
# | $a_P, a_T$ | **padding**: rows and columns of zeros around the input | | 0, 0 |
# | $y$ | output: $C'$ feature maps | (N, pitch, time, $C'$) | (1, 5, 16, 3) |
#
# For example $n$, place $(u, v)$ and kernel $m$, with a sum over the cells $(p, l)$ of the kernel
# and over the channels $c$,
#
# $$
# y_{nuvm} = \sum_{p, l, c} x_{n, \; u s_P + p - a_P, \; v s_T + l - a_T, \; c} \, W_{plcm}
# $$
#
# where $x$ is 0 in the padding. In words: cut out the patch that begins at row $u s_P$ and column
# $v s_T$ of the padded image, multiply it by the kernel, and add up. (There is no bias, because
# batch norm follows.)
#
# Mathematicians call this operation **cross-correlation**. Their convolution flips the kernel
# first, in both directions. A network learns its kernels, and could as well learn them flipped, so
# the field drops the flip and keeps the name **convolution**.


# %%
def padded(x, padding):
    """Zeros all around: (N, pitch, time, C) -> (N, pitch + 2 a_P, time + 2 a_T, C)."""
    (a_p, a_t) = padding
    return np.pad(x, ((0, 0), (a_p, a_p), (a_t, a_t), (0, 0)))


def output_size(size, kernel_size, stride, padding):
    """How many places a kernel has in pitch and in time; explained below."""
    axes = zip(size, kernel_size, stride, padding, strict=True)
    return tuple((length + 2 * a - k) // s + 1 for length, k, s, a in axes)


def conv_by_definition(x, kernels, stride, padding):
    """x: (N, pitch, time, C), kernels: (kp, kt, C, C') -> y: (N, pitch, time, C')."""
    (kp, kt, _, c_out), (sp, st) = kernels.shape, stride
    places = output_size(x.shape[1:3], (kp, kt), stride, padding)
    x = padded(x, padding)
    y = np.zeros((len(x), *places, c_out), x.dtype)
    for u in range(places[0]):
        for v in range(places[1]):
            patch = x[:, u * sp : u * sp + kp, v * st : v * st + kt]  # (N, kp, kt, C)
            for m in range(c_out):
                y[:, u, v, m] = (patch * kernels[:, :, :, m]).sum(axis=(1, 2, 3))
    return y


x = roll[None, :, :, None]  # (1, 60, 96, 1)
y = conv_by_definition(x, kernels, (12, 6), (0, 0))  # (1, 5, 16, 3)
chords = y[0].sum(axis=0)[[0, 4, 8, 12]]  # (4, 3): all octaves, on the four beats
print("beat   notes   C major   G major")
for beat, (notes, c_major, g_major) in enumerate(chords, start=1):
    print(f"{beat:4} {notes:7.0f} {c_major:9.0f} {g_major:9.0f}")

# %% tags=["thumbnail"] alt="Three feature maps of 5 octaves by 16 sixteenths; full chords outlined"
fig, axes = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained", sharey=True)
names = ["notes", "C major", "G major"]
for ax, feature_map, name in zip(axes, y[0].transpose(2, 0, 1), names, strict=True):
    ax.imshow(feature_map, origin="lower", cmap="Blues", vmin=0, vmax=3, extent=(0, 16, 0, 5))
    for u, v in zip(*np.nonzero(feature_map), strict=True):
        color = "white" if feature_map[u, v] > 1.5 else lesson.INK
        ax.text(v + 0.5, u + 0.5, f"{feature_map[u, v]:.0f}", ha="center", va="center", color=color)
    for v in np.flatnonzero(feature_map.sum(axis=0) == 4):
        if name != "notes":
            ax.add_patch(plt.Rectangle((v, 0), 1, 5, fill=False, ec=lesson.ORANGE, lw=2))
    ax.set(title=name, xlabel="beat", aspect="auto")
    ax.set_xticks(range(0, 17, 4), range(1, 6))
    ax.set_yticks(range(5), [f"C{octave}" for octave in range(2, 7)])
    ax.grid(axis="x", color="#bbbbbb", lw=0.6)
axes[0].set_ylabel("octave")
plt.show()

# %% tags=["hide"]
assert chords.tolist() == [[4, 4, 1], [4, 2, 4], [3, 0, 1], [4, 2, 4]]

# %% [markdown]
# The first beat is C major: all of its four notes are C, E or G. The second and the last are G
# major. The third is neither. Three kernels of 72 numbers have read the harmony of four beats. A
# trained network finds its own kernels.
#
# You can do this with the mouse. Save [the kernel painter](pages/convolution.html), open it in a
# browser, and paint a kernel: the feature map of the tune of chapter 1 changes at once. (There, one
# column is a sixteenth note, so that a melody fits into a kernel.) Three things to try:
#
# - Choose "a chord", which is our *G major*, and click the values that are 2.
# - Choose "a scale upwards" and stride 1 x 1. The value 3 comes twice: at the triplet, and where it
#   is repeated. With stride 12 x 6 no value is above 1. Why? (Where does a patch begin?)
# - Choose "a fifth upwards" and stride 1 x 1. The bass has this interval four times, at two
#   different pitches, and the same kernel finds all four.
#
# ## Weight sharing
#
# A fully connected layer could learn the same answers, but it would have separate weights for each
# of the 80 tiles, and would have to learn each chord 80 times. A convolution uses the same weights
# in all places: **weight sharing**. We take 100 kernels for the paper's first layer (the text does
# not say how many it has), and count:

# %%
dense_weights = (60 * 96) * (5 * 16 * 100)
conv_weights = 12 * 6 * 100
print(f"fully connected: {dense_weights:,} weights")
print(f"convolution:     {conv_weights:,}, {dense_weights // conv_weights:,} times fewer")

# %% [markdown]
# These kernels do not recognize a chord in another *key*. With a stride of 12, every patch begins
# with a C, so E flat major is another question than C major. This is one more reason to train on
# all twelve transpositions.
#
# ## One matrix product: im2col
#
# The loops do one thing again and again: they multiply a patch of 72 numbers by a kernel of 72
# numbers, and add up. That is one entry of a matrix product. So write every patch as a row, and
# every kernel as a column:
#
# $$y = \operatorname{im2col}(x) \, W, \qquad (80, 3) = (80, 72) \, (72, 3)$$
#
# From here on $W$ is the array of kernels, reshaped to $k_P k_T C$ rows and $C'$ columns. The function
# that writes patches as rows is called **im2col**, "image to columns" (in its first version patches
# stood upright); PyTorch calls it `unfold`. To fill the rows we do not walk from patch to patch,
# but over the cells **of the kernel**. Its cell $(p, l)$ meets the image in rows $p$, $p + s_P$,
# $p + 2 s_P$ and so on. A slice with a step takes all of these at once, for all examples.


# %%
def im2col(x, kernel_size, stride, padding):
    """The patch under every place of the kernel: (N, pitch, time, C) -> (N, nu, nv, kp * kt * C)."""
    (kp, kt), (sp, st) = kernel_size, stride
    nu, nv = output_size(x.shape[1:3], kernel_size, stride, padding)
    x = padded(x, padding)
    patches = np.empty((len(x), nu, nv, kp, kt, x.shape[3]), x.dtype)
    for p in range(kp):
        for l in range(kt):
            patches[:, :, :, p, l] = x[:, p : p + sp * nu : sp, l : l + st * nv : st]
    return patches.reshape(len(x), nu, nv, -1)


def conv_forward(x, W, geometry):
    """x: (N, pitch, time, C), W: (kp * kt * C, C') -> y: (N, nu, nv, C').

    geometry: kernel size, stride, padding, each for (pitch, time).
    """
    patches = im2col(x, *geometry)  # (N, nu, nv, kp * kt * C)
    return patches @ W, (patches, x.shape, W, geometry)


first = (12, 6), (12, 6), (0, 0)  # the geometry of the first layer
W = kernels.reshape(-1, 3)  # (72, 3)
y_product, (patches, *_) = conv_forward(x, W, first)
print("patches:", patches.shape, " product:", y_product.shape)
print("the same as the loops:", np.array_equal(y_product, y))

# %% alt="The product drawn: 20 patches as rows, three kernels as columns, and the 20 x 3 answers"
on_beats = patches[0, :, ::4].reshape(20, 72)  # the 20 tiles that begin on a beat
NOTES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
fig, axes = plt.subplots(
    1, 3, figsize=(9, 4.2), layout="constrained", gridspec_kw={"width_ratios": [7, 1.3, 1.3]}
)
titles = ["20 of the 80 rows of im2col(x)", "W", "20 rows of y"]
for ax, matrix, title in zip(axes, (on_beats, W, on_beats @ W), titles, strict=True):
    ax.pcolormesh(matrix, cmap="Blues", vmin=0, vmax=3 if matrix.max() > 1 else 1.2)
    ax.invert_yaxis()
    ax.set_title(title, fontsize=10)
for place in range(0, 72, 6):
    axes[0].axvline(place, color="#bbbbbb", lw=0.6)
    axes[1].axhline(place, color="#bbbbbb", lw=0.6)
for row in range(0, 20, 4):
    axes[0].axhline(row, color=lesson.GREY, lw=0.8)
    axes[2].axhline(row, color=lesson.GREY, lw=0.8)
axes[0].set_xticks(np.arange(3, 72, 6), NOTES, fontsize=8)
axes[0].set_yticks(np.arange(0.5, 20, 4), [f"C{n}, beat 1" for n in range(2, 7)], fontsize=8)
axes[0].set(xlabel="cell of the tile: 12 pitches, 6 ticks each", ylabel="tile")
axes[1].set_yticks(np.arange(3, 72, 6), NOTES, fontsize=8)
axes[2].set_yticks([])
for ax in axes[1:]:
    ax.set_xticks([0.5, 1.5, 2.5], ["notes", "C", "G"], fontsize=8)
for row, column in zip(*np.nonzero(on_beats @ W), strict=True):
    value = (on_beats @ W)[row, column]
    color = "white" if value > 1.5 else lesson.INK
    axes[2].text(column + 0.5, row + 0.5, f"{value:.0f}", ha="center", va="center", color=color)
plt.show()

# %% [markdown]
# ## Kernels that overlap
#
# The paper's later kernels move by half their size. We take 2 x 4 cells (pitch by time), stride
# 1 x 2, and one column of padding at both ends of time. Here are the places of such a kernel along
# the 16 columns that the first layer leaves:

# %% alt="Eight kernel positions of width 4 along 16 columns and padding, each overlapping the next"
fig, ax = plt.subplots(figsize=(8, 2.9), layout="constrained")
for column in range(-1, 17):
    inside = 0 <= column < 16
    color = "#dbe7f5" if inside else "white"
    ax.add_patch(plt.Rectangle((column, 0), 1, 1, fc=color, ec=lesson.GREY, lw=0.8))
    ax.text(column + 0.5, 0.5, column if inside else "pad", ha="center", va="center", fontsize=8)
for v in range(8):
    left = 2 * v - 1
    ax.plot([left + 0.1, left + 3.9], [-0.6 - 0.5 * v] * 2, lw=4, color=lesson.BLUE)
    ax.text(left + 4.1, -0.6 - 0.5 * v, f"place {v}", va="center", fontsize=8)
ax.set(xlim=(-1.3, 18.5), ylim=(-4.7, 1.3), title="Width 4, stride 2, padding 1: 16 become 8")
ax.axis("off")
plt.show()

# %% [markdown]
# How many places are there? Take the time axis. With $a_T$ columns of padding at each end, it is
# $\text{columns} + 2 a_T$ long. The first patch takes $k_T$ of these, and each further patch needs
# $s_T$ more:
#
# $$\text{places} = \frac{\text{columns} + 2 a_T - k_T}{s_T} + 1, \qquad \text{rounded down}$$
#
# The pitch axis has the same formula, with rows, $a_P$, $k_P$ and $s_P$.
#
# A place of the second layer sees 2 x 4 places of the first, and these see a larger part of the
# roll. The part of the input that can influence one value is its **receptive field**.

# %%
layers = [first] + [((2, 4), (1, 2), (0, 1))] * 3  # kernel size, stride, padding
sizes, field, step = [(60, 96)], (1, 1), (1, 1)
print("layer   places    receptive field")
for layer, (kernel, stride, padding) in enumerate(layers, start=1):
    sizes.append(output_size(sizes[-1], kernel, stride, padding))
    field = tuple(f + (k - 1) * s for f, k, s in zip(field, kernel, step, strict=True))
    step = tuple(one * s for one, s in zip(step, stride, strict=True))  # of the roll, per place
    (u, v), (pitches, ticks) = sizes[-1], field
    print(f"{layer:5}   {u} x {v:<4}    {pitches} pitches x {ticks} ticks")

rng = np.random.default_rng(0)
x2 = rng.standard_normal((2, 5, 16, 3))  # two examples, three channels
kernels2 = rng.standard_normal((2, 4, 3, 6))
W2 = kernels2.reshape(-1, 6)  # (24, 6)
y2, cache2 = conv_forward(x2, W2, layers[1])  # (2, 4, 8, 6)
by_definition = conv_by_definition(x2, kernels2, *layers[1][1:])
print("overlapping, as by the definition:", np.allclose(y2, by_definition))

# %% tags=["hide"]
assert sizes == [(60, 96), (5, 16), (4, 8), (3, 4), (2, 2)]
for before, (kernel, stride, padding) in zip(sizes, layers, strict=False):
    for n, k, s, a in zip(before, kernel, stride, padding, strict=True):
        assert (n + 2 * a - k) % s == 0  # no remainder
assert np.allclose(y2, by_definition) and y2.shape == (2, 4, 8, 6)
assert np.array_equal(y_product, y)
assert (dense_weights, conv_weights) == (46_080_000, 7_200)
assert len({tuple(kernels[..., m].ravel()) for m in range(3)}) == 3

# %% [markdown]
# In the fourth layer a value depends on 48 of the 60 pitches and on all 96 ticks. (Its field of 132
# ticks reaches into the padding.)
#
# ## Backward
#
# We are given $dy$ and look for $dW$ and $dx$. The forward pass had two steps: write patches as
# rows, and multiply. The product is chapter 2's layer. With all places of all examples as rows, and
# $X$ for the matrix of patches,
#
# $$dW = X^T dy, \qquad dX = dy \, W^T$$
#
# The only new part is the backward pass of im2col. It copies cells of $x$ into patches. Where
# patches overlap, one cell is copied several times, and a value that is used several times collects
# the gradients of all its uses (chapter 3). So every patch of $dX$ goes back to where it came from
# and is **added** there. This is **col2im**, PyTorch's `fold`. It is im2col with the two sides of
# one line exchanged, and `+=` instead of `=`:


# %%
def col2im(patches, shape, kernel_size, stride, padding):
    """Patches added up where they came from: (N, nu, nv, kp * kt * C) -> shape, (N, pitch, time, C)."""
    (kp, kt), (sp, st), (a_p, a_t) = kernel_size, stride, padding
    (N, pitches, ticks, c_in), (_, nu, nv, _) = shape, patches.shape
    patches = patches.reshape(N, nu, nv, kp, kt, c_in)
    x = np.zeros((N, pitches + 2 * a_p, ticks + 2 * a_t, c_in), patches.dtype)
    for p in range(kp):
        for l in range(kt):
            x[:, p : p + sp * nu : sp, l : l + st * nv : st] += patches[:, :, :, p, l]
    return x[:, a_p : a_p + pitches, a_t : a_t + ticks]  # without the padding


def rows(array):
    return array.reshape(-1, array.shape[-1])


def conv_backward(dy, cache):
    """dy: (N, nu, nv, C') -> dx: (N, pitch, time, C), dW: (kp * kt * C, C')."""
    patches, shape, W, geometry = cache
    return col2im(dy @ W.T, shape, *geometry), rows(patches).T @ rows(dy)


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


dy2 = rng.standard_normal(y2.shape)
dx2, dW2 = conv_backward(dy2, cache2)
dx_expected = complex_step(lambda x: (conv_forward(x, W2, layers[1])[0] * dy2).sum(), x2)
dW_expected = complex_step(lambda W: (conv_forward(x2, W, layers[1])[0] * dy2).sum(), W2)
print("ten digits right: dx", relative_error(dx2, dx_expected) < 1e-10)
print("                  dW", relative_error(dW2, dW_expected) < 1e-10)

# %% tags=["hide"]
assert relative_error(dx2, dx_expected) < 1e-10
assert relative_error(dW2, dW_expected) < 1e-10

# The same with padding and stride in pitch, and a remainder that no patch reaches.
spare = np.random.default_rng(9)
odd = (3, 2), (2, 1), (1, 2)
x3, W3 = spare.standard_normal((2, 6, 5, 2)), spare.standard_normal((12, 3))
y3, cache3 = conv_forward(x3, W3, odd)
assert np.allclose(y3, conv_by_definition(x3, W3.reshape(3, 2, 2, 3), *odd[1:]))
dy3 = spare.standard_normal(y3.shape)
dx3, dW3 = conv_backward(dy3, cache3)
expected = complex_step(lambda x: (conv_forward(x, W3, odd)[0] * dy3).sum(), x3)
assert relative_error(dx3, expected) < 1e-10
expected = complex_step(lambda W: (conv_forward(x3, W, odd)[0] * dy3).sum(), W3)
assert relative_error(dW3, expected) < 1e-10

# %% [markdown]
# `+=` has a trap in NumPy. **Predict first:** what is in `cells` afterwards?

# %%
cells = np.zeros(4)
cells[[1, 1, 1, 2]] += 1
print(cells)

# %% [markdown]
# There is no 3 in it. NumPy reads the four cells, adds 1 to each, and writes all four back, so the
# last one wins. Our `col2im` is safe: for a fixed $(p, l)$ neighbouring patches touch different
# cells, and overlaps only meet in different turns of the loop. A `col2im` that took whole patches
# by index would lose every overlap, and the first layer, where nothing overlaps, would not show it.
#
# ## The transposed convolution
#
# Look at how `conv_backward` made $dx$: it multiplied by $W^T$, and then called col2im. As a layer
# of its own, this is the **transposed convolution**:
#
# $$\operatorname{conv}^T(y) = \operatorname{col2im}(y \, W^T)$$
#
# It turns small images into large ones, as a decoder must. **A transposed convolution is the
# gradient of a convolution with respect to its input.** So its own gradient is known, too: its
# backward pass is the convolution.


# %%
def conv_transpose_forward(x, W, geometry):
    """x: (N, nu, nv, C'), W: (kp * kt * C, C') -> y: (N, pitch, time, C).

    y has the smallest size that a convolution of this geometry turns into x's.
    """
    kernel_size, stride, padding = geometry
    axes = zip(x.shape[1:3], kernel_size, stride, padding, strict=True)
    size = [(n - 1) * s + k - 2 * a for n, k, s, a in axes]
    c_in = len(W) // (kernel_size[0] * kernel_size[1])
    y = col2im(x @ W.T, (len(x), *size, c_in), *geometry)
    return y, (x, W, geometry)


def conv_transpose_backward(dy, cache):
    """dy: (N, pitch, time, C) -> dx: (N, nu, nv, C'), dW: (kp * kt * C, C')."""
    x, W, geometry = cache
    dx, (patches, *_) = conv_forward(dy, W, geometry)
    return dx, rows(patches).T @ rows(x)


x4, dy4 = rng.standard_normal((2, 4, 8, 6)), rng.standard_normal((2, 5, 16, 3))
dx4, dW4 = conv_transpose_backward(dy4, conv_transpose_forward(x4, W2, layers[1])[1])
dx_expected = complex_step(lambda x: (conv_transpose_forward(x, W2, layers[1])[0] * dy4).sum(), x4)
dW_expected = complex_step(lambda W: (conv_transpose_forward(x4, W, layers[1])[0] * dy4).sum(), W2)
print("ten digits right: dx", relative_error(dx4, dx_expected) < 1e-10)
print("                  dW", relative_error(dW4, dW_expected) < 1e-10)

# %% [markdown]
# Why "transposed"? A convolution only multiplies and adds, so it is one large matrix $B$: with $x$
# as one long row, $y = x B$. Rows with a single 1 in them show $B$. Here is a small case, 8 columns
# in time with the kernel 1 2 3 4, stride 2 and padding 1:

# %%
tiny = (1, 4), (1, 2), (0, 1)
w = np.array([[1.0], [2.0], [3.0], [4.0]])  # (4, 1)
inputs = np.eye(8).reshape(8, 1, 8, 1)  # eight examples, each with a 1 in another place
B = conv_forward(inputs, w, tiny)[0].reshape(8, 4)
print("B, 8 inputs down, 4 outputs across:")
print(B.astype(int))

inputs = np.eye(4).reshape(4, 1, 4, 1)
B_back = conv_transpose_forward(inputs, w, tiny)[0].reshape(4, 8)
print("the matrix of the transposed convolution is B transposed:", np.array_equal(B_back, B.T))

# %% tags=["hide"]
assert relative_error(dx4, dx_expected) < 1e-10
assert relative_error(dW4, dW_expected) < 1e-10
assert np.array_equal(B_back, B.T)
assert cells.tolist() == [0, 1, 1, 0]

# %% [markdown]
# Each column of $B$ is the kernel, two rows further down than the one before it. At the edges a
# part of it has fallen into the padding. No program builds $B$; for our first layer it would have
# 46 million entries.
#
# ## Transposed is not inverse
#
# Some people call the transposed convolution "deconvolution", as if it undid the convolution. It
# brings back the *size*, not the content: between the patches and what comes back stands
# $W W^T$, which is not the identity matrix. **Predict first:** fill $C'$ kernels with random
# numbers, send Bach through the convolution and back through its transpose. Is any music left?

# %% alt="Bach, and what random kernels bring back of it: noise for 4 kernels, nearly all for 1,000"
fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained", sharey=True)
lesson.show_roll(axes[0], roll, "Bach")
cosines = {}
for ax, c_out in zip(axes[1:], (4, 72, 1000), strict=True):
    W_random = np.random.default_rng(c_out).standard_normal((72, c_out)) / np.sqrt(c_out)
    there, _ = conv_forward(x, W_random, first)  # (1, 5, 16, C')
    back = conv_transpose_forward(there, W_random, first)[0][0, :, :, 0]  # (60, 96)
    cosines[c_out] = (back * roll).sum() / np.sqrt((back**2).sum() * (roll**2).sum())
    lesson.show_roll(ax, back, f"{c_out:,} random kernels")
    print(f"{c_out:5,} kernels: cosine with the original {cosines[c_out]:.2f}")
plt.show()

# %% tags=["hide"]
assert np.abs(W_random @ W_random.T - np.eye(72)).max() < 0.25  # of the 1,000 kernels
assert cosines[4] < 0.4 and 0.5 < cosines[72] < 0.85 and cosines[1000] > 0.93

# %% [markdown]
# (The *cosine* of two rolls is 1 if they are equal up to a factor, and 0 if they have nothing in
# common; [chapter 7](07_candidate_loss.md) is about it.) With 1,000 kernels nearly everything
# comes back, although nothing was trained: the rows of a random $W$ that has many columns are
# almost at right angles, so $W W^T$ is almost the identity. But 1,000 answers about 72 cells are
# too many. A network needs few kernels that say much, so they must be learned.
#
# ## The package does the same
#
# The package has [`im2col` and `col2im`](../tinyembed/layers/im2col.py), and uses them in
# [`Conv2d` and `TiedConvTranspose2d`](../tinyembed/layers/conv.py). On a CPU
# [faster versions](../tinyembed/backends/cpu/im2col.py) take their place: where nothing overlaps,
# changing the order of the cells is enough. A network's first convolution is a
# [`FirstConv2d`](../tinyembed/layers/first_conv.py), which leaves out $dx$.

# %%
from tinyembed.layers import im2col as package
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.gradcheck import cast

for geometry, image, c_out in ((layers[0], x, 3), (layers[1], x2, 6)):
    conv = cast(Conv2d(image.shape[3], c_out, *geometry, bias=False, rng=rng), float)
    transposed = TiedConvTranspose2d(conv, bias=False)
    weight = conv.weight.value  # (kp * kt * C, C')

    y_theirs, cache = conv.forward(image)
    y_ours, cache_ours = conv_forward(image, weight, geometry)
    dy = rng.standard_normal(y_ours.shape)
    dx, dW = conv_backward(dy, cache_ours)
    assert np.allclose(y_theirs, y_ours, rtol=1e-10, atol=1e-12)
    assert np.allclose(conv.backward(dy, cache), dx, rtol=1e-10, atol=1e-12)
    assert np.allclose(conv.weight.grad, dW, rtol=1e-10, atol=1e-12)

    conv.weight.grad[:] = 0
    back, cache = transposed.forward(dy)
    back_ours, cache_ours = conv_transpose_forward(dy, weight, geometry)
    dx, dW = conv_transpose_backward(image, cache_ours)
    assert np.allclose(back, back_ours, rtol=1e-10, atol=1e-12)
    assert np.allclose(transposed.backward(image, cache), dx, rtol=1e-10, atol=1e-12)
    assert np.allclose(transposed.weight.grad, dW, rtol=1e-10, atol=1e-12)

    patches = im2col(image, *geometry)
    assert np.array_equal(package.im2col(image, *geometry), patches)
    theirs = package.col2im(patches, image.shape, *geometry)
    assert np.allclose(theirs, col2im(patches, image.shape, *geometry), rtol=1e-10)
print("convolution and transposed convolution: the same numbers, forward and backward")

# %% [markdown]
# ## Bach or Monteverdi, with convolutions
#
# Now two convolutions replace the hidden layer of chapters 3 and 4: 16 kernels of 12 x 6, then 32
# kernels of 2 x 4, each followed by batch norm and ELU, and then one output. We use the package's
# layers, because they are faster. The 600 steps, the learning rate, the three seeds and the pieces
# are those of chapters 3 and 4. **Predict first:** chapter 4 reached .859 over twelve keys, and
# .737 in the worst key. Which of the two will gain more?

# %% alt="Accuracy by transposition: in all keys above always Monteverdi, with the range of the seeds"
from tinyembed.backends.cpu.memory import keep_memory
from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.dense import Dense
from tinyembed.layers.first_conv import FirstConv2d
from tinyembed.layers.layer import Reshape, Sequential

keep_memory()  # makes training faster, as in chapter 3
KEYS = range(-5, 7)


def beats_and_answers(test):
    """The starts of all units of both composers, (N,), and t: (N, 1), 1 for Bach."""
    both = []
    for name in ("Bach", "Monteverdi"):
        is_theirs = corpus.piece_composer == corpus.composers.index(name)
        beats = corpus.unit_beats(is_theirs & (corpus.piece_is_test == test))
        both.append(beats[corpus.has_onset(beats)])
    return np.concatenate(both), np.repeat(np.float32([1, -1]), [len(b) for b in both])[:, None]


def build(rng):
    """(N, 60, 96, 1) -> (N, 1)."""
    return Sequential(
        conv1=FirstConv2d(1, 16, *layers[0], bias=False, rng=rng),  # (N, 5, 16, 16)
        norm1=BatchNormElu(16),
        conv2=Conv2d(16, 32, *layers[1], bias=False, rng=rng),  # (N, 4, 8, 32)
        norm2=BatchNormElu(32),
        flatten=Reshape(4 * 8 * 32),
        output=Dense(4 * 8 * 32, 1, rng=rng),
    )


def right(network, rolls):
    y, _ = network.forward(rolls)
    return float((y * test_t > 0).mean())


train_beats, train_t = beats_and_answers(test=False)
test_beats, test_t = beats_and_answers(test=True)
test_rolls = [corpus.rolls(test_beats, key)[..., None] for key in KEYS]


def train(seed, steps=600, rate=0.3, N=100):
    """Returns the accuracy in each of the twelve keys, and the late ones of seed 0, as written."""
    rng = np.random.default_rng(seed)
    network, late = build(rng), []
    for step in range(1, steps + 1):
        n, keys = rng.integers(len(train_beats), size=N), rng.integers(-5, 7, size=N)
        x, t = corpus.rolls(train_beats[n], keys)[..., None], train_t[n]
        for parameter in network.parameters():
            parameter.grad[:] = 0
        y, cache = network.forward(x, training=True)
        network.backward(-t / (1 + np.exp(t * y)) / N, cache)
        for parameter in network.parameters():
            parameter.value -= rate * parameter.grad
        if seed == 0 and step > steps - 100 and step % 10 == 0:
            late.append(right(network, test_rolls[5]))
    return [right(network, rolls) for rolls in test_rolls], late


results, (late, _, _) = zip(*(train(seed) for seed in (0, 1, 2)), strict=True)
results = np.array(results)  # (3, 12)
means, worst = results.mean(axis=1), results.min(axis=1)
for seed in range(3):
    print(f"seed {seed}: mean of twelve keys {means[seed]:.3f}, worst {worst[seed]:.3f}")
print(f"average: mean {means.mean():.3f}, worst {worst.mean():.3f}")
majority = float((test_t < 0).mean())
print(f"always saying Monteverdi: {majority:.3f}")
count = sum(parameter.value.size for parameter in build(np.random.default_rng(0)).parameters())
print(f"parameters: {count:,}; chapter 4: {5760 * 32 + 2 * 32 + 32 + 1:,}")
print(f"seed 0, as written, during the last 100 steps: {min(late):.3f} to {max(late):.3f}")

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.plot(KEYS, results.mean(axis=0), "-o", color=lesson.BLUE, label="two convolutions")
ax.fill_between(
    KEYS, results.min(axis=0), results.max(axis=0), color=lesson.BLUE, alpha=0.2, lw=0,
    label="range of three seeds",
)  # fmt: skip
ax.axhline(majority, color=lesson.GREY, ls="--", lw=1, label="always Monteverdi")
ax.set(xlabel="semitones by which the test pieces are transposed", ylabel="correctly classified")
ax.set(ylim=(0.5, 1), xticks=KEYS)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %% tags=["hide"]
from pathlib import Path

pages = {n: next(Path(lesson.__file__).parent.glob(f"{n}_*.md")).read_text() for n in ("03", "04")}
assert "two layers average: 0.833, worst key 0.715" in pages["03"]
assert "with batch norm, average: mean 0.859, worst 0.737" in pages["04"]
assert "184,417" not in pages["04"] and count == 72 * 16 + 128 * 32 + 1024 + 1 + 2 * (16 + 32)
assert abs(means.mean() - 0.890) < 0.001 and abs(worst.mean() - 0.798) < 0.001
assert abs(min(late) - 0.816) < 0.001 and abs(max(late) - 0.932) < 0.001
assert round(184_417 / count) == 29
assert results.mean(axis=0).min() > majority

# %% [markdown]
# The convolutions are correct for .890 of the units, on average over seeds and keys, and for .798
# in the worst key; chapter 4 had .859 and .737. The worst key has gained more than the mean. That is
# what weight sharing should do: a kernel learns from all octaves and all beats at once. For the
# first time the worst key, averaged over the seeds, is above the .762 of always saying Monteverdi.
# And the network has 29 times fewer parameters.
#
# The last line is a warning. At a constant learning rate the last steps still move the weights a
# lot: in the original key the same network was right for .816 of the units after one of these steps,
# and for .932 after another. The package lets the learning rate fall to 0 instead. We did the same
# for both networks (`rate * (1 - (step - 1) / steps)` in place of `rate`): then the convolutions are
# right for .874, and the network of chapter 4 for .867. So most of the gain in the mean was luck of
# the last steps. The gain in the worst key stays: .783 against .747. And the test is still one of
# five pieces.
#
# ## Exercises
#
# 1. **Later is later.** Move the roll of Bach to the right by 6 ticks, and let what falls off at
#    the end come in again at the front. Take five random kernels. Are the feature maps the same,
#    one place later? And if you move the roll by 3 ticks? How large is the largest difference?
#
#    <details><summary>Solution</summary>
#
#    By 6 ticks, a whole stride, the difference is 0.0. This property of convolutions is called
#    *translation equivariance*. By 3 ticks the notes meet other cells of the kernels, and the
#    largest difference, with this seed, is 4.9.
#
#    ```python
#    W_random = np.random.default_rng(1).standard_normal((72, 5))
#    y, _ = conv_forward(x, W_random, first)  # (1, 5, 16, 5)
#    for ticks in (6, 3):
#        moved, _ = conv_forward(np.roll(x, ticks, axis=2), W_random, first)
#        print(f"{np.abs(moved - np.roll(y, 1, axis=2)).max():.1f}")
#    ```
#    </details>
#
# 2. **The largest kernel, and the smallest.** What is a convolution with a kernel of 60 x 96 and no
#    padding? And one with a kernel of 1 x 1? Check it.
#
#    <details><summary>Solution</summary>
#
#    The first has one place only: it is a fully connected layer. The second is a fully connected
#    layer from $C$ channels to $C'$, the same one in every cell. The largest differences are 0.0
#    and 0.0.
#
#    ```python
#    large = np.random.default_rng(2).standard_normal((5760, 7))
#    y, _ = conv_forward(x, large, ((60, 96), (1, 1), (0, 0)))  # (1, 1, 1, 7)
#    print(np.abs(y[:, 0, 0] - x.reshape(1, 5760) @ large).max().round(9))
#    small = np.random.default_rng(3).standard_normal((3, 4))
#    y, _ = conv_forward(x2, small, ((1, 1), (1, 1), (0, 0)))  # (2, 5, 16, 4)
#    print(np.abs(y - x2 @ small).max().round(9))
#    ```
#    </details>
#
# 3. **Where is the work?** For the paper's four layers we take 100, 200, 400 and 800 kernels. How
#    many multiplications does each layer need for one unit, and how many weights has it? Guess
#    first which layer works hardest.
#
#    <details><summary>Solution</summary>
#
#    Multiply the places by the length of a patch and by the number of kernels. The *last* layer
#    works hardest, on the smallest image, because its patches hold 3,200 numbers. In multiplications
#    and weights:
#
#    - layer 1: 576,000 and 7,200
#    - layer 2: 5,120,000 and 160,000
#    - layer 3: 7,680,000 and 640,000
#    - layer 4: 10,240,000 and 2,560,000
#
#    ```python
#    c_in = 1
#    for number, ((kp, kt), _, _) in enumerate(layers, start=1):
#        c_out = 100 * 2 ** (number - 1)
#        places = sizes[number][0] * sizes[number][1]
#        weights = kp * kt * c_in * c_out
#        print(f"layer {number}: {places * weights:,} {weights:,}")
#        c_in = c_out
#    ```
#    </details>
#
# ## Further reading
#
# - Yann LeCun, Léon Bottou, Yoshua Bengio and Patrick Haffner, "Gradient-Based Learning Applied to
#   Document Recognition", 1998: convolutional networks as we know them, and why weights are shared.
# - Vincent Dumoulin and Francesco Visin, "A Guide to Convolution Arithmetic for Deep Learning",
#   2016: strides, padding and transposed convolutions, with many drawings.
# - Ian Goodfellow, Yoshua Bengio and Aaron Courville, *Deep Learning*, 2016: its chapter 9 is about
#   convolutional networks.
#
# ## What comes next
#
# A decoder can use the encoder's own kernels, transposed. Then one weight does two jobs.
# [Chapter 6](06_tied_weights.md) asks what its gradient is, and what happens if you count only half
# of it.
