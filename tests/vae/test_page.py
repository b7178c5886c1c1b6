"""The map's page: complete in itself, small enough, safe whatever it is called, and alive in a real browser."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gencli.core.errors import UsageError
from gencli.vae import page as module
from gencli.vae.page import CLASSES, COLOURS, LIMIT, POINTS, SHAPES, Plane, page, sheet
from tests.vae import browser

Array = np.ndarray[Any, Any]
ROWS, COLUMNS, HEIGHT, WIDTH = 5, 8, 12, 20  # all different, so that none is taken for another
NASTY = "</script><script>alert(1)</script>"


def discs(rows: int, columns: int, height: int, width: int, channels: int) -> Array:
    """Pictures of a disc that goes right with the column and down with the row, and changes its colour on the way."""
    down, right, y, x = np.ogrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j, 0 : 1 : height * 1j, 0 : 1 : width * 1j]
    inside = np.clip((0.25 - np.hypot(x - 0.3 - 0.4 * right, y - 0.3 - 0.4 * down)) * 12 + 0.5, 0, 1)[..., None]
    colour = np.stack(np.broadcast_arrays(0.5 + 0.5 * right, 1 - 0.8 * down, 0.2 + 0.6 * right * down), -1)
    return np.asarray((0.1 + 0.8 * inside * colour[..., :channels]) * 255).round().astype(np.uint8)


def quantiles(count: int) -> Array:
    return np.array([NormalDist().inv_cdf((k + 0.5) / count) for k in range(count)])


def plane(channels: int = 3, **changed: Any) -> Plane:
    columns, rows = quantiles(COLUMNS), np.array([2, 1.6, 0.3, -0.2, -1])
    options = {"pictures": discs(ROWS, COLUMNS, HEIGHT, WIDTH, channels), "columns": columns, "rows": rows, **changed}
    return Plane(**options)


def with_points(**changed: Any) -> Plane:
    """Three points: in the middles of two cells, in the gap between two others."""
    one = plane()
    points = [(one.columns[1], one.rows[1]), (one.columns[6], one.rows[3]), (one.columns[3:5].mean(), one.rows[2])]
    given = {"points": np.array(points), "labels": np.array([0, 1, 1]), "classes": ("plain", NASTY), **changed}
    return plane(**given)


class Reader(HTMLParser):
    """The texts of a page by the tag or the id around them, and all attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts, self.tags, self.attributes, self.around = dict[str, str](), list[str](), list[tuple[str, str]](), ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.around = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts[self.around] = self.texts.get(self.around, "") + data

    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.texts["data"]))


TAGS = Reader(page(plane(), "title")).tags  # which nothing that is shown can change


def cut(found: module.Sheet, rows: int, columns: int) -> Array:
    """The pictures in a sheet, (R, C, H, W, 3)."""
    pixels = np.asarray(Image.open(io.BytesIO(found.file)).convert("RGB"))
    cells = pixels.reshape(rows, found.cell[1], columns, found.cell[0], 3).swapaxes(1, 2)
    (left, top), (width, height) = found.offset, found.size
    return np.asarray(cells[:, :, top : top + height, left : left + width])


