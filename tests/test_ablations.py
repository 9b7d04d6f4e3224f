"""What each ablation changes, and that their table can be stopped and resumed."""

import json

import numpy as np
import pytest
from music import write_corpus
from small_networks import use_small_networks

from benchmarks import ablations
from benchmarks.ablated import (
    ROWS,
    DifferentExcerpts,
    EvenComposers,
    OftenAsTheyCome,
    Row,
    dropping,
    in_one_key,
    of_length_one,
)
from benchmarks.folds import as_in_the_test, holding_out
from tinyembed.errors import InputError
from tinyembed.evaluation.piece_folds import folds_of
from tinyembed.evaluation.results import composer_scores
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.models.weights import load_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.splits import validation_pieces
from tinyembed.training.examples import Examples
from tinyembed.training.excerpts import ExcerptExamples
from tinyembed.training.validation import Validation, compare_composers

SPEC = MODELS["contrastive"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Music with the same piece twice."""
    folder = write_corpus(tmp_path_factory.mktemp("music"), composers=2, pieces=8, beats=100)
    first = sorted(folder.rglob("*.mid"))[0]
    (first.parent / "again.mid").write_bytes(first.read_bytes())
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    return Corpus.from_folder(folder, progress=False)


@pytest.fixture
def small(monkeypatch):
    """Small networks, whatever width a row names."""
    use_small_networks(monkeypatch)
    for width in ("small", "paper"):
        monkeypatch.setitem(WIDTHS, width, WIDTHS["tiny"])


def test_equal_excerpts_once(corpus):
    pieces = np.arange(corpus.n_pieces)
    every, once = (kind(corpus, SPEC, pieces) for kind in (ExcerptExamples, DifferentExcerpts))
    seen = {}
    for start in every.starts:
        seen.setdefault(corpus.rolls(start + every.steps).tobytes(), start)
    assert len(seen) < len(every.starts)
    np.testing.assert_array_equal(once.starts, sorted(seen.values()))
    assert once.batch(0, 128).input.shape == (128, 60, 96)


@pytest.mark.parametrize("kind, spec", [(Examples, "note_drop"), (ExcerptExamples, "contrastive")])
def test_dropping(corpus, kind, spec):
    for share in (0.0, 0.5, 0.75):
        examples = dropping(kind, share)(corpus, MODELS[spec], [0, 1, 2])
        batch = examples.batch(0, 256)
        assert (batch.input <= batch.clean).all()
        assert batch.input.sum() / batch.clean.sum() == pytest.approx(1 - share, abs=0.05)
        assert batch.input.dtype == np.float32
        assert (share == 0) == np.array_equal(batch.input, batch.clean)


@pytest.mark.parametrize("kind, spec", [(Examples, "context"), (ExcerptExamples, "contrastive")])
def test_in_one_key(corpus, kind, spec):
    examples = in_one_key(kind)(corpus, MODELS[spec], np.arange(4), 0)
    assert (examples.draw(examples.choose(0, 128), 0).keys == 0).all()


def test_as_often_as_they_come(corpus):
    spec, pieces = MODELS["context"], np.arange(corpus.n_pieces)
    often, once = (kind(corpus, spec, pieces) for kind in (OftenAsTheyCome, Examples))
    assert len(often) == len(often.units.occurrence_beat) > len(once)
    first, second = often.draw(np.arange(9), 0), often.draw(np.arange(9), 1)
    np.testing.assert_array_equal(first.beats, second.beats)  # each unit is its own only occurrence


def test_length_one():
    e = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(np.linalg.norm(of_length_one(e), axis=1), 1)
    assert (of_length_one(np.zeros((1, 3))) == 0).all()


def test_a_table(folder, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablations, "RESULTS", tmp_path)
    rows = ["plain", "lstm=none"]
    words = ["--data", str(folder), "--examples", "1024", "--lstm-steps", "2", "--json"]
    words += ["--classifier-steps", "2", "--out", str(tmp_path / "out"), "--only"]
    assert ablations.main([*words, "plain"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["rows"]) == ["plain"]
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert ablations.main([*words, *rows]) == 0  # finished rows stay as they are
    again = json.loads(capsys.readouterr().out)
    assert list(again["rows"]) == rows
    assert again["rows"]["plain"]["accuracy"] == again["rows"]["lstm=none"]["accuracy"]
    assert again["rows"]["plain"] == found["rows"]["plain"]
    assert files == {p: p.stat().st_mtime_ns for p in files}
    assert "| with 64 |" not in ablations.table(again)
    assert ablations.table(again).count("\n") == 1 + len(rows)
    assert json.loads((tmp_path / "ablations.json").read_text()) == again
    with pytest.raises(InputError, match=r"--only nothing: choose among base"):
        ablations.main([*words, "nothing"])


def test_rows_differ_as_they_say(corpus, small, tmp_path):
    states = {}
    rows = {name: ROWS[name] for name in ("base", "intervals=0", "head=awake", "plain")}
    rows["never"] = Row("a composer loss that is never minimized", composer_floor=99.0)
    for name, row in rows.items():
        ablations.train(row, 0, corpus, tmp_path / name, 1024)
        model, about = load_weights(tmp_path / name / "weights.npz")
        assert (about["intervals"] > 0) == (name in ("base", "head=awake", "never"))
        states[name] = model.state()
    for other in ("head=awake", "never"):  # so early, the loss is still above the usual floor
        same = all((states["base"][key] == states[other][key]).all() for key in states["base"])
        assert same == (other == "head=awake")


def test_holding_out_a_fold(corpus):
    fold = folds_of(corpus, 2)
    for k in range(2):
        rest = holding_out(corpus, fold == k)
        np.testing.assert_array_equal(~rest.piece_is_test, (fold >= 0) & (fold != k))
    assert corpus.piece_is_test.sum() == (fold == -1).sum()  # the corpus itself is as it was


def test_every_composer_as_often(corpus):
    pieces = np.arange(corpus.n_pieces)[2:]  # fewer of the first composer
    examples = EvenComposers(corpus, MODELS["composer"], pieces)
    chosen = np.concatenate([examples.choose(step, 500) for step in range(8)])
    composer = examples.composers()[examples.units.group_start[:-1]]
    share = np.bincount(composer[chosen]) / len(chosen)
    np.testing.assert_allclose(share, 1 / len(share), atol=0.04)
    assert len(np.unique(chosen)) > 0.8 * len(chosen)
    np.testing.assert_array_equal(examples.choose(3, 500), chosen[1500:2000])


def test_other_examples_are_trained_on(corpus, small, tmp_path):
    seen = []

    class Watched(Examples):
        def make(self, chosen, step=0):
            seen.append(step)
            return super().make(chosen, step)

    row = Row("watched", model="context", examples=Watched)
    ablations.train(row, 0, corpus, tmp_path / "run", 500)
    assert seen == [0, 1, 2, 3, 4]


def test_weight_decay_and_accuracy(corpus, small, tmp_path):
    rows = {
        "plain": Row("as it is", model="composer"),
        "decay": Row("smaller", model="composer", weight_decay=100.0),
        "accurate": Row("kept by accuracy", model="composer", keeps="accuracy"),
    }
    sizes, kept = {}, {}
    for name, row in rows.items():
        ablations.train(row, 0, corpus, tmp_path / name, 1000)
        model, about = load_weights(tmp_path / name / "weights.npz")
        sizes[name] = np.linalg.norm(model.named_arrays()["encoder.conv1.weight"])
        kept[name] = about["validation_loss"]
    assert sizes["decay"] < 0.9 * sizes["plain"]
    assert 0 <= kept["accurate"] < 1
    pieces = validation_pieces(corpus, 0)
    validation = Validation(Examples(corpus, MODELS["composer"], pieces), 0)
    model, _ = load_weights(tmp_path / "accurate" / "weights.npz")
    accuracy = compare_composers(model, validation, np.zeros(1, int))["accuracy"]
    assert kept["accurate"] == pytest.approx(1 - accuracy)


def test_composers_as_often_as_in_the_test(corpus):
    """For answers about the test pieces themselves it is their accuracy."""
    rng = np.random.default_rng(0)
    beats = corpus.unit_beats(np.flatnonzero(corpus.piece_is_test))
    beats = beats[corpus.has_onset(beats)]
    truth, pieces = corpus.composer_of(beats), corpus.piece_composer[corpus.piece_is_test]
    answers = {
        "truth": truth,
        "predicted": rng.integers(2, size=len(truth)),
        "unit_piece": corpus.beat_piece[beats],
        "piece_truth": pieces,
        "piece_predicted": rng.integers(2, size=len(pieces)),
    }
    scores = composer_scores([answers], corpus.composers)
    expected = {"units": scores["accuracy"], "pieces": scores["pieces"]["accuracy"]}
    assert as_in_the_test(scores, corpus) == pytest.approx(expected)
    # Another mixture of composers with the same answers changes nothing.
    twice = [answers, {k: v[answers_of_first(k, answers)] for k, v in answers.items()}]
    assert as_in_the_test(composer_scores(twice, corpus.composers), corpus) == pytest.approx(
        expected
    )


def answers_of_first(key, answers):
    """Which entries of an array are about the first composer."""
    return answers["piece_truth" if key.startswith("piece") else "truth"] == 0


def test_a_table_of_folds(folder, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablations, "RESULTS", tmp_path)
    words = ["--data", str(folder), "--examples", "512", "--lstm-steps", "2", "--json"]
    words += ["--classifier-steps", "2", "--out", str(tmp_path / "out"), "--only", "base"]
    words += ["composer"]
    assert ablations.main([*words, "--folds", "2", "--composers"]) == 0
    found = json.loads(capsys.readouterr().out)
    row = found["rows"]["base"]
    assert found["folds"] == 2 and set(row["as_in_the_test"]) == {"units", "pieces"}
    (pair,) = found["between"]
    assert (pair["first"], pair["second"]) == ("base", "composer") and "rank" not in pair
    difference = row["accuracy_of_pieces"] - found["rows"]["composer"]["accuracy_of_pieces"]
    n = sum(pair["pieces"][key] for key in ("won", "lost"))
    assert 0 <= pair["pieces"]["p"] <= 1 and (n > 0 or difference == 0)
    assert "--folds 2" in row["command"] and "rank" not in row
    assert json.loads((tmp_path / "folds-composers.json").read_text()) == found
    assert not (tmp_path / "ablations.json").exists()
    assert ablations.table(found).count(" | ") > 5
    assert ablations.main([*words, "--folds", "2"]) == 0  # the ranks, by the same trainings
    again = json.loads(capsys.readouterr().out)
    assert again["between"][0]["rank"]["p"] <= 1
    again = again["rows"]["base"]
    assert again["accuracy"] == row["accuracy"] and again["rank"]["median"] >= 0
    judged = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("config.json")]
    assert len(judged) == 4
    for n in ("1", "99"):
        with pytest.raises(InputError, match=rf"^--folds {n}: {n} folds of \d+ works"):
            ablations.main([*words, "--folds", n])
    for file in (tmp_path / "out").glob("*.npz"):
        file.unlink()
    with pytest.raises(InputError, match=r"^--examples 1024: .*another --out$"):
        ablations.main([*words, "--folds", "2", "--examples", "1024"])
