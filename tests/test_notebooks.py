"""Every notebook has what its page has, and opens where there is nothing but pip."""

import ast
import base64
import json
import re
import shutil

import pytest
from processes import python
from run_chapter import cells, prose
from test_build_pages import CHAPTER as SMALL
from test_build_pages import TOOLS, build, course  # noqa: F401, of which one is a fixture
from test_tutorials import CHAPTERS, FOLDER, PICTURES, SOUNDS, blocks, script_of

NOTEBOOKS = FOLDER / "notebooks"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def notebook_of(chapter, folder=NOTEBOOKS):
    """Its cells, each with a source of one string."""
    notebook = json.loads((folder / f"{chapter}.ipynb").read_text())
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    return [{**cell, "source": "".join(cell["source"])} for cell in notebook["cells"]]


def sources(notebook, kind):
    return [cell["source"] for cell in notebook if cell["cell_type"] == kind]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_shows_what_its_page_shows(chapter):
    """Its prints, pictures and sounds, and nothing of the run that made it."""
    page = (FOLDER / f"{chapter}.md").read_text()
    prints, pictures, sounds, counts = [], [], [], []
    notebook = notebook_of(chapter)
    for cell in notebook[2:]:
        assert cell["metadata"] == {}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output["output_type"] == "stream":
                prints.append("".join(output["text"]).rstrip() + "\n")
            elif "image/png" in data:
                pictures.append(base64.b64decode(data["image/png"]))
            else:
                coded = re.search(r'base64,([^"]+)"', "".join(data["text/html"]))[1]
                sounds.append(base64.b64decode(coded))
    assert prints == blocks(chapter, "text")
    for found, folder in ((pictures, PICTURES), (sounds, SOUNDS)):
        names = re.findall(rf"\({folder.name}/(\S+?)\)", page)
        assert found == [(folder / name).read_bytes() for name in names]
    assert [cell["id"] for cell in notebook] == [
        f"{chapter[:2]}-{n:02d}" for n in range(len(notebook))
    ]
    counts = [cell["execution_count"] for cell in notebook if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_is_made_from_its_script(chapter):
    """It has all cells but the hidden ones, and its links lead somewhere, from where it lies."""
    shown = [
        prose(text) if "[markdown]" in words else text
        for words, text, _ in cells(script_of(chapter).read_text())
        if "hide" not in words
    ]
    notebook = notebook_of(chapter)[2:]
    assert [LINK.sub("]()", cell["source"]) for cell in notebook] == [
        LINK.sub("]()", text) for text in shown
    ]
    links = LINK.findall("\n".join(sources(notebook, "markdown")))
    inside = [link.partition("#")[0] for link in links if "://" not in link]
    assert not [link for link in inside if not (NOTEBOOKS / link).exists()]
    assert not [link for link in inside if re.fullmatch(r"(\.\./)?[0-9]{2}_\w+\.md", link)]


def files_of(cell):
    """{path: text} of the cell that writes the files."""
    return next(
        ast.literal_eval(node.value)
        for node in ast.parse(cell).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FILES"
    )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_brings_the_files_that_it_needs(chapter):
    """As they are in the repository today."""
    install, bring, *code = sources(notebook_of(chapter), "code")
    assert install.count("\nSOURCE = ") == install.count('%pip install -q "{SOURCE}"') == 1
    files = files_of(bring)
    assert {"tutorials/lesson.py", "tutorials/sound.py"} <= set(files)
    for name, text in files.items():
        now = (FOLDER.parent / name).read_text()
        same = json.loads(text) == json.loads(now) if name.endswith(".json") else text == now
        assert same, f"{name} is not what it was: build chapter {chapter[:2]} anew"
    for parts in re.findall(r'lesson\.ROOT((?:\s*/\s*"[^"]+")+)', "\n".join(code)):
        path = "/".join(re.findall(r'"([^"]+)"', parts))
        assert (FOLDER.parent / path).is_dir() or path in files


RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
before = [cell.get("outputs") for cell in notebook.cells]
NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
for cell, outputs in zip(notebook.cells, before, strict=True):
    for found, expected in zip(cell.get("outputs", []), outputs or [], strict=True):
        assert found.get("text") == expected.get("text"), cell.source
        assert set(found.get("data", ())) == set(expected.get("data", ())), cell.source
        if "text/html" in found.get("data", ()):
            assert found.data == expected.data
"""


@TOOLS
@pytest.mark.peer("nbclient", "music21")  # without music21 its first cell would install it
def test_a_notebook_runs_in_an_empty_folder(course, tmp_path):  # noqa: F811
    """From its first cell on, without the tools of the course; it shows the same again."""
    (course / "01_first.py").write_text(SMALL)
    done = build(course, "01")
    assert (done.returncode, done.stderr) == (0, "")
    notebook = shutil.move(course / "notebooks" / "01_first.ipynb", tmp_path)
    shutil.rmtree(course)
    (tmp_path / "empty").mkdir()
    done = python("-c", RUN, notebook, cwd=tmp_path / "empty", MPLBACKEND="")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "empty").iterdir())
