"""What all tests share: a home of their own, no network, one thread, and gencli in a process of its own."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import gencli

SOURCE = Path(gencli.__file__).parent.parent
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def measured_layout(tmp_path_factory: pytest.TempPathFactory, _one_thread: None) -> Path:
    """The file in which the fastest memory layout of this machine is remembered, measured once for all tests."""
    import torch

    from gencli.core import device

    home = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENCLI_HOME", str(home))
        device.memory_format(torch.device("cpu"))
    (file,) = (home / "cache").iterdir()
    return file


@pytest.fixture
def remembered_layout(_house: None, tmp_path: Path, measured_layout: Path) -> None:
    """For tests that run networks in processes of their own: none of them has to measure."""
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True)
    shutil.copy(measured_layout, cache)


@pytest.fixture(autouse=True)
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, downloads and caches go to a temporary folder, and nothing touches the network."""
    monkeypatch.setenv("GENCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GENCLI_OFFLINE", "1")
    for name in ("GENCLI_DEVICE", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which the test stands in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command run inside a test's process takes the log over; it is given back."""
    log = logging.getLogger("gencli")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = before[0], before[1]
    log.setLevel(before[2])


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors are computed faster by one thread, and always in the same order."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def gencli_environment() -> Callable[[Mapping[str, str] | None], dict[str, str]]:
    """The environment of a gencli process: this one's, the package importable from anywhere, and `extra`."""

    def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
        path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **(extra or {})}

    return environment


@pytest.fixture
def run_gencli(tmp_path: Path, gencli_environment: Callable[[Mapping[str, str] | None], dict[str, str]]) -> RunGencli:
    """`run_gencli("models", "list", env={…}, input="…")`: the command line in a process of its own."""

    def run(
        *arguments: str, input: str | None = None, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gencli", *arguments],
            input=input,
            env=gencli_environment(env),
            cwd=options.pop("cwd", tmp_path),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=280,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def card() -> Callable[[str, str], str]:
    """What `weights/README.md` says of a model that ships, once it names the very file."""
    from gencli.core import files, store

    def card(art: str, name: str) -> str:
        model = store.find(art, name)
        assert model.state == "built in"
        told = (files.built_in_folder() / "README.md").read_text(encoding="utf-8")
        found = told.partition(f"## {art}: {name}\n")[2].partition("\n## ")[0]
        data = model.weights.read_bytes()
        assert hashlib.sha256(data).hexdigest() in found
        assert f"{len(data):,} bytes" in found
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        for about in (header, (model.folder / store.CONFIG).read_bytes()):  # no place on the machine it was trained on
            assert not re.search(rb'[\s"]/\w', about)
        return found

    return card


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Any]:
    """A network small enough for any test, with random weights, through the door every backbone comes through.

    `tiny(pooling=…, padding=…)`: conv1_1, pool1, conv2_1, conv2_2, pool2, conv3_1 in double precision.
    """
    import torch
    from torch import nn

    from gencli.core import backbones, weights
    from gencli.core.backbones import Backbone
    from gencli.core.networks import IMAGENET_MEAN, IMAGENET_STD, vgg

    widths, depths = (6, 8, 10), (1, 2, 1)

    def make(pooling: str = "max", padding: str = "zeros", dtype: Any = torch.float64) -> Backbone:
        file = tmp_path / "tiny.safetensors"
        net = Backbone("tiny", vgg(widths, depths, classes=2), ("a", "b"))
        draw = torch.Generator().manual_seed(3)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.3, generator=draw)
        built = {"widths": widths, "depths": depths, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        weights.write(file, net.state_dict(), {"kind": "backbone", "vgg": built, "classes": ["a", "b"]})
        return backbones.load(str(file), pooling=pooling, padding=padding).to(dtype)

    return make


@pytest.fixture
def picture() -> Callable[..., Any]:
    """`picture(height, width, seed)`: smooth colours with some noise, float64 (1, 3, H, W) in [0, 1]."""
    import torch
    from torch import nn

    def draw(height: int, width: int, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 5, 5, generator=generator, dtype=torch.float64)
        noise = torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)
        smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        return 0.8 * smooth + 0.2 * noise

    return draw


@pytest.fixture
def tiny_network(remembered_layout: None) -> None:
    """A network of random weights in the store, under the name `tiny`: conv1_1 to conv3_1, for other processes."""
    import torch

    from gencli.core import files, store
    from gencli.core.device import Runtime
    from gencli.core.pictures import PictureSet
    from gencli.dream.options import BackboneTraining
    from gencli.dream.training import ClassifierRecipe, describe

    options = BackboneTraining(widths=(4, 6, 8), depths=(1, 2, 1), sizes=(8,))
    names = ("a", "b")
    held_out = PictureSet(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), names)
    recipe = ClassifierRecipe(options, held_out, Runtime(torch.device("cpu")), seed=0)
    config = describe(options, held_out) | {"art": "dream", "options": options.to_dict(), "seed": 0}
    folder = store.folder("dream", "tiny")
    store.save_weights(folder, recipe.export(), config)
    files.write_json(folder / store.CONFIG, config | {"finished": True})


@pytest.fixture
def blots() -> Callable[..., Any]:
    """`blots(width, height, seed)`: a Pillow picture of soft patches of colour."""
    import numpy as np
    from PIL import Image

    def draw(width: int, height: int, seed: int = 0) -> Image.Image:
        small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)

    return draw
