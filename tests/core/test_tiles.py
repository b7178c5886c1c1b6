"""Tiles: together exactly the picture, each on the grid of the deepest layer, with enough around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.tiles import activation_count, faded, feature_shapes, windows

sides = st.integers(1, 150)
strides = st.sampled_from([1, 2, 4, 8, 16])
halos = st.integers(0, 40)
tiles = st.none() | st.integers(16, 80)


@given(sides, sides, tiles, strides, halos)
@settings(max_examples=100, deadline=None)
def test_cores_partition_the_picture(height: int, width: int, tile: int | None, stride: int, halo: int) -> None:
    covered = torch.zeros(height, width, dtype=torch.int)
    for window in windows(height, width, tile, stride, halo):
        assert window.top < window.bottom and window.left < window.right
        covered[window.top : window.bottom, window.left : window.right] += 1
    assert (covered == 1).all()


@given(sides, sides, tiles, strides, halos)
@settings(max_examples=100, deadline=None)
def test_windows_lie_on_the_grid_and_have_their_surroundings(
    height: int, width: int, tile: int | None, stride: int, halo: int
) -> None:
    for window in windows(height, width, tile, stride, halo):
        for first, last, outer_first, outer_last, length in (
            (window.top, window.bottom, window.outer_top, window.outer_bottom, height),
            (window.left, window.right, window.outer_left, window.outer_right, width),
        ):
            assert first % stride == outer_first % stride == 0
            assert last % stride == 0 or last == length
            assert outer_first <= max(0, first - halo)
            assert outer_last >= min(length, last + halo)
            assert 0 <= outer_first <= first < last <= outer_last <= length


@given(st.integers(8, 150), st.integers(8, 150), tiles, st.sampled_from([1, 2, 4, 8]), halos)
@settings(max_examples=100, deadline=None)
def test_places_partition_a_layer(height: int, width: int, tile: int | None, stride: int, halo: int) -> None:
    """In a layer whose size rounds down (floor) or up (ceil), and in a shallower one of half the stride."""
    for own in {stride, max(1, stride // 2)}:
        for full in ((height // own, width // own), (-(-height // own), -(-width // own))):
            covered = torch.zeros(full, dtype=torch.int)
            for window in windows(height, width, tile, stride, halo):
                covered[window.place(own, full)] += 1
            assert (covered == 1).all()


@given(st.integers(8, 150), st.integers(8, 150), tiles, st.sampled_from([1, 2, 4, 8]), halos)
@settings(max_examples=100, deadline=None)
def test_core_is_what_stands_at_the_place(height: int, width: int, tile: int | None, stride: int, halo: int) -> None:
    full = (height // stride, width // stride)
    layer = torch.arange(full[0] * full[1]).view(1, *full)
    for window in windows(height, width, tile, stride, halo):
        _, rows, columns = window.outer
        seen = layer[:, rows.start // stride : rows.stop // stride, columns.start // stride : columns.stop // stride]
        assert torch.equal(window.core(seen, stride, full), layer[window.place(stride, full)])


def test_one_window_for_a_small_picture() -> None:
    for tile in (None, 64, 100):
        (window,) = windows(50, 64, tile, 8, 20)
        assert window.outer == (..., slice(0, 50), slice(0, 64))


@pytest.mark.parametrize("size", [(8, 8), (33, 50), (97, 131), (130, 9)])
def test_feature_shapes(tiny: Any, size: tuple[int, int]) -> None:
    backbone = tiny()
    layers = ["input", *backbone.layers]
    found = backbone(torch.zeros(1, 3, *size, dtype=torch.float64), layers)
    expected = {layer: tuple(features.shape[-2:]) for layer, features in found.items()}
    assert feature_shapes(backbone, size, layers) == expected


def test_activation_count(tiny: Any) -> None:
    """Convolution and ReLU of each layer, and the poolings; the size need not be computed to be known."""
    per_pixel = 2 * 6 + 6 / 4 + 4 * 8 / 4 + 8 / 16 + 2 * 10 / 16
    found = activation_count(tiny(), (1000, 2000), ["conv3_1", "conv1_1"])
    assert found == pytest.approx(per_pixel * 2_000_000, rel=0.01)
    assert activation_count(tiny(), (1000, 2000), ["conv1_1"]) == pytest.approx(2 * 6 * 2_000_000, rel=0.01)


def test_faded_tiles_of_what_knows_no_borders_are_the_whole() -> None:
    picture = torch.rand(1, 3, 70, 131, dtype=torch.float64)
    seen: list[tuple[int, int]] = []

    def make(part: torch.Tensor) -> torch.Tensor:
        seen.append((part.shape[-2], part.shape[-1]))
        return 1 - part

    torch.testing.assert_close(faded(make, picture, 48, 16), 1 - picture)
    assert len(seen) == 2 * 4 and {*seen} == {(48, 48)}
    assert faded(make, picture, None, 16).shape == picture.shape and seen[-1] == (70, 131)


def test_tiles_that_differ_are_faded_into_one_another() -> None:
    parts = iter((0.0, 1.0))
    made = faded(lambda part: torch.full_like(part, next(parts)), torch.zeros(1, 3, 32, 80), 48, 16)[0, 0, 0]
    assert (made[:32] == 0).all() and (made[48:] == 1).all()
    torch.testing.assert_close(made[32:48], (torch.arange(16) + 0.5) / 16)
