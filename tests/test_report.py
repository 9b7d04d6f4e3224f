"""The report, from made-up results: what it shows, what it leaves out, and what it escapes."""

import copy
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tinyembed.evaluation.classification import classification_scores, interval_of_accuracy
from tinyembed.evaluation.significance import compare, compare_pairs, levene
from tinyembed.evaluation.statistics import box, describe
from tinyembed.models.table import MODELS, PAPER_MODELS
from tinyembed.report import paper
from tinyembed.report.access import DENOISING
from tinyembed.report.blocks import (
    Bullets,
    Code,
    Heading,
    Paragraph,
    Picture,
    Strong,
    Table,
    to_html,
    to_markdown,
)
from tinyembed.report.findings import summary
from tinyembed.report.verdicts import verdicts
from tinyembed.report.words import duration, number, p_or_dash, rank_text
from tinyembed.report.write import without_gaps, write_report

EVIL = "<script>alert('1')</script> | $x_1$ *J.* \"Ç\" & co"
PICTURES = {
    "findings.png", "ranks.png", "beside_paper.png", "significance.png", "accuracy.png",
    "confusion.png",
}  # fmt: skip
# Mean ranks, as in the paper.
SCALE = dict(zip(PAPER_MODELS, (9, 10, 14, 6, 5, 13, 8), strict=True))
SKILL = dict(zip(PAPER_MODELS, (0.2, 0.2, 0.18, 0.22, 0.23, 0.4, 0.3), strict=True))


