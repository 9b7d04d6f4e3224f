"""Composers of whole pieces: works, folds, the four methods, their comparison and their table."""

import json
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus
from scipy.stats import binom
from small_networks import use_small_networks

from benchmarks import machine
from benchmarks import pieces as command
from benchmarks.pieces_table import report
from tinyembed.backends import choice
from tinyembed.errors import InputError
from tinyembed.evaluation import composers
from tinyembed.evaluation.discriminant import Discriminant
from tinyembed.evaluation.piece_folds import folds_of
from tinyembed.evaluation.pieces import (
    METHODS,
    Pieces,
    answers_of,
    compare_by_piece,
    held_out_round,
    mistakes_of,
    piece_scores,
    rounds_of,
    standardized,
)
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.works import KINDS, _table, work_of, works_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three composers with ten pieces each, of which two are a sonata, and one is there twice."""
    folder = write_corpus(tmp_path_factory.mktemp("music"), pieces=10, beats=40)
    for composer in folder.iterdir():
        for n, path in enumerate(sorted(composer.iterdir())):
            path.rename(composer / (f"sonata_{n}.mid" if n < 2 else f"{chr(96 + n)}.mid"))
    first = folder / "Adagio" / "sonata_0.mid"
    (first.parent / "again.mid").write_bytes(first.read_bytes())
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    return Corpus.from_folder(folder, progress=False)


@pytest.fixture(scope="module")
def pieces(corpus):
    return Pieces(corpus)


@pytest.mark.parametrize(
    ("names", "together", "cycles"),
    [
        (("Anon/opus_1.mid", "Anon/opus_2.xml", "Anon/opus-3.krn"), True, False),
        (("Anon/opus_1.mid", "Anon/opus_2.xml"), True, False),
        (("Anon/opus_1_1.mid", "Anon/opus_2_1.mid"), False, False),
        (("Anon/opus_1.mid", "Other/opus_2.mid"), False, True),
        (("Anon/opus1.mid", "Anon/opus2.mid"), False, True),
        (("Bach/bach_846.mid", "Bach/bach_847.mid"), False, True),
        (("Beethoven/mond_1.mid", "Beethoven/mond_3.mid"), True, False),
        (
            (
                "Beethoven/asap_Piano_Sonatas_9-1.mid",
                "Beethoven/asap_Piano_Sonatas_9-2_no_trio.mid",
            ),
            True,
            False,
        ),
        (("Debussy/deb_menu.mid", "Debussy/deb_pass.mid"), True, False),
        (("Schumann/scn15_1.mid", "Schumann/scn15_2.mid"), False, False),
        (("Schumann/scn15_1.mid", "Schumann/scn15_2.mid"), True, True),
        (("Chopin/chpn_op10_e01.mid", "Chopin/asap_Etudes_op_10_2.mid"), True, True),
        (("Chopin/chpn_op10_e01.mid", "Chopin/chpn_op25_e1.mid"), False, True),
    ],
)
def test_work_of(names, together, cycles):
    found = {work_of(name, cycles) for name in names}
    assert (len(found) == 1) == together


def test_the_table_of_works_is_whole():
    table = _table()
    assert {kind for _, _, kind in table} == set(KINDS)
    patterns = [pattern for pattern, _, _ in table]
    assert len(set(patterns)) == len(patterns) and patterns == sorted(patterns, key=composer_of)
    for pattern, title, kind in table:
        assert composer_of(pattern).isalpha() and (title == "-") == (kind == "-")
    kinds = {(composer_of(pattern), title): set() for pattern, title, _ in table}
    for pattern, title, kind in table:
        kinds[composer_of(pattern), title].add(kind)
    assert all(len(found) == 1 for found in kinds.values())


def composer_of(name):
    return name.partition("/")[0]


def test_works_of(corpus):
    """Sonatas are held together, and the piece that is there twice joins one of them."""
    works = dict(zip(corpus.names, works_of(corpus).tolist(), strict=True))
    for composer in corpus.composers:
        own = {work for name, work in works.items() if name.startswith(composer)}
        assert works[f"{composer}/sonata_0.mid"] == works[f"{composer}/sonata_1.mid"]
        assert len(own) == 9
    assert works["Adagio/again.mid"] == works["Adagio/sonata_1.mid"]
    assert sorted(set(works.values())) == list(range(27))


def test_names_of_real_pieces(shared_corpus):
    """Each pattern of the table occurs, and the folds are even."""
    found = sorted(shared_corpus.glob("piano/*/*.mid"))
    names = [f"{path.parent.name}/{path.name}" for path in found]
    assert all(any(fnmatchcase(name[:-4], row[0]) for name in names) for row in _table())
    is_test = np.array([row[2] == "test" for row in splits_of(shared_corpus, names)])
    composers = np.unique([path.parent.name for path in found], return_inverse=True)[1]
    corpus = Labels(composers, is_test)
    n_works = []
    for cycles in (False, True):
        titles = [work_of(name, cycles) for name in names]
        works = np.unique(titles, return_inverse=True)[1]
        fold = folds_of(corpus, 5, works)
        assert all(len(np.unique(fold[(works == w) & ~is_test])) < 2 for w in np.unique(works))
        assert np.bincount(fold[~is_test]).min() > 70
        n_works.append(len(np.unique(works)))
    assert n_works[1] < n_works[0] < len(names)
    # A work is never divided between two cycles.
    assert (
        len({(work_of(name), title) for name, title in zip(names, titles, strict=True)})
        == (n_works[0])
    )


def splits_of(folder, names):
    """The rows of splits.tsv in the order of the names."""
    lines = (folder / "splits.tsv").read_text().splitlines()[1:]
    rows = {"/".join(row[:2]): row for row in (line.split("\t") for line in lines)}
    return [rows[name] for name in names]


@st.composite
def labelled(draw):
    """Composers and works of up to 40 pieces, some of them for testing, and a number of folds."""
    n = draw(st.integers(2, 40))
    works = np.array(draw(st.lists(st.integers(0, 15), min_size=n, max_size=n)))
    composers = works % draw(st.integers(1, 4))
    is_test = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    return works, composers, is_test, draw(st.integers(2, 6))


class Labels:
    """Of a corpus, what `folds_of` asks for."""

    def __init__(self, composers, is_test):
        self.piece_composer, self.piece_is_test, self.n_pieces = composers, is_test, len(is_test)
        self.composers = list(range(composers.max() + 1))


@given(labelled())
@settings(max_examples=200, deadline=None)
def test_folds(data):
    works, composer, is_test, n = data
    corpus, there = Labels(composer, is_test), len(np.unique(works[~is_test]))
    if there < n:
        with pytest.raises(InputError, match=rf"^{n} folds of {there} works: .* give more"):
            folds_of(corpus, n, works)
        return
    fold = folds_of(corpus, n, works)
    np.testing.assert_array_equal(fold == -1, is_test)
    np.testing.assert_array_equal(fold, folds_of(corpus, n, works))
    for work in np.unique(works):
        assert len(np.unique(fold[(works == work) & ~is_test])) <= 1
    for label in corpus.composers:
        own = (composer == label) & ~is_test
        counts = np.bincount(fold[own], minlength=n)
        largest = np.bincount(works[own]).max() if own.any() else 0
        assert counts.max() - counts.min() <= largest
    if all(np.bincount(works[~is_test]) <= 1):
        counts = np.bincount(fold[~is_test], minlength=n)
        assert counts.max() - counts.min() <= 1
    asked = np.sort(np.concatenate([b for _, b in rounds_of(fold)]))
    np.testing.assert_array_equal(asked, np.flatnonzero(~is_test))
    for train, b in rounds_of(fold):
        assert not np.isin(works[train], works[b]).any() and not is_test[train].any()


def planted(corpus, noise=0.25):
    """Embeddings that say who composed a unit, in the mean or the spread alone, and some noise."""
    rng = np.random.default_rng(0)
    passages = Pieces(corpus).passages
    composer = corpus.piece_composer[passages.piece_of(np.arange(len(passages)))]
    embeddings = rng.standard_normal((len(passages), 6)) * noise
    embeddings[:, 0] += composer == 0
    embeddings[:, 1] *= 1 + 9 * (composer == 1)
    return embeddings.astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_methods(corpus, pieces, method):
    """All find composers that are easily told apart."""
    embeddings = planted(corpus)
    rounds = rounds_of(folds_of(corpus, 3))
    asked, predicted = answers_of(pieces, method, rounds, lambda k: embeddings, 600)
    np.testing.assert_array_equal(asked, np.flatnonzero(~corpus.piece_is_test))
    truth = corpus.piece_composer[asked]
    assert (truth == predicted).mean() > 0.8
    scores = piece_scores(corpus, asked, predicted, works_of(corpus))
    assert scores["accuracy"] == (truth == predicted).mean()
    assert scores["interval"][0] <= scores["accuracy"] <= scores["interval"][1]


def test_nothing_of_the_pieces_asked_about_is_learned_from(corpus, pieces, monkeypatch):
    """Neither in training nor in validation nor for the scale of the numbers."""
    ((train, asked),) = held_out_round(corpus)
    of_asked = np.isin(pieces.passages.piece_of(np.arange(len(pieces.passages))), asked)
    embeddings = np.where(of_asked[:, None], np.float32(50), planted(corpus))
    embeddings[of_asked, 0] = -50
    seen = {}

    def spy(of, name, entry):
        original = getattr(of, name)

        def watched(*given, **options):
            seen.setdefault(entry, []).append(given)
            return original(*given, **options)

        monkeypatch.setattr(of, name, watched)

    spy(composers, "train_classifier", "pairs")
    spy(Discriminant, "fit", "rows")
    pieces.predict("voting", train, asked, embeddings, 5)
    ((learned, validation, *_),) = seen["pairs"]
    assert abs(learned[0]).max() < 20 and abs(validation[0]).max() < 20
    sounding = pieces.passages.sounds & ~of_asked
    assert len(learned[1]) + len(validation[1]) == sounding.sum() and len(validation[1])
    for method in ("embeddings", "both"):
        pieces.predict(method, train, asked, embeddings)
        rows, labels = seen["rows"][-1]
        np.testing.assert_array_equal(labels, corpus.piece_composer[train])
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        assert set(rows.std(axis=0).round(9)) <= {0.0, 1.0}


def test_each_round_has_its_own_embeddings(corpus, pieces):
    embeddings = planted(corpus)
    seen = []
    rounds = rounds_of(folds_of(corpus, 3))
    answers_of(pieces, "embeddings", rounds, lambda k: seen.append(k) or embeddings)
    assert seen == [0, 1, 2]
    answers_of(pieces, "counts", rounds)


def test_counts_hear_nothing_of_embeddings_and_both_of_both(corpus):
    """Counts of noise and embeddings of noise, so that each method shows what it looks at."""
    noise = Pieces(corpus)
    vars(noise)["counts"] = np.random.default_rng(1).standard_normal((corpus.n_pieces, 20))
    ((train, asked),) = held_out_round(corpus)
    truth = corpus.piece_composer[asked]
    good, bad = planted(corpus), planted(corpus)[::-1].copy()
    right = {
        (kind, method): (pieces.predict(method, train, asked, e) == truth).mean()
        for kind, pieces, e in (
            ("embeddings", noise, good),
            ("counts", Pieces(corpus), np.random.default_rng(2).permutation(bad)),
        )
        for method in ("embeddings", "counts", "both")
    }
    assert right["embeddings", "embeddings"] > right["embeddings", "counts"] + 0.2
    assert right["counts", "counts"] > right["counts", "embeddings"] + 0.2
    assert min(right["embeddings", "both"], right["counts", "both"]) > 0.6


def test_standardized():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((9, 4)) * 3 + 5
    rows[:6, 2] = 0.1  # the same in all training rows
    found = standardized(rows, rows[:6])
    np.testing.assert_allclose(found[:6].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found[:6].std(axis=0), [1, 1, 0, 1])
    np.testing.assert_array_equal(found[:, 2], 0)


def test_mistakes():
    names = ["A", "B", "C"]
    truth, predicted = np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([1, 1, 0, 2, 1, 1, 0, 2])
    assert [tuple(m.values()) for m in mistakes_of(truth, predicted, names)] == [
        ("A", "B", 2),
        ("C", "A", 1),  # one of two
        ("B", "C", 1),  # one of three
    ]
    assert mistakes_of(truth, truth, names) == []


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60))
def test_comparison_by_piece(answers):
    truth, first, second = np.array(answers).T
    found = compare_by_piece(truth, first, second)
    won = sum(a == t != b for t, a, b in answers)
    lost = sum(b == t != a for t, a, b in answers)
    assert (found["won"], found["lost"]) == (won, lost)
    p = min(1.0, 2 * binom.cdf(min(won, lost), won + lost, 0.5))
    assert found["p"] == pytest.approx(p)
    back = compare_by_piece(truth, second, first)
    assert (back["won"], back["lost"], back["p"]) == (lost, won, pytest.approx(p))


@pytest.fixture
def weights(corpus, tmp_path, monkeypatch):
    """Two files of untrained weights, one for each of two folds, and results in a folder."""
    use_small_networks(monkeypatch)
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "FOLDS", 2)
    monkeypatch.setattr(command, "read_options", lambda parser, argv: on_the_cpu(parser, argv))
    for k in range(2):
        model = Model("context", "tiny", corpus.composers, np.random.default_rng(k))
        save_weights(tmp_path / f"fold{k}.npz", model)
    return tmp_path


def on_the_cpu(parser, argv):
    """Options as a benchmark reads them, without numba, which takes seconds to load."""
    parser.share("--json")
    choice.use("cpu")
    return parser.parse_args(argv)


def test_the_command(folder, weights, capsys):
    several = [str(weights / "fold0.npz"), str(weights / "fold{}.npz")]
    shown = [several[0], "trained in folds"]
    words = ["--data", str(folder), "--classifier-steps", "20", "--weights", *several]
    assert command.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    written = json.loads((weights / "pieces.json").read_text())
    assert {key: written[key] for key in found} == found
    assert [(row["method"], row["weights"]) for row in found["rows"]] == [
        ("counts", ""),
        *((method, name) for name in shown for method in METHODS if method != "counts"),
    ]
    for row in found["rows"]:
        frozen = row["weights"] != "trained in folds"
        assert ("test" in row, "cycles" in row) == (frozen, frozen)
        assert ("against_voting" in row["works"]) == (row["method"] != "voting")
        assert row["works"]["n"] == found["corpus"]["training_pieces"]
        if row["method"] in ("counts", "both"):
            confusion = [text.split() for text in row["works"]["confusion"].values()]
            hits = sum(int(confusion[i][i]) for i in range(3))
            assert hits == pytest.approx(row["works"]["accuracy"] * row["works"]["n"])
            assert set(row["works"]["per_composer"]) == {"Adagio", "Bolero", "Canzona"}
    text = report(written)
    assert text.count("\n| ") >= 2 + len(found["rows"]) and "GiantMIDI" in text
    assert [found["method"] for found in found["between_weights"]] == [
        "voting",
        "embeddings",
        "both",
    ]
    with pytest.raises(InputError, match="classifier-steps 0: at least 1"):
        command.main([*words, "--classifier-steps", "0"])
    with pytest.raises(InputError, match="no such model"):
        command.main(["--data", str(folder), "--weights", "nothing"])


def test_encoders_of_folds_have_a_short_name():
    assert command.label("runs/folds/base-seed0-fold{}of5") == "base, trained in folds"
    assert command.label("runs/context-fold{}") == "context, trained in folds"
    assert command.label("context") == "context"


def test_a_corpus_without_test_pieces(corpus):
    """Its folds can be asked about all the same."""
    corpus = replace(corpus, piece_is_test=np.zeros(corpus.n_pieces, bool))
    asked, _ = answers_of(Pieces(corpus), "counts", rounds_of(folds_of(corpus, 2)))
    np.testing.assert_array_equal(asked, np.arange(corpus.n_pieces))
