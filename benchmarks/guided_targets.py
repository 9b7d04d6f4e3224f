"""What the guided fuzzer tries: each target has inputs to begin with, and reads one.

A target's `check(data)` returns in a few words what came of the input: accepted, or refused with
the error that is documented. It raises another exception if there is a fault.
"""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import damage, resealed
from benchmarks.fuzz import _check as check_piece
from benchmarks.fuzz import seeds as midi_files
from tinyembed.embedding.embed import EmbeddingWarning, embed
from tinyembed.errors import InputError, MusicError, WorkError
from tinyembed.models.table import EMBEDDING
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import PITCHES, TICKS, n_units
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.results import result_rows

LONGEST = 2000  # beats of a piece that is embedded; a longer one only takes longer


@dataclass(frozen=True)
class Target:
    """seeds: inputs, as bytes; check: what reads one; mutate: (data, rng, bytewise) -> data, a
    change that knows the format, or None for the fuzzer's own changes."""

    seeds: list[bytes]
    check: Callable[[bytes], str]
    mutate: Callable | None = None


def midi(stack):
    """MIDI files into `read_midi`. stack: an `ExitStack` for what a target needs."""

    def check(data):
        try:
            piece = _read(data)
        except MusicError as error:
            return f"refused: {_one_line(error)}"
        return f"a piece of {len(piece.ticks)} onsets"

    return Target(midi_files(), check)


def embedded(stack):
    """MIDI files into embeddings, by a model of a few thousand weights."""
    stack.enter_context(damage.small())
    model = damage.a_model()
    warnings.simplefilter("ignore", EmbeddingWarning)

    def check(data):
        try:
            piece = _read(data)
        except MusicError as error:
            return f"refused: {_one_line(error)}"
        if piece.n_beats > LONGEST:
            return "a piece too long to be embedded here"
        rows = embed(piece, model)
        assert rows.shape == (int(n_units(piece.n_beats)), EMBEDDING), "rows for other units"
        assert rows.dtype == np.float32 and np.isfinite(rows).all(), "not finite"
        return f"{len(rows)} embeddings"

    return Target(midi_files(), check)


def weights(stack):
    """Weight files into `load_weights`, and then one embedding by each model."""
    path, seeds = _file(stack, "w.npz"), []
    stack.enter_context(damage.small())
    for options in ({}, {"matrices": np.float16}, {"step": 3, "examples": 9, "intervals": 0}):
        save_weights(path, damage.a_model(), **options)
        seeds.append(path.read_bytes())
    roll = np.eye(PITCHES, TICKS, dtype=np.float32)

    def use():
        model, _ = load_weights(path)
        try:
            row = embed(roll, model)
        except WorkError:  # large weights, which are told so
            return
        assert row.shape == (1, EMBEDDING) and np.isfinite(row).all(), "not finite"

    return Target(seeds, _checker(path, use), resealed.change_archive)


def index(stack):
    """Indexes, with music and without, into `Index.load` and `Collection.load`, and a search."""
    path, seeds = _file(stack, "a.index"), []
    stack.enter_context(damage.small())
    collection = Collection.of(damage.a_corpus(), damage.a_model(), progress=False)
    for one in (collection, Index(np.eye(4, dtype=np.float32)), Index(np.ones((3, 2)))):
        one.save(path)
        seeds.append(path.read_bytes())

    def use():
        loaded = Index.load(path)
        found = _search(loaded)
        if loaded.labels is not None:
            loaded = Collection.load(path)
            rolls = loaded.rolls(found.rows)
            assert rolls.shape[1:] == (PITCHES, TICKS), "rolls of another shape"

    return Target(seeds, _checker(path, use), resealed.change_index)


def _read(data):
    piece = read_midi(data, any_meter=bool(len(data) % 2))
    check_piece(piece)
    return piece


def _search(loaded):
    """The neighbours of one query: as many as can be found, up to three."""
    k = max(1, min(3, loaded.n_findable))
    found = loaded.search(np.ones(loaded.embeddings.shape[1]), k)
    assert len(set(found.rows.tolist())) == k and (np.abs(found.cosines) <= 1 + 1e-9).all()
    if loaded.labels is not None:
        result_rows(loaded.labels, found)
    return found


def _file(stack, name):
    return Path(stack.enter_context(tempfile.TemporaryDirectory())) / name


def _checker(path, use):
    """A function of bytes that writes them to a path and calls `use`."""

    def check(data):
        path.write_bytes(data)
        try:
            with np.errstate(all="ignore"):
                use()
        except InputError as error:
            return f"refused: {_one_line(error)}"
        return "accepted"

    return check


def _one_line(error):
    """The text of an error, which must be fit for a terminal."""
    text = str(error)
    assert text and text.isprintable() and len(text) <= 600, f"a bad line: {text!r:.200}"
    return text


TARGETS = {"midi": midi, "embed": embedded, "weights": weights, "index": index}
