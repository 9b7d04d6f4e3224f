"""One vector per piece: in Python, as a table, and as what a search finds."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from music import write_corpus, write_midi

import tinyembed
from tinyembed import search
from tinyembed.cli.running import exit_status
from tinyembed.embed import main as embed_main
from tinyembed.embedding.embed import EmbeddingWarning, embed
from tinyembed.errors import InputError, WorkError
from tinyembed.models.pooling import piece_vector
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import piece_rolls, units_have_onsets
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.pieces import FEW, PieceSearch, typical
from tinyembed.storage.arrays import load_arrays

REST = [(480 * b, 480, 60 + b) for b in (0, 2, 3, 20, 21, 23)]  # with units of silence between


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("music"), composers=3, pieces=5, beats=16)


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    return write_midi(tmp_path_factory.mktemp("rest") / "rest.mid", REST)


def by_hand(path, model="context"):
    """The vector of a file, number by number."""
    rows, sounds = embed(path, model), units_have_onsets(read_midi(path))
    sounding = [row.astype(np.float64) for row, sound in zip(rows, sounds, strict=True) if sound]
    mean = sum(sounding) / len(sounding)
    return np.concatenate([mean, np.sqrt(sum((r - mean) ** 2 for r in sounding) / len(sounding))])


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)),
               elements=st.floats(-100, 100, width=32)),
    st.data(),
)  # fmt: skip
def test_mean_and_deviation(rows, data):
    sounds = data.draw(hnp.arrays(bool, len(rows)))
    vector = piece_vector(rows, sounds)
    kept = rows[sounds].astype(np.float64) if sounds.any() else rows.astype(np.float64)
    expected = [
        kept.mean(axis=0),
        np.sqrt((kept**2).mean(axis=0) - kept.mean(axis=0) ** 2 + 0j).real,
    ]
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, np.concatenate(expected), rtol=1e-5, atol=2e-3)
    order = data.draw(st.permutations(range(len(rows))))
    again = piece_vector(rows[order], sounds[order])
    np.testing.assert_allclose(again, vector, rtol=1e-6, atol=1e-5)


def test_of_every_kind_of_music(folder, rest):
    files = sorted(folder.rglob("*.mid"))[:3]
    vector = embed(rest, "context", per="piece")
    assert vector.shape == (200,) and vector.dtype == np.float32
    np.testing.assert_allclose(vector, by_hand(rest), rtol=1e-5, atol=1e-6)
    assert not units_have_onsets(read_midi(rest)).all()  # which here makes a difference
    several = embed(files, "context", per="piece")
    every = embed(folder, "context", per="piece")
    for path, found in zip(files, several, strict=True):
        np.testing.assert_array_equal(found, embed(path, "context", per="piece"))
        np.testing.assert_array_equal(found, every[path.relative_to(folder).as_posix()])
    assert len(every) == 15 and all(v.shape == (200,) for v in every.values())
    rolls = piece_rolls(read_midi(rest))
    np.testing.assert_allclose(embed(rolls, "context", per="piece"), vector, atol=1e-5)
    assert embed(rolls[0], "context", per="piece").shape == (200,)
    with pytest.warns(EmbeddingWarning, match="left out"):
        assert embed([files[0], b"no midi"], "context", per="piece")[1] is None
    with pytest.raises(InputError, match="per 'song': choose one of beat, piece"):
        embed(rest, per="song")
    with pytest.raises(InputError, match="no rolls"):
        embed(rolls[:0], "context", per="piece")


def test_similarity(folder, rest):
    a, b = sorted(folder.rglob("*.mid"))[:2]
    found = tinyembed.similarity(a, b, "context")
    x, y = by_hand(a), by_hand(b)
    assert found == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-6)
    assert tinyembed.similarity(b, a, "context") == pytest.approx(found, abs=1e-12)
    assert tinyembed.similarity(rest, rest.read_bytes(), "context") == pytest.approx(1)
    assert -1 <= tinyembed.similarity(a, piece_rolls(read_midi(rest))) < 1
    for wrong in (folder, [a, b]):
        with pytest.raises(InputError, match="similarity compares two pieces, not several"):
            tinyembed.similarity(a, wrong, "context")
    with pytest.raises(WorkError, match="the bytes: "):
        tinyembed.similarity(a, b"no midi", "context")


@pytest.mark.parametrize("ending", [".npz", ".csv", ".tsv"])
def test_a_table_of_pieces(folder, tmp_path, capsys, ending):
    files, out = sorted(map(str, folder.rglob("*.mid")))[:2], tmp_path / f"out{ending}"
    words = [*files, "--per", "piece", "-o", str(out), "--model", "context"]
    assert embed_main(words) == 0
    printed = capsys.readouterr().out
    assert "one vector per piece of 2 files" in printed
    assert f"search {files[0]} --per piece" in printed
    assert embed_main([*words, "--json"]) == 0  # replaces its own earlier table
    assert [file["rows"] for file in json.loads(capsys.readouterr().out)["files"]] == [1, 1]
    expected = np.stack(embed(files, "context", per="piece"))
    if ending == ".npz":
        arrays = load_arrays(out, "table")
        assert arrays["files"].tolist() == files
        np.testing.assert_array_equal(arrays["embeddings"], expected)
        return
    with out.open() as file:
        rows = list(csv.reader(file, delimiter="," if ending == ".csv" else "\t"))
    if ending == ".csv":
        assert rows[0] == ["file", *(f"embedding_{i}" for i in range(200))]
        assert [row.pop(0) for row in rows[1:]] == files
        rows = rows[1:]
    else:
        assert (tmp_path / "out-metadata.tsv").read_text().split() == ["file", *files]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)
    other = tmp_path / f"other{ending}"
    other.write_text("file of mine\n1\n")
    status = exit_status(lambda: embed_main([*files, "--per", "piece", "-o", str(other)]))
    assert status == 2 and other.read_text() == "file of mine\n1\n"


def call(capsys, *words):
    status = exit_status(lambda: search.main([*map(str, words), "--model", "context"]))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def brute(folder, query, standardize):
    """(cosine, name) of every piece of a folder, the nearest first."""
    every = {
        name: v.astype(np.float64) for name, v in embed(folder, "context", per="piece").items()
    }
    rows, one = np.stack(list(every.values())), embed(query, "context", per="piece")
    mean, deviation = (rows.mean(axis=0), rows.std(axis=0)) if standardize else (0, 1)
    rows, one = (rows - mean) / deviation, (one - mean) / deviation
    cosines = [row @ one / np.linalg.norm(row) / np.linalg.norm(one) for row in rows]
    return sorted(zip(cosines, every, strict=True), reverse=True)


def test_a_search_among_pieces(folder, tmp_path, capsys):
    query = folder / "Bolero" / "piece_02.mid"
    words = query, "--per", "piece", "--in", folder
    status, out, err = call(capsys, *words, "--json", "-k", "15")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["query"] == {"file": str(query)} and found["per"] == "piece"
    assert (found["searched"], found["certified"]) == (15, None)
    expected = brute(folder, query, standardize=True)
    assert [row["piece"] for row in found["neighbours"]] == [name for _, name in expected]
    cosines = [row["cosine"] for row in found["neighbours"]]
    np.testing.assert_allclose(cosines, [cosine for cosine, _ in expected], atol=1e-4)
    assert found["neighbours"][0] == {
        "rank": 1, "cosine": pytest.approx(1, abs=1e-4), "composer": "Bolero",
        "piece": "Bolero/piece_02.mid",
    }  # fmt: skip

    status, out, _ = call(capsys, *words, "--other-piece", "-k", "20")
    assert status == 0 and "piece_02.mid, among 14 of 15 pieces" in out
    assert "14 neighbours instead of 20: there are no more pieces" in out
    assert "Bolero     piece_02.mid" not in out and "--per piece" in out.rpartition("Next: ")[2]
    status, out, _ = call(capsys, *words, "--other-composer", "--json")
    assert {row["composer"] for row in json.loads(out)["neighbours"]} == {"Adagio", "Canzona"}

    medley = tmp_path / "near.mid"
    status, out, _ = call(
        capsys, *words, "-k", "3", "--out", medley, "--save", tmp_path / "i.index"
    )
    assert status == 0 and "a typical unit of each" in out and read_midi(medley).n_beats >= 19
    status, out, _ = call(capsys, *words[:3], "--in", tmp_path / "i.index", "--json", "-k", "15")
    assert json.loads(out)["neighbours"] == found["neighbours"]


def test_what_a_search_among_pieces_refuses(folder, tmp_path, capsys):
    query = folder / "Bolero" / "piece_02.mid"
    status, _, err = call(capsys, query, "--per", "piece", "--beat", "3", "--in", folder)
    assert status == 2 and err.count("\n") == 1 and "--beat 3: with --per piece" in err
    alone = write_corpus(tmp_path / "alone", composers=1, pieces=1)
    own = next(alone.rglob("*.mid"))
    status, _, err = call(capsys, own, "--per", "piece", "--in", alone, "--other-piece")
    assert status == 2 and err.count("\n") == 1 and "no piece to compare with" in err


@given(st.integers(2, 2 * FEW), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_few_pieces_are_compared_as_they_are(folder, n, seed):
    """Of few pieces, mean and variance say little; and rows may come in any order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, size=n)
    piece = rng.permutation(np.repeat(np.arange(n), sizes))
    labels = tinyembed.neighbours.labels.Labels.of([f"A/{p:02}" for p in piece])
    rows = rng.standard_normal((len(piece), 100)).astype(np.float32)
    search = PieceSearch(Collection(None, tinyembed.Index(rows, labels)))
    for p in range(n):
        np.testing.assert_array_equal(
            search.vectors[p], piece_vector(rows[piece == p], np.ones(sizes[p], bool))
        )
        assert piece[search.typical_unit(p)] == p
    one = read_midi(folder / "Bolero" / "piece_02.mid")
    found = search.nearest(one, tinyembed.load("context"), n)
    query = embed(folder / "Bolero" / "piece_02.mid", "context", per="piece").astype(np.float64)
    vectors = search.vectors
    if n >= FEW:
        mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
        scale[scale == 0] = np.inf
        vectors, query = (vectors - mean) / scale, (query - mean) / scale
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose(found.cosines, np.sort(cosines)[::-1], atol=1e-9)


def test_a_typical_unit():
    rows = np.array([[1, 0], [1, 0.2], [0, 1], [50, 49]], np.float32)
    assert typical(rows, np.array([True, True, True, False])) == 1
    assert typical(rows, np.array([False, False, True, False])) == 2
