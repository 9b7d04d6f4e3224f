# %% [markdown]
# # 1. From a MIDI file to an onset roll
#
# How much of a piece of music is left when four beats of it become a table of zeros and ones, and
# how often does the same table come back?
#
# | What you'll do | What you'll learn | What you need |
# | --- | --- | --- |
# | Read a MIDI file event by event, put its notes on a grid, cut it into units, transpose it, and count repetitions in 58 scores. | What the networks of this course see of a piece, what they never see, and why duplicates are removed. | Python and NumPy. No chapter before this one. 15 minutes. |
#
# ## What the paper says
#
# Section 3.1: piano pieces whose beat is a quarter note, each transposed into all keys. Section
# 3.2: time is counted in beats, with 24 ticks a beat; there are 60 pitches, and a note outside them
# moves by octaves into the lowest or the highest octave. Only the moment counts when a note starts.
# Four beats make a matrix of 60 x 96 zeros and ones, one is cut at every beat, and of equal ones
# only one is kept.
#
# We call such a piece of four beats a *unit*, its matrix an *onset roll*, and the start of a note
# an *onset*.
#
# ## A MIDI file is a list of events
#
# Here is a tune of eight bars, written for this course. A MIDI file of it holds *messages*: this
# pitch on, this pitch off. A pitch is a number, 60 for middle C, one more for each semitone. Each
# message says how long after the one before it comes, in units of $1/r$ beat. The file says what
# $r$ is.

# %%
import lesson
import matplotlib.pyplot as plt
import numpy as np

midi = lesson.tune()
r = midi.ticks_per_beat
print(f"{r} time units a beat; {len(midi.tracks)} tracks, the melody and the bass")
for message in midi.tracks[0][1:7]:
    print(message)

# %% [markdown]
# The delays add up to times. We keep the start of every note, and the time when the last note ends.
# (A `note_on` of velocity 0 is an old way to write `note_off`.)

# %%
times, pitches, end = [], [], 0
for track in midi.tracks:
    now = 0
    for message in track:
        now += message.time
        if message.type in ("note_on", "note_off"):
            end = max(end, now)
            if message.type == "note_on" and message.velocity > 0:
                times.append(now)
                pitches.append(message.note)

times, pitches = np.array(times), np.array(pitches)  # (n_onsets,) each
print(f"{len(times)} onsets in {end / r:g} beats; pitches {pitches.min()} to {pitches.max()}")

# %% tags=["hide"]
assert len(times) == 66

# %% [markdown]
# ## Time: 24 ticks a beat
#
# A time $t$, in units of $1/r$ beat, is rounded to the nearest *tick*, of which a beat has 24:
#
# $$\text{tick} = \left\lfloor 24 \, \frac{t}{r} + \frac{1}{2} \right\rfloor$$
#
# where $\lfloor z \rfloor$ is the largest whole number that is not above $z$.
#
# Why 24? **Predict first:** into how many equal parts can a beat be divided so that every part
# starts exactly on a tick? Two and four, surely. Three? Five?

# %%
ticks = (48 * times + r) // (2 * r)  # the formula above, in whole numbers

print("a beat in n parts, all on the grid: n =", [n for n in range(1, 25) if 24 % n == 0])
print("the triplet of bar 2, in ticks after its beat:", [int(tick) % 24 for tick in ticks[8:11]])

# %% tags=["hide"]
assert np.array_equal(ticks * r, 24 * times)  # every note of the tune lies on a tick
assert [int(tick) % 24 for tick in ticks[8:11]] == [0, 8, 16]

# %% [markdown]
# Halves, thirds, fourths, sixths, eighths and twelfths: what notation writes nearly always. Fifths
# and sevenths do not fit, and are moved by up to half a tick. A grid of 16 would be no coarser to
# the eye, and would lose every triplet.
#
# ## Pitch: 60 rows, and what falls outside
#
# The roll has rows 0 to 59, for MIDI pitches 36 to 95: five octaves from C2 up. (The paper says 36
# to 96, which would be 61.) A pitch $p$ outside moves by whole octaves, 12 semitones each, until it
# lies in the nearest octave inside. We call that *folding*:
#
# $$
# \text{row}(p) = \begin{cases}
# (p - 36) \bmod 12 & \text{if } p < 36 \\
# p - 36 & \text{if } 36 \le p \le 95 \\
# 48 + (p - 36) \bmod 12 & \text{if } p > 95
# \end{cases}
# $$


