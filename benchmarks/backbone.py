"""How often a backbone names pictures it has not seen.

    python benchmarks/backbone.py --data tiny-imagenet --data-root DATA
    python benchmarks/backbone.py --data PHOTOS --backbone mine --size 64

The set's classes must be those the backbone was trained on. Prints top-1 and top-5 of its test part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from gencli.core import backbones, datasets
from gencli.core.device import start
from gencli.core.pictures import in_order


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--backbone", default=backbones.DEFAULT)
    parser.add_argument("--size", type=int, default=64)
    chosen = parser.parse_args()

    runtime = start("auto")
    net = backbones.load(chosen.backbone, device=runtime.device)
    pictures = datasets.load(chosen.data, size=chosen.size, split="test", root=chosen.data_root)
    if pictures.labels is None or pictures.classes != net.classes:
        raise SystemExit(f"{chosen.data} does not have the classes {net.name} was trained on")
    first = fifth = 0
    for batch in in_order(pictures, 256, device=runtime.device):
        right = net.logits(batch.pictures).topk(5).indices == batch.labels[:, None]
        first, fifth = first + int(right[:, 0].sum()), fifth + int(right.any(1).sum())
    count = len(pictures)
    print(f"{net.name} on {count} pictures of {pictures.name}: top-1 {first / count:.2%}, top-5 {fifth / count:.2%}")


if __name__ == "__main__":
    main()
