"""Figures of translators that do what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from gencli.core.color import luma
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.gan.translation import evaluation
from gencli.gan.translation.networks import Translator
from gencli.gan.translation.pairs import Kinds
from gencli.gan.translation.trained import TrainedTranslator

PIXELS = torch.randint(256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


class Negative(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return 1 - pictures


class Darker(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures - 0.1


def pictures(pixels: Tensor) -> PictureSet:
    return PictureSet(pixels, fingerprint="some")


def translator(task: str | None = None, **nets: nn.Module) -> TrainedTranslator:
    config: dict[str, Any] = {"task": task}
    return TrainedTranslator("mine", cast("dict[str, Translator]", nets), config, Runtime(torch.device("cpu")), Path())


def test_one_that_knows_has_no_error_and_the_ignorant_have_theirs() -> None:
    kinds = Kinds(
        pictures(PIXELS[:4]), pictures(255 - PIXELS[:4]), pictures(PIXELS[4:]), pictures(255 - PIXELS[4:]), ("a", "b")
    )
    found = evaluation.evaluate(translator(there=Negative()), kinds, 100, 1)
    assert found["l1"] < 1e-6 and found["perceptual"] < 1e-6 and found["frechet"] < 1e-6 and found["precision"] == 1
    wanted = (255 - PIXELS[4:]).float() / 255
    assert found["l1 of the input"] == pytest.approx(float((PIXELS[4:] / 255 - wanted).abs().mean()))
    mean = (255 - PIXELS[:4]).float().mean(0) / 255
    assert found["l1 of the mean"] == pytest.approx(float((mean - wanted).abs().mean()), rel=1e-5)
    assert found["perceptual of the mean"] > 0.1 and "colour" not in found


def test_there_and_back_is_measured_both_ways() -> None:
    kinds = Kinds(pictures(PIXELS[:4]), pictures(PIXELS[:4]), pictures(PIXELS[4:8]), pictures(PIXELS[8:]), ("a", "b"))
    found = evaluation.evaluate(translator(there=Darker(), back=nn.Identity()), kinds, 100, 1)
    assert found["cycle"] == pytest.approx(0.1, abs=1e-6) and "l1" not in found
    found = evaluation.evaluate(translator(there=Negative(), back=Negative()), kinds, 100, 1)
    assert found["cycle"] < 1e-6 and found["back frechet"] > 0


def test_colours_are_measured_without_lightness() -> None:
    kinds = Kinds(None, pictures(PIXELS[:4]), None, pictures(PIXELS[4:]), ("made of it", "some"))
    found = evaluation.evaluate(translator("colorize", there=Darker()), kinds, 100, 1)
    wanted = PIXELS[4:].float() / 255
    colours = wanted - luma(wanted)
    # grey pictures, however dark, have no colours
    assert found["colour"] == pytest.approx(float(colours.abs().mean()), rel=1e-4)
    assert found["colour of the input"] == pytest.approx(found["colour"], rel=1e-4)
    assert found["l1"] == pytest.approx(found["l1 of the input"], rel=1e-4)  # for its lightness is put back
    learnt = PIXELS[:4].float() / 255
    usual = (learnt - luma(learnt)).mean((0, 2, 3))[:, None, None]
    assert found["colour of the mean"] == pytest.approx(
        float((usual - colours).abs().mean()), rel=0.02
    )  # some are cut off


def test_one_picture_is_too_few() -> None:
    kinds = Kinds(None, pictures(PIXELS[:4]), None, pictures(PIXELS[4:5]), ("made of it", "some"))
    with pytest.raises(UsageError, match="fewer than 2"):
        evaluation.evaluate(translator("edges", there=nn.Identity()), kinds, 100, 1)