# %%
def fold(p):
    """p: MIDI pitches, any shape -> rows 0 to 59, the same shape."""
    row = p - 36
    inside = (row >= 0) & (row < 60)
    octave = np.where(row < 0, 0, 48)  # the lowest or the highest octave begins here
    return np.where(inside, row, octave + row % 12)


print("pitch:", [21, 31, 36, 60, 95, 96, 108])
print("row:  ", fold(np.array([21, 31, 36, 60, 95, 96, 108])).tolist())

# %% [markdown]
# Pitch 31, the last bass note of our tune, is the G below the lowest C. It becomes row 7, the G an
# octave higher. So a G stays a G: folding keeps the name of a note and changes its octave.
#
# ## The roll
#
# One line puts a 1 wherever a note starts. It is all we keep of the tune.

# %% alt="The onset roll of the whole tune: a melody that rises and falls above a walking bass."
n_beats = -(-end // r)  # up to the end of the last note, rounded up to whole beats
tune_roll = np.zeros((60, 24 * n_beats))  # (60, T), T = 24 ticks a beat
tune_roll[fold(pitches), ticks] = 1

fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
lesson.show_roll(ax, tune_roll, "The whole tune: a mark where a note starts", onset_width=8)
ax.set_xlabel("beat")
ax.set_ylabel("pitch")
plt.show()

# %% [markdown]
# Pitch goes up, time goes right, and a line marks every beat. (Marks are drawn a little longer than
# the one tick they last.) You can see the melody's three steps up and its way down, and that the
# bars at beats 17 to 24 repeat those at beats 1 to 8. The two low marks at beats 13 and 29 are
# where our low G should be: do you see that they stand no lower than the first bass note, though
# the file has them an octave below it?
#
# Here is what is gone. A note that is held for a beat and one that is cut short look the same,
# since only onsets count. So do a loud one and a soft one, a slow tune and a fast one.

# %% tags=["hide"]
assert ((pitches == 31) & np.isin(ticks, [24 * 12, 24 * 28])).sum() == 2
assert fold(pitches[(pitches == 31) | (pitches == 43)]).tolist() == [7] * 5
assert np.array_equal(tune_roll[:, : 24 * 8], tune_roll[:, 24 * 16 : 24 * 24])

# %% [markdown]
# ## Units: four beats from every beat on
#
# A unit $U_i$ is the roll of four beats that start at beat $i$, so it has 96 columns. One starts at
# every beat that has three more after it: a piece of $B$ beats has $B - 3$ units.

# %% alt="Three onset rolls side by side: the units at beats 1, 2 and 5 of the tune."
units = np.stack([tune_roll[:, 24 * i : 24 * i + 96] for i in range(n_beats - 3)])
print(f"{n_beats} beats, units: {units.shape}")  # (N, 60, 96)

fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
for ax, i in zip(axes, [0, 1, 4], strict=True):
    lesson.show_roll(ax, units[i], f"U_{i}, from beat {i + 1}")
    ax.set_xticks(range(5), range(i + 1, i + 6))
plt.show()

# %% [markdown]
# $U_0$ and $U_1$ have three beats in common. So they are no two independent pieces of evidence, and
# when music is divided into a part to learn from and a part to be tested on, whole pieces must be
# divided: a unit's neighbour on the other side would give the answer away. $U_0$ and $U_4$ have
# nothing in common; when this course says *the next unit*, it means the one four beats later.

# %%
shared = np.array_equal(units[0, :, 24:], units[1, :, :72])
print("the last 3 beats of U_0 are the first 3 of U_1:", shared)
print("onsets in U_0:", int(units[0].sum()), "of", units[0].size, "cells")

# %% tags=["hide"]
assert units.shape == (28, 60, 96)
assert (units[:-1, :, 24:] == units[1:, :, :72]).all()

# %% [markdown]
# A unit has 5,760 cells, and nine of these are 1. Keep that in mind until chapter 7: whoever
# guesses "all zeros" is right in nearly every cell, and has understood nothing.
#
# ## Keys: transpose, then fold
#
# To move a piece into another key, add the same number of semitones to every pitch. Twelve keys are
# all there are, and we take -5 to +6. Networks trained on all twelve cannot learn that a composer
# liked E flat.
#
# In the roll a transposition is a shift by so many rows, isn't it? **Predict first:** shift the
# unit with the low G six rows up, and compare it with the unit transposed by six semitones.


# %% alt="The unit with the low G, as written, shifted six rows up, transposed by six semitones."
def transposed(key):
    """The units of the tune, in another key: (N, 60, 96)."""
    roll = np.zeros_like(tune_roll)
    roll[fold(pitches + key), ticks] = 1
    return np.stack([roll[:, 24 * i : 24 * i + 96] for i in range(n_beats - 3)])


unit = units[10]
shifted = np.zeros_like(unit)
shifted[6:] = unit[:-6]  # six rows up
right = transposed(6)[10]
print("cells that differ:", int((shifted != right).sum()))

fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
titles = ["U_10 as written", "its roll, six rows up", "transposed, then folded"]
for ax, roll, title in zip(axes, [unit, shifted, right], titles, strict=True):
    lesson.show_roll(ax, roll, title)
    ax.set_xticks(range(5), range(11, 16))
plt.show()

# %% [markdown]
# Two cells differ, and they are one note: the low G. In the file it is pitch 31; six semitones up
# it is 37, which has a row of its own and needs no folding: row 1. The shifted roll has it at row
# 13, an octave too high, because folding had already moved it. So the order matters: transpose
# first, fold then. It also means that a roll alone cannot be transposed exactly; one has to keep
# the notes.

# %% tags=["hide"]
assert sorted(zip(*map(list, np.nonzero(shifted != right)), strict=True)) == [(1, 48), (13, 48)]

# %% [markdown]
# ## Duplicates
#
# Our tune comes back to its beginning, so some of its units must be equal. To find out which, give
# each roll a name that equal rolls share, and no others: its cells as bytes (eight cells to a byte,
# to save memory).

# %%
first_seen = {}
for i, unit in enumerate(units):
    name = np.packbits(unit.astype(bool)).tobytes()  # 720 bytes
    if name in first_seen:
        print(f"U_{i} is U_{first_seen[name]} again")
    first_seen.setdefault(name, i)
print(f"{len(units)} units, {len(first_seen)} different ones")

# %% tags=["hide"]
assert len(first_seen) == 23

# %% [markdown]
# Now real music. These are 58 scores of ten composers, five centuries apart at most, as they come
# with the music21 library (a quarter of a minute to read them the first time). All pieces lie end
# to end in two arrays, the tick and the pitch of every onset, just as we made them above.

# %%
corpus = lesson.corpus()
print(f"{corpus.n_pieces} pieces, {corpus.n_beats:,} beats, {len(corpus.ticks):,} onsets")


def unit_names(piece, key):
    """One name a unit of a piece in a key, as above, but None for a unit without any onset."""
    first, last = corpus.piece_beats[piece : piece + 2]
    onsets = slice(corpus.beat_start[first], corpus.beat_start[last])
    roll = np.zeros((60, 24 * (last - first)), bool)
    notes = corpus.pitches[onsets].astype(int) + key  # they are stored in one byte each
    roll[fold(notes), corpus.ticks[onsets] - 24 * first] = True
    cut = (roll[:, 24 * i : 24 * i + 96] for i in range(last - first - 3))
    return [np.packbits(unit).tobytes() if unit.any() else None for unit in cut]


# %% [markdown]
# **Predict first:** of all units that sound, in all twelve keys, what share is a copy of another
# one? The paper has 4,682,293 units in all and 3,997,873 different ones, so 15 % were copies.

# %%
KEYS = range(-5, 7)
written, all_keys = {}, {}  # name -> how often
for piece in range(corpus.n_pieces):
    for key in KEYS:
        for name in unit_names(piece, key):
            if name is not None:
                all_keys[name] = all_keys.get(name, 0) + 1
                if key == 0:
                    written[name] = written.get(name, 0) + 1

for title, names in [("as written", written), ("in twelve keys", all_keys)]:
    total, different = sum(names.values()), len(names)
    print(f"{title}: {total:,} units, {different:,} different, {1 - different / total:.1%} copies")

# %% [markdown]
# Far fewer than in the paper. One reason may be how music is written down: a score has a repeat
# sign where a MIDI file often plays the passage twice. Another is whose music it is. Look at the
# composers one by one, in the keys they wrote in.

# %% alt="Bars: Clara Schumann repeats 9.6 percent of her units, all others at most 4.1 percent."
shares = {}
for c, composer in enumerate(corpus.composers):
    pieces = np.flatnonzero(corpus.piece_composer == c)
    names = [name for piece in pieces for name in unit_names(piece, 0) if name is not None]
    shares[composer] = 1 - len(set(names)) / len(names)
ranked = sorted(shares, key=shares.get)

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.barh(ranked, [100 * shares[composer] for composer in ranked], color=lesson.BLUE)
ax.set_xlabel("copies among the units of a composer, in %")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Clara Schumann's polonaises stand out, dances whose phrases come back note for note. At the other
# end are the madrigals of Jacopo and Monteverdi and the chorales of Bach, which hardly ever say the
# same thing twice.
#
# Transposing finds copies that nobody wrote twice: a phrase that comes back in another key. That is
# why the share is higher in twelve keys. Duplicates are removed because a unit that comes ten times
# would count ten times in all that follows. (Which of its places a copy comes from is remembered:
# what comes before and after may differ.)

# %% tags=["hide"]
assert ranked[-1] == "Clara Schumann" and 0.09 < shares["Clara Schumann"] < 0.1
assert max(shares[composer] for composer in ranked[:-1]) < 0.041
assert set(ranked[:3]) == {"Jacopo da Bologna", "Bach", "Monteverdi"}

# %% [markdown]
# ## The package does the same
#
# `read_midi` reads a file into onsets, `fold` folds, `piece_rolls` cuts units, and `unique_units`
# counts different ones without making a single roll: each cell has a random number, a roll is
# recognised by the sum of its cells' numbers, and the sum of a unit is the sum of four beats.

# %%
import tinyembed
from tinyembed.music import roll as package
from tinyembed.music.duplicates import unique_units

piece = tinyembed.read_midi(midi)
assert piece.n_beats == n_beats
assert set(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True)) == set(
    zip(ticks.tolist(), pitches.tolist(), strict=True)
)
assert np.array_equal(package.fold(np.arange(128)), fold(np.arange(128)))
assert np.array_equal(package.piece_rolls(piece), units)
assert np.array_equal(package.piece_rolls(piece, key=6), transposed(6))
assert len(unique_units(corpus, corpus.unit_beats())) == len(all_keys)
print("the same onsets, rows, units, keys and duplicates")

