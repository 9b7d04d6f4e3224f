"""python -m tinyembed.explore --data DIR -o explorer.html: see and hear similar units."""

import json

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.cli.options import Parser, check_counts, count, folder, left_out_notes
from tinyembed.cli.running import run
from tinyembed.embedding.trained import load_cached
from tinyembed.explorer.contents import Contents
from tinyembed.explorer.maps import MAPS, check_map
from tinyembed.explorer.page import html_page, is_page
from tinyembed.neighbours.collection import Collection
from tinyembed.storage.files import check_replaceable, write_atomically
from tinyembed.storage.text import printable


def build_parser():
    """All options of the command."""
    parser = Parser("explore", "Write a page to see and hear the units of a corpus.")
    parser.share("--data")
    words = "HTML file to write; it needs no other file and no network"
    parser.add("-o --out", words, folder, "explorer.html", metavar="FILE")
    words = "how many to show; from a larger corpus they are drawn at random"
    parser.add("--units", words, count, 20_000)
    words = "how points are laid out; auto: umap, an extra that takes minutes, if installed, or pca"
    parser.add("--map", words, MAPS, "auto")
    parser.share("--seed", "--model", "--any-meter", "--device", "--json")
    return parser


def main(argv=None):
    """Write the page and print what is in it. Returns the exit status."""
    options = build_parser().parse_args(argv)
    check_counts(options, "units")
    check_map(options.map)
    check_replaceable(f"--out {options.out}", options.out, is_page)
    progress = False if options.json else None

    model = load_cached(options.model, options.device)
    collection, notes = Collection.open(
        options.data, model, options.any_meter, progress, large="sample"
    )
    contents = Contents.of(collection, options.units, MAPS[options.map], options.seed, progress)
    page = html_page(contents, printable(options.model)).encode()
    write_atomically(options.out, lambda file: file.write(page))

    n, n_all, n_placed = len(contents), len(collection.index), int(contents.placed.sum())
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
            "map": contents.map_description,
            "points_of_pieces": len(contents.pieces.pieces) if contents.pieces else 0,
            "seed": options.seed,
        }
        print(json.dumps(summary))
        return 0
    notes = left_out_notes(collection.corpus, {**vars(options), "splits": None}) + notes
    if n < n_all:
        notes.append(f"{n:,} of {n_all:,} units drawn with seed {options.seed}; --units shows more")
    if n_placed < n:
        notes.append(f"{n - n_placed:,} units without an onset are not on the map")
    for note in notes:
        print(f"note: {note}")
    name = printable(options.out)
    print(f"{name}: {n:,} units, {len(page) / 1e6:.1f} MB; {contents.map_description}")
    print(f"Next: open {name} in a browser")
    return 0


if __name__ == "__main__":
    run(main)
