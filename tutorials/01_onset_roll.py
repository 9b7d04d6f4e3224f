# %% [markdown]
# # 1. From a MIDI file to an onset roll
#
# Networks compute with tables of numbers, so this chapter turns music into a table of zeros and
# ones, shows what gets lost on the way, and counts how often the same table comes back.
#
# | What you'll do | What you'll learn | What you need |
# | --- | --- | --- |
# | Read a MIDI file event by event, put its notes on a grid, cut it into units of four beats, transpose it, and count repetitions in 58 scores. | What the networks of this course see of a piece, what they never see, and why duplicates are removed. | Python and NumPy. No chapter before this one. 16 minutes. |
#
# ## What the paper says
#
# The paper is *Learning and Evaluating Musical Features with Deep Autoencoders* (Bretan, Oore, Eck
# and Heck, 2017). Section 3.1 describes the data: piano pieces whose beat is a quarter note, each
# transposed into all keys. Section 3.2 describes the tables:
#
# - Time is counted in beats, and each beat is divided into 24 *ticks*.
# - There are 60 pitches. A note outside this range moves by octaves into the lowest or the highest
#   octave of the range.
# - A cell of the table is 1 where a note starts, and 0 everywhere else. How long the note lasts is
#   not recorded.
# - Four beats make a matrix of 60 x 96 cells. One is cut out at every beat of a piece, and of equal
#   matrices only one is kept.
#
# Three words will stand for these things in all chapters. An **onset** is the start of a note. A
# **unit** is a passage of four beats. Its **onset roll** is the matrix of 60 x 96 cells. (Software
# for music draws notes as bars on a *piano roll*; ours shows only where the bars begin.)
#
# ## A MIDI file is a list of events
#
# Here is a tune of eight bars, written for this course. Its MIDI file holds *messages*: start this
# pitch (`note_on`), stop this pitch (`note_off`). A pitch is a whole number. Middle C is 60, and
# each semitone adds one. Each message also holds a delay: the time since the message before it,
# counted in small steps. The file itself says how many steps make a beat. This number is its
# *resolution*.

# %%
import lesson
import matplotlib.pyplot as plt
import numpy as np

midi = lesson.tune()
resolution = midi.ticks_per_beat
print(f"{resolution} steps per beat; {len(midi.tracks)} tracks, the melody and the bass")
for message in midi.tracks[0][1:7]:
    print(message)

# %% [markdown]
# The delays of a track add up to times. We keep the time and the pitch of every onset, and the time
# at which the last note ends. (The *velocity* says how hard the key is struck. A `note_on` with
# velocity 0 is another way to write `note_off`.)

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
print(
    f"{len(times)} onsets in {end / resolution:g} beats; pitches {pitches.min()} to {pitches.max()}"
)

# %% tags=["hide"]
assert len(times) == 66

# %% [markdown]
# ## Time: 24 ticks per beat
#
# Each time is rounded to the nearest tick. Musicians call this *quantization*:
#
# $$\text{tick} = \left\lfloor 24 \, \frac{\text{time}}{\text{resolution}} + \frac{1}{2} \right\rfloor$$
#
# The brackets $\lfloor \; \rfloor$ round down to a whole number. Adding one half first turns rounding
# down into rounding to the nearest.
#
# Why 24? **Predict first:** into how many equal parts can a beat be divided so that every part
# starts exactly on a tick? Two and four, surely. Three? Five?

# %%
ticks = (48 * times + resolution) // (2 * resolution)  # the formula above, in whole numbers

print("a beat in n parts, all on the grid: n =", [n for n in range(1, 25) if 24 % n == 0])
print("the triplet of bar 2, in ticks after its beat:", [int(tick) % 24 for tick in ticks[8:11]])

# %% tags=["hide"]
assert np.array_equal(ticks * resolution, 24 * times)  # every note of the tune lies on a tick
assert [int(tick) % 24 for tick in ticks[8:11]] == [0, 8, 16]

# %% [markdown]
# Music notation mostly divides a beat into halves, thirds, fourths, sixths, eighths or twelfths, and
# all of them fit. Fifths and sevenths do not fit, so their notes move by up to half a tick. A grid of
# 16 ticks per beat would miss two of the three notes of every triplet.
#
# ## Pitch: 60 rows
#
# The roll has rows 0 to 59, for the MIDI pitches 36 to 95: five octaves from C2 upwards. (The paper
# says 36 to 96, which would be 61 pitches.) A pitch outside this range moves by whole octaves,
# 12 semitones each, until it is in the nearest octave of the range. We call that **folding**:
#
# $$
# \text{row} = \begin{cases}
# (\text{pitch} - 36) \bmod 12 & \text{if } \text{pitch} < 36 \\
# \text{pitch} - 36 & \text{if } 36 \le \text{pitch} \le 95 \\
# 48 + (\text{pitch} - 36) \bmod 12 & \text{if } \text{pitch} > 95
# \end{cases}
# $$


