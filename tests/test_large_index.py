"""`LargeIndex`: built from shards, joined on the disk, searched without holding its rows."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from called import calls_of
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus

from tinyembed import corpus as corpus_command
from tinyembed import search
from tinyembed.embed import main as embed_main
from tinyembed.embedding.embed import embed_piece
from tinyembed.embedding.shards import KIND, Embeddings, shard_path
from tinyembed.errors import InputError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.midi import read_midi
from tinyembed.neighbours import large_join
from tinyembed.neighbours.index import Index, weights_digest
from tinyembed.neighbours.large_build import build
from tinyembed.neighbours.large_files import is_large_index
from tinyembed.neighbours.large_index import LargeIndex
from tinyembed.neighbours.large_plan import Plan
from tinyembed.neighbours.large_quantizer import train
from tinyembed.storage.mapped import save_mapped
from tinyembed.storage.records import read_record, write_record

pytest.importorskip("faiss")
pytestmark = pytest.mark.peer("faiss")
HERE = Path(__file__).resolve().parents[1]
QUICK = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TINYEMBED_BACKEND": "cpu"}


call, fails = calls_of(search.main)


def write_embeddings(folder, shards, weights="0" * 64):
    """A folder of embeddings with these rows, seven per piece; a shard is (n, 100)."""
    (folder / "shards").mkdir(parents=True)
    for i, rows in enumerate(shards):
        row = np.arange(len(rows), dtype=np.int32)
        pieces = -(-len(rows) // 7)
        arrays = {"rows": rows.astype(np.float16), "piece": row // 7, "beat": row % 7}
        arrays["piece_composer"] = np.zeros(pieces, np.int32)
        about = {"names": [f"a/{i}-{p}.mid" for p in range(pieces)], "composers": ["a"] * (i < 9)}
        about |= {"shard": f"digest {i}", "weights": weights}
        save_mapped(shard_path(folder, f"{i:05}"), KIND, arrays, about)
    values = {"version": 1, "model": "own", "weights": weights, "reader": "3", "dimensions": 100}
    values |= {"store": "s", "shards": [f"{i:05}" for i in range(len(shards))]}
    values |= {"digests": [f"digest {i}" for i in range(len(shards))]}
    values |= {"units": [len(rows) for rows in shards]}
    values |= {"pieces": sum(-(-len(rows) // 7) for rows in shards)}
    write_record(folder / "embeddings.json", values)
    return folder


def clustered(n, seed=0):
    """Rows around a few centres, as music is."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 20), 100))
    return centres[rng.integers(len(centres), size=n)] + 0.5 * rng.standard_normal((n, 100))


@pytest.fixture(scope="module")
def rows():
    return clustered(1500).astype(np.float16)


@pytest.fixture(scope="module")
def made(rows, tmp_path_factory):
    """A folder with embeddings in four shards, one of them empty, and their index. To be read."""
    here = tmp_path_factory.mktemp("large")
    shards = np.split(rows, [600, 600, 1100])
    build(write_embeddings(here / "embeddings", shards), here / "index", progress=False)
    return here


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


# What it finds.


def same_up_to_ties(ours, theirs):
    """Whether two results have the same cosines, and the same rows but for equal cosines."""
    np.testing.assert_allclose(ours.cosines, theirs.cosines, rtol=0, atol=2e-12)
    distinct = np.abs(np.diff(theirs.cosines, prepend=2, append=-2)) > 1e-11
    clear = distinct[..., :-1] & distinct[..., 1:]
    clear[..., -1] = False  # the next row, which is not there, may have the same
    np.testing.assert_array_equal(ours.rows[clear], theirs.rows[clear])


def test_all_lists_give_what_the_exact_index_gives(made, rows):
    large, exact = LargeIndex.open(made / "index"), Index(rows.astype(np.float32))
    assert large.faiss.nlist > 16 and len(large) == large.n_findable == 1500
    queries = clustered(20, seed=1)
    found = large.search(queries, 10, probes=large.faiss.nlist)
    same_up_to_ties(found, exact.search(queries, 10))
    assert not found.certified.any() and found.rows.shape == (20, 10)
    one = large.search(queries[3], 10, probes=10**9)
    np.testing.assert_array_equal(one.rows, found.rows[3])


