"""Training a painter: what `stylize` minimises for one picture, for every picture at once (Johnson et al. 2016)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gencli.core.averaging import RunningMean
from gencli.core.backbones import Backbone
from gencli.core.checkpoint import Stateful
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import grid, to_pillow, total_variation
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet
from gencli.core.recipe import Recipe, up_and_down
from gencli.core.tensors import halved
from gencli.core.transport import matrix_root
from gencli.stylize import losses
from gencli.stylize.feedforward import Form, Painter, widened
from gencli.stylize.losses import Moments, content_weight
from gencli.stylize.objective import TINY
from gencli.stylize.optimize import normalised
from gencli.stylize.options import StyleTraining

SEEN = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")  # of the backbone: each half as large as the one before
WIDEST = 16 / 3  # channels at the smallest sizes, in those at full size
CODE = 48  # numbers that tell any style
WARM_UP = 0.03  # share of the training in which the rate rises
BETAS = (0.9, 0.99)
SHOWN = 6  # held-out photographs that are shown and measured
USUAL, LEAST = 0.5, 0.2  # strengths trained at: half of the pictures at the one, the others from the other up to 1
LARGER = 1.5  # how much larger photographs are than what is cut out of them


@dataclass(frozen=True)
class Styles:
    """Style pictures as a layer sees them, (S, …) of S of them: their moments, and the roots of their covariances."""

    moments: Mapping[str, Moments]
    roots: Mapping[str, Tensor]

    def of(self, chosen: Tensor) -> Styles:
        """Those of styles `chosen` (N,)."""
        moments = {layer: Moments(m.mean[chosen], m.second[chosen]) for layer, m in self.moments.items()}
        return Styles(moments, {layer: root[chosen] for layer, root in self.roots.items()})

    @staticmethod
    def together(each: Sequence[Styles]) -> Styles:
        """All of them, in their order."""
        moments, roots = {}, {}
        for layer in each[0].moments:
            found = [styles.moments[layer] for styles in each]
            moments[layer] = Moments(torch.cat([m.mean for m in found]), torch.cat([m.second for m in found]))
            roots[layer] = torch.cat([styles.roots[layer] for styles in each])
        return Styles(moments, roots)


class Comparison:
    """How far painted pictures are from their styles and from their photographs, as a backbone sees them."""

    def __init__(self, options: StyleTraining, backbone: Backbone, runtime: Runtime) -> None:
        self.options, self.backbone, self.runtime = options, backbone, runtime
        self.content, self.style = (
            {backbone.resolve(layer): weight for layer, weight in normalised(part).items()}
            for part in (options.content_layer, options.style_layer)
        )

    @torch.no_grad()
    def study(self, pictures: Sequence[Tensor]) -> Styles:
        """What is to be known of style pictures (1, 3, h, w)."""
        seen = [self._look(picture, self.style) for picture in pictures]
        moments, roots = {}, {}
        for layer in seen[0]:
            each = [losses.moments(features[layer].squeeze(0)) for features in seen]
            moments[layer] = Moments(torch.stack([m.mean for m in each]), torch.stack([m.second for m in each]))
            roots[layer] = matrix_root(moments[layer].covariance)
        return Styles(moments, roots)

    def __call__(self, painted: Tensor, photographs: Tensor, styles: Styles) -> tuple[Tensor, Tensor]:
        """Distances of pictures (N, 3, H, W) from N styles, 1 where nothing of it is there, and from the photographs
        they were painted from, relative to how much these vary; each (N,)."""
        layers = {*self.content, *self.style}
        with torch.no_grad():
            before = self._look(photographs, layers)
        after = self._look(painted, layers)
        style = content = painted.new_zeros(len(painted))
        for layer, weight in self.style.items():
            with torch.no_grad():
                unit = self._distance(layer, before[layer], styles).clamp_min(TINY)
            style = style + weight * self._distance(layer, after[layer], styles) / unit
        for layer, weight in self.content.items():
            squares = (after[layer] - before[layer]).square().mean((1, 2, 3))
            content = content + weight * squares / losses.spread(before[layer]).clamp_min(TINY)
        return style, content

    def whole(self, style: Tensor, content: Tensor, strengths: Tensor) -> Tensor:
        """What a painter minimises (0-dim), by the distances and the strengths asked for (N,)."""
        ratio = content_weight(strengths, self.options.style_loss)
        return ((style + ratio * content) / (1 + ratio)).mean()

    def _look(self, pictures: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        with self.runtime.autocast():
            seen = self.backbone(pictures, layers)
        return {layer: widened(features) for layer, features in seen.items()}

    def _distance(self, layer: str, features: Tensor, styles: Styles) -> Tensor:
        found = losses.moments(features)
        if self.options.style_loss == "w2":
            return losses.wasserstein2(found, styles.moments[layer], styles.roots[layer])
        return losses.gram_distance(found, styles.moments[layer])


class PaintingRecipe(Recipe):
    """A network that paints, the running mean of its weights, and what it makes of held-out photographs."""

    def __init__(
        self,
        net: nn.Module,
        options: StyleTraining,
        backbone: Backbone,
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.options, self.comparison, self.runtime = options, Comparison(options, backbone, runtime), runtime
        self.layout = memory_format(runtime.device)
        self.net = net.to(runtime.device).to(memory_format=self.layout).train()  # type: ignore[call-overload]
        self.mean = RunningMean(self.net, options.average) if options.average else None
        self.modules: Mapping[str, nn.Module] = {"net": self.net, **({"mean": self.mean.net} if self.mean else {})}
        self.optimizers = {"net": torch.optim.Adam(self.net.parameters(), options.rate, BETAS, fused=True)}
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.extras: Mapping[str, Stateful] = {"scaler": self.scaler, **({"mean": self.mean} if self.mean else {})}
        self.luck = torch.Generator(runtime.device).manual_seed(generator(seed, 1).initial_seed())
        self.generators = {"styles": self.luck}
        some = held_out.spread(SHOWN).pictures.to(runtime.device).float() / 255
        self.shown = F.interpolate(some, (options.size, options.size), mode="area")

    @property
    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """How the network is built, for its `config.json`."""

    @abstractmethod
    def parts(self, photographs: Tensor) -> dict[str, Tensor]:
        """Of photographs (N, 3, H, W) what is to be minimised, `loss` (0-dim), and the distances of what was painted
        from the styles and from the photographs, `style` and `content` (N,)."""

    @abstractmethod
    def of_shown(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the network as it is kept makes of the photographs that are shown, at the usual strength: pictures
        (N, 3, H, W) and their distances (N,)."""

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        self.net.zero_grad()
        parts = self.parts(batch.pictures.contiguous(memory_format=self.layout))
        self.scaler.scale(parts["loss"]).backward()
        self.scaler.unscale_(self.optimizers["net"])
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip)
        self.scaler.step(self.optimizers["net"])
        self.scaler.update()
        if self.mean is not None:
            self.mean.update(self.net)
        return {name: part.detach().mean() for name, part in parts.items()}

    def weighed(self, painted: Tensor, style: Tensor, content: Tensor, strengths: Tensor) -> dict[str, Tensor]:
        """What `parts` are of painted pictures, by their distances and the strengths asked for (N,)."""
        loss = self.comparison.whole(style, content, strengths)
        if self.options.tv:
            loss = loss + self.options.tv * total_variation(painted)
        return {"loss": loss, "style": style, "content": content}

    def strengths(self, count: int) -> Tensor:
        """Half of them usual (N,), which is what is asked for most."""
        numbers = torch.rand(2, count, generator=self.luck, device=self.luck.device)
        return torch.where(numbers[0] < 0.5, USUAL, LEAST + (1 - LEAST) * numbers[1])

    def rate(self, progress: float) -> float:
        return up_and_down(progress, WARM_UP)

    @property
    def best(self) -> nn.Module:
        """The network that is measured, shown and kept."""
        return self.net if self.mean is None else self.mean.net

    def evaluate(self) -> dict[str, float]:
        """At the usual strength, on held-out photographs."""
        _, style, content = self.of_shown()
        return {"style": float(style.mean()), "content": float(content.mean())}

    def preview(self) -> Image.Image:
        """Held-out photographs, and below each what the painter makes of it."""
        painted, _, _ = self.of_shown()
        return to_pillow(grid(torch.cat([self.shown, painted]).cpu(), columns=len(painted)))

    def export(self) -> dict[str, Tensor]:
        """The network's weights, in half precision."""
        return halved(self.best.state_dict())


