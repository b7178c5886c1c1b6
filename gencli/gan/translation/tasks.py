"""Inputs made of their targets, so that photographs are all it takes to train on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.color import luma, with_color_of
from gencli.core.errors import UsageError
from gencli.core.images import resize

USUAL = {"colorize": "", "superres": "4", "inpaint": "boxes", "denoise": "0.1", "edges": ""}
HOLES = ("boxes", "center")
FACTORS = ("2", "3", "4", "8")
BLANK = 0.5  # where something is to be filled in
MOST_BOXES = 4
ALIKE = ("colorize", "superres", "inpaint", "denoise")  # whose inputs are much like their targets
BY_CHANCE = ("inpaint", "denoise")  # whose inputs are made by chance
FAINT = 0.08  # edges of so little contrast are half seen
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


@dataclass(frozen=True)
class Task:
    """What is to be learnt: `name` and, as a text, how much or where."""

    name: str
    how: str = ""

    @classmethod
    def parse(cls, text: str) -> Task:
        """`superres=4`, or without a value the usual one. Raises UsageError for what is no task."""
        name, _, how = text.partition("=")
        if name not in USUAL:
            raise UsageError(f"--task {text}: there is no such task", f"use {', '.join(USUAL)}")
        task = cls(name, how or USUAL[name])
        wrong, expected = {
            "colorize": (bool(how), "no value"),
            "edges": (bool(how), "no value"),
            "superres": (task.how not in FACTORS, "2, 3, 4 or 8"),
            "inpaint": (task.how not in HOLES, " or ".join(HOLES)),
            "denoise": (not _between(task.how, 0, 1), "a number between 0 and 1"),
        }[name]
        if wrong:
            raise UsageError(f"--task {text}: expected {expected}", f"such as --task {cls(name, USUAL[name])}")
        return task

    def __str__(self) -> str:
        return f"{self.name}={self.how}" if self.how else self.name


def _between(text: str, low: float, high: float) -> bool:
    try:
        return low < float(text) < high
    except ValueError:
        return False


def spoilt(task: Task, pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Of targets (N, 3, H, W) in [0, 1] the inputs, of the same size; what is by chance is drawn from `draw`."""
    if task.name == "colorize":
        return grey(pictures)
    if task.name == "superres":
        height, width = pictures.shape[-2:]
        factor = int(task.how)
        small = resize(pictures, (max(1, height // factor), max(1, width // factor)))
        return resize(small, (height, width)).clamp(0, 1)
    if task.name == "denoise":
        noise = torch.randn(pictures.shape, generator=draw, device=draw.device).to(pictures)
        return (pictures + float(task.how) * noise).clamp(0, 1)
    if task.name == "edges":
        return edges(pictures)
    holes = _holes(task.how, len(pictures), (pictures.shape[-2], pictures.shape[-1]), draw).to(pictures)
    return torch.where(holes > 0, torch.full_like(pictures, BLANK), pictures)


def ready(task: Task, picture: Tensor) -> Tensor:
    """A picture (1, 3, H, W) that a person has, as a translator wants it: grey, or as large as it will be."""
    if task.name == "colorize":
        return grey(picture)
    if task.name == "superres":
        height, width = picture.shape[-2:]
        return resize(picture, (int(task.how) * height, int(task.how) * width)).clamp(0, 1)
    return picture


def finished(task: Task | None, before: Tensor, made: Tensor) -> Tensor:
    """What is made (N, 3, H, W) of a translator's inputs, as people get it: a picture that was given colours keeps its
    own lightness."""
    if task is None or task.name != "colorize":
        return made
    return with_color_of(before, made).clamp(0, 1)


def grey(pictures: Tensor) -> Tensor:
    """Lightness alone, in three channels."""
    return luma(pictures).expand(-1, 3, -1, -1)


def edges(pictures: Tensor) -> Tensor:
    """A drawing of pictures (N, 3, H, W): dark lines on white where lightness changes, in three channels."""
    across = pictures.new_tensor(SOBEL).view(1, 1, 3, 3) / 8
    light = F.pad(luma(pictures), (1, 1, 1, 1), mode="replicate")
    slope = torch.hypot(F.conv2d(light, across), F.conv2d(light, across.mT))
    line = slope.square() / (slope.square() + FAINT**2)
    return (1 - line).expand(-1, 3, -1, -1)


def _holes(where: str, count: int, size: tuple[int, int], draw: torch.Generator) -> Tensor:
    """What is missing of each of N pictures, (N, 1, H, W), 1 there: the middle quarter, or boxes by chance."""
    height, width = size
    holes = torch.zeros(count, 1, height, width)
    for hole in holes[:, 0]:
        if where == "center":
            hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
            continue
        numbers = torch.rand(1 + 4 * MOST_BOXES, generator=draw, device=draw.device).tolist()
        for box in range(1 + int(numbers[0] * MOST_BOXES)):
            tall, wide, top, left = numbers[1 + 4 * box : 5 + 4 * box]
            tall, wide = max(1, int((0.1 + 0.3 * tall) * height)), max(1, int((0.1 + 0.3 * wide) * width))
            y, x = int(top * (height - tall + 1)), int(left * (width - wide + 1))
            hole[y : y + tall, x : x + wide] = 1
    return holes
