"""The layout of the package, held to its rules by reading every module's imports."""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyembed.music.folders import READ

PACKAGE = Path(__file__).resolve().parents[1] / "tinyembed"
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = ("train", "corpus", "embed", "search", "explore", "evaluate", "reproduce")
# From the bottom up. What stands on a floor imports from lower floors and from its own room only.
FLOORS = (
    ("errors",),
    ("storage",),
    ("backends",),
    ("music", "layers"),
    ("stores",),
    ("models",),
    ("training",),
    ("embedding", "evaluation"),
    ("neighbours",),
    ("explorer", "report"),
    ("cli",),
    COMMANDS,
    ("__init__", "__main__"),
)
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
BOOK = ("layers", "models", "training")


def room(name):
    """The room of a dotted name below tinyembed: a folder of the package, or a file at its root."""
    return name.split(".")[1]


def name_of(path):
    """The dotted name of a module's file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


NAMES = {name_of(path) for path in MODULES}


def imports(path):
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ([node.module] if set(names) - NAMES else [])
            yield from names


def own_imports(path):
    """The modules of tinyembed that a module imports."""
    return {name for name in imports(path) if name in NAMES}


def imports_any(path, *names):
    return [i for i in imports(path) if any(i == n or i.startswith(n + ".") for n in names)]


def test_every_room_has_its_floor():
    rooms = {room(name_of(path)) for path in MODULES}
    assert rooms == FLOOR.keys() and len(rooms) <= 23
    at_the_root = {path.stem for path in PACKAGE.glob("*.py")}
    assert at_the_root == {"__init__", "__main__", "errors", *COMMANDS}


@pytest.mark.parametrize("here", FLOOR)
def test_imports_run_down(here):
    above = {
        (path.name, name)
        for path in MODULES
        if room(name_of(path)) == here
        for name in own_imports(path)
        if room(name) != here and FLOOR[room(name)] >= FLOOR[here]
    }
    assert not above


def test_no_module_imports_itself_by_way_of_others():
    below = {name_of(path): own_imports(path) - {name_of(path)} for path in MODULES}
    while below:
        free = [name for name, others in below.items() if not others & below.keys()]
        assert free, f"a circle among {sorted(below)}"
        for name in free:
            del below[name]


def test_layers_see_nothing_of_the_engine_but_dispatch_and_arrays():
    allowed = {"tinyembed.backends.dispatch", "tinyembed.backends.arrays"}
    for path in MODULES:
        if room(name_of(path)) == "layers":
            engine = {name for name in own_imports(path) if room(name) == "backends"}
            assert engine <= allowed, path.name


def test_layers_do_not_speak_of_the_engine():
    words = r"\b(devices?|threads?|numba|blocks?|cuda|gpus?|cupy\.)\b"
    for path in PACKAGE.glob("layers/*.py"):
        assert not re.findall(words, path.read_text(), re.IGNORECASE), path.name


def test_files_of_the_book_are_short():
    for path in itertools.chain.from_iterable(PACKAGE.glob(f"{name}/*.py") for name in BOOK):
        assert len(path.read_text().splitlines()) <= 250, path.name


def test_only_arrays_imports_cupy():
    found = [path.name for path in MODULES if imports_any(path, "cupy", "cupyx")]
    assert found == ["arrays.py"]


def test_only_the_numba_backend_imports_numba():
    found = {name_of(path) for path in MODULES if imports_any(path, "numba")}
    assert {n for n in found if not n.startswith("tinyembed.backends.numba")} <= {
        "tinyembed.backends.choice"
    }


def test_layers_do_no_maths_with_numpy():
    """They ask for the array module of what they are given; the gradient check is for the host."""
    layers = [p for p in MODULES if p.parent.name == "layers" and p.name != "gradcheck.py"]
    assert layers
    assert not {p.name: found for p in layers if (found := imports_any(p, "numpy", "scipy"))}


def test_no_module_imports_a_command():
    commands = [p.stem for p in PACKAGE.glob("*.py") if "\n    run(main)" in p.read_text()]
    assert set(commands) == set(COMMANDS)
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


def test_a_test_that_skips_without_an_optional_package_is_marked_so():
    """Or it would run nowhere: `.ci/run` has such packages only where it selects by the mark."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        text = path.read_text()
        skipped = set(re.findall(r"""importorskip\("(?!tinyembed|cupy)(\w+)""", text))
        marked = re.search(r"^pytestmark = (.*?)\n\n", text, re.DOTALL | re.MULTILINE)
        assert skipped <= set(re.findall(r'"(\w+)"', marked[1] if marked else "")), path.name
        assert not re.search(r"skipif\(\s*not util\.find_spec", text), path.name


def test_no_music_is_part_of_the_repository():
    listed = subprocess.run(["git", "ls-files"], cwd=PACKAGE.parent, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    assert [name for name in listed.stdout.split() if name.lower().endswith(READ)] == []


def linked(page):
    """The files and folders that a page links to, without those elsewhere."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="(.+?)"', text)
    inside = [link.partition("#")[0] for link in links if "://" not in link]
    return [page.parent / link for link in inside if link]


@pytest.mark.parametrize("name", ["README.md", "tinyembed/README.md", "benchmarks/README.md"])
def test_links_of_a_page_lead_somewhere(name):
    found = linked(PACKAGE.parent / name)
    assert len(found) > 5 and not [link for link in found if not link.exists()]


def test_the_reports_page_lists_every_file():
    folder = PACKAGE.parent / "benchmarks" / "reproduction"
    found = [link.name for link in linked(folder / "README.md")]
    assert sorted([*found, "README.md"]) == sorted(path.name for path in folder.iterdir())


def test_the_packages_page_lists_every_file():
    found = [link.resolve() for link in linked(PACKAGE / "README.md") if link.suffix == ".py"]
    expected = [path for path in MODULES if path.name != "__init__.py"]
    expected += [PACKAGE / "__init__.py", PACKAGE.parent / "tests" / "test_house.py"]
    assert sorted(found) == sorted(expected)
