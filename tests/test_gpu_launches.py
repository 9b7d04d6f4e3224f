"""What a training step asks of a GPU: its kernels, their blocks, transfers, waits, and memory.

A GPU of today runs some hundred blocks at once. A kernel of fewer blocks leaves most of it idle,
and CuPy's sums over rows have one block per 32 columns. The counts are those of the stand-in.
"""

import gc

import numpy as np
import pytest

from tinyembed.backends.arrays import add_column_sums, column_sums
from tinyembed.backends.choice import engine_for
from tinyembed.backends.cupy import batches
from tinyembed.backends.cupy.graphs import WARM_UP, own_stream
from tinyembed.evaluation import predictor
from tinyembed.evaluation.fitting import fit
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.cosine import CosineLoss
from tinyembed.models.table import MODELS, PAPER_MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("kernels", "standin", "tiny_width")

NODES, CONTRASTIVE_NODES = 230, 260  # at most, of one recorded step
LSTM_NODES = {"paper": 120, "shortcut": 165}  # of the predictor, without and with our shortcut
OUTSIDE = 12  # launches per step that prepare its batch
LARGE, FEWEST_BLOCKS = 10_000, 32


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """For models of units and for models of excerpts, which need longer pieces."""
    from music import write_corpus

    folders = [tmp_path_factory.mktemp("music") / "piano" for _ in range(2)]
    for folder, beats in zip(folders, (24, 80), strict=True):
        write_corpus(folder, beats=beats)
    short, long = (Corpus.from_folder(folder, progress=False) for folder in folders)
    return {name: long if MODELS[name].excerpt else short for name in MODELS}


def trainer_of(name, corpora, gpu, batch_size=None, width="small"):
    spec = MODELS[name]
    config = {
        "model": name, "width": width, "examples": 100_000, "seed": 0, "learning_rate": 1e-3,
        "batch_size": batch_size or spec.batch_size, "temperature": spec.temperature,
    }  # fmt: skip
    return Trainer(None, config, corpora[name], engine_for(gpu))


@pytest.fixture(scope="module")
def observe(gpu, standin, corpora):
    """(model, ...) -> the launches of the step that is recorded, and the counts of the next."""
    found = {}

    def look(name, *choices):
        if (name, choices) not in found:
            trainer = trainer_of(name, corpora, gpu, *choices)
            with own_stream(gpu), np.errstate(all="ignore"):
                trainer.batches.look_ahead(0)
                for _ in range(WARM_UP):
                    trainer.take_step()
                with standin.watch() as launches:
                    trainer.take_step()
                standin.reset()
                with standin.forbid_synchronisation():
                    trainer.take_step()
                found[name, choices] = launches, standin.counts()
        return found[name, choices]

    return look


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_one_graph(observe, name):
    launches, counts = observe(name)
    assert counts["graph_launches"] == 1
    assert counts["replayed"] == sum(launch.recorded for launch in launches)
    assert counts["replayed"] <= (NODES if name in PAPER_MODELS else CONTRASTIVE_NODES)
    assert counts["launches"] <= OUTSIDE
    assert counts["synchronisations"] == counts["to_device"] == counts["to_host"] == 0


def check_blocks(launches):
    """No kernel of many numbers has few blocks. (A library decides for itself.)"""
    wrong = [
        f"{launch.name} {launch.shape}: {launch.blocks} blocks of {launch.threads} threads"
        for launch in launches
        if launch.blocks is not None and launch.blocks < FEWEST_BLOCKS and launch.elements > LARGE
    ]
    assert not wrong, "\n".join(sorted({*wrong}))


@pytest.mark.parametrize("name", MODELS)
def test_no_kernel_leaves_the_gpu_idle(observe, name):
    check_blocks(observe(name)[0])


# Batches of 1,000 in the first layers of a decoder and an encoder, and its last bias.
@pytest.mark.parametrize(("rows", "columns"), [(80_000, 32), (32_000, 64), (576_000, 1), (2000, 6)])
def test_no_sum_over_rows_leaves_the_gpu_idle(gpu, standin, rows, columns):
    x, total = gpu.ones((rows, columns), np.float32), gpu.zeros(columns, np.float32)
    norm = BatchNormElu(columns).to(gpu)
    with standin.watch() as launches:
        column_sums(x)
        add_column_sums(total, x)
        norm.backward(x, norm.forward(x, training=True)[1])
    assert len(launches) > 5
    check_blocks(launches)


@pytest.mark.parametrize("name", MODELS)
def test_one_transfer_for_many_steps(gpu, standin, corpora, name, monkeypatch):
    monkeypatch.setattr(batches, "STEPS_AT_ONCE", 6)
    trainer = trainer_of(name, corpora, gpu, 128 if MODELS[name].excerpt else 10, "tiny")
    with own_stream(gpu), np.errstate(all="ignore"):
        standin.reset()
        for _ in range(12):
            trainer.take_step()
        counts = standin.counts()
    assert counts["to_device"] == 3  # one for the steps to come
    assert counts["to_host"] == counts["synchronisations"] == 0


def train_a_predictor(gpu, kind, size=100, batch_size=100):
    """A network of the prediction experiment, fitted to noise."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, size)).astype(np.float32)
    shortcut = kind == "shortcut"
    network = predictor.Predictor(size, rows, shortcut, shortcut, rng).to(gpu)
    data, places = gpu.asarray(rows), gpu.arange(SEQUENCE)[:, None]

    def draw(step):
        return np.random.default_rng(step).integers(500 - SEQUENCE, size=batch_size)

    def look_up(first):
        x = data[first + places]  # (8, N, D)
        return x[:-1], x[-1]

    fit(network, CosineLoss(), draw, look_up, lambda: 1.0, WARM_UP + 2, progress=False)


@pytest.mark.parametrize("kind", LSTM_NODES)
def test_a_step_of_the_predictor(gpu, standin, kind):
    """One graph, and no kernel that leaves the GPU idle."""
    standin.reset()
    with standin.watch() as launches:
        train_a_predictor(gpu, kind)
    counts = standin.counts()
    recorded = [launch for launch in launches if launch.recorded]
    assert counts["graph_launches"] == 2 and counts["replayed"] == 2 * len(recorded)
    assert len(recorded) <= LSTM_NODES[kind]
    check_blocks(recorded)


def test_a_dropped_training_leaves_no_memory(gpu, standin, corpora, monkeypatch):
    """Ten times: a model's, and a predictor's."""

    monkeypatch.setattr(predictor, "UNITS", 5)

    def memory():
        gc.collect()
        counts = standin.counts()
        return counts["bytes_held"], counts["bytes_lost"]

    def train():
        trainer = trainer_of("context", corpora, gpu, 10, "tiny")
        with own_stream(gpu):
            for _ in range(WARM_UP + 2):
                trainer.take_step()
        assert trainer._run_step.graph
        train_a_predictor(gpu, "shortcut", size=10, batch_size=5)

    train()  # loads what a process loads once
    before = memory()
    for _ in range(9):
        train()
    assert memory() == before
