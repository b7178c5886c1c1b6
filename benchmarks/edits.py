"""Do edits along concept vectors do what they say, and leave the rest alone?

    python benchmarks/edits.py --model faces                                     # the model that ships, on its own set
    python benchmarks/edits.py --model mine --data celeba --data-root DATA --attributes Smiling,Male,Eyeglasses

A judge that has nothing to do with the autoencoder looks: a small convolutional network that has learnt, here and
each time anew, to name all attributes of the train part's real pictures. An autoencoder draws softly, and a judge that
knows sharp pictures only would take the softness for a sign of something; so half of what the judge learns from is
blurred, each picture by its own Gaussian of up to 1/32 of its side. It never sees a picture that the autoencoder drew,
or it could learn to read the traces which that leaves, where a person sees nothing.

The pictures judged are held out from both. Each is encoded, moved by `--strength` times the vector (plus where the
attribute is absent, minus where it is there), and decoded; "before" is its reconstruction without an edit.

    added      of the pictures without it, by truth and by the verdict before: how many are judged to have it after
    removed    of those with it, likewise: how many are judged not to have it after
    right way  of all: how often the judge's logit of the attribute moves as it should
    others     of all: how many verdicts on other attributes stay as they were before; the mean over these attributes,
               the one that changes most, and how many pictures keep all of them

A verdict is that of the likelier: a logit above 0 says yes. Edits cannot look better than the judge sees, so first
comes how often it is right. It trains by the clock: its figures vary from run to run, and on a busy machine it needs
more `--minutes`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from gencli.core.device import Runtime, drawing_from, generator, memory_format, start
from gencli.core.images import grid, resize, to_pillow
from gencli.core.pictures import Augmentation, PictureBatches, PictureSet, in_order
from gencli.core.recipe import up_and_down
from gencli.vae import concepts, trained
from gencli.vae.concepts import Concept
from gencli.vae.editing import moved
from gencli.vae.trained import AT_ONCE, Trained

WIDTHS = (24, 48, 96, 128)  # channels of the judge, a halving each
RATE, WARM_UP, BATCH = 4e-3, 0.1, 128
SOFTEST = 1 / 32  # of a picture's side: the largest deviation of the judge's blur
STRENGTHS = (1.5, 2.0)  # told beside the one that is asked for
SIDES = {"left", "right"}  # in an attribute's name: then a mirrored picture has another truth
ADDED, KEPT, RIGHT_WAY = 0.9, 0.85, 0.8  # asked: of smiles added to @faces, other attributes meanwhile, CelebA's logits
COLUMNS, SHOWN = 10, 128  # of the sheet: faces, and pixels a side


class Judge(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] → logits (N, A), one of each attribute."""

    def __init__(self, channels: int, attributes: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(inward, outward, 3, 2, 1, bias=False), nn.BatchNorm2d(outward), nn.ReLU())
                for inward, outward in itertools.pairwise((channels, *WIDTHS))
            )
        )
        self.name = nn.Linear(WIDTHS[-1], attributes)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.name(self.convolutions(2 * pictures - 1).mean((2, 3)))
        return logits


def blurred(pictures: Tensor, deviations: Tensor) -> Tensor:
    """Pictures (N, C, H, W) blurred by Gaussians of `deviations` (N,) pixels; beyond the edges lies nothing, and what
    is within weighs the more."""
    rows, columns = (_gaussians(side, deviations.to(pictures.device)) for side in pictures.shape[-2:])
    return rows[:, None] @ pictures @ columns[:, None].mT


def _gaussians(side: int, deviations: Tensor) -> Tensor:
    """(N,) → (N, side, side): row i holds the weights of the pixels that make pixel i."""
    place = torch.arange(side, device=deviations.device)
    apart = (place[:, None] - place) / deviations.clamp(min=1e-3)[:, None, None]
    return (-0.5 * apart.square()).softmax(-1)