@pytest.mark.parametrize(("count", "size", "channels"), [(40, 64, 3), (60, 28, 1)])
def test_the_usual_planes_fit_into_a_page(count: int, size: int, channels: int) -> None:
    stops = np.linspace(-3, 3, count)
    noise = np.random.default_rng(0).integers(0, 50, (count, count, size, size, channels), np.uint8)
    text = page(Plane(discs(count, count, size, size, channels) // 2 + noise, stops, stops[::-1]), "title")
    assert LIMIT / 3 < len(text.encode()) <= LIMIT  # and what room there is, is used


def test_pictures_that_fit_are_not_changed() -> None:
    for channels in (1, 3):
        pictures = discs(ROWS, COLUMNS, HEIGHT, WIDTH, channels)
        kept = cut(sheet(pictures, 100_000), ROWS, COLUMNS)
        assert np.array_equal(kept, np.broadcast_to(pictures, kept.shape))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(2, 5)] * 2, *[st.integers(5, 40)] * 2, st.sampled_from([1, 3])),
    st.integers(400, 20_000),
)
def test_a_sheet_keeps_to_its_budget_and_to_its_pictures(shape: tuple[int, ...], budget: int) -> None:
    rows, columns, height, width, _ = shape
    pictures = discs(*shape)
    try:
        found = sheet(pictures, budget)
    except UsageError:
        assert budget < 6 * rows * columns * height * width  # there was no room
        return
    assert len(found.file) <= budget
    kept = cut(found, rows, columns)
    for i, j in np.ndindex(rows, columns):
        picture, other = np.broadcast_to(pictures[i, j], (height, width, 3)), kept[i, j]
        small = Image.fromarray(picture).resize(found.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(small, float) - other).mean() < 16


def test_less_room_means_a_smaller_file_and_a_larger_error() -> None:
    noise = np.random.default_rng(0).normal(0, 15, (6, 6, 28, 28, 3))
    pictures = np.clip(discs(6, 6, 28, 28, 3) + noise, 0, 255).astype(np.uint8)
    errors = [np.abs(cut(sheet(pictures, budget), 6, 6) - pictures.astype(float)).mean() for budget in (90_000, 25_000)]
    assert errors[0] == 0 < errors[1] < 12
    assert sheet(pictures, 4_000).size < (28, 28)


def test_too_many_pictures_are_refused() -> None:
    with pytest.raises(UsageError, match="20 × 20 pictures do not fit") as refused:
        sheet(discs(20, 20, 16, 16, 3), 500)
    assert "fewer" in str(refused.value.hint)


@settings(max_examples=40, deadline=None)
@given(*[st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])) for _ in range(4)])
def test_whatever_it_is_called_is_text(title: str, note: str, axis: str, name: str) -> None:
    labels = np.zeros(1, int)
    shown = plane(axes=(axis, NASTY), points=np.zeros((1, 2)), labels=labels, classes=(name,))
    reader = Reader(page(shown, NASTY + title, note + "{{data}}<!--"))
    assert reader.tags == TAGS
    assert reader.texts["title"] == reader.texts["h1"] == NASTY + title
    assert reader.texts["p"] == note + "{{data}}<!--"
    assert reader.data()["axes"] == [axis, NASTY] and reader.data()["classes"] == [name]


def test_nothing_is_asked_for_elsewhere() -> None:
    text = page(with_points(), "title")
    reader = Reader(text)
    addresses = [value for name, value in reader.attributes if name in {"src", "href", "srcset", "action"}]
    assert len(addresses) == 2 and all(address.startswith("data:") for address in addresses)
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'") in (
        reader.attributes
    )
    assert set(re.findall(r"https?://[^\s\"']*|url\(|@import", text)) == {"http://www.w3.org/2000/svg"}  # a name


