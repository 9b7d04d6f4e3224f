"""Write a collection of made-up pieces, for measurements of more files than anybody has at hand.

    python -m benchmarks.synthetic N -o FOLDER [--seed 0] [--data FOLDER]

Lengths, onsets per beat, notes per instant, bytes per onset and tracks are drawn from quantiles of
real piano music, measured once, or anew in the folder that --data names. The music comes from a
simple random process. Every fiftieth file is one composer's, and no folder holds more than 1,000
files. Some files are copies under other names, some copies in other keys, some broken:
FOLDER/truth.json lists them.
"""

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.machine import positive
from benchmarks.parser import BenchmarkParser
from benchmarks.synthetic_music import Style, as_midi, make_up
from benchmarks.synthetic_shape import PIANO, Shape, measure
from tinyembed.backends.cpu.threads import usable_cores
from tinyembed.cli.options import path
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError
from tinyembed.storage.records import read_record, write_record

COMPOSERS, FILES_PER_FOLDER = 50, 1000
COPIED, MOVED, BROKEN = 0.03, 0.02, 0.02  # shares of the files
DAMAGES = ("cut short", "not MIDI", "empty")
SEMITONES = [key for key in range(-5, 7) if key]
FILES_PER_TASK = 200
SERIAL_FILES = 400  # two processes take a second to start
TRUTH = "truth.json"


def name_of(number):
    """The name of a file: composer, a folder of at most 1,000 files, file."""
    number, composer = divmod(number, COMPOSERS)
    # Not "p_000123": names that differ in such a number only are taken for movements of one work.
    return f"composer{composer:02}/{number // FILES_PER_FOLDER:03}/p{number:06}.mid"


@dataclass(frozen=True)
class Plan:
    """What each of n files is: (n,) arrays.

    origin:    the file whose music it has, itself unless it is a copy
    semitones: how much higher it is than its origin
    damage:    0, or 1 + an index into DAMAGES
    """

    origin: np.ndarray
    semitones: np.ndarray
    damage: np.ndarray

    @classmethod
    def draw(cls, n, seed):
        """Copies, moved copies and broken files, all of different pieces, in their shares."""
        rng = np.random.default_rng([seed, 0])
        origin, semitones, damage = np.arange(n), np.zeros(n, int), np.zeros(n, int)
        sizes = np.cumsum([round(share * n) for share in (COPIED, MOVED, BROKEN)])
        copies, moved, broken, others = np.split(rng.permutation(n), sizes)
        origin[copies] = others[: len(copies)]
        origin[moved] = others[len(copies) : len(copies) + len(moved)]
        semitones[moved] = rng.choice(SEMITONES, size=len(moved))
        damage[broken] = 1 + np.arange(len(broken)) % len(DAMAGES)
        return cls(origin, semitones, damage)

    def truth(self):
        """The same for a reader of the collection: names, of copies with their origins."""
        copies = np.flatnonzero(self.origin != np.arange(len(self.origin)))
        broken = np.flatnonzero(self.damage)
        return {
            "files": len(self.origin),
            "pieces": len(self.origin) - len(copies) - len(broken),  # different ones
            "copies": [
                [name_of(n), name_of(self.origin[n]), int(self.semitones[n])] for n in copies
            ],
            "broken": [[name_of(n), DAMAGES[self.damage[n] - 1]] for n in broken],
        }


def file_bytes(number, origin, semitones, damage, seed, table):
    """The bytes of one file of a `Plan`. A function of the seed and the numbers alone."""
    rng = np.random.default_rng([seed, 1, origin])
    shape = Shape.draw(table, rng)
    notes = make_up(rng, _style(seed, origin % COMPOSERS), shape)
    # A copy in another key is another's edition: other velocities, tempi and resolution.
    rng = np.random.default_rng([seed, 2, number if semitones else origin])
    data = as_midi(rng, notes, shape, semitones)
    return _damaged(data, DAMAGES[damage - 1], rng) if damage else data


def write_collection(folder, n, seed=0, table=PIANO, progress=True):
    """Write n files and truth.json, which comes last. Returns its contents.

    Raises InputError if there is something in the folder, WorkError where it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; pass the name of a new folder")
    plan = Plan.draw(n, seed)
    try:
        # A composer's folders first, so that tasks only write files.
        for name in {os.path.dirname(name_of(number)) for number in range(n)}:
            (folder / name).mkdir(parents=True)
        rows = list(zip(range(n), *map(np.ndarray.tolist, asdict(plan).values()), strict=True))
        tasks = [rows[at : at + FILES_PER_TASK] for at in range(0, n, FILES_PER_TASK)]
        write = functools.partial(_write_files, folder, seed=seed, table=table)
        with tqdm(total=n, unit="file", desc="Writing", disable=None if progress else True) as bar:
            size = 0
            for task, written in zip(tasks, _run_all(write, tasks, n), strict=True):
                size += written
                bar.update(len(task))
        truth = {"seed": seed, "bytes": size, "table": table, **plan.truth()}
        write_record(folder / TRUTH, truth)
    except OSError as error:
        raise WorkError(f"{error.filename or folder}: {error.strerror or error}") from None
    return truth


def read_truth(folder):
    """The contents of a collection's truth.json. Raises InputError if there is none."""
    return read_record(Path(folder) / TRUTH)


def _run_all(write, tasks, n):
    if n <= SERIAL_FILES:
        yield from map(write, tasks)
        return
    with ProcessPoolExecutor(usable_cores(), get_context("spawn")) as pool:
        yield from pool.map(write, tasks)


def _write_files(folder, rows, seed, table):
    """Write some files. rows: the arguments of `file_bytes` of each. Returns how many bytes."""
    size = 0
    for row in rows:
        data = file_bytes(*row, seed, table)
        (folder / name_of(row[0])).write_bytes(data)
        size += len(data)
    return size


@functools.cache
def _style(seed, composer):
    return Style.draw(np.random.default_rng([seed, 3, composer]))


def _damaged(data, damage, rng):
    if damage == "empty":
        return b""
    if damage == "not MIDI":
        return b"These are words, not music.\n" * int(rng.integers(1, 500))
    first_end = 22 + int.from_bytes(data[18:22], "big")  # of the track of tempi
    second = int.from_bytes(data[first_end + 4 : first_end + 8], "big")
    return data[: first_end + 8 + int(second * rng.uniform(0.1, 0.9))]


def main(argv=None):
    parser = BenchmarkParser("synthetic", __doc__.splitlines()[0])
    parser.add("n", "how many files", positive, metavar="N")
    parser.add("-o --out", "a new folder", path, metavar="FOLDER", required=True)
    parser.add("--data", "measure this folder of MIDI files instead", path, metavar="FOLDER")
    parser.share("--seed")
    options = parser.parse_args(argv)
    table = measure(options.data) if options.data else PIANO
    truth = write_collection(options.out, options.n, options.seed, table)
    print(
        f"{truth['files']:,} files, {truth['bytes'] / 1e6:,.1f} MB: {truth['pieces']:,} different "
        f"pieces, {len(truth['copies']):,} copies, {len(truth['broken']):,} broken files"
    )
    return 0


if __name__ == "__main__":
    run(main)
