"""Every chapter runs, prints what its page says it prints, and its page is made from it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tinyembed.backends.cpu.threads import usable_cores

FOLDER = Path(__file__).resolve().parents[1] / "tutorials"
SCRIPTS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
CHAPTERS = [script.stem for script in SCRIPTS]
PICTURES = FOLDER / "pictures"
LONGEST = 25  # seconds of one core
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")  # noqa: RUF001


def python(*words, cwd, limit=None, **environment):
    """Run Python in a process of its own, on one core. Returns what subprocess.run does.

    limit: seconds of processor time after which the system ends the process.
    """
    command = [sys.executable, *map(str, words)]
    if limit:
        command = ["sh", "-c", f'ulimit -t {limit} && exec "$@"', "sh", *command]
    single = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
    environment = {
        **os.environ, **single, "MPLBACKEND": "Agg", "TINYEMBED_BACKEND": "cpu", **environment,
    }  # fmt: skip
    environment.pop("DISPLAY", None)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@contextmanager
def on_all_cores(request, test, work):
    """Run `work` for each selected case of a parametrized test, as many at once as there are cores.

    request: of a fixture. Gives {name of the case: future of work(its parameters)}.
    """
    cases = [item.callspec for item in request.session.items if item.originalname == test]
    pool = ThreadPoolExecutor(usable_cores())
    try:
        yield {case.id: pool.submit(work, case.params) for case in cases}
    finally:
        pool.shutdown(cancel_futures=True)


def script_of(chapter):
    return FOLDER / f"{chapter}.py"


def needs_scores(chapter):
    return "lesson.corpus(" in script_of(chapter).read_text()


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """{chapter: future of its run}, of the selected chapters that can run here."""
    if find_spec("music21"):  # read once, into the cache of these tests
        done = python("-c", "import lesson; lesson.corpus()", cwd=FOLDER)
        assert done.returncode == 0, done.stderr

    def work(parameters):
        chapter = parameters["chapter"]
        if needs_scores(chapter) and not find_spec("music21"):
            return None
        folder = tmp_path_factory.mktemp(chapter)
        return python("-W", "error", script_of(chapter), cwd=folder, limit=LONGEST)

    with on_all_cores(request, "test_a_chapter_prints_what_its_page_says", work) as futures:
        yield futures


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_prints_what_its_page_says(chapter, runs):
    if needs_scores(chapter):
        pytest.importorskip("music21")
    if chapter.endswith("gpu"):  # it counts the launches of the engine's kernels
        pytest.importorskip("tinyembed.backends.cupy.kernels")
    done = runs[chapter].result()
    assert done.returncode >= 0, f"stopped: over {LONGEST} s of processor time? {done.stderr}"
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert_same_print(done.stdout, "\n".join(blocks(chapter, "text")))


def assert_same_print(found, expected):
    """The same words, and the same numbers to a relative 1e-3; white space is ignored."""
    numbers = [
        [float(n.replace(",", "").replace("−", "-")) for n in NUMBER.findall(text)]  # noqa: RUF001
        for text in (found, expected)
    ]
    words = [" ".join(NUMBER.sub(" # ", text).split()) for text in (found, expected)]
    assert words[0] == words[1]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3, abs=0)


def test_a_print_that_drifted_is_noticed():
    assert_same_print("loss 1.2341,  at\nstep 1,200\n", "loss 1.2342, at step 1,200")
    for drifted in ("loss 1.25, at step 1,200", "cost 1.2341, at step 1,200", "loss 1.2341"):
        with pytest.raises(AssertionError):
            assert_same_print("loss 1.2341, at step 1,200", drifted)


def blocks(chapter, kind):
    """The contents of a page's fenced blocks of one kind: list of str."""
    return fenced((FOLDER / f"{chapter}.md").read_text(), kind)


