"""Make up a piece of a given length and density, by a simple random process.

Chords walk in a key, two beats each; a melody walks above them. Every beat has one of a few motifs:
when its notes begin, how many sound together, and the steps of the melody. Bars draw their motifs
from a few patterns, so rhythms recur, and whole sections come again, some of them in another key.
So about as many units are repetitions as in real pieces, and the others resemble each other.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.synthetic_midi import (
    MIDDLE,
    TEMPO_BYTES,
    first_track,
    midi_file,
    named_track,
    note_track,
)
from tinyembed.music.piece import TICKS_PER_BEAT

MOTIFS = 9  # and as many patterns of a bar
BEATS_PER_BAR, BEATS_PER_CHORD = 4, 2
SECTIONS = (8, 16, 32)  # beats
REPEATED, MOVED = 0.45, 0.2  # the share of sections that come again; of these, in another key
KEYS = (-5, -2, 2, 5)  # semitones by which they are moved
SCALES = np.array([(0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)])  # major, minor
CHORD = np.array([0, 4, 7, 9, 11, 2, 14, 16, 18])  # steps of the scale above the root, by entry
BASS, MELODY, RANGE = 38, 67, 15  # MIDI notes; steps of the melody's range
# How likely a note begins at each tick of a beat. The small share lets dense beats fill up.
SELDOM, USUAL = 0.3, np.array([150, 24, 9, 7])  # the latter of a beat's four quarters: 1, 3, 4, 2
RESOLUTIONS, OFTEN = (480, 384, 10080), (0.81, 0.12, 0.07)  # ticks per beat of real files
RUNNING_BELOW = 8.0  # bytes per onset: smaller files leave out repeated status bytes


@dataclass(frozen=True)
class Style:
    """What the pieces of one composer have in common."""

    minor: float  # the share of pieces in minor
    register: int  # semitones
    triplets: float  # the share of motifs with triplets
    chords: np.ndarray  # (7,), how likely the next root is so many steps higher
    steps: np.ndarray  # (5,), the same of the melody: -2 to 2

    @classmethod
    def draw(cls, rng):
        return cls(
            minor=rng.random(),
            register=int(rng.integers(-4, 8)),
            triplets=0.4 * rng.random() ** 2,
            chords=rng.dirichlet([0.4, 0.4, 0.3, 2.0, 1.5, 0.6, 0.4]),
            steps=rng.dirichlet([1.0, 2.0, 1.0, 2.0, 1.0]),
        )


@dataclass(frozen=True)
class Notes:
    """times, lengths: (n,) int64, in 24ths of a beat; pitches: (n,) int64; voices: (n,), 0 for the
    melody, 1 for the bass and more for what is between them; in the order of times."""

    times: np.ndarray
    lengths: np.ndarray
    pitches: np.ndarray
    voices: np.ndarray


def make_up(rng, style, shape):
    """The `Notes` of a piece."""
    starts, ticks, chord_sizes, turns = _motifs(rng, style, shape)
    origin, moved = _form(rng, shape.beats)
    fresh = origin.max() + 1  # beats of music, of which the others are repetitions
    bars = -(-fresh // BEATS_PER_BAR)
    patterns = rng.permutation(MOTIFS * BEATS_PER_BAR).reshape(-1, BEATS_PER_BAR) % MOTIFS
    motif = patterns[rng.integers(MOTIFS, size=bars)].reshape(-1)
    walk = rng.choice(7, size=-(-fresh // BEATS_PER_CHORD), p=style.chords)
    root = np.repeat(np.cumsum(walk) % 7, BEATS_PER_CHORD)
    place = _reflected(np.cumsum(rng.choice(5, size=fresh, p=style.steps) - 2), RANGE)

    # From here on, one number for each instant of the piece, and then for each note.
    count = np.diff(starts)[motif[origin]]
    beat = np.repeat(np.arange(shape.beats), count)
    within = np.arange(len(beat)) - np.repeat(np.cumsum(count) - count, count)
    source = origin[beat]
    at = starts[motif[source]] + within
    times = TICKS_PER_BEAT * beat + ticks[at]
    lengths = np.diff(times, append=TICKS_PER_BEAT * shape.beats)  # the last one to the end
    lengths[:-1] = np.minimum(lengths[:-1], 2 * TICKS_PER_BEAT)
    owner = np.repeat(np.arange(len(beat)), chord_sizes[at])
    first = np.cumsum(chord_sizes[at]) - chord_sizes[at]
    voices = np.arange(len(owner)) - first[owner]

    scale = SCALES[int(rng.random() < style.minor)]
    tonic = int(rng.integers(-5, 7)) + moved[beat][owner]
    melody = _pitch(scale, _reflected(place[source] + turns[at], RANGE))[owner] + MELODY
    chord = _pitch(scale, root[source][owner] + CHORD[voices - 1]) + BASS
    pitches = tonic + np.where(voices == 0, melody + style.register, chord)
    return Notes(times[owner], lengths[owner], pitches, voices)


def as_midi(rng, notes, shape, semitones=0):
    """The bytes of a file with these notes: the melody in one track, the other voices in another.

    semitones: how much higher it sounds. Changes of tempo, and tracks without notes, make the file
    as large as its shape says.
    """
    resolution = int(rng.choice(RESOLUTIONS, p=OFTEN))
    running = shape.bytes_per_onset < RUNNING_BELOW
    scale = resolution // TICKS_PER_BEAT
    velocities = rng.integers(40, 100, size=len(notes.times))
    tracks = []
    for channel, part in enumerate((notes.voices == 0, notes.voices > 0)):
        starts = notes.times[part] * scale
        ends = starts + notes.lengths[part] * scale
        pitches = notes.pitches[part] + semitones
        tracks.append(note_track(starts, ends, pitches, velocities[part], channel, running))
    tracks += [named_track(f"staff {n}") for n in range(3, shape.tracks)]
    missing = shape.bytes_per_onset * len(notes.times) - sum(map(len, tracks)) - 12 * len(tracks)
    n_tempi = max(1, round(missing / TEMPO_BYTES))
    tempo_times = np.arange(n_tempi) * (resolution * shape.beats) // n_tempi
    tempi = MIDDLE + rng.integers(-50_000, 50_000, size=n_tempi)
    first = first_track(int(rng.integers(2, 5)), tempo_times, tempi)
    return midi_file(resolution, [first, *tracks])


def _motifs(rng, style, shape):
    """The motifs of a piece, one after the other.

    Returns starts: (MOTIFS + 1,), where the instants of each begin; and for each instant ticks,
    from the beginning of the beat; chord_sizes, the notes that begin; turns, steps of the melody.
    """
    instants = shape.onsets_per_beat / shape.onsets_per_instant
    uneven = rng.permutation(np.arange(MOTIFS) % 3 - 1)  # some have one more and some one less
    counts = np.floor(instants + uneven + _spread(rng, MOTIFS)).astype(int)
    counts = counts.clip(0, TICKS_PER_BEAT)
    likely = np.full((MOTIFS, TICKS_PER_BEAT), SELDOM)
    likely[:, ::3] = 1
    likely[:, [0, 12, 18, 6]] = USUAL
    in_triplets = rng.random(MOTIFS) < style.triplets
    likely[in_triplets] = SELDOM
    likely[in_triplets, ::4] = 5
    likely[in_triplets, ::8] = 150, 30, 30
    # The largest of log(likely) + Gumbel noise are a draw without replacement (Gumbel-max trick).
    ranked = np.argsort(-np.log(likely) - rng.gumbel(size=likely.shape), axis=1)
    ticks = np.concatenate([np.sort(row[:n]) for row, n in zip(ranked, counts, strict=True)])
    # Chord sizes are geometric with the given mean: mostly single notes, seldom full chords.
    mean = max(shape.onsets_per_instant - 1, 1e-3)
    sizes = np.floor(np.log(1 - _spread(rng, len(ticks))) / np.log(mean / (1 + mean)))
    turns = rng.integers(-2, 3, size=len(ticks))
    return (
        np.concatenate([[0], np.cumsum(counts)]),
        ticks,
        1 + sizes.astype(int).clip(0, len(CHORD)),
        turns,
    )


def _form(rng, beats):
    """Which beat of fresh music each beat of a piece is, and by how many semitones it is moved."""
    origin, moved = np.empty(beats, np.int64), np.zeros(beats, np.int64)
    here, fresh, sections = 0, 0, []
    while here < beats:
        length = int(rng.choice(SECTIONS))
        if sections and rng.random() < REPEATED:
            begin, length = sections[rng.integers(len(sections))]
            if rng.random() < MOVED:
                moved[here : here + length] = rng.choice(KEYS)
        else:
            begin = fresh
            sections.append((begin, length))
            fresh += length
        n = min(length, beats - here)
        origin[here : here + n] = begin + np.arange(n)
        here += n
    return origin, moved


def _spread(rng, n):
    """n numbers from 0 to 1 in any order, one in each nth part: their mean is nearly one half."""
    return (rng.permutation(n) + rng.random(n)) / n


def _reflected(steps, size):
    """A walk that turns back at 0 and at `size`."""
    steps = steps % (2 * size)
    return np.minimum(steps, 2 * size - steps)


def _pitch(scale, steps):
    """Semitones above the tonic."""
    return scale[steps % 7] + 12 * (steps // 7)
