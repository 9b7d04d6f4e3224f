"""What does the alignment of measures change in the default corpus, and is it right?

    python -m benchmarks.scores [--json]

Reads each score with its measures as music21 places them, and aligned. Prints how many are moved,
and the share of consonant pairs among notes that begin together, before and after. Then compares
all scores with partitura, if that is installed, and a quartet that music21 has in two formats,
Humdrum and MusicXML.
"""

import math
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.running import run
from tinyembed.music import streams
from tinyembed.music.corpus import Corpus
from tinyembed.music.default_corpus import find_works, scores_folder
from tinyembed.music.patterns import Patterns
from tinyembed.music.scores import read_score

CONSONANT = {
    0,
    3,
    4,
    5,
    7,
    8,
    9,
}  # semitones, octaves aside: unisons, thirds to sixths but no tritone
TWICE = "beethoven/opus18no1/movement{}"  # with the endings .krn and .mxl
MOVEMENTS = (1, 2, 3, 4)


@contextmanager
def unaligned():
    """Within it, measures stay where music21 places them."""
    align = streams.align
    streams.align = lambda parts: [[bar.start for bar in part] for part in parts]
    try:
        yield
    finally:
        streams.align = align


def consonance(piece):
    """(consonant, all) pairs of different notes that begin together."""
    found = np.zeros(2, int)
    for pitches in np.split(piece.pitches.astype(int), np.flatnonzero(np.diff(piece.ticks)) + 1):
        apart = np.abs(pitches[:, None] - pitches)[np.triu_indices(len(pitches), 1)] % 12
        found += np.isin(apart, list(CONSONANT)).sum(), len(apart)
    return found


def shares_in_common(folder):
    """For each movement of TWICE, the share of the smaller file's units that both formats have."""
    shares = {}
    for n in MOVEMENTS:
        path = str(folder / TWICE.format(n))
        pieces = [("B", ending, read_score(path + ending, True)) for ending in (".krn", ".mxl")]
        patterns = Patterns.of(Corpus.from_pieces(pieces))
        common = max(patterns.in_common(0, 1, up) for up in range(-5, 7))
        shares[n] = common / int(patterns.count.min())
    return shares


def as_partitura(piece, path):
    """How partitura differs: "equal", "its parts drift", "octaves" or "differs"."""
    import partitura

    found, starts = set(), []
    for part in partitura.load_musicxml(path).parts:
        quarters, first = part.quarter_map, part.quarter_map(part.first_point.t)
        bars = part.iter_all(partitura.score.Measure)
        starts.append([round(float(quarters(bar.start.t) - first), 3) for bar in bars])
        for note in part.notes_tied:
            if not isinstance(note, partitura.score.GraceNote):
                time = float(quarters(note.start.t) - first)
                found.add((math.floor(24 * time + 0.5 + 1e-4), note.midi_pitch))
    ours = set(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True))
    if found == ours:
        return "equal"
    if any(one != starts[0] for one in starts):
        return "its parts drift"
    folded = [{(tick, pitch % 12) for tick, pitch in notes} for notes in (found, ours)]
    return "octaves" if folded[0] == folded[1] else "differs"


def main(argv=None):
    parser = BenchmarkParser("scores", __doc__.splitlines()[0])
    parser.share("--json")
    options = parser.parse_args(argv)
    folder = scores_folder()
    counts, readers = np.zeros((2, 2), int), Counter()  # before and after: beats, onsets
    pairs = {}  # {composer: (before and after, consonant and all)} of the scores that are moved
    n_moved, works = 0, find_works(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for composer, _, path in tqdm(works, disable=options.json or None):
            with unaligned():
                before = read_score(path)
            after = read_score(path)
            counts += [[piece.n_beats, len(piece.ticks)] for piece in (before, after)]
            if streams.ALIGNED in after.repairs:
                n_moved += 1
                both = np.array([consonance(before), consonance(after)])
                pairs[composer] = pairs.get(composer, 0) + both
            try:
                readers[as_partitura(after, path)] += 1
            except ImportError:
                pass
            except Exception as error:  # partitura's parser raises many unrelated types
                readers[f"partitura raises {type(error).__name__}"] += 1
    with unaligned():
        common_before = shares_in_common(folder)
    total = sum(pairs.values())
    shares = {name: [float(a / b) for a, b in found] for name, found in pairs.items()}
    shares["all"] = [float(a / b) for a, b in total]
    result = {
        "scores": len(works),
        "moved": n_moved,
        "beats": counts[:, 0].tolist(),
        "onsets": counts[:, 1].tolist(),
        "consonant": shares,
        "in_two_formats": [list(common_before.values()), list(shares_in_common(folder).values())],
        "partitura": dict(readers),
    }
    if not options.json:
        print(f"{n_moved} of {len(works)} scores are aligned")
        for name, (before, after) in shares.items():
            print(f"  consonant pairs, {name}: {before:.3f} before, {after:.3f} after")
        for n, before, after in zip(MOVEMENTS, *result["in_two_formats"], strict=True):
            path = Path(TWICE.format(n)).name
            print(f"  {path} in two formats: {before:.0%} of units in common, now {after:.0%}")
        print("partitura:", dict(readers) or "not installed")
    finish("scores", result, options)
    return 0


if __name__ == "__main__":
    run(main)
