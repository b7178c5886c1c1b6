"""Drawn faces: an endless series a seed, attributes that are independent and can be seen, the same at every size."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.drawn.face_chance import NUMBERS
from gencli.core.drawn.face_shapes import Patch
from gencli.core.drawn.faces import (
    ATTRIBUTES,
    SHARES,
    Faces,
    draw_faces,
    draw_variations,
    paint,
    pick_faces,
)
from gencli.core.errors import UsageError

ROWS = {  # where down the picture an attribute may change it; what changes all over it is not listed
    "smiling": (0.45, 0.95),
    "open-mouth": (0.60, 0.95),
    "closed-eyes": (0.42, 0.70),
    "raised-brows": (0.35, 0.70),
    "glasses": (0.40, 0.74),
    "hat": (0.00, 0.60),
    "earrings": (0.52, 0.82),
    "scarf": (0.75, 1.00),
    "beard": (0.40, 1.00),
    "lipstick": (0.62, 0.95),
    "rosy-cheeks": (0.52, 0.82),
    "dark-skin": (0.20, 1.00),
    "fringe": (0.22, 0.70),
}
every_attribute = pytest.mark.parametrize("attribute", ATTRIBUTES)


@cache
def some(size: int = 64) -> np.ndarray:
    return draw_faces(48, 3, size)[0]


@cache
def change(attribute: str) -> np.ndarray:
    """What switching an attribute does to 48 faces: levels (N, 64, 64), the most of the three channels."""
    without, with_it = draw_variations(48, 5, attribute)
    return np.abs(with_it.astype(int) - without).max(1)


def test_shapes_and_types() -> None:
    pictures, labels = draw_faces(5, size=40)
    assert pictures.shape == (5, 3, 40, 40) and pictures.dtype == np.uint8
    assert labels.shape == (5, len(ATTRIBUTES)) and labels.dtype == np.bool_
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) >= 12


def test_names_are_lower_case_words_joined_by_hyphens() -> None:
    assert all(word.isalpha() and word.islower() for name in ATTRIBUTES for word in name.split("-"))


def test_labels_without_drawing_are_those_of_the_pictures() -> None:
    assert (pick_faces(9, 4, first=60).labels == draw_faces(9, 4, 16, first=60)[1]).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 5), st.integers(0, 150), st.lists(st.integers(1, 20), min_size=2, max_size=3))
def test_batches_cut_anywhere_give_the_same_faces(seed: int, first: int, counts: list[int]) -> None:
    whole, labels = draw_faces(sum(counts), seed, 32, first)
    starts = first + np.cumsum([0, *counts[:-1]])
    parts = [draw_faces(count, seed, 32, int(start)) for count, start in zip(counts, starts, strict=True)]
    assert np.concatenate([pictures for pictures, _ in parts]).tobytes() == whole.tobytes()
    assert (np.concatenate([part for _, part in parts]) == labels).all()


@pytest.mark.parametrize("size", [17, 64, 100])
def test_a_face_drawn_alone_has_the_same_bytes(size: int) -> None:
    together = draw_faces(40, 1, size)[0]
    for k in (0, 7, 39):
        assert draw_faces(1, 1, size, first=k)[0].tobytes() == together[k].tobytes()


def test_another_seed_gives_other_faces() -> None:
    ours, theirs = draw_faces(64, 0, 16)[0], draw_faces(64, 1, 16)[0]
    assert len(np.unique(np.concatenate([ours, theirs]).reshape(128, -1), axis=0)) == 128


def test_shares_are_as_stated() -> None:
    found, stated = pick_faces(8000, 2).labels.mean(0), np.array([SHARES[name] for name in ATTRIBUTES])
    assert ((stated >= 0.15) & (stated <= 0.5)).all()
    assert (np.abs(found - stated) < 4 * np.sqrt(stated * (1 - stated) / 8000)).all()


def test_attributes_are_independent_of_each_other() -> None:
    correlations = np.corrcoef(pick_faces(4000, 9).labels.T) - np.eye(len(ATTRIBUTES))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000)


def test_what_else_makes_a_face_is_independent_of_its_attributes() -> None:
    faces = pick_faces(4000, 9)
    between = np.corrcoef(faces.labels.T, faces.numbers.T)[: len(ATTRIBUTES), len(ATTRIBUTES) :]
    assert np.abs(between).max() < 5 / np.sqrt(4000)


@every_attribute
def test_every_attribute_can_be_seen_in_every_face(attribute: str) -> None:
    visible = (change(attribute) > 20).sum((1, 2))
    assert visible.min() >= 8
    assert np.median(visible) >= 20


@pytest.mark.parametrize("attribute", ROWS)
def test_an_attribute_changes_its_part_of_the_picture_only(attribute: str) -> None:
    top, bottom = (round(64 * edge) for edge in ROWS[attribute])
    changed = change(attribute)
    assert changed[:, :top].max(initial=0) == 0
    assert changed[:, bottom:].max(initial=0) == 0


def test_a_smile_is_in_the_mouth_and_the_cheeks() -> None:
    changed = change("smiling").sum(0)
    assert changed[36:56, 16:48].sum() > 0.9 * changed.sum()
    assert changed[42:56].sum() > 0.6 * changed.sum()


def test_dark_skin_and_dark_hair_darken_and_light_moves() -> None:
    for attribute, rows in (("dark-skin", slice(36, 50)), ("dark-hair", slice(12, 22))):
        without, with_it = (part[:, :, rows, 24:40].mean((1, 2, 3)) for part in draw_variations(48, 5, attribute))
        assert (with_it < without + 1).all() and (without - with_it).mean() > 25
    right, left = (part.mean(1) for part in draw_variations(48, 5, "lit-from-left"))
    cheeks = slice(36, 46)
    gain = (left - right)[:, cheeks, 20:28].mean() - (left - right)[:, cheeks, 36:44].mean()
    assert gain > 20


def test_what_is_labelled_is_what_is_drawn() -> None:
    pictures, labels = draw_faces(32, 5)
    for name in ("glasses", "hat"):
        without, with_it = draw_variations(32, 5, name)
        has = labels[:, ATTRIBUTES.index(name)]
        assert (pictures[has] == with_it[has]).all() and (pictures[~has] == without[~has]).all()


@pytest.mark.parametrize("size", [16, 24, 33, 48, 96, 128])
def test_every_size_shows_the_same_faces(size: int) -> None:
    def coarse(pictures: np.ndarray) -> np.ndarray:
        """Means over an 8 × 8 grid, whose cells a picture's pixels share by area."""
        side = pictures.shape[-1]
        cell, pixel = np.arange(9) / 8, np.arange(side + 1) / side
        overlap = np.minimum(cell[1:, None], pixel[1:]) - np.maximum(cell[:-1, None], pixel[:-1])
        weights = np.clip(overlap, 0, None) * 8
        return weights @ pictures.astype(float) @ weights.T

    assert np.abs(coarse(draw_faces(48, 3, size)[0]) - coarse(some())).mean() < 1.5


