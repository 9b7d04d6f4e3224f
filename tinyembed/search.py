"""python -m tinyembed.search QUERY.mid --beat 12 --in CORPUS: the units nearest to four beats.

With --per piece: the pieces nearest to the whole piece. And of more than memory holds:
python -m tinyembed.search build EMBEDDINGS -o INDEX makes an index of what tinyembed.embed --in
STORE wrote, for --in.
"""

import json
import os
import sys

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import suggest_less
from tinyembed.cli.next_searches import NEIGHBOURS, search_again
from tinyembed.cli.options import Parser, command, count, folder, left_out_notes, music
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed_piece
from tinyembed.embedding.per_piece import PER
from tinyembed.embedding.shards import is_embeddings
from tinyembed.embedding.sources import read_source, repair_notes
from tinyembed.embedding.trained import DEFAULT, load_cached
from tinyembed.errors import InputError
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.roll import BEATS_PER_UNIT, units_have_onsets
from tinyembed.neighbours import large_query
from tinyembed.neighbours.collection import Collection, is_index
from tinyembed.neighbours.found import nearest_pieces, nearest_rows, nearest_units
from tinyembed.neighbours.large_build import build
from tinyembed.neighbours.large_files import is_large_index
from tinyembed.neighbours.large_index import LargeIndex
from tinyembed.neighbours.results import clock, is_medley, medley
from tinyembed.neighbours.unit import others, read_unit
from tinyembed.storage.files import check_replaceable, write_atomically
from tinyembed.storage.text import printable


def build_parser():
    """All options of the command."""
    parser = Parser(
        "search",
        "Find the units of a corpus that are nearest to a unit of a piece.",
        epilog="python -m tinyembed.search build EMBEDDINGS -o INDEX makes an index of more units "
        "than memory holds, for --in",
    )
    parser.add("query", "a MIDI file or a score", folder, metavar="QUERY")
    parser.add("--beat", "the unit's first of four beats, counted from 0", count, 0)
    parser.add("--per", "find units near a unit, or pieces near a piece", PER, PER[0])
    words = (
        "where to search: an argument of --data, that is, a folder or a name; a file that --save "
        "wrote; or an INDEX that search build made (default: scores from music21)"
    )
    parser.add("--in", words, music, dest="data", metavar="CORPUS")
    parser.add("-k", "the number of neighbours, if there are so many", count, NEIGHBOURS)
    parser.add("--other-piece", "exclude the query's own piece")
    parser.add("--other-composer", "exclude the query's own composer")
    parser.add("--out", "MIDI file to write: the query, the neighbours", folder, metavar="FILE")
    parser.add("--save", "file to write: music and index, for --in", folder, metavar="FILE")
    parser.add("--verify", "first compare all checksums of a saved index, not only those it reads")
    words = "how many lists of an INDEX to visit; more miss less and take longer (0: as built)"
    parser.add("--probes", words, count, 0, "N")
    parser.share("--model", "--any-meter", "--device", "--json")
    return parser


def build_index(argv):
    """The subcommand `build`: an index of the embeddings of a store. Returns the exit status."""
    parser = Parser("search build", "Make an index of the embeddings of a store, by faiss.")
    words = "folder that python -m tinyembed.embed --in STORE wrote"
    parser.add("embeddings", words, folder, metavar="EMBEDDINGS")
    parser.add("-o --out", "folder to write", folder, "index", metavar="INDEX")
    parser.share("--seed", "--json")
    options = parser.parse_args(argv)
    made = build(options.embeddings, options.out, options.seed, False if options.json else None)
    names = ("rows", "lists", "bytes", "probes", "model", "seed")
    if options.json:
        print(json.dumps({"out": options.out, **{name: made[name] for name in names}}))
        return 0
    print(
        f"{made['rows']:,} units in {made['lists']:,} lists, {made['bytes']} bytes each, of which "
        f"a query visits {made['probes']}: {printable(options.out)}"
    )
    words = ["QUERY.mid", "--in", options.out]
    words += ["--model", made["model"]] if made["model"] != DEFAULT else []
    print("Next: " + command("search", *words))
    return 0


