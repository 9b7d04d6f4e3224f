"""Experiments, neighbours and embeddings on a GPU, or on the strict mock: the CPU's results."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import STANDIN
from music import write_corpus
from small_networks import use_small_networks
from test_experiments import made_up_corpus

from tinyembed import search
from tinyembed.backends.arrays import to_host
from tinyembed.backends.cupy import batches
from tinyembed.embedding.embed import embed_piece, embed_rolls
from tinyembed.errors import WorkError
from tinyembed.evaluation import fitting, predictor
from tinyembed.evaluation import passages as passages_module
from tinyembed.evaluation.baselines import covariance_components, untrained_encoder
from tinyembed.evaluation.experiments import Dataset, run_composers, run_prediction
from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.ranks import random_ranks, same_piece_ranks
from tinyembed.layers.cosine import CosineLoss
from tinyembed.layers.dense import Dense
from tinyembed.layers.layer import Sequential
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.music.corpus import Corpus
from tinyembed.music.cutting import Cutter
from tinyembed.music.midi import read_midi
from tinyembed.neighbours.collection import Collection
from tinyembed.neighbours.index import Index
from tinyembed.neighbours.labels import Labels

pytestmark = pytest.mark.usefixtures("engine")

TOO_LITTLE_MEMORY = 4_000_000  # bytes: enough for a model, not for what it does with units


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        yield


@pytest.fixture(scope="module")
def corpus():
    return made_up_corpus([60] * 12, silent=0.1).split(0)


def projected(rolls):
    """A fixed random projection as an encoder: (N, 60, 96) -> (N, 100), the same on any device."""
    flat = to_host(rolls).reshape(len(rolls), -1)
    return flat @ np.random.default_rng(0).standard_normal((5760, 100)).astype(np.float32) / 76


@pytest.fixture(scope="module")
def embeddings(corpus):
    return Dataset.build(corpus, 0).embed(projected, progress=False)


def test_both_experiments(corpus, embeddings, gpu, monkeypatch):
    """All answers, of networks trained for a few steps on each device."""
    monkeypatch.setattr(predictor, "UNITS", 400)
    dataset = Dataset.build(corpus, 0)
    for experiment, steps in ((run_prediction, 3), (run_composers, 30)):
        ours, theirs = (
            experiment(dataset, embeddings, xp, steps, progress=False) for xp in (np, gpu)
        )
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            if not name.endswith("seconds"):
                assert type(theirs[name]) is type(value)
                # Rounding may turn a near tie into a tie: half a rank.
                np.testing.assert_allclose(theirs[name], value, rtol=1e-5, atol=0.5)
    np.testing.assert_allclose(ours["validation_loss"], theirs["validation_loss"], rtol=1e-5)
    assert (ours["predicted"] == theirs["predicted"]).all()


def test_ranks_leave_the_device_once(corpus, embeddings, gpu, standin):
    dataset = Dataset.build(corpus, 0)
    rows, sequences = gpu.asarray(embeddings["test"]), dataset.test.sequences()
    predicted = rows[gpu.asarray(sequences[:, -2])]
    standin.reset()
    random_ranks(predicted, rows, sequences[:, -1], 0)
    assert standin.counts()["to_host"] == 1
    standin.reset()
    found = same_piece_ranks(predicted, rows, dataset.test, sequences, 0)
    assert standin.counts()["to_host"] == 1
    on_host = same_piece_ranks(to_host(predicted), embeddings["test"], dataset.test, sequences, 0)
    np.testing.assert_array_equal(found, on_host)
    # With the pieces in reverse order, each rank stays with its sequence.
    back = np.argsort(-dataset.test.passage_of(sequences[:, 0]), kind="stable")
    again = same_piece_ranks(predicted[gpu.asarray(back)], rows, dataset.test, sequences[back], 0)
    np.testing.assert_array_equal(again, found[back])


def test_rolls_are_cut_on_the_device_that_encodes_them(corpus, gpu, monkeypatch):
    """In blocks of a few units, transferred two at a time: the same rows in the same order."""
    monkeypatch.setattr(passages_module, "ENCODED_AT_ONCE", 7)
    monkeypatch.setattr(passages_module, "TRANSFERRED_AT_ONCE", 2)
    passages = Passages.of(corpus, [0, 3], 3, np.random.default_rng(0))
    seen = []

    def encode(rolls):
        seen.append(type(rolls))
        return gpu.asarray(projected(rolls))

    rows = passages.embed(encode, progress=False, cut=Cutter(corpus, gpu).rolls)
    assert set(seen) == {gpu.ndarray}
    np.testing.assert_array_equal(rows, projected(corpus.rolls(passages.beats, passages.keys)))
    on_device = Dataset.build(corpus, 0, xp=gpu).cut(passages.beats[:3], passages.keys[:3])
    assert isinstance(on_device, gpu.ndarray)
    bad = corpus.piece_beats[3] + 5

    def fails(beats, keys):
        return gpu.asarray((beats == bad).astype(np.float32))[:, None]

    with pytest.raises(WorkError, match=corpus.names[3]):
        passages.embed(lambda x: x / (1 - x), progress=False, cut=fails)


class Fitted:
    """A small network, trained by `fit`."""

    def __init__(self, xp, steps):
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((200, 5)).astype(np.float32)
        data = xp.asarray(rows)
        self.network = Sequential(dense=Dense(5, 3, rng=rng)).to(xp)
        self.validations = 0

        def draw(step):
            return np.random.default_rng(step).integers(200, size=20)

        def look_up(rows):
            return data[rows], data[rows][:, :3]

        def validate():
            self.validations += 1
            return 1 / self.validations

        fitting.fit(self.network, CosineLoss(), draw, look_up, validate, steps, progress=False)

    @property
    def weights(self):
        return {name: to_host(p.value) for name, p in self.network.named_parameters().items()}


def test_a_small_training_is_replayed(gpu, standin, monkeypatch, capsys):
    steps = 2 * batches.STEPS_AT_ONCE + 10
    on_host = Fitted(np, steps).weights
    standin.reset()
    replayed = Fitted(gpu, steps)
    counts = standin.counts()
    assert counts["graph_launches"] == steps - 2  # all except the warm-up steps
    # The rows, the weights and gradients of one layer, and three transfers of many steps' draws.
    assert counts["to_device"] == 1 + 4 + 3
    assert counts["to_host"] == 0
    monkeypatch.setattr(gpu.cuda.Stream, "begin_capture", None)  # then steps run one by one
    one_by_one = Fitted(gpu, steps).weights
    assert "cannot be recorded" in capsys.readouterr().err
    for name, value in replayed.weights.items():
        np.testing.assert_array_equal(value, one_by_one[name])
        np.testing.assert_allclose(value, on_host[name], rtol=1e-5, atol=1e-6)


def test_components_from_the_covariance(gpu):
    """Against the singular value decomposition of the centred rows."""
    rng = np.random.default_rng(0)
    strength = 0.5 * 0.97 ** np.arange(150)
    correlated = rng.random((600, 6)) @ rng.random((6, 150)) / 3
    rows = (rng.random((600, 150)) < strength * correlated).astype(np.float32)
    blocks = (gpu.asarray(part) for part in np.array_split(rows, 7))
    mean, components = map(to_host, covariance_components(blocks, gpu))
    assert components.shape == (150, EMBEDDING) and components.dtype == np.float32
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6)
    _, sizes, expected = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(
        np.linalg.norm((rows - mean) @ components, axis=0), sizes[:100], rtol=1e-4
    )
    cosines = np.abs(np.sum(components[:, :5] * expected[:5].T, axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


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


def test_an_index_moves_between_devices(piano_folder, gpu, tmp_path):
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
    model.to(gpu)
    there = Collection.of(corpus, model, progress=False, xp=gpu)
    rows = to_host(there.index.embeddings)
    np.testing.assert_allclose(rows, made.index.embeddings, rtol=0, atol=1e-5)


def test_a_search_on_the_gpu_keeps_its_index_there(piano_folder, gpu):
    """When the music is embedded, and when its index is read from the cache."""
    model = Model("context", "small", [], np.random.default_rng(0)).to(gpu)
    options = search.build_parser().parse_args(["x.mid", "--in", str(piano_folder)])
    for _ in range(2):
        collection, notes = search.open_collection(options, model, gpu)
        assert isinstance(collection.index.embeddings, gpu.ndarray)
        assert isinstance(collection.index.shortlist.table, gpu.ndarray)
    assert not any("is kept" in note for note in notes)


@pytest.mark.parametrize("width", ["small", "paper"])
def test_embeddings_agree_to_five_digits(width, piano_folder, gpu):
    """With the same weights, and running statistics as after training."""
    file = sorted(piano_folder.rglob("*.mid"))[0]
    piece = read_midi(file)
    models = [Model("context", width, [], np.random.default_rng(0)) for _ in range(2)]
    rng = np.random.default_rng(1)
    for name, (owner, attribute) in models[0].named_buffers().items():
        shape = getattr(owner, attribute).shape
        value = 1 + 0.3 * rng.random(shape) if name.endswith("var") else rng.normal(0, 0.1, shape)
        for model in models:
            getattr(*model.named_buffers()[name])[...] = value
    models[1].to(gpu)
    ours, theirs = (embed_piece(piece, model) for model in models)
    assert np.abs(ours).max() > 0.1
    assert isinstance(theirs, np.ndarray)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    rolls = gpu.zeros((2, 60, 96), np.float32)
    assert isinstance(embed_rolls(rolls, models[1]), gpu.ndarray)
    assert isinstance(embed_rolls(to_host(rolls), models[1]), np.ndarray)


# The commands


def run(verb, *words):
    """What a command prints as JSON, run in this process."""
    command, out = importlib.import_module(f"tinyembed.{verb}"), io.StringIO()
    with contextlib.redirect_stdout(out):
        assert command.main([*map(str, words), "--json"]) == 0
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of music and a run that was trained on it for three steps."""
    home = tmp_path_factory.mktemp("gpu")
    music = write_corpus(home / "music", 3, 5, beats=48)
    words = ("--data", music, "--width", "tiny", "--examples", 60, "--batch-size", 20)
    run("train", *words, "--device", "cpu", "--out", home / "run")
    return music, home / "run"


