"""Picture sets, their batches, splits and augmentation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from gencli.core.errors import UsageError
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet, augment, in_order, resize


def pictures(count: int, size: int = 8, *, channels: int = 3, classes: int = 0, seed: int = 0) -> PictureSet:
    generator = torch.Generator().manual_seed(seed)
    stored = torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes if classes else None
    return PictureSet(stored, labels, tuple(f"class {n}" for n in range(classes)), fingerprint=f"{count}/{seed}")


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: Batch, other: Batch) -> bool:
    assert one.labels is not None
    assert other.labels is not None
    return (
        torch.equal(one.pictures, other.pictures)
        and torch.equal(one.labels, other.labels)
        and torch.equal(one.indices, other.indices)
        and torch.equal(one.flipped, other.flipped)
    )


# Sets


def test_a_subset_shows_its_pictures_and_what_is_known_of_them() -> None:
    whole = pictures(10, classes=5)
    part = whole.subset([7, 1, 3])
    assert len(part) == 3
    assert torch.equal(part.pictures, whole.stored[[7, 1, 3]])
    assert torch.equal(part.take(torch.tensor([2, 0])), whole.stored[[3, 7]])
    assert part.labels is not None
    assert part.labels.tolist() == [2, 1, 3]
    assert part.classes == whole.classes
    assert torch.equal(part.subset([2]).pictures, whole.stored[[3]])
    assert part.stored is whole.stored  # nothing was copied


def test_fingerprints_of_subsets_differ_by_their_pictures() -> None:
    whole = pictures(10)
    prints = [s.fingerprint for s in (whole, whole.subset([1, 2]), whole.subset([2, 1]), whole.subset([1]))]
    assert len(set(prints)) == 4
    assert whole.subset([1, 2]).fingerprint == whole.subset([1, 2]).fingerprint


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 200), classes=st.integers(0, 7), held_out=st.floats(0.01, 0.9), seed=st.integers())
def test_a_split_is_disjoint_whole_and_stratified(count: int, classes: int, held_out: float, seed: int) -> None:
    whole = pictures(count, 1, classes=classes)
    train, held = whole.split(held_out, seed)
    assert train.rows is not None
    assert held.rows is not None
    assert sorted([*train.rows.tolist(), *held.rows.tolist()]) == list(range(count))
    assert len(held) == min(max(1, round(held_out * count)), count - 1)
    if classes:
        assert whole.labels is not None
        assert held.labels is not None
        share = len(held) / count
        for label in range(classes):
            due = share * int((whole.labels == label).sum())
            assert abs(int((held.labels == label).sum()) - due) < 1 + 1e-9


def test_a_split_depends_on_its_seed_only() -> None:
    whole = pictures(100, 1, classes=3)
    rows = [whole.split(0.2, seed)[1].rows for seed in (0, 0, 1)]
    assert rows[0] is not None
    assert rows[1] is not None
    assert rows[2] is not None
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UsageError, match="hold out a fraction of 1"):
        pictures(10).split(1.0)
    with pytest.raises(UsageError, match="too few"):
        pictures(1).split(0.5)


def test_a_read_only_memory_map_serves_without_a_warning(tmp_path: Any) -> None:
    stored = pictures(6).stored.numpy()
    np.save(tmp_path / "pictures.npy", stored)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped = torch.from_numpy(np.load(tmp_path / "pictures.npy", mmap_mode="c"))
        batch = PictureBatches(PictureSet(mapped), 6, augmentation=Augmentation(flip=True, shift=2)).batch(0, 0)
    assert batch.pictures.shape == (6, 3, 8, 8)
    assert np.array_equal(np.load(tmp_path / "pictures.npy"), stored)


# Batches


def test_a_batch_is_a_pure_function_of_its_position() -> None:
    data = pictures(50, classes=4)
    options: dict[str, Any] = {
        "seed": 3,
        "augmentation": Augmentation(flip=True, shift=2, scale=(0.3, 1.0)),
        "size": 6,
    }
    batches = PictureBatches(data, 16, **options)
    walked = {(e, i): batches.batch(e, i) for e in range(3) for i in range(len(batches))}
    again = PictureBatches(data, 16, **options)
    for position in reversed(list(walked)):
        assert same(again.batch(*position), walked[position])
    assert not same(walked[0, 0], walked[1, 0])
    assert not same(PictureBatches(data, 16, **{**options, "seed": 4}).batch(0, 0), walked[0, 0])


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 300), size=st.integers(1, 64), world=st.integers(1, 5), epoch=st.integers(0, 9))
def test_every_picture_comes_once_an_epoch_over_all_ranks(count: int, size: int, world: int, epoch: int) -> None:
    data = pictures(max(count, world), 1)
    ranks = [PictureBatches(data, size, rank=rank, world_size=world) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    parts = [rank.batch(epoch, index).indices for rank in ranks for index in range(len(rank))]
    assert torch.cat(parts).sort().values.equal(torch.arange(len(data)))
    sizes = {len(part) for part in parts}
    assert min(sizes) >= 1
    assert max(sizes) <= (size if world == 1 else max(size, 2))
    assert max(sizes) - min(sizes) <= 1


def test_epochs_come_in_different_orders() -> None:
    batches = PictureBatches(pictures(100, 1), 100)
    orders = [tuple(batches.batch(epoch, 0).indices.tolist()) for epoch in range(3)]
    assert len(set(orders)) == 3


def test_batches_carry_pictures_and_labels_of_their_indices() -> None:
    data = pictures(40, classes=3).subset(range(5, 35))
    batch = PictureBatches(data, 8, seed=1).batch(2, 1)
    assert data.labels is not None
    assert batch.labels is not None
    assert torch.equal(batch.pictures, data.pictures[batch.indices].float() / 255)
    assert torch.equal(batch.labels, data.labels[batch.indices])
    assert not batch.flipped.any()


def test_more_ranks_than_pictures_and_empty_batches_are_refused() -> None:
    with pytest.raises(UsageError, match="3 pictures for 4 ranks"):
        PictureBatches(pictures(3), 1, world_size=4)
    with pytest.raises(UsageError, match="batch"):
        PictureBatches(pictures(3), 0)


def test_evaluation_takes_the_set_in_order_and_unchanged() -> None:
    data = pictures(10, classes=2)
    batches = list(in_order(data, 4))
    assert [len(batch.indices) for batch in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([batch.pictures for batch in batches]), data.stored / 255)
    assert torch.equal(torch.cat([b.labels for b in batches if b.labels is not None]), torch.arange(10) % 2)
    assert next(in_order(data, 4, size=4)).pictures.shape == (4, 3, 4, 4)


# Augmentation


def test_flipped_pictures_are_exactly_mirrored_and_the_others_untouched() -> None:
    original = pictures(64).stored
    changed, flipped = augment(original, Augmentation(flip=True), draws())
    assert 16 < int(flipped.sum()) < 48
    assert torch.equal(changed[flipped], original[flipped].flip(-1) / 255)
    assert torch.equal(changed[~flipped], original[~flipped] / 255)


@pytest.mark.parametrize("limit", [1, 3])
def test_shifted_pictures_are_windows_of_the_picture_padded_by_reflection(limit: int) -> None:
    original = pictures(80, 9).stored
    changed, _ = augment(original, Augmentation(shift=limit), draws(1))
    padded = torch.nn.functional.pad(original / 255, (limit,) * 4, mode="reflect")
    seen = set()
    for picture, room in zip(changed, padded, strict=True):
        found = [
            (y, x)
            for y in range(2 * limit + 1)
            for x in range(2 * limit + 1)
            if torch.equal(picture, room[:, y : y + 9, x : x + 9])
        ]
        assert found
        seen.update(found)
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(2 * limit + 1))


def test_warped_pictures_are_seen_through_affine_maps() -> None:
    """A ramp stays one under an affine map: its value is known everywhere but near the edges."""
    middles = (torch.arange(32) + 0.5) / 16 - 1  # places as the maps see them, from -1 to 1
    ramp = (127.5 + 100 * (0.6 * middles[:, None] + 0.3 * middles)).round().to(torch.uint8).expand(5, 3, 32, 32)
    changed, _ = augment(ramp, Augmentation(warp=0.05), draws(3))
    maps = torch.eye(2, 3) + 0.05 * torch.randn(5, 2, 3, generator=draws(3))
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    seen = torch.einsum("nij,jhw->nihw", maps, torch.stack([x, y, torch.ones_like(x)]))
    wanted = (127.5 + 100 * (0.6 * seen[:, 1] + 0.3 * seen[:, 0])) / 255
    assert (changed[:, 0] - wanted)[:, 6:-6, 6:-6].abs().max() < 1 / 255
    assert (changed - ramp / 255).abs().max() > 5 / 255
    noise, _ = augment(pictures(9, 16).stored, Augmentation(warp=0.1), draws())
    assert noise.min() >= 0 and noise.max() <= 1


def test_a_window_of_the_whole_picture_is_the_picture() -> None:
    original = pictures(5, 16).stored
    changed, _ = augment(original, Augmentation(scale=(1, 1), ratio=(1, 1)), draws())
    assert torch.allclose(changed, original / 255, atol=1e-6)


@pytest.mark.parametrize("size", [12, 32, 48])
def test_windows_are_resampled_as_pillow_does(size: int) -> None:
    original = pictures(6, 32, channels=1).stored
    augmentation = Augmentation(scale=(0.2, 0.9), ratio=(0.7, 1.4))
    changed, _ = augment(original, augmentation, draws(2), size)
    numbers = torch.rand(4, 6, generator=draws(2))  # the draws: area, ratio, top, left
    for row, picture in enumerate(changed):
        area = (0.2 + 0.7 * numbers[0, row]) * 32 * 32
        ratio = (torch.tensor(0.7).log() + torch.tensor(2.0).log() * numbers[1, row]).exp()
        tall, wide = (area / ratio).sqrt().clamp(max=32), (area * ratio).sqrt().clamp(max=32)
        top, left = numbers[2, row] * (32 - tall), numbers[3, row] * (32 - wide)
        box = tuple(float(side) for side in (left, top, left + wide, top + tall))
        expected = Image.fromarray(original[row, 0].numpy()).resize(
            (size, size), Image.Resampling.BILINEAR, box=(box[0], box[1], box[2], box[3])
        )
        assert np.abs(np.asarray(expected) / 255 - picture[0].numpy()).max() < 2 / 255


def test_windows_keep_the_range_and_a_flat_colour() -> None:
    flat = torch.full((9, 3, 16, 16), 200, dtype=torch.uint8)
    changed, _ = augment(flat, Augmentation(flip=True, shift=3, scale=(0.08, 1)), draws(), 8)
    assert torch.allclose(changed, torch.full_like(changed, 200 / 255), atol=1e-6)
    noise, _ = augment(pictures(9, 16).stored, Augmentation(scale=(0.08, 1)), draws(), 24)
    assert noise.min() >= 0
    assert noise.max() <= 1 + 1e-6


def test_pictures_are_made_smaller_with_antialiasing() -> None:
    board = ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 255).to(torch.uint8).expand(2, 3, 16, 16)
    small, _ = augment(board, Augmentation(), draws(), 4)
    assert small.shape == (2, 3, 4, 4)
    assert (small - 0.5).abs().max() < 0.02  # without antialiasing: all black or all white
    as_float = resize(board / 255, (4, 4))
    assert (small - as_float).abs().max() < 2 / 255


@pytest.mark.parametrize(
    "options",
    [
        {"shift": -1},
        {"warp": 1.5},
        {"scale": (0.0, 1.0)},
        {"scale": (0.9, 0.5)},
        {"scale": (0.5, 1.5)},
        {"ratio": (2.0, 1.0)},
    ],
)
def test_impossible_augmentation_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Augmentation(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_another_device_gives_the_same_batches() -> None:
    def both(device: str) -> Tensor:
        augmentation = Augmentation(flip=True, shift=2, scale=(0.3, 1.0))
        return (
            PictureBatches(pictures(64, 32), 64, size=24, augmentation=augmentation, device=device).batch(0, 0).pictures
        )

    assert torch.allclose(both("cpu"), both("cuda").cpu(), atol=1e-3)