def main(argv=None):
    """Find the neighbours and print them. Returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["build"]:  # a file of that name can be given as ./build
        return build_index(words[1:])
    options = build_parser().parse_args(words)
    if options.k < 1:
        raise InputError("-k 0: at least 1 is needed")
    per_piece, large = options.per == "piece", is_large_index(options.data)
    check_kind(options, large)
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
        search = search_index if large else search_collection
        found, rolls = search(options, piece, roll, model, xp, say)
    if found.searched < options.k:
        what = "pieces" if per_piece else "units"
        few = f"{found.searched:,} neighbours instead of {options.k:,}"
        say(f"note: {few}: there are no more {what}")
    if options.out:
        query = name if per_piece else f"{name}, beat {options.beat}"
        midi = medley([found.query, *rolls], [f"query: {query}", *found.titles])
        write_atomically(options.out, lambda file: midi.save(file=file))
    report = print_as_json if options.json else print_table
    report(options, piece, found, xp)
    return 0


def check_kind(options, large):
    """Raise InputError for what cannot be done with what is searched. large: if it is an INDEX."""
    where, probes = options.data and printable(options.data), options.probes
    if probes and not large:
        raise InputError(f"--probes {probes}: only an index that search build made has lists")
    if not large:
        if where and is_embeddings(options.data):
            following = command("search", "build", options.data, "-o", "index")
            raise InputError(f"{where}: embeddings without an index; make one: {following}")
        return
    if options.per == "piece":
        raise InputError(f"--per piece: {where} is an index of units, which knows no whole pieces")
    if options.out or options.save:
        name = "--out" if options.out else "--save"
        raise InputError(f"{name}: {where} holds embeddings and no notes, so it has no music")


def search_collection(options, piece, roll, model, xp, say):
    """Search music: what was `Found`, and the rolls of the neighbours."""
    collection, notes = open_collection(options, model, xp)
    for note in notes:
        say(f"note: {note}")
    if options.save:  # before anything that can be refused: the embedding took the time
        collection.save(options.save)
    exclude = options.other_piece, options.other_composer
    where, notes = others(collection, piece, options.query, *exclude)
    for note in notes:
        say(f"note: {note}")
    find = nearest_pieces if options.per == "piece" else nearest_units
    found = find(collection, piece, roll, model, options.k, where)
    return found, collection.rolls(found.units) if options.out else []


def search_index(options, piece, roll, model, xp, say):
    """The same for an index of embeddings, which has no rolls."""
    index = LargeIndex.open(options.data, model, options.verify)
    exclude = options.other_piece, options.other_composer
    rows = embed_piece(piece, model) if any(exclude) else None
    where, notes = large_query.others(
        index, rows, units_have_onsets(piece), options.query, *exclude
    )
    for note in notes:
        say(f"note: {note}")
    return nearest_rows(index, roll, model, options.k, where, options.probes or None), []


def print_as_json(options, piece, found, xp):
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
        "units": found.of[0],
        "pieces": found.of[1],
        "searched": found.searched,
        "certified": found.certified,
        "neighbours": found.rows,
        "out": options.out,
        "save": options.save,
    }
    print(json.dumps(result))


def print_table(options, piece, found, xp):
    """The neighbours as a table, and the next step."""
    name, beat, (n_units, n_pieces) = printable(options.query), options.beat, found.of
    if options.per == "piece":
        print(f"\nNearest to {name}, among {found.searched:,} of {n_pieces:,} pieces:\n")
    else:
        print(
            f"\nNearest to beats {beat} to {beat + BEATS_PER_UNIT - 1} of {name} "
            f"(at {clock(_seconds(piece, beat))}), among {found.searched:,} of "
            f"{n_units:,} units of {n_pieces:,} pieces:\n"
        )
    print("\n".join(found.lines))
    if options.out:
        what = (
            "a typical unit of each, the query first"
            if options.per == "piece"
            else ("the query first, then the neighbours")
        )
        print(f"\nNext: listen to {printable(options.out)}: {what}, a beat between")
    elif not is_large_index(options.data) and (following := search_again(options)):
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
