# %% [markdown]
# # 5. Convolution as one matrix product
#
# A chord is the same chord in the first beat and in the last: how does one ask a question
# everywhere at once, and paint music from the answers?
#
# **What you'll do.** Build detectors of chords by hand and slide them over Bach; turn four loops
# into one product; go back through it; draw a roll from its own answers.
#
# **What you'll learn.** Kernel, stride, padding, channels; `columns` and `fold`; why the backward
# pass of a convolution is the *transposed convolution*, and what "transposed" means here.
#
# **What you need.** [Chapter 1](01_onset_roll.md) (units and rolls),
# [chapter 2](02_fully_connected.md) (a layer and its gradient), and 25 minutes.
#
# ## What the paper says
#
# In section 4.1 the first layer is a convolution whose feature map is one octave high and a
# sixteenth note long: 12 pitches by 6 ticks. It moves on by its own size, 12 and 6. The later
# convolutions move by half of theirs. Convolution lets a network find a local pattern wherever it
# repeats.
#
# ## Four beats of Bach

# %% alt="Four beats of a Bach chorale, cut into 5 x 16 tiles of an octave by a sixteenth"
import lesson
import matplotlib.pyplot as plt
import numpy as np

corpus = lesson.corpus()
piece = corpus.names.index("Bach/bwv255.mxl")
roll = corpus.rolls(corpus.unit_beats([piece])[:1])[0].astype(float)  # (60, 96)


def draw_tiled(ax, roll, title):
    lesson.show_roll(ax, roll, title)
    ax.set_xticks(np.arange(17) / 4, minor=True)  # sixteenths
    ax.grid(which="minor", axis="x", color="#cccccc", lw=0.5)
    ax.grid(axis="y", color="#cccccc", lw=0.5)
    ax.set_xlabel("beat")


fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
draw_tiled(ax, roll, "The first four beats of BWV 255, in tiles of 12 pitches by 6 ticks")
plt.show()
print("tiles:", 60 // 12, "octaves x", 96 // 6, "sixteenths =", 60 // 12 * 96 // 6)

# %% [markdown]
# Five octaves times sixteen sixteenths make 80 tiles, each 12 x 6 = 72 cells. A *kernel* is a tile
# of 72 weights. Laid on a tile of the roll, cell on cell, it multiplies and adds up: one number
# that says how well the two agree.
#
# Nobody has trained anything yet, so we make three kernels ourselves. Row 0 of a tile is always a
# C, row 1 a C sharp, and so on up to B in row 11:
#
# - *notes*: 1 everywhere. It counts the notes in its tile.
# - *C major*: 1 in the rows of C, E and G.
# - *G major*: 1 in the rows of G, B and D.
#
# Together they are an array `K` of shape (12, 6, 1, 3): height, width, *channels* of the input (a
# roll has one), and number of kernels, which is the number of channels of the output.
#
# **Predict.** Each column in the picture with four notes is a chord. Which of them is C major?

# %%
C, D, E, G, B = 0, 2, 4, 7, 11
K = np.zeros((12, 6, 1, 3))  # (kh, kw, C, M)
K[:, :, 0, 0] = 1
K[[C, E, G], :, 0, 1] = 1
K[[G, B, D], :, 0, 2] = 1

# %% [markdown]
# ## The definition
#
# Write $x$ for the input and $y$ for the output, both images with channels last:
#
# | Symbol | What it is | Here |
# | --- | --- | --- |
# | $x$ | input, (N, H, W, C): examples, pitch, time, channels | (1, 60, 96, 1) |
# | $K$ | kernels, (kh, kw, C, M) | (12, 6, 1, 3) |
# | $s_h, s_w$ | stride: how far the kernel moves in pitch, in time | 12, 6 |
# | $p_h, p_w$ | padding: rows and columns of zeros around the input | 0, 0 |
# | $y$ | output, (N, Ho, Wo, M) | (1, 5, 16, 3) |
#
# For example n, place (i, j) and kernel m, with a sum over all rows r and columns t of the kernel
# and all channels c,
#
# $$y_{nijm} = \sum_{r,t,c} x_{n, i s_h + r - p_h, j s_w + t - p_w, c} K_{rtcm}$$
#
# where cells of $x$ outside the image, in the padding, are 0. In words: cut out the patch that
# begins at $i s_h$, $j s_w$ of the padded image, multiply by the kernel, add up.


# %%
def padded(x, padding):
    """x: (N, H, W, C) -> (N, H + 2 ph, W + 2 pw, C), zeros all around."""
    ph, pw = padding
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def conv_by_definition(x, K, stride, padding):
    """x: (N, H, W, C), K: (kh, kw, C, M) -> y: (N, Ho, Wo, M)."""
    (sh, sw), (kh, kw, _, M) = stride, K.shape
    x = padded(x, padding)
    Ho, Wo = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = np.zeros((len(x), Ho, Wo, M), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            patch = x[:, i * sh : i * sh + kh, j * sw : j * sw + kw]  # (N, kh, kw, C)
            for m in range(M):
                y[:, i, j, m] = (patch * K[:, :, :, m]).sum(axis=(1, 2, 3))
    return y


x = roll[None, :, :, None]  # (1, 60, 96, 1)
y = conv_by_definition(x, K, (12, 6), (0, 0))  # (1, 5, 16, 3)
chords = y[0].sum(axis=0)[[0, 4, 8, 12]]  # (4, 3): all octaves, at the four beats
print("beat   notes   C major   G major")
for beat, (notes, c_major, g_major) in enumerate(chords, start=1):
    print(f"{beat:4} {notes:7.0f} {c_major:9.0f} {g_major:9.0f}")

# %% tags=["thumbnail"] alt="What the three kernels answer: maps of 5 octaves by 16 sixteenths"
fig, axes = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained", sharey=True)
for ax, answers, title in zip(
    axes, y[0].transpose(2, 0, 1), ("notes", "C major", "G major"), strict=True
):
    ax.imshow(answers, origin="lower", cmap="Blues", vmin=0, vmax=3, extent=(0, 16, 0, 5))
    for i, j in zip(*np.nonzero(answers), strict=True):
        shade = "white" if answers[i, j] > 1.5 else lesson.INK
        ax.text(j + 0.5, i + 0.5, f"{answers[i, j]:.0f}", ha="center", va="center", color=shade)
    ax.set(title=title, xlabel="beat", aspect="auto")
    ax.set_xticks(range(0, 17, 4), range(1, 6))
    ax.set_yticks(range(5), [f"C{octave}" for octave in range(2, 7)])
    ax.grid(axis="x", color="#bbbbbb", lw=0.6)
plt.show()

# %% tags=["hide"]
assert chords.tolist() == [[4, 4, 1], [4, 2, 4], [3, 0, 1], [4, 2, 4]]

# %% [markdown]
# C major on the first beat: four notes of four. G major on the second and the last. On the third
# neither: a chord of D. Three kernels of 72 numbers have read the harmony of four beats. A trained
# network finds its own kernels, and nobody has to tell it what a chord is.
#
# A fully connected layer could have learned the same, but separately for each of the 80 tiles. The
# paper's text does not say how many kernels the first layer has; we take 100. Count the weights:

# %%
dense_weights = (60 * 96) * (5 * 16 * 100)
conv_weights = 12 * 6 * 100
print(f"fully connected: {dense_weights:,} weights")
print(f"convolution:     {conv_weights:,}, {dense_weights // conv_weights:,} times fewer")

# %% [markdown]
# (What these kernels cannot see: a chord in another key. Rows are absolute pitches, and a tile
# begins with C. To a stride of 12, E flat major is another question. That is why the network is
# trained on all twelve transpositions, chapter 1.)
#
# ## One matrix product
#
# The loops repeat one thing: a patch of 72 numbers times a kernel of 72 numbers, added up. That is
# an entry of a matrix product. So lay every **patch out as a row**, every **kernel as a column**:
#
# $$Y = \text{columns}(x) W, \qquad (80, 3) = (80, 72) (72, 3)$$
#
# Here $W$ is $K$, seen as kh·kw·C rows and M columns. (The name `columns` is the field's, from a
# time when patches stood upright.) To fill the rows, do not walk from patch to patch. Walk over the
# cells **of the kernel**. Its cell (r, t) meets the image in rows r, r + stride, r + 2 strides and
# so on, and in columns likewise: a slice with a step takes them all at once, for all patches and
# all examples.


# %%
def columns(x, kernel_size, stride, padding):
    """The patch under every place of the kernel: (N, H, W, C) -> (N, Ho, Wo, kh * kw * C)."""
    (kh, kw), (sh, sw) = kernel_size, stride
    image = padded(x, padding)
    N, H, W, C = image.shape
    Ho, Wo = (H - kh) // sh + 1, (W - kw) // sw + 1
    patches = np.empty((N, Ho, Wo, kh, kw, C), x.dtype)
    for r in range(kh):
        for t in range(kw):
            patches[:, :, :, r, t] = image[:, r : r + sh * Ho : sh, t : t + sw * Wo : sw]
    return patches.reshape(N, Ho, Wo, kh * kw * C)


def conv(x, W, kernel_size, stride, padding):
    """x: (N, H, W, C), W: (kh * kw * C, M) -> y: (N, Ho, Wo, M)."""
    return columns(x, kernel_size, stride, padding) @ W


W = K.reshape(-1, 3)  # (72, 3)
patches = columns(x, (12, 6), (12, 6), (0, 0))  # (1, 5, 16, 72)
print("patches:", patches.shape, " product:", (patches @ W).shape)
print("the same as the loops:", np.array_equal(patches @ W, y))

# %% alt="The product drawn: 80 patches of 72 cells, times three kernels, is 80 answers of three"
X = patches.reshape(80, 72)
fig, axes = plt.subplots(
    1, 3, figsize=(9, 4.4), layout="constrained", gridspec_kw={"width_ratios": [8, 1.3, 1.3]}
)
for ax, matrix, title in zip(
    axes, (X, W, X @ W), ("columns(x): 80 x 72", "W: 72 x 3", "Y: 80 x 3"), strict=True
):
    ax.imshow(matrix, cmap="Blues", aspect="auto", interpolation="nearest", vmin=0, vmax=2)
    ax.set_title(title, fontsize=10)
axes[0].set(xlabel="cell of the tile", ylabel="tile")
for ax in axes[1:]:
    ax.set_xticks(range(3), ["notes", "C", "G"], fontsize=8)
plt.show()

# %% [markdown]
# ## Kernels that overlap
#
# The paper's later kernels move by half their size. We take 2 x 4 (pitch by time) with stride 1 x
# 2, and one column of padding on either side in time. Drawn for the 16 columns in time that the
# first layer leaves:

# %% alt="Eight kernel positions of width 4 along 16 columns and padding, each overlapping the next"
fig, ax = plt.subplots(figsize=(8, 2.9), layout="constrained")
for t in range(-1, 17):
    inside = 0 <= t < 16
    ax.add_patch(
        plt.Rectangle((t, 0), 1, 1, fc="#dbe7f5" if inside else "white", ec=lesson.GREY, lw=0.8)
    )
    ax.text(t + 0.5, 0.5, f"{t}" if inside else "pad", ha="center", va="center", fontsize=8)
for j in range(8):
    start = 2 * j - 1
    color = lesson.BLUE if j % 2 else lesson.ORANGE
    ax.plot([start + 0.1, start + 3.9], [-0.6 - 0.5 * j] * 2, lw=4, color=color)
    ax.text(start + 4.1, -0.6 - 0.5 * j, f"y {j}", va="center", fontsize=8, color=color)
ax.set(xlim=(-1.3, 18.5), ylim=(-4.7, 1.3), title="Width 4, stride 2, padding 1: 16 become 8")
ax.axis("off")
plt.show()

# %% [markdown]
# How many places are there? Along one side of H cells, with padding p at both ends, kernel k and
# stride s: of the H + 2p cells the first patch takes k, and each further one needs s more,
#
# $$H_o = \frac{H + 2 p - k}{s} + 1$$
#
# rounded down. With these numbers the four layers of our network fit without a remainder, from a
# roll down to 2 x 2:


# %%
def output_size(size, k, s, p):
    return (size + 2 * p - k) // s + 1


layers = [((12, 6), (12, 6), (0, 0))] + [((2, 4), (1, 2), (0, 1))] * 3  # kernel, stride, padding
size = (60, 96)
sizes = [size]
for kernel, stride, padding in layers:
    for n, k, s, p in zip(size, kernel, stride, padding, strict=True):
        assert (n + 2 * p - k) % s == 0  # no remainder
    size = tuple(map(output_size, size, kernel, stride, padding))
    sizes.append(size)
print(" -> ".join(f"{h} x {w}" for h, w in sizes))

rng = np.random.default_rng(0)
x2 = rng.standard_normal((2, 5, 16, 3))  # two examples, three channels
K2 = rng.standard_normal((2, 4, 3, 6))
y2 = conv(x2, K2.reshape(-1, 6), *layers[1])  # (2, 4, 8, 6)
expected = conv_by_definition(x2, K2, (1, 2), (0, 1))
print(y2.shape, "as by the definition:", np.allclose(y2, expected))

# %% tags=["hide"]
assert sizes == [(60, 96), (5, 16), (4, 8), (3, 4), (2, 2)]
assert np.allclose(y2, expected) and y2.shape == (2, 4, 8, 6)
assert np.array_equal(patches @ W, y)
assert (dense_weights, conv_weights) == (46_080_000, 7_200)

# %% [markdown]
# ## Backward: three steps, two of them known
#
# We are given $dy$, the gradient of the loss with respect to $y$, and look for $dW$ and $dx$. The
# forward pass was two steps: lay out patches, multiply. The product is chapter 2's, with $P$ for
# the matrix of patches and one row a place:
#
# $$dW = P^T dY \qquad\qquad dP = dY W^T$$
#
# New is only the way back through `columns`. It copies cells of $x$ into patches; where patches
# overlap, one cell is copied several times. A value that is used in several places collects the
# gradients of all its uses (chapter 4). So the way back takes each patch of $dP$ to where it came
# from and **adds**. We call it `fold`. It is `columns` with the two sides of one line exchanged,
# and `+=` for `=`.


# %%
def fold(patches, shape, kernel_size, stride, padding):
    """Patches added up where they came from: (N, Ho, Wo, kh * kw * C) -> shape, (N, H, W, C)."""
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    (N, H, W, C), (_, Ho, Wo, _) = shape, patches.shape
    patches = patches.reshape(N, Ho, Wo, kh, kw, C)
    image = np.zeros((N, H + 2 * ph, W + 2 * pw, C), patches.dtype)
    for r in range(kh):
        for t in range(kw):
            image[:, r : r + sh * Ho : sh, t : t + sw * Wo : sw] += patches[:, :, :, r, t]
    return image[:, ph : ph + H, pw : pw + W]  # without the padding


def conv_backward(dy, x, W, kernel_size, stride, padding):
    """dy: (N, Ho, Wo, M) -> dx, of x's shape, and dW, of W's."""
    P = columns(x, kernel_size, stride, padding)  # (N, Ho, Wo, kh * kw * C)
    dW = P.reshape(-1, len(W)).T @ dy.reshape(-1, W.shape[1])  # (kh * kw * C, M)
    dx = fold(dy @ W.T, x.shape, kernel_size, stride, padding)
    return dx, dW


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


W2 = K2.reshape(-1, 6)  # (24, 6)
dy2 = rng.standard_normal(y2.shape)
dx2, dW2 = conv_backward(dy2, x2, W2, *layers[1])
dx_expected = complex_step(lambda x: (conv(x, W2, *layers[1]) * dy2).sum(), x2)
dW_expected = complex_step(lambda W: (conv(x2, W, *layers[1]) * dy2).sum(), W2)
print("to ten digits: dx", relative_error(dx2, dx_expected) < 1e-10)
print("               dW", relative_error(dW2, dW_expected) < 1e-10)

# %% tags=["hide"]
assert relative_error(dx2, dx_expected) < 1e-10
assert relative_error(dW2, dW_expected) < 1e-10

# The same with padding and stride in pitch, and a remainder that no patch reaches.
spare = np.random.default_rng(9)
odd = (3, 2), (2, 1), (1, 2)
x3, W3 = spare.standard_normal((2, 6, 5, 2)), spare.standard_normal((12, 3))
y3 = conv(x3, W3, *odd)
assert np.allclose(y3, conv_by_definition(x3, W3.reshape(3, 2, 2, 3), *odd[1:]))
dy3 = spare.standard_normal(y3.shape)
dx3, dW3 = conv_backward(dy3, x3, W3, *odd)
expected = complex_step(lambda x: (conv(x, W3, *odd) * dy3).sum(), x3)
assert relative_error(dx3, expected) < 1e-10
expected = complex_step(lambda W: (conv(x3, W, *odd) * dy3).sum(), W3)
assert relative_error(dW3, expected) < 1e-10

# %% [markdown]
# ### A trap on the way
#
# `+=` in NumPy does not do what it says where an index comes twice.
#
# **Predict.** What is in `cells` afterwards?

# %%
cells = np.zeros(4)
cells[[1, 1, 1, 2]] += 1
print(cells)

# %% [markdown]
# Not 3 in the second place: NumPy reads all four cells, adds, and writes all four back; the last
# one wins. Our `fold` is safe from that. For one fixed (r, t), neighbouring patches touch different
# cells, a stride apart; overlaps only meet in *different* turns of the loop. A `fold` that took
# whole patches by index would lose every overlap, and on the first layer, where nothing overlaps,
# nobody would notice.
#
# Fold patches of ones and you see how many patches each cell is in: four in the middle, two in time
# by two in pitch; two at an edge, one in a corner. So a note in the middle is heard four times by
# the second layer, and one at the rim less often.

# %%
ones = np.ones((1, 4, 8, 2 * 4))
counts = fold(ones, (1, 5, 16, 1), *layers[1])[0, :, :, 0].astype(int)
print(counts)

# %% tags=["hide"]
assert cells.tolist() == [0, 1, 1, 0]
assert counts.shape == (5, 16) and (counts[1:4, 1:15] == 4).all()
assert (counts[0, 1:15] == 2).all() and (counts[1:4, 0] == 2).all() and counts[0, 0] == 1

# %% [markdown]
# ## The transposed convolution
#
# Look at what `conv_backward` did to make $dx$: multiply by $W^T$, then fold. Call that a layer of
# its own, the *transposed convolution*:
#
# $$\text{conv}^T(y) = \text{fold}(y W^T)$$
#
# It takes small images to large ones: (N, Ho, Wo, M) to (N, H, W, C). A decoder needs just that.


# %%
def conv_transpose(y, W, kernel_size, stride, padding):
    """y: (N, Ho, Wo, M), W: (kh * kw * C, M) -> (N, H, W, C), the size that conv maps to y's."""
    N, Ho, Wo, _ = y.shape
    H, Wd = (
        (n - 1) * s + k - 2 * p
        for n, k, s, p in zip((Ho, Wo), kernel_size, stride, padding, strict=True)
    )
    C = len(W) // (kernel_size[0] * kernel_size[1])
    return fold(y @ W.T, (N, H, Wd, C), kernel_size, stride, padding)


# %% [markdown]
# Why "transposed"? A convolution only multiplies and adds, so the whole of it is one large matrix
# $A$: write $x$ as one long row, then $y = x A$. To see A, send in rows that have a single 1. Take
# a small case: 8 columns in time, the kernel 1 2 3 4, stride 2, padding 1.

# %%
tiny = {"kernel_size": (1, 4), "stride": (1, 2), "padding": (0, 1)}
w = np.array([[1.0], [2.0], [3.0], [4.0]])  # (4, 1)
single = np.eye(8).reshape(8, 1, 8, 1)  # eight inputs, with a 1 in one place each
A = conv(single, w, **tiny).reshape(8, 4)
print("A, 8 inputs down, 4 outputs across:")
print(A.astype(int))

single = np.eye(4).reshape(4, 1, 4, 1)
back = conv_transpose(single, w, **tiny).reshape(4, 8)
print("the matrix of conv_transpose is A transposed:", np.array_equal(back, A.T))

# %% tags=["hide"]
assert np.array_equal(back, A.T)

# %% [markdown]
# Each column of A is the kernel, two further down each time; at the edges a part of it has fallen
# into the padding. No program ever builds A (for the first layer it would have 46 million entries),
# but it says what the layer is.
#
# There is a test for "is the transpose of" that needs no A. Write $\langle a, b \rangle$ for the
# sum of all products of entries of $a$ and $b$. For matrices, as for numbers,
# $\langle x A, y \rangle = \langle x, y A^T \rangle$: both are the sum of $x_k A_{kj} y_j$ over all
# k and j. So for **any** x and y whatever,
#
# $$\langle \text{conv}(x), y \rangle = \langle x, \text{conv}^T(y) \rangle$$
#
# Left: compare in the small space. Right: compare in the large one. Bach on one side, noise on the
# other:


# %%
def inner(a, b):
    return (a * b).sum()


noise = rng.standard_normal((1, 5, 16, 3))
first = layers[0]
print(f"Bach and noise:  {inner(conv(x, W, *first), noise):.4g}")
print(f"                 {inner(x, conv_transpose(noise, W, *first)):.4g}")
print(f"overlapping:     {inner(conv(x2, W2, *layers[1]), dy2):.4g}")
print(f"                 {inner(x2, conv_transpose(dy2, W2, *layers[1])):.4g}")

# %% tags=["hide"]
left, right = inner(conv(x, W, *first), noise), inner(x, conv_transpose(noise, W, *first))
assert np.isclose(left, right, rtol=1e-10)
left = inner(conv(x2, W2, *layers[1]), dy2)
assert np.isclose(left, inner(x2, conv_transpose(dy2, W2, *layers[1])), rtol=1e-10)

# %% [markdown]
# And since the transpose of a transpose is where we began: **the backward pass of conv is
# conv_transpose, and the backward pass of conv_transpose is conv.** We have four passes and wrote
# two.

# %%
h = rng.standard_normal((2, 4, 8, 6))  # what goes into a conv_transpose
dz = rng.standard_normal((2, 5, 16, 3))  # the gradient that comes to its output
dh = conv(dz, W2, *layers[1])
dh_expected = complex_step(lambda h: inner(conv_transpose(h, W2, *layers[1]), dz), h)
P = columns(dz, *layers[1]).reshape(-1, 24)  # patches of the large side, (64, 24)
dW = P.T @ h.reshape(-1, 6)  # (24, 6): the small side on the right, as before
dW_expected = complex_step(lambda W: inner(conv_transpose(h, W, *layers[1]), dz), W2)
print("to ten digits: dh", relative_error(dh, dh_expected) < 1e-10)
print("               dW", relative_error(dW, dW_expected) < 1e-10)

# %% tags=["hide"]
assert relative_error(dh, dh_expected) < 1e-10
assert relative_error(dW, dW_expected) < 1e-10

# %% [markdown]
# ## Transposed is not undone
#
# Some call it "deconvolution", as if it undid the convolution. It does not: it brings back the
# *size*, not the content. Here $W W^T$ stands between the patches and what comes back, and that is
# not the identity.
#
# **Predict.** Fill M kernels with random numbers, send Bach through the convolution and straight
# back through its transpose. Random questions, and their answers painted back with the very same
# kernels: is anything left of the music?

# %% alt="Bach, and what random kernels bring back of it: noise for 4 kernels, nearly all for 1,000"
fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained", sharey=True)
lesson.show_roll(axes[0], roll, "Bach")
print("kernels   cosine with the original")
cosines = {}
for ax, M in zip(axes[1:], (4, 72, 1000), strict=True):
    W_random = np.random.default_rng(M).standard_normal((72, M)) / np.sqrt(M)  # (72, M)
    back = conv_transpose(conv(x, W_random, *first), W_random, *first)[0, :, :, 0]  # (60, 96)
    cosines[M] = inner(back, roll) / np.sqrt(inner(back, back) * inner(roll, roll))
    print(f"{M:7}   {cosines[M]:.2f}")
    lesson.show_roll(ax, back, f"{M} random kernels")
plt.show()

# %% tags=["hide"]
near = W_random @ W_random.T  # (72, 72), of the 1,000 kernels
assert np.abs(near - np.eye(72)).max() < 0.25
assert cosines[4] < 0.4 and 0.5 < cosines[72] < 0.85 and cosines[1000] > 0.93

# %% [markdown]
# (The *cosine* is 1 if two rolls point in the same direction, that is, are the same but for
# loudness, and 0 if they have nothing in common. [Chapter 7](07_candidate_loss.md) is about it.)
#
# Nothing was trained! $W W^T$ compares the rows of W, one for each cell of the tile. Rows of many
# random numbers stand almost at right angles to each other, so that $W W^T$ is the identity and a
# little noise, the less of it the longer the rows. But 1,000 answers to describe 72 cells is no
# bargain. A network wants few numbers and a good return: kernels that are *learned*, and used in
# both directions. That is the next chapter.
#
# ## The package does the same
#
# [`Conv2d` and `TiedConvTranspose2d`](../tinyembed/layers/conv.py), with the same `columns` and
# `fold`, which the package calls [`im2col` and `col2im`](../tinyembed/layers/im2col.py). On a CPU
# they run [faster](../tinyembed/backends/cpu/im2col.py): where nothing overlaps a change of order is
# enough, and long runs are copied at once. An encoder's first convolution is a
# [`FirstConv2d`](../tinyembed/layers/first_conv.py). Where numba is installed, it adds [one row of
# the weight per onset](../tinyembed/backends/numba/first_conv.py): nearly all cells of a roll are 0.

# %%
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.gradcheck import cast
from tinyembed.layers.im2col import col2im, im2col

for (kernel, stride, padding), image, M in ((layers[0], x, 3), (layers[1], x2, 6)):
    geometry = kernel, stride, padding
    layer = cast(Conv2d(image.shape[3], M, *geometry, bias=False, rng=rng), float)
    weight = layer.weight.value  # (kh * kw * C, M)
    transpose = TiedConvTranspose2d(layer, bias=False)

    there, cache = layer.forward(image)
    dy = rng.standard_normal(there.shape)
    dx, dW = conv_backward(dy, image, weight, *geometry)
    assert np.allclose(there, conv(image, weight, *geometry), rtol=1e-10, atol=1e-12)
    assert np.allclose(layer.backward(dy, cache), dx, rtol=1e-10, atol=1e-12)
    assert np.allclose(layer.weight.grad, dW, rtol=1e-10, atol=1e-12)

    back, _ = transpose.forward(dy)
    assert np.allclose(back, conv_transpose(dy, weight, *geometry), rtol=1e-10, atol=1e-12)
    patches = im2col(image, *geometry)
    assert np.array_equal(patches, columns(image, *geometry))
    ours = fold(patches, image.shape, *geometry)
    assert np.allclose(col2im(patches, image.shape, *geometry), ours, rtol=1e-10)
print("the package's convolution and its transpose: the same numbers, forward and backward")

# %% [markdown]
# ## Exercises
#
# 1. **Later is later.** Move the roll of Bach to the right by one sixteenth (6 ticks; what falls
#    off at the end may come in again at the front). What happens to $y$? And if you move it by 3
#    ticks?
#
#    <details><summary>Solution</summary>
#
#    Moved by a whole stride, the answers are the same, one place later: the largest difference is
#    0.0. This is what a convolution is *for*. Moved by half a stride, the notes lie in other cells
#    of their tiles, and random kernels give other answers: False. Our own three kernels give the
#    same ones, since their rows are the same at all six ticks: True.
#
#    ```python
#    W_random = np.random.default_rng(1).standard_normal((72, 5))
#    y = conv(x, W_random, *first)  # (1, 5, 16, 5)
#    later = conv(np.roll(x, 6, axis=2), W_random, *first)
#    print(abs(later - np.roll(y, 1, axis=2)).max())
#    half = conv(np.roll(x, 3, axis=2), W_random, *first)
#    print(np.allclose(half, y) or np.allclose(half, np.roll(y, 1, axis=2)))
#    print(np.allclose(conv(np.roll(x, 3, axis=2), W, *first), conv(x, W, *first)))
#    ```
#
#    </details>
#
# 2. **A kernel as large as the picture.** What is a convolution with a kernel of 60 x 96 and no
#    padding? And one with a kernel of 1 x 1?
#
#    <details><summary>Solution</summary>
#
#    The first has a single place: it is the fully connected layer of chapter 2 (True). The second is
#    a fully connected layer too, from C channels to M, the same one at every cell (True).
#
#    ```python
#    large = np.random.default_rng(2).standard_normal((5760, 7))
#    y = conv(x, large, (60, 96), (1, 1), (0, 0))  # (1, 1, 1, 7)
#    print(np.allclose(y[:, 0, 0], x.reshape(1, 5760) @ large))
#    small = np.random.default_rng(3).standard_normal((3, 4))
#    print(np.allclose(conv(x2, small, (1, 1), (1, 1), (0, 0)), x2 @ small))
#    ```
#
#    </details>
#
# 3. **Where is the work?** For the four layers we take 100, 200, 400 and 800 kernels. For one unit,
#    how many multiplications does each layer do, and how many weights has it? Guess first: which
#    layer works hardest?
#
#    <details><summary>Solution</summary>
#
#    The number of places, times the length of a patch, times the number of kernels: 576,000,
#    5,120,000, 7,680,000 and 10,240,000. The *last* layer works hardest, on the smallest picture:
#    its patches are 3,200 numbers long, and it has 2,560,000 weights, where the others have 7,200,
#    160,000 and 640,000. The first layer, on the whole roll, does 2% of the work.
#
#    ```python
#    work, weights, C = [], [], 1
#    for (kernel, _, _), (h, w), M in zip(layers, sizes[1:], (100, 200, 400, 800), strict=True):
#        patch = kernel[0] * kernel[1] * C
#        work.append(h * w * patch * M)
#        weights.append(patch * M)
#        C = M
#    print([f"{n:,}" for n in work])
#    print([f"{n:,}" for n in weights], f"{work[0] / sum(work):.0%}")
#    ```
#
#    </details>

# %% [markdown]
# ## Further reading
#
# - Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016: pictures of
#   strides, padding and transposed convolutions. Networks compute the cross-correlation, without
#   turning the kernel round, and call it convolution.
# - Chellapilla, Puri and Simard, *High performance convolutional neural networks for document
#   processing*, 2006: the copy into one matrix, known since as im2col. Its way back is col2im;
#   PyTorch says unfold and fold.
# - LeCun, Bottou, Bengio and Haffner, *Gradient-based learning applied to document recognition*,
#   1998: convolution, shared weights and feature maps in a network that reads digits.
#
# ## What comes next
#
# One weight, used on the way in and again on the way out: [chapter 6](06_tied_weights.md) asks what
# its gradient is, and what happens to those who count only half of it.
