"""The map as a picture: dots where the points are, in colours that can be told apart, with matplotlib and without."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.drawn.paint import rgb
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.vae import latent, scatter
from gencli.vae.maps import KINDS, Map
from gencli.vae.page import CLASSES, COLOURS, Plane

Array = np.ndarray[Any, Any]
SIDE = 400
WHITE = 255 * np.ones(3)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "SIDE", SIDE)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed."""
    for module in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.fixture
def framed() -> None:
    pytest.importorskip("matplotlib")


def plane(points: Array | None, labels: Array | None = None, classes: tuple[str, ...] = (), **more: Any) -> Plane:
    stops = np.array([-0.5, 0.1, 0.6])
    cells = np.random.default_rng(0).integers(0, 256, (3, 3, 20, 20, 3), np.uint8)
    return Plane(cells, stops, stops[::-1], points=points, labels=labels, classes=classes, **more)


def drawn(of: Plane, **more: Any) -> Array:
    return np.asarray(scatter.picture(of, "title", "note", **more)).astype(float)


def named(count: int) -> Plane:
    """One point a class, around a circle."""
    turn = 2 * np.pi * np.arange(count) / count
    return plane(np.stack([np.cos(turn), np.sin(turn)], 1), np.arange(count), tuple(f"class {k}" for k in range(count)))


def expected(colour: str) -> Array:
    return WHITE + scatter.OPACITY * (255 * rgb(colour) - WHITE)


# ------------------------------------------------------------------ where dots are


@pytest.mark.usefixtures("plain")
def test_dots_are_where_the_points_are() -> None:
    """A square of points two wide, so the margins are known: the corners are 4 % of the side from the edges."""
    corners = np.array([(-1.0, 2.0), (1.0, 2.0), (-1.0, 4.0), (1.0, 4.0), (0.5, 2.5)])
    pixels = drawn(plane(corners, np.arange(5), tuple("abcde")), manifold=False)
    assert pixels.shape == (SIDE, SIDE, 3)
    inner = SIDE * (1 - 2 * scatter.MARGIN)
    for (x, y), colour in zip(corners, COLOURS, strict=False):
        column = int(SIDE * scatter.MARGIN + inner * (x + 1) / 2)
        row = int(SIDE * scatter.MARGIN + inner * (4 - y) / 2)
        np.testing.assert_allclose(pixels[row, column], expected(colour), atol=1.5)
    radius = 0.0075 * SIDE
    coloured = (pixels < 250).any(-1).sum()
    assert coloured == pytest.approx(5 * np.pi * radius**2, rel=0.3)  # and nowhere else


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(12, 28), st.floats(12, 28)),
    st.integers(0, len(scatter.CORNERS) - 1),
    st.floats(1.5, 6),
    st.floats(0.3, 1),
)
def test_a_mark_has_its_place_and_its_area(at: tuple[float, float], shape: int, radius: float, opacity: float) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    scatter.stamp(pixels, np.array([at]), np.ones((1, 3)), np.array([shape]), radius, opacity)
    cover = pixels[..., 0] / 255
    y, x = np.mgrid[:40, :40] + 0.5
    area = cover.sum()
    assert area == pytest.approx(opacity * np.pi * radius**2, rel=0.3)
    assert (cover * x).sum() / area == pytest.approx(at[0], abs=0.25)
    lower = 0.1 * radius if shape == 1 else 0  # the middle of a triangle is not that of its box
    assert (cover * y).sum() / area == pytest.approx(at[1] + lower, abs=0.25)
    assert cover.max() <= opacity + 1 / 255


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.floats(-30, 60), st.floats(-30, 60)))
def test_a_mark_is_cut_at_the_edges(at: tuple[float, float]) -> None:
    large, small = np.zeros((130, 130, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)
    ink = np.ones((1, 3)), np.zeros(1, int), 4.0, 1.0
    scatter.stamp(large, np.array([at]) + 50, *ink)
    scatter.stamp(small, np.array([at]), *ink)
    assert np.abs(large[50:80, 50:80].astype(int) - small).max() <= 1


def test_what_is_far_out_leaves_room_for_the_rest() -> None:
    points = np.random.default_rng(1).normal(size=(1000, 2))
    near = scatter.dots(plane(points))
    assert near.outside == 0 and len(near.places) == 1000
    far = scatter.dots(plane(np.concatenate([points, [[1e6, 0.0]]])))
    assert far.outside == 1 and len(far.places) == 1000 and far.window == near.window
    for found in (near, far):
        at = found.window.pixels(found.places, 100)
        assert at.min() >= 100 * scatter.MARGIN - 1e-6 and at.max() <= 100 * (1 - scatter.MARGIN) + 1e-6


def test_one_latent_is_spread_over_the_axis_that_has_no_name() -> None:
    points = np.stack([np.random.default_rng(2).normal(size=500), np.zeros(500)], 1)
    found = scatter.dots(plane(points, axes=("latent 1", "")))
    assert np.array_equal(np.sort(found.places[:, 0]), np.sort(points[:, 0])) and found.places[:, 1].std() > 0.3
    assert not scatter.dots(plane(points)).places[:, 1].any()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.usefixtures("plain")
def test_points_that_are_all_the_same(count: int) -> None:
    pixels = drawn(plane(np.full((count, 2), 7.0)), manifold=False)
    assert (pixels[SIDE // 2, SIDE // 2] < 250).any()


# ------------------------------------------------------------------ colours


def oklab(colours: Array) -> Array:
    """Linear light (N, 3) → OKLab (Ottosson 2020), where distances are as they look."""
    lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    lms.append([0.0883024619, 0.2817188376, 0.6299787005])
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]]
    lab.append([0.0259040371, 0.7827717662, -0.8086757660])
    return np.asarray(np.cbrt(colours.clip(0) @ np.transpose(lms)) @ np.transpose(lab))


SEEN: dict[str, tuple[Any, float]] = {
    "by most": (np.eye(3), 0.08),
    "without red cones": ([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]], 0.04),
    "without green cones": ([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]], 0.04),
}  # Machado, Oliveira and Fernandes 2009


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_can_be_told_apart(eyes: str) -> None:
    matrix, least = SEEN[eyes]
    light = np.stack([rgb(colour) for colour in scatter.PALETTE]).astype(float)
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    seen = oklab(light @ np.transpose(matrix))
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(len(seen))
    assert len(seen) == CLASSES and apart.min() > least
    assert seen[:, 0].max() < 0.87  # against white
    assert scatter.PALETTE[: len(COLOURS)] == COLOURS  # as on the page


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("count", [10, 36, CLASSES])
def test_every_class_has_its_colour(count: int) -> None:
    of = named(count)
    pixels, window = drawn(of, manifold=False), scatter.dots(of).window
    assert of.points is not None
    for (x, y), colour in zip(window.pixels(of.points, SIDE).astype(int), scatter.PALETTE, strict=False):
        np.testing.assert_allclose(pixels[y, x], expected(colour), atol=1.5)


