"""The page with the temperature slider: its numbers, in a real browser, and its controls."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium

from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.layers.softmax import softmax

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
PAGE = TUTORIALS / "pages" / "temperature.html"
CHAPTER = TUTORIALS / "07_candidate_loss.md"
COSINES = r"(-?\d\.\d{3}(?: +-?\d\.\d{3}){4})"

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


def numbers(text):
    return [float(word) for word in text.replace("\N{MINUS SIGN}", "-").split()]


def chapter_presets():
    """{name: (five cosines, loss at temperature 1, at 0.1)}, as the chapter prints them."""
    found = re.findall(
        rf"^(\w[\w ]+?) +{COSINES} +(\d\.\d{{3}}) +(\d\.\d{{3}})$", CHAPTER.read_text(), re.M
    )
    return {name: (numbers(five), float(one), float(tenth)) for name, five, one, tenth in found}


def by_the_package(cosines, temperature):
    """The loss, the probabilities and the gradient with respect to the cosines, of one target.

    The target is an axis, and each candidate is a vector of length 1 in a plane with that axis.
    """
    cosines = np.array(cosines)
    q = np.tile(np.eye(6)[0], (5, 1))  # (5, 6): five times the same target
    r = np.sqrt(1 - cosines**2)[:, None] * np.eye(6)[1:] + cosines[:, None] * q
    layer = CandidateCosineLoss(temperature)
    loss, cache = layer.forward(r, q, np.tile(np.arange(5), (5, 1)))
    dr = layer.backward(cache)
    slope = q - cosines[:, None] * r  # of the cosine, with respect to r
    gradient = (dr * slope).sum(axis=1) / (1 - cosines**2)
    return float(loss), softmax(cosines[None] / temperature)[0], gradient


def test_it_is_one_small_file():
    text = PAGE.read_text(encoding="utf-8")
    assert PAGE.stat().st_size < 100_000
    assert "default-src 'none'" in text
    assert not re.findall(r"https?:|\bsrc=|\bhref=|@import|\burl\(|\bimport\b|fetch\(", text)


def test_the_presets_are_the_chapters():
    block = re.search(r"const PRESETS = \{(.*?)\};", PAGE.read_text(encoding="utf-8"), re.S)[1]
    presets = {name: json.loads(five) for name, five in re.findall(r'"(.+?)": (\[.+?\])', block)}
    chapter = chapter_presets()
    assert len(presets) == 4
    assert presets == {name: five for name, (five, _, _) in chapter.items()}


@in_a_browser
def test_the_numbers_are_the_packages(show):
    rng = np.random.default_rng(0)
    cases = [
        (rng.uniform(-0.99, 0.99, 5).tolist(), 10 ** rng.uniform(-1.7, 0.7)) for _ in range(50)
    ]
    cases += [([0.9, 0.1, 0.2, 0.3, -0.9], 0.02), ([-0.99, 0.99, 0.0, 0.0, 0.5], 0.02)]
    code = f"({json.dumps(cases)}).map(([cosines, t]) => temperatureSlider.compute(cosines, t))"
    for (cosines, temperature), found in zip(cases, show().run(code), strict=True):
        loss, probabilities, gradient = by_the_package(cosines, temperature)
        assert found["loss"] == pytest.approx(loss, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(found["gradient"], gradient, rtol=1e-9, atol=1e-9)


def column(page, place):
    """The numbers that a column of the table shows."""
    cells = f"[...document.querySelectorAll('#rows td:nth-of-type({place}) output')]"
    return numbers(" ".join(page.run(f"{cells}.map((cell) => cell.textContent)")))


def text_of(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


@in_a_browser
def test_it_shows_what_the_chapter_prints(show):
    page = show()
    for name, (five, *losses) in chapter_presets().items():
        for temperature, loss in zip((1, 0.1), losses, strict=True):
            page.run(f"temperatureSlider.state.temperature = {temperature}")
            named = f"(button) => button.textContent === {json.dumps(name)}"
            button = f"[...document.querySelectorAll('#presets button')].find({named})"
            page.run(f"{button}.click()")
            assert page.run(f"{button}.ariaPressed") == "true"
            assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
            assert text_of(page, "#tau") == str(temperature)
            assert column(page, 1) == five
            assert float(text_of(page, "#loss")) == loss

    printed = CHAPTER.read_text()
    for temperature, words in ((1, "1.0"), (0.1, "0.1")):
        page.run(f"temperatureSlider.state.temperature = {temperature}")
        page.click_on("#presets button:nth-of-type(2)")
        p, gradient = re.search(
            rf"half of the notes, temperature {words}\n"
            rf" +probabilities +{COSINES}\n +gradient +{COSINES}",
            printed,
        ).groups()
        assert column(page, 2) == numbers(p) and column(page, 3) == numbers(gradient)


@in_a_browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (390, False)])
def test_sliders_are_dragged_and_drawn(show, width, dark):
    page = show(width=width, height=900, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    ink, paper = page.run(
        "['color', 'background-color'].map(n => getComputedStyle(document.body)[n])"
    )
    assert (
        sum(map(int, re.findall(r"\d+", ink))) > sum(map(int, re.findall(r"\d+", paper)))
    ) == dark

    page.run("document.querySelectorAll('#rows input')[3].scrollIntoView({block: 'center'})")
    box = page.run("document.querySelectorAll('#rows input')[3].getBoundingClientRect().toJSON()")
    y, start = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
    end = box["x"] + 5 + 0.9 * (box["width"] - 10)  # a cosine of 0.8
    page.mouse("Moved", start, y)
    page.mouse("Pressed", start, y, button="left", clickCount=1)
    for part in (0.3, 0.7, 1):
        page.mouse("Moved", start + part * (end - start), y, button="left", buttons=1)
    page.mouse("Released", end, y, button="left", clickCount=1)
    page.settle()
    cosines = page.run("temperatureSlider.state.cosines")
    assert cosines[3] == pytest.approx(0.8, abs=0.02) and cosines[:3] == [0.707, 0, 0.129]
    loss, probabilities, gradient = by_the_package(cosines, 1)
    assert float(text_of(page, "#loss")) == pytest.approx(loss, abs=6e-4)
    assert column(page, 2) == pytest.approx(probabilities, abs=6e-4)
    assert column(page, 3) == pytest.approx(gradient, abs=6e-4)

    # The bars are as long as the numbers say, and begin or end in the middle.
    shares = page.run(
        "[...document.querySelectorAll('.scale span')].map((bar) => {"
        "const [own, all] = [bar, bar.parentNode].map((e) => e.getBoundingClientRect());"
        "return [(own.left - all.left) / all.width, (own.right - all.left) / all.width]; })"
    )
    for (_, right), p in zip(shares[::2], probabilities, strict=True):
        assert right == pytest.approx(p, abs=0.01)
    for (left, right), value in zip(shares[1::2], gradient, strict=True):
        other = 0.5 + value / np.abs(gradient).max() / 2
        assert [left, right] == pytest.approx(sorted([0.5, other]), abs=0.01)


@in_a_browser
def test_it_works_by_keyboard(show):
    page = show()
    focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
    page.key("Tab", "Enter")
    assert page.run("temperatureSlider.state.cosines")[0] == 1  # "perfect"
    page.key("Tab", "Tab", "Tab", "Tab")
    assert page.run(focused) == "temperature"
    page.key(*["ArrowLeft"] * 10)
    assert page.run("temperatureSlider.state.temperature") == 0.794  # a tenth of a decade
    assert page.run("document.activeElement.ariaValueText") == text_of(page, "#tau") == "0.794"
    for near, key, end in ((0.021, "ArrowLeft", 0.02), (4.9, "ArrowRight", 5)):
        page.run(f"temperatureSlider.state.temperature = {near}; temperatureSlider.draw()")
        page.key(*[key] * 5)
        assert page.run("temperatureSlider.state.temperature") == end
    page.key("Tab", "ArrowLeft", "ArrowLeft", "ArrowRight")
    assert page.run(focused) == "Positive: cosine"
    assert page.run("temperatureSlider.state.cosines")[0] == pytest.approx(0.99)
    assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 0
    loss, _, _ = by_the_package(page.run("temperatureSlider.state.cosines"), 5)
    assert float(text_of(page, "#loss")) == pytest.approx(loss, abs=6e-4)
    page.key("ArrowRight", "ArrowRight")
    assert page.run("temperatureSlider.state.cosines")[0] == 1  # and no further
