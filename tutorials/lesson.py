"""What chapters share and none is about: music to learn from, and a drawing.

tune()       a short tune of our own, as a `mido.MidiFile`
corpus()     58 scores of ten composers that come with music21, as a tinyembed `Corpus`
show_roll()  draws an onset roll
play()       lets one hear music in a notebook

ROOT is the folder of the repository, for chapters that read results of benchmarks.
"""

import base64
import html
import sys
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

import mido
import numpy as np
from sound import to_wav

import tinyembed
from tinyembed.music.corpus import Corpus
from tinyembed.music.default_corpus import find_works, scores_folder
from tinyembed.music.scores import read_score

ROOT = Path(__file__).resolve().parents[1]

INK, BLUE, ORANGE, GREY = "#222222", "#2b6cb0", "#c05621", "#888888"  # for lines and marks

# The short ones of the default corpus (tinyembed/music/default_corpus.py), some 7,000 beats.
SHORT = [
    "Bach/bwv25[0-9].mxl",
    "Bach/bwv26[0-9].mxl",
    "Beethoven/opus59no[13]/movement3.mxl",
    "Ciconia/quod_jactatur.xml",
    "Ciconia/PMFC_24_2[01]-*.xml",
    "Clara Schumann/polonaise_op1n[1-4].mxl",
    "Giovanni da Firenze/PMFC_06_Giovanni-0[1349][-_]*.xml",
    "Haydn/opus1no1/movement[2345].mxl",
    "Jacopo da Bologna/PMFC_06*.xml",
    "Landini/PMFC_04-*.xml",
    "Monteverdi/madrigal.3.1[567].mxl",
    "Monteverdi/madrigal.5.[567].mxl",
    "Mozart/k80/movement[13].mxl",
    "Mozart/k155/movement2.mxl",
    "Mozart/k156/movement[234].mxl",
    "Mozart/k545/movement1_exposition.mxl",
]


def corpus(seed=0):
    """58 scores of ten composers, split into training and test pieces: a tinyembed `Corpus`.

    It needs music21 (extra `scores`). The first call reads the scores in some fifteen seconds and
    keeps the corpus in the user's cache folder, so that later calls load it at once.
    """
    works = find_works(scores_folder())  # (composer, name, path) each
    items = [item for item in works if any(fnmatchcase(item[1], short) for short in SHORT)]
    version = metadata.version("music21")
    kind = f"music21 {version}, tutorials"
    return Corpus.from_files(items, read_score, kind, progress=None).split(seed)


# Eight bars of four beats. A voice is a list of (pitch, beats); None is a rest.
_MELODY = [
    *[(67, 1), (71, 0.5), (74, 0.5), (76, 1), (74, 1)],
    *[(72, 0.75), (71, 0.25), (69, 1), (67, 1 / 3), (69, 1 / 3), (71, 1 / 3), (69, 1)],
    *[(66, 1), (69, 0.5), (72, 0.5), (74, 1), (72, 1)],
    *[(71, 0.5), (69, 0.5), (67, 2), (None, 1)],
    *[(67, 1), (71, 0.5), (74, 0.5), (76, 1), (74, 1)],
    *[(72, 0.75), (71, 0.25), (69, 1), (67, 1 / 3), (69, 1 / 3), (71, 1 / 3), (69, 1)],
    *[(74, 0.5), (72, 0.5), (71, 0.5), (69, 0.5), (66, 1), (69, 1)],
    *[(67, 3), (None, 1)],
]
_BASS = [
    *[(43, 1), (50, 1), (55, 1), (50, 1)],
    *[(45, 1), (52, 1), (57, 1), (52, 1)],
    *[(38, 1), (50, 1), (54, 1), (50, 1)],
    *[(31, 2), (43, 2)],
    *[(43, 1), (50, 1), (55, 1), (50, 1)],
    *[(45, 1), (52, 1), (57, 1), (52, 1)],
    *[(38, 1), (50, 1), (54, 1), (50, 1)],
    *[(31, 3), (None, 1)],
]