def taught(learnt: PictureSet, minutes: float, runtime: Runtime, seed: int) -> Judge:
    """A judge that has learnt a set's attributes for so many minutes, in evaluation mode."""
    names, truth = learnt.attribute_names, _truth(learnt)
    with drawing_from(generator(seed)):
        judge = Judge(learnt.shape[0], len(names))
    layout = memory_format(runtime.device)
    judge.to(runtime.device).to(memory_format=layout).train()  # type: ignore[call-overload]
    adam = torch.optim.Adam(judge.parameters(), RATE, fused=True)
    flip = not any(SIDES & set(re.split(r"[-_ ]", name.lower())) for name in names)
    order = PictureBatches(learnt, BATCH, seed, Augmentation(flip=flip), device=runtime.device)
    luck = generator(seed, 1)
    began = time.monotonic()
    for step in itertools.count():
        progress = (time.monotonic() - began) / (60 * minutes)
        if progress >= 1:
            break
        batch = order.batch(*divmod(step, len(order)))
        soft = len(batch.pictures) // 2  # the order is random, so it is a random half
        batch.pictures[:soft] = blurred(batch.pictures[:soft], SOFTEST * learnt.shape[-1] * _uniform(soft, luck))
        logits = judge(batch.pictures.contiguous(memory_format=layout))
        loss = F.binary_cross_entropy_with_logits(logits, truth[batch.indices].to(logits))
        adam.param_groups[0]["lr"] = RATE * up_and_down(progress, WARM_UP)
        adam.zero_grad()
        loss.backward()
        adam.step()
    print(f"the judge: {step:,} steps, {step / len(order):.1f} epochs{', half mirrored' if flip else ''}", flush=True)
    return judge.eval()


def _uniform(count: int, luck: torch.Generator) -> Tensor:
    return torch.rand(count, generator=luck)


def _truth(pictures: PictureSet) -> Tensor:
    """(N, A), bool."""
    assert pictures.attributes is not None
    return pictures.attributes


@torch.no_grad()
def logits_of_set(judge: Judge, pictures: PictureSet, deviation: float = 0.0) -> Tensor:
    """The judge's logits (N, A) on real pictures, blurred by so many pixels."""
    device = next(judge.parameters()).device
    found = []
    for batch in in_order(pictures, AT_ONCE, device=device):
        softness = torch.full((len(batch.pictures),), deviation)
        found.append(judge(blurred(batch.pictures, softness) if deviation else batch.pictures).cpu())
    return torch.cat(found)


@torch.no_grad()
def logits_of_latents(judge: Judge, loaded: Trained, latents: Tensor) -> Tensor:
    """The judge's logits (N, A) on what an autoencoder draws of latents (N, L)."""
    channels = loaded.net.shape[0]
    drawn = (loaded.decode(some)[:, :channels] for some in latents.split(AT_ONCE))
    return torch.cat([judge(pictures.to(loaded.runtime.device)).cpu() for pictures in drawn])


@dataclass(frozen=True)
class Outcome:
    """What edits of one attribute did: shares in [0, 1], NaN of nothing. `added` is a share of `addable` pictures, and
    `removed` of `removable` ones; `kept` is `others` of the former alone."""

    added: float
    addable: int
    removed: float
    removable: int
    right_way: float
    others: float
    worst: float
    worst_name: str
    all_others: float
    kept: float


def outcome(index: int, names: Sequence[str], truth: Tensor, before: Tensor, after: Tensor) -> Outcome:
    """Of the edits of attribute `index`: truth (N, A), bool, and logits (N, A) before and after them."""
    has, seen, sees = truth[:, index], before[:, index] > 0, after[:, index] > 0
    addable, removable = ~has & ~seen, has & seen
    towards = after[:, index] - before[:, index]
    rest = [other for other in range(len(names)) if other != index]
    same = ((after > 0) == (before > 0))[:, rest]
    worst, worst_name = min(
        zip((share(column) for column in same.T), (names[other] for other in rest), strict=True),
        default=(math.nan, "none"),
    )
    return Outcome(
        added=share(sees[addable]),
        addable=int(addable.sum()),
        removed=share(~sees[removable]),
        removable=int(removable.sum()),
        right_way=share(torch.where(has, towards < 0, towards > 0)),
        others=share(same),
        worst=worst,
        worst_name=worst_name,
        all_others=share(same.all(1)),
        kept=share(same[addable]),
    )


