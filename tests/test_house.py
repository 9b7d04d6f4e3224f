"""The layout of the package, held to its rules by reading every module's imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tinyembed"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_any(path, *names):
    return [i for i in imports(path) if any(i == n or i.startswith(n + ".") for n in names)]


def test_only_arrays_imports_cupy():
    found = [path.name for path in MODULES if imports_any(path, "cupy", "cupyx")]
    assert found == ["arrays.py"]


def test_layers_do_no_maths_with_numpy():
    """They ask for the array module of what they are given; the gradient check is for the host."""
    layers = [p for p in MODULES if p.parent.name == "layers" and p.name != "gradcheck.py"]
    assert layers
    assert not {p.name: found for p in layers if (found := imports_any(p, "numpy", "scipy"))}


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("layers", ("music", "models", "batches", "trainer", "evaluation", "runs", "command")),
        ("music", ("layers", "models", "batches", "trainer", "evaluation", "runs", "command")),
        ("evaluation", ("report", "command", "train", "corpus", "evaluate", "reproduce")),
        ("report", ("command", "train", "corpus", "evaluate", "reproduce")),
    ],
)
def test_imports_run_one_way(below, above):
    forbidden = [f"tinyembed.{name}" for name in above]
    inside = [p for p in MODULES if p.parent.name == below]
    assert inside
    assert not {p.name: found for p in inside if (found := imports_any(p, *forbidden))}


def test_no_module_imports_a_command():
    commands = [p.stem for p in PACKAGE.glob("*.py") if "\n    run(main)" in p.read_text()]
    assert {"train", "corpus"} <= set(commands)
    names = [f"tinyembed.{name}" for name in commands]
    assert not {p.name: found for p in MODULES if (found := imports_any(p, *names))}


def test_import_is_light():
    """`import tinyembed` loads neither plotting nor scores nor models."""
    code = "import sys, tinyembed; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"matplotlib", "music21", "mido", "numpy", "scipy", "cupy"} & set(loaded)


def test_every_public_name_is_there():
    import tinyembed

    for name in tinyembed.__all__:
        assert getattr(tinyembed, name).__doc__
    with pytest.raises(AttributeError):
        _ = tinyembed.nothing
