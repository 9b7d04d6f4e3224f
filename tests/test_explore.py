"""The command tinyembed.explore: the contents of the page. See also test_explore_browser.py."""

import base64
import itertools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from explorer_contents import large_page
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus, write_midi

from tinyembed import explore
from tinyembed.cli.running import exit_status
from tinyembed.explorer import maps, page
from tinyembed.explorer.contents import cut_notes, draw_rows, find_neighbours
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.pieces import PieceSearch
from tinyembed.stores.sources import as_typed

NONE = 65_535  # no position, or no neighbour


def run(capsys, *words):
    """The command in this process: its exit status, and what it printed to both streams."""
    status = exit_status(lambda: explore.main([str(word) for word in words]))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


class Blocks(HTMLParser):
    """The text of a page's script and style blocks, and all its tags."""

    def __init__(self, text):
        super().__init__()
        self.blocks, self.tags = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.blocks.append("")

    def handle_data(self, text):
        if self.tags and self.tags[-1][0] in ("script", "style") and self.blocks:
            self.blocks[-1] += text

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}", {}))


def read_page(path):
    """The JSON of a page, with its arrays added by name, as a browser reads them."""
    _, about, numbers, _ = Blocks(path.read_text(encoding="utf-8")).blocks
    about, numbers = json.loads(about), base64.b64decode(numbers, validate=True)
    for a in about["arrays"]:
        dtype = np.dtype(a["type"]).newbyteorder("<")
        assert a["start"] % dtype.itemsize == 0
        about[a["name"]] = np.frombuffer(numbers, dtype, a["length"], a["start"])
    return about