def test_of_very_many_points_some_are_shown_each_with_its_class() -> None:
    count = 2 * POINTS + 1
    points = np.random.default_rng(0).uniform(-1, 1, (count, 2))
    labels = (points[:, 0] > 0).astype(int)
    data = Reader(page(plane(points=points, labels=labels, classes=("left", "right")), "title")).data()
    across = np.array(data["points"]).reshape(-1, 2)[:, 0]
    assert POINTS / 2 < len(across) <= POINTS
    assert np.array_equal(across > 0, np.array(data["labels"]) == 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pictures": np.zeros((ROWS, COLUMNS, 4, 4, 2), np.uint8)}, "uint8 of shape"),
        ({"pictures": np.zeros((ROWS, COLUMNS, 4, 4, 3))}, "float64"),
        ({"pictures": np.zeros((ROWS, COLUMNS, 0, 4, 3), np.uint8)}, "shape"),
        ({"pictures": np.zeros((COLUMNS, ROWS, 4, 4, 3), np.uint8)}, "5 columns of pictures"),
        ({"columns": np.zeros(COLUMNS)}, "columns are not in order"),
        ({"rows": np.linspace(-1, 2, ROWS)}, "rows are not in order"),
        ({"rows": np.array([3, 2, np.nan, 1, 0])}, "rows are not in order"),
        ({"pictures": np.zeros((1, COLUMNS, 4, 4, 3), np.uint8), "rows": np.zeros(1)}, "1 rows"),
        ({"labels": np.zeros(3, int)}, "no points"),
        ({"points": np.zeros((3, 3))}, r"shape \(3, 3\)"),
        ({"points": np.full((3, 2), np.inf)}, "points"),
        ({"points": np.zeros((3, 2)), "classes": ("a",)}, "no labels"),
        ({"points": np.zeros((3, 2)), "labels": np.zeros(3, int)}, "other way round"),
        ({"points": np.zeros((3, 2)), "labels": np.zeros(2, int), "classes": ("a",)}, r"int64 of shape \(2,\)"),
        ({"points": np.zeros((3, 2)), "labels": np.zeros(3), "classes": ("a",)}, "float64"),
        ({"points": np.zeros((3, 2)), "labels": np.arange(3), "classes": ("a", "b")}, "0 to 2"),
        ({"classes": tuple(map(str, range(CLASSES + 1)))}, "41 classes"),
    ],
)
def test_what_does_not_fit_is_said(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        plane(**changed)
    assert refused.value.hint


def oklab(linear: Array) -> Array:
    """Linear sRGB (…, 3) to Oklab (Ottosson 2020), in which distances are about as large as they look."""
    to_cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    to_lab = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.asarray(np.cbrt(linear @ np.transpose(to_cones)) @ np.transpose(to_lab))


@pytest.mark.parametrize(
    "seen",  # severe forms after Machado, Oliveira & Fernandes 2009
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    ids=["all colours", "protanopia", "deuteranopia"],
)
def test_classes_can_be_told_apart(seen: Any) -> None:
    assert len(set(COLOURS)) * len(set(SHAPES)) == CLASSES == 40
    colours = np.array([[int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] for colour in COLOURS])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    looks = oklab(np.clip(linear @ np.transpose(seen), 0, 1))
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(looks, 2)) > 0.04  # 0.02 is just seen


BROWSER = browser.find()
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium on PATH, or its path in GENCLI_BROWSER")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.browse(str(BROWSER), tmp_path_factory.mktemp("browser")) as opened:
        yield opened


class Visit:
    """A plane's page in the browser."""

    def __init__(self, window: browser.Page, folder: Path, shown: Plane, size: tuple[int, int] = (1280, 800)) -> None:
        self.window, self.plane = window, shown
        file = folder / "map.html"
        file.write_text(page(shown, NASTY, "a note"), encoding="utf-8")
        window.look(*size)
        window.pointer(0, 0)
        window.open(file)
        window.run("ready")
        window.settle()

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Where on the screen a place of the plane is, in columns and rows of pictures."""
        left, top, width, height = self.box("#plane")
        rows, columns = self.plane.pictures.shape[:2]
        return left + (column + 0.5) / columns * width, top + (row + 0.5) / rows * height

    def box(self, element: str) -> list[float]:
        script = (
            f"(b => [b.left, b.top, b.width, b.height])(document.querySelector('{element}').getBoundingClientRect())"
        )
        return [float(value) for value in self.window.run(script)]

    def decoded(self) -> Array:
        """The picture blended for the place, (H, W, 3)."""
        return self.pixels("blend")[..., :3]

    def pixels(self, canvas: str) -> Array:
        """A canvas' pixels (H, W, 4), read from a copy: a canvas that is read from is drawn otherwise."""
        size, values = self.window.run(f"""(({{width, height}}) => {{
            const copy = Object.assign(document.createElement("canvas"), {{width, height}});
            const pen = copy.getContext("2d", {{willReadFrequently: true}});
            pen.drawImage({canvas}, 0, 0);
            return [[height, width, 4], [...pen.getImageData(0, 0, width, height).data]];
        }})({canvas})""")
        return np.array(values, float).reshape(size)

    def seen(self) -> str:
        return str(self.window.run("view.toDataURL()"))

    def coordinates(self) -> list[float]:
        texts = self.window.run("[...document.querySelectorAll('#where dd')].map(e => e.textContent)")
        return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]

    def centre(self, element: str) -> tuple[float, float]:
        left, top, width, height = self.box(element)
        return left + width / 2, top + height / 2

    def press(self, element: str) -> None:
        self.window.click(*self.centre(element))

    def point(self, column: float, row: float) -> int:
        """How opaque the layer of points is at a place, in 0 … 255."""
        layer = self.pixels("$('points')")[..., 3]
        return int(layer[int((row + 0.5) / ROWS * len(layer)), int((column + 0.5) / COLUMNS * len(layer[0]))])


