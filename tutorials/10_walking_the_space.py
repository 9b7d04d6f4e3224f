# %% [markdown]
# # 10. Walking the space: neighbours, a map, listening
#
# Seven thousand units are now points in a space of 100 dimensions. We look for neighbours, draw a
# map, and take a walk that you can hear.

# %% [markdown]
# **What you'll do.** You find the nearest neighbours of a unit, see where a unit moves when it is
# transposed, draw a map of the space, and listen to a walk from piece to piece.
#
# **What you'll learn.** How to examine an embedding, what principal component analysis does, and
# what a map cannot show.
#
# **What you need.** [Chapter 1](01_onset_roll.md) for units and keys,
# [chapter 7](07_candidate_loss.md) for the cosine, [chapter 9](09_seven_models.md) for the context
# model, and 12 minutes.

# %% [markdown]
# ## What the paper says
#
# Section 4 chooses 100 dimensions because that is few enough to search a million units for the
# nearest one in real time, and enough to represent many features of four beats. Section 4.2
# describes the context model, whose space we explore here.
#
# ## Units as points
#
# We use the trained context model that comes with the package. Only the direction of an embedding
# matters for the cosine, so we divide each embedding by its length. In this chapter $z_i$ is the
# result for unit $i$. The cosine of two units is then a dot product, $z_i \cdot z_j$.

# %%
import re

import lesson
import matplotlib.pyplot as plt
import numpy as np

import tinyembed

model = tinyembed.load("context")
corpus = lesson.corpus()

beats = corpus.unit_beats()  # the first beat of each unit
beats = beats[corpus.has_onset(beats)]
rolls = corpus.rolls(beats)  # (N, 60, 96)
piece = corpus.beat_piece[beats]  # (N,)
composer = corpus.composer_of(beats)  # (N,)


def normalized(rows):
    """(N, D) -> (N, D), each row of length 1."""
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


z = normalized(tinyembed.embed(rolls, model))  # (N, 100)
print(f"{len(z):,} units, {z.shape[1]} numbers each")

# %% [markdown]
# ## Neighbours
#
# One matrix product gives the cosines between one unit and all the others. The largest cosine
# belongs to the **nearest neighbour**. We exclude the composer of the unit itself, because its own
# piece contains nearly the same notes one beat later.


# %%
def name(i):
    """Where a unit comes from, in words."""
    work = corpus.names[piece[i]].partition("/")[2].rpartition(".")[0]
    work = re.split(r"\d+a?[-_]", work)[-1].replace("_", " ")  # without an edition's numbers
    first = beats[i] - corpus.piece_beats[piece[i]] + 1
    return f"{corpus.composers[composer[i]]}, {work}, beat {first}"


def nearest(query, allowed):
    """The unit with the largest cosine, and that cosine. query: (100,); allowed: (N,) bool."""
    cosines = np.where(allowed, z @ query, -np.inf)  # (N,)
    i = int(cosines.argmax())
    return i, cosines[i]


start = int(np.flatnonzero(piece == corpus.names.index("Bach/bwv252.mxl"))[26])
print("query: ", name(start))
found, allowed = [], composer != composer[start]
for _ in range(3):
    i, cosine = nearest(z[start], allowed)
    print(f"{cosine:.2f}   {name(i)}")
    found.append(i)
    allowed &= composer != composer[i]  # the next one by another composer

# %% alt="A unit of a chorale, and the nearest units by three other composers"
figure, axes = plt.subplots(2, 2, figsize=(9, 5.4), layout="constrained", sharex=True, sharey=True)
for ax, i in zip(axes.flat, [start, *found], strict=True):
    lesson.show_roll(ax, rolls[i], name(i))
plt.show()
lesson.play(list(rolls[[start, *found]]), "neighbours", "the unit, then its three neighbours")

# %% [markdown]
# Each neighbour shares fewer than half of the unit's onsets. The units resemble each other in
# density, movement, register and key.
#
# To judge a cosine, we need cosines to compare it with. So we take every twelfth unit and compare
# it with units whose relation to it is known.

# %%
some = np.arange(0, len(z), 12)  # every twelfth unit
place = {int(beat): i for i, beat in enumerate(beats)}


def mean_cosine(offset):
    """Between units and those of the same piece that start `offset` beats later."""
    later = corpus.has_neighbour(beats[some], offset)
    pairs = [(i, place.get(int(beats[i]) + offset)) for i in some[later]]
    return np.mean([z[i] @ z[j] for i, j in pairs if j is not None])


