"""python -m tinyembed.embed PATH... -o out.npz: 100 numbers per beat, or 200 per file.

With --in STORE -o FOLDER: float16 numbers for every unit of a store, one file per shard.
"""

import inspect
import json
import sys
import types

import numpy as np

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import suggest_less
from tinyembed.backends.processes import started
from tinyembed.cli.next_searches import search_after_embed
from tinyembed.cli.options import Parser, command, folder, share
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed
from tinyembed.embedding.exports import check_out, write_table
from tinyembed.embedding.per_piece import PER
from tinyembed.embedding.shards_writing import embed_store
from tinyembed.embedding.sources import repair_notes
from tinyembed.embedding.tables import PieceTable, Table, read_paths
from tinyembed.embedding.trained import load_cached
from tinyembed.errors import InputError
from tinyembed.music.roll import BEATS_PER_UNIT
from tinyembed.neighbours.index import weights_digest
from tinyembed.storage.text import printable
from tinyembed.stores.store import Store, is_store

TABLE, FOLDER = "embeddings.npz", "embeddings"  # what is written by default


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
    parser.add("paths", "a file, or a folder of files", folder, nargs="*", metavar="PATH")
    words = "instead of PATH: a store, which python -m tinyembed.corpus build made"
    parser.add("--in", words, folder, dest="store", metavar="STORE")
    words = (
        "file to write: .npz, .csv, or .tsv for the TensorBoard projector; for a store the folder "
        f"(default: {TABLE}, or {FOLDER})"
    )
    parser.add("-o --out", words, folder, metavar="FILE")
    words = "for a store: embed only share I of N, in one of N independent jobs"
    parser.add("--shard", words, share, metavar="I/N")
    words = "a row per beat, or per piece: the mean and deviation of its rows, 200 numbers"
    parser.add("--per", words, PER, PER[0])
    parser.share("--model", "--any-meter", "--device", "--json")
    return parser


def main(argv=None):
    """Embed files or a store. Returns the exit status."""
    options = build_parser().parse_args(argv)
    if options.store is not None:
        return main_of_store(options)
    if not options.paths:
        raise InputError("a PATH of music is needed, or a store: --in STORE")
    if options.shard:
        raise InputError("--shard: only a store has shards: --in STORE")
    if store := next((path for path in options.paths if is_store(path)), None):
        raise InputError(f"{printable(store)}: a store; embed it with --in, in a folder of its own")
    options.out = options.out or TABLE
    return main_of_files(options)


def main_of_store(options):
    """Embed a store, or a share of its shards. Returns the exit status.

    Of several processes that a launcher of MPI started, each takes every n-th shard. They need not
    exchange anything.
    """
    if options.paths:
        raise InputError(f"{printable(options.paths[0])}: with --in STORE no other music is read")
    if options.per != PER[0]:
        raise InputError(f"--per {options.per}: the embeddings of a store have a row per unit")
    if options.any_meter:
        raise InputError("--any-meter: a store holds what it was built with; corpus build has it")
    rank, size = (0, 1) if options.shard else started()
    store, out = Store.open(options.store), options.out or FOLDER
    xp = device_module(options.device)
    progress = False if options.json or rank else None
    with suggest_less(xp):
        model = load_cached(options.model, options.device)
        part, digest = options.shard or (rank, size), weights_digest(model)
        written = embed_store(store, out, model, options.model, digest, part, progress)
    n_shards, found = len(store.shards), written.embeddings.found
    if options.json:
        summary = {
            "out": out,
            "model": found["model"],
            "weights": digest,
            "device": device_name(xp),
            "units": len(written.embeddings),
            "pieces": store.n_pieces,
            "shards": n_shards,
            "shard": f"{part[0] + 1}/{part[1]}",
            "made": written.made,
            "found": written.found,
            "missing": written.missing,
            "notes": written.notes,
        }
        print(json.dumps(summary))
        return 0
    for note in written.notes:
        print(f"note: {note}")
    if written.found:
        print(f"note: there already: {written.found:,} of {n_shards:,} shards")
    if written.missing:
        made = f"{written.made:,} shard{'s' * (written.made != 1)} made"
        print(f"{made}; {written.missing:,} of {n_shards:,} are still missing")
        return 0
    units = f"{len(written.embeddings):,} units of {store.n_pieces:,} pieces"
    print(f"{units}, in {n_shards:,} shards: {printable(out)}")
    print("Next: " + command("search", "build", out, "-o", "index"))
    return 0


def main_of_files(options):
    """Embed files, and print a line for each that cannot be read. Returns the exit status."""
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
        files = f"{len(pieces):,} file" + "s" * (len(pieces) > 1)
        what = f"{len(table):,} units" if options.per == "beat" else "one vector per piece"
        print(f"{what} of {files}, in {' and '.join(written)}")
        if errors:
            print(f"left out: {len(errors):,} of {len(errors) + len(pieces):,}")
        if following := search_after_embed(options, [path for path, _ in pieces], table):
            print("Next: " + following)
    return 1 if errors else 0


if __name__ == "__main__":
    run(main)
