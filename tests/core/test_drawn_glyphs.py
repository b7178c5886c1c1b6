"""Glyphs drawn by code: every class alike often, the same whatever the batch and the size, varied and yet legible."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gencli.core.drawn.glyphs import CLASSES, DIGITS, _chosen, draw_digits, draw_glyphs
from gencli.core.drawn.paint import resize
from gencli.core.errors import UsageError

Numbers = npt.NDArray[np.float64]


@cache
def glyphs(count: int, seed: int, size: int = 28) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Pictures in [0, 1], (N, size, size), and labels."""
    pixels, labels = draw_glyphs(count, seed, size)
    return pixels[:, 0] / 255, labels


def guesses(pictures: Numbers) -> npt.NDArray[np.intp]:
    """The class whose mean over 3,600 pictures of seed 0 is nearest to each picture (N, 28, 28)."""
    known, labels = glyphs(3600, 0)
    means = np.stack([known[labels == k].mean(0) for k in range(len(CLASSES))]).reshape(len(CLASSES), -1)
    flat = pictures.reshape(len(pictures), -1)
    return ((means**2).sum(1) - 2 * flat @ means.T).argmin(1)


def test_shapes_and_types() -> None:
    pixels, labels = draw_glyphs(5, seed=3, size=20)
    assert pixels.shape == (5, 1, 20, 20) and pixels.dtype == np.uint8
    assert labels.shape == (5,) and labels.dtype == np.int64


def test_classes_are_the_digits_and_capitals() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 36
    assert CLASSES[:10] == tuple("0123456789") and CLASSES[10] == "A" and CLASSES[-1] == "Z"


def test_digits_alone() -> None:
    pixels, labels = draw_digits(200, seed=4)
    assert set(labels) == set(range(10)) and CLASSES[:10] == DIGITS
    assert np.array_equal(pixels[150:], draw_digits(50, seed=4, first=150)[0])
    ways = np.stack([draw_glyphs(400, seed=6)[0][draw_glyphs(400, seed=6)[1] == k].mean(0) for k in range(10)])
    means = np.stack([pixels[labels == k].mean(0) for k in range(10)])
    alike = np.corrcoef(means.reshape(10, -1), ways.reshape(10, -1))[:10, 10:]
    assert (alike.argmax(1) == range(10)).sum() >= 9  # the same digit under the same number


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_classes_are_equally_likely_and_follow_without_order(seed: int) -> None:
    labels = _chosen(36_000, seed, 0, 36)[0]
    counts = np.bincount(labels, minlength=36)
    assert ((counts - 1000) ** 2 / 1000).sum() < 75  # chi-square with 35 degrees of freedom: p = 1e-4
    pairs = np.bincount(labels[:-1] * 36 + labels[1:], minlength=36**2)
    expected = 35_999 / 36**2
    assert ((pairs - expected) ** 2 / expected).sum() < 1490  # 1295 degrees of freedom: p = 1e-4


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**64), first=st.integers(0, 2**40), count=st.integers(2, 90), data=st.data())
def test_batches_cut_anywhere_hold_the_same_bytes(seed: int, first: int, count: int, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([14, 28, 40]))
    cut = data.draw(st.integers(1, count - 1))
    pixels, labels = draw_glyphs(count, seed, size, first)
    parts = draw_glyphs(cut, seed, size, first), draw_glyphs(count - cut, seed, size, first + cut)
    assert np.array_equal(pixels, np.concatenate([part[0] for part in parts]))
    assert np.array_equal(labels, np.concatenate([part[1] for part in parts]))


def test_another_seed_is_another_series() -> None:
    assert (glyphs(200, 0)[1] == glyphs(200, 1)[1]).mean() < 0.15
    for label in range(36):  # and the same glyph is never drawn twice
        of_class = np.concatenate([pictures[labels == label] for pictures, labels in (glyphs(3600, 0), glyphs(900, 1))])
        assert len(np.unique(of_class.reshape(len(of_class), -1), axis=0)) == len(of_class)


def test_ink_is_as_much_as_in_handwriting() -> None:
    pictures, _ = glyphs(3600, 0)
    ink = pictures.mean((1, 2))
    assert 0.12 < ink.mean() < 0.19 and 0.03 < ink.std() < 0.06
    assert ink.min() > 0.03 and ink.max() < 0.40
    assert (pictures.max((1, 2)) > 0.85).all()
    edges = ((pictures > 0.1) & (pictures < 0.9)).mean() / (pictures > 0.1).mean()
    assert 0.3 < edges < 0.7  # soft, and yet strokes have a core


def test_nothing_is_cut_off_by_the_border() -> None:
    pictures, _ = glyphs(3600, 0)
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], 1).max(1)
    assert border.max() < 0.35 and (border > 0.02).mean() < 0.01


def test_glyphs_stand_in_the_middle() -> None:
    pictures, _ = glyphs(3600, 0)
    grid = np.arange(28) - 13.5
    weight = pictures.sum((1, 2))
    for axis in (1, 2):
        middle = (pictures.sum(3 - axis) * grid).sum(1) / weight
        assert abs(middle.mean()) < 1 and 0.4 < middle.std() < 2


def test_held_out_glyphs_are_told_apart_by_the_means_of_others() -> None:
    pictures, labels = glyphs(900, 1)
    right = guesses(pictures) == labels
    assert right.mean() > 0.78  # 0.86; chance is 0.03
    assert min(right[labels == k].mean() for k in range(36)) > 0.3


@pytest.mark.parametrize("pair", ["0O", "1I", "5S", "2Z", "8B", "6G", "UV", "DO"])
def test_confusable_pairs_are_told_apart(pair: str) -> None:
    """A nearest neighbour finds the right one of two look-alikes most of the time."""
    either = [CLASSES.index(name) for name in pair]
    (known, names), (asked, truth) = glyphs(3600, 0), glyphs(900, 1)
    ours, theirs = np.isin(names, either), np.isin(truth, either)
    known, asked = known[ours].reshape(ours.sum(), -1), asked[theirs].reshape(theirs.sum(), -1)
    nearest = ((known**2).sum(1) - 2 * asked @ known.T).argmin(1)
    assert (names[ours][nearest] == truth[theirs]).mean() > 0.85


def test_glyphs_of_one_class_differ() -> None:
    pictures, labels = glyphs(3600, 0)
    within = np.mean([pictures[labels == k].var(0).sum() for k in range(36)])
    assert 0.45 < within / pictures.var(0).sum() < 0.8
    for k in range(36):
        assert pictures[labels == k].var(0).sum() > 15


@pytest.mark.parametrize("size", [14, 21, 56, 128])
def test_every_size_shows_the_same_glyphs(size: int) -> None:
    (drawn, labels), (usual, usual_labels) = glyphs(60, 2, size), glyphs(60, 2)
    assert np.array_equal(labels, usual_labels)
    for one, other in zip(drawn, usual, strict=True):
        fine, coarse = (one, other) if size > 28 else (other, one)
        reduced = resize(fine, len(coarse), len(coarse), Image.Resampling.BOX)
        assert np.corrcoef(coarse.ravel(), reduced.ravel())[0, 1] > 0.97


def test_wrong_requests_are_explained() -> None:
    for request in (lambda: draw_glyphs(0), lambda: draw_digits(-1)):
        with pytest.raises(UsageError, match="glyphs"):
            request()
    with pytest.raises(UsageError, match="13 pixels"):
        draw_glyphs(1, size=13)
    for request in (lambda: draw_glyphs(1, seed=-1), lambda: draw_digits(1, first=-1)):
        with pytest.raises(UsageError, match="number"):
            request()
