"""Training on a store that is larger than memory: pools of shards, one after the other."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from music import write_corpus, write_midi
from small_networks import use_small_networks

from tinyembed import corpus as corpus_command
from tinyembed import train
from tinyembed.backends.arrays import to_host
from tinyembed.backends.choice import engine_for
from tinyembed.models.table import MODELS
from tinyembed.music.roll import KEYS
from tinyembed.storage.arrays import load_arrays
from tinyembed.stores import large
from tinyembed.stores.large import LargeCorpus
from tinyembed.stores.sources import open_corpus
from tinyembed.training import pools
from tinyembed.training.kinds import examples_for, in_memory
from tinyembed.training.pools import PooledExamples
from tinyembed.training.validation import mean_target

SIZE = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of 19 pieces with excerpts, in shards of four. One repeats itself, and is silent."""
    path = tmp_path_factory.mktemp("pools")
    write_corpus(path / "in", beats=80)
    beats = [*range(60), *range(70, 80)]
    write_midi(path / "in/Bolero/again.mid", [(480 * n, 400, 50 + 7 * n % 24) for n in beats])
    words = ["build", path / "in", "-o", path / "store", "--files-per-task", 4, "--json"]
    corpus_command.main(list(map(str, words)))
    return path / "store"


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    """Every store is large, and a pool is two of its shards."""
    monkeypatch.setattr(large, "IN_MEMORY", 10)
    monkeypatch.setattr(pools, "SHARDS", 2)


@pytest.fixture
def corpus(folder):
    found = open_corpus(folder, large="pools")
    assert isinstance(found, LargeCorpus)
    return found


def pooled(corpus, name, pieces=None):
    pieces = np.arange(corpus.n_pieces) if pieces is None else pieces
    return PooledExamples(corpus, MODELS[name], pieces)


def test_it_knows_its_pieces_without_their_music(corpus, folder, monkeypatch):
    monkeypatch.setattr(large, "IN_MEMORY", 10**9)
    whole = open_corpus(folder)
    assert corpus.names() == whole.names and corpus.composers == whole.composers
    np.testing.assert_array_equal(corpus.piece_composer, whole.piece_composer)
    np.testing.assert_array_equal(corpus.piece_is_test, whole.piece_is_test)
    assert corpus.piece_units.sum() == corpus.store.n_units
    chosen = np.array([0, 3, 4, 9, 17])
    part, kept = corpus.read(chosen)
    assert part.names == [whole.names[n] for n in chosen]
    np.testing.assert_array_equal(part.piece_composer, whole.piece_composer[chosen])
    sizes = [len(whole.unit_beats([n])) for n in chosen]
    sums = [own.sum() for own in np.split(kept, np.cumsum(sizes)[:-1])]
    np.testing.assert_array_equal(sums, corpus.piece_units[chosen])


def test_a_composer_of_copies_alone(folder, tmp_path, monkeypatch):
    """Nothing of theirs is kept, and nothing is looked for."""
    tune = [(480 * n, 400, 60 + 3 * n % 14) for n in range(12)]
    for name in ("A/tune.mid", "B/copy.mid"):
        write_midi(tmp_path / "in" / name, tune)
    write_corpus(tmp_path / "in", composers=1)
    words = ["build", tmp_path / "in", "-o", tmp_path / "store", "--json"]
    corpus_command.main(list(map(str, words)))
    corpus = open_corpus(tmp_path / "store", large="pools")
    assert corpus.composers == ["A", "Adagio"] and corpus.n_pieces == 7


def test_a_pass_shows_each_unit_of_each_training_piece(corpus):
    """A denoising model takes every unit: their number is that of the steps."""
    pieces = np.flatnonzero(~corpus.piece_is_test)
    examples = pooled(corpus, "note_drop", pieces)
    assert len(examples) == corpus.piece_units[pieces].sum() * len(KEYS)
    seen, orders, step = [], [], 0
    while len(orders) < 6:  # two passes of three pools
        pool = examples.at(step, 1)
        chosen = np.concatenate([pool.choose(n, 1) for n in range(pool.first, pool.end)])
        beats = pool.units.occurrence_beat[chosen]
        names = [pool.corpus.names[n] for n in pool.corpus.beat_piece[beats]]
        inside = beats - pool.corpus.piece_beats[pool.corpus.beat_piece[beats]]
        orders.append(list(zip(names, inside.tolist(), strict=True)))
        seen += orders[-1]
        step = pool.end
    half = len(seen) // 2
    names = {corpus.names()[n] for n in pieces}
    assert len(set(seen[:half])) == half and {name for name, _ in seen[:half]} == names
    assert set(seen[:half]) == set(seen[half:]) and seen[:half] != seen[half:]
    music, kept = corpus.read(pieces)
    beats = music.unit_beats()
    assert half == len(beats[kept]) < len(beats)  # each that is kept, and no other
    pooled_names = [{name for name, _ in order} for order in orders]
    assert pooled_names[:3] != pooled_names[3:]  # other shards together, or in another order


