"""python -m tinyembed.search QUERY.mid --beat 12 --in CORPUS: the units nearest to four beats."""

import json
import os

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import suggest_less
from tinyembed.cli.next_searches import NEIGHBOURS, search_again
from tinyembed.cli.options import Parser, count, folder, left_out_notes, music
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed_rolls
from tinyembed.embedding.sources import repair_notes
from tinyembed.embedding.trained import load_cached
from tinyembed.errors import InputError
from tinyembed.music.public_corpora import CORPORA
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.neighbours.collection import Collection, is_index
from tinyembed.neighbours.results import clock, is_medley, medley, result_rows, table
from tinyembed.neighbours.unit import nearest, others, read_unit
from tinyembed.storage.files import check_replaceable, write_atomically
from tinyembed.storage.text import printable


def build_parser():
    """All options of the command."""
    parser = Parser("search", "Find the units of a corpus that are nearest to a unit of a piece.")
    parser.add("query", "a MIDI file or a score", folder, metavar="QUERY")
    parser.add("--beat", "the unit's first of four beats, counted from 0", count, 0)
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
    for name, is_ours in (("out", is_medley), ("save", is_index)):
        if path := getattr(options, name):
            check_replaceable(f"--{name} {path}", path, is_ours)
    name, beat = printable(options.query), options.beat
    say = (lambda *words: None) if options.json else print

    xp = device_module(options.device)
    with suggest_less(xp, "a smaller corpus with --in"):
        model = load_cached(options.model, options.device)
        piece, roll = read_unit(options.query, beat, options.any_meter)
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
        index, row = collection.index, embed_rolls(roll, model)[0]
        found, searched = nearest(index, row, options.k, where)
        if searched < options.k:
            say(f"note: {searched:,} neighbours instead of {options.k:,}: there are no more units")
    rows = result_rows(index.labels, found)
    if options.out:
        titles = [f"{row['rank']}: {row['piece']}, beat {row['beat']}" for row in rows]
        titles = [f"query: {name}, beat {beat}", *titles]
        midi = medley([roll, *collection.rolls(found.rows)], titles)
        write_atomically(options.out, lambda file: midi.save(file=file))

    n_pieces, seconds = collection.corpus.n_pieces, round(float(piece.seconds([beat])[0]), 3)
    if options.json:
        result = {
            "query": {"file": name, "beat": beat, "seconds": seconds},
            "model": options.model,
            "device": device_name(xp),
            "in": options.data,
            "units": index.n_findable,
            "pieces": n_pieces,
            "searched": searched,
            "certified": bool(found.certified),
            "neighbours": rows,
            "out": options.out,
            "save": options.save,
        }
        print(json.dumps(result))
        return 0
    print(
        f"\nNearest to beats {beat} to {beat + BEATS_PER_UNIT - 1} of {name} "
        f"(at {clock(seconds)}), among {searched:,} of {index.n_findable:,} units of "
        f"{n_pieces:,} pieces:\n"
    )
    print("\n".join(table(rows)))
    if options.out:
        out = printable(options.out)
        print(f"\nNext: listen to {out}: the query first, then the neighbours, a beat between")
    elif following := search_again(options):
        print("\nTo listen to them, write them to a MIDI file:")
        print("Next: " + following)
    return 0


def open_collection(options, model, xp):
    """The `Collection` to search, on the device, and a list of notes to print."""
    if options.data and options.data not in CORPORA and os.path.isfile(options.data):
        return Collection.load(options.data, model, xp, options.verify), []
    progress, settings = False if options.json else None, {**vars(options), "splits": None}
    collection, notes = Collection.open(options.data, model, options.any_meter, progress, xp)
    return collection, left_out_notes(collection.corpus, settings) + notes


if __name__ == "__main__":
    run(main)
