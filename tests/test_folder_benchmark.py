"""benchmarks/folder.py: its peer embeds the same units, and what it says without one."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch")

import tinyembed
from benchmarks import folder, machine
from tinyembed.embedding.trained import load
from tinyembed.errors import InputError
from tinyembed.music.folders import find_files

pytestmark = pytest.mark.peer("torch")


@pytest.fixture(autouse=True)
def own_results(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)


@pytest.mark.peer("symusic")
def test_the_peer_embeds_the_same_units(piano_folder):
    from benchmarks.folder_peer import FolderPeer

    paths = [path for _, path in find_files(piano_folder).files]
    ours = tinyembed.embed(paths, load("context"))
    for rows, peer_rows in zip(ours, FolderPeer(paths).embed(), strict=True):
        np.testing.assert_allclose(rows, peer_rows.numpy(), atol=2e-5)


@pytest.mark.peer("symusic")
def test_both_take_turns(piano_folder, tmp_path, capsys):
    few = str(piano_folder / "Adagio")
    assert folder.main([few, "--rounds", "2", "--busy", "1"]) == 0
    said = capsys.readouterr().out
    assert "times as fast as the peer" in said and "times as long as alone" in said
    result = json.loads((tmp_path / "folder.json").read_text())
    for model in folder.MODELS:
        assert len(set(result[model]["units"].values())) == 1
        assert set(result[model]["beside"]) == {"0", "1"}
        for figure in result[model]["beside"].values():
            assert set(figure["ratio"]) == set(folder.BACKENDS)
            assert figure["seconds"][folder.PEER]["n"] == 2


def test_tinyembed_alone(piano_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "symusic", None)
    few = str(piano_folder / "Adagio")
    with pytest.raises(InputError, match=r"--vs symusic: pip install symusic torch"):
        folder.main([few])
    assert folder.main([few, "--rounds", "1", "--vs", "nothing", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (
        said["context"]["units"]["tinyembed"] > 0 and "ratio" not in said["context"]["beside"]["0"]
    )