@pytest.fixture(scope="module", params=[[1], [5, 0, 40], [300]], ids=str)
def few(request, tmp_path_factory):
    """Some rows in shards of these sizes, of any length, and their index. Only to be read."""
    here, sizes = tmp_path_factory.mktemp("few"), request.param
    scale = np.random.default_rng(0).choice([0.01, 1.0, 100.0], (sum(sizes), 1))
    rows = (scale * clustered(sum(sizes))).astype(np.float16)
    write_embeddings(here / "e", np.split(rows, np.cumsum(sizes)[:-1]))
    build(here / "e", here / "i", seed=len(sizes), progress=False)
    return rows, LargeIndex.open(here / "i")


@settings(max_examples=40, deadline=None)
@given(k=st.integers(1, 12), seed=st.integers(0, 2**32 - 1), filtered=st.booleans())
def test_of_few_rows_it_finds_what_the_exact_index_finds(few, k, seed, filtered):
    """Their candidates are all of them."""
    (rows, large), rng = few, np.random.default_rng(seed)
    where = rng.random(len(rows)) < 0.7 if filtered else None
    n = len(rows) if where is None else int(where.sum())
    exact, query = Index(rows.astype(np.float32)), rng.standard_normal(100)
    if k > n:
        with pytest.raises(InputError, match=f"k {k}: there are only {n:,} units"):
            large.search(query, k, where)
    else:
        found = large.search(query, k, where, probes=10**6)
        same_up_to_ties(found, exact.search(query, k, where))


def test_the_default_misses_few(made, rows):
    """Of queries near rows; and more probes find more."""
    large, exact = LargeIndex.open(made / "index"), Index(rows.astype(np.float32))
    queries = rows[::15].astype(np.float64) + 0.2 * clustered(100, seed=2)
    kth = exact.search(queries, 10).cosines[:, -1:]
    recall = [(large.search(queries, 10, probes=p).cosines >= kth).mean() for p in (1, None)]
    assert recall[0] < recall[1] and recall[1] > 0.97


def test_a_filter_leaves_what_it_leaves(made, rows):
    """Even if no row that it leaves is in the lists that a query visits first."""
    large = LargeIndex.open(made / "index")
    where = np.zeros(1500, bool)
    where[[3, 700, 1499]] = True
    for query in (rows[10], rows[1000]):
        found = large.search(query, 3, where, probes=1)
        assert sorted(found.rows.tolist()) == [3, 700, 1499]
    with pytest.raises(InputError, match="only 3 units"):
        large.search(rows[0], 4, where)


def test_rows_without_a_direction_are_never_found(tmp_path):
    rows = clustered(300)
    rows[::3] = 0
    build(write_embeddings(tmp_path / "e", [rows]), tmp_path / "i", progress=False)
    large = LargeIndex.open(tmp_path / "i")
    assert (len(large), large.n_findable) == (300, 200)
    found = large.search(np.ones(100), 200, probes=10**6).rows
    assert sorted(found.tolist()) == [n for n in range(300) if n % 3]
    write_embeddings(tmp_path / "zero", [np.zeros((5, 100))])
    with pytest.raises(InputError, match="zero: its rows are zero"):
        build(tmp_path / "zero", tmp_path / "j", progress=False)
    write_embeddings(tmp_path / "none", [np.zeros((0, 100))])
    with pytest.raises(InputError, match="no embeddings in it"):
        build(tmp_path / "none", tmp_path / "j", progress=False)


def test_what_it_says_of_a_row(made):
    labels = LargeIndex.open(made / "index").labels
    assert labels.row(0) == {"composer": "a", "piece": "a/0-0.mid", "beat": 0, "seconds": None}
    row = labels.row(600 + 7 * 5 + 3)
    assert (row["piece"], row["beat"]) == ("a/2-5.mid", 3)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"queries": np.ones(99)}, "a query is"),
        ({"queries": np.zeros(100)}, "zero or not finite"),
        ({"queries": np.full(100, np.nan)}, "zero or not finite"),
        ({"queries": np.ones(100), "k": 0}, "k 0"),
        ({"queries": np.ones(100), "k": 1501}, "only 1,500 units"),
        ({"queries": np.ones(100), "probes": 0}, "probes 0"),
        ({"queries": np.ones(100), "probes": 1.5}, "probes 1.5"),
        ({"queries": np.ones(100), "where": np.ones(5, bool)}, "where: true or false"),
    ],
)
def test_wrong_queries(made, options, words):
    with pytest.raises(InputError, match=words):
        LargeIndex.open(made / "index").search(**options)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc")