def test_the_largest_size() -> None:
    large, little = draw_faces(4, 3, 256)[0], some()[:4]
    reduced = large.reshape(4, 3, 64, 4, 64, 4).mean((3, 5))
    assert np.abs(reduced - little).mean() < 2.5
    assert np.corrcoef(reduced.ravel(), little.ravel())[0, 1] > 0.99


def test_faces_differ_and_have_contrast_and_colour() -> None:
    pictures = some().astype(float)
    assert pictures.std(0).mean() > 40  # from face to face
    assert pictures.mean(1).std((1, 2)).min() > 12  # within a face
    assert np.ptp(pictures, axis=1).mean() > 25  # between the channels
    assert (np.abs(np.diff(pictures, axis=-1)).mean((1, 2, 3)) > 2).all()


def test_no_feature_leaves_the_part_of_the_picture_it_is_looked_for_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    extremes = np.array([0, 1 - 2.0**-24], np.float32)[rng.integers(0, 2, (128, NUMBERS))]
    faces = Faces(rng.random((128, len(ATTRIBUTES))) < 0.5, extremes)
    pictures = paint(faces)
    monkeypatch.setattr(Patch, "around", lambda patch, *rectangle: patch)
    monkeypatch.setattr(Patch, "below", lambda patch, top: patch)
    assert (paint(faces) == pictures).all()


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    draw_faces(2, 7, 16)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "0 faces"),
        ({"count": -3}, "-3 faces"),
        ({"count": 1, "size": 15}, "15 pixels"),
        ({"count": 1, "seed": -1}, "seed -1"),
        ({"count": 1, "first": -2}, "number -2"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        draw_faces(**arguments)


def test_an_unknown_attribute_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'winking'") as caught:
        draw_variations(1, 0, "winking")
    assert all(name in (caught.value.hint or "") for name in ATTRIBUTES)
