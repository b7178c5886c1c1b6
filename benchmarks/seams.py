"""Whether a dream made in tiles shows where they meet, what memory it takes, and how long.

    python benchmarks/seams.py                             # @harbour, 2048 pixels, tiles of 512
    python benchmarks/seams.py PHOTO… --size 2048 --tile 512 --whole

Each photograph is dreamt over by `gencli dream` itself, in tiles: as usual, and with `--jitter 0`, where the tiles lie
in the same places at every step, so that a seam would show the most. Of what the dream adds to the photograph's
lightness, the mean absolute difference between neighbouring rows (columns) is taken wherever two tiles meet, over the
mean of all others; and of those, how far from their middle it lies, in their standard deviations. With `--whole` a
dream without tiles is measured in the same places. Pixel by pixel it is another: a step in tiles differs from one on
the whole in the seventh digit, and over a hundred steps such differences grow.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from gencli.core import color, images, tiles
from gencli.core.device import start
from gencli.dream.dreaming import Dreamer
from gencli.dream.options import DreamOptions


def dreamt(source: str, output: Path, *words: str) -> tuple[Tensor, float, float]:
    """The file that `gencli dream` writes (1, 3, H, W), the seconds from start to end, and the peak memory in MB of
    the largest run so far."""
    command = [sys.executable, "-m", "gencli", "dream", source, "-o", str(output), "--seed", "1", *words]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    return images.load(str(output)).rgb, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def seams(change: Tensor, places: list[int]) -> tuple[float, float]:
    """Mean difference between the rows on both sides of each of `places`, over that of all others; and how many
    standard deviations of the others the furthest lies from their middle. `change` is (H, W)."""
    steps = change.diff(dim=0).abs().mean(1)
    at = torch.zeros_like(steps, dtype=torch.bool)
    at[[place - 1 for place in places]] = True
    others = steps[~at]
    return float(steps[at].mean() / others.mean()), float(((steps[at] - others.mean()) / others.std()).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", default=["@harbour"])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--whole", action="store_true", help="also without tiles")
    given = parser.parse_args()
    runtime = start("cpu")
    dreamer = Dreamer(DreamOptions(size=given.size), runtime=runtime)
    layers = [term.layer for _, term in dreamer.objective.parts]
    for source in given.photographs:
        photograph = dreamer.look_at(images.load(source, size=given.size))
        size = photograph.height, photograph.width
        tiling = tiles.Tiling(dreamer.backbone, size, layers, given.tile)
        rows = sorted({window.top for window in tiling.windows} - {0})
        columns = sorted({window.left for window in tiling.windows} - {0})
        with tempfile.TemporaryDirectory() as folder:
            large = ["--size", str(given.size)]
            in_tiles = [*large, "--tile", str(given.tile)]
            runs = {"in tiles": in_tiles, "in tiles, jitter 0": [*in_tiles, "--jitter", "0"]}
            if given.whole:
                runs["without tiles"] = large
            print(f"{images.stem(source)}, {size[1]} × {size[0]}, {len(rows)} + {len(columns)} seams")
            for name, words in runs.items():
                found, seconds, peak = dreamt(source, Path(folder, f"{name}.png"), *words)
                change = color.luma(found - photograph.whole)[0, 0]
                across, along = seams(change, rows), seams(change.T, columns)
                cost = f"{name:<20}{seconds:>6.0f} s, peak {peak:.0f} MB"
                furthest = max(across[1], along[1])
                print(f"{cost}; {across[0]:.3f} and {along[0]:.3f} of elsewhere, furthest {furthest:.1f} deviations")


if __name__ == "__main__":
    main()
