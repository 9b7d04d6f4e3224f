"""Synthetic music for the tests: single MIDI files, and corpora that a model can learn from."""

from pathlib import Path

import mido
import numpy as np

COMPOSERS = ("Adagio", "Bolero", "Canzona", "Dumka", "Etude", "Fugato")


def midi_file(notes, ticks_per_beat=480, meter=(4, 4), before=()):
    """A `mido.MidiFile` of one track.

    notes: (start, length, pitch) in ticks, or (start, length, pitch, channel); meter: the time
    signature, or None; before: the first messages of the track.
    """
    midi = mido.MidiFile(type=1, ticks_per_beat=ticks_per_beat)
    track = mido.MidiTrack(before)
    midi.tracks.append(track)
    if meter:
        numerator, denominator = meter
        track.append(
            mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)
        )
    events = []
    for start, length, pitch, *channel in notes:
        channel = channel[0] if channel else 0
        events.append((start, 1, "note_on", pitch, channel))
        events.append((start + length, 0, "note_off", pitch, channel))
    now = 0
    for time, _, name, pitch, channel in sorted(events):
        track.append(mido.Message(name, note=pitch, channel=channel, time=time - now))
        now = time
    return midi


def write_midi(path, notes, **options):
    """Save `midi_file(notes, **options)`. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi_file(notes, **options).save(path)
    return path


def write_corpus(folder, composers=3, pieces=6, beats=24, seed=0):
    """Write a folder of tonal pieces, all different, each composer with a style.

    A piece has a melody that walks on a scale, and chords in the bass. A composer's style is a
    choice of rhythms, a register, the size of steps and a pattern of accompaniment.
    Returns the folder; its files are COMPOSERS[c]/piece_00.mid and so on.
    """
    folder = Path(folder)
    for c in range(composers):
        choice = np.random.default_rng([seed, c])
        style = {
            "rhythms": [_RHYTHMS[i] for i in choice.permutation(len(_RHYTHMS))[:3]],
            "register": 60 + int(choice.integers(-5, 12)),
            "steps": choice.permutation([-3, -2, -1, 1, 2, 3])[:4],
            "bass": _BASSES[c % len(_BASSES)],
            "scale": _SCALES[c % len(_SCALES)],
        }
        for p in range(pieces):
            rng = np.random.default_rng([seed, c, p])
            name = COMPOSERS[c] if c < len(COMPOSERS) else f"Composer{c}"
            notes = [(20 * t, 20 * d, n) for t, d, n in _piece(rng, style, beats)]
            write_midi(folder / name / f"piece_{p:02}.mid", notes)
    return folder


_RHYTHMS = [(24,), (12, 12), (8, 8, 8), (6, 6, 12), (18, 6), (12, 6, 6)]  # one beat, in ticks
_BASSES = [((0, 0),), ((0, 0), (12, 4)), ((0, 0), (8, 2), (16, 4))]  # (tick, steps up)
_SCALES = [(0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)]
_ROOTS = (0, 3, 4, 0, 5, 3, 4, 0)  # one per bar


def _piece(rng, style, beats):
    """(tick, length, pitch) of one piece, 24 ticks per beat."""
    tonic, scale = int(rng.integers(-5, 7)), style["scale"]

    def pitch(degree):
        return tonic + 12 * (degree // 7) + scale[degree % 7]

    roots, place = np.roll(_ROOTS, rng.integers(8)), int(rng.integers(7))
    for beat in range(beats):
        root = int(roots[beat // 4 % 8])
        for tick, up in style["bass"]:
            yield 24 * beat + tick, 8, 48 + pitch(root + up)
        tick = 24 * beat
        for length in style["rhythms"][rng.integers(3)]:
            yield tick, length, style["register"] + pitch(place)
            place = int(np.clip(place + rng.choice(style["steps"]), 0, 13))
            tick += length
