"""python -m tinyembed.search QUERY.mid --beat 12 --in CORPUS: the units nearest to four beats.

With --per piece: the pieces nearest to the whole piece.
"""

import json
import os
from dataclasses import dataclass

import numpy as np

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import suggest_less
from tinyembed.cli.next_searches import NEIGHBOURS, search_again
from tinyembed.cli.options import Parser, count, folder, left_out_notes, music
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed_piece, embed_rolls
from tinyembed.embedding.per_piece import PER
from tinyembed.embedding.sources import read_source, repair_notes
from tinyembed.embedding.trained import load_cached
from tinyembed.errors import InputError
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.roll import BEATS_PER_UNIT, piece_rolls, units_have_onsets
from tinyembed.neighbours.collection import Collection, is_index
from tinyembed.neighbours.pieces import PieceSearch, piece_rows, piece_table, typical
from tinyembed.neighbours.results import clock, is_medley, medley, result_rows, table
from tinyembed.neighbours.unit import nearest, others, read_unit
from tinyembed.storage.files import check_replaceable, write_atomically
from tinyembed.storage.text import printable


def build_parser():
    """All options of the command."""
    parser = Parser("search", "Find the units of a corpus that are nearest to a unit of a piece.")
    parser.add("query", "a MIDI file or a score", folder, metavar="QUERY")
    parser.add("--beat", "the unit's first of four beats, counted from 0", count, 0)
    parser.add("--per", "find units near a unit, or pieces near a piece", PER, PER[0])
    words = (
        "where to search: an argument of --data, that is, a folder or a name; or a file that "
        "--save wrote (default: scores from music21)"
    )
    parser.add("--in", words, music, dest="data", metavar="CORPUS")
    parser.add("-k", "the number of neighbours, if there are so many", count, NEIGHBOURS)
    parser.add("--other-piece", "exclude the query's own piece")
    parser.add("--other-composer", "exclude the query's own composer")
    parser.add("--out", "MIDI file to write: the query, the neighbours", folder, metavar="FILE")
    parser.add("--save", "file to write: music and index, for --in", folder, metavar="FILE")
    parser.add("--verify", "first compare all checksums of a saved index, not only those it reads")
    parser.share("--model", "--any-meter", "--device", "--json")
    return parser


def main(argv=None):
    """Find the neighbours and print them. Returns the exit status."""
    options = build_parser().parse_args(argv)
    if options.k < 1:
        raise InputError("-k 0: at least 1 is needed")
    per_piece = options.per == "piece"
    if per_piece and options.beat:
        raise InputError(f"--beat {options.beat}: with --per piece the whole piece is the query")
    for name, is_ours in (("out", is_medley), ("save", is_index)):
        if path := getattr(options, name):
            check_replaceable(f"--{name} {path}", path, is_ours)
    name = printable(options.query)
    say = (lambda *words: None) if options.json else print

    xp = device_module(options.device)
    with suggest_less(xp, "a smaller corpus with --in"):
        model = load_cached(options.model, options.device)
        if per_piece:
            piece, roll = read_source(options.query, options.any_meter), None
        else:
            piece, roll = read_unit(options.query, options.beat, options.any_meter)
        if piece.n_beats < BEATS_PER_UNIT:
            say(f"note: {name}: fewer than four beats, padded with silence to one unit")
        for note in repair_notes([(name, piece)]):
            say(f"note: {note}")
        collection, notes = open_collection(options, model, xp)
        for note in notes:
            say(f"note: {note}")
        if options.save:  # before anything that can be refused: the embedding took the time
            collection.save(options.save)
        exclude = options.other_piece, options.other_composer
        where, notes = others(collection, piece, options.query, *exclude)
        for note in notes:
            say(f"note: {note}")
        find = nearest_pieces if per_piece else nearest_units
        found = find(collection, piece, roll, model, options.k, where)
    if found.searched < options.k:
        what = "pieces" if per_piece else "units"
        few = f"{found.searched:,} neighbours instead of {options.k:,}"
        say(f"note: {few}: there are no more {what}")
    if options.out:
        query = name if per_piece else f"{name}, beat {options.beat}"
        titles = [f"query: {query}", *found.titles]
        midi = medley([found.query, *collection.rolls(found.units)], titles)
        write_atomically(options.out, lambda file: midi.save(file=file))
    report = print_as_json if options.json else print_table
    report(options, piece, collection, found, xp)
    return 0


