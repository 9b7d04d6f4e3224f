# %% [markdown]
# # 10. Walking the space: neighbours, a map, listening
#
# Seven thousand pieces of four beats are now seven thousand points. What lies beside what, what
# does the whole look like from afar, and can one go for a walk in it and listen?
#
# **What you'll do**
# - Find the units that lie nearest to a unit, in other people's music.
# - Transpose a unit, and see where in the space it goes.
# - Draw a map, find a famous circle on it, and find out what a map cannot show.
# - Walk from piece to piece, and write the walk as a MIDI file.
#
# **What you'll learn**
# - How to ask an embedding what it knows.
# - Principal components: the flat picture that keeps most of the differences.
#
# **What you need**
# - [Chapter 1](01_onset_roll.md) for units and keys, [chapter 7](07_candidate_loss.md) for the
#   cosine, [chapter 9](09_seven_models.md) for the context model. 20 minutes.
#
# ## What the paper says
#
# Section 4: an embedding has 100 numbers. Few enough that the nearest among a million units is
# found while somebody waits, and enough to hold what matters in four beats. Section 4.2: the
# context model learns to expect what comes before and after a unit; it is that model's space we
# walk in.
#
# ## Points
#
# Let $U_i$ be unit $i$ and $h(U_i)$ its embedding, the 100 numbers that the encoder of the context
# model makes of it. Only the direction counts, as in chapter 7, so we give every embedding the
# length 1:
#
# $$e_i = \frac{h(U_i)}{|h(U_i)|}, \qquad \cos(U_i, U_j) = e_i \cdot e_j$$
#
# where $|h|$ is the square root of the sum of squares, and the cosine is 1 for the same direction,
# 0 for directions at a right angle, -1 for opposite ones.

# %%
import re

import lesson
import matplotlib.pyplot as plt
import numpy as np

import tinyembed

model = tinyembed.load("context")
corpus = lesson.corpus()

beats = corpus.unit_beats()  # the first beat of each unit, pieces end to end
beats = beats[corpus.has_onset(beats)]
rolls = corpus.rolls(beats)  # (N, 60, 96)
piece = corpus.beat_piece[beats]  # (N,) which piece each is from
composer = corpus.composer_of(beats)  # (N,)


def directions(rolls):
    """(N, 60, 96) -> (N, 100), each of length 1."""
    h = tinyembed.embed(rolls, model)  # (N, 100)
    return h / np.sqrt((h * h).sum(axis=1, keepdims=True))


e = directions(rolls)
print(f"{len(e):,} units, each {e.shape[1]} numbers")

# %% [markdown]
# ## Neighbours
#
# All cosines with one unit are one product: $(N, 100)$ times $(100)$. The nearest are the largest.
# Those of the same piece would win too easily, since the unit one beat later shares three of its
# four beats. So ask in other people's music: here are four beats of Bach, and what Monteverdi,
# Mozart and others have that lies nearest.


# %%
def name(i):
    """Where a unit is from, for people."""
    work = corpus.names[piece[i]].partition("/")[2].rpartition(".")[0]
    work = re.split(r"\d+a?[-_]", work)[-1].replace("_", " ")  # without the numbers of an edition
    first = beats[i] - corpus.piece_beats[piece[i]] + 1
    return f"{corpus.composers[composer[i]]}, {work}, beat {first}"


def nearest(query, allowed):
    """The unit with the largest cosine, and the cosine. query: (100,); allowed: (N,) bool."""
    cosines = np.where(allowed, e @ query, -np.inf)  # (N,)
    i = int(cosines.argmax())
    return i, cosines[i]


start = int(np.flatnonzero(piece == corpus.names.index("Bach/bwv252.mxl"))[26])
print("asked: ", name(start))
found, allowed = [], composer != composer[start]
for _ in range(3):
    i, cosine = nearest(e[start], allowed)
    print(f"{cosine:.2f}   {name(i)}")
    found.append(i)
    allowed &= composer != composer[i]  # the next one by somebody else

# %% alt="A unit of a chorale, and the nearest units by three other composers."
fig, axes = plt.subplots(2, 2, figsize=(9, 5.2), layout="constrained", sharex=True, sharey=True)
for ax, i in zip(axes.flat, [start, *found], strict=True):
    lesson.show_roll(ax, rolls[i], name(i))
plt.show()

# %% [markdown]
# Few of the notes are the same. What is alike is what one would say of them: how full they are, how
# they move, where they lie, in which key.
#
# A cosine by itself says little. So take some hundreds of units, and compare each with others whose
# relation we know.

