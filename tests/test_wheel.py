"""The wheel as pip installs it elsewhere, with the oldest versions that setup.cfg allows."""

import configparser
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tinyembed

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        "TINYEMBED_TEST_WHEEL" not in os.environ,
        reason="installs 100 MB of other versions; TINYEMBED_TEST_WHEEL=1 runs it",
    ),
]
ROOT = Path(tinyembed.__file__).resolve().parents[1]
SOURCES = ("tinyembed", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
# The oldest versions have wheels for these.
PYTHONS = ((3, 11), (3, 12))
# What neither a training nor an embedding needs: SciPy, and a MIDI file to write.
REST = """
import numpy, tinyembed, tinyembed.evaluation.baselines, tinyembed.evaluation.significance
tinyembed.to_midi(numpy.eye(60, 96), "unit.mid")
"""


def pip(*words):
    """Run pip. Without pip or a package index that answers, the test is skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--retries=1", *map(str, words)],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    said = done.stdout + done.stderr
    if "No module named pip" in said or "(from versions: none)" in said:
        pytest.skip("needs pip and a package index")
    assert done.returncode == 0, said


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: the checkout's own build folders play no part in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for cache in list((folder / "tinyembed").rglob("__pycache__")):
        shutil.rmtree(cache)
    pip("wheel", "-q", "--no-deps", "-w", folder / "dist", folder)
    (built,) = (folder / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def oldest():
    """The dependencies of the package, each at the oldest version allowed."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    assert all(line.count(">=") == 1 for line in lines)
    return [line.replace(">=", "==") for line in lines]


def test_the_wheel_holds_every_file(wheel):
    """Also the hints' marker, weights, tables and the explorer's page."""
    package = wheel.parents[1] / "tinyembed"
    files = {str(Path("tinyembed", p.relative_to(package))) for p in package.rglob("*.*")}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("tinyembed/")}
    assert packed == files
    suffixes = {Path(name).suffix for name in packed}
    assert suffixes >= {".py", ".typed", ".npz", ".md", ".tsv", ".html", ".css", ".js"}


@pytest.mark.skipif(
    sys.version_info[:2] not in PYTHONS, reason="no wheels of the oldest versions for this Python"
)
def test_it_works_with_the_oldest_versions(wheel, oldest, piano_folder, tmp_path):
    """In an environment without anything else: a training, and the embeddings of a song."""
    venv.create(tmp_path / "venv", with_pip=False)
    commands = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", commands / "python", "install", "-q", "--no-compile", "--only-binary=:all:",
        wheel, *oldest)  # fmt: skip

    def run(*words):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [str(commands / words[0]), *map(str, words[1:])],
            capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=200,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    out = run("tinyembed", "train", "--data", piano_folder, "--model", "note_drop",
              "--examples", 200, "--batch-size", 20)  # fmt: skip
    assert "Next: python -m tinyembed.train --data" in out  # these pieces are too short to evaluate
    assert (tmp_path / "runs" / "note_drop" / "reconstruction.png").stat().st_size > 1000
    song = sorted(piano_folder.rglob("*.mid"))[0]
    run("python", "-m", "tinyembed", "embed", song, "-o", "song.npz")
    with np.load(tmp_path / "song.npz") as made:
        np.testing.assert_allclose(
            made["embeddings"], tinyembed.embed(song, device="cpu"), rtol=1e-3, atol=1e-5
        )
    run("python", "-c", REST)
    assert (tmp_path / "unit.mid").exists()