@dataclass(frozen=True)
class Found:
    """rows: a dict for each neighbour; lines: the same as a table; query, units, titles: to listen
    to, a roll, and rows of the index with a text for each; searched: how many could be found;
    certified: whether the shortlist certified the result, None for pieces."""

    rows: list
    lines: list
    query: object
    units: object
    titles: list
    searched: int
    certified: bool | None = None


def nearest_units(collection, piece, roll, model, k, where):
    """The units nearest to a roll: `Found`."""
    index, row = collection.index, embed_rolls(roll, model)[0]
    found, searched = nearest(index, row, k, where)
    rows = result_rows(index.labels, found)
    titles = [f"{row['rank']}: {row['piece']}, beat {row['beat']}" for row in rows]
    certified = bool(found.certified)
    return Found(rows, list(table(rows)), roll, found.rows, titles, searched, certified)


def nearest_pieces(collection, piece, roll, model, k, where):
    """The pieces nearest to a `Piece`: `Found`, with a typical unit of each to listen to."""
    labels, search = collection.index.labels, PieceSearch(collection)
    if where is not None:
        where = np.isin(np.arange(len(labels.pieces)), labels.piece[where])
    found = search.nearest(piece, model, k, where)
    rows = piece_rows(labels, found)
    units = [search.typical_unit(n) for n in found.pieces]
    own = piece_rolls(piece)[typical(embed_piece(piece, model), units_have_onsets(piece))]
    titles = [f"{row['rank']}: {row['piece']}" for row in rows]
    return Found(rows, list(piece_table(rows)), own, units, titles, found.searched)


def print_as_json(options, piece, collection, found, xp):
    """One JSON object: the query, what was searched, and the neighbours."""
    query = {"file": printable(options.query)}
    if options.per == "beat":
        query |= {"beat": options.beat, "seconds": _seconds(piece, options.beat)}
    result = {
        "query": query,
        "per": options.per,
        "model": options.model,
        "device": device_name(xp),
        "in": options.data,
        "units": collection.index.n_findable,
        "pieces": collection.corpus.n_pieces,
        "searched": found.searched,
        "certified": found.certified,
        "neighbours": found.rows,
        "out": options.out,
        "save": options.save,
    }
    print(json.dumps(result))


def print_table(options, piece, collection, found, xp):
    """The neighbours as a table, and the next step."""
    name, beat, n_pieces = printable(options.query), options.beat, collection.corpus.n_pieces
    if options.per == "piece":
        print(f"\nNearest to {name}, among {found.searched:,} of {n_pieces:,} pieces:\n")
    else:
        print(
            f"\nNearest to beats {beat} to {beat + BEATS_PER_UNIT - 1} of {name} "
            f"(at {clock(_seconds(piece, beat))}), among {found.searched:,} of "
            f"{collection.index.n_findable:,} units of {n_pieces:,} pieces:\n"
        )
    print("\n".join(found.lines))
    if options.out:
        what = (
            "a typical unit of each, the query first"
            if options.per == "piece"
            else ("the query first, then the neighbours")
        )
        print(f"\nNext: listen to {printable(options.out)}: {what}, a beat between")
    elif following := search_again(options):
        print("\nTo listen to them, write them to a MIDI file:")
        print("Next: " + following)


def _seconds(piece, beat):
    return round(float(piece.seconds([beat])[0]), 3)


def open_collection(options, model, xp):
    """The `Collection` to search, on the device, and a list of notes to print."""
    if options.data and options.data not in CORPORA and os.path.isfile(options.data):
        return Collection.load(options.data, model, xp, options.verify), []
    progress, settings = False if options.json else None, {**vars(options), "splits": None}
    collection, notes = Collection.open(options.data, model, options.any_meter, progress, xp)
    return collection, left_out_notes(collection.corpus, settings) + notes


if __name__ == "__main__":
    run(main)