class StyleRecipe(PaintingRecipe):
    """A painter of the styles of some `pictures` (1, 3, h, w)."""

    net: Painter

    def __init__(
        self,
        net: Painter,
        options: StyleTraining,
        backbone: Backbone,
        pictures: Sequence[Tensor],
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
    ) -> None:
        super().__init__(net, options, backbone, held_out, runtime, seed)
        self.styles = self.comparison.study(pictures)
        self.shown_styles = torch.arange(len(self.shown), device=runtime.device) % net.form.styles

    @property
    def architecture(self) -> dict[str, Any]:
        return asdict(self.net.form)

    def parts(self, photographs: Tensor) -> dict[str, Tensor]:
        chosen = torch.randint(self.net.form.styles, (len(photographs),), generator=self.luck, device=self.luck.device)
        strengths = self.strengths(len(photographs))
        with self.runtime.autocast():
            shares = mixture(chosen, strengths, self.net.form.styles)
            painted = self.net(self.comparison.backbone, photographs, shares, self.luck)
        return self.weighed(painted, *self.comparison(painted, photographs, self.styles.of(chosen)), strengths)

    @torch.no_grad()
    def of_shown(self) -> tuple[Tensor, Tensor, Tensor]:
        usual = torch.full((len(self.shown),), USUAL, device=self.shown.device)
        with self.runtime.autocast():
            shares = mixture(self.shown_styles, usual, self.net.form.styles)
            painted: Tensor = self.best(self.comparison.backbone, self.shown, shares)
        return painted, *self.comparison(painted, self.shown, self.styles.of(self.shown_styles))


