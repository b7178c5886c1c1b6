"""Edits, and how they come back into a photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.images import Picture
from gencli.vae import models
from gencli.vae.concepts import Concept
from gencli.vae.editing import Edit, fading, moved
from gencli.vae.trained import Box, Trained

VECTOR = torch.tensor([4.0, 0, 0])


def loaded() -> Trained:
    net = models.build("dense", (3, 8, 8), 3, (16,)).eval()
    models.initialise(net, torch.Generator().manual_seed(0))
    return Trained("mine", net, {"classes": []}, Runtime(torch.device("cpu")), Path())


def photograph(height: int = 40, width: int = 60) -> Picture:
    rgb = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25
    return Picture(rgb, torch.linspace(0, 1, width).expand(1, 1, height, -1), "photo")


def test_concepts_add_up() -> None:
    latents, other = torch.ones(2, 3), Concept("other", torch.tensor([0.0, 1, 0]))
    found = moved(latents, [(Concept("one", VECTOR), 0.5), (other, -2.0)])
    assert found.tolist() == 2 * [[3.0, -1.0, 1.0]]


def test_the_photograph_keeps_what_does_not_change() -> None:
    """Only within the square something changes, nothing at its edge, and at strength 0 nothing at all."""
    picture = photograph()
    before = np.asarray(Edit(loaded(), picture, Box(0, 0, 8)).put_back([]))
    assert np.abs(before[..., :3] - (picture.rgb[0] * 255).permute(1, 2, 0).numpy()).max() <= 0.5
    box = Box(top=6, left=20, side=30)
    after = np.asarray(Edit(loaded(), picture, box).put_back([(Concept("one", VECTOR), 1.0)]))
    changed = (before != after).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows.min() >= 6 and rows.max() < 36 and columns.min() >= 20 and columns.max() < 50
    assert changed[14:28, 28:42].mean() > 0.9
    assert np.array_equal(after[..., 3], before[..., 3])  # and the transparency stays


def test_the_change_is_the_difference_of_what_the_model_draws() -> None:
    model, picture = loaded(), photograph()
    edit = Edit(model, picture, Box(0, 0, 40))
    after = np.asarray(edit.put_back([(Concept("one", VECTOR), 1.0)]))[..., :3] / 255.0
    drawn = model.decode(torch.cat([edit.latents, edit.latents + VECTOR]))
    wanted = (drawn[1] - drawn[0]).mean((1, 2)).numpy()
    found = (after - picture.rgb[0].permute(1, 2, 0).numpy())[10:30, 10:30].mean((0, 1))
    assert np.sign(found).tolist() == np.sign(wanted).tolist()


def test_a_strip_has_a_row_for_each_concept() -> None:
    edit = Edit(loaded(), photograph())
    strip = edit.strip([Concept("one", VECTOR), Concept("other", -VECTOR)], [-1, 0, 1])
    assert strip.size == (3 * 10 - 2, 2 * 10 - 2)
    cells = np.asarray(strip)
    assert np.array_equal(cells[:8, :8], cells[10:, 20:28]) and np.array_equal(cells[:8, 10:18], cells[10:, 10:18])
    assert not np.array_equal(cells[:8, :8], cells[:8, 10:18])


def test_the_change_fades_at_the_edges() -> None:
    weight = fading(60)
    assert weight[0].max() < 0.02 and torch.equal(weight[10:50, 10:50], torch.ones(40, 40))
    assert torch.equal(weight, weight.mT)
    torch.testing.assert_close(weight, weight.flip(0))
    assert (weight[30, :11].diff() > 0).sum() >= 9


@pytest.mark.parametrize("box", [Box(-1, 0, 10), Box(0, 51, 10), Box(35, 0, 10), Box(0, 0, 0)])
def test_a_square_outside_the_picture_is_refused(box: Box) -> None:
    with pytest.raises(UsageError, match="not within photo, 60 × 40 pixels"):
        Edit(loaded(), photograph(), box)
