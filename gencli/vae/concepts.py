"""Concept vectors: directions of the latent space along which one thing about a picture changes.

They are kept in a file of the model's folder, and learnt from pictures whose attributes are known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gencli.core import datasets, store
from gencli.core.datasets import Report
from gencli.core.errors import GencliError, UsageError
from gencli.core.names import known_as
from gencli.core.pictures import PictureSet
from gencli.core.tensors import read_tensors, write_tensors
from gencli.vae.trained import Trained

FILE = "concepts.safetensors"
ENOUGH = 20_000  # pictures that concepts are learnt from, at most
FEW = 4  # examples of each kind from which some are left to judge a concept by

log = logging.getLogger("gencli")


@dataclass(frozen=True)
class Concept:
    """`vector` (L,) leads from pictures without it to those with it: at strength 1 as far as these lie apart on
    average. `separation` in [0, 1] is how often, of two pictures it was not learnt from, one with and one without
    it, the one with it lies further along; 0.5 is chance, and None: there were no such pictures."""

    name: str
    vector: Tensor
    separation: float | None = None


def effects(latents: Tensor, attributes: Tensor) -> Tensor:
    """What each attribute does to the latents while the others stay as they are.

    Least squares of latents (N, L) on attributes (N, A), bool, and a constant → (A, L). With one attribute this is
    mean(z | with) − mean(z | without), the textbook's vector; with several it tells apart those that often come
    together.
    """
    known = attributes.double()
    centered = known - known.mean(0)
    return torch.linalg.lstsq(centered, latents.double(), driver="gelsd").solution.float()


def separation(vector: Tensor, latents: Tensor, has: Tensor) -> float | None:
    """The area under the ROC curve of latents (N, L) projected on a vector (L,), for telling those that `has` (N,),
    bool; None when all have it, or none."""
    places = (latents @ vector).double()
    with_it, without = places[has], places[~has].sort().values
    if not len(with_it) or not len(without):
        return None
    below = torch.searchsorted(without, with_it) + torch.searchsorted(without, with_it, right=True)
    return float(below.double().mean() / (2 * len(without)))  # ties count as half


def known_attributes(pictures: PictureSet) -> tuple[tuple[str, ...], Tensor]:
    """The names and truth (N, A), bool, of what is known of pictures: their attributes, else their classes.

    Raises UsageError when nothing is.
    """
    if pictures.attributes is not None:
        return pictures.attribute_names, pictures.attributes
    if pictures.labels is None or len(pictures.classes) < 2:
        raise UsageError(
            f"{pictures.name} has no labels to learn concepts from",
            "put pictures of different kinds into folders, or name two with --with and --without",
        )
    return pictures.classes, torch.nn.functional.one_hot(pictures.labels, len(pictures.classes)).bool()


def labelled(pictures: PictureSet, *, conditional: bool) -> bool:
    """Whether a model can learn concepts from what is known of pictures: to a `conditional` one the class is given."""
    return pictures.attributes is not None or (len(pictures.classes) > 1 and not conditional)


def learn(loaded: Trained, pictures: PictureSet, held_out: PictureSet) -> dict[str, Concept]:
    """A concept for each attribute or class of labelled pictures, judged by held-out ones.

    Those that all pictures have, or none, are left out. Raises UsageError for pictures without labels.
    """
    some = pictures.spread(ENOUGH)
    names, known = known_attributes(some)
    _, judged = known_attributes(held_out)
    latents, tested = loaded.encode_all(some), loaded.encode_all(held_out)
    if some.attributes is not None:
        vectors = effects(latents, known)
    else:  # classes exclude each other: each against the rest
        vectors = torch.cat([effects(latents, known[:, [k]]) for k in range(len(names))])
    found = {}
    for k, name in enumerate(names):
        if 0 < int(known[:, k].sum()) < len(some):
            found[name] = Concept(name, vectors[k], separation(vectors[k], tested, judged[:, k]))
    return found


def learn_between(
    loaded: Trained, name: str, with_it: str, without: str, report: Report | None = None
) -> dict[str, Concept]:
    """The concept that two folders or archives of examples show. Raises GencliError for those that cannot be read,
    UsageError for a conditional model, which would have to know their classes."""
    if loaded.classes:
        raise UsageError(f"{loaded.name} reads pictures of a class", "give pictures in folders by class: --data")
    channels, size, _ = loaded.net.shape
    sets = (datasets.load(one, size=size, channels=channels, report=report, limit=ENOUGH) for one in (with_it, without))
    return {name: between(name, *(loaded.encode_all(pictures) for pictures in sets))}


def between(name: str, with_it: Tensor, without: Tensor) -> Concept:
    """The concept that latents (N, L) of examples with it and (M, L) without show. Its separation is that of one
    learnt from every other of them, judged by the rest."""
    latents = torch.cat([with_it, without])
    has = torch.arange(len(latents)) < len(with_it)
    vector = effects(latents, has[:, None])[0]
    if min(len(with_it), len(without)) < FEW:
        return Concept(name, vector)
    every_other = torch.cat([torch.arange(len(with_it)), torch.arange(len(without))]) % 2 == 0
    rehearsal = effects(latents[every_other], has[every_other][:, None])[0]
    return Concept(name, vector, separation(rehearsal, latents[~every_other], has[~every_other]))


def load(folder: Path) -> dict[str, Concept]:
    """The concepts a model knows. Raises GencliError when their file is damaged."""
    path = folder / FILE
    if not path.is_file():
        return {}
    tensors, about = read_tensors(path)
    try:
        names, separations = json.loads(about["names"]), json.loads(about["separations"])
        rows = zip(names, tensors["vectors"], separations, strict=True)
        return {name: Concept(name, vector, score) for name, vector, score in rows}
    except (KeyError, ValueError) as error:
        raise GencliError(
            f"{path} is damaged: {error}", "remove it, and learn the concepts anew with --data"
        ) from error


def save(folder: Path, concepts: Mapping[str, Concept]) -> None:
    """Write the concepts a model knows, in place of those it knew."""
    about = {
        "names": json.dumps(list(concepts)),
        "separations": json.dumps([concept.separation for concept in concepts.values()]),
    }
    vectors = torch.stack([concept.vector for concept in concepts.values()])
    write_tensors(folder / FILE, {"vectors": vectors}, about)


def keep(loaded: Trained, concepts: Mapping[str, Concept]) -> None:
    """Save what a model knows with it; of one that ships, say that it cannot be."""
    if store.Model(loaded.folder).state == "built in":
        log.warning("%s ships with gencli, so what it has learnt now is for this time only", loaded.name)
    else:
        save(loaded.folder, concepts)


def chosen(concepts: Mapping[str, Concept], name: str, model: str) -> Concept:
    """The concept of a name, as `known_as` has it. Raises UsageError when there is none."""
    if (found := known_as(name, concepts)) is None:
        raise UsageError(
            f"{model} knows no attribute {name}",
            f"it knows {', '.join(concepts)}"
            if concepts
            else "teach it some: --data with labels, or --with and --without",
        )
    return concepts[found]
