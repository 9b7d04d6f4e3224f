"""What a reader of the course hears: the synthesizer, and the player that a notebook shows."""

import base64
import io
import re
import sys
import types
import wave

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tutorials import FOLDER

import tinyembed


@pytest.fixture(scope="module")
def course():
    """The modules `lesson` and `sound` of the course."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        import lesson
        import sound

        yield types.SimpleNamespace(lesson=lesson, sound=sound)
        for name in ("lesson", "sound"):
            del sys.modules[name]


def samples_of(data):
    """The samples of a WAV file, in -1 to 1, and how many there are per second."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate, frames = file.getframerate(), file.readframes(file.getnframes())
    return np.frombuffer(frames, "<i2") / 32_767, rate


def midi_of(notes, end=0):
    """A file with (pitch, onset, length in beats) each, at 120 beats per minute, up to its end."""
    midi = mido.MidiFile(type=0, ticks_per_beat=100)
    track, now = midi.add_track(), 0
    events = [(onset, "note_on", pitch) for pitch, onset, _ in notes]
    events += [(onset + length, "note_off", pitch) for pitch, onset, length in notes]
    for beat, kind, pitch in sorted(events, key=lambda event: (event[0], event[1] == "note_on")):
        track.append(mido.Message(kind, note=pitch, time=round(100 * beat) - now))
        now = round(100 * beat)
    track.append(mido.MetaMessage("end_of_track", time=max(0, round(100 * end) - now)))
    return midi


@given(st.integers(36, 95))
@settings(max_examples=20, deadline=None)
def test_a_note_has_its_pitch(course, pitch):
    sound, rate = samples_of(course.sound.to_wav(midi_of([(pitch, 0, 2)])))
    spectrum = np.abs(np.fft.rfft(sound[: rate // 2], 8 * rate))  # 1/8 Hz per bin
    heard = spectrum.argmax() / 8
    assert heard == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.01)


def test_notes_sound_where_they_are_in_time(course):
    """Half a second per beat; loud at the onset, quieter later, and silent once damped."""
    sound, rate = samples_of(course.sound.to_wav(midi_of([(60, 1, 1), (67, 4, 1)], end=8)))
    assert len(sound) == pytest.approx((4 + course.sound.END) * rate, abs=1)
    loud = {beat: np.abs(sound[int(rate * beat / 2) :][: rate // 8]).max() for beat in range(8)}
    assert loud[0] == loud[3] == 0
    assert loud[1] > 0.5 and loud[4] > 0.5
    assert loud[2] < 0.5 * loud[1] and loud[7] < 1e-4
    assert np.abs(sound[int(1.18 * rate) : int(1.24 * rate)]).max() < 0.1  # it ended at 1 second
    assert np.abs(sound).max() == pytest.approx(0.8, abs=1e-3)


def test_the_same_music_gives_the_same_bytes(course):
    tune = course.lesson.tune
    assert course.sound.to_wav(tune()) == course.sound.to_wav(tune(ticks_per_beat=480))
    assert len(course.sound.to_wav(mido.MidiFile())) > 44  # silence is a file, too


def played(course, monkeypatch, music):
    """What `play` shows in a notebook: the HTML, the words, the metadata, and the sound."""
    shown = []
    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: "a shell"
    fake.display = types.ModuleType("IPython.display")
    fake.display.display = lambda data, raw, metadata: shown.append((data, metadata))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    course.lesson.play(music, "name", 'a "loud" <note>')
    ((data, metadata),) = shown
    assert metadata == {"sound": "name", "alt": 'a "loud" <note>'}
    assert "&quot;loud&quot; &lt;note&gt;" in data["text/html"]
    return base64.b64decode(re.search(r'base64,([^"]+)"', data["text/html"])[1])


def test_a_notebook_shows_a_player(course, monkeypatch):
    """Of a file, of a roll, and of several in turn."""
    roll = np.zeros((60, 96))
    roll[24, [0, 48]] = 1
    tune = course.lesson.tune()
    assert played(course, monkeypatch, tune) == course.sound.to_wav(tune)
    alone = played(course, monkeypatch, roll)
    assert alone == course.sound.to_wav(tinyembed.to_midi(roll, beats_per_minute=120))
    one, rate = samples_of(alone)
    two, _ = samples_of(played(course, monkeypatch, [roll, tinyembed.to_midi(roll)]))
    # 4 beats of 0.5 s, a rest of half a second, 4 beats of 0.6 s
    start = round(2.5 * rate)
    assert len(two) == pytest.approx((2 + 0.5 + 2.4 + course.sound.END) * rate, abs=rate // 100)
    np.testing.assert_allclose(two[: 2 * rate], one[: 2 * rate], atol=1e-3)
    assert np.abs(two[int(2.3 * rate) : start]).max() < 1e-3 < np.abs(two[start : start + 99]).max()


def test_a_script_shows_none(course, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    course.lesson.play("no music at all", "name", "words")
    assert capsys.readouterr().out == ""
