"""A plain synthesizer: a MIDI file becomes the bytes of a WAV file.

A struck string sounds loud at once and then dies away. Its sound is a sum of sines, the harmonics,
at one, two, three and four times the pitch's frequency, each weaker than the one before it. That is
all this synthesizer knows about a piano: it is written for this course, and for ears that are kind.
"""

import io
import wave

import numpy as np

RATE = 11_025  # samples per second; 2 bytes each, so a second of music takes 22 kB
HARMONICS = (1, 0.5, 0.25, 0.12)  # how loud each of them is
ATTACK, DECAY, RELEASE = 0.005, 0.5, 0.06  # seconds: to rise, to fall to 37%, once the key is up
END = 0.5  # seconds of sound after the last event


def to_wav(midi):
    """Play a `mido.MidiFile`: bytes of a WAV file, mono, 16 bits per sample, the same every time.

    Each note starts at its onset, dies away, and is damped where the file ends it.
    """
    notes, seconds = notes_of(midi)
    sound = np.zeros(int((seconds + END) * RATE))
    for start, end, pitch, velocity in notes:
        first = round(start * RATE)
        tone = tone_of(pitch, end - start)[: len(sound) - first]
        sound[first : first + len(tone)] += velocity / 127 * tone
    loudest = max(np.abs(sound).max(initial=0), 1e-9)
    samples = np.round(0.8 * 32_767 / loudest * sound).astype("<i2")

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def notes_of(midi):
    """The notes of a file, (start, end, pitch, velocity) each, and when its last event is.

    All times are in seconds, at the file's own tempo.
    """
    now, sounding, notes = 0.0, {}, []
    for message in midi:  # of all tracks, in order of time; message.time is the delay in seconds
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        key = message.channel, message.note
        if key in sounding:  # it ends, or it is struck again
            start, velocity = sounding.pop(key)
            notes.append((start, now, message.note, velocity))
        if message.type == "note_on" and message.velocity > 0:
            sounding[key] = now, message.velocity
    notes += [(start, now, pitch, velocity) for (_, pitch), (start, velocity) in sounding.items()]
    return sorted(notes), now


def tone_of(pitch, seconds):
    """A tone of one pitch, held for some seconds: its samples, (n,), at most about 4 in size."""
    t = np.arange(int((seconds + 4 * RELEASE) * RATE)) / RATE  # (n,)
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    tone = np.zeros(len(t))
    for harmonic, loudness in enumerate(HARMONICS, 1):
        if harmonic * frequency < RATE / 2:  # the samples cannot hold a higher one
            tone += loudness * np.sin(2 * np.pi * harmonic * frequency * t)
    damped = np.exp(-np.clip(t - seconds, 0, None) / RELEASE)
    return tone * np.clip(t / ATTACK, 0, 1) * np.exp(-t / DECAY) * damped
