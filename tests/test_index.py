"""The neighbours that an index finds, against brute force in float64 on awkward data."""

import json
import os
import resource
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.neighbours import approximate, exact
from tinyembed.neighbours.approximate import ApproximateIndex
from tinyembed.neighbours.files import load_index, save_index
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.shortlist import Shortlist
from tinyembed.storage import mapped

CLOSE = 2e-12  # cosines are rounded to 12 digits


def brute_cosines(embeddings, query):
    """(N,) float64; nan for a row of zeros."""
    x, q = np.asarray(embeddings, np.float64), np.asarray(query, np.float64)
    lengths = np.sqrt((x**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return x @ (q / np.sqrt(q @ q)) / lengths


def check(embeddings, query, rows, cosines, k, allowed):
    """Check one result against everything that `Index.search` promises."""
    truth = brute_cosines(embeddings, query)
    assert rows.shape == cosines.shape == (k,)
    assert len(set(rows.tolist())) == k and allowed[rows].all()
    np.testing.assert_allclose(cosines, truth[rows], rtol=0, atol=CLOSE)
    order = list(zip(-cosines, rows, strict=True))
    assert order == sorted(order)
    others = np.setdiff1d(np.flatnonzero(allowed), rows)
    assert not (truth[others] > cosines[-1] + CLOSE).any()
    # Of equal rows, those with the lower indices are found.
    same = np.unique(embeddings[allowed], axis=0, return_inverse=True)[1].ravel()
    missed = ~np.isin(np.flatnonzero(allowed), rows)
    first_missed = np.full(same.max() + 1, len(allowed))
    np.minimum.at(first_missed, same[missed], np.flatnonzero(allowed)[missed])
    last_found = np.full(same.max() + 1, -1)
    np.maximum.at(last_found, same[~missed], np.flatnonzero(allowed)[~missed])
    assert (last_found < first_missed).all()


@st.composite
def awkward_rows(draw):
    """(N, D) float32 of one of several kinds, some rows zero, some equal, some rescaled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 400)), draw(st.sampled_from([1, 2, 5, 31, 32, 33, 100]))
    kind = draw(st.sampled_from(["random", "clustered", "flat", "grid", "constant", "near"]))
    if kind == "random":
        x = rng.standard_normal((n, d))
    elif kind == "clustered":
        x = rng.standard_normal((5, d))[rng.integers(5, size=n)]
        x = x + 0.05 * rng.standard_normal((n, d))
    elif kind == "flat":  # nearly in a subspace of few dimensions: the bounds are almost tight
        x = rng.standard_normal((n, min(d, 3))) @ rng.standard_normal((min(d, 3), d))
        x = x + 1e-4 * rng.standard_normal((n, d))
    elif kind == "grid":  # many equal cosines
        x = rng.integers(-1, 2, size=(n, d)).astype(float)
    elif kind == "constant":
        x = np.repeat(rng.standard_normal((1, d)), n, axis=0)
    else:  # cosines that only float64 can distinguish
        x = rng.standard_normal(d) + 1e-6 * rng.standard_normal((n, d))
    x = x.astype(np.float32)
    share = draw(st.sampled_from([0, 0, 0.3, 1]))
    x[rng.random(n) < share * 0.5] = 0
    copied = rng.random(n) < share
    x[copied] = x[rng.integers(n, size=copied.sum())]
    x *= 2.0 ** rng.integers(-20, 20, size=(n, 1)) if draw(st.booleans()) else 1
    return x.astype(np.float32)


@st.composite
def small_sizes(draw):
    """Blocks so small that a few hundred rows fill many of them, or the usual sizes."""
    if draw(st.booleans()):
        return {}
    return {
        "QUERIES": draw(st.integers(1, 4)),
        "RESULTS": draw(st.sampled_from([1, 30, 1000])),
        "CELLS": draw(st.integers(4, 300)),
        "SAMPLE": draw(st.integers(1, 100)),
        "PAIRS": draw(st.integers(1, 50)),
        "FEW": draw(st.integers(0, 20)),
    }


@given(awkward_rows(), small_sizes(), st.data())
@settings(max_examples=120, deadline=None)
def test_equals_brute_force(embeddings, sizes, data):
    n = len(embeddings)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    labels = Labels.of(
        piece=np.array([f"{p % 3}/{p}" for p in np.sort(rng.integers(6, size=n))]),
        sounds=rng.random(n) < data.draw(st.sampled_from([1, 0.7])),
    )
    index = Index(embeddings, labels)
    n_queries = data.draw(st.integers(1, 6))
    queries = embeddings[rng.integers(n, size=n_queries)].astype(np.float64)
    others = rng.standard_normal(queries.shape)
    queries = np.where(rng.random((n_queries, 1)) < 0.3, others, queries + 0.01 * others)
    has_direction = np.abs(embeddings).max(axis=1) > 0
    where = rng.random(n) < 0.6 if data.draw(st.booleans()) else None
    filters = {}
    if data.draw(st.booleans()):
        filters["not_piece"] = rng.integers(-1, len(labels.pieces), size=n_queries)
    if data.draw(st.booleans()):
        filters["not_composer"] = rng.integers(-1, len(labels.composers), size=n_queries)
    allowed = np.repeat([labels.sounds & has_direction], n_queries, axis=0)
    if where is not None:
        allowed &= where
    for name, values in filters.items():
        allowed &= getattr(labels, name.removeprefix("not_")) != values[:, None]

    n_left = int(allowed.sum(axis=1).min())
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(exact, name, size)
        if n_left:
            k = data.draw(st.integers(1, min(n_left, 40)))
            found = index.search(queries, k, where, **filters)
            for q in range(n_queries):
                check(embeddings, queries[q], found.rows[q], found.cosines[q], k, allowed[q])
        with pytest.raises(InputError, match=f"only {n_left} units"):
            index.search(queries, n_left + 1, where, **filters)


@given(awkward_rows(), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_bounds_are_never_below_the_cosine(embeddings, seed):
    shortlist = Shortlist.of(embeddings)
    query = np.random.default_rng(seed).standard_normal(embeddings.shape[1])
    query /= np.sqrt(query @ query)
    bounds = shortlist.bounds(shortlist.project(query[None]), slice(None))[0]
    there = shortlist.scale > 0
    assert (bounds[there] >= brute_cosines(embeddings, query)[there] - shortlist.rounding).all()
    if embeddings.shape[1] < 32:  # all coordinates are kept, so the bound is the cosine
        truth = brute_cosines(embeddings, query)[there]
        np.testing.assert_allclose(bounds[there], truth, rtol=0, atol=shortlist.rounding)


def clustered(n, d=100, seed=0):
    """Rows distributed like embeddings: in clusters, with a few strong directions."""
    rng = np.random.default_rng(seed)
    strength = 0.9 ** np.arange(d)
    centres = rng.standard_normal((n // 50, d)) * strength
    x = centres[rng.integers(len(centres), size=n)] + 0.3 * rng.standard_normal((n, d)) * strength
    return x.astype(np.float32)


@pytest.mark.parametrize("sample", [256, exact.SAMPLE])
def test_the_shortlist_certifies_clustered_rows(sample, monkeypatch):
    monkeypatch.setattr(exact, "SAMPLE", sample)  # a sample of a few rows, or of all
    x = clustered(8000)
    x = x[np.argsort(x[:, 0])]  # like the units of one composer after another
    index = Index(x)
    queries = x[::1000] + 0.01
    found = index.search(queries, 3)
    assert found.certified.all()
    for q in range(len(queries)):
        check(x, queries[q], found.rows[q], found.cosines[q], 3, np.ones(len(x), bool))
        alone = index.search(queries[q], 3)
        np.testing.assert_array_equal(alone.rows, found.rows[q])
        np.testing.assert_array_equal(alone.cosines, found.cosines[q])


def test_all_rows_are_read_if_the_bounds_are_loose():
    x = np.random.default_rng(0).standard_normal((6000, 100)).astype(np.float32)
    found = Index(x).search(x[:5] + 1)
    assert not found.certified.any()
    for q in range(5):
        check(x, x[q] + 1, found.rows[q], found.cosines[q], 10, np.ones(len(x), bool))


def test_all_rows_as_neighbours():
    x = clustered(3000)
    found = Index(x).search(x[0], k=3000)
    check(x, x[0], found.rows, found.cosines, 3000, np.ones(3000, bool))


def test_inputs_are_neither_copied_nor_changed():
    x = clustered(500)
    before = x.copy()
    index = Index(x)
    queries = x[:3].copy()
    index.search(queries, where=np.ones(500, bool))
    assert index.embeddings is x
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(queries, before[:3])


def test_shapes_and_types():
    x = clustered(200)
    index = Index(x)
    one, several, none = index.search(x[0], 3), index.search(x[:2], 3), index.search(x[:0], 3)
    assert one.rows.shape == (3,) and one.certified.shape == ()
    assert several.rows.shape == several.cosines.shape == (2, 3) and several.certified.shape == (2,)
    assert none.rows.shape == (0, 3)
    assert one.rows.dtype == np.int64 and one.cosines.dtype == np.float64
    assert one.cosines[0] == 1 and one.rows[0] == 0
    np.testing.assert_array_equal(Index(x.astype(np.float64)).search(x[0], 3).rows, one.rows)
    np.testing.assert_array_equal(index.search(x[0].tolist(), 3).rows, one.rows)


def test_a_unit_without_an_onset_keeps_its_row_and_is_never_found():
    x = clustered(100)
    x[10] = 0  # has no direction
    sounds = np.ones(100, bool)
    sounds[0] = False
    index = Index(x, Labels.of(["A/a"] * 100, sounds=sounds))
    assert len(index) == 100 and index.n_findable == 98
    found = index.search(x[0], 98)
    assert not {0, 10} & set(found.rows.tolist()) and 99 in found.rows
    with pytest.raises(InputError, match="only 98 units with an onset"):
        index.search(x[0], 99)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("k 0", {"k": 0}),
        ("k 2.5", {"k": 2.5}),
        ("k True", {"k": True}),
        ("only 300 units with", {"k": 301}),
        ("only 1 units that the filters leave", {"k": 2, "where": np.arange(300) == 7}),
        ("only 250 units that the filters leave", {"k": 251, "not_piece": 3}),
        ("where", {"where": np.ones(299, bool)}),
        ("where", {"where": np.ones(300)}),
        ("indices 0 to 5", {"not_piece": 6}),
        ("not_composer", {"not_composer": "Bach"}),
        ("not_piece", {"not_piece": [1, 2]}),
        (r"\(100,\) or", {"queries": np.ones(99)}),
        (r"\(100,\) or", {"queries": np.ones((1, 1, 100))}),
        ("direction", {"queries": np.zeros(100)}),
        ("direction", {"queries": np.full(100, np.nan)}),
        ("direction", {"queries": np.full(100, np.inf)}),
    ],
)
def test_wrong_queries(words, arguments):
    labels = Labels.of(np.repeat(["A/a", "A/b", "B/c", "B/d", "B/e", "C/f"], 50))
    index = Index(clustered(300), labels)
    with pytest.raises(InputError, match=words) as caught:
        index.search(**{"queries": np.ones(100), **arguments})
    assert "\n" not in str(caught.value)


def test_wrong_embeddings_and_labels():
    x = clustered(100)
    x[17, 3] = np.nan
    with pytest.raises(InputError, match="row 17 "):
        Index(x)
    with pytest.raises(InputError, match="row 5 "):
        Index(np.where(np.arange(10)[:, None] == 5, 1e300, np.ones((10, 4))))
    for shape in ((0, 5), (5, 0), (5,)):
        with pytest.raises(InputError, match="embeddings are"):
            Index(np.ones(shape))
    with pytest.raises(InputError, match="5 labels for 6"):
        Index(np.ones((6, 2)), Labels.of(["a"] * 5))
    with pytest.raises(InputError, match="no labels"):
        Index(np.ones((6, 2))).search(np.ones(2), 1, not_piece=0)


def test_labels():
    labels = Labels.of(["B/y", "A/x", "B/y", "B/y"], seconds=[0, 1, 0.5, np.nan])
    assert labels.pieces == ["A/x", "B/y"] and labels.composers == ["A", "B"]
    assert labels.composer.tolist() == [1, 0, 1, 1]
    assert labels.row(2) == {"composer": "B", "piece": "B/y", "beat": 1, "seconds": 0.5}
    assert labels.row(3)["beat"] == 2 and labels.row(3)["seconds"] is None
    with pytest.raises(InputError, match="two composers"):
        Labels.of(["x", "x"], composer=["A", "B"])
    with pytest.raises(InputError, match="every row needs"):
        Labels.of(["x", "x"], beat=[1])


# Files.


def labelled(n=3000):
    return Index(clustered(n), Labels.of([f"{i // 500}/{i // 100}" for i in range(n)]), "abc")


def test_a_saved_index_is_mapped_and_gives_the_same_results(tmp_path):
    index, path = labelled(), tmp_path / "a.index"
    index.save(path)
    loaded = Index.load(path, "abc")
    for array in (loaded.embeddings, loaded.shortlist.table, loaded.labels.piece):
        in_file = array if isinstance(array, np.memmap) else array.base
        assert isinstance(in_file, np.memmap) and not array.flags.writeable
    assert loaded.labels.pieces == index.labels.pieces
    query = index.embeddings[5]
    for filters in ({}, {"not_piece": 0}, {"not_composer": 0}):
        one, two = index.search(query, **filters), loaded.search(query, **filters)
        np.testing.assert_array_equal(one.rows, two.rows)
        np.testing.assert_array_equal(one.cosines, two.cosines)
    # The mapped arrays do not change when another index replaces the file.
    Index(-index.embeddings).save(path)
    np.testing.assert_array_equal(loaded.search(query).rows, index.search(query).rows)
    assert Index.load(path).labels is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.index"]


def test_damage_in_a_large_index_is_found_by_the_search_that_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LAZY", 0)
    index, path = labelled(), tmp_path / "a.index"
    index.save(path)
    query = index.embeddings[0]
    data = bytearray(path.read_bytes())
    data[data.index(index.embeddings[2999].tobytes()) + 3] ^= 64  # of the last row
    path.write_bytes(data)
    loaded = Index.load(path, "abc")
    near = np.arange(3000) < 600  # the last row is never read
    assert loaded.search(query, 5, near).rows[0] == 0
    with pytest.raises(InputError, match=r"a\.index: damaged"):
        loaded.search(index.embeddings[2999])
    with pytest.raises(InputError, match=r"a\.index: damaged"):
        Index.load(path, "abc", verify=True)
    with pytest.raises(InputError, match=r"a\.index: damaged"):
        loaded.save(tmp_path / "b.index")
    assert [p.name for p in tmp_path.iterdir()] == ["a.index"]


def test_the_index_of_another_model_is_rejected(tmp_path):
    one, other = (Model("context", "small", ["A"], np.random.default_rng(i)) for i in range(2))
    path = tmp_path / "a.index"
    Index(clustered(100), model=one).save(path)
    assert Index.load(path, one).model == weights_digest(one)
    for wrong in (other, "abc"):
        with pytest.raises(InputError, match="another model") as caught:
            Index.load(path, wrong)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["missing", "folder", "empty", "text", "cut", "foreign", "version", "parts", "labels"]
)
def test_a_bad_index_file_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "a.index"
    index = labelled(300)
    index.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "folder":
        path = tmp_path
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not an index")
    elif damage == "cut":
        os.truncate(path, 50_000)
    elif damage == "foreign":
        with open(path, "wb") as file:
            np.save(file, np.arange(3))
    elif damage == "version":
        path.write_bytes(path.read_bytes().replace(b"index 2 ", b"index 9 ", 1))
    elif damage == "parts":
        save_index(path, {"embeddings": np.ones((3, 2))}, {"labelled": False, "model": None})
    elif damage == "labels":
        index.save(path, {"piece": np.full(300, 99, np.int32)})
    with pytest.raises(InputError) as caught:
        Index.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_old_index(tmp_path, capsys):
    """A limit on the size of files raises the same kind of error as a full disk."""
    path = tmp_path / "a.index"
    labelled(300).save(path)
    before, large = path.read_bytes(), Index(np.ones((9000, 100), np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, hard))
    try:
        status = exit_status(lambda: large.save(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    printed = capsys.readouterr()
    assert (status, printed.out) == (1, "")
    assert str(path) in printed.err and len(printed.err.splitlines()) == 1
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# With faiss.


@pytest.fixture(scope="module")
def both():
    """An exact index and an approximate one of the same 10,000 labelled rows."""
    x = clustered(10_000)
    sounds = np.arange(10_000) % 10 != 0
    labels = Labels.of([f"{i // 2000}/{i // 100:03}" for i in range(len(x))], sounds=sounds)
    return Index(x, labels, "abc"), ApproximateIndex(x, labels, "abc")


def recall_of(found, right):
    return float((found.cosines >= right.cosines[:, -1:]).mean())


@pytest.mark.peer("faiss")
def test_an_approximate_index_finds_nearly_all_neighbours(both):
    index, quick = both
    queries = clustered(10_000, seed=1)[:100] + index.embeddings[::100]
    right, found = index.search(queries), quick.search(queries)
    assert quick.recall >= 0.993 and recall_of(found, right) > 0.95
    assert 1 < quick.cells.nlist and quick.probes < quick.cells.nlist
    assert not found.certified.any()
    for q in range(0, len(queries), 10):
        truth = brute_cosines(index.embeddings, queries[q])
        np.testing.assert_allclose(found.cosines[q], truth[found.rows[q]], rtol=0, atol=CLOSE)
        assert (np.diff(found.cosines[q]) <= 0).all() and len(set(found.rows[q])) == 10
    assert index.labels.sounds[found.rows].all()


@pytest.mark.peer("faiss")
def test_an_approximate_index_filters(both):
    index, quick = both
    queries = index.embeddings[5::1000]
    piece, composer = index.labels.piece[5::1000], index.labels.composer[5::1000]
    found = quick.search(queries, not_piece=piece)
    assert (index.labels.piece[found.rows] != piece[:, None]).all()
    assert recall_of(found, index.search(queries, not_piece=piece)) > 0.95
    found = quick.search(queries, not_composer=composer, not_piece=-1)
    assert (index.labels.composer[found.rows] != composer[:, None]).all()
    where = np.zeros(len(index), bool)
    where[1:10_000:477] = True  # so few that it searches every cell, and then misses none
    k = int((where & index.findable).sum())
    found, right = quick.search(queries, k, where), index.search(queries, k, where)
    np.testing.assert_array_equal(found.rows, right.rows)
    with pytest.raises(InputError, match="filters leave"):
        quick.search(queries, k + 1, where)


@pytest.mark.peer("faiss")
def test_an_approximate_index_is_saved_and_loaded(both, tmp_path):
    index, quick = both
    quick.save(tmp_path / "a.index")
    loaded = ApproximateIndex.load(tmp_path / "a.index", "abc")
    assert (loaded.probes, loaded.recall) == (quick.probes, quick.recall)
    queries = index.embeddings[1:50]
    np.testing.assert_array_equal(loaded.search(queries).rows, quick.search(queries).rows)
    as_exact = Index.load(tmp_path / "a.index", "abc")  # the file is an exact index too
    np.testing.assert_array_equal(as_exact.search(queries).rows, index.search(queries).rows)
    index.save(tmp_path / "b.index")
    with pytest.raises(InputError, match=r"b\.index"):
        ApproximateIndex.load(tmp_path / "b.index")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cell_rows", lambda rows: rows + 1),
        ("cell_rows", lambda rows: rows - 1),
        ("cell_rows", lambda rows: rows * 0),
        ("cell_rows", lambda rows: rows[:-1]),
        ("cell_rows", lambda rows: rows.astype(np.int32)),
        ("cell_sizes", lambda sizes: sizes * 2),
        ("cell_sizes", lambda sizes: -sizes),
        ("cell_sizes", lambda sizes: np.full_like(sizes, 2**62)),
        ("cell_sizes", lambda sizes: sizes[:0]),
        ("cell_numbers", lambda numbers: numbers[:, :-1]),
        ("cell_numbers", lambda numbers: numbers * np.float32(np.nan)),
        ("centres", lambda centres: centres[:, :-1]),
        ("cell_numbers", lambda numbers: np.full_like(numbers, 3e38)),
        ("centres", lambda centres: centres * np.float32(np.inf)),
        ("centres", lambda centres: np.full_like(centres, 3e38)),
        ("centres", lambda centres: centres[:0]),
    ],
)
@pytest.mark.peer("faiss")
def test_cells_that_do_not_fit_are_refused_before_faiss_sees_them(name, change, tmp_path):
    quick, path = ApproximateIndex(clustered(1100)), tmp_path / "a.index"
    quick.save(path)
    arrays, about = load_index(path)
    ApproximateIndex.of_arrays(path, arrays, about)
    with np.errstate(invalid="ignore"):
        save_index(path, {**arrays, name: change(np.array(arrays[name]))}, about)
    with pytest.raises(InputError, match=r"a\.index: .*not fit") as caught:
        ApproximateIndex.load(path)
    assert str(caught.value).isprintable()
    save_index(path, arrays, {**about, "probes": 10**9})
    with pytest.raises(InputError, match=r"a\.index: probes is 1000000000"):
        ApproximateIndex.load(path)


@pytest.mark.parametrize("n", [1, 7, 600])
@pytest.mark.peer("faiss")
def test_a_small_approximate_index(n):
    x = clustered(700)[:n]
    found = ApproximateIndex(x).search(x[0], min(n, 5))
    np.testing.assert_array_equal(found.rows, Index(x).search(x[0], min(n, 5)).rows)


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r'pip install "tinyembed\[index\]"'):
        ApproximateIndex(clustered(100))


def test_public_name():
    import tinyembed

    assert tinyembed.Index is Index and approximate.ApproximateIndex is ApproximateIndex
    assert json.dumps(Labels.of(["A/a"]).row(0))