# %%
some = np.arange(0, len(e), 12)  # every twelfth unit
place = {int(beat): i for i, beat in enumerate(beats)}


def mean_cosine(offset):
    """Between units and those of the same piece so many beats later."""
    later = corpus.has_neighbour(beats[some], offset)
    pairs = [(i, place.get(int(beats[i]) + offset)) for i in some[later]]
    return np.mean([e[i] @ e[j] for i, j in pairs if j is not None])


related = {
    "any two units": (e[some] @ e[some].T)[np.triu_indices(len(some), 1)].mean(),
    "one beat later, three beats shared": mean_cosine(1),
    "the next unit, no beat shared": mean_cosine(4),
    "sixteen beats later": mean_cosine(16),
}
for relation, cosine in related.items():
    print(f"{cosine:.2f}   {relation}")

# %% [markdown]
# The next unit has not a single beat in common with a unit, and yet lies near it. That is what the
# context model was trained for, without ever being told "these two belong together".
#
# ## Transposing moves a point. Where to?
#
# Move the units up by 1, 2, ... semitones, embed them again, and compare each with itself in its
# own key. **Predict first:** which transposition does the network think most alike: one semitone,
# which moves every note by the least?

# %% alt="Mean cosine of a unit with its transpositions: 5 semitones are near, 1 is far."
keys = np.arange(-5, 7)
in_keys = np.stack([directions(corpus.rolls(beats[some], int(k))) for k in keys])  # (12, n, 100)
by_key = (in_keys * e[some]).sum(axis=2).mean(axis=1)  # (12,)

steps = np.minimum(7 * keys % 12, -7 * keys % 12)  # explained below
shades = plt.cm.viridis(steps / 7)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
left.bar(keys, by_key, color=shades)
left.set(xlabel="semitones", ylabel="mean cosine with itself", xticks=keys)
right.scatter(steps, by_key, color=shades, s=60, edgecolor=lesson.INK)
right.set(xlabel="steps on the circle of fifths", xticks=range(7))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# A semitone is among the farthest. Nearest is a shift by five semitones, down or up. On the right
# the same numbers in another order, and there the order is perfect.
#
# Here is what the order is. Start at C and go up seven semitones, a *fifth*, again and again,
# ignoring octaves: C G D A E B F# C# G# D# A# F, and back to C. All twelve notes, on a circle.
# Seven semitones up is the same as five down, but for an octave, so a transposition by $k$
# semitones is a turn by $7k$ places, counted modulo 12; a semitone is five or seven places away.
# Musicians have drawn this circle for three hundred years, because keys that are neighbours on it
# share all their notes but one, and music moves between them.
#
# Nobody told the network. It has seen no names of notes and no keys, only zeros and ones, and it
# was asked what comes before and after.

# %% tags=["hide"]
means = [by_key[steps == s].mean() for s in range(7)]
assert (np.diff(means) < 0).all(), means
assert by_key[keys == 1] < by_key[keys == 5] and by_key[keys == -1] < by_key[keys == -5]
assert related["any two units"] < related["sixteen beats later"]
assert related["sixteen beats later"] < related["the next unit, no beat shared"]
assert related["the next unit, no beat shared"] < related["one beat later, three beats shared"]
overlap = [(rolls[i] * rolls[start]).sum() / rolls[start].sum() for i in found]
assert max(overlap) < 0.5, overlap

# %% [markdown]
# ## A map
#
# Can we *see* the circle? The points have 100 dimensions, and a page has two. Which two directions
# show the most? Those in which the points differ most: the *principal components*. Write the points
# as rows of $x$, with their mean taken away. Along a direction $v$ of length 1 they lie at $x v$,
# and their spread is
#
# $$|x v|^2 = v^T (x^T x) \, v$$
#
# It is largest for the eigenvector of $x^T x$ with the largest eigenvalue, and the eigenvalue is
# the spread. The eigenvector of the second largest is the best direction at a right angle to the
# first.


# %%
def principal_plane(points):
    """(N, D) -> positions (N, 2), and the share of the spread that they keep."""
    x = points.astype(float) - points.mean(axis=0)
    spreads, vectors = np.linalg.eigh(x.T @ x)  # ascending
    return x @ vectors[:, :-3:-1], spreads[-2:].sum() / spreads.sum()


points = in_keys.reshape(-1, 100)  # units in twelve keys, so that no key is favoured
positions, kept = principal_plane(points)
print(f"{len(points):,} points; the plane keeps {kept:.2f} of the spread")