related = {
    "any two units": (z[some] @ z[some].T)[np.triu_indices(len(some), 1)].mean(),
    "one beat later, three beats shared": mean_cosine(1),
    "the next unit, no beat shared": mean_cosine(4),
    "sixteen beats later": mean_cosine(16),
}
for relation, cosine in related.items():
    print(f"{cosine:.2f}   {relation}")

# %% [markdown]
# A unit shares no beat with the next one, but the two are close. This is a result of the training:
# neighbouring units had similar targets.
#
# ## Transposition
#
# Now we transpose each unit by 1, 2, ... semitones and compare it with itself in the original key.
# **Predict first:** which transposition changes the embedding least? A semitone moves every note
# by the smallest distance.

# %% alt="Mean cosine of a unit with its transpositions: five semitones are close, one is far"
keys = np.arange(-5, 7)
in_keys = np.stack(
    [normalized(tinyembed.embed(corpus.rolls(beats[some], int(key)), model)) for key in keys]
)  # (12, n, 100)
by_key = (in_keys * z[some]).sum(axis=2).mean(axis=1)  # (12,)
steps = np.minimum(7 * keys % 12, -7 * keys % 12)  # on the circle of fifths, explained below

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
left.bar(keys, by_key, color=lesson.BLUE)
left.set(xlabel="transposition in semitones", ylabel="mean cosine with itself", xticks=keys)
right.scatter(steps, by_key, color=lesson.BLUE, s=50)
right.set(xlabel="steps on the circle of fifths", xticks=range(7))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% tags=["hide"]
means = [by_key[steps == step].mean() for step in range(7)]
assert (np.diff(means) < 0).all(), means
assert set(keys[np.argsort(-by_key)][1:3]) == {-5, 5}
assert set(keys[np.argsort(by_key)][:3]) == {6, 1, -1}
assert related["any two units"] < related["sixteen beats later"]
assert related["sixteen beats later"] < related["the next unit, no beat shared"]
assert related["the next unit, no beat shared"] < related["one beat later, three beats shared"]
overlap = [(rolls[i] * rolls[start]).sum() / rolls[start].sum() for i in found]
assert max(overlap) < 0.5, overlap

# %% [markdown]
# A semitone is one of the worst transpositions, and five semitones up or down are the best. The
# right panel explains this. A **fifth** is seven semitones. Start at C, go up by fifths and ignore
# octaves: C G D A E B F# C# G# D# A# F and back to C. This is the **circle of fifths**. A
# transposition by five semitones is one step on it, and by one semitone it is five steps. Keys
# that are neighbours on the circle have all notes but one in common. The cosine falls with every
# step, although nobody told the network about keys or note names.
#
# ## A map
#
# Can we see this circle? The space has 100 dimensions and a page has two. **Principal component
# analysis** (PCA) finds the two directions in which the points differ most. Let the rows of $Z$ be
# the points minus their mean. Along a direction $w$ of length 1, the sum of their squares is
#
# $$|Z w|^2 = w^T (Z^T Z) \, w$$
#
# An *eigenvector* of a matrix is a direction that the matrix only stretches, and its *eigenvalue* is
# the factor. The sum is largest for the eigenvector of $Z^T Z$ with the largest eigenvalue, and it
# equals that eigenvalue. The second eigenvector is the best direction at a right angle to the first
# one.


# %%
def principal_plane(points):
    """(N, D) -> positions (N, 2), and the share of the variance that they keep."""
    Z = points.astype(float) - points.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(Z.T @ Z)  # ascending
    return Z @ vectors[:, :-3:-1], eigenvalues[-2:].sum() / eigenvalues.sum()


points = in_keys.reshape(-1, 100)  # units in twelve keys, so that no key is preferred
positions, kept = principal_plane(points)
print(f"{len(points):,} points; the plane keeps {100 * kept:.0f}% of the variance")

# %% [markdown]
# The colour of a point shows where its notes lie on the circle of fifths. We place each onset at
# the angle of its note and take the direction of the mean.

# %% tags=["thumbnail"] alt="The map is a ring, and the notes around it stand in the order of the circle of fifths"
fifths = np.exp(2j * np.pi * 7 * np.arange(60) / 12)  # (60,) each row's place; row 0 is a C
angles = np.concatenate(
    [np.angle(corpus.rolls(beats[some], int(key)).sum(axis=2) @ fifths) for key in keys]
)  # (12 n,)

figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
ax.scatter(*positions.T, c=angles, cmap="hsv", s=5, alpha=0.6)
for step, note in enumerate(["C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#", "F"]):
    turn = np.angle(np.exp(1j * (angles - 2 * np.pi * step / 12)))
    x, y = normalized(positions[np.abs(turn) < 0.2].mean(axis=0, keepdims=True))[0]
    ax.text(0.9 * x, 0.9 * y, note, ha="center", va="center", fontsize=13, color=lesson.INK)
ax.set(xlabel="first principal component", ylabel="second principal component")
ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The map is a ring that passes through all twelve notes in the order of the circle of fifths. For
# this network, the position on that circle is the largest difference between units.
#
# Is the circle already in the rolls? We compute the same map of the rolls and measure how well the
# angle of a point on each map agrees with the angle of its notes. We place the difference of the
# two angles on the unit circle. The mean of all differences then has length 1 for perfect agreement
# and is near 0 if there is none. A map may also be a mirror image, so we try both directions.


# %%
def agreement(positions, angles):
    around = np.angle(positions @ [1, 1j])
    return max(abs(np.exp(1j * (around - way * angles)).mean()) for way in (1, -1))


few = np.arange(0, len(some), 4)  # a quarter of them, because rolls are large
flat = np.concatenate([corpus.rolls(beats[some[few]], int(key)) for key in keys])
flat = normalized(flat.reshape(len(flat), -1))  # (n, 5760)
flat -= flat.mean(axis=0)
eigenvalues, vectors = np.linalg.eigh(flat @ flat.T)  # those of flat^T flat, in a smaller matrix
roll_positions = vectors[:, :-3:-1] * np.sqrt(eigenvalues[:-3:-1])
roll_kept = eigenvalues[-2:].sum() / eigenvalues.sum()
roll_angles = angles.reshape(12, -1)[:, few].ravel()

print("            agreement   variance kept")
print(f"embeddings {agreement(positions, angles):10.2f} {100 * kept:14.0f}%")
print(f"rolls      {agreement(roll_positions, roll_angles):10.2f} {100 * roll_kept:14.0f}%")

# %% [markdown]
# The circle is in the rolls too, but there it is a small part of all differences. The network did
# not invent this feature. It made the feature large, probably because the key helps to predict the
# context.
#
# A map also hides much. **Predict first:** how many of a unit's ten nearest neighbours are among
# its ten nearest points on a map?

# %%
flat_map, _ = principal_plane(z)  # all units in their own keys
in_space = np.argsort(-(z[some] @ z.T), axis=1)[:, 1:11]  # the first one is the unit itself
distances = ((flat_map[some, None] - flat_map) ** 2).sum(axis=2)  # (n, N)
on_map = np.argsort(distances, axis=1)[:, 1:11]
kept_neighbours = np.mean([len(set(a) & set(b)) for a, b in zip(in_space, on_map, strict=True)])
print(f"{kept_neighbours:.1f} of 10")

# %% tags=["hide"]
assert agreement(positions, angles) > 0.95 and agreement(roll_positions, roll_angles) > 0.9
assert roll_kept < 0.05 < 0.2 < kept
assert kept_neighbours < 1

# %% [markdown]
# Less than one. A map shows the large structure and says almost nothing about neighbours, so
# search the space itself. (UMAP, a method that the package's explorer can use, draws maps that
# keep more neighbours.)
#
# ## A walk
#
# Now we play the space. Start with a unit. In its piece, a certain unit would follow. Instead of
# that unit, play its nearest neighbour by another composer, from a piece not yet visited, and
# continue from there.

# %%
goes_on = corpus.has_neighbour(beats, 4) & np.isin(beats + 4, beats)  # another unit follows
walk = [start]
while len(walk) < 8:
    expected = place[int(beats[walk[-1]]) + 4]  # the unit that would follow
    allowed = goes_on & ~np.isin(piece, piece[walk]) & (composer != composer[walk[-1]])
    i, cosine = nearest(z[expected], allowed)
    walk.append(i)
    print(f"{cosine:.2f}   {name(i)}")

