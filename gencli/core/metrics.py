"""How far a set of pictures is from another as a whole, in a network's features.

Figures compare only with figures of the same backbone, and of about as many pictures: the fewer there are, the
larger the distance comes out, even between two halves of one set (Chong & Forsyth 2020).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gencli.core.backbones import Backbone
from gencli.core.device import memory_format
from gencli.core.errors import GencliError
from gencli.core.images import resize
from gencli.core.pictures import PictureSet, in_order

SEEN_AT_ONCE = 32  # pictures: more no longer fit the processor's cache
POSITIONS = 4  # of the deepest layer along each side of a picture: 64 pixels for vgg-mini, which learnt on these


class Moments:
    """Mean and covariance of features given batch after batch, in double precision on the CPU.

    `count` rows were added so far; `mean` is (F,). Batches are merged as Chan, Golub & LeVeque 1983 do it: sums of
    squares would lose what is small beside the mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._scatter = torch.zeros((), dtype=torch.float64)  # (F, F), the sum of (x - mean) (x - mean)ᵀ

    def add(self, features: Tensor) -> None:
        """Take features (N, F) in, of any N. Raises GencliError when they are not finite numbers."""
        if not len(features):
            return
        if not features.isfinite().all():
            raise GencliError("a network sees no numbers in the pictures", "what made them, or the network, is damaged")
        rows = features.detach().to("cpu").double()  # in this order: MPS knows no double precision
        centre = rows.mean(0)
        rows = rows - centre
        apart, total = centre - self.mean, self.count + len(rows)
        self._scatter = self._scatter + rows.T @ rows + torch.outer(apart, apart) * (self.count * len(rows) / total)
        self.mean = self.mean + apart * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """The unbiased estimate (F, F), divided by count - 1. Raises GencliError for fewer than 2 rows."""
        if self.count < 2:
            raise GencliError(f"{self.count} picture(s) have no spread to compare", "give at least 2")
        return self._scatter / (self.count - 1)


def frechet_distance(one: Moments, other: Moments) -> float:
    """|μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), at least 0, between normal distributions (Heusel et al. 2017).

    With Σ = R Rᵀ the last trace is the sum of the singular values of R₁ᵀ R₂. These are right to rounding whatever
    the ranks; the root of the product's eigenvalues would keep half of the digits, and none of the small ones.

    Raises GencliError for fewer than 2 pictures on a side.
    """
    first, second = one.covariance, other.covariance
    shared = torch.linalg.svdvals(_root(first).T @ _root(second)).sum()
    distance = (one.mean - other.mean).square().sum() + first.trace() + second.trace() - 2 * shared
    return max(0.0, float(distance))


def _root(covariance: Tensor) -> Tensor:
    """R (F, rank) with R Rᵀ = Σ. Directions whose variance is but rounding are left out: their roots would not be."""
    variances, directions = torch.linalg.eigh(covariance)
    least = variances[-1] * len(variances) * torch.finfo(variances.dtype).eps
    kept = variances > least
    return directions[:, kept] * variances[kept].sqrt()


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """The squared maximum mean discrepancy of features (N, F) and (M, F), without bias: it may be a little below 0.

    The kernel is (x · y / F + 1)³ (Bińkowski et al. 2018). Raises GencliError for fewer than 2 rows on a side.
    """
    _enough(real, fake)

    def kernel(one: Tensor, other: Tensor) -> Tensor:
        return (one.double() @ other.double().T / one.shape[1] + 1) ** 3

    def within(rows: Tensor) -> Tensor:  # of a row with itself says nothing
        values, count = kernel(rows, rows), len(rows)
        return (values.sum() - values.diagonal().sum()) / (count * (count - 1))

    return float(within(real) + within(fake) - 2 * kernel(real, fake).mean())


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """How much of what is fake looks real, and how much of what is real is made: shares of features (M, F) and (N, F)
    that lie within reach of one of the other kind (Kynkäänniemi et al. 2019).

    A row reaches as far as its nearest `neighbours` of its own kind. Raises GencliError for fewer than 2 rows.
    """
    _enough(real, fake)
    apart = torch.cdist(real.double(), fake.double())  # (N, M)
    near_real = (apart <= _reach(real, neighbours)[:, None]).any(0)
    near_fake = (apart <= _reach(fake, neighbours)).any(1)
    return float(near_real.double().mean()), float(near_fake.double().mean())


def coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> float:
    """The share of what is real, features (N, F), that has something fake (M, F) within reach (Naeem et al. 2020).

    Unlike recall it cannot be had by odd pictures far from all others. Raises GencliError for fewer than 2 rows.
    """
    _enough(real, fake)
    nearest = torch.cdist(real.double(), fake.double()).amin(1)
    return float((nearest <= _reach(real, neighbours)).double().mean())


def _reach(rows: Tensor, neighbours: int) -> Tensor:
    """How far the nearest `neighbours` others of each row lie, (N,)."""
    apart = torch.cdist(rows.double(), rows.double()).fill_diagonal_(torch.inf)
    return apart.kthvalue(min(neighbours, len(rows) - 1), dim=1).values


def _enough(*sets: Tensor) -> None:
    for rows in sets:
        if len(rows) < 2:
            raise GencliError(f"{len(rows)} picture(s) have no spread to compare", "give at least 2")


def distances(real: Tensor, fake: Tensor) -> dict[str, float]:
    """The Fréchet and the kernel distance of features (N, F) and (M, F): `frechet` and `kernel`."""
    moments = [Moments() for _ in range(2)]
    for one, rows in zip(moments, (real, fake), strict=True):
        one.add(rows)
    return {"frechet": frechet_distance(*moments), "kernel": kernel_distance(real, fake)}


@torch.inference_mode()
def describe(backbone: Backbone, pictures: Tensor) -> Tensor:
    """What a backbone sees in pictures (N, 3, H, W), or grey (N, 1, H, W), in [0, 1]: features (N, F) on its device.

    They are the means over its deepest layer, as classifiers take them. Pictures of any size are first resized to
    the same square, bicubic with antialiasing (without it distances mean little: Parmar, Zhang & Zhu 2022): the
    backbone's own `side`, or `POSITIONS` strides of that layer.
    """
    layer = backbone.layers[-1]
    side = backbone.side or POSITIONS * backbone.reach(layer)[0]
    return backbone(resize(pictures.to(backbone.mean.device), (side, side)), [layer])[layer].mean((2, 3))


def picture_moments(backbone: Backbone, batches: Iterable[Tensor]) -> Moments:
    """The moments of what a backbone sees in pictures, given in batches as `describe` takes them."""
    moments = Moments()
    for pictures in batches:
        moments.add(describe(backbone, pictures))
    return moments


class Likeness:
    """How near samples are to a set of pictures, in what a backbone sees; the pictures are looked at once."""

    def __init__(self, backbone: Backbone, pictures: PictureSet) -> None:
        device = backbone.mean.device
        self.backbone = backbone.to(memory_format=memory_format(device))  # type: ignore[call-overload]
        shown = (batch.pictures for batch in in_order(pictures, SEEN_AT_ONCE, device=device))
        self.real = picture_moments(backbone, shown)

    def distance(self, samples: Tensor) -> float:
        """The Fréchet distance of pictures (N, C, H, W) in [0, 1] from those of the set.

        Raises GencliError for fewer than 2 pictures on a side.
        """
        return frechet_distance(picture_moments(self.backbone, samples.split(SEEN_AT_ONCE)), self.real)


def features(backbone: Backbone, batches: Iterable[Tensor]) -> Tensor:
    """What a backbone sees in pictures, given in batches as `describe` takes them: (N, F) on the CPU."""
    return torch.cat([describe(backbone, pictures).float().cpu() for pictures in batches])