# %%
def fold(pitches):
    """MIDI pitches, any shape -> rows 0 to 59, the same shape."""
    row = pitches - 36
    inside = (row >= 0) & (row < 60)
    octave = np.where(row < 0, 0, 48)  # the lowest or the highest octave begins here
    return np.where(inside, row, octave + row % 12)


print("pitch:", [21, 31, 36, 60, 95, 96, 108])
print("row:  ", fold(np.array([21, 31, 36, 60, 95, 96, 108])).tolist())

# %% [markdown]
# Pitch 31, the last bass note of our tune, is the G below the lowest C. It moves to row 7, the G one
# octave higher. Folding changes the octave of a note and keeps its name: a G stays a G.
#
# ## The roll
#
# One line of code puts a 1 wherever a note starts. These ones are all that we keep of the tune.

# %% alt="The onset roll of the whole tune: a melody that rises and falls above a walking bass."
n_beats = -(-end // resolution)  # up to the end of the last note, rounded up to whole beats
tune_roll = np.zeros((60, 24 * n_beats))  # 24 ticks per beat
tune_roll[fold(pitches), ticks] = 1

fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
lesson.show_roll(ax, tune_roll, "The whole tune: a mark where a note starts", onset_width=8)
plt.show()

# %% [markdown]
# Pitch goes up, time goes to the right, and a grey line marks every beat. (An onset lasts one tick;
# the picture draws it a little longer.) The upper marks are the melody, the lower ones the bass. The
# bars at beats 17 to 24 repeat those at beats 1 to 8. Look at the low notes at beats 13 and 29: they
# are pitch 31, and folding has put them in the same row as the first bass note, pitch 43.
#
# What is lost? A note that is held and a note that is cut short look the same, because only onsets
# count. So do a loud note and a soft one, and a slow tune and a fast one. You can hear the
# difference: first the file, then four bars of the roll, where every note lasts one beat at most.
# (In a notebook this cell shows two players.)

# %%
lesson.play(midi, "tune", "the tune, as its file has it")
lesson.play(tune_roll[:, : 24 * 16], "roll", "the first four bars of its onset roll")

# %% tags=["hide"]
assert ((pitches == 31) & np.isin(ticks, [24 * 12, 24 * 28])).sum() == 2
assert fold(pitches[(pitches == 31) | (pitches == 43)]).tolist() == [7] * 5
assert np.array_equal(tune_roll[:, : 24 * 8], tune_roll[:, 24 * 16 : 24 * 24])

# %% [markdown]
# ## Units: four beats, from every beat on
#
# The unit $U_i$ is the part of the roll from beat $i$ (the first beat is number 0 here) up to four
# beats later, so it has 96 columns. A unit starts at every beat that has three more after it, so a
# piece has three units fewer than beats.

# %% alt="Three onset rolls side by side: the units at beats 1, 2 and 5 of the tune."
units = np.stack([tune_roll[:, 24 * i : 24 * i + 96] for i in range(n_beats - 3)])
print(f"{n_beats} beats, units: {units.shape}")  # (N, 60, 96)

fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
for ax, i in zip(axes, [0, 1, 4], strict=True):
    lesson.show_roll(ax, units[i], f"$U_{i}$, from beat {i + 1}")
    ax.set_xticks(range(5), range(i + 1, i + 6))
plt.show()

# %% [markdown]
# $U_0$ and $U_1$ share three beats, so they are not independent. That matters when a network is
# tested. The music it learns from is called the *training set*, and the music it is tested on is the
# *test set*. If $U_0$ were in one and $U_1$ in the other, the network would already know three
# quarters of the answer. So the split puts whole pieces on one side or the other.
#
# $U_0$ and $U_4$ share nothing. When this course says *the next unit*, it means the one that starts
# four beats later.

# %%
shared = np.array_equal(units[0, :, 24:], units[1, :, :72])
print("the last 3 beats of U_0 are the first 3 of U_1:", shared)
print("onsets in U_0:", int(units[0].sum()), "of", units[0].size, "cells")

# %% tags=["hide"]
assert units.shape == (28, 60, 96)
assert (units[:-1, :, 24:] == units[1:, :, :72]).all()

# %% [markdown]
# A unit has 5,760 cells, and in $U_0$ only nine of them are 1. Keep that in mind until chapter 7: a
# guess of "all zeros" is right in nearly every cell and has understood nothing.
#
# ## Keys: transpose, then fold
#
# To move a piece into another key, add the same number of semitones to every pitch. There are twelve
# keys, and we take -5 to +6 semitones. This is a form of *data augmentation*: each piece yields
# twelve, and a network that is trained on all of them cannot learn that a composer liked E flat.
#
# It seems that transposing shifts the roll by some rows. **Predict first:** take the unit with the
# low G, shift its roll six rows up, and compare it with the unit transposed by six semitones. Are
# they equal?


# %% alt="The unit with the low G, as written, shifted six rows up, transposed by six semitones."
def transposed(key):
    """key: semitones -> the units of the tune in that key, (N, 60, 96)."""
    roll = np.zeros_like(tune_roll)
    roll[fold(pitches + key), ticks] = 1
    return np.stack([roll[:, 24 * i : 24 * i + 96] for i in range(n_beats - 3)])


unit = units[10]
shifted = np.zeros_like(unit)
shifted[6:] = unit[:-6]  # six rows up
right = transposed(6)[10]
print("cells that differ:", int((shifted != right).sum()))

fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
titles = ["$U_{10}$ as written", "its roll, six rows up", "transposed, then folded"]
for ax, roll, title in zip(axes, [unit, shifted, right], titles, strict=True):
    lesson.show_roll(ax, roll, title)
    ax.set_xticks(range(5), range(11, 16))
    for row, tick in zip(*np.nonzero(shifted != right), strict=True):
        if roll[row, tick]:  # an onset in which the two differ
            ax.plot(
                (tick + 2) / 24, row + 0.5, "o", ms=12, mfc="none", c=lesson.ORANGE, clip_on=False
            )
plt.show()

# %% [markdown]
# Two cells differ, marked by circles, and they are the same note: the low G. In the file it is pitch
# 31. Six semitones higher it is pitch 37, which needs no folding and belongs in row 1. The shifted
# roll has it in row 13, one octave too high, because it was folded before it was shifted. So the
# order matters: transpose first, then fold. It also means that a roll alone cannot be transposed
# exactly. One has to keep the pitches.

# %% tags=["hide"]
assert sorted(zip(*map(list, np.nonzero(shifted != right)), strict=True)) == [(1, 48), (13, 48)]

# %% [markdown]
# ## Duplicates
#
# Our tune comes back to its beginning, so some of its units must be equal. To find them, we give each
# roll a name that equal rolls share and different rolls do not: its cells as bytes, eight cells to a
# byte to save memory. A dictionary then finds a name again at once.

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
# Now real music: 58 scores by ten composers, from the fourteenth century to the nineteenth, which come
# with the music21 library. Reading them takes some fifteen seconds the first time. The corpus holds
# all pieces end to end in two arrays, the tick and the pitch of every onset, just as we made them
# above.

# %%
corpus = lesson.corpus()
print(f"{corpus.n_pieces} pieces, {corpus.n_beats:,} beats, {len(corpus.ticks):,} onsets")


def unit_names(piece, key):
    """Names of the units of a piece in a key: a list, with None for a unit of silence."""
    first, last = corpus.piece_beats[piece : piece + 2]
    onsets = slice(corpus.beat_start[first], corpus.beat_start[last])
    roll = np.zeros((60, 24 * (last - first)), bool)
    notes = corpus.pitches[onsets].astype(int) + key  # they are stored in one byte each
    roll[fold(notes), corpus.ticks[onsets] - 24 * first] = True
    cut = (roll[:, 24 * i : 24 * i + 96] for i in range(last - first - 3))
    return [np.packbits(unit).tobytes() if unit.any() else None for unit in cut]


# %% [markdown]
# **Predict first:** of all units with at least one onset, in all twelve keys, what share repeats an
# earlier one? The paper had 4,682,293 units, of which 3,997,873 were different, so 15% were copies.

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
# These are far fewer than in the paper. One reason may be how the music is written: a score has a
# repeat sign where a MIDI file often plays the passage twice. Another reason is the choice of
# composers. Look at each of them, in the keys in which they wrote.

# %% alt="Bars: Clara Schumann repeats 9.6 percent of her units, all others at most 4.1 percent."
shares = {}
for c, composer in enumerate(corpus.composers):
    pieces = np.flatnonzero(corpus.piece_composer == c)
    names = [name for piece in pieces for name in unit_names(piece, 0) if name is not None]
    shares[composer] = 1 - len(set(names)) / len(names)
ranked = sorted(shares, key=shares.get)

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.barh(ranked, [100 * shares[composer] for composer in ranked], color=lesson.BLUE)
ax.set_xlabel("share of the units that repeat an earlier unit by the same composer (%)")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Clara Schumann's polonaises stand out: they are dances, whose phrases return note for note. At the
# other end are the madrigals of Jacopo da Bologna and Monteverdi and the chorales of Bach, which
# hardly ever repeat a unit exactly.
#
# The share is higher in twelve keys, because a phrase that returns in another key is a copy there,
# too. Duplicates are removed before training, because a unit that occurs ten times would count ten
# times. (The package remembers all places where a unit occurs: the music before and after it may
# differ.)

# %% tags=["hide"]
assert ranked[-1] == "Clara Schumann" and 0.09 < shares["Clara Schumann"] < 0.1
assert max(shares[composer] for composer in ranked[:-1]) < 0.041
assert set(ranked[:3]) == {"Jacopo da Bologna", "Bach", "Monteverdi"}

# %% [markdown]
# ## The package does the same
#
# `read_midi` reads the onsets of a file, `fold` folds pitches, and `piece_rolls` cuts units.
# `unique_units` finds the different units without building a single roll: it assigns a random number
# to each cell and adds up the numbers of the cells that are 1. Equal rolls have equal sums, and two
# different rolls practically never do. This is *hashing*, and the sum of a unit is the sum of its
# four beats.

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
# To hear a unit in your own player, write it to a file: `tinyembed.to_midi(units[0], "unit.mid")`.
#
# ## Exercises
#
# 1. A quintuplet divides a beat into five equal notes. On which ticks do they end up, how far does
#    each of them move, and can you still tell five notes from four?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    exact = np.arange(5) * 24 / 5
#    rounded = np.floor(exact + 0.5)
#    print("ticks:", rounded.astype(int).tolist())
#    print("moved by:", (rounded - exact).round(1).tolist())
#    ```
#
#    They end up on the ticks 0, 5, 10, 14 and 19. They move by 0, 0.2, 0.4, -0.4 and -0.2 ticks, all
#    of them less than half a tick. You can still tell five notes from four, though they are no longer
#    quite equally spaced.
#    </details>
#
# 2. How many cells of a unit are 1, on average over the corpus? If you guess a roll of zeros for
#    every unit, in what share of the cells are you right?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    rolls = corpus.rolls(corpus.unit_beats())  # (N, 60, 96)
#    mean = rolls.sum(axis=(1, 2)).mean()
#    print(f"{len(rolls):,} units with {mean:.1f} onsets each; zeros: {1 - mean / 5760:.1%}")
#    ```
#
#    There are 7,301 units with 16.8 onsets each. The zeros are right in 99.7% of the cells. So the
#    share of correct cells is no measure of success, and chapter 7 looks for a better one.
#    </details>
#
# 3. In which of the twelve keys do the fewest notes of the corpus need folding?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    pitch = corpus.pitches.astype(int)
#    folded = {key: int(((pitch + key < 36) | (pitch + key > 95)).sum()) for key in KEYS}
#    best = min(folded, key=folded.get)
#    print(f"key {best}: {folded[best]} of {len(pitch):,} notes; key -5: {folded[-5]}")
#    ```
#
#    In key 0, the one in which they are written: 25 of 31,108 notes. In key -5, five semitones lower,
#    it is 280, because cellos and basses leave the range at its lower end.
#    </details>
#
# ## Further reading
#
# - Mason Bretan, Sageev Oore, Doug Eck and Larry Heck, *Learning and Evaluating Musical Features with
#   Deep Autoencoders*, 2017: the paper that this course builds; section 3 describes the data.
# - Christopher Raffel and Daniel P. W. Ellis, *Intuitive Analysis, Creation and Manipulation of MIDI
#   Data with pretty_midi*, 2014: a Python library that hides the delays and messages that you have
#   just read by hand.
# - Michael Scott Cuthbert and Christopher Ariza, *music21: A Toolkit for Computer-Aided Musicology and
#   Symbolic Music Data*, 2010: the library that our scores come with.
# - Katherine Lee and others, *Deduplicating Training Data Makes Language Models Better*, 2022: the
#   same question for text, and what duplicates do to a network.
#
# ## What comes next
#
# A network is a chain of layers, and each layer turns one table of numbers into another.
# [Chapter 2](02_fully_connected.md) builds the simplest layer, asks it whether Bach or Monteverdi
# wrote a unit, and shows how to check that its gradient is right.
