"""The command that builds the pages of the course, on chapters of a few lines."""

import shutil

import pytest
from processes import on_all_cores, python
from test_tutorials import FOLDER, SCRIPTS

TOOLS = pytest.mark.peer("jupytext", "nbconvert", "ipykernel")
pytestmark = TOOLS
MADE = (".md", ".png", ".wav", ".ipynb")

CHAPTER = """\
# %% [markdown]
# # 1. A chapter
#
# One sentence.

# %%
import lesson
import matplotlib.pyplot as plt

print("one")
print("two")
lesson.play(lesson.tune(), "tune", "a tune")

# %% tags=["hide"]
secret = 1

# %% alt="a line"
plt.plot([0, 1])
plt.show()
print("three")
"""


def make_course(folder):
    """A folder with the tools of the course and no chapter."""
    folder.mkdir(parents=True)
    for tool in set(FOLDER.glob("*.py")) - set(SCRIPTS):
        shutil.copy(tool, folder)
    begin, end = "<!-- contents: written by build.py -->", "<!-- end of contents -->"
    (folder / "README.md").write_text(f"# All\n\n{begin}\n{end}\n\nMore.\n")
    return folder


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path / "tutorials")


def build(course, *numbers, **environment):
    return python("build.py", *numbers, cwd=course, **environment)


def test_a_page_shows_code_prints_and_pictures(course):
    (course / "01_first.py").write_text(CHAPTER)
    (course / "02_second.py").write_text(CHAPTER.replace("1. A", "2. Another"))
    done = build(course)
    assert (done.returncode, done.stderr) == (0, "")
    page = (course / "01_first.md").read_text()
    code = 'import lesson\nimport matplotlib.pyplot as plt\n\nprint("one")\nprint("two")\n'
    order = [
        "# 1. A chapter\n\nOne sentence.\n\n", f"```python\n{code}", "\n```\n\n",
        "```text\none\ntwo\n```\n\n", "Listen: [a tune](sounds/01_tune.wav)\n\n",
        "plt.show()", "![a line](pictures/01_1.png)\n\n",
        "```text\nthree\n```\n", "[2. Another chapter](02_second.md) →",
    ]  # fmt: skip
    places = [page.find(part) for part in order]
    assert min(places) >= 0 and places == sorted(places), page
    assert "secret = 1" not in page
    assert (
        "[2. Another chapter](02_second.md)**<br>One sentence."
        in (course / "README.md").read_text()
    )

    files = sorted(path for path in course.rglob("*") if path.suffix in MADE)
    assert [len([p for p in files if p.suffix == suffix]) for suffix in MADE] == [3, 2, 2, 2]
    before = {path: path.read_bytes() for path in files}
    leftovers = [course / "pictures" / "01_2.png", course / "sounds" / "01_old.wav"]
    for path in leftovers:
        path.write_bytes(b"of an older page")
    assert build(course, "01").returncode == 0  # byte for byte the same, and nothing left over
    assert {path: path.read_bytes() for path in course.rglob("*.*") if path in before} == before
    assert not any(path.exists() for path in leftovers)


@pytest.fixture(scope="module")
def refusals(request, tmp_path_factory):
    """{case: future of the build of a chapter that ends with its cell, and the course}."""

    def work(parameters):
        course = make_course(tmp_path_factory.mktemp("refused") / "tutorials")
        (course / "01_first.py").write_text(f"{CHAPTER}\n# %%\n{parameters['cell']}\n")
        return build(course), course

    with on_all_cores(request, "test_what_a_page_cannot_hold_is_one_line", work) as futures:
        yield futures


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        ("1 / 0", "ZeroDivisionError"),
        ("1 + 1", "its last line is a value"),
        ("from IPython.display import HTML\ndisplay(HTML('x'))", "neither text nor picture"),
        ("lesson.play(lesson.tune(), 'tune', 'again')", "two sounds would be called 01_tune.wav"),
        ("import sys\nprint('oh', file=sys.stderr)", "it complains: oh"),
        ("import os\nprint(os.getcwd())", "a path of this machine"),
        ("print(object())", "an address in memory"),
        ('# %% tags=["hide"]\nprint(1)', "neither print nor draw"),
    ],
)
def test_what_a_page_cannot_hold_is_one_line(refusals, request, cell, complaint):
    done, course = refusals[request.node.callspec.id].result()
    assert done.returncode == 1
    assert done.stderr.startswith("tinyembed: 01_first.py") and complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (course / "01_first.md").exists()


def test_a_number_of_no_chapter(course):
    done = build(course, "07")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "07: no such chapter" in done.stderr


def test_without_the_extra(tmp_path):
    """Where jupytext cannot be imported, one line says what to install."""
    (tmp_path / "jupytext.py").write_text("raise ModuleNotFoundError(name='jupytext')\n")
    done = python(FOLDER / "build.py", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert 'pip install -e ".[tutorials]" (' in done.stderr and "is missing)" in done.stderr
