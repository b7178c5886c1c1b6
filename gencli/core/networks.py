"""The convolutional networks gencli can look through, as ordered, named stages.

Each builder returns an `Architecture`: stages to run one after the other, each of them a layer one
can ask for by name. Names are those of the papers and of the tools people know; activations are
taken after the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """A network as data: its stages in order, how it wants its input, and other names for its layers."""

    stages: dict[str, nn.Module]
    head: nn.Module | None = None  # the last stage's (N, C, H, W) → (N, classes)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    bgr: bool = False
    aliases: dict[str, str] = field(default_factory=dict)
    side: int | None = None  # of the pictures at which figures in its features are usually taken
    origin: nn.Module | None = None  # the module the stages were taken from: its state dict is the published one
    classes: tuple[str, ...] = ()  # that the head knows


# ------------------------------------------------------------------ VGG and its small relatives

VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def vgg(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    classes: int = 0,
    batch_norm: bool = False,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Architecture:
    """Blocks of 3 × 3 convolutions with a ReLU each, max pooling between them (Simonyan & Zisserman 2015).

    Block b has `depths[b]` convolutions of `widths[b]` channels, named conv{b}_{i}; the pooling after
    it is pool{b}. With `classes`, the head is a global average and a linear layer. `batch_norm` puts
    batch norm before each ReLU, for training; `fold` takes it out again.
    """
    stages: dict[str, nn.Module] = {}
    channels = 3
    for b, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        if b > 1:
            stages[f"pool{b - 1}"] = nn.MaxPool2d(2)
        for i in range(1, depth + 1):
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm)
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            stages[f"conv{b}_{i}"] = nn.Sequential(convolution, *norm, nn.ReLU(inplace=True))
            channels = width
    head = _pooled_linear(channels, classes) if classes else None
    convolutions = [name.removeprefix("conv") for name in stages if name.startswith("conv")]
    aliases = {f"relu{name}": f"conv{name}" for name in convolutions}
    aliases |= {"block{}_conv{}".format(*name.split("_")): f"conv{name}" for name in convolutions}  # Keras
    return Architecture(stages, head, mean, std, aliases=aliases)


def _pooled_linear(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def fold(stage: nn.Sequential) -> nn.Sequential:
    """Convolution, batch norm, ReLU as the convolution with bias and ReLU that do the same in evaluation."""
    convolution, norm, relu = stage
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return nn.Sequential(nn.utils.fuse_conv_bn_eval(convolution, norm), relu)


# ------------------------------------------------------------------ the GoogLeNet of DeepDream


class CaffeInception(nn.Module):
    """One inception module as in Caffe's GoogLeNet: 1×1, 3×3, 5×5 and pooled branches, side by side."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = widths
        self.one = _caffe_convolution(channels, one, 1)
        self.three = nn.Sequential(_caffe_convolution(channels, reduce3, 1), _caffe_convolution(reduce3, three, 3))
        self.five = nn.Sequential(_caffe_convolution(channels, reduce5, 1), _caffe_convolution(reduce5, five, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _caffe_convolution(channels, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


def _caffe_convolution(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2), nn.ReLU(inplace=True))


class AcrossChannels(nn.Module):
    """Local response normalisation over 5 neighbouring channels (Krizhevsky et al. 2012).

    x / (1 + 1e-4 · mean of their x²)^0.75: what `nn.LocalResponseNorm(5)` does, at four times the speed.
    """

    def forward(self, x: Tensor) -> Tensor:
        squares = nn.functional.pad(x.square(), (0, 0, 0, 0, 2, 2))
        near = squares[:, :-4] + squares[:, 1:-3] + squares[:, 2:-2] + squares[:, 3:-1] + squares[:, 4:]
        root = torch.rsqrt(1 + (1e-4 / 5) * near)  # to the power of 0.75: the root times the root of the root
        return x * root * root.sqrt()


INCEPTIONS = {  # Szegedy et al. 2015, table 1: input, #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def bvlc_googlenet() -> Architecture:
    """Caffe's GoogLeNet (Szegedy et al. 2015), the network of the original DeepDream.

    No batch norm; BGR in 0..255.
    """

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    stages: dict[str, nn.Module] = {
        "conv1": _caffe_convolution(3, 64, 7, 2),
        "pool1": pool(),
        "norm1": AcrossChannels(),
        "conv2_reduce": _caffe_convolution(64, 64, 1),
        "conv2": _caffe_convolution(64, 192, 3),
        "norm2": AcrossChannels(),
        "pool2": pool(),
    }
    for name, (channels, *widths) in INCEPTIONS.items():
        if name in {"4a", "5a"}:
            stages[f"pool{int(name[0]) - 1}"] = pool()
        stages[f"inception_{name}"] = CaffeInception(channels, widths)
    return Architecture(
        stages,
        _pooled_linear(1024, 1000),
        mean=(123 / 255, 117 / 255, 104 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        bgr=True,
        aliases={f"inception_{name}/output": f"inception_{name}" for name in INCEPTIONS},
        classes=_imagenet(),
    )


def bvlc_state(caffe: dict[str, Tensor]) -> dict[str, Tensor]:
    """Caffe's names and shapes (`inception_4c/5x5.weight`) → those of `bvlc_googlenet`'s stages and head."""
    parts = {
        "1x1": "one.0",
        "3x3_reduce": "three.0.0",
        "3x3": "three.1.0",
        "5x5_reduce": "five.0.0",
        "5x5": "five.1.0",
        "pool_proj": "pool.1.0",
    }
    roots = {
        "conv1/7x7_s2": "stages.conv1.0",
        "conv2/3x3_reduce": "stages.conv2_reduce.0",
        "conv2/3x3": "stages.conv2.0",
        "loss3/classifier": "head.2",
    }
    state = {}
    for key, tensor in caffe.items():
        layer, _, kind = key.rpartition(".")
        if layer not in roots:
            module, _, branch = layer.partition("/")
            target = f"stages.{module}.{parts[branch]}" if branch in parts else layer
        else:
            target = roots[layer]
        is_linear = target == "head.2" and kind == "weight"
        state[f"{target}.{kind}"] = tensor.flatten(1) if is_linear else tensor
    return state


# ------------------------------------------------------------------ torchvision's


def squeezenet1_1() -> Architecture:
    """torchvision's SqueezeNet 1.1 (Iandola et al. 2016)."""
    from torchvision.models import squeezenet1_1 as build

    net = _empty(build)
    f = net.features
    stages: dict[str, nn.Module] = {
        "conv1": f[:2],
        "pool1": f[2],
        "fire2": f[3],
        "fire3": f[4],
        "pool3": f[5],
    }
    stages |= {"fire4": f[6], "fire5": f[7], "pool5": f[8]}
    stages |= {f"fire{i}": f[i + 3] for i in range(6, 10)}
    return Architecture(stages, nn.Sequential(net.classifier, nn.Flatten()), origin=net, classes=_imagenet())


def googlenet() -> Architecture:
    """torchvision's GoogLeNet, which has batch norm and was trained on inputs in [-1, 1]."""
    from torchvision.models import googlenet as build

    net = _empty(build, aux_logits=False, init_weights=False)
    names = ["conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"]
    names += [f"inception4{letter}" for letter in "abcde"]
    names += ["maxpool4", "inception5a", "inception5b"]
    stages = {name: getattr(net, name) for name in names}
    aliases = {name.replace("inception", "inception_"): name for name in stages if name.startswith("inception")}
    half = (0.5, 0.5, 0.5)
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Architecture(stages, head, half, half, aliases=aliases, origin=net, classes=_imagenet())


def inception_v3() -> Architecture:
    """torchvision's Inception v3 (Szegedy et al. 2016), its modules under Keras' names mixed0 … mixed10.

    Keras' mixed3 is the first of the 17 × 17 grid (the reduction Mixed_6a), so the textbook's
    mixed4 … mixed7 are Mixed_6b … Mixed_6e.
    """
    from torchvision.models import inception_v3 as build

    net = _empty(build, aux_logits=False, init_weights=False)
    names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"]
    names += ["Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"]
    stages = {name: getattr(net, name) for name in names}
    mixed = ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
    stages |= {f"mixed{i}": getattr(net, f"Mixed_{name}") for i, name in enumerate(mixed)}
    half = (0.5, 0.5, 0.5)
    aliases = {f"Mixed_{name}": f"mixed{i}" for i, name in enumerate(mixed)}
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Architecture(stages, head, half, half, aliases=aliases, side=299, origin=net, classes=_imagenet())


def resnet50() -> Architecture:
    """torchvision's ResNet-50 (He et al. 2016): conv1 and the sixteen blocks layer1_0 … layer4_2."""
    from torchvision.models import resnet50 as build

    net = _empty(build)
    stages: dict[str, nn.Module] = {
        "conv1": nn.Sequential(net.conv1, net.bn1, net.relu),
        "maxpool1": net.maxpool,
    }
    for i in range(1, 5):
        stages |= {f"layer{i}_{j}": block for j, block in enumerate(getattr(net, f"layer{i}"))}
    aliases = {name.replace("_", "."): name for name in stages if name.startswith("layer")}
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Architecture(stages, head, aliases=aliases, origin=net, classes=_imagenet())


def _imagenet() -> tuple[str, ...]:
    """The thousand classes of the ImageNet challenge, in their order."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _empty(build: Callable[..., Any], **options: Any) -> Any:
    """torchvision's module without values: drawing random ones only to overwrite them takes seconds."""
    with torch.device("meta"):
        return build(weights=None, **options)


BUILDERS: dict[str, Callable[[], Architecture]] = {
    "vgg16": lambda: vgg(VGG_WIDTHS, VGG_DEPTHS["vgg16"]),
    "vgg19": lambda: vgg(VGG_WIDTHS, VGG_DEPTHS["vgg19"]),
    "squeezenet1_1": squeezenet1_1,
    "googlenet": googlenet,
    "inception_v3": inception_v3,
    "resnet50": resnet50,
    "bvlc_googlenet": bvlc_googlenet,
}
