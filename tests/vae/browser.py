"""A real browser for tests: Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = (
    *("--headless=new", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check"),
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb"),
)
PATIENCE = 60  # seconds: a busy machine is slow to open a browser
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def find() -> str | None:
    """The browser in GENCLI_BROWSER, or the first of the usual ones on PATH."""
    return os.environ.get("GENCLI_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class WebSocket:
    """The client's side of RFC 6455, as far as a browser on the same machine needs it."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname and place.port
        self.socket = socket.create_connection((place.hostname, place.port), PATIENCE)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in self.stream.readline()
        while self.stream.readline().strip():
            pass

    def send(self, text: str) -> None:
        """Send a message. Clients must mask what they send: with zeros, which change nothing."""
        message = text.encode()
        self.socket.sendall(struct.pack("!BBQ4x", 0x81, 0xFF, len(message)) + message)

    def receive(self) -> str:
        """Wait for the next message."""
        message, last = b"", False
        while not last:
            first, length = self.stream.read(2)
            if length >= 126:
                length = int.from_bytes(self.stream.read(2 if length == 126 else 8), "big")
            message, last = message + self.stream.read(length), bool(first & 0x80)
        return message.decode()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Page:
    """A tab: opens files, moves the pointer, presses keys, runs scripts, and remembers what went wrong."""

    def __init__(self, url: str) -> None:
        self.link = WebSocket(url)
        self.calls = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self.calls += 1
        self.link.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while (message := json.loads(self.link.receive())).get("id") != self.calls:
            self.events.append(message)
        assert "error" not in message, message
        return dict(message["result"])

    def open(self, file: Path) -> None:
        """Open a file, forgetting the last one's events, and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.link.receive()))

    def run(self, script: str) -> Any:
        """The value of an expression, or what a promise comes to."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what was changed is on the screen."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def pointer(self, x: float, y: float, kind: str = "mouseMoved") -> None:
        """Move the pointer to a place in CSS pixels, or press ("mousePressed") or release it there."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.pointer(x, y, kind)

    def touch(self, *places: tuple[float, float]) -> None:
        """Put a finger down at the first place, draw it along the others, and lift it."""
        for kind, (x, y) in zip(("touchStart", *["touchMove"] * len(places)), places, strict=False):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, shift: bool = False) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            parameters = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 * shift}
            self.call("Input.dispatchKeyEvent", type=kind, **parameters)

    def look(self, width: int, height: int, scheme: str = "light", density: float = 1) -> None:
        """Be a screen of so many CSS pixels, light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": density}
        self.call("Emulation.setDeviceMetricsOverride", mobile=width < 500, **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.settle()

    def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def faults(self) -> list[dict[str, Any]]:
        """Exceptions nobody caught, and errors and warnings in the console, since the page was opened."""
        self.settle()
        wrong = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [event for event in self.events if event["method"] in wrong]

    def requests(self) -> list[str]:
        """The addresses asked for since the page was opened."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]


@contextmanager
def browse(executable: str, folder: Path) -> Iterator[Page]:
    """A browser whose profile is in a folder, for as long as it is needed."""
    root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()  # root has no sandbox to offer
    command = [executable, *FLAGS, *root, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(_address(process, folder / "DevToolsActivePort"))
        try:
            yield page
        finally:
            page.link.close()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], port_file: Path) -> str:
    """Where the first tab listens, once the browser is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if port_file.is_file() and (lines := port_file.read_text().split()):
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=PATIENCE) as answer:
                tabs = json.load(answer)
            if pages := [tab for tab in tabs if tab["type"] == "page"]:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise RuntimeError("the browser did not open")
