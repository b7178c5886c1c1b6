"""Walks through a latent space."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gencli.core import paths
from gencli.core.errors import UsageError


def points(count: int, latent: int, seed: int = 0) -> Tensor:
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed))


def walk(kind: str, stops: Tensor, frames: int, closed: bool = False) -> Tensor:
    return paths.path(kind, stops, frames, closed=closed, draw=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["line", "sphere"])
def test_a_walk_passes_through_all_its_points(kind: str) -> None:
    stops = points(3, 5)
    torch.testing.assert_close(walk(kind, stops, 9)[[0, 4, 8]], stops)
    closed = walk(kind, stops, 12, closed=True)
    torch.testing.assert_close(closed[[0, 4, 8]], stops)
    assert not torch.allclose(closed[-1], stops[0])  # the first follows the last: shown once


def test_a_line_is_straight_and_even() -> None:
    steps = walk("line", points(2, 4), 7).diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand(6, -1))


@settings(max_examples=40, deadline=None)
@given(latent=st.integers(2, 40), seed=st.integers(0, 10**6), frames=st.integers(3, 20))
def test_a_sphere_is_walked_at_an_even_pace(latent: int, seed: int, frames: int) -> None:
    stops = points(2, latent, seed)
    stops = stops / stops.norm(dim=1, keepdim=True) * 3
    found = walk("sphere", stops, frames)
    torch.testing.assert_close(found.norm(dim=1), torch.full((frames,), 3.0), atol=1e-3, rtol=0)
    angles = (found[1:] * found[:-1]).sum(1).div(9).clamp(-1, 1).acos()
    torch.testing.assert_close(angles, angles.mean().expand(frames - 1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("other", [2.0, -2.0, 0.0])
def test_points_in_line_with_the_origin_are_joined_by_a_line(other: float) -> None:
    start = points(1, 4)
    found = walk("sphere", torch.cat([start, other * start]), 3)
    torch.testing.assert_close(found[1:2], start * (1 + other) / 2)


@settings(max_examples=40, deadline=None)
@given(latent=st.integers(2, 40), seed=st.integers(0, 10**6))
@example(latent=16, seed=1)  # drawn by what turns the circle, too: that lies in line with them
def test_a_circle_has_both_points_opposite_each_other(latent: int, seed: int) -> None:
    stops = points(2, latent, seed)
    found = walk("circle", stops, 8)
    torch.testing.assert_close(found[[0, 4]], stops, atol=1e-5, rtol=1e-4)
    radius = (stops[0] - stops[1]).norm() / 2
    torch.testing.assert_close((found - stops.mean(0)).norm(dim=1), radius.expand(8), atol=1e-4, rtol=1e-4)
    steps = torch.cat([found, found[:1]]).diff(dim=0).norm(dim=1)  # the last step leads back to the first
    torch.testing.assert_close(steps, steps[0].expand(8), atol=1e-4, rtol=1e-4)


def test_a_circle_stays_as_far_out_as_its_points() -> None:
    stops = points(2, 30)
    stops = stops / stops.norm(dim=1, keepdim=True) * 5
    torch.testing.assert_close(walk("circle", stops, 16).norm(dim=1), torch.full((16,), 5.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "stops", "message"),
    [
        ("line", points(1, 3), "two points"),
        ("circle", points(3, 3), "3 points"),
        ("circle", points(2, 1), "one latent"),
    ],
)
def test_walks_that_cannot_be(kind: str, stops: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        walk(kind, stops, 5)


def test_one_latent_walks_to_and_fro() -> None:
    assert walk("line", torch.tensor([[0.0], [2.0]]), 4, closed=True).flatten().tolist() == [0, 1, 2, 1]
