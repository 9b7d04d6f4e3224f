"""The command that makes the package's weights: which files it uses, and what it writes."""

import json
import shutil

import numpy as np
import pytest
from small_networks import use_small_networks

from benchmarks.model_card import write_card
from benchmarks.weights import (
    COLUMNS,
    build_parser,
    choose,
    hashed,
    lay_out,
    read_rows,
    round_off,
    train_model,
    write_rows,
)
from tinyembed.errors import InputError
from tinyembed.models.table import WIDTHS
from tinyembed.models.weights import load_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.public_corpora import files_of
from tinyembed.storage.files import digest

# Short pieces of a public corpus, by their names among the real pieces beside this repository, and
# one piece of no public corpus.
PIECES = (
    "Clementi/clementi_opus36_1_2.mid", "Clementi/clementi_opus36_2_2.mid",
    "Clementi/clementi_opus36_3_2.mid", "Clementi/clementi_opus36_4_2.mid",
    "Chopin/chpn-p7.mid", "Chopin/chpn-p9.mid", "Chopin/chpn-p18.mid", "Chopin/chpn-p20.mid",
    "Handel/mutopia_05-fuga.mid",
)  # fmt: skip


@pytest.fixture
def few(shared_corpus, tmp_path):
    """A folder with a few real pieces."""
    folder = tmp_path / "few"
    for piece in PIECES:
        (folder / piece).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_corpus / "piano" / piece, folder / piece)
    return folder


def rows_of(folder, table):
    here = hashed([str(folder)])
    write_rows(table, choose(here, 0))
    return read_rows(table), here


def test_only_public_files_are_chosen_and_only_once(few, shared_corpus, tmp_path):
    shutil.copy(few / PIECES[0], few / "Chopin" / "again.mid")
    odd = shared_corpus / "odd" / "krueger_59_timesigs_denoms_4_8_16_32.mid"
    # A public file, but with meters in eighths.
    assert digest(odd) in {file.sha256 for file in files_of("krueger")}
    shutil.copy(odd, few / "Chopin" / "odd.mid")
    damaged = few / "Clementi" / "damaged.mid"
    damaged.write_bytes((few / PIECES[1]).read_bytes()[:-1])
    rows, _ = rows_of(few, tmp_path / "corpus.tsv")
    assert len(rows) == 8 and tuple(rows[0]) == COLUMNS
    assert rows == sorted(rows, key=lambda row: tuple(row.values()))
    public = {file.path: file.sha256 for file in files_of("krueger")}
    for row in rows:
        assert row["corpus"] == "krueger" and public[row["path"]] == row["sha256"]
        assert row["path"] == f"midis/{row['composer']}/{row['file'].removeprefix('krueger/')}"
    for composer in ("Chopin", "Clementi"):
        splits = sorted(row["split"] for row in rows if row["composer"] == composer)
        assert splits == ["test", "test", "train", "train"]


def test_a_table_of_splits_beside_the_folder_decides(few, tmp_path):
    lines = ["composer\tfile\tsplit", "Chopin\tchpn-p7.mid\ttest"]
    (tmp_path / "splits.tsv").write_text("\n".join(lines))
    rows, _ = rows_of(few, tmp_path / "corpus.tsv")
    assert [row["path"] for row in rows if row["split"] == "test"] == ["midis/Chopin/chpn-p7.mid"]


