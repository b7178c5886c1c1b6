"""Weights: downloads checked by their hash, files dropped by hand, nothing unpickled."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from gencli.core import backbones, weights
from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.core.weights import Source


class Server(ThreadingHTTPServer):
    """Serves `content` at any path; `behaviour` says how."""

    daemon_threads = True
    content = b""
    behaviour = "well"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/net.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, behaviour = self.server.content, self.server.behaviour
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "broken":
            self.wfile.write(b"what?\r\n\r\n")
            return
        self.send_response(200)
        if behaviour == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif behaviour != "no length":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if behaviour == "chunked":  # and cut short
            self.wfile.write(b"ff\r\nabc")
        elif behaviour == "truncated":
            self.wfile.write(content[: len(content) // 2])
        elif behaviour == "stalled":
            self.wfile.write(content[:10])
            self.wfile.flush()
            time.sleep(1)
        else:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("GENCLI_OFFLINE", "0")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def source(server: Server, monkeypatch: pytest.MonkeyPatch) -> Source:
    """SqueezeNet, published by the local server: 3 MB of bytes."""
    server.content = os.urandom(1000) * 3000
    digest = hashlib.sha256(server.content).hexdigest()
    changed = replace(weights.SOURCES["squeezenet1_1"], url=server.url, sha256=digest[:8])
    monkeypatch.setitem(weights.SOURCES, "squeezenet1_1", changed)
    return changed


def left() -> list[str]:
    """What lies in the weights folder, hidden files too."""
    return sorted(path.name for path in weights.folder().iterdir()) if weights.folder().exists() else []


# ------------------------------------------------------------------ pulling


@pytest.mark.parametrize("behaviour", ["well", "no length"])
def test_a_download_is_checked_and_put_in_its_place(source: Source, server: Server, behaviour: str) -> None:
    server.behaviour = behaviour
    reports: list[tuple[int, int]] = []
    path = weights.pull("squeezenet1_1", lambda done, total: reports.append((done, total)))
    assert path == weights.folder() / source.file and path.read_bytes() == server.content
    assert left() == [source.file]
    size = len(server.content)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports) and len(reports) >= 3
    assert reports[-1] == (size, size)
    if behaviour == "well":
        assert {total for _, total in reports} == {size}


def test_a_wrong_hash_is_thrown_away_and_said(source: Source, server: Server) -> None:
    server.content = b"x" + server.content[1:]
    with pytest.raises(GencliError) as error:
        weights.pull("squeezenet1_1")
    assert hashlib.sha256(server.content).hexdigest() in error.value.message
    assert source.sha256 in error.value.message and "thrown away" in (error.value.hint or "")
    assert error.value.exit_code == 1 and left() == []


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("missing", "404"),
        ("truncated", "after 1500000 of 3000000 bytes"),
        ("chunked", "IncompleteRead"),
        ("broken", "what?"),
        ("stalled", "timed out"),
    ],
)
def test_servers_that_fail(
    source: Source, server: Server, monkeypatch: pytest.MonkeyPatch, behaviour: str, said: str
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.3)
    server.behaviour = behaviour
    with pytest.raises(MissingError) as error:
        weights.pull("squeezenet1_1")
    assert said in error.value.message and server.url in error.value.message
    assert source.sha256 in (error.value.hint or "") and str(weights.folder()) in (error.value.hint or "")
    assert left() == []


def test_a_server_that_is_not_there(source: Source, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.SOURCES, "squeezenet1_1", replace(source, url="http://127.0.0.1:9/net.pth"))
    with pytest.raises(MissingError, match="refused"):
        weights.pull("squeezenet1_1")


def test_an_interrupted_download_leaves_nothing(source: Source) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.pull("squeezenet1_1", interrupt)
    assert left() == []


def test_a_folder_that_cannot_be_written_is_said(source: Source, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "weights").write_text("a file")
    with pytest.raises(GencliError, match=f"cannot write .*{source.file}"):
        weights.pull("squeezenet1_1")


def test_offline_nothing_is_asked_for(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCLI_OFFLINE", "1")
    with pytest.raises(MissingError) as error:
        weights.pull("squeezenet1_1")
    assert error.value.exit_code == 3
    for part in (str(source.url), source.file, source.sha256, str(weights.folder()), source.licence):
        assert part in (error.value.hint or "")


def test_names_nobody_knows_and_files_nobody_offers(server: Server) -> None:
    for ask in (weights.pull, weights.locate, weights.is_here):
        with pytest.raises(UsageError, match="no network is called vgg20"):
            ask("vgg20")
    with pytest.raises(MissingError, match="bvlc_googlenet") as error:
        weights.pull("bvlc_googlenet")
    assert "bvlc_googlenet.safetensors" in (error.value.hint or "")


def test_pulled_weights_are_kept_in_gencli_s_own_form(
    source: Source, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = torchvision.models.squeezenet1_1(weights=None)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    server.content = file.getvalue()
    digest = hashlib.sha256(server.content).hexdigest()
    monkeypatch.setitem(weights.SOURCES, "squeezenet1_1", replace(source, sha256=digest))
    backbones.keep("squeezenet1_1", weights.pull("squeezenet1_1"))
    assert left() == ["squeezenet1_1.safetensors"]
    assert weights.describe(weights.locate("squeezenet1_1")) == {"kind": "source", "name": "squeezenet1_1"}


# ------------------------------------------------------------------ files


def test_sources_are_complete() -> None:
    for name, source in weights.SOURCES.items():
        assert source.name == name and source.megabytes > 0 and source.licence
        assert weights.identify(Path(source.file)) == name
        if source.url:
            assert source.url.startswith("https://") and source.url.endswith(source.file)
            assert len(source.sha256) >= 8 and source.sha256 in source.file


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("vgg19-dcbb9e9d.pth", "vgg19"),
        ("vgg19.safetensors", "vgg19"),
        ("inception_v3_google-0cc3c7bd.pth", "inception_v3"),
        ("bvlc_googlenet-imagenet-fp16.safetensors", "bvlc_googlenet"),
        ("vgg19_bn-c79401a0.pth", None),
        ("vgg19-dcbb9e9d.pth.part", None),
        ("vgg19.txt", None),
        ("my-vgg19.pth", None),
    ],
)
def test_files_are_told_by_their_names(file: str, name: str | None) -> None:
    assert weights.identify(Path(file)) == name


def test_a_file_dropped_by_hand_is_here_and_converted_once() -> None:
    assert not weights.is_here("squeezenet1_1")
    weights.folder().mkdir(parents=True)
    dropped = weights.folder() / "squeezenet1_1-any.pth"
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), dropped)
    assert weights.is_here("squeezenet1_1") and weights.locate("squeezenet1_1") == dropped
    backbones.load("squeezenet1_1")
    converted = weights.locate("squeezenet1_1")
    assert converted == weights.converted("squeezenet1_1")
    written = converted.stat().st_mtime_ns
    backbones.load("squeezenet1_1")
    assert converted.stat().st_mtime_ns == written
    assert left() == ["squeezenet1_1-any.pth", "squeezenet1_1.safetensors"]


class Evil:
    """What a malicious file does when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path: Path, how: str) -> None:
    file, mark = tmp_path / "vgg19-evil.pth", tmp_path / "harm"
    if how == "torch":
        torch.save({"features.0.weight": Evil(mark)}, file)
    else:
        file.write_bytes(pickle.dumps(Evil(mark), protocol=2))
    with pytest.raises(GencliError, match=r"vgg19-evil\.pth cannot be read as plain weights"):
        weights.read(file)
    assert not mark.exists()
    torch.load(file, weights_only=False) if how == "torch" else pickle.loads(file.read_bytes())
    assert mark.exists()  # it would have


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 and so on", None])
def test_damaged_files_are_errors_that_name_the_file(tmp_path: Path, content: bytes | None) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"net{suffix}"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(GencliError, match=rf"net\{suffix}"):
            weights.read(file)