def test_memory_is_given_back(made):
    """After a search no page of the embeddings counts as this process's memory."""
    large = LargeIndex.open(made / "index")
    large.search(np.ones(100), 10, probes=10**6)
    resident, name = {}, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            name = line.split()[-1]
        elif line.startswith("Rss:"):
            resident[name] = resident.get(name, 0) + int(line.split()[1])
    paths = [path for path in large.labels.embeddings.paths if path.stat().st_size > 50_000]
    assert len(paths) == 3
    for path in paths:  # the names of the pieces are still there
        assert 0 < 1000 * resident[str(path)] < path.stat().st_size / 2


@given(st.integers(1, 10**10))
def test_the_plan_of_any_number_of_rows(n):
    plan = Plan.of(n)
    assert 1 <= plan.probes <= plan.lists <= 1 << 16
    assert 1 <= plan.training <= min(n, 3_000_000)
    assert plan.lists <= max(1, n / 39)


def test_each_byte_of_a_code_has_as_much_to_tell_as_another():
    """Of rows that are strong in few directions, as music's are."""
    strength = 0.9 ** np.arange(100)
    rows = clustered(1000) * np.random.default_rng(0).permutation(strength)
    arrays = train((rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32), 1, seed=0)
    rotation = arrays["rotation"].astype(np.float64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(100), atol=1e-5)
    turned = rows @ rotation.T
    volumes = np.prod(turned.reshape(-1, 50, 2).var(axis=0), axis=1)
    assert volumes.max() < 100 * volumes.min()  # 1e9 without the rotation


# How it is built.


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    shutil.copytree(made / "embeddings", tmp_path / "embeddings")
    found = build(tmp_path / "embeddings", tmp_path / "index", progress=False)
    assert files(tmp_path / "index") == files(made / "index")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "index").iterdir()}
    assert build(tmp_path / "embeddings", tmp_path / "index", progress=False) == found
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "index").iterdir()}
    assert sorted(p.name for p in before) == [
        "index.json", "lists.data", "lists.sums", "trained.quantizer",
    ]  # fmt: skip


def test_a_killed_build_is_continued(made, tmp_path):
    """Killed after the first part, it trains no more and codes only what is missing."""
    shutil.copytree(made / "embeddings", tmp_path / "embeddings")
    code = (
        "import os, signal, sys\n"
        "from tinyembed.neighbours import large_build\n"
        "write, written = large_build._write_part, []\n"
        "def killed(path, index):\n"
        "    write(path, index)\n"
        "    written.append(path)\n"
        "    len(written) == 2 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "large_build._write_part = killed\n"
        "large_build.build(*sys.argv[1:], progress=False)\n"
    )
    words = [sys.executable, "-c", code, tmp_path / "embeddings", tmp_path / "index"]
    done = subprocess.run(words, cwd=HERE, env={**os.environ, **QUICK}, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="not finished; repeat the tinyembed"):
        LargeIndex.open(tmp_path / "index")
    kept = [*tmp_path.glob("index/parts/*/*.part"), tmp_path / "index" / "trained.quantizer"]
    assert len(kept) == 3
    opened = []
    with pytest.MonkeyPatch.context() as patch:
        shard = Embeddings.shard
        patch.setattr(Embeddings, "shard", lambda *a: opened.append(a[1]) or shard(*a))
        build(tmp_path / "embeddings", tmp_path / "index", progress=False)
    assert set(opened) == {2, 3}
    assert files(tmp_path / "index") == files(made / "index")


def test_joining_that_dies_is_one_line_and_loses_nothing(made, tmp_path, monkeypatch):
    """As on a full disk, where the system ends the process that writes."""
    shutil.copytree(made / "embeddings", tmp_path / "embeddings")
    monkeypatch.setattr(large_join, "_join", die)
    with pytest.raises(WorkError, match=r"lists.data: joining .* \(signal 7\).* repeat the comm"):
        build(tmp_path / "embeddings", tmp_path / "index", progress=False)
    assert len(list(tmp_path.glob("index/parts/*/*.part"))) == 4
    monkeypatch.undo()
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(OSError, match="No space left on device") as error:
        build(tmp_path / "embeddings", tmp_path / "index", progress=False)
    assert error.value.filename == str(tmp_path / "index" / "lists.data")
    monkeypatch.undo()
    build(tmp_path / "embeddings", tmp_path / "index", progress=False)
    assert files(tmp_path / "index") == files(made / "index")


def die(*parts):
    os.kill(os.getpid(), signal.SIGBUS)


