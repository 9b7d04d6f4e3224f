"""Experiments, neighbours and embeddings on a GPU, or on the strict stand-in: the CPU's answers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import STANDIN
from music import write_corpus
from test_experiments import made_up_corpus

from tinyembed.backends.arrays import to_host
from tinyembed.errors import WorkError
from tinyembed.evaluation import fitting, prediction
from tinyembed.evaluation import passages as passages_module
from tinyembed.evaluation.baselines import counted_components, untrained_encoder
from tinyembed.evaluation.experiments import Stage, run_composers, run_prediction
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.ranks import random_ranks, same_piece_ranks
from tinyembed.layers.cosine import CosineLoss
from tinyembed.layers.dense import Dense
from tinyembed.layers.layer import Sequential
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING, embed_piece, embed_rolls
from tinyembed.music.corpus import Corpus
from tinyembed.music.cutting import Cutter
from tinyembed.music.midi import read_midi
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.labels import Labels
from tinyembed.search import build_parser, open_collection

ENOUGH_FOR_NOTHING = 4_000_000  # bytes: a model fits, what it does with units does not


@pytest.fixture(scope="module")
def corpus():
    return made_up_corpus([60] * 12, silent=0.1).split(0)


def projected(rolls):
    """An encoder without weights of its own: (N, 60, 96) -> (N, 100), the same on any device."""
    flat = to_host(rolls).reshape(len(rolls), -1)
    return flat @ np.random.default_rng(0).standard_normal((5760, 100)).astype(np.float32) / 76


@pytest.fixture(scope="module")
def embeddings(corpus):
    return Stage.build(corpus, 0).embed(projected, progress=False)


def test_both_experiments(corpus, embeddings, gpu, monkeypatch):
    """Every answer, of networks trained for a few steps on either device."""
    monkeypatch.setattr(prediction, "VALIDATED", 200)
    stage = Stage.build(corpus, 0)
    for experiment, steps in ((run_prediction, 3), (run_composers, 30)):
        ours, theirs = (
            experiment(stage, embeddings, xp, steps, progress=False) for xp in (np, gpu)
        )
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            if not name.endswith("seconds"):
                assert type(theirs[name]) is type(value)
                # A cosine on the verge of a tie may fall to either side: half a rank.
                np.testing.assert_allclose(theirs[name], value, rtol=1e-5, atol=0.5)
    np.testing.assert_allclose(ours["validation_loss"], theirs["validation_loss"], rtol=1e-5)
    assert (ours["predicted"] == theirs["predicted"]).all()


def test_ranks_leave_the_device_once(corpus, embeddings, gpu, standin):
    stage = Stage.build(corpus, 0)
    rows, sequences = gpu.asarray(embeddings["test"]), stage.test.sequences()
    predicted = rows[gpu.asarray(sequences[:, -2])]
    standin.reset()
    random_ranks(predicted, rows, sequences[:, -1], 0)
    assert standin.counts()["to_host"] == 1
    standin.reset()
    found = same_piece_ranks(predicted, rows, stage.test, sequences, 0)
    assert standin.counts()["to_host"] == 1
    on_host = same_piece_ranks(to_host(predicted), embeddings["test"], stage.test, sequences, 0)
    np.testing.assert_array_equal(found, on_host)
    # Piece by piece backwards: each rank stays with its sequence.
    back = np.argsort(-stage.test.passage_of(sequences[:, 0]), kind="stable")
    again = same_piece_ranks(predicted[gpu.asarray(back)], rows, stage.test, sequences[back], 0)
    np.testing.assert_array_equal(again, found[back])


def test_rolls_are_cut_where_they_are_encoded(corpus, gpu, monkeypatch):
    """Blocks of a few units, taken together two at a time: the same rows in the same order."""
    monkeypatch.setattr(passages_module, "ENCODED_AT_ONCE", 7)
    monkeypatch.setattr(passages_module, "TAKEN_AT_ONCE", 2)
    passages = Passages.of(corpus, [0, 3], 3, np.random.default_rng(0))
    seen = []

    def encode(rolls):
        seen.append(type(rolls))
        return gpu.asarray(projected(rolls))

    rows = passages.embed(encode, progress=False, cut=Cutter(corpus, gpu).rolls)
    assert set(seen) == {gpu.ndarray}
    np.testing.assert_array_equal(rows, projected(corpus.rolls(passages.beats, passages.keys)))
    on_device = Stage.build(corpus, 0, xp=gpu).cut(passages.beats[:3], passages.keys[:3])
    assert isinstance(on_device, gpu.ndarray)
    bad = corpus.piece_beats[3] + 5

    def fails(beats, keys):
        return gpu.asarray((beats == bad).astype(np.float32))[:, None]

    with pytest.raises(WorkError, match=corpus.names[3]):
        passages.embed(lambda x: x / (1 - x), progress=False, cut=fails)


class Recorded:
    """`fit` of a small network, with what crosses the bus meanwhile."""

    def __init__(self, xp, steps):
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((200, 5)).astype(np.float32)
        given = xp.asarray(rows)
        self.network = Sequential(dense=Dense(5, 3, rng=rng)).to_device(xp)
        self.looks = 0

        def draw(step):
            return np.random.default_rng(step).integers(200, size=20)

        def at(rows):
            return given[rows], given[rows][:, :3]

        def validate():
            self.looks += 1
            return 1 / self.looks

        fitting.fit(self.network, CosineLoss(), draw, at, validate, steps, progress=False)

    @property
    def weights(self):
        return {name: to_host(p.value) for name, p in self.network.named_parameters().items()}


def test_a_small_training_is_replayed(gpu, standin, monkeypatch, capsys):
    steps = 2 * fitting.AT_ONCE + 10
    on_host = Recorded(np, steps).weights
    standin.reset()
    replayed = Recorded(gpu, steps)
    counts = standin.counts()
    assert counts["graph_launches"] == steps - 2  # all but those that warm up
    # The rows, the weights and gradients of one layer; and three times the draws of many steps.
    assert counts["to_device"] == 1 + 4 + 3
    assert counts["to_host"] == 0
    monkeypatch.setattr(gpu.cuda.Stream, "begin_capture", None)  # one by one, and says so
    one_by_one = Recorded(gpu, steps).weights
    assert "cannot be recorded" in capsys.readouterr().err
    for name, value in replayed.weights.items():
        np.testing.assert_array_equal(value, one_by_one[name])
        np.testing.assert_allclose(value, on_host[name], rtol=1e-5, atol=1e-6)


def test_components_are_counted(gpu):
    """Against the decomposition of the centred rows themselves."""
    rng = np.random.default_rng(0)
    strength = 0.5 * 0.97 ** np.arange(150)
    together = rng.random((600, 6)) @ rng.random((6, 150)) / 3
    rows = (rng.random((600, 150)) < strength * together).astype(np.float32)
    blocks = (gpu.asarray(part) for part in np.array_split(rows, 7))
    mean, components = map(to_host, counted_components(blocks, gpu))
    assert components.shape == (150, EMBEDDING) and components.dtype == np.float32
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6)
    _, sizes, expected = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(
        np.linalg.norm((rows - mean) @ components, axis=0), sizes[:100], rtol=1e-4
    )
    alike = np.abs(np.sum(components[:, :5] * expected[:5].T, axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-5)


def test_the_untrained_encoder(corpus, gpu):
    rolls = corpus.rolls(corpus.unit_beats([3]))
    ours, theirs = (untrained_encoder(corpus, [0, 1, 2], "small", 0, xp) for xp in (np, gpu))
    np.testing.assert_allclose(to_host(theirs(rolls)), ours(rolls), atol=1e-4)


@pytest.mark.parametrize("kind", ["random", "clustered", "grid"])
def test_the_same_neighbours(kind, gpu):
    rng = np.random.default_rng(0)
    n, d = 3000, 40
    if kind == "random":
        x = rng.standard_normal((n, d))
    elif kind == "clustered":
        x = rng.standard_normal((30, d))[rng.integers(30, size=n)]
        x += 0.05 * rng.standard_normal((n, d))
    else:  # many equal cosines
        x = rng.integers(-1, 2, size=(n, d))
    x = x.astype(np.float32)
    sounds = rng.random(n) < 0.9
    labels = Labels.of([f"{p % 3}/{p}" for p in np.arange(n) // 100], sounds=sounds)
    ours, theirs = Index(x, labels), Index(gpu.asarray(x), labels)
    queries = x[rng.integers(n, size=20)] + 0.01
    for k, filters in (
        (7, {}),
        (300, {}),
        (7, {"where": rng.random(n) < 0.5}),
        (7, {"not_piece": rng.integers(-1, 30, size=20), "not_composer": 2}),
    ):
        found, expected = theirs.search(queries, k, **filters), ours.search(queries, k, **filters)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_allclose(found.cosines, expected.cosines, rtol=0, atol=2e-12)
        one = theirs.search(gpu.asarray(queries[0]), k)
        np.testing.assert_array_equal(one.rows, ours.search(queries[0], k).rows)


def test_an_index_goes_from_one_device_to_the_other(piano_folder, gpu, tmp_path):
    corpus = Corpus.from_folder(piano_folder, progress=False)
    model = Model("context", "small", [], np.random.default_rng(0))
    made = Collection.of(corpus, model, progress=False)
    made.save(tmp_path / "index")
    moved = Collection.load(tmp_path / "index", model, gpu)
    assert isinstance(moved.index.embeddings, gpu.ndarray)
    moved.save(tmp_path / "back")
    back = Collection.load(tmp_path / "back", model)
    queries = made.index.embeddings[:9]
    for collection in (moved, back):
        found, expected = (c.index.search(queries, 5) for c in (collection, made))
        np.testing.assert_array_equal(found.rows, expected.rows)
    model.to_device(gpu)
    there = Collection.of(corpus, model, progress=False, xp=gpu)
    rows = to_host(there.index.embeddings)
    np.testing.assert_allclose(rows, made.index.embeddings, rtol=0, atol=1e-5)


def test_a_search_on_the_gpu_has_its_index_there(piano_folder, gpu):
    """When it is embedded, and when it is read from the cache."""
    model = Model("context", "small", [], np.random.default_rng(0)).to_device(gpu)
    options = build_parser().parse_args(["x.mid", "--in", str(piano_folder)])
    for _ in range(2):
        said = []
        collection = open_collection(options, model, gpu, said.append)
        assert isinstance(collection.index.embeddings, gpu.ndarray)
        assert isinstance(collection.index.shortlist.table, gpu.ndarray)
    assert not any("is kept" in note for note in said)


@pytest.mark.parametrize("width", ["small", "paper"])
def test_embeddings_agree_to_five_digits(width, piano_folder, gpu):
    """Of the same weights, with running statistics as after a training."""
    file = sorted(piano_folder.rglob("*.mid"))[0]
    piece = read_midi(file)
    models = [Model("context", width, [], np.random.default_rng(0)) for _ in range(2)]
    rng = np.random.default_rng(1)
    for name, (owner, attribute) in models[0].named_buffers().items():
        shape = getattr(owner, attribute).shape
        value = 1 + 0.3 * rng.random(shape) if name.endswith("var") else rng.normal(0, 0.1, shape)
        for model in models:
            getattr(*model.named_buffers()[name])[...] = value
    models[1].to_device(gpu)
    ours, theirs = (embed_piece(piece, model) for model in models)
    assert np.abs(ours).max() > 0.1
    assert isinstance(theirs, np.ndarray)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    rolls = gpu.zeros((2, 60, 96), np.float32)
    assert isinstance(embed_rolls(rolls, models[1]), gpu.ndarray)
    assert isinstance(embed_rolls(to_host(rolls), models[1]), np.ndarray)


# The commands, in processes of their own.


@pytest.fixture(scope="module")
def environment(gpu):
    """Variables with which a process finds the GPU, or the stand-in for it."""
    found = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return found | ({"PYTHONPATH": str(STANDIN)} if hasattr(gpu, "standin") else {})


def run(environment, verb, *words, **more):
    return subprocess.run(
        [sys.executable, "-m", f"tinyembed.{verb}", *map(str, words)],
        capture_output=True, text=True, env={**environment, **more}, timeout=500,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, environment):
    """A folder of music and a run that was trained on it, hardly."""
    home = tmp_path_factory.mktemp("gpu")
    music = write_corpus(home / "music", 3, 5, beats=40)
    words = ("--data", music, "--examples", 60, "--batch-size", 20, "--out", home / "run")
    done = run(environment, "train", *words, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    return music, home / "run"


def test_evaluate(trained, environment, tmp_path):
    _, model = trained
    found = {}
    for device in ("cpu", "gpu"):
        words = (model, "--lstm-steps", 1, "--classifier-steps", 20, "--out", tmp_path / device)
        done = run(environment, "evaluate", *words, "--device", device, "--json")
        assert done.returncode == 0, done.stderr
        found[device] = json.loads(done.stdout)
    assert found["gpu"]["device"] == "gpu" and found["cpu"]["device"] == "cpu"
    ours, theirs = (found[device]["models"]["context"] for device in ("cpu", "gpu"))
    assert theirs["rank"]["median"] == pytest.approx(ours["rank"]["median"], abs=1)
    assert theirs["composers"]["accuracy"] == pytest.approx(ours["composers"]["accuracy"], abs=0.01)


def test_embed_and_search(trained, environment, tmp_path):
    music, model = trained
    file = sorted(music.rglob("*.mid"))[0]
    found = {}
    for device in ("cpu", "gpu"):
        out = tmp_path / f"{device}.npz"
        words = ("--model", model, "--device", device)
        done = run(environment, "embed", music, *words, "-o", out, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["device"] == device
        saved = tmp_path / f"{device}.index"
        more = {"TINYEMBED_CACHE": str(tmp_path / f"cache-{device}")}  # each embeds for itself
        words = (*words, "--in", music, "--other-piece", "--save", saved)
        done = run(environment, "search", file, "--beat", 3, *words, "--json", **more)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        neighbours = [(n["piece"], n["beat"], round(n["cosine"], 4)) for n in answer["neighbours"]]
        found[device] = np.load(out)["embeddings"], neighbours, answer["searched"]
    np.testing.assert_allclose(found["gpu"][0], found["cpu"][0], rtol=0, atol=1e-5)
    assert found["gpu"][1:] == found["cpu"][1:]


@pytest.mark.parametrize("verb", ["embed", "search", "evaluate", "reproduce"])
def test_out_of_memory_is_one_line_with_what_to_try(verb, trained, environment, tmp_path):
    music, model = trained
    file = sorted(music.rglob("*.mid"))[0]
    words, advice = {
        "embed": ((music, "--model", model, "-o", tmp_path / "x.npz"), "--device cpu"),
        "search": ((file, "--model", model, "--in", music), "--device cpu"),
        "evaluate": ((model, "--keys", 12, "--out", tmp_path / "x"), "--keys 1"),
        "reproduce": (
            ("--data", music, "--examples", 40, "--batch-size", 20, "--out", tmp_path / "x"),
            "--batch-size 10",
        ),
    }[verb]
    limit = {"CUPY_GPU_MEMORY_LIMIT": str(ENOUGH_FOR_NOTHING)}
    done = run(environment, verb, *words, "--device", "gpu", **limit)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "out of memory" in lines[0] and advice in lines[0], lines
    if verb == "evaluate":  # elsewhere the same command goes on
        assert "--device cpu" in lines[0]