# %% alt="The walk as one roll of eight units, with the composer above each"
heard = np.concatenate(rolls[walk], axis=1)  # (60, 768)
figure, ax = plt.subplots(figsize=(9, 3.8), layout="constrained")
lesson.show_roll(ax, heard, onset_width=8)
for unit, i in enumerate(walk):
    words = corpus.composers[composer[i]].replace(" ", "\n")
    ax.text(4 * unit + 2, 61, words, ha="center", va="bottom", fontsize=9, color=lesson.INK)
    ax.axvline(4 * unit, color=lesson.ORANGE, lw=1.2)
plt.show()
lesson.play(heard, "walk", "the walk: eight units of eight pieces")

# %% [markdown]
# The joints between the pieces (orange) are easy to see and harder to hear.
# `tinyembed.to_midi(heard, "walk.mid")` saves the walk as a MIDI file.
#
# ## The package does the same
#
# `Index` finds the same neighbours, also among millions of units. `pca_map` draws the same map. It
# is one of the maps of `python -m tinyembed.explore`, a page on which you can click and hear each
# point.

# %%
from tinyembed.explorer.maps import pca_map

index = tinyembed.Index(z)
others = composer != composer[start]
answer = index.search(z[start], k=10, where=others)
cosines = np.where(others, z @ z[start], -np.inf)
assert np.array_equal(answer.rows, np.argsort(-cosines)[:10])
assert np.allclose(answer.cosines, np.sort(cosines)[:-11:-1], rtol=0, atol=1e-6)

theirs, _ = pca_map(z)
assert np.allclose(np.abs(theirs), np.abs(flat_map), rtol=0, atol=1e-5)  # either sign is right
print("the same neighbours and the same map")

# %% [markdown]
# ## Exercises
#
# **1. Relatives.** How often does the nearest unit of another piece have the same composer? Compare
# the embedding with the roll itself.
#
# <details><summary>Solution</summary>
#
# ```python
# rows = normalized(rolls.reshape(len(rolls), -1))
# for points in (z, rows):
#     cosines = np.where(piece[some, None] == piece, -np.inf, points[some] @ points.T)
#     print(f"{(composer[cosines.argmax(axis=1)] == composer[some]).mean():.2f}")
# ```
#
# The share is 0.45 for the embedding and 0.39 for the roll, so the roll is nearly as good. The
# embedding is much better at the task it was trained for: see the comparison with PCA in
# [chapter 9](09_seven_models.md).
#
# </details>
#
# **2. Hubs.** In spaces of many dimensions, a few points can be neighbours of very many others.
# Such points are called hubs. Does this space have one? Count how often each unit occurs in
# `in_space`.
#
# <details><summary>Solution</summary>
#
# ```python
# times = np.bincount(in_space.ravel(), minlength=len(z))
# print(f"{times.max()} of {len(some)} lists")
# ```
#
# No. The most popular unit is in only 7 of 605 lists.
#
# </details>
#
# **3. Halfway.** The direction of $z_i + z_j$ lies halfway between two units. What is its cosine
# with each of them if $z_i \cdot z_j = 0$? Is there any unit closer to it?
#
# <details><summary>Solution</summary>
#
# ```python
# far = int(np.abs(z @ z[start]).argmin())  # its cosine with the first unit is nearly 0
# (half,) = normalized((z[start] + z[far])[None])
# _, cosine = nearest(half, ~np.isin(np.arange(len(z)), [start, far]))
# print(f"{half @ z[start]:.2f} {half @ z[far]:.2f}, another unit {cosine:.2f}")
# ```
#
# The sum has length $\sqrt2$, so each cosine is $1 / \sqrt2$: 0.71 and 0.71. Another unit has 0.89,
# so it is closer to the point than the two units themselves.
#
# </details>
#
# ## Further reading
#
# - C. L. Krumhansl, *Cognitive Foundations of Musical Pitch*, 1990. Experiments in which listeners'
#   judgements also produce the circle of fifths.
# - M. Wattenberg, F. Viégas and I. Johnson, *How to Use t-SNE Effectively*, 2016. It shows how easy
#   it is to misread a map.
# - M. Radovanović, A. Nanopoulos and M. Ivanović, *Hubs in Space: Popular Nearest Neighbors in
#   High-Dimensional Data*, 2010. Exercise 2 in full.
#
# ## What comes next
#
# You can explore your own music with `python -m tinyembed.explore --data FOLDER`. The walk assumed
# that the nearest neighbour is a good continuation.
# [Chapter 11](11_lstm_and_rank.md) trains a network to predict the next unit, and measures how
# well it does.