def test_damaged_parts_are_made_again(copy, made):
    """Of an index that is built again."""
    for name in ("trained.quantizer", "lists.data", "lists.sums"):
        damage(copy / "index" / name, 0.5)
        build(copy / "embeddings", copy / "index", progress=False)
        assert files(copy / "index") == files(made / "index")


# What it refuses.


def damage(path, place):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x10
    path.write_bytes(data)


def use(folder, **options):
    """Read all that a search may read."""
    index = LargeIndex.open(folder, **options)
    index.search(np.ones(100), 10, probes=10**6)
    return index


@pytest.mark.parametrize("place", [0.0, 0.002, 0.4, 0.999])
@pytest.mark.parametrize(
    "name", ["index.json", "trained.quantizer", "lists.data", "lists.sums",
             "../embeddings/embeddings.json", "../embeddings/shards/00002.rows"],
)  # fmt: skip
def test_a_damaged_byte_is_noticed(copy, name, place):
    path = copy / "index" / name
    damage(path, place)
    with pytest.raises(InputError) as error:
        use(copy / "index", verify=True)
    line = str(error.value)
    assert line.isprintable() and (Path(name).stem in line or "have changed since" in line)
    if name.startswith("lists"):
        with pytest.raises(InputError):
            use(copy / "index")


@pytest.mark.parametrize("name", ["index.json", "trained.quantizer", "lists.data", "lists.sums"])
def test_a_file_that_is_cut_or_missing(copy, name):
    path = copy / "index" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=name):
        LargeIndex.open(copy / "index")
    path.unlink()
    with pytest.raises(InputError):
        LargeIndex.open(copy / "index")


def test_rows_that_are_not_finite(tmp_path):
    """With right checksums: of a file that someone made by hand."""
    rows = clustered(50)
    rows[7, 3] = np.nan
    write_embeddings(tmp_path / "e", [rows[:5], rows[5:]])
    with pytest.raises(InputError, match=r"00001\.rows: numbers in it are not finite"):
        build(tmp_path / "e", tmp_path / "i", progress=False)


def test_impossible_rows_in_the_lists(copy):
    """With right checksums: of a file that someone made by hand."""
    index, data = copy / "index", copy / "index" / "lists.data"
    data.write_bytes(b"\x7f" * data.stat().st_size)
    from tinyembed.neighbours.large_files import load_quantizer, save_sums

    large = LargeIndex.open(index)
    save_sums(index, large.sizes, data, load_quantizer(index, large.settings)[1])
    with pytest.raises(InputError, match=r"lists\.data: damaged: impossible rows"):
        LargeIndex.open(index).search(np.ones(100), 3)


def test_other_versions_and_settings(copy):
    path = copy / "index" / "index.json"
    values = read_record(path)
    for changes, words in (
        ({"version": 9}, r"another version \(9, this one reads 1\)"),
        ({"lists": 7, "probes": 1}, "do not fit"),
        ({"lists": 0}, "lists is 0"),
        ({"bytes": 7}, "do not fit"),
        ({"dimensions": 50}, "changed since"),
        ({"probes": 10**6}, "more lists than it has"),
        ({"rows": 5}, "changed since"),
        ({"embeddings": "x\n"}, "not where they were"),
    ):
        write_record(path, {**values, **changes})
        with pytest.raises(InputError, match=words) as error:
            LargeIndex.open(copy / "index")
        assert str(error.value).isprintable()


def test_embeddings_that_were_moved_or_changed(copy, rows, tmp_path_factory):
    (copy / "embeddings").rename(copy / "elsewhere")
    with pytest.raises(InputError, match=r"index.json: its embeddings are not where they were"):
        LargeIndex.open(copy / "index")
    write_embeddings(copy / "embeddings", np.split(rows[::-1], [600, 600, 1100]))
    with pytest.raises(InputError, match="have changed since it was built; build the index again"):
        LargeIndex.open(copy / "index")
    shutil.rmtree(copy / "embeddings")
    (copy / "elsewhere").rename(copy / "embeddings")
    LargeIndex.open(copy / "index")
    # Both together may move: the path between them stays.
    there = tmp_path_factory.mktemp("moved") / "all"
    copy.rename(there)
    LargeIndex.open(there / "index", verify=True)
    (there / "embeddings" / "shards" / "00003.rows").unlink()
    with pytest.raises(InputError, match="1 of 4 shards are missing"):
        LargeIndex.open(there / "index")
    there.rename(copy)