def share(yes: Tensor) -> float:
    """Of what is true in a tensor of bool, in [0, 1]; NaN of an empty one."""
    return float(yes.double().mean())


def sheet(loaded: Trained, held: PictureSet, changes: Sequence[Concept], strength: float) -> Image.Image:
    """Faces in columns: the originals, what comes back of them, and a row for each change."""
    some = held.subset(torch.arange(min(COLUMNS, len(held))))
    latents = loaded.encode_all(some)
    rows = {
        "original": some.pictures.float().div(255).expand(-1, 3, -1, -1),
        "reconstruction": loaded.decode(latents),
        **{f"+ {one.name}": loaded.decode(moved(latents, [(one, strength)])) for one in changes},
    }
    pictures = to_pillow(grid(resize(torch.cat([*rows.values()]), (SHOWN, SHOWN)), columns=len(some)))
    font = ImageFont.load_default(16)
    margin = math.ceil(max(font.getlength(name) for name in rows)) + 16
    page = Image.new("RGB", (margin + pictures.width, pictures.height), "white")
    page.paste(pictures, (margin, 0))
    pen = ImageDraw.Draw(page)
    for row, name in enumerate(rows):
        middle = row * pictures.height // len(rows) + SHOWN // 2
        pen.text((margin - 8, middle), name, "black", font, anchor="rm")
    return page


def percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"