def test_the_same_corpus_whatever_the_files_are_called(few, tmp_path):
    """The folder that the weights were first made of and fresh downloads give the same music."""
    table = tmp_path / "corpus.tsv"
    rows, here = rows_of(few, table)
    lay_out(rows, here, tmp_path / "one", table)
    renamed = tmp_path / "downloads"
    for n, (path, _, _) in enumerate(here.values()):
        (renamed / f"{n % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, renamed / f"{n % 2}" / f"{n}.mid")
    lay_out(rows, hashed([str(renamed)]), tmp_path / "two", table)
    corpora = [
        Corpus.from_folder(tmp_path / name, cache=False, progress=False) for name in ("one", "two")
    ]
    for name in ("names", "composers"):
        assert getattr(corpora[0], name) == getattr(corpora[1], name)
    for name in ("ticks", "pitches", "piece_is_test"):
        np.testing.assert_array_equal(*(getattr(corpus, name) for corpus in corpora))
    is_test = [row["split"] == "test" for row in rows]
    assert corpora[0].piece_is_test.tolist() == is_test and sum(is_test) == 4

    gone = rows[3]
    here.pop(gone["sha256"])
    with pytest.raises(
        InputError, match=rf"1 of the 8 files .* such as {gone['path']}; .* fetch kr"
    ):
        lay_out(rows, here, tmp_path / "three", table)


def test_nothing_public(few):
    shutil.rmtree(few / "Chopin")
    shutil.rmtree(few / "Clementi")
    with pytest.raises(InputError, match="no file there is one of asap or krueger"):
        choose(hashed([str(few)]), 0)


def test_weights_and_their_card(few, tmp_path, monkeypatch, capsys):
    use_small_networks(monkeypatch)
    monkeypatch.setitem(WIDTHS, "small", WIDTHS["tiny"])
    table, music, trained = (tmp_path / name for name in ("corpus.tsv", "music", "regularized"))
    rows, here = rows_of(few, table)
    lay_out(rows, here, music, table)
    words = ["--data", str(few), "--model", "regularized", "--device", "cpu"]
    options = build_parser().parse_args([*words, "--examples", "300"])
    assert train_model(options, music, trained) == 0
    weights = (trained / "weights.npz").read_bytes()
    assert train_model(options, music, trained) == 0  # nothing is left to do
    assert (trained / "weights.npz").read_bytes() == weights
    with pytest.raises(InputError, match=r"--examples 400: the run in .* has 300"):
        train_model(build_parser().parse_args([*words, "--examples", "400"]), music, trained)

    shipped = tmp_path / "regularized.npz"
    difference = round_off(trained, shipped, music)
    assert 0 < difference["largest_difference"] < 1e-2 < difference["largest_number"]
    assert 0.999 < difference["smallest_cosine"] < 1.001 and difference["units"] > 100
    model, about = load_weights(shipped)
    assert model.composers == ["Chopin", "Clementi"] and about["examples"] <= 300
    assert shipped.stat().st_size < 0.65 * len(weights)
    again = tmp_path / "again.npz"
    round_off(trained, again, music)
    assert again.read_bytes() == shipped.read_bytes()

    scores = {"accuracy": 0.25, "pieces": {"accuracy": 0.5}, "composers": model.composers}
    ranks = {"rank": {"median": 3.5, "iqr": 17.0}}
    results = {
        "models": {"regularized": {**ranks, "composers": scores}},
        "baselines": {
            "mean": ranks,
            "majority": {"composers": scores},
            "repetition": {"regularized": ranks},
        },
        "settings": {"batch_size": 100, "lstm_steps": 3000},
        "created": "2000-01-01",
    }
    summary = json.loads((trained / "summary.json").read_text())
    card = write_card(shipped, options, rows, summary, results, difference).read_text()
    for words in (
        digest(shipped),
        "These weights: CC BY-SA 3.0 DE.",  # no file of asap was used
        "| Chopin | 2 | 2 |",
        "| all | 4 | 4 |",
        "--model regularized --examples 300 --seed 0\n",
        f"validation loss {summary['validation_loss']:.3f}",
        "| this model | 3.5 | 17 | - | - |",
        "about 25.0% of the units and 50.0% of the pieces",
        f"Version {about['reader']} of tinyembed's reader",
        f"{difference['largest_difference']:.1e} at most",
    ):
        assert words in card or words in card.replace("\n", " "), words
    rows[0] = {**rows[0], "corpus": "asap"}
    write_card(shipped, options, rows, summary, results, difference)
    assert "These weights: CC BY-NC-SA 4.0." in shipped.with_suffix(".md").read_text()
