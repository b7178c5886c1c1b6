"""`gencli models`, `gencli data` and `gencli info`."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from gencli.app import run
from gencli.core import store, weights
from gencli.core.files import write_json

Captured = pytest.CaptureFixture[str]
CONFIG = {"art": "dream", "kind": "backbone", "options": {"steps": 3}, "seed": 1, "finished": True}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(name: str, art: str = "dream") -> Path:
    folder = store.folder(art, name)
    config = {**CONFIG, "art": art}
    store.save_weights(folder, {"w": torch.zeros(8)}, config)
    write_json(folder / store.CONFIG, config)
    return folder


def records(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_shows_trained_models_and_the_networks_of_others(capsys: Captured) -> None:
    make("mine")
    make("words", "textgen")
    assert run(["models", "list"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["dream", "mine", "finished"] and rows[1][:3] == ["textgen", "words", "finished"]
    assert ["backbone", "vgg19", "to pull", "575.0 MB", ""] in rows
    assert run(["models", "list", "--art", "dream"]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["mine"]


def test_list_as_json_has_numbers(capsys: Captured) -> None:
    folder = make("mine")
    assert run(["models", "list", "--json"]) == 0
    mine, *others = records(capsys)
    assert mine["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert mine["changed"] == pytest.approx((folder / store.WEIGHTS).stat().st_mtime)
    assert {record["name"] for record in others} >= set(weights.SOURCES)
    assert all(set(record) == {"art", "name", "state", "bytes", "changed"} for record in [mine, *others])


@pytest.mark.parametrize("which", ["mine", "dream/mine", "latest", "dream/latest"])
def test_path_and_show_find_a_model_by_any_name(capsys: Captured, which: str) -> None:
    folder = make("mine")
    assert run(["models", "path", which]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert run(["models", "show", which, "--json"]) == 0
    (about,) = records(capsys)
    assert (about["name"], about["folder"], about["seed"]) == ("mine", str(folder), 1)
    assert run(["models", "show", which]) == 0
    assert json.loads(capsys.readouterr().out)["options"] == {"steps": 3}


def test_the_same_name_in_two_arts_has_to_be_told_apart(capsys: Captured) -> None:
    make("mine")
    folder = make("mine", "gan")
    assert run(["models", "path", "mine"]) == 2
    assert "gan/mine" in capsys.readouterr().err
    assert run(["models", "path", "mine", "--art", "gan"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"


def test_networks_of_others_and_built_in_ones_are_shown_too(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(weights, "built_in_folder", lambda: shipped)
    weights.write(shipped / "vgg-tiny.safetensors", {"w": torch.zeros(1)}, {"kind": "backbone", "classes": ["a"]})
    assert run(["models", "show", "vgg-tiny", "--json"]) == 0
    (about,) = records(capsys)
    assert (about["state"], about["classes"]) == ("built in", ["a"])
    assert run(["models", "path", "vgg-tiny"]) == 0
    assert capsys.readouterr().out == f"{shipped / 'vgg-tiny.safetensors'}\n"
    assert run(["models", "show", "vgg19", "--json"]) == 0
    (about,) = records(capsys)
    assert about["url"] == weights.SOURCES["vgg19"].url and about["state"] == "to pull"
    assert run(["models", "path", "vgg19"]) == 3
    assert run(["models", "list"]) == 0
    assert "backbone\tvgg-tiny\tbuilt in" in capsys.readouterr().out


def test_remove_asks_and_needs_somebody_to_ask(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("mine")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run(["models", "remove", "mine"]) == 2
    assert "--yes" in capsys.readouterr().err and folder.exists()

    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Person("n\n"))
    assert run(["models", "remove", "mine"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "Remove dream/mine" in err and "dream/mine was not removed" in err and folder.exists()
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert run(["models", "remove", "mine"]) == 0
    assert capsys.readouterr().out == "" and not folder.exists()


def test_export_and_import(capsys: Captured, tmp_path: Path) -> None:
    make("mine")
    assert run(["models", "export", "mine"]) == 0
    assert run(["models", "export", "mine"]) == 0  # never overwrites a name it chose itself
    assert run(["models", "export", "mine", "-o", "out.zip", "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["mine.zip", "mine-2.zip", '{"output": "out.zip"}']
    assert run(["models", "import", "mine.zip"]) == 2  # the name is taken
    assert run(["models", "import", "mine.zip", "--name", "again"]) == 0
    assert capsys.readouterr().out == f"{store.folder('dream', 'again')}\n"
    assert torch.equal(store.load_weights(store.find("dream", "again"))["w"], torch.zeros(8))
    (tmp_path / "bad.zip").write_bytes(b"PK")
    assert run(["models", "import", "bad.zip"]) == 1
    assert "bad.zip" in capsys.readouterr().err


# ------------------------------------------------------------------ pull


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """SqueezeNet with random weights, offered by a server of this machine."""
    file = io.BytesIO()
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    content = file.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("GENCLI_OFFLINE", "0")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/squeezenet.pth"
        digest = hashlib.sha256(content).hexdigest()
        source = replace(weights.SOURCES["squeezenet1_1"], url=url, sha256=digest[:8])
        monkeypatch.setitem(weights.SOURCES, "squeezenet1_1", source)
        yield content
        server.shutdown()
        thread.join()


def test_pull_downloads_once_and_prints_the_file(published: bytes, capsys: Captured) -> None:
    expected = weights.folder() / "squeezenet1_1.safetensors"
    assert run(["models", "pull", "squeezenet1_1"]) == 0
    assert capsys.readouterr() == (f"{expected}\n", "")
    assert [file.name for file in weights.folder().iterdir()] == [expected.name]
    assert run(["models", "pull", "squeezenet1_1", "--offline", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"path": str(expected)} and "is here already" in err


def test_pull_of_a_file_with_another_hash(published: bytes, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(weights.SOURCES["squeezenet1_1"], sha256="0123abcd")
    monkeypatch.setitem(weights.SOURCES, "squeezenet1_1", source)
    assert run(["models", "pull", "squeezenet1_1"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and hashlib.sha256(published).hexdigest() in err and "0123abcd" in err
    assert list(weights.folder().iterdir()) == []


def test_pull_offline_says_what_to_put_where(capsys: Captured) -> None:
    assert run(["models", "pull", "vgg16"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    source = weights.SOURCES["vgg16"]
    for part in (str(source.url), source.file, source.sha256, str(weights.folder())):
        assert part in err


# ------------------------------------------------------------------ data, info


def test_data_list_and_show(capsys: Captured, tmp_path: Path) -> None:
    assert run(["data", "list", "--json"]) == 0
    names = [record["name"] for record in records(capsys)]
    assert {"mnist", "celeba", "tiny-imagenet", "facades"} <= set(names)
    assert run(["data", "list"]) == 0
    assert capsys.readouterr().out.startswith(f"{names[0]}\tnot here\t")
    assert run(["data", "show", "mnist", "--data-root", str(tmp_path), "--json"]) == 0
    (about,) = records(capsys)
    assert about["where"] is None and str(tmp_path) in about["get"] and about["licence"]
    assert run(["data", "show", "mnist"]) == 0
    assert "where: not here\n" in capsys.readouterr().out
    assert run(["data", "show", "nothing"]) == 2
    assert "mnist" in capsys.readouterr().err


def test_info(capsys: Captured, tmp_path: Path) -> None:
    assert run(["info", "--json"]) == 0
    (about,) = records(capsys)
    assert about["torch"] == torch.__version__ and about["home"] == str(tmp_path / "home")
    assert about["offline"] is True and any(device.startswith("cpu (") for device in about["devices"])
    assert "@harbour" in about["drawn"]
    assert run(["info"]) == 0
    assert f"home: {tmp_path / 'home'}\n" in capsys.readouterr().out
