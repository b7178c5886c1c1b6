"""Models as files: what is exported comes back; what was tampered with does not come in."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gencli.core import archive, files, store
from gencli.core.errors import GencliError, UsageError
from gencli.core.store import Model

CONFIG = {"art": "gan", "kind": "dcgan", "options": {"width": 8}, "finished": True}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENCLI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def files_of(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


@pytest.fixture
def model() -> Model:
    folder = store.folder("gan", "face")
    for part in ("samples", "train"):
        (folder / part).mkdir(parents=True)
    (folder / store.CONFIG).write_text(json.dumps(CONFIG))
    (folder / store.METRICS).write_text('{"step": 1}\n')
    (folder / "samples" / "epoch-0001.png").write_bytes(b"\x89PNG")
    (folder / "train" / "latest.json").write_text('{"step": 1, "file": "state-00000001.safetensors"}')
    (folder / "notes of mine.txt").write_text("private")
    store.save_weights(folder, {"w": torch.randn(300)}, CONFIG)
    (folder / "train" / "state-00000001.safetensors").write_bytes((folder / store.WEIGHTS).read_bytes())
    return Model(folder)


@pytest.mark.parametrize("with_training", [False, True])
def test_what_is_exported_comes_back(with_training: bool, model: Model, tmp_path: Path) -> None:
    file = archive.export(model, tmp_path / "given.zip", with_training=with_training)
    assert file == tmp_path / "given.zip"
    back = archive.import_(file)
    assert (back.art, back.name, back.state) == ("gan", "given", "finished")
    expected = {name: content for name, content in files_of(model.folder).items() if name != "notes of mine.txt"}
    if not with_training:
        expected = {name: content for name, content in expected.items() if not name.startswith("train/")}
    assert files_of(back.folder) == expected
    assert archive.import_(file, "other").name == "other"
    assert [item.name for item in store.models()] == ["face", "given", "other"]


def test_an_existing_model_is_never_overwritten(model: Model, tmp_path: Path) -> None:
    file = archive.export(model, tmp_path / "face.zip")
    before = files_of(model.folder)
    with pytest.raises(UsageError, match="already"):
        archive.import_(file)
    assert files_of(model.folder) == before


@pytest.mark.parametrize("name", ["../x", ".x", "latest", "a/b"])
def test_bad_names_are_refused(name: str, model: Model, tmp_path: Path) -> None:
    file = archive.export(model, tmp_path / "given.zip")
    with pytest.raises(UsageError):
        archive.import_(file, name)


def test_nothing_to_export_and_a_model_in_training(model: Model, tmp_path: Path) -> None:
    with store.lock(model.folder):
        archive.export(model, tmp_path / "weights.zip")
    (model.folder / store.WEIGHTS).unlink()
    with pytest.raises(GencliError, match="no weights yet"):
        archive.export(model, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def build(path: Path, model: Model, change: dict[str, bytes | None], extra: Sequence[zipfile.ZipInfo] = ()) -> Path:
    """An archive of a model with some members changed (None: left out), and hand-made ones."""
    members = {store.CONFIG: json.dumps(CONFIG).encode(), store.WEIGHTS: model.weights.read_bytes()} | change
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if content is not None:
                file.writestr(name, content)
        for info in extra:
            file.writestr(info, b"/etc/passwd")
    return path


def assert_refused(path: Path, says: str = "") -> None:
    before = files_of(files.home())
    with pytest.raises(GencliError, match=says):
        archive.import_(path, "evil")
    assert files_of(files.home()) == before
    assert not list(store.models_folder().glob(".import-*"))


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "samples/../../evil",
        "samples/..png",
        "C:/evil",
        "samples\\evil.png",
        "evil.py",
        "train/evil.pt",
        "samples/a/b.png",
        "samples/evil.exe",
        "train/../config.json",
        "./config.json",
        "CONFIG.JSON",
    ],
)
def test_members_that_are_no_part_of_a_model_are_refused(name: str, model: Model, tmp_path: Path) -> None:
    assert_refused(build(tmp_path / "x.zip", model, {name: b"evil"}), "which is no file of a model")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"config.json": None}, "it holds no config.json"),
        ({"model.safetensors": None}, "it holds no model.safetensors"),
        ({"config.json": b"{"}, "not valid JSON"),
        ({"config.json": b"\xff\xfe"}, "not valid JSON"),
        ({"config.json": b"[]"}, "not a JSON object"),
        ({"config.json": b"[" * 200_000 + b" " * 9}, "not a JSON object"),
        ({"config.json": b"{}"}, "which art"),
        ({"config.json": b'{"art": "../../evil"}'}, "cannot be the name"),
        ({"config.json": b'{"art": 7}'}, "which art"),
        ({"config.json": b'{"art": "gan", "options": 3}'}, "which art"),
        ({"model.safetensors": b""}, "safetensors"),
        ({"model.safetensors": b"\x80\x02}q\x00."}, "safetensors"),
        ({"model.safetensors": (2).to_bytes(8, "little") + b"{}"}, "no weights"),
        ({"train/state-00000001.safetensors": b"x"}, "safetensors"),
        ({"metrics.jsonl": b"\0" * 30_000_000}, "claims to unpack"),
    ],
)
def test_bad_contents_are_refused(change: dict[str, bytes | None], says: str, model: Model, tmp_path: Path) -> None:
    assert_refused(build(tmp_path / "x.zip", model, change), says)


def test_links_and_doubles_are_refused(model: Model, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("samples/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert_refused(build(tmp_path / "link.zip", model, {}, [link]), "no file of a model")
    with pytest.warns(UserWarning, match="Duplicate"):
        double = build(tmp_path / "double.zip", model, {}, [zipfile.ZipInfo(store.CONFIG)])
    assert_refused(double, "one twice")
    nameless = zipfile.ZipInfo("samples/x.png")
    nameless.filename = ""
    assert_refused(build(tmp_path / "nameless.zip", model, {}, [nameless]), "no file of a model")


def test_a_config_too_large_to_read_is_refused(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_CONFIG", 1000)
    content = json.dumps(CONFIG | {"x": os.urandom(1000).hex()}).encode()
    assert_refused(build(tmp_path / "x.zip", model, {store.CONFIG: content}), "bytes")


def test_no_room_on_the_disk_is_known_before(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 10

    file = archive.export(model, tmp_path / "x.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Full)
    assert_refused(file, "the disk has 10")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    with pytest.raises(GencliError, match="there is no file"):
        archive.import_(tmp_path / "none.zip")
    with pytest.raises(GencliError, match="not a readable model archive"):
        archive.import_(tmp_path, "folder")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(GencliError, match="not a readable model archive"):
        archive.import_(tmp_path / "text.zip")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_mutated_archives_come_in_whole_or_not_at_all(data: st.DataObject, model: Model, tmp_path: Path) -> None:
    file = tmp_path / "mutated.zip"
    content = bytearray(archive.export(model, file, with_training=True).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        found = archive.import_(file)
    except GencliError:
        assert [item.name for item in store.models()] == ["face"]
    else:
        assert store.load_weights(found)["w"].shape == (300,)
        store.remove(found)
    assert {item.name for item in store.models_folder().iterdir()} == {"gan"}


def test_imports_need_no_torch() -> None:
    code = "import sys, gencli.core.archive, gencli.core.store; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=Path(store.__file__).parents[2], check=False).returncode == 0
