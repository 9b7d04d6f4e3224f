"""The page with the kernel painter: its music, its sums, in a real browser, and its controls."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium
from matplotlib.image import imread

from tinyembed.layers.im2col import im2col
from tinyembed.music.corpus import Corpus

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
PAGE = TUTORIALS / "pages" / "convolution.html"
COLUMNS = {"a sixteenth note": (6, 128), "a tick, as in the paper": (1, 96)}  # ticks, count
STRIDES = {"12 x 6, as in the paper": (12, 6), "1 x 1": (1, 1)}
PRESETS = ("a chord", "a fifth upwards", "a scale upwards", "an octave", "empty")
MINUS = "\N{MINUS SIGN}"

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser.page()


@pytest.fixture
def show(tab):
    """Open the page afresh. An error in the browser, or any request to a network, fails."""

    def open_page(**options):
        tab.open(PAGE, **options)
        return tab

    with tab.without_trouble():
        yield open_page


@pytest.fixture(scope="module")
def tune(tmp_path_factory):
    """The roll of the chapters' tune and its last rest, as the package reads it: (60, 768)."""
    path = tmp_path_factory.mktemp("music") / "composer" / "tune.mid"
    path.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TUTORIALS)
        import lesson

        lesson.tune().save(path)
        for name in ("lesson", "sound"):
            del sys.modules[name]
    corpus = Corpus.from_folder(path.parents[1])
    units = corpus.rolls(corpus.unit_beats())
    assert len(units) == 28  # of 31 beats, up to the end of the last note
    return np.concatenate([*units[::4], units[27, :, 24:], np.zeros((60, 24))], axis=1)


def shown(tune, column):
    """The part of the tune that the page shows: (60, 128) or (60, 96)."""
    ticks, count = COLUMNS[column]
    return tune[:, : ticks * count].reshape(60, count, ticks).max(axis=2)


def feature_map(roll, kernel, stride):
    """By the package's im2col, and one matrix product."""
    patches = im2col(roll[None, :, :, None].astype(float), (12, 6), stride, (0, 0))
    return (patches @ np.asarray(kernel, float).reshape(72))[0]


def press(page, group, name):
    named = f"(button) => button.textContent === {json.dumps(name)}"
    button = f"[...document.querySelectorAll('#{group} button')].find({named})"
    page.run(f"{button}.click()")
    assert page.run(f"{button}.ariaPressed") == "true"
    assert page.run(f"document.querySelectorAll('#{group} [aria-pressed=true]').length") == 1


