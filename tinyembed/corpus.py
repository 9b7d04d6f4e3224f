"""Count what is in a folder of MIDI files, as in Table 1: python -m tinyembed.corpus DIR

Or download one of the public corpora: python -m tinyembed.corpus fetch NAME
"""

import json
import shlex
import sys

import numpy as np

from tinyembed.cli.options import Parser, add_data, add_json, add_seed, music, music_words
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.music.duplicates import unique_units
from tinyembed.music.fetch import missing_files
from tinyembed.music.public_corpora import (
    CORPORA,
    fetch_corpus,
    files_of,
    folder_of,
    source_of,
)
from tinyembed.music.roll import KEYS
from tinyembed.music.sources import open_corpus

LOW = 0.8  # a smaller share of onsets on the grid is a performance rather than a score


def main(argv=None):
    """The command; argv: its arguments, by default those of the process."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["fetch"]:  # a folder of that name is ./fetch
        return fetch(words[1:])
    options = _parser().parse_args(words)
    if options.folder is not None and options.data is not None:
        raise InputError("the folder is given twice: DIR and --data DIR are the same")
    data = options.data if options.folder is None else options.folder
    corpus = open_corpus(
        data, seed=options.seed, any_meter=options.any_meter, splits=options.splits
    )
    counts = count_units(corpus)
    if options.json:
        print(json.dumps(_as_object(corpus, counts)))
    else:
        print(report(corpus, counts))
        print("\nNext: " + _next_command(data, options))


def _parser():
    parser = Parser(
        "corpus",
        "Count the pieces and the units in a folder of MIDI files.",
        epilog="python -m tinyembed.corpus fetch [NAME] lists the corpora to download, or gets one",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=music,
        metavar="DIR",
        help="folder of MIDI files; the same as --data DIR",
    )
    add_data(parser)
    add_seed(parser)
    add_json(parser)
    return parser


def fetch(argv):
    """The command `fetch`: download a corpus; without a name, list those that can be had."""
    parser = Parser("corpus fetch", "Download a corpus of piano music, or list what there is.")
    parser.add_argument(
        "name",
        nargs="?",
        choices=list(CORPORA),
        metavar="NAME",
        help=f"{' or '.join(CORPORA)}; without it, a list of them",
    )
    add_json(parser)
    options = parser.parse_args(argv)
    if options.name:
        fetch_corpus(options.name, progress=not options.json)
        found = _facts(options.name)
        text = _fact_lines(options.name, found)
        following = ["python", "-m", "tinyembed.corpus", options.name]
    else:
        found = {name: _facts(name) for name in CORPORA}
        text = "\n\n".join(_fact_lines(*item) for item in found.items())
        following = ["python", "-m", "tinyembed.corpus", "fetch", next(iter(CORPORA))]
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{text}\n\nNext: {shlex.join(following)}")


def _facts(name):
    """What there is to say of a public corpus and its files here."""
    files, folder = files_of(name), folder_of(name)
    return {
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "licence": CORPORA[name].licence,
        "source": source_of(name),
        "folder": str(folder),
        "files_here": len(files) - len(missing_files(files, folder)),
    }


def _fact_lines(name, facts):
    return (
        f"{name}: {facts['files']} files, {facts['bytes'] / 1e6:.1f} MB, from {facts['source']}\n"
        f"  licence: {facts['licence']}\n"
        f"  {facts['files_here']} of {facts['files']} files are in {facts['folder']}"
    )


def count_units(corpus):
    """Pieces, units with an onset, and unique units over twelve keys, by split."""
    counts = {"pieces": {}, "units": {}, "unique_12_keys": {}}
    for split, pieces in (("train", ~corpus.piece_is_test), ("test", corpus.piece_is_test)):
        beats = corpus.unit_beats(pieces)
        counts["pieces"][split] = int(pieces.sum())
        counts["units"][split] = int(corpus.has_onset(beats).sum())
        counts["unique_12_keys"][split] = len(unique_units(corpus, beats))
    return counts


def report(corpus, counts):
    """All of it as text for a person."""
    return "\n".join(
        [
            *_table_1(corpus),
            "",
            *_table_of_units(counts),
            "",
            *_grid(corpus),
            *_left_out(corpus),
            *(f"note: {note}" for note in corpus.notes),
        ]
    )


def _table_1(corpus):
    n = len(corpus.composers)
    train = np.bincount(corpus.piece_composer[~corpus.piece_is_test], minlength=n)
    test = np.bincount(corpus.piece_composer[corpus.piece_is_test], minlength=n)
    rows = [*zip(corpus.composers, train, test, strict=True), ("all", train.sum(), test.sum())]
    width = max(len("Composer"), *(len(name) for name in corpus.composers))
    yield f"{'Composer':{width}}  training pieces  test pieces"
    for name, n_train, n_test in rows:
        yield f"{name:{width}}  {n_train:15,}  {n_test:11,}"


def _table_of_units(counts):
    one = counts["units"]
    rows = {
        "in one key, with an onset": one,
        f"in {len(KEYS)} keys": {split: n * len(KEYS) for split, n in one.items()},
        f"in {len(KEYS)} keys, without duplicates": counts["unique_12_keys"],
    }
    width = max(len(name) for name in rows)
    yield f"{'Units':{width}}  {'training':>10}  {'test':>10}"
    for name, row in rows.items():
        yield f"{name:{width}}  {row['train']:10,}  {row['test']:10,}"


def _grid(corpus):
    yield f"{corpus.on_grid:.1%} of the onsets lie on the grid of 24 ticks a beat"
    if corpus.on_grid < LOW:
        yield (
            f"warning: that is under {LOW:.0%}. Performed MIDI has no meaningful beats: its units "
            "begin anywhere in the music. Take files made from scores."
        )
    shares = zip(corpus.names, corpus.piece_on_grid, strict=True)
    low = sorted(((share, name) for name, share in shares if share < LOW))
    if low:
        yield f"pieces under {LOW:.0%}:"
    for share, name in low[:20]:
        yield f"  {share:6.1%}  {name}"
    if len(low) > 20:
        yield f"  and {len(low) - 20} more pieces under {LOW:.0%}"


def _left_out(corpus):
    if corpus.left_out:
        yield f"left out: {len(corpus.left_out)}"
    for name, reason in corpus.left_out:
        yield f"  {name}: {reason}"


def _as_object(corpus, counts):
    pieces = zip(corpus.names, corpus.piece_on_grid, strict=True)
    return {
        **counts,
        "left_out": [{"file": name, "reason": reason} for name, reason in corpus.left_out],
        "composers": corpus.composers,
        "on_grid": corpus.on_grid,
        "on_grid_low": {name: round(float(share), 4) for name, share in pieces if share < LOW},
        "notes": corpus.notes,
    }


def _next_command(data, options):
    words = ["python", "-m", "tinyembed.train"]
    words += music_words(data, options.any_meter, options.splits)
    words += ["--seed", str(options.seed)] if options.seed else []
    return shlex.join(words)


if __name__ == "__main__":
    run(main)