def make_results(names=PAPER_MODELS, composers=("Bach", "Chopin", EVIL), sequences=900):
    """Results as a whole run writes them: random, with the models in the paper's order."""
    rng = np.random.default_rng(0)
    pieces = np.sort(rng.integers(0, 12, sequences))
    truth = pieces % len(composers)
    hard = rng.gamma(1, 1, sequences)  # some targets are hard for every model

    def draw(mean):
        ranks = hard * mean * rng.gamma(1, 2, sequences) ** 1.5
        return np.minimum(np.round(2 * ranks) / 2, 999)

    def score(skill):
        guess = rng.integers(0, len(composers), sequences)
        predicted = np.where(rng.random(sequences) < skill, truth, guess)
        scores = classification_scores(truth, predicted, len(composers))
        scores["interval"] = interval_of_accuracy(truth, predicted, pieces)
        return scores

    kinds = {"rank": 1, "rank_same_piece": 3}
    ranks = {kind: {n: draw(SCALE[n] * m) for n in names} for kind, m in kinds.items()}
    repeated = {kind: {n: draw(SCALE[n] * m * 1.6) for n in names} for kind, m in kinds.items()}
    theirs = {kind: {n: draw(SCALE[n] * m * 2) for n in names} for kind, m in kinds.items()}
    better = {kind: draw(3 * m) for kind, m in kinds.items()}

    def model(name, by_kind, skill):
        entry = {kind: describe(by_kind[kind], pieces) for kind in kinds}
        entry["paper_predictor"] = {
            **{kind: describe(theirs[kind].get(name, by_kind[kind]), pieces) for kind in kinds},
            "seconds": {"lstm": 300, "rank": 20},
        }
        entry["box"], entry["box_same_piece"] = (box(by_kind[kind]) for kind in kinds)
        entry["composers"] = {**score(skill), "composers": list(composers), "pieces": score(0.6)}
        entry["examples"], entry["validation_loss"] = 300_000, 1.2345
        entry["last_unit_weights"] = [0.25 if name == "context" else 0.0]
        entry["seconds"] = {"train": 4000, "embed": 12, "lstm": 400, "rank": 30, "classifier": 9}
        entry["commands"] = {"train": f"python -m tinyembed.train --model {name}"}
        return entry

    return {
        "command": "python -m tinyembed.reproduce --data piano --out report",
        "created": "2025-01-02",
        "version": "0.1.0",
        "seconds": 31_000.0,
        "device": "cpu",
        "machine": "two cores",
        "settings": {
            "width": "small",
            "examples": 300_000,
            "keys": 1,
            "seeds": [0],
            "predictor": "A network predicts.",
            "paper_predictor": "Another one.",
        },
        "corpus": {
            "data": f"piano {EVIL}",
            "table": [{"composer": c, "train": 10 + i, "test": 4} for i, c in enumerate(composers)],
            "train_units": 123_456,
            "unique_train_units": 120_000,
            "test_units": 9_876,
            "test_sequences": sequences,
            "candidates": 1000,
            "pieces_in_both": 0,
            "test_units_in_training": 321,
            "test_units_in_training_share": 0.0325,
            "notes": ["the split is that of splits.tsv"],
            "left_out": [{"file": f"{i}{EVIL}.mid", "reason": "6/8"} for i in range(32)],
        },
        "models": {
            n: {
                "title": MODELS[n].title,
                **model(n, {k: ranks[k][n] for k in kinds}, SKILL[n]),
            }
            for n in names
        },
        "others": {"contrastive": {"title": "Contrastive", **model("contrastive", better, 0.5)}},
        "baselines": {
            "untrained": model("untrained", {k: draw(60 * m) for k, m in kinds.items()}, 0.1),
            "pca": model("pca", {k: draw(20 * m) for k, m in kinds.items()}, 0.15),
            "mean": {kind: describe(draw(200 * m), pieces) for kind, m in kinds.items()},
            "majority": {"composers": classification_scores(truth, 0 * truth, len(composers))},
            "repetition": {
                n: {kind: describe(repeated[kind][n], pieces) for kind in kinds} for n in names
            },
        },
        "tests": {
            **{
                kind: {"pairs": compare_pairs(ranks[kind], pieces), "levene": levene(ranks[kind])}
                for kind in kinds
                if len(names) > 1
            },
            "paper_predictor": {
                kind: {"pairs": compare_pairs(theirs[kind], pieces), "levene": levene(theirs[kind])}
                for kind in kinds
                if len(names) > 1
            },
            "others": {
                kind: [
                    compare(better[kind], ranks[kind][n], pieces, len(names), ("contrastive", n))
                    for n in names
                ]
                for kind in kinds
            },
            "against_repetition": {
                kind: {
                    n: compare(
                        ranks[kind][n],
                        repeated[kind][n],
                        pieces,
                        comparisons=len(names),
                        names=(n, "repetition"),
                    )
                    for n in names
                }
                for kind in kinds
            },
        },
        "warnings": [f"a warning about {EVIL}"],
    }


@pytest.fixture(scope="module")
def results():
    return json.loads(json.dumps(make_results(), allow_nan=False))


