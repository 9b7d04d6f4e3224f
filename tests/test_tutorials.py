"""Every chapter runs, prints what its page says it prints, and its page is made from it."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import run_chapter
from processes import on_all_cores, python
from run_chapter import cells, prose

FOLDER = Path(__file__).resolve().parents[1] / "tutorials"
SCRIPTS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
CHAPTERS = [script.stem for script in SCRIPTS]
PICTURES, SOUNDS, NOTEBOOKS = (FOLDER / name for name in ("pictures", "sounds", "notebooks"))
LONGEST = 25  # seconds of one core
MOST_WORDS = 2_800  # of a page, outside code and output
WORDS_A_MINUTE = 200
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")  # noqa: RUF001


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
        runner = Path(run_chapter.__file__)
        words = ("-W", "error", runner, script_of(chapter), folder / "solutions.json")
        return python(*words, cwd=folder, limit=LONGEST), folder / "solutions.json"

    with on_all_cores(request, "test_a_chapter_prints_what_its_page_says", work) as futures:
        yield futures


with_music21 = pytest.mark.peer("music21")


@pytest.mark.parametrize(
    "chapter", [pytest.param(c, marks=[with_music21] * needs_scores(c)) for c in CHAPTERS]
)
def test_a_chapter_prints_what_its_page_says(chapter, runs):
    if chapter.endswith("gpu"):  # it counts the launches of the engine's kernels
        pytest.importorskip("tinyembed.backends.cupy.kernels")
    done, solutions = runs[chapter].result()
    assert done.returncode >= 0, f"stopped: over {LONGEST} s of processor time? {done.stderr}"
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert_same_print(done.stdout, "\n".join(blocks(chapter, "text")))
    solutions = json.loads(solutions.read_text())
    assert len(solutions) in (2, 3)
    for solution, printed in solutions:
        text = re.sub(r"```python.*?```", "", solution, flags=re.DOTALL)
        assert printed or text == solution, f"it prints nothing: {solution}"
        assert_numbers_stand_in(printed, text)


def numbers_of(text):
    return [float(n.replace(",", "").replace("−", "-")) for n in NUMBER.findall(text)]  # noqa: RUF001


def assert_same_print(found, expected):
    """The same words, and the same numbers to a relative 1e-3; white space is ignored."""
    words = [" ".join(NUMBER.sub(" # ", text).split()) for text in (found, expected)]
    assert words[0] == words[1]
    assert numbers_of(found) == pytest.approx(numbers_of(expected), rel=1e-3, abs=0)


def assert_numbers_stand_in(printed, text):
    """Each number that was printed is one of the text's, to a relative 1e-3."""
    stand = numbers_of(text)
    for number in numbers_of(printed):
        near = [n for n in stand if n == pytest.approx(number, rel=1e-3, abs=0)]
        assert near, f"{number:g} is not in the solution that begins {text[:80]!r}"


def test_a_print_that_drifted_is_noticed():
    assert_same_print("loss 1.2341,  at\nstep 1,200\n", "loss 1.2342, at step 1,200")
    for drifted in ("loss 1.25, at step 1,200", "cost 1.2341, at step 1,200", "loss 1.2341"):
        with pytest.raises(AssertionError):
            assert_same_print("loss 1.2341, at step 1,200", drifted)
    assert_numbers_stand_in("0.81 of 1200", "It is 0.81, that is 81% of 1,200.")
    with pytest.raises(AssertionError):
        assert_numbers_stand_in("0.82 of 1200", "It is 0.81, that is 81% of 1,200.")


@pytest.mark.parametrize(
    ("hidden", "visible", "complaint"),
    [
        ("assert rng is not None and x.sum() == 3", "print(x, rng.random())", ""),
        ("secret = 1", "print(secret)", "NameError: name 'secret' is not defined"),
        ("import math", "print(math.pi)", "NameError: name 'math' is not defined"),
        ("rng.random()", "print(rng.random())", "line 8: a hidden cell changes rng"),
        ("x += 1", "print(x)", "line 8: a hidden cell changes x"),
        ("assert x.sum() == 4", "print(x)", "AssertionError"),
    ],
)
def test_a_page_must_not_need_its_hidden_cells(tmp_path, hidden, visible, complaint):
    script = tmp_path / "01_first.py"
    first = "import numpy as np\n\nrng, x = np.random.default_rng(0), np.ones(3)"
    script.write_text(f'# %%\n{first}\n\n# %% tags=["hide"]\n\n{hidden}\n\n# %%\n{visible}\n')
    done = python(run_chapter.__file__, script, tmp_path / "solutions.json", cwd=tmp_path)
    assert (done.returncode != 0) == bool(complaint), done.stderr
    assert complaint in done.stderr


