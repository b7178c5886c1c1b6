"""The picture sets known by name, in the layouts their makers and torchvision give them."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gencli.core import catalogue
from gencli.core.datasets import load, train_and_test
from gencli.core.errors import ExitCode, GencliError, MissingError
from gencli.core.raw import read_idx


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GENCLI_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def flat(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture file of one grey, by which it is known again after decoding."""
    file = io.BytesIO()
    Image.new("RGB", size, (value,) * 3).save(file, "jpeg", quality=95)
    return file.getvalue()


def write(root: Path, contents: dict[str, bytes | str]) -> None:
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def tar(path: Path, contents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def zipped(path: Path, contents: dict[str, bytes | str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def greys(pictures: torch.Tensor) -> list[int]:
    return [int(picture[:, 1:-1, 1:-1].float().mean().round()) for picture in pictures]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return pixels, (np.arange(count) % 10).astype(np.uint8)


def mnist_files(suffix: str = "") -> dict[str, bytes | str]:
    pack: Callable[[bytes], bytes] = gzip.compress if suffix else bytes
    files: dict[str, bytes | str] = {}
    for part, count, seed in (("train", 12, 0), ("t10k", 5, 1)):
        pixels, labels = digits(count, seed)
        files[f"{part}-images-idx3-ubyte{suffix}"] = pack(idx(pixels))
        files[f"{part}-labels-idx1-ubyte{suffix}"] = pack(idx(labels))
    return files


@pytest.mark.parametrize(
    ("name", "folder", "classes"),
    [("mnist", "MNIST/raw", ("0", "1")), ("fashion-mnist", "FashionMNIST/raw", ("T-shirt/top", "trouser"))],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_and_its_like(root: Path, name: str, folder: str, classes: tuple[str, ...], suffix: str) -> None:
    write(root / folder, mnist_files(suffix))
    train, test = train_and_test(name, size=28, channels=1, root=root)
    for data, (pixels, labels) in ((train, digits(12, 0)), (test, digits(5, 1))):
        assert np.array_equal(data.pictures[:, 0], pixels)
        assert data.labels is not None
        assert data.labels.tolist() == labels.tolist()
        assert data.classes[:2] == classes
        assert len(data.classes) == 10
    colour = load(name, size=32, root=root)
    assert colour.pictures.shape == (12, 3, 32, 32)
    assert torch.equal(colour.pictures[:, 0], colour.pictures[:, 2])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (idx(np.zeros((2, 3), np.uint8))[:-1], "holds 5"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "holds more"),
        (b"\0\0\x0d\1\0\0\0\1abcd", "not an idx file"),
        (b"\0\0\x08\3" + b"\xff" * 12, "not an idx file"),
        (b"\0\0", "damaged or incomplete|cannot read"),
        (b"", "cannot read"),
    ],
)
def test_damaged_idx_files_are_errors_that_name_them(tmp_path: Path, content: bytes, told: str) -> None:
    for path, data in ((tmp_path / "a-ubyte", content), (tmp_path / "b-ubyte.gz", gzip.compress(content))):
        path.write_bytes(data)
        with pytest.raises(GencliError, match=told) as caught:
            read_idx(path)
        assert path.name in caught.value.message
    (tmp_path / "c-ubyte.gz").write_bytes(content + b"no gzip")
    with pytest.raises(GencliError, match="c-ubyte"):
        read_idx(tmp_path / "c-ubyte.gz")


def test_pictures_and_labels_must_belong_together(root: Path) -> None:
    files = mnist_files()
    files["train-labels-idx1-ubyte"] = files["t10k-labels-idx1-ubyte"]
    write(root / "MNIST" / "raw", files)
    with pytest.raises(GencliError, match="labels-idx1-ubyte"):
        load("mnist", size=28, root=root)


def cifar_batches() -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    records = {
        name: np.concatenate(
            [np.full((2, 1), number, np.uint8), generator.integers(0, 256, (2, 3072), dtype=np.uint8)], axis=1
        ).tobytes()
        for number, name in enumerate(names)
    }
    return {f"cifar-10-batches-bin/{name}.bin": content for name, content in records.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_binary(root: Path, packed: bool) -> None:
    batches = cifar_batches()
    if packed:
        tar(root / "cifar-10-binary.tar.gz", dict(reversed(batches.items())))
    else:
        write(root, {**batches})
    train, test = train_and_test("cifar10", size=32, root=root)
    assert train.labels is not None
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert test.labels is not None
    assert [test.classes[label] for label in test.labels] == ["dog", "dog"]
    third = np.frombuffer(batches["cifar-10-batches-bin/data_batch_2.bin"], np.uint8)[1:3073].reshape(3, 32, 32)
    assert np.array_equal(train.pictures[2], third)


def test_cifar10_that_is_incomplete_is_an_error(root: Path) -> None:
    batches = cifar_batches()
    del batches["cifar-10-batches-bin/data_batch_4.bin"]
    batches["cifar-10-batches-bin/test_batch.bin"] += b"x"
    write(root, {**batches})
    with pytest.raises(GencliError, match=r"lacks data_batch_4\.bin"):
        load("cifar10", size=32, root=root)
    with pytest.raises(GencliError, match=r"test_batch\.bin has"):
        load("cifar10", size=32, root=root, split="test")


def test_cifar10_pickles_are_not_read_unless_they_are_the_originals(root: Path) -> None:
    write(root / "cifar-10-batches-py", dict.fromkeys(("data_batch_1", "test_batch"), b"cos\nsystem\n"))
    with pytest.raises(GencliError, match="MD5"):
        load("cifar10", size=32, root=root)


def test_cifar10_as_pictures(root: Path) -> None:
    tar(
        root / "cifar10" / "train.tar.gz",
        {f"train/{c}/0.jpg": flat(v) for c, v in (("cat", 50), ("truck", 90))},
    )
    tar(root / "cifar10" / "test.tar.gz", {"test/truck/0.jpg": flat(120)})
    train, test = train_and_test("cifar10", size=8, root=root)
    assert (greys(train.pictures), greys(test.pictures)) == ([50, 90], [120])
    assert train.labels is not None
    assert test.labels is not None
    assert (train.labels.tolist(), test.labels.tolist()) == ([3, 9], [9])
    assert train.classes == test.classes == catalogue.CIFAR_CLASSES


WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, wading bird\nn99\tunused\n"


def stanford() -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {
        "wnids.txt": "n03\nn01\nn02\n",
        "words.txt": WORDS,
        "val/val_annotations.txt": "val_0.JPEG\tn03\t0\t0\t8\t8\nval_1.JPEG\tn01\t0\t0\t8\t8\n",
        "val/images/val_0.JPEG": flat(200),
        "val/images/val_1.JPEG": flat(210),
        "test/images/test_0.JPEG": flat(250),
    }
    for number, wnid in enumerate(("n01", "n02", "n03")):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "boxes"
        for picture in range(2):
            files[f"train/{wnid}/images/{wnid}_{picture}.JPEG"] = flat(10 * number + picture * 40 + 20)
    return files


@pytest.mark.parametrize("layout", ["folder", "zip"])
def test_tiny_imagenet_of_stanford(root: Path, layout: str) -> None:
    if layout == "folder":
        write(root / "tiny-imagenet-200", stanford())
    else:
        zipped(root / "tiny-imagenet-200.zip", {f"tiny-imagenet-200/{n}": c for n, c in stanford().items()})
    train, test = train_and_test("tiny-imagenet", size=8, root=root)
    assert train.labels is not None
    assert test.labels is not None
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert greys(train.pictures) == [20, 60, 30, 70, 40, 80]
    assert sorted(zip(greys(test.pictures), test.labels.tolist(), strict=True)) == [(200, 2), (210, 0)]
    assert train.classes == test.classes == ("goldfish", "crane", "crane, wading bird")


def test_tiny_imagenet_in_shards(root: Path) -> None:
    place = root / "tiny-imagenet"
    for shard in range(2):
        names = {f"train/n0{c}/n0{c}_{shard}.JPEG": flat(c * 40 + shard * 10) for c in (3, 1, 2)}
        tar(place / f"train-{shard}.tar.gz", names)
    tar(place / "val.tar.gz", {"val/n02/val_0.JPEG": flat(200)})
    lines = [line.split("\t") for line in WORDS.splitlines()]
    write(place, {"classes.tsv": "".join(f"{n}\t{wnid}\t{name}\n" for n, (wnid, name) in enumerate(lines))})
    train, test = train_and_test("tiny-imagenet", size=8, root=root)
    assert greys(train.pictures) == [40, 50, 80, 90, 120, 130]
    assert train.labels is not None
    assert test.labels is not None
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0, 1, 1, 2, 2], [1])
    assert train.classes == test.classes == ("goldfish", "crane", "crane, wading bird", "unused")


def celeba_tables(count: int) -> str:
    rows = (f"{n:06}.jpg  {'1' if n % 2 else '-1'} {'-1' if n % 3 else ' 1'}\n" for n in range(1, count + 1))
    return f"{count}\nSmiling Male\n" + "".join(rows)


@pytest.mark.parametrize("layout", ["folder", "zip", "tar.gz"])
def test_celeba_with_its_partition(root: Path, layout: str) -> None:
    pictures = {f"img_align_celeba/{n:06}.jpg": flat(20 * n, (16, 20)) for n in range(1, 7)}
    if layout == "folder":
        write(root / "celeba", {**pictures})
    elif layout == "zip":
        zipped(root / "celeba" / "img_align_celeba.zip", {**pictures})
    else:
        tar(root / "celeba" / "img_align_celeba.tar.gz", pictures)
    partition = "".join(f"{n:06}.jpg {part}\n" for n, part in zip(range(1, 9), (0, 0, 2, 1, 0, 2, 0, 1), strict=True))
    write(root / "celeba", {"list_attr_celeba.txt": celeba_tables(8), "list_eval_partition.txt": partition})
    train, val, test = (load("celeba", size=8, root=root, split=s) for s in ("train", "val", "test"))
    assert [greys(part.pictures) for part in (train, val, test)] == [[20, 40, 100], [80], [60, 120]]
    assert train.attribute_names == ("Smiling", "Male")
    assert train.attributes is not None
    assert train.attributes.tolist() == [[True, False], [False, False], [True, False]]
    assert train.attributes.dtype == torch.bool
    held = train.subset([2])
    assert held.attributes is not None
    assert held.attributes.tolist() == [[True, False]]


def test_celeba_without_a_partition_is_split_the_same_way_however_much_is_there(root: Path) -> None:
    def parts(count: int) -> list[set[int]]:
        write(root / "celeba" / "img_align_celeba", {f"{n:06}.jpg": flat(n) for n in range(1, count + 1)})
        return [set(greys(load("celeba", size=8, root=root, split=s).pictures)) for s in ("train", "test")]

    train, test = parts(120)
    assert train.isdisjoint(test)
    assert train | test == set(range(1, 121))
    assert 2 <= len(test) <= 15
    more_train, more_test = parts(200)
    assert train < more_train
    assert test < more_test


def test_celeba_attributes_must_cover_the_pictures(root: Path) -> None:
    write(root / "celeba" / "img_align_celeba", {f"{n:06}.jpg": flat(n) for n in range(1, 6)})
    write(root / "celeba", {"list_attr_celeba.txt": celeba_tables(3)})
    with pytest.raises(GencliError, match=r"no line for 00000[45]\.jpg"):
        load("celeba", size=8, root=root)
    write(root / "celeba", {"list_attr_celeba.txt": celeba_tables(5).replace("000002.jpg  -1", "000002.jpg")})
    with pytest.raises(GencliError, match="without 2 values"):
        load("celeba", size=8, root=root)
    for damaged in ("", "5\n"):
        write(root / "celeba", {"list_attr_celeba.txt": damaged})
        with pytest.raises(GencliError, match="no line for"):
            load("celeba", size=8, root=root)


def test_an_empty_set_is_an_error(root: Path) -> None:
    (root / "celeba" / "img_align_celeba").mkdir(parents=True)
    with pytest.raises(GencliError, match="no pictures of celeba"):
        load("celeba", size=8, root=root)


@pytest.mark.parametrize("place", ["facades", "facades.tar.gz", "facades/facades.tar.gz"])
def test_facades_are_the_photographs_of_the_pairs(root: Path, place: str) -> None:
    pair = Image.new("RGB", (32, 16), (50, 50, 50))
    pair.paste((250, 0, 0), (16, 0, 32, 16))
    file = io.BytesIO()
    pair.save(file, "png")
    files = {f"facades/{part}/{n}.png": file.getvalue() for part in ("train", "val", "test") for n in range(2)}
    if place == "facades":
        write(root, {**files})
    else:
        tar(root / place, files)
    train, test = train_and_test("facades", size=16, root=root)
    assert greys(train.pictures) == greys(test.pictures) == [50, 50]
    assert greys(load("facades", size=16, root=root, crop="right").pictures[:, :1]) == [250, 250]


# What is not there


@pytest.mark.parametrize("name", catalogue.names())
def test_a_set_that_is_not_there_says_what_to_put_where(root: Path, name: str) -> None:
    with pytest.raises(MissingError) as caught:
        load(name, size=8, root=root)
    assert caught.value.exit_code == ExitCode.MISSING
    assert caught.value.hint is not None
    told = caught.value.message + caught.value.hint
    assert name in told
    assert str(root) in told
    assert "http" in told


def test_descriptions_say_what_is_there(root: Path, home: Path) -> None:
    write(root / "MNIST" / "raw", mnist_files())
    known = {name: catalogue.describe(name, root) for name in catalogue.names()}
    assert [name for name, about in known.items() if about.where] == ["mnist"]
    assert known["mnist"].where == str(root / "MNIST" / "raw")
    assert "downloaded" in known["mnist"].get
    assert "downloaded" not in known["celeba"].get
    assert all(about.about and about.licence for about in known.values())
    assert str(home / "data") in catalogue.describe("celeba").get


def test_a_download_that_fails_says_why_and_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: str, download: bool) -> None:
        write(Path(folder), {"MNIST/raw/train-images-idx3-ubyte": b"half"})
        raise RuntimeError("Error downloading\ntrain-images-idx3-ubyte")

    monkeypatch.delenv("GENCLI_OFFLINE")
    monkeypatch.setattr("torchvision.datasets.MNIST", fail)
    with pytest.raises(MissingError, match="download failed: Error downloading train-images"):
        load("mnist", size=28, root=root)
    assert list(root.iterdir()) == []


def test_what_was_downloaded_is_used_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fetch(folder: str, download: bool) -> None:
        print("noise of the library")
        print("its progress bar", file=sys.stderr)
        write(Path(folder) / "MNIST" / "raw", mnist_files())

    def fetch_archive(url: str, folder: str, md5: str) -> None:
        assert url.startswith("https://")
        assert len(md5) == 32
        tar(Path(folder) / "cifar-10-binary.tar.gz", cifar_batches())

    monkeypatch.delenv("GENCLI_OFFLINE")
    monkeypatch.setattr("torchvision.datasets.MNIST", fetch)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch_archive)
    root = tmp_path / "new" / "root"
    assert len(load("mnist", size=28, root=root)) == 12
    assert len(load("cifar10", size=32, root=root)) == 10
    assert sorted(path.name for path in root.iterdir()) == ["MNIST", "cifar-10-binary.tar.gz"]
    monkeypatch.setenv("GENCLI_OFFLINE", "1")
    assert len(load("mnist", size=28, root=root, split="test")) == 5
    assert capfd.readouterr() == ("", "")
