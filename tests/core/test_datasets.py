"""Folders and archives to picture sets: what is found, decoded, skipped, cached."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gencli.core import datasets
from gencli.core.datasets import load, train_and_test
from gencli.core.decode_pool import Crop, Form, Task, decode, decode_many
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import NoPartError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("GENCLI_HOME", str(folder))
    return folder


def noise(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def put(path: Path, picture: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, Image.registered_extensions()[path.suffix.lower()])
    return path


def animals(folder: Path, count: int = 3) -> Path:
    """Two classes in a folder, with what else lies in real folders."""
    for number in range(count):
        put(folder / "cats" / f"{number}.png", noise(number))
        put(folder / "Dogs" / "deep" / f"{number}.PNG", noise(100 + number))
    (folder / "cats" / "notes.txt").write_text("no picture")
    put(folder / ".thumbnails" / "0.png", noise(7))
    put(folder / "__MACOSX" / "cats" / "0.png", noise(8))
    put(folder / "cats" / "._0.png", noise(9))
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder in an order that is not the sorted one."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for file in files:
                zipped.write(file, Path(folder.name) / file.relative_to(folder))
    else:
        mode: Any = "w:" + archive.suffix[1:].replace("tar", "")
        with tarfile.open(archive, mode) as tar:
            for file in files:
                tar.add(file, f"./{folder.name}/{file.relative_to(folder)}")
    return archive


def cached(home: Path) -> list[Path]:
    return [path for path in (home / "cache" / "pictures").iterdir() if path.is_dir()]


# What is found


def test_a_folder_gives_its_pictures_sorted_and_labels_from_the_first_level(tmp_path: Path) -> None:
    data = load(animals(tmp_path / "animals"), size=8)
    assert data.classes == ("Dogs", "cats")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.labels.dtype == torch.int64
    expected = [noise(seed) for seed in (100, 101, 102, 0, 1, 2)]
    assert np.array_equal(data.pictures.numpy(), [np.asarray(picture).transpose(2, 0, 1) for picture in expected])
    assert data.name == "animals"


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, suffix: str) -> None:
    folder = animals(tmp_path / "animals")
    direct = load(folder, size=8)
    packed = load(pack(folder, tmp_path / f"animals{suffix}"), size=8)
    assert torch.equal(packed.pictures, direct.pictures)
    assert packed.classes == direct.classes
    assert packed.fingerprint == direct.fingerprint
    assert not list(tmp_path.glob("cats"))


def test_the_later_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals")
    archive = pack(folder, tmp_path / "animals.tar")
    put(folder / "cats" / "0.png", noise(55))
    with tarfile.open(archive, "a") as tar:
        tar.add(folder / "cats" / "0.png", "animals/cats/0.png")
    assert torch.equal(load(archive, size=8).pictures, load(folder, size=8).pictures)


def test_parts_are_told_by_a_train_and_a_test_level(tmp_path: Path) -> None:
    for part, seeds in (("Train", (0, 1)), ("val", (2, 3)), ("samples", (4, 5))):
        put(tmp_path / "set" / "data" / part / "a" / "0.png", noise(seeds[0]))
        put(tmp_path / "set" / "data" / part / "b" / "0.png", noise(seeds[1]))
    train, test = train_and_test(tmp_path / "set", size=8)
    assert train.classes == test.classes == ("a", "b")
    assert np.array_equal(train.pictures[0].permute(1, 2, 0), np.asarray(noise(0)))
    assert np.array_equal(test.pictures[1].permute(1, 2, 0), np.asarray(noise(3)))
    assert len(train) == len(test) == 2


def test_a_test_part_without_some_classes_keeps_the_numbers(tmp_path: Path) -> None:
    for name in ("train/a/0", "train/b/0", "train/c/0", "test/b/1"):
        put(tmp_path / "set" / f"{name}.png", noise(0))
    test = load(tmp_path / "set", size=8, split="test")
    assert test.labels is not None
    assert [test.classes[label] for label in test.labels] == ["b"]


def test_unpaired_sets_are_two_classes_of_each_part(tmp_path: Path) -> None:
    for folder in ("trainA", "trainB", "testA", "testB"):
        put(tmp_path / "horse2zebra" / folder / "0.png", noise(0))
    train, test = train_and_test(tmp_path / "horse2zebra", size=8)
    assert train.classes == test.classes == ("A", "B")


def test_without_a_test_part_one_is_held_out(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals", 10)
    with pytest.raises(NoPartError, match="no part named test"):
        load(folder, size=8, split="test")
    train, test = train_and_test(folder, size=8, held_out=0.2, seed=1)
    assert (len(train), len(test)) == (16, 4)
    assert test.labels is not None
    assert test.labels.bincount().tolist() == [2, 2]


def test_pictures_beside_the_folders_mean_no_labels(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals")
    put(folder / "loose.png", noise(5))
    data = load(folder, size=8)
    assert (data.labels, data.classes, len(data)) == (None, (), 7)
    assert load(folder / "cats", size=8).labels is None


def test_links_that_loop_end(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals")
    (folder / "cats" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "cats" / "nowhere.png").symlink_to(tmp_path / "missing.png")
    assert len(load(folder, size=8)) == 6


def test_a_picture_several_sources_and_a_folder_of_archives(tmp_path: Path) -> None:
    one = put(tmp_path / "one.JPG", noise(1, (30, 20)))
    assert load(one, size=8).pictures.shape == (1, 3, 8, 8)
    folder = animals(tmp_path / "animals")
    assert len(load([one, str(folder)], size=8)) == 7
    shards = tmp_path / "shards"
    shards.mkdir()
    pack(folder / "cats", shards / "cats.zip")
    pack(folder / "Dogs", shards / "dogs.tar.gz")
    data = load(shards, size=8)
    assert torch.equal(data.pictures, load(folder, size=8).pictures)
    assert data.classes == ("Dogs", "cats")


def test_a_limit_takes_pictures_of_every_class(tmp_path: Path) -> None:
    data = load(animals(tmp_path / "animals", 5), size=8, limit=4)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 1]


# How pictures are brought to size


def test_the_central_square_is_kept(tmp_path: Path) -> None:
    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    tall = wide.transpose(Image.Transpose.ROTATE_90)
    put(tmp_path / "set" / "a.png", wide)
    put(tmp_path / "set" / "b.png", tall)
    data = load(tmp_path / "set", size=10).pictures
    assert data[:, 2, 1:9, 1:9].min() > 250
    assert data[:, 0, 1:9, 1:9].max() < 5


@pytest.mark.parametrize(("crop", "colour"), [("left", (255, 0, 0)), ("right", (0, 0, 255))])
def test_a_half_of_a_pair_is_kept(tmp_path: Path, crop: Crop, colour: tuple[int, int, int]) -> None:
    pair = Image.new("RGB", (40, 20), "red")
    pair.paste("blue", (20, 0, 40, 20))
    data = load(put(tmp_path / "pair.png", pair), size=10, crop=crop).pictures  # no trace of the other half
    assert (data[0] == torch.tensor(colour)[:, None, None]).all()


def test_a_stretched_picture_is_whole(tmp_path: Path) -> None:
    pair = Image.new("RGB", (40, 20), "red")
    pair.paste("blue", (20, 0, 40, 20))
    data = load(put(tmp_path / "pair.png", pair), size=20, crop="stretch").pictures
    assert data[0, 0, :, :8].min() > 250
    assert data[0, 2, :, 12:].min() > 250


def test_grey_is_luminance_and_alpha_lies_on_white(tmp_path: Path) -> None:
    put(tmp_path / "set" / "clear.png", Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    put(tmp_path / "set" / "green.png", Image.new("RGB", (8, 8), (0, 255, 0)))
    put(tmp_path / "set" / "grey.png", Image.new("L", (8, 8), 77))
    grey = load(tmp_path / "set", size=8, channels=1).pictures
    assert grey.shape == (3, 1, 8, 8)
    assert grey[:, 0, 0, 0].tolist() == [255, 150, 77]
    assert load(tmp_path / "set", size=8).pictures[:, :, 0, 0].tolist() == [[255] * 3, [0, 255, 0], [77] * 3]


def test_photographs_are_turned_upright_and_scaled_with_antialiasing(tmp_path: Path) -> None:
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste("blue", (0, 0, 100, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: its left is up
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    upright = load(tmp_path / "photo.jpg", size=16).pictures[0]
    assert upright[2, :6].min() > 240
    assert upright[0, 10:].min() > 240
    board = np.indices((160, 160)).sum(0) % 2 * np.uint8(255)
    put(tmp_path / "board.png", Image.fromarray(board.astype(np.uint8)))
    assert (load(tmp_path / "board.png", size=16).pictures.float() - 127.5).abs().max() < 3


# What cannot be read


def test_corrupt_pictures_are_skipped_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = animals(tmp_path / "animals", 4)
    expected = load(folder, size=8)
    (folder / "Dogs" / "broken.jpg").write_bytes(b"not a picture")
    (folder / "cats" / "1a.png").write_bytes((folder / "cats" / "1.png").read_bytes()[:60])
    (folder / "cats" / "empty.webp").touch()
    with caplog.at_level(logging.WARNING, "gencli"):
        data = load(folder, size=8)
    assert torch.equal(data.pictures, expected.pictures)
    assert data.labels is not None
    assert expected.labels is not None
    assert torch.equal(data.labels, expected.labels)
    assert data.fingerprint == expected.fingerprint
    assert "skipped 3 of 11" in caplog.text
    for name in ("broken.jpg", "1a.png", "empty.webp"):
        assert name in caplog.text


def test_a_folder_without_pictures_says_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.TXT").touch()
    (folder / "a.csv").touch()
    with pytest.raises(GencliError, match=r"found 11 files: 10 \.txt, 1 \.csv") as caught:
        load(folder, size=8)
    assert caught.value.hint is not None
    assert ".jpg" in caught.value.hint
    (tmp_path / "nothing").mkdir()
    with pytest.raises(GencliError, match="no files at all"):
        load(tmp_path / "nothing", size=8)


def test_a_folder_of_corrupt_pictures_is_an_error(tmp_path: Path, home: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    with pytest.raises(GencliError, match="none of the 5 pictures"):
        load([tmp_path / f"{number}.png" for number in range(5)], size=8)
    assert cached(home) == []


def test_damaged_archives_are_errors_that_name_them(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals")
    for suffix in (".zip", ".tar", ".tar.gz", ".tar.xz"):
        whole = pack(folder, tmp_path / f"whole{suffix}").read_bytes()
        cut = tmp_path / f"cut{suffix}"
        cut.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(GencliError, match=f"cut{suffix}"):
            load(cut, size=8)
    tar = bytearray(pack(folder, tmp_path / "plain.tar").read_bytes())
    with tarfile.open(tmp_path / "plain.tar") as opened:
        header = opened.getmembers()[3].offset
    tar[header : header + 8] = b"damaged!"
    (tmp_path / "plain.tar").write_bytes(tar)
    with pytest.raises(GencliError, match="damaged"):
        load(tmp_path / "plain.tar", size=8)


def test_a_damaged_member_of_a_zip_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = pack(animals(tmp_path / "animals"), tmp_path / "animals.zip")
    with zipfile.ZipFile(archive) as zipped:
        info = zipped.getinfo("animals/cats/1.png")
    content = bytearray(archive.read_bytes())
    content[info.header_offset + 80] ^= 0xFF
    archive.write_bytes(content)
    with caplog.at_level(logging.WARNING, "gencli"):
        assert len(load(archive, size=8)) == 5
    assert "cats/1.png" in caplog.text


def test_a_member_that_claims_too_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gencli.core.sources.MAX_MEMBER_BYTES", 1000)
    folder = animals(tmp_path / "animals")
    (folder / "cats" / "bomb.png").write_bytes(bytes(100_000))
    for archive in (pack(folder, tmp_path / "a.zip"), pack(folder, tmp_path / "a.tar.gz")):
        with caplog.at_level(logging.WARNING, "gencli"):
            assert len(load(archive, size=8)) == 6
        assert "bomb.png: it claims 100,000 bytes" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    ("data", "told", "hint"),
    [
        ("@dogs", "no drawn picture set @dogs", "@glyphs"),
        ("@glyphs:many", "'many' is no number", "@glyphs:50000"),
        ("no-such-set", "neither a known picture set", "tiny-imagenet"),
    ],
)
def test_what_means_nothing_is_a_usage_error_with_the_known_names(data: str, told: str, hint: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load(data, size=8)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_drawn_sets_have_parts_that_share_no_picture() -> None:
    train, test = datasets.train_and_test("@glyphs:300", size=28, channels=1)
    assert (len(train), len(test)) == (300, 30)
    assert train.shape == (1, 28, 28) and len(train.classes) == 36
    assert train.labels is not None and int(train.labels.max()) <= 35
    assert not {p.numpy().tobytes() for p in train.pictures} & {p.numpy().tobytes() for p in test.pictures}
    again = load("@glyphs:300", size=28, channels=1)
    assert again.fingerprint == train.fingerprint != test.fingerprint


def test_drawn_pictures_are_the_same_however_many_there_are() -> None:
    few, more = load("@faces:20", size=16), load("@faces:30", size=16)
    assert torch.equal(more.pictures[:20], few.pictures)
    assert few.attributes is not None and few.attributes.shape == (20, len(few.attribute_names))
    assert "smiling" in few.attribute_names
    limited = load("@faces:30", size=16, limit=20)
    assert limited.fingerprint == few.fingerprint


def test_drawn_pictures_become_grey_or_coloured() -> None:
    colour, grey = load("@faces:4", size=32), load("@faces:4", size=32, channels=1)
    wanted = (colour.pictures.double() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    assert float((grey.pictures - wanted).abs().max()) <= 0.51
    glyphs = load("@glyphs:4", size=28)
    assert glyphs.shape == (3, 28, 28) and torch.equal(glyphs.pictures[:, 0], glyphs.pictures[:, 2])


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"size": 0}, {"size": 8, "channels": 2}, {"size": 8, "limit": 0}]
    for options in wrong:
        with pytest.raises(UsageError):
            load(tmp_path, **options)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(GencliError, match=r"notes\.txt is neither a picture"):
        load(text, size=8)


# The cache


def test_a_second_load_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    folder = animals(tmp_path / "animals")
    first = load(folder, size=8)
    monkeypatch.setattr(datasets, "decode_many", lambda *_: pytest.fail("decoded again"))
    again = load(folder, size=8)
    assert torch.equal(first.pictures, again.pictures)
    assert first.fingerprint == again.fingerprint
    assert len(cached(home)) == 1


def test_whatever_changes_the_contents_decodes_again(tmp_path: Path, home: Path) -> None:
    folder = animals(tmp_path / "animals")
    prints = [load(folder, size=8).fingerprint]
    put(folder / "cats" / "0.png", noise(77))
    prints.append(load(folder, size=8).fingerprint)
    put(folder / "cats" / "9.png", noise(78))
    prints.append(load(folder, size=8).fingerprint)
    prints.append(load(folder, size=4).fingerprint)
    prints.append(load(folder, size=8, channels=1).fingerprint)
    prints.append(load(folder, size=8, limit=2).fingerprint)
    (folder / "cats").rename(folder / "kittens")
    prints.append(load(folder, size=8).fingerprint)
    assert len(set(prints)) == len(prints) == len(cached(home))


@pytest.mark.parametrize("damage", ["short", "index", "missing", "labels"])
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, home: Path, damage: str) -> None:
    folder = animals(tmp_path / "animals")
    first = load(folder, size=8).pictures.clone()
    (entry,) = cached(home)
    if damage == "short":
        os.truncate(entry / "pictures.npy", 500)
    elif damage == "index":
        (entry / "index.json").write_text('{"count": 6')
    elif damage == "missing":
        (entry / "pictures.npy").unlink()
    else:
        np.save(entry / "labels.npy", np.zeros(2, np.int64))
    again = load(folder, size=8)
    assert torch.equal(again.pictures, first)
    assert again.labels is not None
    assert json.loads((entry / "index.json").read_text())["count"] == 6


def test_an_interrupted_decoding_leaves_nothing_half_used(tmp_path: Path, home: Path) -> None:
    folder = animals(tmp_path / "animals")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(folder, size=8, report=interrupt)
    assert cached(home) == []
    put(home / "cache" / "pictures" / "stale.part" / "0.png", noise(0))
    assert len(load(folder, size=8)) == 6


def test_writing_to_a_set_does_not_change_the_cache(tmp_path: Path) -> None:
    folder = animals(tmp_path / "animals")
    data = load(folder, size=8)
    before = data.pictures.clone()
    data.stored.zero_()
    assert torch.equal(load(folder, size=8).pictures, before)


def test_progress_is_reported_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    load(animals(tmp_path / "animals", 40), size=8, report=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (80, 80)


def test_a_set_too_large_for_the_disk_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(GencliError, match="GB free") as caught:
        load(animals(tmp_path / "animals"), size=10_000_000)
    assert caught.value.hint is not None


def test_two_at_once_decode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    folder = animals(tmp_path / "animals")
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return decode_many(*arguments)

    monkeypatch.setattr(datasets, "decode_many", counted)
    threads = [threading.Thread(target=load, args=(folder,), kwargs={"size": 8}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == len(cached(home)) == 1


# Several processes


def test_processes_give_what_this_one_gives(tmp_path: Path) -> None:
    form = Form(6)
    tasks = []
    for number in range(150):
        file = put(tmp_path / f"{number}.jpg", noise(number, (9, 12)))
        tasks.append(Task(number, file.name, file if number % 2 else file.read_bytes()))
    tasks[70] = Task(70, "bad.jpg", b"\xff\xd8 nonsense")
    here, there = (list(decode_many(tasks, form, processes)) for processes in (1, 2))
    assert here == there
    assert [outcome.row for outcome in there if outcome.fault] == [70]
    assert there[3].pixels == decode(tmp_path / "3.jpg", "3.jpg", form)


def test_processes_that_die_or_cannot_start_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    noise(1).save(content, "png")
    tasks = [Task(row, str(row), content.getvalue()) for row in range(130)]
    expected = list(decode_many(tasks, Form(8), 1))
    monkeypatch.setattr("gencli.core.workers._START", "import sys; sys.exit(1)")
    assert list(decode_many(tasks, Form(8), 2)) == expected
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    assert list(decode_many(tasks, Form(8), 2)) == expected


def test_stopping_early_ends_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr("gencli.core.workers.subprocess.Popen", start)
    file = put(tmp_path / "0.png", noise(0))
    outcomes = decode_many((Task(row, "0.png", file) for row in range(10_000)), Form(8), 2)
    assert next(outcomes).fault is None
    outcomes.close()
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_plain_script_without_a_guard_loads_in_several_processes(tmp_path: Path) -> None:
    animals(tmp_path / "animals")
    script = tmp_path / "script.py"
    script.write_text(
        "print('started')\n"
        "from pathlib import Path\n"
        "from gencli.core import datasets\n"
        "datasets.FEW = 0\n"
        "datasets.cores = lambda: 2\n"
        "print(len(datasets.load(Path('animals'), size=8)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the current folder')")
    (tmp_path / "elsewhere").mkdir()
    script = script.rename(tmp_path / "elsewhere" / "script.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("started\n6\n", "", 0)


def test_listing_and_decoding_need_no_torch() -> None:
    code = (
        "import sys, gencli.core.datasets, gencli.core.decode_pool;"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