# %% [markdown]
# To colour a point by its place on the circle of fifths, let each onset of the unit pull towards
# its note's place on the circle, and see where the unit is pulled to in all. (A place on a circle
# is an angle; the pull of pitch $p$ is the complex number $e^{2 \pi i \cdot 7p / 12}$, and the
# angle of their sum is where they agree to go.)

# %% alt="The map is a ring; around it, the notes in fifths." tags=["thumbnail"]
pulls = np.exp(2j * np.pi * 7 * np.arange(60) / 12)  # (60,) of each row; row 0 is a C
angles = np.concatenate(
    [np.angle(corpus.rolls(beats[some], int(k)).sum(axis=2) @ pulls) for k in keys]
)  # (12 n,)

fig, ax = plt.subplots(figsize=(7.4, 6.4), layout="constrained")
outline = {"linewidths": 0.15, "edgecolors": lesson.GREY}
ax.scatter(*positions.T, c=angles, cmap="twilight_shifted", s=7, **outline)
for fifths, note in enumerate(["C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#", "F"]):
    turn = np.angle(np.exp(1j * (angles - 2 * np.pi * fifths / 12)))
    x, y = 1.55 * positions[np.abs(turn) < 0.2].mean(axis=0)
    ax.text(x, y, note, ha="center", va="center", fontsize=13, color=lesson.INK)
ax.set_aspect("equal")
ax.axis("off")
plt.show()

# %% [markdown]
# There it is: a ring, and once around it goes through all twelve notes in the order of the fifths.
# (A unit that is drawn near "D" has its notes around D on the circle, such as C major or A minor: F
# C G D A E B.) The two directions in which four beats of music differ most, to this network, are
# where they lie on the circle of fifths.
#
# How well do the two angles agree, that on the map and that of the notes? Average
# $e^{i(\text{map angle} - \text{note angle})}$ over all points: its length is 1 if they differ by
# one and the same turn everywhere, and near 0 if they have nothing to do with each other. The map
# may also be a mirror image, so take the better of the two. **Predict first:** is the circle in the
# rolls already, so that their own principal components show it?


# %%
def agreement(positions, angles):
    around = np.angle(positions @ [1, 1j])
    return max(abs(np.exp(1j * (around - way * angles)).mean()) for way in (1, -1))


few = np.arange(0, len(some), 4)  # a quarter of them: rolls are large
raw = np.concatenate([corpus.rolls(beats[some[few]], int(k)).reshape(len(few), -1) for k in keys])
raw /= np.sqrt((raw * raw).sum(axis=1, keepdims=True))  # (n, 5760) float32
x = raw - raw.mean(axis=0)
spreads, vectors = np.linalg.eigh(x @ x.T)  # the same eigenvalues as of x^T x, and smaller
raw_positions = vectors[:, :-3:-1] * np.sqrt(spreads[:-3:-1])
raw_kept = spreads[-2:].sum() / spreads.sum()
raw_angles = angles.reshape(12, -1)[:, few].ravel()

print("agreement with the notes' circle, and share of the spread:")
print(f"  the embedding's map  {agreement(positions, angles):.2f}  {kept:.3f}")
print(f"  the rolls' own map   {agreement(raw_positions, raw_angles):.2f}  {raw_kept:.3f}")

# %% [markdown]
# It is! So the network did not invent the circle. It is in the music: notes that are neighbours on
# it sound together. But in the rolls it is a faint trace, a small part of all the ways in which two
# rolls differ, and two rolls that are a fifth apart have next to no cell in common. The network has
# made of that trace the first thing to be seen. That is what "learning features" means.
#
# ## What a map cannot show
#
# A flat map of 100 dimensions must leave most things out. **Predict first:** of the ten nearest
# neighbours of a unit, how many are among its ten nearest on the map?

# %%
own, _ = principal_plane(e)  # all units, as written
here = np.argsort(-(e[some] @ e.T), axis=1)[:, 1:11]  # in the space; first comes the unit itself
distances = ((own[some, None] - own) ** 2).sum(axis=2)  # (n, N)
there = np.argsort(distances, axis=1)[:, 1:11]  # on the map
shared = np.mean([len(set(a) & set(b)) for a, b in zip(here, there, strict=True)])
print(f"{shared:.1f} of 10")

# %% [markdown]
# Fewer than one. A map shows the large outline, and says nearly nothing about who lies next to
# whom. Ask the space itself.
#
# ## Birds of a feather
#
# Are neighbours akin? Take the nearest unit *in another piece*, and see whether it is by the same
# composer. For comparison: a unit of another piece drawn at random, and the nearest by the cosine
# of the rolls themselves.


