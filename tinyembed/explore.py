"""python -m tinyembed.explore --data DIR -o explorer.html: see and hear what is like what."""

import json
import os
from pathlib import Path

from tinyembed.arrays import device_module, device_name
from tinyembed.command import Parser, add_device, add_json, add_seed, count, folder, music, run
from tinyembed.embedding import DEFAULT, loaded
from tinyembed.errors import InputError
from tinyembed.explorer.contents import Contents
from tinyembed.explorer.maps import MAPS, check_map
from tinyembed.explorer.page import GENERATOR, html_page
from tinyembed.music.inputs import printable
from tinyembed.music.public_corpora import CORPORA
from tinyembed.neighbours.collection import Collection
from tinyembed.runs import write_atomically


def build_parser():
    """All options of the command."""
    parser = Parser("explore", "Write a page to see and hear the units of a corpus in.")
    parser.add_argument(
        "--data",
        type=music,
        metavar="DIR",
        help="folder of MIDI files, one subfolder a composer; or the name of a corpus to "
        f"download, {' or '.join(CORPORA)} (default: scores from music21)",
    )
    parser.add_argument(
        "--any-meter",
        action="store_true",
        help="also take pieces whose time signature does not count in quarter notes",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=folder,
        metavar="FILE",
        default="explorer.html",
        help="HTML file to write; it needs no other file and no network",
    )
    parser.add_argument(
        "--model",
        type=folder,
        default=DEFAULT,
        help="a model of the package, the folder of a run, or a weight file",
    )
    parser.add_argument(
        "--units", type=count, default=20_000, help="how many to show; of more, some are drawn"
    )
    parser.add_argument(
        "--map",
        choices=list(MAPS),
        default="pca",
        help="how units are laid out; umap is an extra, and takes minutes",
    )
    add_device(parser)
    add_seed(parser)
    add_json(parser)
    return parser


def main(argv=None):
    """Write the page and say what is in it. Returns the exit status."""
    options = build_parser().parse_args(argv)
    if options.units < 1:
        raise InputError("--units 0: at least 1 is needed")
    check_map(options.map)
    check_out(options.out)
    progress = False if options.json else None
    say = (lambda *words: None) if options.json else print

    model = loaded(options.model, options.device)
    collection, notes = Collection.open(options.data, model, options.any_meter, progress)
    for note in notes:
        say(f"note: {note}")
    contents = Contents.of(collection, options.units, MAPS[options.map], options.seed, progress)
    page = html_page(contents, printable(options.model)).encode()
    write_atomically(options.out, lambda file: file.write(page))

    n, n_all = len(contents), len(collection.index)
    n_placed = int(contents.placed.sum())
    if options.json:
        summary = {
            "out": options.out,
            "bytes": len(page),
            "model": options.model,
            "device": device_name(device_module(options.device)),
            "data": options.data,
            "pieces": collection.corpus.n_pieces,
            "composers": len(collection.corpus.composers),
            "units": n_all,
            "shown": n,
            "placed": n_placed,
            "map": contents.map_words,
            "seed": options.seed,
        }
        print(json.dumps(summary))
        return 0
    if n < n_all:
        say(f"note: {n:,} of {n_all:,} units drawn with seed {options.seed}; --units shows more")
    if n_placed < n:
        say(f"note: {n - n_placed:,} units without an onset are not on the map")
    say(f"{printable(options.out)}: {n:,} units, {len(page) / 1e6:.1f} MB; {contents.map_words}")
    say(f"Next: open {printable(options.out)} in a browser")
    return 0


def check_out(out):
    """Raise InputError unless the page can be written to `out`, without the loss of another file.

    A page that is there already is replaced; any other file is left alone.
    """
    path = Path(out)
    if not path.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"--out {out}: a folder; name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: no permission to write in {path.parent}")
    if path.exists():
        with open(path, "rb") as file:
            if GENERATOR.encode() not in file.read(1000):
                raise InputError(f"--out {out}: is there and no page of ours; choose another name")


if __name__ == "__main__":
    run(main)
