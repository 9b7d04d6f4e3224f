"""python -m tinyembed.embed PATH... -o out.npz: 100 numbers per beat, or 200 per file."""

import inspect
import json
import sys
import types

import numpy as np

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import suggest_less
from tinyembed.cli.next_searches import search_after_embed
from tinyembed.cli.options import Parser, folder
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed
from tinyembed.embedding.exports import check_out, write_table
from tinyembed.embedding.per_piece import PER
from tinyembed.embedding.sources import repair_notes
from tinyembed.embedding.tables import PieceTable, Table, read_paths
from tinyembed.embedding.trained import load_cached
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.storage.text import printable


class _Callable(types.ModuleType):
    # `import tinyembed.embed` replaces the function `tinyembed.embed` by this module. The module
    # can be called like the function, so the name means the same whatever was imported.
    def __call__(self, *args, **options):
        return embed(*args, **options)


sys.modules[__name__].__class__ = _Callable
__signature__ = inspect.signature(embed)
__annotations__ = embed.__annotations__


def build_parser():
    """All options of the command."""
    parser = Parser("embed", "Write the embedding of every beat of MIDI files and scores.")
    parser.add("paths", "a file, or a folder of files", folder, nargs="+", metavar="PATH")
    words = "file to write: .npz, .csv, or .tsv for the TensorBoard projector"
    parser.add("-o --out", words, folder, "embeddings.npz", metavar="FILE")
    words = "a row per beat, or per piece: the mean and deviation of its rows, 200 numbers"
    parser.add("--per", words, PER, PER[0])
    parser.share("--model", "--any-meter", "--device", "--json")
    return parser


def main(argv=None):
    """Embed the files, and print a line for each that cannot be read. Returns the exit status."""
    options = build_parser().parse_args(argv)
    check_out(options.out)
    progress = False if options.json else None
    xp = device_module(options.device)
    with suggest_less(xp):
        model = load_cached(options.model, options.device)
    pieces, errors, notes = read_paths(options.paths, options.any_meter, progress)
    for error in errors:
        print(f"tinyembed: {error}", file=sys.stderr)
    if not pieces:
        return errors[0].exit_status
    with suggest_less(xp):
        kind = Table if options.per == "beat" else PieceTable
        table = kind.of(pieces, model, options.model, progress)
    written = write_table(options.out, table, progress)

    named = [(printable(path), piece) for path, piece in pieces]
    padded = [name for name, piece in named if piece.n_beats < BEATS_PER_UNIT]
    if options.json:
        per_beat = options.per == "beat"
        rows = np.bincount(table.file_index).tolist() if per_beat else [1] * len(table)
        summary = {
            "out": written,
            "model": table.model,
            "weights": table.weights,
            "device": device_name(xp),
            "rows": len(table),
            "files": [{"file": f, "rows": n} for f, n in zip(table.files, rows, strict=True)],
            "padded": padded,
            "repaired": [{"file": f, "kind": kind} for f, piece in named for kind in piece.repairs],
            "left_out": [str(error) for error in errors],
            "notes": notes,
        }
        print(json.dumps(summary))
    else:
        for note in [*notes, *repair_notes(named)]:
            print(f"note: {note}")
        for name in padded:
            print(f"note: {name}: fewer than four beats, padded with silence to one unit")
        units = f"{len(table):,} units of " if options.per == "beat" else "one vector for each of "
        print(f"{units}{len(pieces):,} files, in {' and '.join(written)}")
        if errors:
            print(f"left out: {len(errors):,} of {len(errors) + len(pieces):,}")
        if following := search_after_embed(options, [path for path, _ in pieces], table):
            print("Next: " + following)
    return 1 if errors else 0


if __name__ == "__main__":
    run(main)