# %% [markdown]
# To hear a unit, `tinyembed.to_midi(units[0], "unit.mid")` writes a file that any player plays.
#
# ## Exercises
#
# 1. A quintuplet divides a beat into five equal notes. Where do they end up on the grid, how far is
#    each moved, and can you still tell five notes from four?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    exact = np.arange(5) * 24 / 5  # 0, 4.8, 9.6, 14.4, 19.2
#    rounded = np.floor(exact + 0.5)  # 0, 5, 10, 14, 19
#    moved = rounded - exact  # 0, 0.2, 0.4, -0.4, -0.2
#    ```
#
#    Five different ticks, none moved by half a tick. You can tell five from four, though they are
#    no longer quite equal.
#    </details>
#
# 2. How many cells of a unit are 1, on average over the corpus? If you guess a roll of zeros for
#    every unit, in what share of the cells are you right?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    rolls = corpus.rolls(corpus.unit_beats())  # (7301, 60, 96)
#    onsets = rolls.sum(axis=(1, 2)).mean()  # 16.8
#    right = 1 - onsets / 5760  # 0.997
#    ```
#
#    In 99.7 % of the cells. A measure of success has to look elsewhere: chapter 7 finds one.
#    </details>
#
# 4. In which of the twelve keys do the fewest notes of the corpus need folding?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    p = corpus.pitches.astype(int)
#    folded = {k: int(((p + k < 36) | (p + k > 95)).sum()) for k in KEYS}
#    best = min(folded, key=folded.get)
#    ```
#
#    In the key that they are written in: 25 of 31,108 notes. Five semitones down it is 280 already:
#    cellos and basses leave the range first.
#    </details>
#
# ## What comes next
#
# The roll is a table of numbers, and a network is made of layers that turn one table into another:
# [chapter 2](02_fully_connected.md) builds the simplest of them, and finds out how to know that its
# gradient is right.

# %% tags=["hide"]
exact = np.arange(5) * 24 / 5
rounded = np.floor(exact + 0.5)
moved = rounded - exact
assert rounded.tolist() == [0, 5, 10, 14, 19] and np.allclose(moved, [0, 0.2, 0.4, -0.4, -0.2])
assert np.abs(moved).max() < 0.5

rolls = corpus.rolls(corpus.unit_beats())
onsets = rolls.sum(axis=(1, 2)).mean()
right = 1 - onsets / 5760
assert rolls.shape == (7301, 60, 96) and round(float(onsets), 1) == 16.8
assert round(float(right), 3) == 0.997

p = corpus.pitches.astype(int)
folded = {k: int(((p + k < 36) | (p + k > 95)).sum()) for k in KEYS}
best = min(folded, key=folded.get)
assert best == 0 and folded[0] == 25 and folded[-5] == 280
assert folded[-5] == ((p - 5) < 36).sum()  # all of them at the lower end
