"""Does our MIDI reader give what mido gives, and how long does it take?

    python -m benchmarks.readers FOLDER [--json]

Every event of every file that mido reads is compared: its time, its status and its data; and with
numba those of our reader compiled to those of the plain one. Then all read all files again, in
turn, file by file.
"""

import io
import statistics
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import mido

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.backends import choice
from tinyembed.cli.options import folder
from tinyembed.cli.running import run
from tinyembed.errors import MusicError, WorkError
from tinyembed.music.folders import find_pieces
from tinyembed.music.midi import read_midi
from tinyembed.music.midi_events import END_OF_TRACK, META, TEMPO, TIME_SIGNATURE, read_number
from tinyembed.music.midi_tracks import read_tracks

FIRST = b"MThd\0\0\0\6\0\0\0\1\0\x18MTrk\0\0\0\x08\0\x90\x3c\x40\0\xff\x2f\0"  # one note


def events(data):
    """For each track of a file, its events as (time, status, data bytes). data: bytes."""
    _, _, columns, bounds, _ = read_tracks(data)
    tracks = []
    for start, stop in pairwise(bounds):
        rows = []
        columns_of_track = (column[start:stop].tolist() for column in columns)
        for now, status, first, second in zip(*columns_of_track, strict=True):
            if status == META:
                length, at = read_number(data, second, len(data))
                rows.append((now, META, (first, *data[at : at + length])))
            elif 0xC0 <= status < 0xE0:
                rows.append((now, status, (first,)))
            else:
                rows.append((now, status, (min(first, 127), min(second, 127))))
        tracks.append(rows)
    return tracks


def events_of_mido(data):
    """The same, read by mido. Raises whatever mido raises."""
    tracks = []
    for track in mido.MidiFile(file=io.BytesIO(data), clip=True).tracks:
        rows, now = [], 0
        for message in track:
            now += message.time
            status, *values = message.bytes()
            if message.is_meta:
                encoded = bytes([status, *values])
                _, at = read_number(encoded, 2, len(encoded))
                rows.append((now, META, (encoded[1], *encoded[at:])))
            elif status < 0xF0:  # system messages have no row
                rows.append((now, status, tuple(values)))
        tracks.append(rows)
    return tracks


def without_text(tracks):
    """The events without meta events that mido changes, since it decodes and encodes them."""
    kept = END_OF_TRACK, TEMPO, TIME_SIGNATURE
    return [[row for row in rows if row[1] != META or row[2][0] in kept] for rows in tracks]


def compare(paths):
    """Compare both readers. Returns the number of equal files, the names of those that differ, and
    (name, our reason or None) of those that mido cannot read."""
    equal, different, only_ours = 0, [], []
    for path in paths:
        data = Path(path).read_bytes()
        try:
            expected = events_of_mido(data)
        except Exception as error:  # mido raises many unrelated types
            only_ours.append((str(path), type(error).__name__, _reason(data)))
            continue
        if without_text(events(data)) == without_text(expected):
            equal += 1
        else:
            different.append(str(path))
    return equal, different, only_ours


def differently_compiled(paths):
    """The names of the files of which the compiled reader makes something else than the plain."""
    found = {}
    for backend in ("plain", "numba"):
        choice.use(backend)
        found[backend] = [_all_of(Path(path).read_bytes()) for path in paths]
    pairs = zip(paths, found["plain"], found["numba"], strict=True)
    return [str(path) for path, plain, compiled in pairs if plain != compiled]


def _all_of(data):
    """Everything that `read_tracks` returns, in values that can be compared, or its error."""
    try:
        midi_format, resolution, columns, bounds, repairs = read_tracks(data)
    except MusicError as error:
        return str(error)
    return midi_format, resolution, [column.tobytes() for column in columns], bounds, repairs


def _reason(data):
    try:
        read_midi(data, any_meter=True)
    except MusicError as error:
        return str(error)
    return None


def main(argv=None):
    parser = BenchmarkParser("readers", __doc__.splitlines()[0])
    parser.add("folder", "of MIDI files", folder, metavar="FOLDER")
    parser.share("--json")
    options = parser.parse_args(argv)
    paths = [path for _, _, path in find_pieces(options.folder)[0]]
    equal, different, only_ours = compare(paths)
    readers = {"tinyembed": partial(_seconds, "plain", read_midi)}
    if choice.use() == "numba":
        different += differently_compiled(paths)
        readers["tinyembed, compiled"] = partial(_seconds, "numba", read_midi)
    readers["mido"] = partial(_seconds, "plain", _read_with_mido)
    times = {name: [] for name in readers}
    for path in paths:
        data = Path(path).read_bytes()
        for name, seconds in readers.items():
            times[name].append(seconds(data))
    milliseconds = {name: 1000 * statistics.mean(found) for name, found in times.items()}
    result = {
        "files": len(paths),
        "equal": equal,
        "different": different,
        "mido_cannot_read": only_ours,
        "ms_per_file": milliseconds,
    }
    if not options.json:
        print(f"{equal} of {len(paths)} files with the same events; {len(different)} differ")
        for name, error, reason in only_ours:
            print(f"  mido raises {error}, we {reason or 'read it'}: {name}")
        for name, t in milliseconds.items():
            print(f"{name}: {t:.2f} ms per file")
    finish("readers", result, options)
    if different:
        raise WorkError(f"other events than mido's: {', '.join(different)}")
    return 0


def _seconds(backend, read, data):
    """How long it takes to read a file with a backend."""
    choice.use(backend)
    read_midi(FIRST)  # looks the backend's reader up
    start = time.perf_counter()
    try:
        read(data, True)
    except Exception:  # a file that is refused also takes its time
        pass
    return time.perf_counter() - start


def _read_with_mido(data, any_meter):
    return read_midi(mido.MidiFile(file=io.BytesIO(data), clip=True), any_meter)


if __name__ == "__main__":
    run(main)