def test_other_folders(copy, rows):
    with pytest.raises(InputError, match="holds an index of other --seed; choose another -o"):
        build(copy / "embeddings", copy / "index", seed=3, progress=False)
    write_embeddings(copy / "others", [rows[:100]])
    with pytest.raises(InputError, match="holds an index of other embeddings"):
        build(copy / "others", copy / "index", progress=False)
    with pytest.raises(InputError, match="holds other files; choose another -o"):
        build(copy / "others", copy / "embeddings", progress=False)
    with pytest.raises(InputError, match=r"no embeddings of a store; python -m tinyembed\.embed"):
        build(copy, copy / "new", progress=False)
    assert not is_large_index(copy) and not is_large_index(None) and is_large_index(copy / "index")


def test_without_faiss(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "faiss", None)
    words = 'pip install "tinyembed[index]"'
    fails(capsys, 2, "build", made / "embeddings", "-o", tmp_path / "i", [words])
    assert not (tmp_path / "i").exists()
    with pytest.raises(InputError, match="needs faiss"):
        LargeIndex.open(made / "index")


# The command, on a store of real files.


@pytest.fixture(scope="module")
def piano(tmp_path_factory):
    """A folder of music, its store, their embeddings, and a model's weights. Only to be read."""
    here = tmp_path_factory.mktemp("piano")
    write_corpus(here / "music", composers=3, pieces=4, beats=32)
    model = Model("context", "small", ["A"], np.random.default_rng(0))
    rolls = (np.random.default_rng(0).random((40, 60, 96)) < 0.03).astype(np.float32)
    for _ in range(10):
        model.encoder.forward(rolls[..., None], training=True)
    save_weights(here / "own.npz", model)
    words = [here / "music", "-o", here / "store", "--files-per-task", "5", "--workers", "1"]
    assert corpus_command.main(["build", *map(str, words)]) == 0
    words = ["--in", here / "store", "-o", here / "embeddings", "--model", here / "own.npz"]
    assert embed_main([*map(str, words)]) == 0
    return here


@pytest.fixture(scope="module")
def index(piano):
    assert search.main(["build", str(piano / "embeddings"), "-o", str(piano / "index")]) == 0
    return piano / "index"


@pytest.fixture
def options(piano, index):
    return ("--in", index, "--model", piano / "own.npz")


def units_by_hand(piano, query, beat):
    """(cosine, composer, piece, beat) of all kept units, the nearest first, by brute force."""
    embeddings, model = Embeddings.open(piano / "embeddings"), load_weights(piano / "own.npz")[0]
    q = embed_piece(read_midi(query), model)[beat].astype(np.float64)
    q /= np.sqrt(q @ q)
    found = []
    for n in range(len(embeddings.paths)):
        shard = embeddings.shard(n)
        x = shard.rows.astype(np.float64)
        cosines = np.round(x @ q / np.sqrt((x * x).sum(axis=1)), 6)
        for cosine, piece, b in zip(cosines, shard.piece, shard.beat, strict=True):
            composer = shard.composers[shard.piece_composer[piece]]
            found.append((-cosine, composer, shard.names[piece], int(b)))
    return sorted(found, key=lambda unit: unit[0])


def test_the_build_and_the_next_step(piano, tmp_path, capsys):
    shutil.copytree(piano / "embeddings", tmp_path / "e")
    status, out, err = call(capsys, "build", tmp_path / "e", "-o", tmp_path / "i")
    n = len(Embeddings.open(piano / "embeddings"))
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{n} units in 8 lists, 50 bytes each, of which a query visits 8: {tmp_path / 'i'}",
        f"Next: python -m tinyembed.search QUERY.mid --in {tmp_path / 'i'} --model "
        f"{piano / 'own.npz'}",
    ]
    found = json.loads(call(capsys, "build", tmp_path / "e", "-o", tmp_path / "i", "--json")[1])
    assert (found["rows"], found["lists"], found["out"]) == (n, 8, str(tmp_path / "i"))


