"""How much more a network sees in a photograph after `gencli dream`, and after the textbook's loop in the same time.

    python benchmarks/dream.py                          # the drawn photographs, 512 pixels
    python benchmarks/dream.py PHOTO… --size 384 --keep FOLDER

The textbook's loop climbs the same layers of the same network from as many sizes: the mean square of the activations
less a border of two, steps of 20 along the gradient divided by its norm for values in [-1, 1], without smoothing and
without jitter, cut off at the end. It gets as many steps a size as it can take in the time that gencli took.

    energy    mean square of the activations of the layers dreamt of, times the photograph's; one figure a layer
    noise     root mean square of what is finer than four pixels a wave, of the lightness in levels of 255, less the
              photograph's own
    ends      share of the values that are black or white, less the photograph's
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gencli.core import color, images
from gencli.core.backbones import Backbone
from gencli.core.device import start
from gencli.dream import ascent
from gencli.dream.dreaming import Dreamer, Photograph
from gencli.dream.objective import Layer, Sight, total
from gencli.dream.options import DreamOptions

PHOTOGRAPHS = ["@lake", "@harbour", "@face", "@street"]
FINE = 0.25  # waves a pixel
ASKED_ENERGY = 10.0


def energies(picture: Tensor, layers: list[str], backbone: Backbone) -> list[float]:
    """Mean squares of the activations of layers."""
    objective = total(Layer(layer, "mean-square") for layer in layers)
    return Sight(objective, backbone, picture.shape[-2:]).values(picture)


def noise(picture: Tensor) -> float:
    """Root mean square of the fine waves in the lightness, in levels of 255."""
    light = 255 * color.luma(picture)[0, 0]
    height, width = light.shape
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    spectrum = torch.fft.fft2((light - light.mean()) * window)
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width))
    power = spectrum.abs().square()[frequency > FINE].sum() / (height * width)
    return float((power / window.square().sum()).sqrt())


def ends(picture: Tensor) -> float:
    """Share of the values within half a level of black or white."""
    return float(((picture < 0.5 / 255) | (picture > 1 - 0.5 / 255)).float().mean())


def timed(dreamer: Dreamer, photograph: Photograph) -> tuple[Tensor, float]:
    """The dream as the file will hold it, and the seconds it took."""
    began = time.perf_counter()
    made = dreamer.paint(photograph, 1)
    return images.load(made).rgb, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", default=PHOTOGRAPHS)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    runtime = start("cpu", threads=given.threads)
    ours = Dreamer(DreamOptions(size=given.size), runtime=runtime)
    layers = [term.layer for _, term in ours.objective.parts]
    book = DreamOptions.build({"backbone": ours.options.backbone, "layer": dict.fromkeys(layers, 1.0)}, preset="book")
    print(f"{ours.backbone.name}, {' + '.join(layers)}, {given.size} pixels, {torch.get_num_threads()} threads\n")
    print(f"{'':<24}{'seconds':>9}{'steps':>7}{'energy':>18}{'noise':>9}{'ends':>8}")
    ratios = []
    for source in given.photographs:
        photograph = ours.look_at(images.load(source, size=given.size))
        before = energies(photograph.whole, layers, ours.backbone)
        size, kept = (photograph.height, photograph.width), {"photograph": photograph.whole}
        kept["gencli"], seconds = timed(ours, photograph)
        octaves, steps = len(_octaves(ours, size)), ours.options.steps
        rows = [("gencli", seconds, steps, kept["gencli"])]
        while True:  # as many steps as fit into the time
            same = book.replace(size=given.size, octaves=octaves, steps=steps, max_loss=None)
            theirs = Dreamer(same, runtime=runtime, backbone=ours.backbone)
            found, spent = timed(theirs, photograph_of(theirs, source, given.size))
            if spent >= 0.97 * seconds or steps > 4 * ours.options.steps:
                break
            steps = max(steps + 1, math.floor(steps * seconds / spent))
        rows.append(("textbook", spent, steps, found))
        kept["textbook"] = found
        for name, took, count, picture in rows:
            rise = [
                after / first for after, first in zip(energies(picture, layers, ours.backbone), before, strict=True)
            ]
            if name == "gencli":
                ratios.append(min(rise))
            figures = f"{took:>9.1f}{count:>7}{' '.join(f'{one:.1f}' for one in rise):>18}"
            figures += f"{noise(picture) - noise(photograph.whole):>9.2f}"
            figures += f"{ends(picture) - ends(photograph.whole):>8.1%}"
            print(f"{Path(source).stem + ' ' + name:<24}{figures}", flush=True)
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            for name, picture in kept.items():
                image: Image.Image = images.to_pillow(picture)
                image.save(given.keep / f"{Path(source.removeprefix('@')).stem}-{name}.png")
    print(f"\nthe least rise is {min(ratios):.1f}, asked >= {ASKED_ENERGY:g}")


def photograph_of(dreamer: Dreamer, source: str, size: int) -> Photograph:
    """A photograph as this dreamer looks at it."""
    return dreamer.look_at(images.load(source, size=size))


def _octaves(dreamer: Dreamer, size: tuple[int, int]) -> list[tuple[int, int]]:
    return ascent.sizes(*size, dreamer.options)


if __name__ == "__main__":
    main()
