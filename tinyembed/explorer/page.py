"""`Contents` become one HTML page that needs no other file, no network and no server.

The parts of the page are beside this module: page.html, a template; page.css; and the scripts,
which are concatenated in the page and share one scope. The contents are in two blocks that the
browser does not execute: names as JSON, and numbers as base64 of concatenated arrays.
"""

import base64
import hashlib
import json
from pathlib import Path
from string import Template

import numpy as np

from tinyembed import __version__
from tinyembed.explorer.contents import cut_notes
from tinyembed.explorer.pieces import NEIGHBOURS
from tinyembed.music.piece import TICKS_PER_BEAT
from tinyembed.music.roll import BEATS_PER_UNIT, LOWEST_PITCH, PITCHES

SCRIPTS = (
    *("data", "views", "theme", "state", "roll", "sound", "camera", "grid", "paint", "map"),
    *("gestures", "panel", "find", "legend", "main"),
)
GENERATOR = "tinyembed.explore"  # named in every page, see `is_page`
NOWHERE = 65_535  # both coordinates of a unit that is not placed


def html_page(contents, model):
    """The whole page as text. model: the name to show for the model that made the embeddings."""
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


def is_page(path):
    """Whether a file is one that `html_page` made."""
    with open(path, "rb") as file:
        return GENERATOR.encode() in file.read(1000)


def describe(contents):
    """The data of the page: a dict for JSON, and {name: array}.

    Only the pieces and composers of the units shown are listed, with new indices: pieces in their
    order, composers by their number of units here, so that the first get the clearest colours.
    """
    labels, rows = contents.collection.index.labels, contents.rows
    corpus = contents.collection.corpus
    pieces, piece = np.unique(labels.piece[rows], return_inverse=True)
    piece_composer = labels.piece_composer[pieces]
    units = np.bincount(piece_composer[piece], minlength=len(labels.composers))
    order = np.argsort(-units, kind="stable")[: np.count_nonzero(units)]
    new_index = {int(composer): n for n, composer in enumerate(order)}
    about = {
        "version": __version__,
        "map": contents.map_description,
        "allUnits": len(labels),
        "allPieces": len(labels.pieces),
        "composers": [labels.composers[c] for c in order],
        "pieces": [
            {"name": labels.pieces[p], "composer": new_index[int(c)]}
            for p, c in zip(pieces, piece_composer, strict=True)
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
        "seconds": labels.seconds[rows].astype(np.float32),  # nan if unknown
        "first": first.astype(np.uint32),
        "beatStart": beat_start.astype(np.uint32),
        "notes": notes.astype(np.uint16),
        "neighbours": compact(contents.neighbours, len(rows)).ravel(),
        "cosines": thousandths(contents.cosines),
    }
    if contents.pieces is not None:
        about["pieceMap"] = contents.pieces.map_description
        arrays |= describe_pieces(contents.pieces, pieces)
    return about, arrays


def describe_pieces(found, pieces):
    """{name: array} of a `PieceMap`. pieces: indices of the page's pieces in the collection.

    A piece without a point is NOWHERE.
    """
    where = np.searchsorted(pieces, found.pieces)  # index in the page of each piece with a point
    grid = np.full((len(pieces), 2), NOWHERE, np.uint16)
    grid[where] = on_grid(found.positions)
    unit, shape = np.zeros(len(pieces), np.uint32), (len(pieces), NEIGHBOURS)
    unit[where] = found.unit
    neighbours, cosines = np.full(shape, -1), np.zeros(shape)
    there = found.neighbours >= 0
    neighbours[where] = np.where(there, where[found.neighbours], -1)
    cosines[where] = found.cosines
    return {
        "pieceX": grid[:, 0],
        "pieceY": grid[:, 1],
        "pieceUnit": unit,
        "pieceNeighbours": compact(neighbours, len(pieces)).ravel(),
        "pieceCosines": thousandths(cosines),
    }


def thousandths(cosines):
    """Cosines as whole numbers, (n * 10,): the page shows three digits."""
    return np.round(1000 * cosines).astype(np.int16).ravel()


def on_grid(positions):
    """Positions (n, 2) as (n, 2) uint16: one scale for both axes, NOWHERE for nan."""
    grid = np.full(positions.shape, NOWHERE, np.uint16)
    there = np.isfinite(positions).all(axis=1)
    if there.any():
        low = positions[there].min(axis=0)
        extent = max(np.ptp(positions[there], axis=0).max(), 1e-300)
        grid[there] = np.round((positions[there] - low) / extent * (NOWHERE - 1))
    return grid


def compact(indices, n):
    """Indices below n in the smallest type that holds them; -1 becomes a number not below n."""
    return indices.astype(np.uint16 if n <= 65_535 else np.uint32)


def pack(arrays):
    """Concatenate arrays, each aligned to four bytes, little-endian.

    Returns the layout, [{name, type, start, length}, ...], and the bytes.
    """
    layout, data = [], b""
    for name, array in arrays.items():
        part = {"name": name, "type": str(array.dtype), "start": len(data), "length": len(array)}
        layout.append(part)
        data += array.astype(array.dtype.newbyteorder("<")).tobytes()
        data += bytes(-len(data) % 4)
    return layout, data


def as_json(value):
    """JSON for a script block of HTML, in which no name can end the block or open another."""
    return json.dumps(value).replace("<", "\\u003c")


def fingerprint(text):
    """The hash by which the page's security policy allows an inline block, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def read(name):
    """A part of the page."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
