"""python -m tinyembed.search QUERY.mid --beat 12 --in CORPUS: what is like these four beats?"""

import json
import os
import shlex
from pathlib import Path

import mido
import numpy as np

from tinyembed.backends.arrays import device_module, device_name, to_host
from tinyembed.backends.memory import room_on
from tinyembed.cli.options import (
    Parser,
    add_any_meter,
    add_device,
    add_json,
    add_model,
    count,
    folder,
    music,
)
from tinyembed.cli.running import run
from tinyembed.embedding.embed import DEFAULT, embed_rolls, loaded, named
from tinyembed.errors import InputError, MusicError
from tinyembed.music.inputs import printable, read_music
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.roll import BEATS_PER_UNIT, PITCHES, piece_rolls, roll_to_midi, units_sound
from tinyembed.music.sources import spelled
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.mapped import load_mapped
from tinyembed.storage.files import check_replaceable, write_atomically

PAUSE = 24  # ticks of silence, one beat, between two units that are heard one after the other
OURS = "neighbours, found by tinyembed.search"  # stands in a file of ours, so that it is known


def build_parser():
    """All options of the command."""
    parser = Parser("search", "Find the units of a corpus that are nearest to a unit of a piece.")
    parser.add_argument("query", metavar="QUERY", type=folder, help="a MIDI file or a score")
    parser.add_argument(
        "--beat", type=count, default=0, help="the unit's first of four beats, counted from 0"
    )
    parser.add_argument(
        "--in",
        dest="place",
        type=music,
        metavar="CORPUS",
        help="where to search: what --data takes elsewhere, a folder or a name, or a file that "
        "--save wrote (default: scores from music21)",
    )
    parser.add_argument("-k", type=count, default=10, help="how many neighbours")
    parser.add_argument("--other-piece", action="store_true", help="none of the query's own piece")
    parser.add_argument(
        "--other-composer", action="store_true", help="none by the query's own composer"
    )
    add_model(parser)
    add_any_meter(parser)
    parser.add_argument(
        "--out", type=folder, metavar="FILE", help="MIDI file to write: the query, the neighbours"
    )
    parser.add_argument(
        "--save", type=folder, metavar="FILE", help="file to write: music and index, for --in"
    )
    add_device(parser)
    add_json(parser)
    return parser


def main(argv=None):
    """Find the neighbours and print them. Returns the exit status."""
    options = build_parser().parse_args(argv)
    if options.k < 1:
        raise InputError("-k 0: at least 1 is needed")
    for name, is_ours in (("out", _is_neighbours), ("save", _is_index)):
        if path := getattr(options, name):
            check_replaceable(f"--{name} {path}", path, is_ours)
    say = (lambda *words: None) if options.json else print

    xp = device_module(options.device)
    with room_on(xp, "a smaller corpus with --in"):
        model = loaded(options.model, options.device)
        piece, roll = read_query(options)
        collection = open_collection(options, model, xp, say)
        where = filters(options, collection, piece, say)
        index = collection.index
        found = index.search(embed_rolls(roll, model)[0], options.k, where)
    rows = [
        {"rank": rank, "cosine": round(float(cosine), 6), **index.labels.row(row)}
        for rank, (row, cosine) in enumerate(zip(found.rows, found.cosines, strict=True), start=1)
    ]
    if options.out:
        titles = [f"{row['rank']}: {row['piece']}, beat {row['beat']}" for row in rows]
        titles = [f"query: {printable(options.query)}, beat {options.beat}", *titles]
        rolls = [roll, *collection.rolls(found.rows)]
        midi = in_a_row(rolls, titles)
        write_atomically(options.out, lambda file: midi.save(file=file))

    findable = to_host(index.findable)
    searched = index.n_findable if where is None else int((where & findable).sum())
    seconds = round(float(piece.seconds([options.beat])[0]), 3)
    if options.json:
        query = {"file": printable(options.query), "beat": options.beat, "seconds": seconds}
        result = {
            "query": query,
            "model": options.model,
            "device": device_name(xp),
            "in": options.place,
            "units": index.n_findable,
            "pieces": collection.corpus.n_pieces,
            "searched": searched,
            "certified": bool(found.certified),
            "neighbours": rows,
            "out": options.out,
            "save": options.save,
        }
        print(json.dumps(result))
        return 0
    print(
        f"\nNearest to beats {options.beat} to {options.beat + BEATS_PER_UNIT - 1} of "
        f"{printable(options.query)} (at {clock(seconds)}), among {searched:,} of "
        f"{index.n_findable:,} units of {collection.corpus.n_pieces:,} pieces:\n"
    )
    print("\n".join(table(rows)))
    print("\nNext: " + next_step(options))
    return 0


