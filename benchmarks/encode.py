"""How fast are units encoded, a song embedded, the package imported?

    python -m benchmarks.encode [--json]

Encoding: evaluation mode, batches of 1,000, beside PyTorch with the same weights. A song: 500
beats of MIDI, from bytes to embeddings by the default model, weights loaded. Import: a new process
each.
"""

import io
import subprocess
import sys
import time

import mido
import numpy as np

import tinyembed
from benchmarks.machine import finish, positive, ratio, read_options, side_by_side, spread
from benchmarks.parser import BenchmarkParser
from tinyembed.backends.cpu.threads import workers
from tinyembed.cli.running import run
from tinyembed.embedding.trained import DEFAULT
from tinyembed.models.model import Model
from tinyembed.models.table import WIDTHS

UNITS, BEATS = 1000, 500


def main(argv=None):
    parser = BenchmarkParser("encode", __doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=9, help="turns that each takes")
    options = read_options(parser, argv)
    result = {}
    for width in WIDTHS:
        taken = side_by_side(encoders(width), options.rounds)
        theirs = min(list(taken)[1:], key=lambda name: np.median(taken[name]))
        result[width] = {
            "units_per_s": UNITS / float(np.median(taken["tinyembed"])),
            "torch_units_per_s": UNITS / float(np.median(taken[theirs])),
            "ratio": ratio(taken["tinyembed"], taken[theirs]),
            "seconds": {name: spread(seconds) for name, seconds in taken.items()},
        }
    # Whatever the weights. The default model counts intervals, too.
    model = Model(DEFAULT, "small", ["one", "another"], np.random.default_rng(0))
    song = a_song()
    song_taken = side_by_side({"song": lambda: tinyembed.embed(song, model)}, options.rounds)
    result["song_ms"] = 1e3 * float(np.median(song_taken["song"]))
    result["import_ms"] = 1e3 * float(np.median([import_seconds() for _ in range(options.rounds)]))
    if not options.json:
        for width in WIDTHS:
            r = result[width]
            print(f"{width:6}{r['units_per_s']:8.0f} units/s, {r['ratio']:.2f} times PyTorch's")
        print(f"a song of {BEATS} beats: {result['song_ms']:.0f} ms")
        print(f"import tinyembed: {result['import_ms']:.0f} ms")
    finish("encode", result, options)
    return 0


def encoders(width):
    """{name: function} that encodes the same 1,000 units."""
    import torch

    from benchmarks.peer import Peer

    torch.set_num_threads(workers())
    rng = np.random.default_rng(0)
    rolls = (rng.random((UNITS, 60, 96)) < 20 / (60 * 96)).astype(np.float32)
    model = Model("context", width, [], rng)
    given = torch.tensor(rolls)[:, None]

    def theirs(channels_last):
        encoder = Peer(model).eval().encoder
        if channels_last:
            encoder = encoder.to(memory_format=torch.channels_last)

        def encode():
            with torch.inference_mode():
                encoder(given)

        return encode

    return {
        "tinyembed": lambda: model.encode(rolls),
        "torch": theirs(False),
        "torch channels last": theirs(True),
    }


def a_song():
    """500 beats of four-part chords and a running voice, as bytes of a MIDI file."""
    song, track = mido.MidiFile(), mido.MidiTrack()
    song.tracks.append(track)
    rng = np.random.default_rng(0)
    for _ in range(BEATS):
        notes = rng.integers(40, 90, 7)
        for k, note in enumerate(notes):  # four at once, then three more within the beat
            track.append(mido.Message("note_on", note=int(note), time=0 if k < 4 else 120))
        for k, note in enumerate(notes):
            track.append(mido.Message("note_off", note=int(note), time=120 if k == 0 else 0))
    data = io.BytesIO()
    song.save(file=data)
    return data.getvalue()


def import_seconds():
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tinyembed"], check=True)
    took = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return took - (time.perf_counter() - began)


if __name__ == "__main__":
    run(main)