def fenced(text, kind):
    """The text between each pair of fences that begin a line."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def cells(chapter):
    """The cells of a script, in order: (words after the `# %%`, text)."""
    text = script_of(chapter).read_text()
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], (part.strip("\n") for part in parts[1::2]), strict=True))


def prose(text):
    """A Markdown cell without its comment signs."""
    return re.sub(r"^# ?", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_page_is_made_from_its_script(chapter):
    """The page has everything that the script shows, in order, and no other code."""
    page, place, code = (FOLDER / f"{chapter}.md").read_text(), 0, []
    for words, text in cells(chapter):
        if "[markdown]" in words:
            text = prose(text)
            code += [block.strip("\n") for block in fenced(text, "python")]
        elif "hide" in words:
            continue
        else:
            code.append(text)
        found = page.find(text, place)
        assert found >= 0, f"not in the page, build it anew: {text}"
        place = found + len(text)
    assert [block.strip("\n") for block in blocks(chapter, "python")] == code


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_solutions_that_are_printed_are_the_ones_that_run(chapter):
    solutions, code = [], set()
    for words, text in cells(chapter):
        if "[markdown]" in words:
            solutions += re.findall(r"^ *```python\n(.*?)^ *```$", prose(text), re.DOTALL | re.M)
        else:
            code |= set(statements(text))
    assert prose(script_of(chapter).read_text()).count("<summary>Solution") in (2, 3)
    assert solutions
    for solution in solutions:
        assert not [line for line in statements(textwrap.dedent(solution)) if line not in code]


def statements(code):
    """Lines of code without their comments."""
    lines = (re.sub(r"(^|\s+)# .*", "", line).strip() for line in code.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_all_its_parts(chapter):
    page = (FOLDER / f"{chapter}.md").read_text()
    parts = (
        f"# {int(chapter[:2])}. ", "What you'll do", "What you'll learn", "What you need",
        "## What the paper says", "## The package does the same", "## Exercises",
        "## What comes next",
    )  # fmt: skip
    places = [page.find(part) for part in parts]
    assert min(places) >= 0, dict(zip(parts, places, strict=True))
    assert places == sorted(places)


def test_pictures_are_there_and_shown():
    named = [re.findall(r"\(pictures/(\S+?)\)", (FOLDER / f"{c}.md").read_text()) for c in CHAPTERS]
    for chapter, pictures in zip(CHAPTERS, named, strict=True):
        expected = [f"{chapter[:2]}_{k + 1}.png" for k in range(len(pictures))]
        assert pictures == expected and pictures
    assert {path.name for path in PICTURES.iterdir()} == {name for names in named for name in names}
    for path in PICTURES.iterdir():
        width = int.from_bytes(path.read_bytes()[16:20], "big")  # as the PNG format has it
        assert 300 <= width <= 900, path.name


def test_links_lead_somewhere():
    pages = [FOLDER / "README.md", *FOLDER.glob("[0-9][0-9]_*.md")]
    assert len(pages) == len(CHAPTERS) + 1
    for page in pages:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="(.+?)"', text)
        inside = [link.partition("#")[0] for link in links if "://" not in link]
        assert inside
        assert not [link for link in inside if not (page.parent / link).exists()], page.name


def test_the_table_of_contents_is_up_to_date(tmp_path):
    """It lists every chapter with its line and thumbnail, and each page links to the next."""
    copy = shutil.copytree(FOLDER, tmp_path / "tutorials", ignore=shutil.ignore_patterns("*.pyc"))
    done = python("-c", "import contents; contents.write_contents()", cwd=copy)
    assert done.returncode == 0, done.stderr
    for page in ("README.md", *(f"{chapter}.md" for chapter in CHAPTERS)):
        assert (copy / page).read_text() == (FOLDER / page).read_text()
    readme = (FOLDER / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| <a")]
    assert len(rows) == len(CHAPTERS)
    for chapter, row in zip(CHAPTERS, rows, strict=True):
        assert row.count(f"{chapter}.md") == 2 and f"pictures/{chapter[:2]}_" in row


# The command that builds the pages, on chapters of a few lines.

CHAPTER = """\
# %% [markdown]
# # 1. A chapter
#
# One sentence.

# %%
import matplotlib.pyplot as plt

print("one")
print("two")

# %% tags=["hide"]
secret = 1

# %% alt="a line"
plt.plot([0, secret])
plt.show()
print("three")
"""


@pytest.fixture(scope="module")
def tools():
    """What builds pages, or a skip."""
    for name in ("jupytext", "nbconvert", "ipykernel"):
        pytest.importorskip(name)


def make_course(folder):
    """A folder with the tools of the course and no chapter."""
    folder.mkdir()
    for name in ("build.py", "contents.py"):
        shutil.copy(FOLDER / name, folder)
    begin, end = "<!-- contents: written by build.py -->", "<!-- end of contents -->"
    (folder / "README.md").write_text(f"# All\n\n{begin}\n{end}\n\nMore.\n")
    return folder


@pytest.fixture
def course(tools, tmp_path):
    return make_course(tmp_path / "course")


def build(course, *numbers, **environment):
    return python("build.py", *numbers, cwd=course, **environment)


def test_a_page_shows_code_prints_and_pictures(course):
    (course / "01_first.py").write_text(CHAPTER)
    (course / "02_second.py").write_text(CHAPTER.replace("1. A", "2. Another"))
    done = build(course)
    assert (done.returncode, done.stderr) == (0, "")
    page = (course / "01_first.md").read_text()
    code = 'import matplotlib.pyplot as plt\n\nprint("one")\nprint("two")'
    order = [
        "# 1. A chapter\n\nOne sentence.\n\n", f"```python\n{code}\n```\n\n",
        "```text\none\ntwo\n```\n\n", "plt.show()", "![a line](pictures/01_1.png)\n\n",
        "```text\nthree\n```\n", "[2. Another chapter](02_second.md) →",
    ]  # fmt: skip
    places = [page.find(part) for part in order]
    assert min(places) >= 0 and places == sorted(places), page
    assert "secret = 1" not in page
    assert (
        "[2. Another chapter](02_second.md)**<br>One sentence."
        in (course / "README.md").read_text()
    )

    files = sorted(path for path in course.rglob("*") if path.suffix in (".md", ".png"))
    before = {path: path.read_bytes() for path in files}
    (course / "pictures" / "01_2.png").write_bytes(b"of an older page")
    assert build(course, "01").returncode == 0  # byte for byte the same, and nothing left over
    assert {path: path.read_bytes() for path in course.rglob("*.*") if path in before} == before
    assert not (course / "pictures" / "01_2.png").exists()


@pytest.fixture(scope="module")
def refusals(tools, request, tmp_path_factory):
    """{case: future of the build of a chapter that ends with its cell, and the course}."""

    def work(parameters):
        course = make_course(tmp_path_factory.mktemp("refused") / "course")
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
