"""The neighbours that a search found, as rows, as a table, and as music to listen to."""

import os

import mido
import numpy as np

from tinyembed.music.roll import roll_to_midi

PAUSE = 24  # ticks of silence, one beat, after each unit
MARK = "neighbours, found by tinyembed.search"  # text in the MIDI files that `medley` makes


def result_rows(labels, found):
    """A dict for each of the `Neighbours` of one query: rank, cosine and the row's labels."""
    return [
        {"rank": rank, "cosine": round(float(cosine), 6), **labels.row(row)}
        for rank, (row, cosine) in enumerate(zip(found.rows, found.cosines, strict=True), start=1)
    ]


def table(rows):
    """The lines of a table of `result_rows`."""
    names = [row["piece"].removeprefix(f"{row['composer']}/") for row in rows]
    composer = max(len("composer"), *(len(row["composer"]) for row in rows))
    piece = max(len("piece"), *(len(name) for name in names))
    titles = f"{'composer':{composer}}  {'piece':{piece}}  {'beat':>5}  {'time':>7}"
    yield f"{'rank':>4}  cosine  {titles}"
    for row, name in zip(rows, names, strict=True):
        yield (
            f"{row['rank']:4}  {row['cosine']:6.3f}  {row['composer']:{composer}}  "
            f"{name:{piece}}  {row['beat']:5}  {clock(row['seconds']):>7}"
        )


def clock(seconds):
    """Seconds as 1:02.5; None, if unknown, as -."""
    if seconds is None:
        return "-"
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def medley(rolls, titles):
    """A `mido.MidiFile` of units in sequence, a beat of silence after each, with a marker on each.

    rolls: list of (60, 96); titles: the texts of the markers.
    """
    midi = roll_to_midi(np.concatenate([np.pad(r, ((0, 0), (0, PAUSE))) for r in rolls], axis=1))
    midi.charset = "utf-8"
    apart = rolls[0].shape[1] + PAUSE
    markers = [
        mido.MetaMessage("marker", text=title, time=apart if i else 0)
        for i, title in enumerate(titles)
    ]
    midi.tracks[0][:0] = [mido.MetaMessage("text", text=MARK)]
    midi.tracks.append(mido.MidiTrack(markers))
    midi.type = 1
    return midi


def is_medley(path):
    """Whether a file is one that `medley` made."""
    if not os.path.isfile(path):  # a pipe would wait
        return False
    with open(path, "rb") as file:
        return MARK.encode() in file.read(200)