def blocks(chapter, kind):
    """The contents of a page's fenced blocks of one kind: list of str."""
    return fenced((FOLDER / f"{chapter}.md").read_text(), kind)


def fenced(text, kind):
    """The text between each pair of fences that begin a line."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_page_is_made_from_its_script(chapter):
    """The page has everything that the script shows, in order, and no other code."""
    page, place, code = (FOLDER / f"{chapter}.md").read_text(), 0, []
    for words, text, _ in cells(script_of(chapter).read_text()):
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
def test_a_chapter_has_all_its_parts(chapter):
    page = (FOLDER / f"{chapter}.md").read_text()
    parts = (
        f"# {int(chapter[:2])}. ", "What you'll do", "What you'll learn", "What you need",
        "## What the paper says", "## The package does the same", "## Exercises",
        "## Further reading", "## What comes next",
    )  # fmt: skip
    places = [page.find(part) for part in parts]
    assert min(places) >= 0, dict(zip(parts, places, strict=True))
    assert places == sorted(places)


def read_by_eye(chapter):
    """The words of a page outside code and output."""
    page = (FOLDER / f"{chapter}.md").read_text().partition("\n<!-- contents:")[0]
    page = re.sub(r"^ *```.*?^ *```$|<!--.*?-->", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^!\[.*", "", page, flags=re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_is_not_too_long_and_says_how_long_it_takes(chapter):
    """200 words, a formula block, or a picture take a minute. What a page says is near that."""
    text = read_by_eye(chapter)
    words = len(text.split())
    assert words <= MOST_WORDS
    said = re.findall(r"\b(\d+) minutes", text.partition("## What the paper says")[0])
    assert len(said) == 1, "the part before the paper's says 'NN minutes', once"
    pictures = len(list(PICTURES.glob(f"{chapter[:2]}_*.png")))
    minutes = words / WORDS_A_MINUTE + text.count("$$") / 2 + pictures
    assert 0.8 * minutes <= int(said[0]) <= 1.2 * minutes, f"about {minutes:.0f}"


def test_pictures_are_there_and_shown():
    named = [re.findall(r"\(pictures/(\S+?)\)", (FOLDER / f"{c}.md").read_text()) for c in CHAPTERS]
    for chapter, pictures in zip(CHAPTERS, named, strict=True):
        expected = [f"{chapter[:2]}_{k + 1}.png" for k in range(len(pictures))]
        assert pictures == expected and pictures
    assert {path.name for path in PICTURES.iterdir()} == {name for names in named for name in names}
    for path in PICTURES.iterdir():
        width = int.from_bytes(path.read_bytes()[16:20], "big")  # as the PNG format has it
        assert 300 <= width <= 1900, path.name


def test_sounds_are_there_and_linked():
    named = [re.findall(r"\(sounds/(\S+?)\)", (FOLDER / f"{c}.md").read_text()) for c in CHAPTERS]
    for chapter, sounds in zip(CHAPTERS, named, strict=True):
        assert all(name.startswith(f"{chapter[:2]}_") for name in sounds)
    assert {path.name for path in SOUNDS.iterdir()} == {name for names in named for name in names}
    assert {path.read_bytes()[:4] for path in SOUNDS.iterdir()} == {b"RIFF"}


def test_the_course_is_small_enough_to_fetch():
    sizes = {
        folder.name: sum(path.stat().st_size for path in folder.iterdir())
        for folder in (PICTURES, SOUNDS, NOTEBOOKS)
    }
    assert sizes["sounds"] <= 3e6 and sum(sizes.values()) <= 25e6, sizes


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