@pytest.mark.usefixtures("plain")
def test_no_class_covers_the_others() -> None:
    """Two classes on one crowded square, first all of one and then all of the other: both are seen alike."""
    points, labels = np.random.default_rng(3).uniform(size=(6000, 2)), np.arange(6000) // 3000
    pixels = drawn(plane(points, labels, ("a", "b")), manifold=False)
    first, second = (np.linalg.norm(pixels - 255 * rgb(colour), axis=-1) for colour in COLOURS[:2])
    coloured = (pixels < 230).any(-1)
    assert 0.4 < (first < second)[coloured].mean() < 0.6


@pytest.mark.usefixtures("plain")
def test_without_classes_crowds_are_darker() -> None:
    luck = np.random.default_rng(4)
    points = np.concatenate([luck.normal(0, 0.1, (4000, 2)), luck.uniform(-3, 3, (200, 2))])
    found = scatter.dots(plane(points))
    far = np.abs(found.places).max(1) > 1
    assert found.colours[~far].mean() < found.colours[far].mean() - 0.2 and found.classes == []


def test_of_very_many_points_some_are_drawn() -> None:
    points, labels = np.random.default_rng(5).normal(size=(30_000, 2)), np.arange(30_000) % 3
    found = scatter.dots(plane(points, labels, tuple("abc")))
    assert len(found.places) == scatter.POINTS and found.classes == [0, 1, 2]
    assert found.labels is not None and np.bincount(found.labels).min() > 0.3 * scatter.POINTS
    assert {tuple(place) for place in found.places[:50]} <= {tuple(point) for point in points}


# ------------------------------------------------------------------ the whole picture


def test_small_pictures_are_enlarged_without_blur() -> None:
    of = plane(None)
    whole = scatter.enlarged(of.pictures)
    assert whole.shape == (420, 420, 3)  # 3 · 20 · 7 is the first multiple that reaches 400
    assert np.array_equal(whole[140:280:7, 280:420:7], of.pictures[1, 2])
    assert np.array_equal(whole[3::7, 5::7], whole[::7, ::7])
    grey = np.arange(2 * 3 * 300 * 8).reshape(2, 3, 300, 8, 1).astype(np.uint8)
    assert scatter.enlarged(grey).shape == (600, 24, 3)