def test_a_pool_without_a_unit_is_not_shown(corpus):
    """Training pieces may all be in some of the shards."""
    first, end = (corpus.store.shards[n].first for n in (2, 3))
    examples = pooled(corpus, "note_drop", np.arange(first, end))
    for _ in range(6):  # passes of one pool
        step = examples._pool.end if examples._pool else 0
        names = examples.at(step, 1).corpus.names
        assert len(examples.at(step, 1)) and set(names) == set(corpus.names()[first:end])


@pytest.mark.parametrize("name", MODELS)
def test_a_step_has_the_same_examples_whatever_came_before(corpus, name):
    size = 128 if MODELS[name].excerpt else SIZE
    examples, other = pooled(corpus, name), pooled(corpus, name)
    ends = list(itertools.islice(steps_of_pools(examples, size), 4))
    for step in (ends[2], 0, ends[1] - 1, ends[1], ends[0]):
        for field, value in vars(other.batch(step, size)).items():
            np.testing.assert_array_equal(getattr(examples.batch(step, size), field), value)
        examples = other
        other = pooled(corpus, name)


def steps_of_pools(examples, size):
    step = 0
    while True:
        step = examples.at(step, size).end
        yield step


def test_keys_are_drawn(corpus):
    pool = pooled(corpus, "context").at(0, SIZE)
    keys = np.concatenate([pool.draw(pool.choose(n, SIZE), n).keys for n in range(9)])
    assert set(keys.tolist()) == set(KEYS)


@pytest.mark.parametrize("name", ["note_drop", "context", "contrastive"])
def test_on_a_gpu_batches_are_those_of_the_host(corpus, gpu, name):
    size = 128 if MODELS[name].excerpt else SIZE
    examples, host = pooled(corpus, name), pooled(corpus, name)
    end = host.at(0, size).end
    batches = engine_for(gpu).batches(examples, size, lambda step: (step,), 10 * end)
    where = set()
    for step in (0, 1, end - 1, end, end + 1, 2 * end):
        batch, numbers = batches.at(step)
        batches.look_ahead(step + 1)
        expected = host.batch(step, size)
        assert numbers.tolist() == [step]
        for field, value in vars(expected).items():
            if value is not None:
                np.testing.assert_array_equal(to_host(getattr(batch, field)), value)
        where.add(batch.input.data.ptr)
    assert len(where) == 1


@pytest.mark.parametrize("name", ["note_drop", "context", "contrastive"])
def test_parts_make_the_batch(corpus, name):
    size = 128 if MODELS[name].excerpt else SIZE
    cuts = (0, 64, 128) if MODELS[name].excerpt else (0, 6, 13, 20)
    whole = pooled(corpus, name)
    end = whole.at(0, size).end
    for step in (0, end):
        expected = pooled(corpus, name).batch(step, size)
        parts = [
            pooled(corpus, name).part(size, slice(*rows)).batch(step, rows[1] - rows[0])
            for rows in itertools.pairwise(cuts)
        ]
        for field, value in vars(expected).items():
            if value is not None:
                joined = np.concatenate([getattr(part, field) for part in parts])
                np.testing.assert_array_equal(joined, value)


def test_what_is_measured_is_in_memory(corpus):
    spec = MODELS["regularized"]
    validation = in_memory(corpus, spec, np.array([2, 11]))
    assert validation.corpus.n_pieces == 2 and len(validation) > 12 * 20
    examples = examples_for(corpus, spec, np.arange(9))
    assert set(examples.composers()) == set(corpus.piece_composer[:9])
    assert mean_target(examples, 0).shape == (60, 96)
    one = replace(spec, context=(0,))
    assert examples_for(corpus, one, np.arange(9)).offsets == [0]


def test_a_training_that_is_resumed_ends_as_one_that_is_not(folder, tmp_path, monkeypatch, capsys):
    use_small_networks(monkeypatch)
    words = ["--data", str(folder), "--width", "tiny", "--batch-size", str(SIZE)]
    words += ["--examples", "2000", "--model", "note_drop"]
    train.main([*words, "--out", str(tmp_path / "whole")])
    said = capsys.readouterr().out
    assert "different examples in" in said
    assert f"{folder.parent.name}/store -o embeddings --model" in said.partition("Next: ")[2]
    stopped = tmp_path / "stopped"
    steps = []

    class Stop(KeyboardInterrupt):
        pass

    take = train.Trainer.take_step

    def take_some(trainer):
        if len(steps) == 61:
            raise Stop
        steps.append(trainer.step)
        take(trainer)

    monkeypatch.setattr(train.Trainer, "take_step", take_some)
    with pytest.raises(Stop):
        train.main([*words, "--out", str(stopped)])
    monkeypatch.setattr(train.Trainer, "take_step", take)
    train.main(["--resume", "--out", str(stopped)])
    folders = tmp_path / "whole", stopped
    results = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    for name in ("validation_loss", "best_step", "unique_examples"):
        assert results[0][name] == results[1][name]
    weights = [load_arrays(folder / "weights.npz") for folder in folders]
    assert weights[0].keys() == weights[1].keys()
    for name, expected in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], expected)