@pytest.fixture(scope="module")
def results_of_three():
    """Fewer models and sequences, for tests that write many reports."""
    return make_results(("note_drop", "context", "composer"), sequences=300)


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures are drawn, but their files are empty."""
    monkeypatch.setattr("tinyembed.report.pictures.save", lambda _, path: path.write_bytes(b""))


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    before = copy.deepcopy(results)
    write_report(folder, results)
    assert results == before
    return folder


class Reader(HTMLParser):
    """Every tag with its attributes. Raises AssertionError unless tags are closed in order."""

    VOID = frozenset(("meta", "img"))

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def rows_of(markdown, caption):
    """The table under a caption: its header and {first cell: other cells}, without emphasis."""
    lines = markdown[markdown.index(caption) :].split("\n\n")[1].splitlines()
    cells = [[c.strip().strip("*") for c in line.strip("|").split(" | ")] for line in lines]
    return cells[0], {row[0]: row[1:] for row in cells[2:]}


def test_the_weights_of_the_last_unit(folder):
    text = (folder / "report.md").read_text()
    assert "A network predicts. The chosen weights: 0 for Autoencoder - Note Drop," in text
    assert "; 0.25 for Predict Context." in text


def test_all_files_are_written(folder):
    assert {path.name for path in folder.iterdir()} == {"report.md", "report.html", *PICTURES}
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (folder / "report.md").read_text())
    assert set(shown) == PICTURES
    for name in shown:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_html_is_self_contained_and_escaped(folder):
    text = (folder / "report.html").read_text()
    page = Reader(text)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "base", "form"}
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert len(sources) == len(PICTURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not any({"href", "srcset", "onload", "onerror"} & attrs.keys() for _, attrs in page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert EVIL in page.text  # as text, not as markup
    assert html.escape(EVIL) in text


def test_markdown_is_escaped(folder):
    text = (folder / "report.md").read_text()
    assert "<" not in text.replace("&lt;", "")
    assert "&lt;script&gt;" in text
    header, rows = rows_of(text, "Table 1")
    assert len(rows) == 1 + 3 + 25  # the total, our composers, and the paper's other composers
    assert {len(row) for row in rows.values()} == {len(header) - 1}


def test_tables_hold_the_results(folder, results):
    text = (folder / "report.md").read_text()
    header, rows = rows_of(text, "Table 2")
    for name, model in results["models"].items():
        row = dict(zip(header[1:], rows[model["title"]], strict=True))
        for kind, short in ("rank", "random"), ("rank_same_piece", "same piece"):
            low, high = (rank_text(x) for x in model[kind]["interval"])
            median = f"{model[kind]['median']:g} \\[{low}, {high}\\]"
            assert row[f"{short}: median"] == median
            assert float(row[f"{short}: skew"]) == round(model[kind]["skew"], 2)
            repeated = results["baselines"]["repetition"][name][kind]["median"]
            assert float(row[f"{short}: repetition"]) == repeated
        assert float(row["paper: median"]) == paper.MODELS[name].median
        assert float(row["paper: skew"]) == paper.MODELS[name].skew
    assert "Mean embedding as the prediction" in rows
    header, rows = rows_of(text, "Table 2, with the paper's own predictor")
    for model in results["models"].values():
        row = dict(zip(header[1:], rows[model["title"]], strict=True))
        rank = model["paper_predictor"]["rank"]
        assert row["random: median"].startswith(f"{rank['median']:g} ")
    assert "Most common composer" not in rows
    header, rows = rows_of(text, "Table 3")
    for name, model in results["models"].items():
        row = dict(zip(header[1:4], rows[model["title"]], strict=False))
        assert row["units: accuracy"].startswith(f"{model['composers']['accuracy']:.3f} ")
        assert float(row["macro-F1"]) == round(model["composers"]["macro_f1"], 3)
        assert float(rows[model["title"]][-1]) == paper.MODELS[name].macro_f1
    assert rows["Most common composer"][-1] == "—"


def test_significance_tables(folder, results):
    text = (folder / "report.md").read_text()
    for kind, caption in ("rank", "random units"), ("rank_same_piece", "units of the same piece"):
        header, rows = rows_of(text, f"All pairs among {caption}")
        assert len(rows) == 21
        pair = results["tests"][kind]["pairs"][8]
        titles = [MODELS[pair[side]].title for side in ("first", "second")]
        row = dict(zip(header[1:], rows[" against ".join(titles)], strict=True))
        assert float(row["rank-biserial"]) == round(pair["rank_biserial"], 2)
        assert row["by piece: Wilcoxon p"] == p_or_dash(pair["pieces"]["wilcoxon"])
        assert f"Ranks among {caption}, in full" in text
    assert "Last unit repeated: Predict Context" in text
    assert "7,398.17" in text


def test_summary_is_computed(results):
    text = " ".join(summary(results))
    median = rank_text(results["models"]["context"]["rank"]["median"])
    assert f"Predict Context leads with a median rank of {median} " in text
    assert "significantly better for 7 of 7 embeddings" in text
    assert "Composer Discrimination classifies" in text
    assert [verdict.holds for verdict in verdicts(results)] == ["yes"] * 5
    ours, theirs = verdicts(results)[0].numbers.split("; ")
    assert f"), median ranks context {median}, forward " in ours
    median = rank_text(results["models"]["context"]["paper_predictor"]["rank"]["median"])
    assert f"), median ranks context {median}, forward " in theirs
    for line, tests in ((ours, results["tests"]), (theirs, results["tests"]["paper_predictor"])):
        sure = sum(
            pair["pieces"]["wilcoxon"]["significant"] and pair["pieces"]["rank_biserial"] > 0
            for pair in tests["rank"]["pairs"]  # of which the context models are second
            if pair["first"] in DENOISING and pair["second"] in ("context", "forward")
        )
        assert 0 < sure and f"predictor: 6 of 6 pairs ({sure} significant)" in line


def test_summary_of_other_findings(results):
    other = copy.deepcopy(results)
    models = other["models"]
    models["note_drop"], models["context"] = models["context"], models["note_drop"]
    models["forward"]["composers"]["accuracy"] = 0.99
    pairs = other["tests"]["against_repetition"]["rank"]
    for name in "context", "forward":
        pairs[name]["pieces"]["wilcoxon"]["significant"] = False
    pairs["composer"]["pieces"]["rank_biserial"] = 0.9
    text = " ".join(summary(other))
    assert "Autoencoder - Note Drop" not in text.split(";")[0]
    assert "Predict Forward classifies 99.0% of the units" in text
    assert "significantly better for 4 of 7 embeddings" in text
    assert [v.holds for v in verdicts(other)] == ["partly", "partly", "yes", "yes", "partly"]
    for name in PAPER_MODELS:
        models[name]["composers"]["accuracy"] = 0.5 - 0.01 * (name == "composer")
    assert [v.holds for v in verdicts(other)][1:3] == ["no", "no"]


def test_one_model_alone(tmp_path, folder):
    results = make_results(("context",))
    del results["warnings"], results["settings"], results["baselines"]["pca"]
    del results["others"], results["tests"]["others"]
    for picture in PICTURES:
        (tmp_path / picture).write_bytes(b"of an earlier report")
    write_report(tmp_path, results)
    text = (tmp_path / "report.md").read_text()
    assert not (tmp_path / "significance.png").exists()
    for absent in "Comparison between models", "Spreads\n", "Warnings", "PCA", "None", "nan":
        assert absent not in text
    assert "Predict Context has a median rank of" in text
    assert "Comparison with repeating the last unit" in text
    assert not verdicts(results)
    Reader((tmp_path / "report.html").read_text())


@pytest.mark.parametrize("path", [
    ("models",), ("baselines",), ("tests",), ("corpus",), ("settings",), ("command",), ("seconds",),
    ("models", "*", "rank"), ("models", "*", "rank_same_piece"), ("models", "*", "box"),
    ("models", "*", "composers"), ("models", "*", "composers", "pieces"),
    ("models", "*", "composers", "confusion"), ("models", "*", "composers", "per_composer"),
    ("models", "*", "composers", "interval"), ("models", "*", "seconds"), ("models", "*", "title"),
    ("models", "*", "commands"), ("models", "*", "rank", "interval"),
    ("models", "context"), ("models", "context", "rank"), ("models", "composer", "composers"),
    ("tests", "rank"), ("tests", "against_repetition"), ("tests", "rank", "levene"),
    ("baselines", "repetition"), ("baselines", "majority"), ("corpus", "table"),
    ("corpus", "pieces_in_both"),
    ("corpus", "candidates"), ("corpus", "left_out"), ("corpus", "test_units_in_training"),
])  # fmt: skip
def test_missing_parts(tmp_path, results_of_three, no_pictures, path):
    results = copy.deepcopy(results_of_three)
    *parents, last = path
    parts = [results]
    for key in parents:
        parts = [x for part in parts for x in (part.values() if key == "*" else [part[key]])]
    for i, part in enumerate(parts):  # deleted or null: both mean missing
        if (i + len(path) + len(last)) % 2:
            del part[last]
        else:
            part[last] = None
    text = written(tmp_path, results)
    assert not re.search(r"\b(None|nan|inf)\b", text)
    assert not re.search(r"^(#+) .*\n\n+\1 ", text, re.M)  # no empty section


def test_empty_results(tmp_path):
    write_report(tmp_path, {})
    text = (tmp_path / "report.md").read_text()
    assert "No model has been evaluated yet" in text
    assert "Contradictions in the paper" in text


def test_several_seeds_and_few_candidates(tmp_path, results_of_three, no_pictures):
    results = copy.deepcopy(results_of_three)
    assert "compares trained networks, not methods" in written(tmp_path, results)
    results["settings"]["seeds"] = [0, 1, 2]
    results["corpus"] |= {"candidates": 412, "pieces_in_both": 3}
    text = written(tmp_path, results)
    assert "3 seeds (0, 1, 2) are pooled" in text
    assert "ranked among 412 candidates" in text
    assert "3 test pieces share half of their units or more with a training piece, so" in text


def written(folder, results):
    write_report(folder, results)
    return (folder / "report.md").read_text()


def test_means_per_model_have_rows(tmp_path, results_of_three, no_pictures):
    results = copy.deepcopy(results_of_three)
    results["baselines"]["mean"] = dict.fromkeys(results["models"], results["baselines"]["mean"])
    assert "Mean embedding as the prediction: Predict Context" in written(tmp_path, results)


def test_writing_twice_gives_the_same_bytes(tmp_path, folder, results):
    write_report(tmp_path, results)
    for name in "report.md", "report.html":
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


# The blocks


def test_blocks_in_markdown():
    blocks = [
        Heading("a # b", 2),
        Paragraph("1. not a\nlist, *not* strong, snake_case, _x_"),
        Bullets(["- one", "<b>"]),
        Code("ls --all\n``` *"),
        Table(["name", "n"], [["a|b", Strong("1")]], "What it is"),
        Picture("p.png", "a [b]", "c"),
    ]
    assert to_markdown(blocks) == (
        "## a \\# b\n\n"
        "1\\. not a list, \\*not\\* strong, snake_case, \\_x\\_\n\n"
        "- \\- one\n- &lt;b&gt;\n\n"
        "    ls --all\n    ``` *\n\n"
        "What it is\n\n| name | n |\n| :--- | ---: |\n| a\\|b | **1** |\n\n"
        "![a \\[b\\]](p.png)\n\nc\n"
    )


def test_blocks_in_html():
    blocks = [
        Code("a < b"),
        Table(["name", "n"], [["<i>", Strong("1")]]),
        Picture("p.png", '"quoted"'),
    ]
    text = to_html(blocks, {"p.png": "data:,"}.get)
    assert "<pre>a &lt; b</pre>" in text
    assert '<td>&lt;i&gt;</td><td class="number"><strong>1</strong></td>' in text
    assert 'alt="&quot;quoted&quot;"' in text
    Reader(text)
    with pytest.raises(TypeError):
        to_html(["text"], None)


def test_headings_of_empty_sections_are_left_out():
    first, below, third = Heading("a", 2), Heading("b", 3), Heading("c", 3)
    text, picture = Paragraph("text"), Picture("p.png", "p")
    blocks = [first, below, None, third, text, Heading("d", 2), Heading("e", 3), picture]
    assert without_gaps(blocks, set()) == [first, third, text]
    assert without_gaps(blocks, {"p.png"})[-1] == picture


def test_numbers():
    assert [number(x) for x in (None, float("nan"), 1234.5, -0.001, 0)] == [
        "—", "—", "1,234.50", "0.00", "0.00"
    ]  # fmt: skip
    assert [rank_text(x) for x in (6, 6.5, 6.25, 1200, 0, None)] == [
        "6", "6.5", "6.25", "1,200", "0", "—"
    ]  # fmt: skip
    assert [duration(s) for s in (3, 119, 600, 31_000, None)] == [
        "3.0 s", "119.0 s", "10.0 min", "8.6 h", "—"
    ]  # fmt: skip