@needs_browser
@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_follows_the_pointer(window: browser.Page, tmp_path: Path, channels: int) -> None:
    visit = Visit(window, tmp_path, plane(channels))
    pictures = np.broadcast_to(visit.plane.pictures, (ROWS, COLUMNS, HEIGHT, WIDTH, 3)).astype(float)
    views = {visit.seen()}
    for row, column in [(0, 0), (4, 7), (1, 6)]:
        window.pointer(*visit.place(column, row))
        views.add(visit.seen())
        assert np.abs(visit.decoded() - pictures[row, column]).max() <= 2
        shown = visit.coordinates()
        assert shown == pytest.approx([visit.plane.columns[column], visit.plane.rows[row]], abs=0.02)
    assert len(views) == 4
    for i, j, down, right in [(0, 0, 0.5, 0.5), (2, 5, 0.25, 0.75)]:
        window.pointer(*visit.place(j + right, i + down))
        upper, lower = (pictures[k, j] * (1 - right) + pictures[k, j + 1] * right for k in (i, i + 1))
        assert np.abs(visit.decoded() - (upper * (1 - down) + lower * down)).max() <= 4
    assert window.faults() == []
    assert {address.partition(":")[0] for address in window.requests()} == {"file", "data"}


@needs_browser
def test_the_plane_is_papered_with_the_pictures(window: browser.Page, tmp_path: Path) -> None:
    visit = Visit(window, tmp_path, plane())
    layer = Image.fromarray(visit.pixels("$('pictures')").astype(np.uint8)).convert("RGB")
    means = np.asarray(layer.resize((COLUMNS, ROWS), Image.Resampling.BOX), float)
    assert np.abs(means - visit.plane.pictures.mean((2, 3))).max() < 3


