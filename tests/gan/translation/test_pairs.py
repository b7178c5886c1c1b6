"""How two kinds of pictures may be laid out, and what is said where they cannot be told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gencli.core import datasets
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.gan.translation import pairs
from gencli.gan.translation.pairs import Kinds

SIZE = 16


def write(path: Path, number: int, kind: int, size: tuple[int, int] = (20, 20)) -> None:
    """A flat picture that tells its number in red and its kind in blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10 * number, 0, 100 * kind)).save(path)


def numbers(pictures: PictureSet) -> list[int]:
    return [round(float(picture[0].float().mean()) / 10) for picture in pictures.pictures]


def kind(pictures: PictureSet) -> set[int]:
    return {round(float(picture[2].float().mean()) / 100) for picture in pictures.pictures}


def load(*data: Path | str, **changes: Any) -> Kinds:
    given: dict[str, Any] = {"size": SIZE, "paired": True, **changes}
    return pairs.load([str(one) for one in data], **given)


def check_pairs(kinds: Kinds, count: int, first: int = 1) -> None:
    assert kinds.before is not None and kinds.held_before is not None
    seen = []
    for before, after in ((kinds.before, kinds.after), (kinds.held_before, kinds.held_after)):
        assert numbers(before) == numbers(after) and kind(before) == {first} and kind(after) == {3 - first}
        seen += numbers(before)
    assert len(seen) == len({*seen}) == count
    assert len(kinds.held_after) >= 1


@pytest.mark.parametrize("names", [("A", "B"), ("trainA", "trainB"), ("train/A", "train/B"), ("horse", "zebra")])
def test_pairs_have_the_same_name_in_two_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    for number in range(1, 11):
        for which, folder in enumerate(names, 1):
            write(tmp_path / folder / f"{number}.png", number, which)
    check_pairs(load(tmp_path), 10)
    check_pairs(load(tmp_path, direction="BtoA"), 10, first=2)


def test_pairs_in_two_places_may_have_other_endings_and_some_no_partner(tmp_path: Path) -> None:
    for number in range(1, 11):
        write(tmp_path / "photos" / "deep" / f"{number}.png", number, 1)
        if number != 4:
            write(tmp_path / "plans" / "deep" / f"{number}.bmp", number, 2)
    write(tmp_path / "plans" / "odd.png", 20, 2)
    kinds = load(tmp_path / "photos", tmp_path / "plans")
    check_pairs(kinds, 9)
    assert kinds.names == ("photos", "plans")


def test_a_picture_that_cannot_be_read_takes_its_partner_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 11):
        for which, folder in enumerate(("A", "B"), 1):
            write(tmp_path / folder / f"{number:02}.png", number, which)
    (tmp_path / "A" / "03.png").write_bytes(b"no picture")
    (tmp_path / "B" / "07.png").write_bytes(b"no picture")
    kinds = load(tmp_path)
    check_pairs(kinds, 8)
    assert kinds.before is not None and not {3, 7} & {*numbers(kinds.before)}


def test_pictures_twice_as_wide_as_high_are_pairs(tmp_path: Path) -> None:
    for number in range(1, 9):
        both = Image.new("RGB", (40, 20), (10 * number, 0, 100))
        both.paste((10 * number, 0, 200), (20, 0, 40, 20))
        both.save(tmp_path / f"{number}.png")
    check_pairs(load(tmp_path), 8)
    for file in tmp_path.glob("*.png"):
        Image.open(file).resize((60, 20), Image.Resampling.NEAREST).save(file)
    with pytest.raises(UsageError, match="cannot be told apart"):
        load(tmp_path)
    check_pairs(load(tmp_path, split="left-right"), 8)


