"""Does any damaged MIDI file get more out of the reader than one line?

    python -m benchmarks.fuzz [N] [--data FOLDER] [--seed 0] [--compiled] [--json]

Reads N mutated files, 20,000 unless another number is given: bytes changed, removed, doubled or
inserted, lengths and numbers set to extreme values, parts of two files joined. A file must give a
piece or a `MusicError`, within 5 s and 200 MB, which a limit on this process's memory enforces.
With --compiled numba's reader reads them, which raises IndexError for an index outside.
"""

import io
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import mido
import numpy as np
from tqdm import tqdm

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.backends import choice
from tinyembed.cli.options import check_counts, count, folder
from tinyembed.cli.running import run
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.music.folders import find_pieces
from tinyembed.music.midi import read_midi

MOST_SECONDS, MOST_BYTES = 5, 200_000_000
LARGEST_SEED = 50_000  # bytes: of a larger file, most mutations would fall on ordinary notes
EXTREMES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\5\xf5\xe1\0",
    b"\x87\xff\xff\x7f",
)
WORDS = (
    b"MThd",
    b"MTrk",
    b"RIFF",
    b"\0\xff\x2f\0",
    b"\0\xff\x51\3",
    b"\0\xff\x58\4",
    b"\0\xf0",
    b"\xff",
)


def seeds(folder=None):
    """Whole files to mutate: some that are made here, or those of a folder."""
    if folder is not None:
        files = [Path(path).read_bytes() for _, _, path in find_pieces(folder)[0]]
        return [data for data in files if len(data) <= LARGEST_SEED]
    rng = np.random.default_rng(0)
    files = []
    for midi_format, n_tracks in ((0, 1), (1, 3), (2, 2)):
        midi = mido.MidiFile(type=midi_format, ticks_per_beat=96)
        for _ in range(n_tracks):
            track = midi.add_track("a name")
            track.append(mido.MetaMessage("set_tempo", tempo=400_000))
            track.append(mido.MetaMessage("time_signature", numerator=3, denominator=4))
            track.append(mido.Message("sysex", data=(1, 2, 3)))
            for _ in range(40):
                note, time_before = int(rng.integers(30, 90)), int(rng.integers(300))
                track.append(mido.Message("note_on", note=note, time=time_before))
                track.append(mido.Message("note_off", note=note, time=48))
            track.append(mido.Message("program_change", program=3))
        file = io.BytesIO()
        midi.save(file=file)
        files.append(file.getvalue())
    return files


def mutate(data, others, rng):
    """A damaged copy of a file: one to eight mutations. others: files to take parts of."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        # Half of the mutations are near the beginning, where the headers are.
        near = min(len(data), 60) if rng.random() < 0.5 else len(data)
        at = int(rng.integers(near + 1))
        stop = at + int(rng.integers(1, 40))
        kind = int(rng.integers(8))
        if kind == 0:
            data[at : at + 1] = bytes([int(rng.integers(256))])
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del data[at:stop]
        elif kind == 3:
            data[at:at] = data[at:stop]
        elif kind == 4:
            data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 5:
            data[at : at + 4] = EXTREMES[rng.integers(len(EXTREMES))]
        elif kind == 6:
            data[at:at] = WORDS[rng.integers(len(WORDS))]
        else:
            other = others[rng.integers(len(others))]
            start = int(rng.integers(len(other)))
            data[at:] = other[start : start + 3000]
    return bytes(data)


def fuzz(n, files, seed=0, progress=False):
    """Read n mutated files. Returns a `Counter` of what came of them, and the slowest in seconds.

    Raises WorkError, with the number of the mutation, for anything but a piece or a MusicError.
    """
    signal.signal(signal.SIGALRM, _too_slow)
    outcomes, slowest = Counter(), 0.0
    for i in tqdm(range(n), unit="file", disable=None if progress else True):
        rng = np.random.default_rng([seed, i])
        data = mutate(files[i % len(files)], files, rng)
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        try:
            piece = read_midi(data, any_meter=bool(i % 2))
            _check(piece)
            outcomes["repaired" if piece.repairs else "read"] += 1
        except MusicError as error:
            outcomes[str(error).partition(":")[0].partition(",")[0]] += 1
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise WorkError(f"mutation {i} with seed {seed}: {what}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.perf_counter() - start)
    return outcomes, slowest


def _check(piece):
    """Raise AssertionError if a piece is not what `Piece` promises."""
    order = piece.ticks.astype(np.int64) * 128 + piece.pitches
    assert len(order) and (np.diff(order) > 0).all(), "onsets are not sorted"
    assert piece.ticks[0] >= 0 and piece.ticks[-1] < 24 * piece.n_beats, "an onset outside"
    seconds = piece.seconds(np.arange(min(piece.n_beats, 1000)))
    assert np.isfinite(seconds).all() and (np.diff(seconds) >= 0).all(), "impossible times"


def _too_slow(*_):
    raise TimeoutError(f"more than {MOST_SECONDS} s")


def limit_memory():
    """Allow this process MOST_BYTES more than it has now."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, hard))


def main(argv=None):
    parser = BenchmarkParser("fuzz", __doc__.splitlines()[0])
    parser.add("n", "mutated files", count, 20_000, "N", nargs="?")
    parser.add("--data", "folder of MIDI files to mutate (default: some made here)", folder)
    parser.add("--compiled", "read with the reader that numba compiles")
    parser.share("--seed", "--json")
    options = parser.parse_args(argv)
    check_counts(options, "n")
    files = seeds(options.data)
    backend = "numba" if options.compiled else "plain"
    if choice.use(backend) != backend:
        raise InputError('--compiled: numba is not installed: pip install "tinyembed[fast]"')
    read_midi(seeds()[0])  # loads what is needed before the memory is limited
    limit_memory()
    outcomes, slowest = fuzz(options.n, files, options.seed, not options.json)
    result = {
        "files": options.n,
        "outcomes": dict(outcomes.most_common()),
        "slowest_s": slowest,
        "most_bytes": MOST_BYTES,
    }
    if not options.json:
        for outcome, number in outcomes.most_common():
            print(f"{number:8,}  {outcome}")
        print(f"slowest {1000 * slowest:.0f} ms, none over {MOST_BYTES / 1e6:.0f} MB")
    name = "fuzz" + "-folder" * bool(options.data) + "-compiled" * options.compiled
    finish(name, result, options)
    return 0


if __name__ == "__main__":
    run(main)