def test_the_table_is_that_of_brute_force(piano, options):
    """In a process of its own."""
    query = piano / "music" / "Bolero" / "piece_02.mid"
    done = subprocess.run(
        [sys.executable, "-m", "tinyembed.search", str(query), "--beat", "5", "-k", "4",
         *map(str, options)], capture_output=True, text=True, env={**os.environ, **QUICK},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    expected = units_by_hand(piano, query, 5)
    n = len(expected)
    assert (
        f"Nearest to beats 5 to 8 of {query} (at 0:02.5), among {n} of {n} units of 12" in lines[1]
    )
    rows = [line.split() for line in lines[4:8]]
    assert lines[3].split() == ["rank", "cosine", "composer", "piece", "beat", "time"]
    for rank, (row, (cosine, *_)) in enumerate(zip(rows, expected, strict=False), start=1):
        assert row[0] == str(rank) and float(row[1]) == pytest.approx(-cosine, abs=6e-4)
        assert row[-1] == "-"
    assert rows[0][1:] == ["1.000", "Bolero", "piece_02.mid", "5", "-"] and len(lines) == 8


@pytest.mark.parametrize("what", ["piece", "composer"])
def test_own_music_is_left_out(piano, options, capsys, tmp_path, what):
    """Also under another name, in another folder: it is known by its embeddings."""
    query = tmp_path / "Unknown" / "mine.mid"
    query.parent.mkdir()
    shutil.copy(piano / "music" / "Bolero" / "piece_02.mid", query)
    words = (query, "--beat", 5, *options, "-k", 6, f"--other-{what}", "--json")
    found = json.loads(call(capsys, *words)[1])
    mine = {"piece": "Bolero/piece_02.mid", "composer": "Bolero"}[what]
    place = {"piece": 2, "composer": 1}[what]
    everything = units_by_hand(piano, query, 5)
    others = [unit for unit in everything if unit[place] != mine]
    assert found["searched"] == len(others) < len(everything) == found["units"]
    assert mine not in {row[what] for row in found["neighbours"]}
    got = [row["cosine"] for row in found["neighbours"]]
    np.testing.assert_allclose(got, [-unit[0] for unit in others[:6]], atol=2e-6)
    assert (found["pieces"], found["certified"], found["out"]) == (12, False, None)


def test_music_that_is_not_in_the_index(piano, options, capsys, tmp_path):
    write_corpus(tmp_path, composers=1, pieces=1, beats=16, seed=7)
    query = tmp_path / "Adagio" / "piece_00.mid"
    status, out, err = call(capsys, query, *options, "--other-piece", "-k", 1)
    assert (status, err) == (0, "")
    assert f"note: {query} is not among these pieces, so all of them are others" in out
    found = json.loads(call(capsys, query, *options, "--other-composer", "--json")[1])
    assert {row["composer"] for row in found["neighbours"]} <= {"Bolero", "Canzona"}
    stranger = tmp_path / "Stranger" / "a.mid"
    stranger.parent.mkdir()
    shutil.copy(query, stranger)
    parts = ["--other-composer", stranger, "unknown"]
    fails(capsys, 2, stranger, *options, "--other-composer", parts)


def test_more_neighbours_than_there_are(piano, options, capsys):
    query = piano / "music" / "Bolero" / "piece_02.mid"
    status, out, _ = call(capsys, query, *options, "-k", 10_000, "--verify")
    n = len(Embeddings.open(piano / "embeddings"))
    assert status == 0 and f"note: {n:,} neighbours instead of 10,000: there are no more" in out


def test_what_an_index_cannot_do(piano, index, options, capsys, tmp_path):
    query = piano / "music" / "Bolero" / "piece_02.mid"
    fails(capsys, 2, query, *options, "--per", "piece", ["--per piece", index, "no whole pieces"])
    fails(capsys, 2, query, *options, "--out", tmp_path / "n.mid", ["--out", "no notes"])
    fails(capsys, 2, query, *options, "--save", tmp_path / "n.index", ["--save", "no notes"])
    fails(capsys, 2, query, "--in", index, [index, "another model", piano / "own.npz"])
    fails(capsys, 2, query, "--in", piano / "music", "--probes", 3, ["--probes 3", "search build"])
    parts = [piano / "embeddings", "without an index", "tinyembed.search build"]
    fails(capsys, 2, query, "--in", piano / "embeddings", parts)
    fails(capsys, 2, "build", tmp_path, "-o", tmp_path / "i", [tmp_path, "tinyembed.embed --in"])
    fails(capsys, 2, "build", ["EMBEDDINGS"])
    few, many = (
        json.loads(call(capsys, query, *options, "--probes", n, "--json")[1]) for n in (1, 99)
    )
    assert many["neighbours"][0]["cosine"] == 1
    assert few["neighbours"][9]["cosine"] <= many["neighbours"][9]["cosine"]


def test_the_digest_is_the_models(piano, index):
    model = load_weights(piano / "own.npz")[0]
    assert len(LargeIndex.open(index, model)) == len(LargeIndex.open(index, weights_digest(model)))
    with pytest.raises(InputError, match="another model"):
        LargeIndex.open(index, "0" * 64)
