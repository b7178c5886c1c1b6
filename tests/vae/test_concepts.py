"""Concept vectors: what they are, how they are judged, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gencli.core.device import Runtime
from gencli.core.errors import GencliError, UsageError
from gencli.core.pictures import PictureSet
from gencli.vae import concepts, models
from gencli.vae.concepts import Concept
from gencli.vae.trained import Trained


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_attribute_has_the_difference_of_the_means() -> None:
    latents, has = normal(50, 4), normal(50, 1, seed=1) > 0.3
    (found,) = concepts.effects(latents, has)
    with_it, without = latents[has[:, 0]].mean(0), latents[~has[:, 0]].mean(0)
    torch.testing.assert_close(found, with_it - without, atol=1e-5, rtol=1e-5)


def test_attributes_that_come_together_are_told_apart() -> None:
    """Of two that mostly agree, each with an effect of its own, the differences of means would mix both."""
    one = normal(4000, seed=1) > 0
    other = torch.where(normal(4000, seed=2) > 1, ~one, one)
    effects = torch.tensor([[2.0, 0, 0], [0, -1.0, 0]])
    latents = torch.stack([one, other], 1).float() @ effects + 0.1 * normal(4000, 3, seed=3)
    torch.testing.assert_close(concepts.effects(latents, torch.stack([one, other], 1)), effects, atol=0.02, rtol=0)


def test_an_attribute_that_all_have_spoils_nothing() -> None:
    latents, has = normal(30, 3), torch.stack([normal(30, seed=1) > 0, torch.ones(30, dtype=torch.bool)], 1)
    found = concepts.effects(latents, has)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:1], concepts.effects(latents, has[:, :1]), atol=1e-5, rtol=1e-5)


def test_separation_counts_pairs_in_order() -> None:
    latents = torch.tensor([[0.0], [1], [1], [2]])
    has = torch.tensor([False, False, True, True])
    assert concepts.separation(torch.tensor([2.0]), latents, has) == (0.5 + 1 + 1 + 1) / 4
    assert concepts.separation(torch.tensor([-2.0]), latents, has) == 0.5 / 4
    assert concepts.separation(torch.tensor([1.0]), latents, torch.ones(4, dtype=torch.bool)) is None


def test_examples_of_two_kinds_make_a_concept() -> None:
    direction = torch.tensor([3.0, 0, 0])
    found = concepts.between("odd", normal(40, 3) + direction, normal(30, 3, seed=1))
    torch.testing.assert_close(found.vector, direction, atol=0.8, rtol=0)
    assert found.separation is not None and found.separation > 0.9
    chance = concepts.between("odd", normal(400, 3), normal(400, 3, seed=1)).separation
    assert chance is not None and abs(chance - 0.5) < 0.1  # judged by examples it has not seen
    assert concepts.between("few", normal(2, 3), normal(9, 3)).separation is None


def loaded(folder: Path, classes: int = 0) -> Trained:
    net = models.build("dense", (1, 8, 8), 3, (6,), classes=classes).eval()
    models.initialise(net, torch.Generator().manual_seed(0))
    return Trained("mine", net, {"classes": ["a", "b"]}, Runtime(torch.device("cpu")), folder)


def pictures(attributes: Tensor | None, labels: Tensor | None, classes: tuple[str, ...] = ()) -> PictureSet:
    draw = torch.Generator().manual_seed(3)
    stored = torch.randint(256, (60, 1, 8, 8), dtype=torch.uint8, generator=draw)
    names = tuple("pqr"[: attributes.shape[1]]) if attributes is not None else ()
    return PictureSet(stored, labels, classes, attributes, names)


def test_what_all_pictures_have_is_not_learnt(tmp_path: Path) -> None:
    known = torch.stack([normal(60) > 0, torch.ones(60, dtype=torch.bool), torch.zeros(60, dtype=torch.bool)], 1)
    found = concepts.learn(loaded(tmp_path), *2 * [pictures(known, None)])
    assert [*found] == ["p"]


def test_classes_are_learnt_each_against_the_rest(tmp_path: Path) -> None:
    labels = torch.arange(60) % 3
    shown = pictures(None, labels, ("x", "y", "z"))
    model = loaded(tmp_path)
    found, latents = concepts.learn(model, shown, shown), model.encode_all(shown)
    assert [*found] == ["x", "y", "z"]
    wanted = latents[labels == 1].mean(0) - latents[labels != 1].mean(0)
    torch.testing.assert_close(found["y"].vector, wanted, atol=1e-5, rtol=1e-4)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    for shown in (pictures(None, None), pictures(None, torch.zeros(60, dtype=torch.int64), ("one",))):
        assert not concepts.labelled(shown, conditional=False)
        with pytest.raises(UsageError, match="no labels to learn concepts from"):
            concepts.learn(loaded(tmp_path), shown, shown)


def test_concepts_are_kept_with_the_model(tmp_path: Path) -> None:
    assert concepts.load(tmp_path) == {}
    known = {one.name: one for one in (Concept("Big_Nose", normal(3), 0.75), Concept("smiling", normal(3, seed=1)))}
    concepts.keep(loaded(tmp_path), known)
    again = concepts.load(tmp_path)
    assert [(one.name, one.separation) for one in again.values()] == [("Big_Nose", 0.75), ("smiling", None)]
    assert all(torch.equal(again[name].vector, known[name].vector) for name in known)
    assert concepts.chosen(again, "big-nose", "mine").name == "Big_Nose"
    with pytest.raises(UsageError, match="mine knows no attribute hat") as error:
        concepts.chosen(again, "hat", "mine")
    assert error.value.hint == "it knows Big_Nose, smiling"
    (tmp_path / concepts.FILE).write_bytes(b"damaged")
    with pytest.raises(GencliError, match="concepts"):
        concepts.load(tmp_path)