@needs_browser
def test_a_sheet_with_losses_is_cut_where_its_pictures_are(
    window: browser.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(page(plane(), "title").encode())
    monkeypatch.setattr(module, "LIMIT", whole - 1000)
    visit = Visit(window, tmp_path, plane())
    assert window.run("offset") == [6, 2] and window.run("[width, height]") == [WIDTH, HEIGHT]
    window.pointer(*visit.place(6, 3))
    assert np.abs(visit.decoded() - visit.plane.pictures[3, 6]).mean() < 8


@needs_browser
def test_keys_move_the_place_and_say_where_it_is(window: browser.Page, tmp_path: Path) -> None:
    visit = Visit(window, tmp_path, plane())
    assert visit.coordinates()[0] == 0  # it begins at the middle of the latent space
    window.run("plane.focus()")
    places, views = [visit.coordinates()], {visit.seen()}
    for key, shift in [("ArrowRight", False), ("ArrowDown", False), ("ArrowLeft", True), ("ArrowUp", True)]:
        window.press(key, shift)
        places.append(visit.coordinates())
        views.add(visit.seen())
    moves = np.sign(np.diff(places, axis=0)).tolist()
    assert moves == [[1, 0], [0, -1], [-1, 0], [0, 1]] and len(views) == 5
    for _ in range(4):
        window.press("ArrowRight", shift=True)
    assert visit.coordinates()[0] == pytest.approx(visit.plane.columns[-1], abs=0.006)  # and no further
    said = window.run("$('said').textContent")
    assert said.startswith("latent 1 1.53, latent 2 ")
    assert window.run("document.activeElement === plane && plane.getAttribute('aria-label')")
    assert window.faults() == []


@needs_browser
def test_a_click_holds_and_a_finger_draws(window: browser.Page, tmp_path: Path) -> None:
    visit = Visit(window, tmp_path, plane())
    window.click(*visit.place(2, 2))
    held = visit.coordinates()
    window.pointer(*visit.place(6, 1))
    assert visit.coordinates() == held
    window.click(*visit.place(6, 1))
    window.pointer(*visit.place(5, 1))
    assert visit.coordinates() == pytest.approx([visit.plane.columns[5], visit.plane.rows[1]], abs=0.02)
    window.touch(visit.place(1, 1), visit.place(2, 2), visit.place(2, 3))
    assert visit.coordinates() == pytest.approx([visit.plane.columns[2], visit.plane.rows[3]], abs=0.02)


@needs_browser
def test_points_lie_where_they_belong_and_their_classes_can_be_switched_off(
    window: browser.Page, tmp_path: Path
) -> None:
    far = np.array([[90.0, 0.0]])
    shown = with_points(points=np.concatenate([with_points().points, far]), labels=np.array([0, 1, 1, 0]))
    visit = Visit(window, tmp_path, shown)
    places = [(1, 1), (6, 3), (3.5, 2)]
    names = window.run("[...document.querySelectorAll('#names button')].map(e => e.textContent)")
    assert names == ["plain", NASTY] and window.run("$('count').textContent") == "4 points, 1 of them outside"
    assert all(visit.point(*place) > 200 for place in places) and visit.point(2, 2) == 0
    visit.press("#names li:nth-child(2) button")
    window.pointer(0, 0)
    assert [visit.point(*place) > 200 for place in places] == [True, False, False]
    assert window.run("document.querySelectorAll('#names [aria-pressed=false]').length") == 1
    visit.press("#all")
    assert [visit.point(*place) > 200 for place in places] == [True, True, True]
    window.pointer(*visit.centre("#names li:nth-child(2) svg"))  # what is pointed at stands out from the others
    assert [visit.point(*place) > 200 for place in places] == [False, True, True]
    for layer in ("pictures", "points"):
        visit.press(f"#with-{layer}")
        assert window.run(f"$('{layer}').hidden") and window.run(f"getComputedStyle($('{layer}')).display") == "none"
    assert window.faults() == []


@needs_browser
def test_it_fits_every_screen_light_and_dark(window: browser.Page, tmp_path: Path) -> None:
    classes = tuple(f"class {k}" for k in range(CLASSES))
    shown = with_points(classes=classes)
    for size in [(1280, 800), (390, 844), (320, 600)]:
        visit = Visit(window, tmp_path, shown, size)
        assert window.run("document.documentElement.scrollWidth") <= size[0]
        (left, top, width, height), view = visit.box("#plane"), visit.box("#view")
        assert width / height == pytest.approx(COLUMNS * WIDTH / (ROWS * HEIGHT), rel=0.01)
        assert view[2] / view[3] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
        if size[0] > 1000:
            assert view[0] > left + width and top + height < size[1]
        else:
            assert view[1] + view[3] < top and left + width <= size[0]
    brightness = []
    for scheme in ("light", "dark"):
        window.look(1280, 800, scheme, density=2)
        assert window.run("$('points').width") == pytest.approx(2 * visit.box("#plane")[2], abs=1)
        pixels = np.asarray(Image.open(io.BytesIO(window.screenshot())).convert("L"))
        assert len(np.unique(pixels)) > 20
        brightness.append(float(pixels[0, 0]))
    assert brightness[0] > 230 and brightness[1] < 40
    assert window.faults() == []