def rolls_of(first, beat_start, notes):
    """The rolls of units, made of the notes of their four beats."""
    rolls = np.zeros((len(first), 60, 96), np.float32)
    for roll, begin in zip(rolls, first, strict=True):
        for beat in range(4):
            cells = notes[beat_start[begin + beat] : beat_start[begin + beat + 1]]
            roll[cells // 24, cells % 24 + 24 * beat] = 1
    return rolls


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.npz"
    save_weights(path, Model("context", "small", ["A"], np.random.default_rng(0)))
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Three composers; a piece with two long rests, one too short, and one that is not music."""
    folder = write_corpus(tmp_path_factory.mktemp("music") / "piano", pieces=3, beats=20)
    rest = [(480 * b, 480, 60 + b % 5) for b in range(30) if not 8 <= b < 14 and not 20 <= b < 25]
    write_midi(folder / "Bolero" / "rest.mid", rest)
    write_midi(folder / "Bolero" / "short.mid", [(0, 480, 20), (480, 480, 110)])
    (folder / "Bolero" / "text.mid").write_text("la la la")
    return folder


def test_the_page_holds_the_corpus(music, weights, tmp_path, monkeypatch):
    """In a process of its own: units, notes and neighbours, compared with their sources."""
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tinyembed.explore", "--data", music, "--model", weights,
         "-o", "a map.html", "--map", "pca"],
        capture_output=True, text=True, timeout=100,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar where there is no terminal
    lines = done.stdout.splitlines()
    listing = f"python -m tinyembed.corpus --data {as_typed(str(music))}"
    assert lines[0] == f"note: 1 file left out; {listing} says which, and why"
    assert lines[-3] == "note: 5 units without an onset are not on the map"
    assert lines[-2].startswith("a map.html: 181 units, 0.1 MB; PCA, which keeps ")
    assert lines[-1] == "Next: open a map.html in a browser"
    found = read_page(tmp_path / "a map.html")

    corpus = Corpus.from_folder(music)
    model, _ = load_weights(weights)
    index = Collection.of(corpus, model, progress=False).index
    n = len(index)
    assert n == len(found["x"]) == found["allUnits"] == 9 * 17 + 27 + 1
    assert [piece["name"] for piece in found["pieces"]] == corpus.names
    by = [found["composers"][piece["composer"]] for piece in found["pieces"]]
    assert by == [name.partition("/")[0] for name in corpus.names]
    assert found["composers"] == ["Bolero", "Adagio", "Canzona"]  # by number of units
    np.testing.assert_array_equal(found["piece"], index.labels.piece)
    np.testing.assert_array_equal(found["beat"], index.labels.beat)
    np.testing.assert_allclose(found["seconds"], index.labels.beat / 2)  # 120 beats a minute

    rolls = rolls_of(found["first"], found["beatStart"], found["notes"])
    np.testing.assert_array_equal(rolls, corpus.rolls(corpus.unit_beats()))

    silent = ~index.labels.sounds
    assert silent.sum() == 5  # they keep their rows, without position or neighbours
    np.testing.assert_array_equal((found["x"] == NONE) & (found["y"] == NONE), silent)
    neighbours = found["neighbours"].reshape(n, 10).astype(int)
    cosines = found["cosines"].reshape(n, 10)
    assert (neighbours[silent] == NONE).all()
    for unit in np.flatnonzero(~silent):
        asked = index.search(index.embeddings[unit], 10, not_piece=int(index.labels.piece[unit]))
        assert neighbours[unit].tolist() == asked.rows.tolist()
        assert cosines[unit].tolist() == [round(1000 * cosine) for cosine in asked.cosines]


def test_the_page_holds_the_pieces(music, weights, tmp_path, capsys):
    """One point per piece, where a search for pieces finds its neighbours."""
    out = tmp_path / "a.html"
    assert run(capsys, "--data", music, "--model", weights, "-o", out, "--map", "pca")[0] == 0
    found = read_page(out)
    model, _ = load_weights(weights)
    collection = Collection.of(Corpus.from_folder(music), model, progress=False)
    labels, search = collection.index.labels, PieceSearch(collection)
    p = len(labels.pieces)
    assert len(found["pieceX"]) == len(found["pieceUnit"]) == p
    assert found["pieceMap"].startswith("PCA, which keeps ")
    np.testing.assert_array_equal(labels.piece[found["pieceUnit"]], np.arange(p))
    assert [search.typical_unit(n) for n in range(p)] == found["pieceUnit"].tolist()
    names = "pieceNeighbours", "pieceCosines"
    neighbours, cosines = (found[name].reshape(p, 10) for name in names)
    for n in range(p):
        others = np.arange(p) != n
        near = search.nearest(collection.corpus.piece(n), model, 10, others)
        assert neighbours[n].tolist() == near.pieces.tolist()
        np.testing.assert_allclose(cosines[n], 1000 * near.cosines, atol=1)
    at = np.stack([found["pieceX"], found["pieceY"]], axis=1)
    assert len(np.unique(at, axis=0)) == p and (at < NONE).all()


def test_auto_is_umap_where_it_is_installed(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((maps.NEAREST + 1, 8))
    monkeypatch.setattr(maps, "umap_map", lambda *arguments: "umap")
    monkeypatch.setattr(maps, "find_spec", lambda name: name == "umap")
    assert maps.auto_map(rows) == "umap"
    assert maps.auto_map(rows[1:])[1].startswith("PCA")  # too few for UMAP
    monkeypatch.setattr(maps, "find_spec", lambda name: None)
    assert maps.auto_map(rows)[1].startswith("PCA")


def test_the_page_needs_no_other_file(music, weights, tmp_path, capsys):
    out = tmp_path / "a.html"
    assert run(capsys, "--data", music, "--model", weights, "-o", out)[0] == 0
    text = out.read_text(encoding="utf-8")
    parsed = Blocks(text)
    style, _, _, script = parsed.blocks
    assert set(re.findall(r"https?:[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}  # a name
    assert not re.search(r"@import|url\(", style)
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML|outerHTML)\b", script)
    assert not [a for _, a in parsed.tags if {"src", "href", "style", "onclick"} & a.keys()]
    # The policy allows nothing from elsewhere, and only these two blocks of the page.
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv"))
    assert policy == (
        f"default-src 'none'; script-src '{page.fingerprint(script)}'; "
        f"style-src '{page.fingerprint(style)}'"
    )


def test_units_of_a_larger_corpus_are_drawn(music, weights, tmp_path, capsys):
    """The seed determines which. Their neighbours are those that Index finds among them."""
    pages = []
    for i, seed in enumerate((3, 3, 4)):
        out = tmp_path / f"{i}.html"
        words = ("--data", music, "--model", weights, "-o", out, "--units", 60, "--seed", seed)
        status, said, _ = run(capsys, *words)
        assert status == 0
        assert f"note: 60 of 181 units drawn with seed {seed}; --units shows more" in said
        pages.append(out.read_bytes())
    assert pages[0] == pages[1] != pages[2]

    found = read_page(tmp_path / "0.html")
    corpus = Corpus.from_folder(music)
    index = Collection.of(corpus, load_weights(weights)[0], progress=False).index
    pieces = [corpus.names.index(found["pieces"][p]["name"]) for p in found["piece"]]
    beats = corpus.piece_beats[pieces] + found["beat"]
    rows = np.searchsorted(corpus.unit_beats(), beats)
    assert len(set(rows)) == 60 and found["allUnits"] == 181
    rolls = rolls_of(found["first"], found["beatStart"], found["notes"])
    np.testing.assert_array_equal(rolls, corpus.rolls(beats))
    where = np.isin(np.arange(len(index)), rows)
    for unit, row in enumerate(rows):
        near = found["neighbours"].reshape(60, 10)[unit]
        if index.labels.sounds[row]:
            asked = index.search(index.embeddings[row], 10, where, int(index.labels.piece[row]))
            assert rows[near].tolist() == asked.rows.tolist()
        else:
            assert (near == NONE).all()


def test_json(music, weights, tmp_path, capsys):
    out = tmp_path / "a.html"
    words = ("--data", music, "--model", weights, "-o", out, "--units", 60, "--device", "cpu")
    status, said, err = run(capsys, *words, "--json")
    assert (status, err) == (0, "")
    summary = json.loads(said)
    assert summary["out"] == str(out) and summary["bytes"] == out.stat().st_size
    assert (summary["units"], summary["shown"], summary["pieces"]) == (181, 60, 11)
    assert summary["placed"] == int((read_page(out)["x"] != NONE).sum()) <= 60
    assert (summary["composers"], summary["seed"], summary["device"]) == (3, 0, "cpu")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--units", "0"], ["--units 0"]),
        (["--units", "few"], ["--units", "few"]),
        (["--map", "globe"], ["--map", "globe", "pca"]),
        (["--data", "/nowhere"], ["/nowhere", "no such folder"]),
        (["--model", "nothing"], ["nothing", "no such model"]),
        (["-o", "/nowhere/a.html"], ["--out /nowhere/a.html", "no folder /nowhere"]),
        (["-o", "/"], ["--out /", "a folder"]),
        (["-o", "notes.txt"], ["--out notes.txt", "not a file of this command"]),
        (["-o", ""], ["--out", "empty path"]),
    ],
)
def test_bad_input(words, parts, music, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    status, out, err = run(capsys, "--data", music, "--model", weights, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert all(part in err for part in parts), err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_earlier_page_is_replaced(music, weights, tmp_path, capsys):
    out = tmp_path / "a.html"
    for units in (5, 70):
        words = ("--data", music, "--model", weights, "-o", out, "--units", units)
        assert run(capsys, *words)[0] == 0
        assert len(read_page(out)["x"]) == units


def test_umap_is_not_installed(music, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(maps, "find_spec", lambda name: None)
    words = ("--data", music, "--model", weights, "-o", tmp_path / "a.html", "--map", "umap")
    status, out, err = run(capsys, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "tinyembed[umap]" in err and "--map pca" in err


@pytest.mark.peer("umap")
def test_umap(music, weights, tmp_path, capsys):
    """Neighbours are close, the same seed gives the same map, and too few units are rejected."""
    words = ("--data", music, "--model", weights, "--map", "umap", "-o")
    status, out, err = run(capsys, *words, tmp_path / "a.html")
    assert (status, err) == (0, "") and "UMAP, which keeps neighbours close" in out
    assert run(capsys, *words, tmp_path / "b.html")[0] == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    found = read_page(tmp_path / "a.html")
    placed = found["x"] != NONE
    at = np.stack([found["x"], found["y"]], axis=1).astype(float)
    near = found["neighbours"].reshape(-1, 10)[placed][:, 0].astype(int)
    to_nearest = np.linalg.norm(at[placed] - at[near], axis=1)
    to_anyone = np.linalg.norm(at[placed][:, None] - at[placed][None], axis=2)
    assert np.median(to_nearest) < 0.5 * np.median(to_anyone)
    status, _, err = run(capsys, *words, tmp_path / "c.html", "--units", 12)
    assert status == 2 and "too few" in err and "--map pca" in err


# The parts.

onsets = st.lists(
    st.tuples(st.integers(0, 24 * 12 - 1), st.integers(0, 127)), min_size=1, max_size=80
)


@settings(deadline=None, max_examples=60)
@given(st.lists(onsets, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_cut_notes_agrees_with_rolls(pieces, seed):
    """For any units of any pieces, with notes out of range and notes that fold into one cell."""
    made = []
    for i, notes in enumerate(pieces):
        ticks, pitches = np.array(sorted(set(notes))).T
        piece = Piece(ticks.astype(np.int32), pitches.astype(np.uint8), int(ticks[-1]) // 24 + 1)
        made.append(("A", f"A/{i}.mid", piece))
    corpus = Corpus.from_pieces(made)
    beats = corpus.unit_beats()
    rng = np.random.default_rng(seed)
    beats = beats[np.sort(rng.choice(len(beats), rng.integers(1, len(beats) + 1), replace=False))]
    first, beat_start, notes = cut_notes(corpus, beats)
    np.testing.assert_array_equal(rolls_of(first, beat_start, notes), corpus.rolls(beats))
    assert beat_start[0] == 0 and beat_start[-1] == len(notes)
    assert len(notes) <= len(corpus.ticks)  # each beat is stored once
    for begin, end in itertools.pairwise(beat_start):
        assert (np.diff(notes[begin:end]) > 0).all()


def test_draw_rows():
    np.testing.assert_array_equal(draw_rows(7, 7, 0), np.arange(7))
    np.testing.assert_array_equal(draw_rows(7, 9, 0), np.arange(7))
    drawn = draw_rows(1000, 100, 5)
    assert len(set(drawn)) == 100 and (np.diff(drawn) > 0).all() and drawn.max() < 1000
    np.testing.assert_array_equal(drawn, draw_rows(1000, 100, 5))
    assert set(drawn) != set(draw_rows(1000, 100, 6))
    often = np.bincount(np.concatenate([draw_rows(10, 5, seed) for seed in range(400)]))
    assert 150 < often.min() <= often.max() < 250  # uniformly


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_neighbours_agree_with_index(sizes, seed):
    """For pieces of any size, so that some units have fewer than ten, and with silent units."""
    rng = np.random.default_rng(seed)
    piece = np.repeat([f"A/{i}" for i in range(len(sizes))], sizes)
    n = len(piece)
    labels = Labels.of(piece, sounds=rng.random(n) < 0.8)
    index = Index(rng.integers(-2, 3, (n, 3)).astype(np.float32), labels)  # many ties
    rows = np.sort(rng.choice(n, rng.integers(1, n + 1), replace=False))
    neighbours, cosines = find_neighbours(index, rows, progress=False)
    where = np.isin(np.arange(n), rows) & index.findable
    for unit, row in enumerate(rows):
        own = int(labels.piece[row])
        n_left = int((where & (labels.piece != own)).sum()) if index.findable[row] else 0
        k = min(10, n_left)
        assert (neighbours[unit, k:] == -1).all() and (cosines[unit, k:] == 0).all()
        if k:
            asked = index.search(index.embeddings[row], k, where, not_piece=own)
            assert rows[neighbours[unit, :k]].tolist() == asked.rows.tolist()
            np.testing.assert_array_equal(cosines[unit, :k], asked.cosines)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_pca_map(n, d, seed):
    """The best projection of the directions to two dimensions, by the singular values."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)).astype(np.float32)
    positions, words = maps.pca_map(rows)
    x = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    x = x - x.mean(axis=0)
    values = np.append(np.linalg.svd(x, compute_uv=False), [0, 0])
    np.testing.assert_allclose(np.linalg.norm(positions, axis=0), values[:2], atol=1e-6)
    np.testing.assert_allclose(positions.mean(axis=0), 0, atol=1e-12)
    share = (values[:2] ** 2).sum() / max((values**2).sum(), 1e-300)
    if n > 1:
        assert words == f"PCA, which keeps {share:.0%} of the variance"
    scaled = rows * np.float32(2) ** rng.integers(-3, 4, (n, 1))  # only directions matter
    np.testing.assert_array_equal(maps.pca_map(scaled)[0], positions)


def test_on_grid():
    positions = np.array([[0.0, 5], [np.nan, np.nan], [2, 6], [1, 5]])
    grid = page.on_grid(positions)
    assert grid.dtype == np.uint16
    assert grid.tolist() == [[0, 0], [NONE, NONE], [65_534, 32_767], [32_767, 0]]
    assert page.on_grid(np.array([[3.0, 4]])).tolist() == [[0, 0]]
    assert page.on_grid(np.full((2, 2), np.nan)).tolist() == [[NONE, NONE]] * 2


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("<!-/script>&\\\"'$é\u2028\udc80") | st.characters()))
def test_names_cannot_end_their_script_block(name):
    text = page.as_json({"name": name, name: [name]})
    assert json.loads(text) == {"name": name, name: [name]}
    assert "<" not in text and text.isascii()