def show(rows: Sequence[Sequence[str]]) -> None:
    """A table, the first column to the left; its first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join([f"{first:{widths[0]}}", *cells]), flush=True)
    print()


def show_judge(names: Sequence[str], truth: Tensor, looks: dict[str, tuple[Tensor, Tensor]]) -> None:
    """How often the judge is right: for each kind of pictures, by name, the truth and its logits."""
    right = {name: ((logits > 0) == known).double().mean(0) for name, (known, logits) in looks.items()}
    rows = [["the judge is right on", "have it", *right]]
    for index, name in enumerate(names):
        shares = (truth[:, index].double().mean(), *(found[index] for found in right.values()))
        rows.append([name, *(percent(float(value)) for value in shares)])
    rows.append(["mean", "", *(percent(float(found.mean())) for found in right.values())])
    rows.append(["worst", "", *(percent(float(found.min())) for found in right.values())])
    show(rows)


def show_outcomes(strength: float, found: dict[str, Outcome]) -> None:
    heading = ["added", "of", "removed", "of", "right way", "others", "worst", "", "all others"]
    rows = [[f"strength {strength:g}", *heading]]
    for name, one in found.items():
        asked_for = (percent(one.added), str(one.addable), percent(one.removed), str(one.removable))
        beside = (percent(one.others), percent(one.worst), one.worst_name, percent(one.all_others))
        rows.append([name, *asked_for, percent(one.right_way), *beside])
    show(rows)


def asked(which: str, found: dict[str, Outcome]) -> Iterator[tuple[str, float, float]]:
    """What is asked of edits on a set of pictures: a name, the figure, and the least it should be."""
    if which == "faces" and "smiling" in found:
        yield "@faces: judged smiling, smiling added", found["smiling"].added, ADDED
        yield "@faces: others unchanged, smiling added", found["smiling"].kept, KEPT
    if which == "celeba":
        mean = sum(one.right_way for one in found.values()) / len(found)
        yield f"celeba: right way, mean of {len(found)} attributes", mean, RIGHT_WAY
        if "Smiling" in found:
            yield "celeba: right way, Smiling", found["Smiling"].right_way, RIGHT_WAY


def read(loaded: Trained, data: str | None, root: Path | None) -> tuple[PictureSet, PictureSet]:
    """The parts to learn from and to judge by: of `data`, or of the set that the model was trained on."""
    about = loaded.config["data"]
    names = [data] if data else about["names"]
    own = names == about["names"]  # then cut as it was, or pictures that it learnt from would be held out
    learnt, held = trained.parts(loaded, names, root, None, loaded.config["options"]["limit"] if own else None)
    if own and learnt.fingerprint != about["fingerprint"]:
        raise SystemExit(f"{about['name']} is not what it was when {loaded.name} was trained")
    if learnt.attributes is None:
        raise SystemExit(f"{learnt.name} has no attributes to judge by: give --data @faces or celeba")
    return learnt, held


def wanted(loaded: Trained, names: Sequence[str], attributes: str | None) -> list[Concept]:
    """The concepts to judge: those of `attributes`, separated by commas, or all that the set knows too."""
    known = concepts.load(loaded.folder)
    if attributes is None:
        found = [concept for name, concept in known.items() if name in names]
    else:
        found = [concepts.chosen(known, name, loaded.name) for name in attributes.split(",")]
    if not found or any(concept.name not in names for concept in found):
        raise SystemExit(f"{loaded.name} knows {', '.join(known) or 'nothing'}; the pictures: {', '.join(names)}")
    return found


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces")
    parser.add_argument("--data", help="a set with attributes; without, the one that the model was trained on")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--attributes", help="those to edit, separated by commas; without, all that the model knows")
    parser.add_argument("--pictures", type=int, default=500, help="so many held-out ones are edited")
    parser.add_argument("--strength", type=positive, default=1.0)
    parser.add_argument("--minutes", type=positive, default=4.0, help="for which the judge learns")
    parser.add_argument("--sheet", type=Path, help="a picture of held-out faces with each attribute added")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.pictures < 1:
        parser.error("--pictures: at least one is needed")

    runtime = start("auto", threads=chosen.threads)
    loaded = trained.load(chosen.model, runtime)
    learnt, held = read(loaded, chosen.data, chosen.data_root)
    names = learnt.attribute_names
    edited = wanted(loaded, names, chosen.attributes)
    judged = held.spread(chosen.pictures)
    print(f"{loaded.name} on {learnt.name}: {len(learnt):,} pictures, {len(held):,} held out, {len(judged)} edited")
    if chosen.sheet:  # before the work, so that a path that cannot be written is known at once
        sheet(loaded, judged, edited, chosen.strength).save(chosen.sheet)

    judge = taught(learnt, chosen.minutes, runtime, chosen.seed)
    truth, latents = _truth(judged), loaded.encode_all(judged)
    before = logits_of_latents(judge, loaded, latents)
    looks = {
        "pictures": (_truth(held), logits_of_set(judge, held)),
        "blurred": (_truth(held), logits_of_set(judge, held, SOFTEST * held.shape[-1])),
        "reconstructions": (truth, before),
    }
    show_judge(names, _truth(held), looks)
    for strength in dict.fromkeys((chosen.strength, *STRENGTHS)):
        found = {}
        for concept in edited:
            index = names.index(concept.name)
            steps = torch.where(truth[:, index], -strength, strength)[:, None]
            after = logits_of_latents(judge, loaded, latents + steps * concept.vector)
            found[concept.name] = outcome(index, names, truth, before, after)
        show_outcomes(strength, found)
        for what, figure, least in asked(learnt.name, found):
            verdict = "reached" if figure >= least else "NOT reached"
            print(f"{what}: {percent(figure)}, asked >= {least:.0%}: {verdict}\n", flush=True)


if __name__ == "__main__":
    main()