def text_of(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def test_it_is_one_small_file():
    text = PAGE.read_text(encoding="utf-8")
    assert PAGE.stat().st_size < 100_000
    assert "default-src 'none'" in text
    assert not re.findall(r"https?:|\bsrc=|\bhref=|@import|\burl\(|\bimport\b|fetch\(", text)


def test_its_roll_is_the_tune(tune):
    block = re.search(r"const ONSETS = \[(.*?)\n\];", PAGE.read_text(encoding="utf-8"), re.S)[1]
    onsets = [tuple(map(int, pair)) for pair in re.findall(r"\[(\d+), ?(\d+)\]", block)]
    assert tune.shape == (60, 768)
    assert sorted(onsets) == sorted(zip(*map(list, np.nonzero(tune)), strict=True))


@in_a_browser
@pytest.mark.parametrize("column", COLUMNS)
def test_its_map_is_a_convolution(show, tune, column):
    page, roll = show(), shown(tune, column)
    press(page, "columns", column)
    name = json.dumps(column)
    assert page.run(f"kernelPainter.rollOf(kernelPainter.COLUMNS[{name}])") == roll.tolist()
    rng = np.random.default_rng(0)
    for words, stride in STRIDES.items():
        press(page, "strides", words)
        for _ in range(3):
            kernel = rng.integers(-1, 2, (12, 6))
            page.run(f"kernelPainter.state.kernel = {kernel.tolist()}; kernelPainter.draw()")
            found = np.array(page.run("kernelPainter.currentMap()"))
            expected = feature_map(roll, kernel, stride)
            np.testing.assert_array_equal(found, expected)
            n = (expected == expected.max()).sum()
            size = " x ".join(map(str, expected.shape))
            places = "1 place" if n == 1 else f"{n} places"
            assert (
                text_of(page, "#range") == f"{size}, largest value {expected.max():g} in {places}"
            )


@in_a_browser
def test_the_presets_find_what_the_chapter_says(show):
    page = show()
    best = {}
    for stride in STRIDES:
        press(page, "strides", stride)
        for preset in PRESETS:
            press(page, "presets", preset)
            best[preset, stride] = re.search(r"value (\d) in (\d+) place", text_of(page, "#range"))
    found = {key: tuple(map(int, match.groups())) for key, match in best.items()}
    paper, every = STRIDES
    assert found["a chord", paper] == (2, 4)
    assert found["a fifth upwards", every] == (2, 4)
    assert found["a scale upwards", every] == (3, 2)
    assert found["a scale upwards", paper][0] == 1

    press(page, "presets", "a scale upwards")
    lines = text_of(page, "#sum").splitlines()
    assert lines[0] == (
        "The patch from G4 upwards and from beat 7 on holds "
        "G4 on beat 7, A4 on beat 7.25, B4 on beat 7.5, A4 on beat 8."
    )
    assert lines[1] == "1 · 1 + 1 · 1 + 1 · 1 + 1 · 0 = 3"
    assert page.run("kernelPainter.state.chosen") == [31, 24]  # G4, and beat 7
    assert page.run("document.querySelectorAll('#kernel .met').length") == 4


def middle(page, p, l):
    """The middle of a cell of the kernel, in pixels of the window."""
    row = f"document.querySelectorAll('#kernel [role=row]')[{11 - p}]"
    page.run(f"{row}.scrollIntoView({{block: 'center'}})")
    cell = f"{row}.querySelectorAll('[role=gridcell]')[{l}]"
    box = page.run(f"{cell}.getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@in_a_browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (390, False)])
def test_a_kernel_is_painted_and_a_value_is_clicked(show, tune, width, dark):
    page = show(width=width, height=900, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    ink, paper = page.run(
        "['color', 'background-color'].map(n => getComputedStyle(document.body)[n])"
    )
    assert (
        sum(map(int, re.findall(r"\d+", ink))) > sum(map(int, re.findall(r"\d+", paper)))
    ) == dark

    press(page, "presets", "empty")
    kernel = np.zeros((12, 6), int)
    x, y = middle(page, 9, 0)
    end, _ = middle(page, 9, 2)
    page.mouse("Moved", x, y)
    page.mouse("Pressed", x, y, button="left", clickCount=1)
    for part in np.linspace(0, 1, 9):
        page.mouse("Moved", x + part * (end - x), y, button="left", buttons=1)
    page.mouse("Released", end, y, button="left", clickCount=1)
    page.mouse("Moved", *middle(page, 9, 4))  # no longer pressed
    kernel[9, :3] = 1
    assert page.run("kernelPainter.state.kernel") == kernel.tolist()
    press(page, "brushes", f"{MINUS}1")
    page.click(*middle(page, 7, 1))
    page.click(*middle(page, 9, 2))
    kernel[7, 1] = kernel[9, 2] = -1
    assert page.run("kernelPainter.state.kernel") == kernel.tolist()
    page.click(*middle(page, 7, 1))  # once more erases
    kernel[7, 1] = 0
    assert page.run("kernelPainter.state.kernel") == kernel.tolist()

    # Click a negative value of the map: the outlined patch and its sum.
    roll = shown(tune, "a sixteenth note")
    expected = feature_map(roll, kernel, (12, 6))
    u, v = np.argwhere(expected == -1)[0]
    page.run("document.querySelector('#map').scrollIntoView({block: 'center'})")
    box = page.run("document.querySelector('#map').getBoundingClientRect().toJSON()")
    left, right, top, bottom = 30, 4, 4, 20
    across, up = box["width"] - left - right, box["height"] - top - bottom
    page.click(
        box["x"] + left + (6 * v + 3) / 128 * across,
        box["y"] + top + (1 - (12 * u + 6) / 60) * up,
    )
    assert page.run("kernelPainter.state.chosen") == [u, v]
    assert text_of(page, "#sum").endswith(f"= {MINUS}1")
    patch = roll[12 * u : 12 * u + 12, 6 * v : 6 * v + 6]
    assert page.run("document.querySelectorAll('#kernel .met').length") == patch.sum()

    # The map has a color where its value is not 0, and none where it is.
    coded = page.run("document.querySelector('#map').toDataURL()").partition(",")[2]
    pixels = imread(io.BytesIO(base64.b64decode(coded)))  # (height, width, 4), 0 to 1
    ratio = pixels.shape[1] / box["width"]
    for u, v in [np.argwhere(expected == value)[0] for value in (-1, 0, 1)]:
        x = left + (6 * v + 0.8) / 128 * across
        y = top + (1 - (12 * u + 10) / 60) * up
        red, _, blue, alpha = pixels[round(y * ratio), round(x * ratio)]
        assert (alpha > 0) == (expected[u, v] != 0)
        assert np.sign(blue - red) == expected[u, v]  # orange, nothing, blue


@in_a_browser
def test_it_works_by_keyboard(show, tune):
    page = show()
    page.key("Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
    assert page.run("kernelPainter.state.kernel.flat().every((w) => w === 0)")  # "empty"
    page.key("Tab", "Tab", "Enter")
    assert page.run("kernelPainter.state.stride") == "1 x 1"
    page.key("Tab", "Tab", "Tab")
    assert page.run("document.activeElement.role") == "gridcell"
    page.key(" ", "ArrowRight", "ArrowUp", "ArrowUp", "Enter", "ArrowRight", "-")
    kernel = np.zeros((12, 6), int)
    kernel[0, 0] = kernel[2, 1] = 1
    kernel[2, 2] = -1
    assert page.run("kernelPainter.state.kernel") == kernel.tolist()
    assert page.run("document.activeElement.ariaLabel") == f"row 2, column 2: {MINUS}1"
    page.key("1", "0", *["ArrowDown"] * 4, *["ArrowLeft"] * 9)
    kernel[2, 2] = 0
    assert page.run("kernelPainter.state.kernel") == kernel.tolist()
    assert page.run("document.activeElement.ariaLabel") == "row 0, column 0: 1"
    page.key(" ", " ")  # erased and painted again
    page.key("Tab", "Tab", "Tab")
    assert page.run("document.activeElement.id") == "map"
    start = page.run("kernelPainter.state.chosen")
    page.key("ArrowUp", "ArrowRight", "ArrowRight")
    assert page.run("kernelPainter.state.chosen") == [start[0] + 1, start[1] + 2]
    page.run("kernelPainter.state.chosen = [48, 122]")
    page.key("ArrowUp", "ArrowRight")
    assert page.run("kernelPainter.state.chosen") == [48, 122]
    expected = feature_map(shown(tune, "a sixteenth note"), kernel, (1, 1))
    assert page.run("kernelPainter.currentMap()") == expected.tolist()
    assert text_of(page, "#sum").endswith("the sum is 0.")