# %%
def same_composer(rows):
    """The share of units in `some` whose nearest in another piece, by rows, is the composer's."""
    cosines = np.where(piece[some, None] == piece, -np.inf, rows[some] @ rows.T)  # (n, N)
    return (composer[cosines.argmax(axis=1)] == composer[some]).mean()


flat = rolls.reshape(len(rolls), -1)
flat = flat / np.sqrt((flat * flat).sum(axis=1, keepdims=True))
others = piece[some, None] != piece  # (n, N)
chance = ((composer[some, None] == composer) & others).sum(axis=1) / others.sum(axis=1)
by_embedding, by_roll = same_composer(e), same_composer(flat)
print(f"by embedding {by_embedding:.2f}   by roll {by_roll:.2f}   at random {chance.mean():.2f}")

# %% [markdown]
# Far more often than at random. And the rolls are nearly as good as the embedding at this! Both go
# by key, register and density, and with 58 pieces that narrows it down a good deal (chapter 2
# caught a layer at it). What the 100 numbers are better at is what they were made for, predicting
# what comes: there, [chapter 11](11_lstm_and_rank.md), the context model leaves 100 numbers that
# principal components make of the rolls far behind.

# %% tags=["hide"]
import json

assert agreement(positions, angles) > 0.95 and agreement(raw_positions, raw_angles) > 0.9
assert raw_kept < 0.05 < 0.2 < kept
fifth = np.mean([(corpus.rolls([beats[i]], 5)[0] * rolls[i]).sum() / rolls[i].sum() for i in some])
assert fifth < 0.1, fifth
assert shared < 1
results = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
ranks = [
    results[kind][name]["rank"]["median"]
    for kind, name in [("models", "context"), ("baselines", "pca")]
]
assert 2 * ranks[0] < ranks[1]
assert by_embedding > 3 * chance.mean() and abs(by_embedding - by_roll) < 0.1

# %% [markdown]
# ## A walk, to listen to
#
# The space can be played. Start with a unit. In its own piece the next unit would follow; instead
# of it take its nearest neighbour by another composer, in a piece that was not visited yet, and go
# on from there. At each step we hear something that could have come, but comes from elsewhere.

# %%
goes_on = corpus.has_neighbour(beats, 4) & np.isin(beats + 4, beats)  # something follows
walk = [start]
while len(walk) < 8:
    wanted = place[int(beats[walk[-1]]) + 4]  # what would follow
    allowed = goes_on & ~np.isin(piece, piece[walk]) & (composer != composer[walk[-1]])
    step, cosine = nearest(e[wanted], allowed)
    walk.append(step)
    print(f"{cosine:.2f}   {name(walk[-1])}")

# %% alt="The walk as one long roll of eight units, with the composer of each above it."
heard = np.concatenate(rolls[walk], axis=1)  # (60, 768)
fig, ax = plt.subplots(figsize=(9, 3.8), layout="constrained")
lesson.show_roll(ax, heard, onset_width=8)
for i, unit in enumerate(walk):
    words = corpus.composers[composer[unit]].replace(" ", "\n")
    ax.text(4 * i + 2, 61, words, ha="center", va="bottom", fontsize=9, color=lesson.INK)
    ax.axvline(4 * i, color=lesson.ORANGE, lw=1.2)
ax.set_xlabel("beat")
plt.show()

tinyembed.to_midi(heard, "walk.mid")
print(f"walk.mid: {int(heard.sum())} notes, {heard.shape[1] / 24 / 100 * 60:.0f} seconds")

# %% [markdown]
# Open `walk.mid` with any player. (On these pages nothing sounds: run the script, and it is in the
# folder where you run it.) The joints between pieces are easy to see in the picture, and harder to
# hear.
#
# ## The package does the same
#
# `Index` finds the same neighbours with the same cosines, among a million as well, and proves that
# it has missed none. `pca_map` is the map of `python -m tinyembed.explore`, a page on which each
# point can be clicked and heard; `python -m tinyembed.search` asks for neighbours from the command
# line.

# %%
from tinyembed.explorer.maps import pca_map

index = tinyembed.Index(e)
answer = index.search(e[start], k=10, where=composer != composer[start])
ours = np.where(composer != composer[start], e @ e[start], -np.inf)
assert answer.rows[0] == found[0]
assert np.array_equal(answer.rows, np.argsort(-ours)[:10])
assert np.allclose(answer.cosines, np.sort(ours)[:-11:-1], rtol=0, atol=1e-6)

