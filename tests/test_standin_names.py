"""What the stand-in offers, CuPy 14 has, under the same names and with the same parameters.

This needs CuPy, though no GPU: it runs where one of CuPy's wheels is installed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import STANDIN

SCRIPT = Path(__file__).with_name("describe_cupy.py")


def describe(path):
    """What the script says of the CuPy that a process finds there, or skip."""
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, env=environment)
    if done.returncode and "No module named 'cupy'" in done.stderr:
        pytest.skip("CuPy is not installed")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def real():
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = describe(os.pathsep.join(p for p in parts if p and p != str(STANDIN)))
    if int(found["version"].partition(".")[0]) < 14:
        pytest.skip(f"CuPy {found['version']} is installed, not 14")
    return found


@pytest.fixture(scope="module")
def played(real):
    parts = [str(STANDIN), os.environ.get("PYTHONPATH", "")]
    return describe(os.pathsep.join(filter(None, parts)))


def test_cupy_has_every_name(real, played):
    missing = played["names"].keys() - real["names"].keys()
    assert not missing, sorted(missing)


def test_cupy_has_every_parameter(real, played):
    wrong = []
    for name, ours in played["names"].items():
        if not ours or not real["names"].get(name):
            continue
        (ordered, named), (theirs, their_named) = ours, real["names"][name]
        if ordered != theirs[: len(ordered)] or not {*named} <= {*theirs, *their_named}:
            wrong.append(f"{name}: {ours}, but CuPy has {real['names'][name]}")
    assert not wrong, "\n".join(wrong)


def test_blocks_of_reductions(real, gpu, standin):
    from cupy._launches import REDUCTION_THREADS, block_specs

    assert real["specs"]
    for in_size, out_size, contiguous, threads, stride, blocks in real["specs"]:
        assert (threads, stride, blocks) == (
            REDUCTION_THREADS,
            *block_specs(in_size, out_size, contiguous),
        )