def test_a_pth_of_something_else_is_an_error(tmp_path: Path) -> None:
    for number, content in enumerate(([torch.zeros(1)], {"state_dict": {"a": torch.zeros(1)}}, {"epoch": 3})):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(GencliError, match="does not hold the tensors of a network"):
            weights.read(tmp_path / f"{number}.pth")


def test_a_description_travels_with_the_tensors(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    weights.write(file, {"x": torch.arange(3)}, {"kind": "é", "n": [1, 2]})
    state, description = weights.read(file)
    assert torch.equal(state["x"], torch.arange(3)) and description == {"kind": "é", "n": [1, 2]}
    assert weights.describe(file) == description


@pytest.mark.parametrize("header", ["{", "[1]", "null"])
def test_a_foreign_description_is_none(tmp_path: Path, header: str) -> None:
    from gencli.core.tensors import write_tensors

    write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, {"gencli": header})
    assert weights.read(tmp_path / "a.safetensors")[1] == {}


def test_what_ships_is_found_in_a_package_and_in_a_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gencli"
    (package / "weights").mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.safetensors").touch()
    (package / "weights" / "b.safetensors").touch()
    monkeypatch.setattr("gencli.__file__", str(package / "__init__.py"))
    assert list(weights.built_in()) == ["b"]
    (package / "weights" / "b.safetensors").unlink()
    (package / "weights").rmdir()
    assert list(weights.built_in()) == ["a"]