def test_facades_go_from_the_plan_to_the_photograph(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(1, 5):
            both = Image.new("RGB", (40, 20), (10 * number, 0, 100))
            both.paste((10 * number, 0, 200), (20, 0, 40, 20))
            (tmp_path / "facades" / split).mkdir(parents=True, exist_ok=True)
            both.save(tmp_path / "facades" / split / f"{number}.png")
    kinds = load("facades", root=tmp_path)
    assert kinds.before is not None and kinds.held_before is not None
    assert kind(kinds.before) == kind(kinds.held_before) == {2} and kind(kinds.after) == {1}
    assert len(kinds.after) == len(kinds.held_after) == 4
    turned = load("facades", root=tmp_path, direction="AtoB")
    assert turned.before is not None and kind(turned.before) == {1}


def test_a_test_part_is_held_out(tmp_path: Path) -> None:
    for number in range(1, 7):
        for which, letter in enumerate("AB", 1):
            write(tmp_path / f"train{letter}" / f"{number}.png", number, which)
            write(tmp_path / f"test{letter}" / f"{number}.png", number + 10, which)
    kinds = load(tmp_path)
    assert {*numbers(kinds.after)} == {*range(1, 7)} and {*numbers(kinds.held_after)} == {*range(11, 17)}
    check_pairs(kinds, 12)


def test_without_pairs_any_two_folders_do(tmp_path: Path) -> None:
    for number in range(1, 13):
        write(tmp_path / "A" / f"{number}.png", number, 1)
        if number < 6:
            write(tmp_path / "B" / f"other-{number}.png", number, 2)
    kinds = load(tmp_path, paired=False)
    assert kinds.before is not None and kinds.held_before is not None
    assert len(kinds.before) + len(kinds.held_before) == 12 and len(kinds.after) + len(kinds.held_after) == 5
    assert not {*numbers(kinds.after)} & {*numbers(kinds.held_after)}
    with pytest.raises(UsageError, match="no picture of the one kind has the name") as caught:
        load(tmp_path)
    assert "other-1" in caught.value.message and "cyclegan" in (caught.value.hint or "")


def test_an_attribute_of_a_drawn_set_tells_two_kinds_apart() -> None:
    kinds = load("@faces:60", paired=False, split="Glasses")
    whole = {part: datasets.load("@faces:60", size=SIZE, split=part) for part in ("train", "test")}
    assert kinds.names == ("without glasses", "with glasses")
    for part, sets in (("train", (kinds.before, kinds.after)), ("test", (kinds.held_before, kinds.held_after))):
        known = whole[part].attributes
        assert known is not None
        has = known[:, whole[part].attribute_names.index("glasses")]
        for wanted, found in zip((~has, has), sets, strict=True):
            assert found is not None and len(found) > 0
            assert torch.equal(found.pictures, whole[part].pictures[wanted])
    turned = load("@faces:60", paired=False, split="glasses", direction="BtoA", limit=3)
    assert turned.names == ("with glasses", "without glasses") and len(turned.after) == 3


def test_where_no_held_out_picture_has_it_some_others_are_held_out() -> None:
    kinds = load("@faces:20", paired=False, split="hat", held_out=0.3)  # two are held out, of which at most one has one
    assert kinds.held_before is not None and len(kinds.held_before) > 0 and len(kinds.held_after) > 0


def test_two_classes_of_many_are_two_kinds(tmp_path: Path) -> None:
    for which, folder in enumerate(("cat", "cow", "dog"), 0):
        for number in range(1, 11):
            write(tmp_path / folder / f"{number}.png", number, which)
    kinds = load(tmp_path, paired=False, split="dog,Cat")
    assert kinds.before is not None and kind(kinds.before) == {2} and kind(kinds.after) == {0}
    assert kinds.names == ("dog", "cat")
    check_pairs(load(tmp_path, split="cow,dog"), 10)  # the same names in both
    with pytest.raises(UsageError, match="no pairs of 3 and 8"):
        load("@digits:100", split="3,8")
    digits = load("@digits:100", paired=False, split="3,8")
    assert digits.names == ("3", "8") and digits.before is not None and len(digits.before) > 4


def test_a_test_part_without_classes_is_not_held_out(tmp_path: Path) -> None:
    for which, folder in enumerate(("cat", "dog"), 1):
        for number in range(1, 11):
            write(tmp_path / "train" / folder / f"{number}.png", number, which)
            write(tmp_path / "test" / f"{folder}-{number}.png", number + 10, which)
    kinds = load(tmp_path, paired=False)
    assert {*numbers(kinds.after), *numbers(kinds.held_after)} == {*range(1, 11)}


def test_attributes_of_a_known_set(tmp_path: Path) -> None:
    place = tmp_path / "celeba" / "img_align_celeba"
    for number in range(1, 13):
        write(place / f"{number:06}.jpg", number, number % 2)
    rows = "\n".join(f"{number:06}.jpg {1 if number % 2 else -1} -1" for number in range(1, 13))
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text(f"12\nSmiling Young\n{rows}\n", encoding="utf-8")
    kinds = load("celeba", root=tmp_path, paired=False, split="smiling", held_out=0.2)
    assert kinds.names == ("without Smiling", "with Smiling") and kinds.before is not None
    assert kind(kinds.before) == {0} and kind(kinds.after) == {1} and len(kinds.after) == 5
    with pytest.raises(UsageError, match="no pairs of without Smiling and with Smiling"):
        load("celeba", root=tmp_path, split="Smiling")
    with pytest.raises(UsageError, match="cannot be told apart") as caught:
        load("celeba", root=tmp_path, paired=False)
    assert "Smiling, Young" in (caught.value.hint or "")


def test_two_sets_of_any_kind(tmp_path: Path) -> None:
    for number in range(1, 11):
        write(tmp_path / f"{number}.png", number, 1)
    kinds = load(tmp_path, "@faces:10", paired=False)
    assert kinds.names == (tmp_path.name, "faces") and len(kinds.after) + len(kinds.held_after) == 10
    with pytest.raises(UsageError, match="no pairs"):
        load(tmp_path, "@faces:10")


@pytest.mark.parametrize(
    ("data", "split", "words"),
    [
        (["@faces:10"], "hut", "neither an attribute of faces nor two of its classes"),
        (["@digits:10"], "3", "neither an attribute of digits nor two of its classes"),
        (["@digits:10"], "3,3", "neither an attribute of digits nor two of its classes"),
        (["@faces:10"], None, "cannot be told apart"),
        (["@faces:10"], "left-right", "cannot be told apart"),
        (["@faces:10", "@digits:10"], "hat", "for one set"),
        (["@faces:1"], "closed-eyes", "faces has no picture with closed-eyes"),
    ],
)
def test_a_split_that_makes_no_two_kinds_is_refused(data: list[str], split: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(*data, paired=False, split=split)


def test_pairs_stay_pairs_whatever_was_loaded_before(tmp_path: Path) -> None:
    """The first kind has one that the second lacks: in pairs its rows are others."""
    for number in range(1, 11):
        write(tmp_path / "A" / f"{number:02}.png", number, 1)
        if number > 1:
            write(tmp_path / "B" / f"{number:02}.png", number, 2)
    assert len(load(tmp_path, paired=False, held_out=0.2).after) == 7
    check_pairs(load(tmp_path), 9)
    write(tmp_path / "B" / "01.png", 1, 2)
    check_pairs(load(tmp_path / "A", tmp_path / "B"), 10)


def test_a_name_that_several_have_makes_no_pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1, 7):
        write(tmp_path / "A" / "deep" / f"{number}.png", number, 1)
        write(tmp_path / "B" / f"{number}.png", number, 2)
    write(tmp_path / "A" / "other" / "6.png", 9, 1)
    write(tmp_path / "A" / "8.png", 8, 1)
    write(tmp_path / "B" / "8.png", 8, 2)
    check_pairs(load(tmp_path), 6)
    assert "without a partner of the same name: 2 of A and 1 of B" in caplog.text


def test_test_parts_inside_both_kinds_are_held_out(tmp_path: Path) -> None:
    for which, folder in enumerate("AB", 1):
        for number in range(1, 7):
            write(tmp_path / folder / "train" / f"{number}.png", number, which)
            write(tmp_path / folder / "test" / f"{number}.png", number + 10, which)
    kinds = load(tmp_path)
    check_pairs(kinds, 12)
    assert {*numbers(kinds.held_after)} == {*range(11, 17)}


def test_a_folder_called_facades_is_like_any_other(tmp_path: Path) -> None:
    for which, folder in enumerate("AB", 1):
        for number in range(1, 7):
            write(tmp_path / "facades" / folder / f"{number}.png", number, which)
    check_pairs(load(tmp_path / "facades"), 6)
    assert pairs.usual_direction([str(tmp_path / "facades")]) == "AtoB"


def test_of_other_pictures_all_are_held_out(tmp_path: Path) -> None:
    for which, folder in enumerate("AB", 1):
        for number in range(1, 4):
            write(tmp_path / folder / f"{number}.png", number, which)
    for paired in (True, False):
        kinds = load(tmp_path, paired=paired, held_out=None)
        assert kinds.counts == [3, 3, 3, 3]
    assert load(tmp_path / "A", task=True, held_out=None).counts == [0, 3, 0, 3]


def test_a_damaged_picture_among_pairs_side_by_side(tmp_path: Path) -> None:
    for number in range(1, 9):
        Image.new("RGB", (40, 20), (10 * number, 0, 100)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    assert len(load(tmp_path).after) + len(load(tmp_path).held_after) == 7


def test_a_task_takes_photographs_alone(tmp_path: Path) -> None:
    for number in range(1, 11):
        write(tmp_path / f"{number}.png", number, 1)
    kinds = load(tmp_path, task=True, held_out=0.2)
    assert kinds.before is None and len(kinds.after) == 8 and len(kinds.held_after) == 2


def test_what_cannot_be_told_apart_is_shown_beside_what_is_expected(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        write(tmp_path / folder / "1.png", 1, 1)
    with pytest.raises(UsageError) as caught:
        load(tmp_path)
    assert "one/  1 pictures" in caught.value.message and "trainA/x.jpg" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="3 times"):
        load(tmp_path, tmp_path, tmp_path)


def test_pairs_together_keep_both(tmp_path: Path) -> None:
    for number in range(1, 6):
        for which, folder in enumerate(("A", "B"), 1):
            write(tmp_path / folder / f"{number}.png", number, which)
    kinds = load(tmp_path)
    assert kinds.before is not None
    both = pairs.together(kinds.before, kinds.after)
    assert both.shape == (6, SIZE, SIZE)
    assert torch.equal(both.pictures[:, :3], kinds.before.pictures) and torch.equal(
        both.pictures[:, 3:], kinds.after.pictures
    )
    assert both.fingerprint not in {kinds.before.fingerprint, kinds.after.fingerprint}
    assert both.fingerprint != pairs.together(kinds.after, kinds.before).fingerprint