@pytest.mark.usefixtures("plain")
def test_both_halves_without_matplotlib() -> None:
    of = named(4)
    pixels, alone = drawn(of), drawn(of, manifold=False)
    assert np.array_equal(pixels[:, :420], scatter.enlarged(of.pictures))
    assert pixels.shape == (420, 420 + 14 + 420, 3) and (pixels[:, 420:434] == 255).all()
    assert alone.shape == (SIDE, SIDE, 3)


@pytest.mark.usefixtures("framed")
def test_axes_leave_every_pixel_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    of = replace(plane(np.random.default_rng(6).normal(size=(300, 2))), columns=np.array([-9.0, 0, 9]))
    found = scatter.dots(of)
    sheet = scatter._framed(of, found, ("title", "note"), (420, 420))
    pixels = drawn(of)
    left, top, width, height = sheet.manifold
    assert np.array_equal(pixels[top : top + height, left : left + width], scatter.enlarged(of.pictures))
    left, top, width, height = sheet.dots
    inside = pixels[top : top + height, left : left + width]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    alone = drawn(of)
    assert len(pixels) > len(alone) and np.array_equal(inside[2:-2, 2:-2], alone[2:-2, -418:-2])
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.usefixtures("framed")
def test_the_legend_shows_the_classes() -> None:
    for count, columns in ((10, 1), (36, 2)):
        of = named(count)
        sheet = scatter._framed(of, scatter.dots(of), ("", ""), (SIDE, 0))
        assert len(sheet.swatches) == count and len({x for x, _ in sheet.swatches}) == columns
        pixels = drawn(of, manifold=False)
        for (x, y), colour in zip(sheet.swatches, scatter.PALETTE, strict=False):
            np.testing.assert_allclose(pixels[int(y), int(x)], 255 * rgb(colour), atol=1.5)
            beside = pixels[int(y) - 4 : int(y) + 5, int(x + 2 * sheet.swatch) : int(x) + 20]
            assert beside.min() < 160  # its name


@pytest.mark.usefixtures("framed")
def test_names_are_no_formulas_and_never_too_long() -> None:
    points, labels = np.random.default_rng(7).normal(size=(40, 2)), np.arange(40) % 4
    names = ("$\\frac$", "_hidden", "a $1 bill and $2", "W" * 300)
    of = plane(points, labels, names, axes=("$\\x$", "latent _2"))
    wide = drawn(of, manifold=False).shape[1]
    assert wide < 2.2 * SIDE
    assert drawn(replace(of, classes=tuple("abcd")), manifold=False).shape[1] < wide


@pytest.mark.parametrize("how", ["plain", "framed"])
def test_the_same_plane_gives_the_same_picture(how: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(how)
    assert np.array_equal(drawn(named(12)), drawn(named(12)))


# ------------------------------------------------------------------ of a model's map


def mapped(points: torch.Tensor | None, classes: int = 2) -> Map:
    pictures = torch.rand(4, 4, 1, 7, 7, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 3, -1, -1)
    count = 0 if points is None else len(points)
    names = tuple(f"{k}" for k in range(classes))
    shown = PictureSet(torch.zeros(count, 1, 7, 7, dtype=torch.uint8), torch.arange(count) % classes, names)
    places = latent.spaced(4)
    return Map("mine", pictures, 1, places, latent.plane(2), points, None if points is None else shown)


@pytest.mark.usefixtures("plain")
def test_a_map_has_three_pictures() -> None:
    numbers = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    pictures = {kind: mapped(numbers).picture(kind) for kind in KINDS}
    assert pictures["manifold"].size == (28, 28)
    assert pictures["scatter"].size == (SIDE, SIDE)
    assert pictures["both"].size == (420 + 14 + 420, 420)
    small = pictures["both"].crop((0, 0, 420, 420)).reduce(15)
    assert small.tobytes() == pictures["manifold"].tobytes()


def test_a_map_without_points() -> None:
    one = mapped(None)
    assert one.picture("both").tobytes() == one.picture("manifold").tobytes()
    with pytest.raises(UsageError, match="no pictures to show") as refused:
        one.picture("scatter")
    assert "--data" in str(refused.value.hint)


@pytest.mark.usefixtures("plain")
def test_too_many_classes_are_shown_without() -> None:
    numbers = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    many, none = mapped(numbers, CLASSES + 1), mapped(numbers)
    unlabelled = replace(none, shown=replace(none.shown, labels=None, classes=()))  # type: ignore[type-var]
    assert many.picture("scatter").tobytes() == unlabelled.picture("scatter").tobytes()
    assert many.picture("scatter").tobytes() != none.picture("scatter").tobytes()
