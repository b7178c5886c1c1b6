"""Planes through the latent space."""

from __future__ import annotations

import pytest
import torch

from gencli.core.errors import UsageError
from gencli.vae import latent


def test_two_latents_are_their_own_plane() -> None:
    plane = latent.plane(2, encoded=torch.randn(9, 2))
    at = torch.tensor([[0.5, -2.0]])
    assert torch.equal(plane.latents(at), at) and torch.equal(plane.coordinates(at), at)


def test_one_latent_has_a_line() -> None:
    plane = latent.plane(1)
    assert plane.latents(torch.tensor([[0.5, 3.0]])).tolist() == [[0.5]]
    assert plane.coordinates(torch.tensor([[0.5]])).tolist() == [[0.5, 0.0]]


def test_principal_components_lie_where_the_pictures_do() -> None:
    """Pictures along two known directions of five, around a known middle; coordinates in deviations."""
    draw = torch.Generator().manual_seed(0)
    wide, narrow = torch.tensor([0.6, 0.8, 0, 0, 0]), torch.tensor([0, 0, 0, 1.0, 0])
    numbers = torch.randn(4000, 2, generator=draw)
    encoded = torch.arange(5.0) + 3 * numbers[:, :1] * wide + 0.5 * numbers[:, 1:] * narrow
    plane = latent.plane(5, encoded=encoded)
    torch.testing.assert_close(plane.directions, torch.stack([3 * wide, 0.5 * narrow]), atol=0.1, rtol=0)
    torch.testing.assert_close(plane.coordinates(encoded), numbers, atol=0.1, rtol=0.05)
    torch.testing.assert_close(plane.latents(plane.coordinates(encoded)), encoded, atol=0.05, rtol=0.05)


def test_chosen_axes() -> None:
    plane = latent.plane(4, [4, 2])
    assert plane.latents(torch.tensor([1.0, 2.0])).tolist() == [0, 2, 0, 1]
    for axes in ([1, 1], [0, 2], [1, 5], [1], [1, 2, 3]):
        with pytest.raises(UsageError, match="no such two latents"):
            latent.plane(4, axes)


def test_places_are_quantiles_or_even() -> None:
    normal = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(normal.cdf(latent.spaced(4)), torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert latent.spaced(3, 2.0).tolist() == [-2, 0, 2]


def test_a_lattice_rises_to_the_right_and_to_the_top() -> None:
    found = latent.lattice(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0]))
    assert found.shape == (2, 3, 2)
    assert found[0, 0].tolist() == [1, 20] and found[1, 2].tolist() == [3, 10]
