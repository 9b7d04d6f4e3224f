"""The report in stages: what each stage adds, and that it can be stopped and goes on."""

import json

import numpy as np
import pytest
from music import write_corpus
from small_networks import use_small_networks

from benchmarks import ablations, full_report, machine, pieces
from tinyembed.cli.running import exit_status
from tinyembed.models.table import MODELS, WIDTHS
from tinyembed.report import write
from tinyembed.report.beside import beside_sections
from tinyembed.report.blocks import Bullets, Heading, Table
from tinyembed.storage.files import write_json
from tinyembed.stores.sources import as_typed

QUICK = ("--examples", "512", "--fewer", "200", "--folds-examples", "512", "--lstm-steps", "2",
         "--classifier-steps", "2")  # fmt: skip


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A function that runs stages in one place, and the place."""
    home = tmp_path_factory.mktemp("report")
    music = write_corpus(home / "music", composers=3, pieces=6, beats=90)
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        for width in ("small", "paper"):
            patch.setitem(WIDTHS, width, WIDTHS["tiny"])
        patch.setattr(full_report, "FOLDS", 2)
        patch.setattr(pieces, "FOLDS", 2)
        patch.setattr(full_report, "packaged", lambda: [])
        patch.setattr(full_report, "IN_MAIN", ("context", "contrastive"))
        patch.setattr(full_report, "IN_SEEDS", ("context", "composer"))
        patch.setattr(full_report, "IN_FOLDS", ("base", "regularized"))
        patch.setattr(full_report, "AT_PAPER_WIDTH", ("note_drop", "context"))
        for module in (ablations, full_report, machine):
            patch.setattr(module, "RESULTS", home / "results")
        patch.setattr(full_report, "REPORT", home / "report")
        patch.setattr(write, "draw_all", lambda folder, results: [])  # test_report.py draws them
        (home / "results").mkdir()

        def run(*names):
            words = ["--data", str(music), *QUICK, "--out", str(home / "runs"), "--only", *names]
            return exit_status(lambda: full_report.main(words))

        yield run, home


def headings(home):
    text = (home / "report" / "report.md").read_text()
    return [line.lstrip("# ") for line in text.splitlines() if line.startswith("## ")], text


def test_stages_add_up(stages, capsys):
    run, home = stages
    assert run("folds") == 0
    found, text = headings(home)
    assert "Folds of the training pieces" in found and "Whole pieces" in found
    assert "Other seeds" not in found and "- other seeds: not run" in text
    assert "contrastive against regularized" in text and "Forward prediction" not in found
    assert "- one seed with 1,000,000 examples" in text
    assert "| contrastive, trained in folds | voting |" in text

    assert run("main", "seeds", "width") == 0
    assert "report.md" in capsys.readouterr().out.rpartition("Next: ")[2]
    found, text = headings(home)
    order = ["Forward prediction", "Composer classification", "Other seeds",
             "Folds of the training pieces", "Whole pieces", "At paper width"]  # fmt: skip
    assert [name for name in found if name in order] == order and "not run" not in text
    results = json.loads((home / "report" / "results.json").read_text())
    assert (list(results["models"]), list(results["others"])) == (["context"], ["contrastive"])
    assert results["settings"]["keys"] == 12 and "earlier" not in results
    assert results["command"].endswith(f"full_report --data {as_typed(home / 'music')}")
    (home / "runs" / "main" / "results.json").rename(home / "aside.json")
    (home / "runs" / "width").rename(home / "width aside")
    write_json(home / "report" / "results.json", {**results, "command": "of another folder"})
    assert run("seeds") == 0  # what the last report says of other stages stays in the next
    assert json.loads((home / "report" / "results.json").read_text()) == results
    write_json(home / "report" / "results.json", {**results, "settings": {"keys": 1}})
    assert run("seeds") == 0  # a main run of another size as well, and it is called earlier
    assert "Forward prediction" in headings(home)[0]
    assert json.loads((home / "report" / "results.json").read_text())["earlier"]
    (home / "width aside").rename(home / "runs" / "width")
    (home / "aside.json").rename(home / "runs" / "main" / "results.json")
    seeds = results["beside"]["seeds"]
    assert seeds["settings"]["seeds"] == [1, 2] and "pca" not in seeds["baselines"]
    each = seeds["models"]["context"]["each_seed"]
    assert len(each) == 2 and each[0]["rank"] != each[1]["rank"]
    both = seeds["models"]["context"]
    for found, pooled in (
        (each, both),
        ([e["paper_predictor"] for e in each], both["paper_predictor"]),
    ):
        mrr = [one["rank"]["mrr"] for one in found]
        assert np.mean(mrr) == pytest.approx(pooled["rank"]["mrr"])  # as many ranks in each seed
    for one in each:
        assert 0 <= one["units"] <= 1 and 0 <= one["pieces"] <= 1
    pooled = seeds["models"]["context"]["composers"]["accuracy"]
    assert pooled == pytest.approx((each[0]["units"] + each[1]["units"]) / 2)
    assert list(results["beside"]["width"]["models"]) == ["note_drop", "context"]
    assert MODELS["context"].title in text

    files = {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*.npz")}
    assert run("main", "folds", "seeds", "width") == 0  # nothing is done twice
    assert files == {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*.npz")}


def test_a_stage_that_is_stopped_stops_the_command(stages, monkeypatch):
    run, home = stages
    before = (home / "report" / "results.json").read_bytes()
    monkeypatch.setitem(full_report.STAGES, "seeds", lambda options: 130)
    assert run("seeds", "width") == 130
    assert (home / "report" / "results.json").read_bytes() == before
    assert run("stage") == 2


def test_a_report_without_other_runs_does_not_speak_of_them():
    assert beside_sections({"models": {}}) == []
    *_, head, missing = beside_sections({"beside": {}})
    assert isinstance(head, Heading) and isinstance(missing, Bullets)
    assert len(missing.items) == 4


def run_of(median, accuracy, width="small", **settings):
    """Results of one model, as results.json has them. settings: those that are not the usual."""
    rank = {"median": median, "interval": [median - 1, median + 1]}
    scores = {"accuracy": accuracy, "interval": [0.1, 0.9]}
    ours = {"rank": rank, "rank_same_piece": {"median": 10 * median}, "composers": scores}
    paper = {"rank": {"median": median + 0.5}, "rank_same_piece": {"median": 10 * median + 0.5}}
    entry = {"title": "Predict Context", **ours, "paper_predictor": paper}
    budget = {"examples": 300_000, "batch_size": 5, "keys": 1, "lstm_steps": 9}
    budget = {**budget, "classifier_steps": 6, **settings}
    settings = {"width": width, "seeds": [1, 2], **budget}
    baselines = {"majority": {"composers": scores}}  # of no interest beside another width
    return {"models": {"context": entry}, "baselines": baselines, "settings": settings}


def test_other_seeds_stand_beside_another_width_where_they_are_of_its_size():
    def tables(seeds):
        blocks = beside_sections({"beside": {"width": run_of(4, 0.25, "paper"), "seeds": seeds}})
        heads = [b.text if isinstance(b, Heading) else b for b in blocks]
        return [b for b in heads[heads.index("At paper width") :] if isinstance(b, Table)]

    ours, paper, composers = tables(run_of(7, 0.5))
    assert ours.header[1:3] == ["random units: paper width", "random units: small width"]
    assert ours.rows == [["Predict Context", "4 [3, 5]", "7 [6, 8]", "40", "70"]]
    assert paper.rows == [["Predict Context", "4.5", "7.5", "40.5", "70.5"]]
    row = ["Predict Context", "0.250 [0.100, 0.900]", "0.500 [0.100, 0.900]"]
    assert composers.rows == [row]
    names = "examples", "batch_size", "keys", "lstm_steps", "classifier_steps"
    for name in names:
        ours, _, composers = tables(run_of(7, 0.5, **{name: 12}))
        assert ours.rows == [["Predict Context", "4 [3, 5]", "40"]]
        assert composers.header == ["Model", "paper width"]


def test_a_report_that_lacks_nothing_has_no_list_of_what_is_missing():
    stages = {"seeds": run_of(7, 0.5), "width": run_of(4, 0.25, "paper")}
    stages["folds"] = {"folds": 5, "examples": 7, "rows": {}}
    stages["pieces"] = {"rows": [], "folds": {"rows": []}}

    def heads(found, **results):
        blocks = beside_sections({"beside": found, **results})
        return [b.text for b in blocks if isinstance(b, Heading)]

    assert "What was not run" not in heads(stages)
    assert heads(stages, earlier=True)[-1] == "What was not run"
    for name in stages:
        assert heads({k: v for k, v in stages.items() if k != name})[-1] == "What was not run"


def test_numbers_that_are_missing_are_dashes():
    row = {"accuracy": 0.25, "interval": [0.2, 0.3], "accuracy_of_pieces": 0.5}
    result = {"folds": 5, "examples": 7, "rows": {"composer": row}}
    blocks = beside_sections({"beside": {"folds": result}})
    (table,) = (b for b in blocks if isinstance(b, Table) and b.rows)
    assert table.rows == [["composer", "0.250 [0.200, 0.300]", "0.500", "—", "—"]]
