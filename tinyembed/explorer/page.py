"""`Contents` become one HTML page that needs nothing else: no file, no network, no server.

The page's parts lie beside this module: page.html with gaps to fill, page.css, and the scripts,
which stand one after the other in the page and so share their names. What the page shows is in
two blocks that no browser runs: names as JSON, and numbers as base64 of arrays laid end to end.
"""

import base64
import hashlib
import json
from pathlib import Path
from string import Template

import numpy as np

from tinyembed import __version__
from tinyembed.explorer.contents import NEIGHBOURS, cut_notes
from tinyembed.music.midi import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, LOWEST_PITCH, PITCHES

HERE = Path(__file__).parent
SCRIPTS = (
    *("data", "theme", "state", "roll", "sound", "camera", "grid", "paint", "map"),
    *("gestures", "panel", "find", "legend", "main"),
)
GENERATOR = "tinyembed.explore"  # stands in a page of ours, so that it is known
NOWHERE = 65_535  # both coordinates of a unit that is not placed


def html_page(contents, model):
    """The whole page as text. model: what to call the model whose embeddings are shown."""
    about, arrays = describe(contents)
    layout, numbers = pack(arrays)
    about |= {"model": model, "arrays": layout}
    style = read("page.css")
    script = "\n".join(read(f"{name}.js") for name in SCRIPTS)
    return Template(read("page.html")).substitute(
        generator=GENERATOR,
        style=style,
        style_hash=fingerprint(style),
        script=script,
        script_hash=fingerprint(script),
        about=as_json(about),
        numbers=base64.b64encode(numbers).decode(),
    )


def describe(contents):
    """What the page must know: a dict for JSON, and {name: array} of whole numbers.

    Pieces and composers are those of the units shown, numbered anew: pieces in their order,
    composers by how many units they have here, so that the first get the clearest colours.
    """
    labels, rows = contents.collection.index.labels, contents.rows
    corpus = contents.collection.corpus
    pieces, piece = np.unique(labels.piece[rows], return_inverse=True)
    owners = labels.piece_composer[pieces]  # of each piece shown
    units = np.bincount(owners[piece], minlength=len(labels.composers))
    order = np.argsort(-units, kind="stable")[: np.count_nonzero(units)]
    number = {int(composer): n for n, composer in enumerate(order)}
    about = {
        "version": __version__,
        "map": contents.map_words,
        "allUnits": len(labels),
        "allPieces": len(labels.pieces),
        "composers": [labels.composers[c] for c in order],
        "pieces": [
            {"name": labels.pieces[p], "composer": number[int(c)]}
            for p, c in zip(pieces, owners, strict=True)
        ],
        "nNeighbours": NEIGHBOURS,
        "beatsPerUnit": BEATS_PER_UNIT,
        "ticksPerBeat": TICKS_PER_BEAT,
        "pitches": PITCHES,
        "lowestPitch": LOWEST_PITCH,
        "nowhere": NOWHERE,
    }
    beats = corpus.piece_beats[labels.piece[rows]] + labels.beat[rows]
    first, beat_start, notes = cut_notes(corpus, beats)
    x, y = on_grid(contents.positions).T
    arrays = {
        "x": x,
        "y": y,
        "piece": compact(piece, len(pieces)),
        "beat": labels.beat[rows].astype(np.uint32),
        "seconds": labels.seconds[rows].astype(np.float32),  # nan where nobody knows
        "first": first.astype(np.uint32),
        "beatStart": beat_start.astype(np.uint32),
        "notes": notes.astype(np.uint16),
        "neighbours": compact(contents.neighbours, len(rows)).ravel(),
        "cosines": np.round(1000 * contents.cosines).astype(np.int16).ravel(),  # of what is shown
    }
    return about, arrays


def on_grid(positions):
    """Positions (n, 2) as (n, 2) uint16: both axes on one scale, NOWHERE for nan."""
    grid = np.full(positions.shape, NOWHERE, np.uint16)
    there = np.isfinite(positions).all(axis=1)
    if there.any():
        low = positions[there].min(axis=0)
        extent = max(np.ptp(positions[there], axis=0).max(), 1e-300)
        grid[there] = np.round((positions[there] - low) / extent * (NOWHERE - 1))
    return grid


def compact(numbers, n):
    """Whole numbers below n in as few bytes as hold them; -1 becomes one that is not below n."""
    return numbers.astype(np.uint16 if n <= 65_535 else np.uint32)


def pack(arrays):
    """Arrays end to end, each from a multiple of four bytes on, little-endian.

    Returns the layout, [{name, type, start, length}, ...], and the bytes.
    """
    layout, parts, start = [], [], 0
    for name, array in arrays.items():
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        layout.append(
            {"name": name, "type": str(array.dtype), "start": start, "length": len(array)}
        )
        data += bytes(-len(data) % 4)
        parts.append(data)
        start += len(data)
    return layout, b"".join(parts)


def as_json(value):
    """JSON that may stand in a script block of HTML: no name in it can end or open anything."""
    return json.dumps(value).replace("<", "\\u003c")


def fingerprint(text):
    """What a page's policy calls an inline block by; the browser runs no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def read(name):
    """A part of the page."""
    return (HERE / name).read_text(encoding="utf-8")