@pytest.fixture
def device_answers(gpu, monkeypatch):
    """--device gpu finds the GPU, or the mock."""
    monkeypatch.setattr(gpu.cuda, "is_available", lambda: True)


def test_evaluate(trained, device_answers, tmp_path):
    _, model = trained
    words = (model, "--lstm-steps", 1, "--classifier-steps", 20)
    found = {
        device: run("evaluate", *words, "--out", tmp_path / device, "--device", device)
        for device in ("cpu", "gpu")
    }
    assert found["gpu"]["device"] == "gpu" and found["cpu"]["device"] == "cpu"
    ours, theirs = (found[device]["models"]["context"] for device in ("cpu", "gpu"))
    assert theirs["rank"]["median"] == pytest.approx(ours["rank"]["median"], abs=1)
    assert theirs["composers"]["accuracy"] == pytest.approx(ours["composers"]["accuracy"], abs=0.01)


def test_embed_and_search(trained, device_answers, tmp_path, monkeypatch):
    music, model = trained
    file = sorted(music.rglob("*.mid"))[0]
    found = {}
    for device in ("cpu", "gpu"):
        out = tmp_path / f"{device}.npz"
        words = ("--model", model, "--device", device)
        assert run("embed", music, *words, "-o", out)["device"] == device
        monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / f"cache-{device}"))  # not shared
        words = (*words, "--in", music, "--other-piece", "--save", tmp_path / f"{device}.index")
        answer = run("search", file, "--beat", 3, *words)
        neighbours = [(n["piece"], n["beat"], round(n["cosine"], 4)) for n in answer["neighbours"]]
        found[device] = np.load(out)["embeddings"], neighbours, answer["searched"]
    np.testing.assert_allclose(found["gpu"][0], found["cpu"][0], rtol=0, atol=1e-5)
    assert found["gpu"][1:] == found["cpu"][1:]


@pytest.mark.parametrize("verb", ["embed", "search", "evaluate", "reproduce"])
def test_out_of_memory_is_one_line_with_what_to_try(verb, trained, gpu, tmp_path):
    """In a process of its own, since CuPy reads the limit when it starts."""
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
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "CUPY_GPU_MEMORY_LIMIT": str(TOO_LITTLE_MEMORY),
        **({"PYTHONPATH": str(STANDIN)} if hasattr(gpu, "standin") else {}),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.small_networks", verb, *map(str, words), "--device", "gpu"],
        capture_output=True, text=True, env=environment, timeout=500,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "out of memory" in lines[0] and advice in lines[0], lines
    if verb == "evaluate":  # which the same command continues on the CPU
        assert "--device cpu" in lines[0]