def open_collection(options, model, xp, say):
    """The `Collection` to search, on the device; saved where that is asked for."""
    if options.place and options.place not in CORPORA and os.path.isfile(options.place):
        collection, notes = Collection.load(options.place, model, xp), []
    else:
        progress = False if options.json else None
        collection, notes = Collection.open(options.place, model, options.any_meter, progress, xp)
    for note in notes:
        say(f"note: {note}")
    if options.save:
        collection.save(options.save)
    return collection


def read_query(options):
    """The `Piece` that the query is, and the roll of the unit asked about, (60, 96)."""
    try:
        piece = read_music(options.query, options.any_meter)
    except (InputError, MusicError) as error:
        raise named(error, options.query) from error
    sounds = units_sound(piece)
    if options.beat >= len(sounds):
        raise InputError(
            f"--beat {options.beat}: {printable(options.query)} has units of four beats that begin "
            f"with beats 0 to {len(sounds) - 1}"
        )
    if not sounds[options.beat]:
        nearest = np.flatnonzero(sounds)
        nearest = nearest[np.abs(nearest - options.beat).argmin()]
        raise InputError(
            f"--beat {options.beat}: no note begins in these four beats of "
            f"{printable(options.query)}, so nothing is like them; the nearest beat is {nearest}"
        )
    if piece.n_beats < BEATS_PER_UNIT and not options.json:
        name = printable(options.query)
        print(f"note: {name}: fewer than four beats, padded with silence to one unit")
    return piece, piece_rolls(piece)[options.beat]


def filters(options, collection, piece, say):
    """Which rows the options allow: (N,) bool, or None for all.

    The query's own piece is any piece with the same notes, whatever its file is called. Its
    composer is whose piece that is, or else the one that the query's folder is called after.
    """
    if not (options.other_piece or options.other_composer):
        return None
    labels, name = collection.index.labels, printable(options.query)
    own = collection.pieces_like(piece)
    where = np.ones(len(labels), bool)
    if options.other_piece:
        where &= ~np.isin(labels.piece, own)
        if not own:
            say(f"note: {name} is not among these pieces, so all of them are others")
    if options.other_composer:
        composers = np.unique(labels.piece_composer[own]).tolist()
        parent = Path(options.query).resolve().parent.name
        if not composers and parent in labels.composers:
            composers = [labels.composers.index(parent)]
        if not composers:
            raise InputError(
                f"--other-composer: nobody knows who wrote {name}: it is not among these pieces, "
                "and its folder is not called after one of their composers"
            )
        where &= ~np.isin(labels.composer, composers)
    return where


def in_a_row(rolls, titles):
    """A `mido.MidiFile` with one unit after the other, a beat of silence between, each marked.

    rolls: list of (60, 96); titles: what the marker of each says.
    """
    pause = np.zeros((PITCHES, PAUSE), np.float32)
    midi = roll_to_midi(np.concatenate([part for roll in rolls for part in (roll, pause)], axis=1))
    midi.charset = "utf-8"
    apart = rolls[0].shape[1] + PAUSE
    markers = [
        mido.MetaMessage("marker", text=title, time=apart if i else 0)
        for i, title in enumerate(titles)
    ]
    midi.tracks[0][:0] = [mido.MetaMessage("text", text=OURS)]
    midi.tracks.append(mido.MidiTrack(markers))
    midi.type = 1
    return midi


def table(rows):
    """The neighbours as lines of text."""
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
    """Seconds as 1:02.5; None, where nobody knows, as -."""
    if seconds is None:
        return "-"
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def next_step(options):
    """What to do next: listen, where there is something to listen to, or else make it."""
    if options.out:
        return f"listen to {options.out}: the query first, then the neighbours, a beat between"
    words = ["python", "-m", "tinyembed.search", options.query, "--beat", str(options.beat)]
    words += ["--in", spelled(options.place)] if options.place else []
    words += ["-k", str(options.k)] if options.k != 10 else []
    words += ["--other-piece"] if options.other_piece else []
    words += ["--other-composer"] if options.other_composer else []
    words += ["--model", options.model] if options.model != DEFAULT else []
    words += ["--any-meter"] if options.any_meter else []
    return shlex.join([*words, "--out", "neighbours.mid"]) + ", to listen to them"


def _is_neighbours(path):
    with open(path, "rb") as file:
        return OURS.encode() in file.read(200)


def _is_index(path):
    try:
        load_mapped(path)
    except InputError:
        return False
    return True


if __name__ == "__main__":
    run(main)