def form(options: StyleTraining, styles: int, encoder: Backbone) -> Form:
    """The painter of so many styles, or of any, that the options ask for.

    Raises UsageError for an encoder without the layers to see with.
    """
    widths = tuple(round(options.width * min(1 << size, WIDEST)) for size in range(len(options.blocks)))
    layers = () if options.own_encoder else SEEN[: len(widths) - 1]
    if lacking := {*layers} - {*encoder.layers}:
        raise UsageError(
            f"{encoder.name} does not have the layers to see photographs with: {', '.join(sorted(lacking))}",
            "choose a VGG network as --backbone" + ("" if options.any_style else ", or --own-encoder"),
        )
    channels = encoder.widths()
    seen = tuple(channels[layer] for layer in layers)
    some, code = (0, CODE) if options.any_style else (styles, 0)
    return Form(some, widths, options.blocks, options.ends, options.noise, layers, seen, code)


def mixture(chosen: Tensor, strengths: Tensor, styles: int) -> Tensor:
    """Shares (N, 1 + S) of the photograph and of each style, where styles `chosen` (N,) are wanted so strongly."""
    of_styles = F.one_hot(chosen, styles) * strengths[:, None]
    return torch.cat([1 - strengths[:, None], of_styles], 1)


def batches(photographs: PictureSet, options: StyleTraining, runtime: Runtime, seed: int) -> PictureBatches:
    """Squares of the photographs, of all sizes from that of the training on, as they are or mirrored."""
    least = min(1.0, (options.size / photographs.shape[-1]) ** 2)
    augmentation = Augmentation(flip=True, scale=(least, 1.0), ratio=(1.0, 1.0))
    return PictureBatches(
        photographs,
        options.batch_size,
        seed,
        augmentation,
        options.size,
        runtime.device,
        runtime.rank,
        runtime.world_size,
    )
