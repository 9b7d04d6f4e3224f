"""The explorer's page in a real browser: drawing, sound, mouse, keys and touch."""

import base64
import io
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium
from explorer_contents import large_page, many_units
from matplotlib.image import imread
from music import write_corpus, write_midi

from tinyembed import explore
from tinyembed.models.model import Model
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.roll import onset_roll
from tinyembed.neighbours.collection import Collection

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

EVIL = "x</script><script>alert(1)</script><!--<img src=nowhere onerror=alert(2)>"


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    """A page of 4 composers, with its corpus and its index.

    The names of one composer and one piece look like HTML; one piece rests for eight beats.
    """
    folder = tmp_path_factory.mktemp("explorer")
    music, weights, out = folder / "music", folder / "weights.npz", folder / "explorer.html"
    write_corpus(music, pieces=3, beats=20)
    (music / "Bolero" / "piece_01.mid").rename(music / "Bolero" / "Dvořák's 2nd.mid")
    rest = [(480 * b, 480, 60 + b % 5) for b in range(24) if not 8 <= b < 16]
    write_midi(music / "Canzona" / "rest.mid", rest)
    evil = music / "<b>Bold" / f"{EVIL}.mid"
    evil.parent.mkdir(parents=True)
    evil.parent.joinpath(*EVIL.split("/")[:-1]).mkdir(parents=True)
    shutil.copy(music / "Adagio" / "piece_00.mid", evil)
    save_weights(weights, Model("context", "small", ["A"], np.random.default_rng(0)))
    words = ["--data", music, "--model", weights, "--out", out, "--map", "pca"]
    assert explore.main([str(word) for word in words]) == 0
    collection, _ = Collection.open(str(music), load_weights(weights)[0], progress=False)
    labels = collection.index.labels
    return SimpleNamespace(path=out, music=music, index=collection.index, labels=labels)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """One page for all tests, which costs less than a new one for each."""
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser.page()


@pytest.fixture
def show(tab, explorer):
    """Open the page afresh. An error in the browser, or any request to a network, fails."""

    def open_page(path=explorer.path, **options):
        tab.open(path, **options)
        return tab

    with tab.without_trouble():
        yield open_page


def point_of(page, unit):
    """The position of a unit on the screen."""
    return page.run(
        f"(() => {{ const box = document.getElementById('marks').getBoundingClientRect();"
        f"const [x, y] = explorer.camera.pointOf({unit}); return [box.x + x, box.y + y]; }})()"
    )


def position_of(page, unit):
    """The position of a unit on the map; y increases upwards."""
    return page.run(f"[explorer.data.x[{unit}], explorer.data.y[{unit}]]")


def clickable(page, start=0):
    """The first unit, from `start`, that no other unit covers."""
    code = f"unit => explorer.unitAt(...explorer.camera.pointOf(unit)) === unit && unit >= {start}"
    return page.run(f"Array.from(explorer.data.x.keys()).find({code})")