def test_packed_arrays_are_aligned():
    arrays = {"a": np.arange(3, dtype=np.uint16), "b": np.array([7], ">u4"),
              "c": np.array([np.nan, 1], np.float32), "d": np.zeros(0, np.int16)}  # fmt: skip
    layout, data = page.pack(arrays)
    for part in layout:
        assert part["start"] % 4 == 0
        read = np.frombuffer(data, np.dtype(part["type"]).newbyteorder("<"), part["length"],
                             part["start"])  # fmt: skip
        np.testing.assert_array_equal(read, arrays[part["name"]])


def test_indices_use_the_smallest_type():
    assert page.compact(np.array([0, -1, 65_534]), 65_535).dtype == np.uint16
    assert page.compact(np.array([0, -1]), 65_535).tolist() == [0, 65_535]  # not below 65,535
    assert page.compact(np.array([0, -1]), 65_536).tolist() == [0, 2**32 - 1]


def test_twenty_thousand_units_fit_in_8_mb():
    """With 40 notes each."""
    assert 2e6 < len(large_page().encode()) < 8e6


# The colours.

MACHADO = {  # Machado, Oliveira, Fernandes 2009: linear RGB as seen without one kind of cones
    "none": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """Björn Ottosson's perceptual coordinates of linear RGB, (n, 3)."""
    cones = rgb @ np.array([[0.4122214708, 0.2119034982, 0.0883024619],
                            [0.5363325363, 0.6806995451, 0.2817188376],
                            [0.0514459929, 0.1073969566, 0.6299787005]])  # fmt: skip
    return np.cbrt(cones) @ np.array([[0.2104542553, 1.9779984951, 0.0259040371],
                                      [0.7936177850, -2.4285922050, 0.7827717662],
                                      [-0.0040720468, 0.4505937099, -0.8086757660]])  # fmt: skip


def contrast(one, other):
    """The contrast of two colours, by WCAG."""
    light = sorted(c @ [0.2126, 0.7152, 0.0722] for c in (linear(one), linear(other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_distinguished(scheme):
    """From the background, and from each other, also with a colour vision deficiency."""
    light, dark = re.findall(r":root \{(.*?)\}", page.read("page.css"), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    hues = [colours[f"hue-{i}"] for i in range(8)]
    assert all(contrast(hue, colours["paper"]) >= 3 for hue in hues)
    assert all(contrast(colours[c], colours["paper"]) >= 4.5 for c in ("ink", "soft", "accent"))
    assert all(contrast(colours[c], colours["band"]) >= 4.5 for c in ("ink", "soft"))
    assert contrast(colours["accent"], colours["on-accent"]) >= 4.5
    for who, matrix in MACHADO.items():
        seen = oklab(np.clip([linear(hue) for hue in hues] @ np.transpose(matrix), 0, 1))
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(8, 1)]
        assert apart.min() > 0.1, (who, apart.min())
