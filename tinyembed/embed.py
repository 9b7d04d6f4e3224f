"""python -m tinyembed.embed PATH... -o out.npz: 100 numbers for every beat of every file."""

import inspect
import json
import os
import shlex
import sys
import types

import numpy as np

from tinyembed.backends.arrays import device_module, device_name
from tinyembed.backends.memory import room_on
from tinyembed.cli.options import Parser, add_any_meter, add_device, add_json, add_model, folder
from tinyembed.cli.running import run
from tinyembed.embedding.embed import (
    DEFAULT,
    embed,
    embed_piece,
    loaded,
    named,
    units_bar,
    weight_file,
)
from tinyembed.embedding.exports import Table, check_out, write_table
from tinyembed.errors import InputError
from tinyembed.music.inputs import find_music, printable, read_files
from tinyembed.music.reading import SUFFIXES
from tinyembed.music.roll import BEATS_PER_UNIT, units_sound
from tinyembed.storage.files import digest


class _Callable(types.ModuleType):
    # `import tinyembed.embed` puts this module where the function `tinyembed.embed` was. Then the
    # module does what the function does, so that the name means the same whatever was imported.
    def __call__(self, *args, **options):
        return embed(*args, **options)


sys.modules[__name__].__class__ = _Callable
__signature__ = inspect.signature(embed)


def build_parser():
    """All options of the command."""
    parser = Parser("embed", "Write the embedding of every beat of MIDI files and scores.")
    parser.add_argument(
        "paths", nargs="+", type=folder, metavar="PATH", help="a file, or a folder of files"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=folder,
        metavar="FILE",
        default="embeddings.npz",
        help="file to write: .npz, .csv, or .tsv for the TensorBoard projector",
    )
    add_model(parser)
    add_any_meter(parser)
    add_device(parser)
    add_json(parser)
    return parser


def main(argv=None):
    """Embed what can be; say of each file that cannot why. Returns the exit status."""
    options = build_parser().parse_args(argv)
    check_out(options.out)
    progress = False if options.json else None
    xp = device_module(options.device)
    with room_on(xp):
        model = loaded(options.model, options.device)
    paths, errors = expand(options.paths)
    good = []
    for path, piece in zip(paths, read_files(paths, options.any_meter, progress), strict=True):
        if isinstance(piece, Exception):
            errors.append(named(piece, path))
        else:
            good.append((path, piece))
    for error in errors:
        print(f"tinyembed: {error}", file=sys.stderr)
    if not good:
        return errors[0].exit_status

    with room_on(xp):
        table = make_table(good, model, options, progress)
    written = write_table(options.out, table, progress)
    padded = [printable(path) for path, piece in good if piece.n_beats < BEATS_PER_UNIT]
    if options.json:
        rows = np.bincount(table.file_index).tolist()
        summary = {
            "out": written,
            "model": table.model,
            "weights": table.weights,
            "device": device_name(xp),
            "rows": len(table),
            "files": [{"file": f, "rows": n} for f, n in zip(table.files, rows, strict=True)],
            "padded": padded,
            "left_out": [str(error) for error in errors],
        }
        print(json.dumps(summary))
    else:
        for path in padded:
            print(f"note: {path}: fewer than four beats, padded with silence to one unit")
        print(f"{len(table):,} units of {len(good):,} files, in {' and '.join(written)}")
        if errors:
            print(f"left out: {len(errors):,} of {len(errors) + len(good):,}")
        print("Next: " + next_command(options, good[0][0], table))
    return 1 if errors else 0


def expand(paths):
    """The files that paths name, folders opened up; and the errors of what is not there."""
    files, errors = [], []
    for path in paths:
        try:
            files += find_music(path) if os.path.isdir(path) else [path]
        except InputError as error:
            errors.append(error)
    return files, errors


def make_table(good, model, options, progress):
    """The `Table` of some (path, `Piece`)."""
    with units_bar([piece for _, piece in good], progress) as bar:
        rows = [embed_piece(piece, model, bar) for _, piece in good]
    beats = [np.arange(len(r), dtype=np.int32) for r in rows]
    times = [piece.seconds(b) for (_, piece), b in zip(good, beats, strict=True)]
    return Table(
        embeddings=np.concatenate(rows),
        files=[printable(path) for path, _ in good],
        file_index=np.repeat(np.arange(len(good), dtype=np.int32), [len(r) for r in rows]),
        beat=np.concatenate(beats),
        time=np.concatenate(times),
        sounds=np.concatenate([units_sound(piece) for _, piece in good]),
        model=options.model,
        weights=digest(weight_file(options.model)),
    )


def next_command(options, path, table):
    """What to try next: the neighbours of the first unit that sounds, among the files around."""
    folders = [p for p in options.paths if os.path.isdir(p)]
    place = folders[0] if folders else os.path.dirname(path) or os.curdir
    beat = int(table.beat[table.sounds][0])
    words = ["python", "-m", "tinyembed.search", path, "--beat", str(beat)]
    words += ["--in", place] if path.lower().endswith(SUFFIXES) else []  # a corpus is of MIDI files
    words += ["--model", options.model] if options.model != DEFAULT else []
    words += ["--any-meter"] if options.any_meter else []
    return printable(shlex.join(words))


if __name__ == "__main__":
    run(main)
