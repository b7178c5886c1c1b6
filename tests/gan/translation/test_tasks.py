"""Inputs made of targets."""

from __future__ import annotations

import pytest
import torch

from gencli.core.color import luma
from gencli.core.errors import UsageError
from gencli.core.images import resize
from gencli.gan.translation import tasks
from gencli.gan.translation.tasks import Task, finished, ready, spoilt


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PICTURES = torch.rand(3, 3, 32, 48, generator=draw(9))


@pytest.mark.parametrize(
    ("text", "name", "how"),
    [("colorize", "colorize", ""), ("superres", "superres", "4"), ("superres=2", "superres", "2"),
     ("inpaint", "inpaint", "boxes"), ("inpaint=center", "inpaint", "center"), ("denoise=0.25", "denoise", "0.25"),
     ("edges", "edges", "")],
)  # fmt: skip
def test_tasks_are_read_and_written(text: str, name: str, how: str) -> None:
    task = Task.parse(text)
    assert (task.name, task.how) == (name, how)
    assert Task.parse(str(task)) == task


@pytest.mark.parametrize(
    "text",
    ["colourise", "colorize=1", "superres=5", "superres=x", "inpaint=round", "denoise=2", "denoise=x", "edges=2", ""],
)
def test_what_is_no_task_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Task.parse(text)
    assert f"--task {text}" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("text", ["colorize", "superres=4", "inpaint", "inpaint=center", "denoise", "edges"])
def test_inputs_have_the_targets_form_and_come_again(text: str) -> None:
    task = Task.parse(text)
    made = spoilt(task, PICTURES, draw())
    assert made.shape == PICTURES.shape and made.min() >= 0 and made.max() <= 1
    assert torch.equal(made, spoilt(task, PICTURES, draw()))
    assert not torch.equal(made, PICTURES)


def test_grey_has_the_pictures_luma() -> None:
    made = spoilt(Task.parse("colorize"), PICTURES, draw())
    assert torch.equal(made[:, :1], luma(PICTURES)) and torch.equal(made[:, 0], made[:, 2])


def test_small_pictures_are_enlarged_as_a_persons_are() -> None:
    small = resize(PICTURES, (8, 12))
    assert torch.allclose(
        spoilt(Task.parse("superres=4"), PICTURES, draw()), ready(Task.parse("superres=4"), small), atol=1e-5
    )


def test_noise_has_the_deviation_asked_for() -> None:
    grey = torch.full((4, 3, 64, 64), 0.5)
    assert float(spoilt(Task.parse("denoise=0.05"), grey, draw()).std()) == pytest.approx(0.05, rel=0.03)


def test_holes_are_boxes_and_the_rest_is_left() -> None:
    many = torch.rand(200, 3, 20, 30, generator=draw(4))
    made = spoilt(Task.parse("inpaint"), many, draw())
    holes = (made == tasks.BLANK).all(1)
    assert torch.equal(made[~holes[:, None].expand_as(made)], many[~holes[:, None].expand_as(made)])
    shares = holes.float().mean((1, 2))
    assert shares.min() > 0 and shares.max() < 0.9 and 0.08 < shares.mean() < 0.3
    assert len({tuple(hole.flatten().tolist()) for hole in holes}) > 190
    center = (spoilt(Task.parse("inpaint=center"), many, draw()) == tasks.BLANK).all(1)
    assert center[:, 5:15, 7:23].all() and float(center.float().mean()) == pytest.approx(160 / 600)


def test_lines_are_where_lightness_changes() -> None:
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = 1
    drawn = tasks.edges(picture)
    assert (drawn[..., 7:9] < 0.05).all() and (drawn[..., :6] == 1).all() and (drawn[..., 10:] == 1).all()


@pytest.mark.parametrize("text", ["inpaint", "denoise", "edges"])
def test_a_persons_picture_is_what_others_start_from(text: str) -> None:
    assert torch.equal(ready(Task.parse(text), PICTURES[:1]), PICTURES[:1])


def test_what_is_coloured_keeps_its_lightness() -> None:
    before = 0.3 + 0.4 * spoilt(Task.parse("colorize"), PICTURES, draw())
    made = 0.5 + 0.1 * (PICTURES.flip(0) - 0.5)
    found = finished(Task.parse("colorize"), before, made)
    torch.testing.assert_close(luma(found), luma(before), atol=1e-5, rtol=0)
    torch.testing.assert_close(found - luma(found), made - luma(made), atol=1e-5, rtol=0)
    for task in (None, Task.parse("edges"), Task.parse("denoise")):
        assert finished(task, before, made) is made
