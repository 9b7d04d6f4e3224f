"""How long, how dense and how large real pieces are: a table of quantiles, measured or shipped."""

import os
from dataclasses import dataclass

import numpy as np

from tinyembed.errors import MusicError
from tinyembed.music.folders import MIDI, find_pieces
from tinyembed.music.midi import read_midi
from tinyembed.music.midi_tracks import read_tracks

LEVELS = np.linspace(0, 1, 21)
# Of 434 score-true files of piano music, by `measure`.
PIANO = {
    "beats": (
        33, 70.95, 84, 98, 122, 144, 168, 178.6, 207.2, 230.7, 254.5, 292, 309.8, 343, 385.1,
        424.5, 483, 594.3, 740.9, 995.4, 1947,
    ),
    "onsets_per_beat": (
        1.875, 2.682, 3.044, 3.328, 3.574, 3.828, 4.059, 4.295, 4.566, 4.923, 5.217, 5.479, 5.747,
        5.972, 6.307, 6.638, 7.125, 7.934, 8.394, 9.099, 16.76,
    ),
    "onsets_per_instant": (
        1.014, 1.295, 1.378, 1.461, 1.523, 1.576, 1.635, 1.698, 1.761, 1.847, 1.929, 2.005, 2.088,
        2.194, 2.289, 2.399, 2.523, 2.638, 2.809, 3.119, 4.749,
    ),
    "bytes_per_onset": (
        6.166, 6.466, 7.17, 7.851, 8.109, 8.389, 8.501, 8.65, 8.735, 8.944, 9.123, 9.43, 9.783,
        10.15, 10.52, 10.78, 11.2, 11.84, 12.28, 13.34, 17.91,
    ),
    "tracks": (2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 7, 8, 8, 8, 9, 9, 11, 17, 17, 17, 18),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What one file is to be like. bytes_per_onset counts the whole file; tracks those with and
    without notes; an instant is a time at which notes begin."""

    beats: int
    onsets_per_beat: float
    onsets_per_instant: float
    bytes_per_onset: float
    tracks: int

    @classmethod
    def draw(cls, table, rng):
        """One at random: each number by its own quantiles in the table, straight between them."""
        drawn = {name: np.interp(rng.random(), LEVELS, row) for name, row in table.items()}
        return cls(**{**drawn, "beats": round(drawn["beats"]), "tracks": round(drawn["tracks"])})


def measure(folder):
    """The table of a folder of MIDI files, as our reader reads them: {name: 21 quantiles}."""
    found = [shape for _, _, path in find_pieces(folder)[0] if (shape := _shape_of(path))]
    return {
        name: tuple(float(f"{x:.4g}") for x in np.quantile([vars(s)[name] for s in found], LEVELS))
        for name in PIANO
    }


def _shape_of(path):
    """The `Shape` of a file, or None if it is no usable piece."""
    if not path.lower().endswith(MIDI):
        return None
    try:
        piece = read_midi(path)
    except MusicError:
        return None
    with open(path, "rb") as file:
        tracks = len(read_tracks(file.read())[3]) - 1
    onsets = len(piece.ticks)
    return Shape(
        beats=piece.n_beats,
        onsets_per_beat=onsets / piece.n_beats,
        onsets_per_instant=onsets / len(np.unique(piece.ticks)),
        bytes_per_onset=os.path.getsize(path) / onsets,
        tracks=tracks,
    )