def tune(ticks_per_beat=480):
    """A tune of eight bars, a melody above a bass: a `mido.MidiFile` with a track for each.

    Its bars 5 and 6 repeat bars 1 and 2, it has a triplet, and its last bass note lies below C2.
    """
    midi = mido.MidiFile(type=1, ticks_per_beat=ticks_per_beat)
    for voice in (_MELODY, _BASS):
        track = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=4, denominator=4)])
        beat, rest = 0.0, 0  # a rest delays the next note
        for pitch, beats in voice:
            start, beat = round(beat * ticks_per_beat), beat + beats
            length = round(beat * ticks_per_beat) - start
            if pitch is None:
                rest += length
                continue
            track.append(mido.Message("note_on", note=pitch, velocity=80, time=rest))
            track.append(mido.Message("note_off", note=pitch, velocity=0, time=length))
            rest = 0
        track.append(mido.MetaMessage("end_of_track", time=rest))
        midi.tracks.append(track)
    return midi


def show_roll(ax, roll, title="", onset_width=4):
    """Draw a roll: dark on light, low pitches at the bottom, a line at every beat.

    The axes are named "beat" and "pitch": of several rolls in a grid those at the edge.

    ax: matplotlib axes; roll: (60, T), 24 ticks per beat; the largest value is darkest, negative
    values count as 0; onset_width: how many ticks long an onset is drawn, so that it can be seen.
    """
    pitches, ticks = roll.shape
    cells = np.clip(roll, 0, None) / max(roll.max(), 1e-9)  # (60, T)
    wide = cells.copy()
    for tick in range(1, onset_width):
        wide[:, tick:] = np.maximum(wide[:, tick:], cells[:, :-tick])
    beats = ticks / 24
    ax.imshow(
        wide,
        origin="lower",
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, beats, 0, pitches),
    )
    octaves = range(0, pitches + 1, 12)
    ax.set_yticks(octaves, [f"C{row // 12 + 2}" for row in octaves], fontsize=8)
    last = int(np.ceil(beats))
    step = max(1, last // 16)
    ax.set_xticks(range(0, last + 1, step), range(1, last + 2, step), fontsize=8)
    spec = ax.get_subplotspec()
    if spec is None or spec.is_last_row():
        ax.set_xlabel("beat", fontsize=8)
    if spec is None or spec.is_first_col() or len(ax.get_shared_y_axes().get_siblings(ax)) == 1:
        ax.set_ylabel("pitch", fontsize=8)
    ax.grid(axis="x", color="#bbbbbb", lw=0.6)
    ax.grid(axis="y", color="#e4e4e4", lw=0.5)
    ax.set_axisbelow(True)
    ax.set_title(title, fontsize=10, color=INK)
    for spine in ax.spines.values():
        spine.set_color("#bbbbbb")


def play(music, name, alt):
    """Show an audio player in a notebook. Elsewhere nothing happens.

    music: a `mido.MidiFile`, an onset roll (60, T) whose cells above 0.5 are onsets, or a list of
    either, which are played one after the other with half a second of silence between them. For a
    reconstruction, give `tinyembed.to_midi(roll, onsets=n)`, its n strongest cells.
    name: one word for the file that the page links, sounds/NN_name.wav; alt: what it plays.
    """
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if shell is None:
        return
    pieces = music if isinstance(music, list | tuple) else [music]
    midis = [as_midi(piece) for piece in pieces]
    data = base64.b64encode(to_wav(midis[0] if len(midis) == 1 else in_turn(midis))).decode()
    player = f'<audio controls title="{html.escape(alt)}" src="data:audio/wav;base64,{data}">'
    from IPython.display import display

    display(
        {"text/html": f"{player}</audio>", "text/plain": f"Listen: {alt}"},
        raw=True,
        metadata={"sound": name, "alt": alt},
    )


def as_midi(piece):
    """A `MidiFile`, or an onset roll at 120 beats per minute: a `MidiFile`."""
    if isinstance(piece, mido.MidiFile):
        return piece
    return tinyembed.to_midi(piece, beats_per_minute=120)


def in_turn(midis):
    """Files one after the other, half a second of silence between them: a `MidiFile`."""
    joined = mido.MidiFile(type=0, ticks_per_beat=480)
    tempo = mido.bpm2tempo(120)
    track = joined.add_track()
    track.append(mido.MetaMessage("set_tempo", tempo=tempo))
    rest = 0  # seconds since the last message that is kept
    for place, midi in enumerate(midis):
        rest += 0.5 if place else 0
        for message in midi:  # message.time: the delay in seconds
            rest += message.time
            if message.type in ("note_on", "note_off"):
                ticks = round(mido.second2tick(rest, 480, tempo))
                track.append(message.copy(time=ticks))
                rest = 0
    ticks = round(mido.second2tick(rest, 480, tempo))
    track.append(mido.MetaMessage("end_of_track", time=ticks))
    return joined