def text_of(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def state(page, name):
    return page.run(f"explorer.state.{name}")


def notes_played(page):
    """(unit, [(tick, pitch)], [seconds from the first tick]) of everything played so far."""
    played = page.run("explorer.player.played")
    return [
        (
            one["unit"],
            [(note["tick"], note["pitch"]) for note in one["notes"]],
            [note["at"] for note in one["notes"]],
        )
        for one in played
    ]


def notes_of(explorer, unit):
    """The (tick, pitch) of a unit, from its file."""
    labels = explorer.labels
    path = explorer.music / labels.pieces[labels.piece[unit]]
    rows, ticks = np.nonzero(onset_roll(path, int(labels.beat[unit])))
    return sorted((int(tick), int(row) + 36) for row, tick in zip(rows, ticks, strict=True))


def neighbours_of(explorer, unit):
    """The neighbours that `Index` finds in other pieces."""
    own = int(explorer.labels.piece[unit])
    return explorer.index.search(explorer.index.embeddings[unit], 10, not_piece=own)


def pixels(page, selector):
    """A canvas as (height, width, 4) uint8."""
    url = page.run(f"document.querySelector({json.dumps(selector)}).toDataURL()")
    png = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.round(imread(png, format="png") * 255).astype(np.uint8)


def colour(page, name):
    code = f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()"
    text = page.run(code)
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("dark", [False, True])
def test_every_point_is_drawn_in_its_colour(show, explorer, dark):
    page = show(dark=dark)
    picture = pixels(page, "#points")[..., :3].astype(int)
    paper = colour(page, "paper")
    assert (sum(paper) < 200) == dark
    drawn = (picture != paper).any(axis=2)
    assert not drawn[:20].any() and not drawn[:, :20].any()  # the margin
    hues = [colour(page, f"hue-{i}") for i in range(4)]
    units = page.run("Array.from(explorer.data.x.keys()).filter(explorer.isPlaced)")
    assert len(units) == int(explorer.labels.sounds.sum()) > 150
    seen = set()
    for unit in units:
        x, y = page.run(f"explorer.camera.pointOf({unit})") if unit % 7 == 0 else (None, None)
        if x is not None:
            dot = picture[round(y), round(x)]
            apart = [np.abs(dot - hue).max() for hue in hues]
            assert min(apart) < 40, (unit, dot)  # nearly opaque; another unit may cover it
            seen.add(int(np.argmin(apart)))
    assert seen == {0, 1, 2, 3}
    assert drawn.mean() < 0.5

    page.scheme(not dark)  # the page follows at once
    page.settle()
    assert (colour(page, "paper") == pixels(page, "#points")[5, 5, :3]).all()


def test_a_click_lists_the_neighbours_that_index_finds(show, explorer):
    page = show()
    for start in (0, 60):
        unit = clickable(page, start)
        page.click(*point_of(page, unit))
        assert state(page, "chosen") == unit
        found = neighbours_of(explorer, unit)
        rows = page.run(
            "[...document.querySelectorAll('.neighbour')].map(button => [button.dataset.unit,"
            "button.querySelector('.cosine').textContent, button.querySelector('.title')"
            ".textContent, button.querySelector('.by').textContent])"
        )
        assert [int(row[0]) for row in rows] == found.rows.tolist()
        assert [float(row[1]) for row in rows] == [round(c, 3) for c in found.cosines]
        labels = [explorer.labels.row(row) for row in found.rows]
        assert [f"{row[2]}.mid" for row in rows] == [
            label["piece"].removeprefix(f"{label['composer']}/") for label in labels
        ]
        assert [row[3] for row in rows] == [f"{n['composer']} · beat {n['beat']}" for n in labels]
        assert len({label["piece"] for label in labels} & {explorer.labels.row(unit)["piece"]}) == 0


def test_the_notes_of_the_unit_are_played(show, explorer):
    page = show()
    unit = clickable(page, 40)
    page.click(*point_of(page, unit))
    (heard, notes, at), *rest = notes_played(page)
    assert heard == unit and not rest
    assert notes == notes_of(explorer, unit)
    seconds = np.array(at) - at[0]
    ticks = np.array([tick for tick, _ in notes])
    np.testing.assert_allclose(seconds, (ticks - ticks[0]) / 24 * 0.5, atol=1e-9)
    assert page.run("explorer.player.context.state") in ("running", "suspended")
    assert text_of(page, "#play") == "Stop"

    # A neighbour can be played too; the unit stays chosen.
    third = int(neighbours_of(explorer, unit).rows[2])
    page.click_on("#neighbours li:nth-child(3) .neighbour")
    heard, notes, _ = notes_played(page)[1]
    assert heard == third and notes == notes_of(explorer, third)
    assert state(page, "chosen") == unit and text_of(page, "#play") == "Play"

    # The button plays it, slower, and stops it when pressed again.
    page.run("document.getElementById('tempo').value = 60")
    page.click_on("#play")
    heard, notes, at = notes_played(page)[2]
    assert heard == unit
    np.testing.assert_allclose(np.diff(at), np.diff(ticks) / 24, atol=1e-9)
    page.click_on("#play")
    assert len(notes_played(page)) == 3 and page.run("explorer.player.now") is None

    # The arrow beside a neighbour chooses it.
    page.click_on("#neighbours li:nth-child(3) .go")
    assert state(page, "chosen") == third
    listed = page.run("[...document.querySelectorAll('.neighbour')].map(b => +b.dataset.unit)")
    assert listed == neighbours_of(explorer, third).rows.tolist()


def test_the_sound_ends(show, explorer):
    page = show()
    page.run("document.getElementById('tempo').max = 100000")
    page.run("document.getElementById('tempo').value = 100000")
    page.click(*point_of(page, clickable(page)))
    assert len(notes_played(page)) == 1
    page.wait("explorer.player.now === null")
    assert text_of(page, "#play") == "Play"


def test_rolls_show_the_notes(show, explorer):
    """Each note of the chosen unit is drawn in its place, and nothing anywhere else."""
    page = show(width=1300)
    unit = clickable(page, 100)
    page.move(*point_of(page, unit))
    assert page.run("document.getElementById('tip').hidden") is False
    words = text_of(page, "#tip p")
    label = explorer.labels.row(unit)
    assert label["composer"] in words and f"beats {label['beat']}" in words
    page.click(*point_of(page, unit))
    page.key("Escape")  # no playhead
    hue = colour(page, f"hue-{page.run(f'composerOf({unit})')}")
    for selector in ("#tip .roll", "#chosen .roll"):
        picture = pixels(page, selector)[..., :3].astype(int)
        height, width, _ = picture.shape
        is_hue = np.abs(picture - hue).max(axis=2) < 30
        expected = np.zeros((height, width), bool)
        for tick, pitch in notes_of(explorer, unit):
            x, y = tick / 96 * width, height - (pitch - 36 + 0.5) / 60 * height
            assert is_hue[int(y), int(x) + 1], (selector, tick, pitch)
            left, right = max(int(x) - 1, 0), int(x + 4 / 96 * width) + 2
            expected[int(y) - 4 : int(y) + 5, left:right] = True
        assert not (is_hue & ~expected).any()


def test_keys_alone_are_enough(show, explorer):
    page = show()
    focused = "document.activeElement.id || document.activeElement.dataset.composer"
    visited = []
    for _ in range(8):
        page.key("Tab")
        visited.append(page.run(focused))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.run(outline) != "none", visited  # the focus is visible
    assert visited[:6] == ["query", "0", "1", "2", "3", "marks"]  # "Show all" is disabled

    page.run("document.getElementById('marks').focus()")
    page.key("ArrowRight")  # the first key selects the unit in the middle
    first = state(page, "pointed")
    assert first >= 0 and page.run("document.getElementById('tip').hidden") is False
    arrows = {"ArrowRight": (0, 1), "ArrowUp": (1, 1), "ArrowLeft": (0, -1), "ArrowDown": (1, -1)}
    for key, (axis, sign) in arrows.items():
        before = position_of(page, state(page, "pointed"))
        page.key(key)
        unit = state(page, "pointed")
        moved = np.subtract(position_of(page, unit), before)
        assert sign * moved[axis] > 0 and abs(moved[axis]) >= abs(moved[1 - axis])
        label = explorer.labels.row(unit)
        assert f"beats {label['beat']}" in text_of(page, "#news")  # for screen readers
    page.key("Enter")
    assert state(page, "chosen") == unit
    assert notes_played(page)[-1][1] == notes_of(explorer, unit)

    # Through the list: a neighbour is played, and then chosen.
    page.run("document.querySelector('.neighbour').focus()")
    page.key("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter")
    third = int(neighbours_of(explorer, unit).rows[2])
    assert notes_played(page)[-1][0] == third and state(page, "pointed") == third
    page.key("Tab", "Enter")
    assert state(page, "chosen") == third and page.run(focused) == "play"

    # Escape undoes one step at a time.
    assert page.run("explorer.player.now") is not None
    page.key("Escape")
    assert page.run("explorer.player.now") is None and state(page, "chosen") == third
    page.key("Escape")
    assert state(page, "chosen") == -1
    assert page.run("document.getElementById('welcome').hidden") is False

    page.key("+")
    assert page.run("explorer.camera.magnification") == pytest.approx(1.5)
    page.key("0")
    assert page.run("explorer.camera.magnification") == 1
    page.key("/")
    assert page.run(focused) == "query"
    page.key("+", "0")  # these are text now
    assert page.run("document.getElementById('query').value") == "+0"
    assert page.run("explorer.camera.magnification") == 1


def test_pieces_are_found_by_name(show, explorer):
    page = show()
    page.key("/")
    page.type("2ND dvorak bolero")  # words in any order, ignoring case and accents
    assert text_of(page, "#found") == "BoleroDvořák's 2nd17 units"
    assert page.run("document.getElementById('query').getAttribute('aria-expanded')") == "true"
    page.key("Enter")
    piece = explorer.labels.pieces.index("Bolero/Dvořák's 2nd.mid")
    assert state(page, "piece") == piece
    assert state(page, "chosen") == int(np.flatnonzero(explorer.labels.piece == piece)[0])
    assert text_of(page, "#chosen h2") == "Dvořák's 2nd"
    assert text_of(page, "#piece span") == "Bolero: Dvořák's 2nd"
    assert notes_played(page) == []  # a search plays nothing

    # All other points are faint.
    paper = np.array(colour(page, "paper"))
    other, own = (int(np.flatnonzero(explorer.labels.piece == p)[5]) for p in (0, piece))
    picture = pixels(page, "#points")[..., :3].astype(int)
    strength = []
    for unit in (own, other):
        x, y = page.run(f"explorer.camera.pointOf({unit})")
        strength.append(np.abs(picture[round(y), round(x)] - paper).max())
    assert strength[0] > 3 * strength[1] > 0
    page.key("Escape")
    assert state(page, "piece") == -1

    page.key("/")
    page.type("piece")
    options = "[...document.querySelectorAll('#found [role=option]')].map(o => o.textContent)"
    assert len(page.run(options)) == 8
    page.key("ArrowDown", "ArrowDown", "ArrowUp")
    assert page.run("document.getElementById('query').getAttribute('aria-activedescendant')") == (
        "found-1"
    )
    assert page.run("document.querySelector('#found [aria-selected=true]').id") == "found-1"
    page.click_on("#found li:nth-child(3)")
    assert state(page, "piece") == explorer.labels.pieces.index("Adagio/piece_02.mid")
    page.key("/")
    page.type("nobody wrote this")
    assert text_of(page, "#found") == "No piece of that name"
    page.key("Enter", "Escape")
    assert page.run("document.getElementById('found').hidden") is True


def test_names_are_text(show, explorer):
    """Names that look like HTML are shown as text everywhere."""
    page = show()
    piece = next(i for i, name in enumerate(explorer.labels.pieces) if "alert" in name)
    unit = int(np.flatnonzero(explorer.labels.piece == piece)[0])
    assert "<b>Bold" in text_of(page, "#composers")
    page.key("/")
    page.type("alert")
    assert EVIL in text_of(page, "#found") and "<b>Bold" in text_of(page, "#found")
    page.key("Enter")
    assert state(page, "chosen") == unit
    assert (text_of(page, "#chosen h2"), text_of(page, "#chosen .composer")) == (EVIL, "<b>Bold")
    assert text_of(page, "#piece span") == f"<b>Bold: {EVIL}"
    page.key("Escape")
    # It has the notes of Adagio/piece_00, so it covers that unit and is nearest to it.
    page.move(*point_of(page, unit))
    assert EVIL in text_of(page, "#tip") and "<b>Bold" in text_of(page, "#tip")
    piece = explorer.labels.pieces.index("Adagio/piece_00.mid")
    twin = int(np.flatnonzero(explorer.labels.piece == piece)[0])
    page.run(f"choose({twin}, {{ aloud: false }})")
    assert text_of(page, "#neighbours .title") == EVIL
    assert EVIL in page.run("document.querySelector('.neighbour').getAttribute('aria-label')")
    assert page.run("document.scripts.length") == 3  # names, numbers and the program
    assert page.run("document.images.length") == 0
    assert page.run("document.querySelectorAll('#panel b, #found img, #legend b').length") == 0


def test_the_legend_filters(show, explorer):
    page = show()
    unit = clickable(page)
    composer = page.run(f"composerOf({unit})")
    other = (composer + 1) % 4
    pressed = "[...document.querySelectorAll('#composers [aria-pressed=true]')].length"
    page.click_on(f"#composers [data-composer='{other}']")
    assert page.run(pressed) == 1
    assert "shown" in text_of(page, "#news")
    assert page.run(f"explorer.unitAt(...explorer.camera.pointOf({unit}))") != unit
    found = page.run(
        "Array.from(explorer.data.x.keys()).map(u => explorer.unitAt("
        "...explorer.camera.pointOf(u))).filter(u => u >= 0).map(composerOf)"
    )
    assert set(found) == {other}
    page.move(5, 5)
    x, y = page.run(f"explorer.camera.pointOf({unit})")
    near = pixels(page, "#points")[round(y), round(x), :3].astype(int)
    hue = colour(page, f"hue-{composer}")
    assert np.abs(near - hue).max() > 40  # it is gone
    page.click_on(f"#composers [data-composer='{composer}']")
    assert page.run(pressed) == 2
    assert page.run(f"explorer.unitAt(...explorer.camera.pointOf({unit}))") == unit
    page.click_on("#everyone")
    assert page.run(pressed) == 0


def test_units_without_an_onset(show, explorer):
    """They keep their rows, so Later reaches them within the piece, without neighbours."""
    page = show()
    silent = np.flatnonzero(~explorer.labels.sounds)
    assert len(silent) == 5
    assert f"{len(silent)} units without an onset are not on the map" in text_of(page, "#summary")
    before = int(silent[0]) - 1
    page.run(f"choose({before}, {{ aloud: false }})")
    page.click_on("#later")
    assert state(page, "chosen") == silent[0]
    assert text_of(page, "#chosen h2") == "rest"
    assert "No note begins" in text_of(page, "#none")
    assert page.run("document.querySelectorAll('.neighbour').length") == 0
    assert notes_played(page)[-1][:2] == (silent[0], [])
    listed = set(page.run("Array.from(explorer.data.neighbours)"))
    assert not listed & set(silent.tolist())
    first = int(np.flatnonzero(explorer.labels.piece == explorer.labels.piece[before])[0])
    page.run(f"choose({first}, {{ aloud: false }})")
    assert page.run("document.getElementById('earlier').disabled") is True


def test_pieces_as_points(show, explorer):
    page = show()
    n_pieces = len(explorer.labels.pieces)
    assert page.run("placedUnits.length") > n_pieces and state(page, "chosen") == -1
    page.click_on('#views [value="pieces"]')
    assert page.run("placedUnits.length") == n_pieces
    piece = explorer.labels.pieces.index("Canzona/rest.mid")
    unit = page.run(f"explorer.data.pieceUnit[{piece}]")
    assert explorer.labels.piece[unit] == piece
    page.click(*point_of(page, unit))
    chosen = state(page, "chosen")
    where = int(explorer.labels.piece[chosen])  # another point may cover it
    assert text_of(page, "#chosen h3") == "Nearest pieces"
    found = page.run(f"[...explorer.data.pieceNeighbours.slice({10 * where}, {10 * where + 10})]")
    found = [n for n in found if n < n_pieces]
    rows = page.run("[...document.querySelectorAll('.neighbour')].map(b => b.dataset.unit)")
    assert [int(explorer.labels.piece[int(row)]) for row in rows] == found
    assert "beat" not in text_of(page, ".neighbour .by")
    typical = page.run("explorer.data.pieceUnit[0]")
    other = next(n for n in np.flatnonzero(explorer.labels.piece == 0).tolist() if n != typical)
    page.run(f"choose({other}, {{ aloud: false }})")  # the point of its piece stands for it
    assert page.run(f"explorer.shownAs({other})") == typical
    assert page.run(f"explorer.isPlaced({typical}) && !explorer.isPlaced({other})")
    assert page.run("document.querySelectorAll('.neighbour').length") == min(10, n_pieces - 1)
    page.key("p")
    assert page.run("placedUnits.length") > n_pieces
    assert text_of(page, "#chosen h3") == "Nearest in other pieces"
    assert page.run("document.querySelector('#views [value=\"units\"]').ariaPressed") == "true"


def test_dragging_and_zooming(show, explorer):
    page = show()
    box = page.run("document.getElementById('marks').getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.3
    offset = (x - box["x"], y - box["y"])
    under = page.run(f"explorer.camera.placeAt({offset[0]}, {offset[1]})")
    page.mouse("Wheel", x, y, deltaX=0, deltaY=-300)
    page.settle()
    assert page.run("explorer.camera.magnification") > 1.5
    np.testing.assert_allclose(
        page.run(f"explorer.camera.placeAt({offset[0]}, {offset[1]})"),
        under,
        atol=1 / page.run("explorer.camera.scale"),  # one pixel
    )
    unit = clickable(page)
    at = point_of(page, unit)
    page.mouse("Moved", x, y)
    page.mouse("Pressed", x, y, button="left", clickCount=1)
    for step in range(1, 6):
        page.mouse("Moved", x + 12 * step, y + 4 * step, button="left", buttons=1)
    page.mouse("Released", x + 60, y + 20, button="left", clickCount=1)
    page.settle()
    np.testing.assert_allclose(point_of(page, unit), [at[0] + 60, at[1] + 20], atol=6)
    assert state(page, "chosen") == -1 and notes_played(page) == []  # it was not a click
    page.click_on("#zoom [value=all]")
    assert page.run("explorer.camera.magnification") == 1
    page.click_on("#zoom [value=in]")
    page.click_on("#zoom [value=in]")
    page.click_on("#zoom [value=out]")
    assert page.run("explorer.camera.magnification") == pytest.approx(1.5)


def test_on_a_phone(show, explorer):
    page = show(width=390, height=800, touch=True)
    assert page.run("document.documentElement.scrollWidth") == 390
    unit = clickable(page)
    x, y = point_of(page, unit)
    page.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.settle()
    chosen = state(page, "chosen")
    assert chosen >= 0 and notes_played(page)[0][1] == notes_of(explorer, chosen)
    assert page.run("document.documentElement.scrollWidth") == 390
    # Two fingers.
    page.run("document.getElementById('stage').scrollIntoView()")
    box = page.run("document.getElementById('marks').getBoundingClientRect().toJSON()")
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80)):
        points = [{"x": middle[0] + s * apart, "y": middle[1], "id": i}
                  for i, s in enumerate((-1, 1))]  # fmt: skip
        page.ask("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    page.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.settle()
    assert page.run("explorer.camera.magnification") == pytest.approx(2, rel=0.2)
    assert state(page, "chosen") == chosen


def test_twenty_thousand_units(show, tmp_path):
    """All are drawn, each can be clicked, and 27 composers all look different."""
    path = tmp_path / "large.html"
    path.write_text(large_page(), encoding="utf-8")
    page = show(path)
    assert "20,000 of 238,800 units, drawn at random" in text_of(page, "#summary")
    looks = "data.composers.map((_, i) => `${hueOf(i)} ${shapeOf(i)}`)"
    assert len(set(page.run(looks))) == 27
    # The grid finds the same unit as a loop over all units.
    agree = """[...Array(300).keys()].every((i) => {
        const [px, py] = [(i * 37) % camera.width, (i * 101) % camera.height];
        const [x, y] = camera.placeAt(px, py);
        const off = (u) => (data.x[u] - x) ** 2 + (data.y[u] - y) ** 2;
        let best = -1;
        for (let u = 0; u < data.nUnits; u++) if (best < 0 || off(u) < off(best)) best = u;
        const unit = unitAt(px, py);
        return unit < 0 ? Math.sqrt(off(best)) * camera.scale >= 14 : off(unit) === off(best);
    })"""
    assert page.run(agree)
    unit = clickable(page)
    page.click(*point_of(page, unit))
    assert state(page, "chosen") == unit
    listed = page.run("[...document.querySelectorAll('.neighbour')].map(b => +b.dataset.unit)")
    assert listed == many_units().neighbours[unit].tolist()
    assert len(notes_played(page)[0][1]) == len(page.run(f"explorer.notesOf({unit})")) > 30
