"""Type hints of the public names: complete, and enough for a caller under `mypy --strict`."""

import ast
import functools
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import tinyembed
from tinyembed.models.model import Model

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.peer("mypy")
def test_a_typed_program(tmp_path):
    """mypy finds no error in typed_usage.py but those marked, and none in README's example."""
    example = (ROOT / "README.md").read_text().partition("\n## From Python\n")[2]
    example = example.partition("```python\n")[2].partition("```")[0]
    assert "tinyembed.load()" in example
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml",
         "--cache-dir", tmp_path / "cache", ROOT / "tests" / "typed_usage.py", "example.py"],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def signatures():
    """(name, function) of each public function, and of each public method of the public classes."""
    for name in tinyembed.__all__:
        value = getattr(tinyembed, name)
        if not inspect.isclass(value):
            yield name, value
            continue
        for method, member in vars(value).items():
            if method in ("__init__", "__len__") or not method.startswith("_"):
                yield from functions(f"{name}.{method}", member)
    yield "Model.encode", Model.encode
    yield "Model.reconstruct", Model.reconstruct


def functions(name, member):
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, functools.cached_property):
        member = member.func
    elif isinstance(member, (classmethod, staticmethod)):
        member = member.__func__
    if inspect.isfunction(member):
        yield name, member


def test_hints_are_complete():
    """Each parameter and each result has a hint, and every hint can be evaluated."""
    missing = {}
    for name, function in signatures():
        wanted = {*inspect.signature(function).parameters, "return"} - {"self", "cls"}
        if unhinted := wanted - set(typing.get_type_hints(function)):
            missing[name] = unhinted
    assert not missing


def test_type_checkers_see_the_public_names():
    """The stub's imports, its `__all__` and the table for Python name the same objects."""
    tree = ast.parse(Path(tinyembed.__file__).with_suffix(".pyi").read_text())
    homes, listed = {}, None
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                homes[alias.asname or alias.name] = (statement.module, alias.name)
        elif isinstance(statement, ast.Assign):
            listed = ast.literal_eval(statement.value)
    table = {}
    for name, home in tinyembed._HOMES.items():
        module, _, attribute = home.partition(":")
        table[name] = (module, attribute or name)
    assert homes == table
    assert sorted(homes) == sorted(listed) == sorted(tinyembed.__all__)