theirs, words = pca_map(e)
assert np.allclose(np.abs(theirs), np.abs(own), rtol=0, atol=1e-5)  # either sign is right
back = tinyembed.read_midi("walk.mid")
assert len(back.ticks) == heard.sum() and set(back.ticks) == set(np.nonzero(heard)[1])
print("the same neighbours, the same map; and walk.mid holds the notes of the walk")

# %% [markdown]
# ## Exercises
#
# 1. Instead of the cosine take the distance of the embeddings as they come, $|h(U_i) - h(U_j)|$.
#    How many of the ten nearest stay?
#
#    <details><summary>Solution</summary>
#
#    For directions it would be all ten: $|e_i - e_j|^2 = 2 - 2 \, e_i \cdot e_j$. For embeddings of
#    different lengths it is a different order.
#
#    ```python
#    h = tinyembed.embed(rolls, model)  # (N, 100)
#    squares = (h * h).sum(axis=1)
#    apart = squares[some, None] + squares - 2 * h[some] @ h.T  # squared distances (n, N)
#    by_distance = np.argsort(apart, axis=1)[:, 1:11]
#    stay = np.mean([len(set(a) & set(b)) for a, b in zip(here, by_distance, strict=True)])
#    ```
#
#    Most of them.
#    </details>
#
# 2. In spaces of many dimensions it happens that a few points are near to nearly everybody. In
#    `here` are the ten nearest of some units. Is there a unit that is in very many of these lists?
#    By chance each unit would be in $\lambda$ = (entries) / (units) of them, and a share
#    $e^{-\lambda}$ in none.
#
#    <details><summary>Solution</summary>
#
#    ```python
#    times = np.bincount(here.ravel(), minlength=len(e))
#    most = times.max() / len(some)  # share of the lists that the most popular unit is in
#    never, by_chance = (times == 0).mean(), np.exp(-here.size / len(e))
#    ```
#
#    No: the most popular one is in two lists of a hundred at most, and the share of units that are
#    in none is what chance gives, to a few hundredths.
#    </details>
#
# 4. Halfway between two units lies the direction of $e_i + e_j$. What is its cosine with either, if
#    $e_i \cdot e_j = c$? Take two units with $c$ near 0: does any unit lie there?
#
#    <details><summary>Solution</summary>
#
#    $e_i \cdot (e_i + e_j) = 1 + c$, and $|e_i + e_j|^2 = 2 + 2c$, so the cosine is
#    $\sqrt{(1 + c) / 2}$: 0.71 for $c = 0$.
#
#    ```python
#    far = int(np.abs(e @ e[start]).argmin())
#    half = e[start] + e[far]
#    half = half / np.sqrt((half * half).sum())
#    c = e[start] @ e[far]
#    assert np.isclose(half @ e[start], np.sqrt((1 + c) / 2), rtol=0, atol=1e-5)
#    between, cosine = nearest(half, np.ones(len(e), bool))
#    ```
#
#    Some unit is nearer to that point than the two that it lies between: nobody composed halfway
#    between them, and yet there is music there.
#    </details>
#
# ## What comes next
#
# This is where the paper's road ends, and the walk in your own music begins: give `python -m
# tinyembed.explore --data` a folder of it. What came after the paper compares a unit not with five
# candidates but with a whole batch.

# %% tags=["hide"]
h = tinyembed.embed(rolls, model)  # (N, 100)
squares = (h * h).sum(axis=1)
apart = squares[some, None] + squares - 2 * h[some] @ h.T  # squared distances (n, N)
by_distance = np.argsort(apart, axis=1)[:, 1:11]
stay = np.mean([len(set(a) & set(b)) for a, b in zip(here, by_distance, strict=True)])
assert 6 < stay < 10, stay

times = np.bincount(here.ravel(), minlength=len(e))
most = times.max() / len(some)  # share of the lists that the most popular unit is in
never, by_chance = (times == 0).mean(), np.exp(-here.size / len(e))
assert most < 0.02 and abs(never - by_chance) < 0.05, (most, never, by_chance)

far = int(np.abs(e @ e[start]).argmin())
half = e[start] + e[far]
half = half / np.sqrt((half * half).sum())
c = e[start] @ e[far]
assert np.isclose(half @ e[start], np.sqrt((1 + c) / 2), rtol=0, atol=1e-5)
between, cosine = nearest(half, np.ones(len(e), bool))
assert cosine > np.sqrt((1 + c) / 2) and between not in (start, far)
