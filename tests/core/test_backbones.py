"""Backbones: the numbers of the networks they are, layers by name, and how far they see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from gencli.core import backbones, networks, store, weights
from gencli.core.backbones import Backbone
from gencli.core.errors import GencliError, MissingError, UsageError

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in (networks.IMAGENET_MEAN, networks.IMAGENET_STD))
WIDTHS, DEPTHS, CLASSES = (4, 6, 8), (1, 2, 1), ("cat", "dog", "owl")
DESCRIPTION = {
    "kind": "backbone",
    "vgg": {"widths": WIDTHS, "depths": DEPTHS, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    "classes": CLASSES,
}


def draw(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random values everywhere, the statistics of batch norm too, of a size that reaches the last layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.ndim > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif tensor.is_floating_point():
                tensor.uniform_(0.5 if "var" in name else -0.2, 1.5 if "var" in name else 0.2, generator=generator)
                if name.endswith("weight"):
                    tensor.add_(1)
    return net.eval()


def pictures(height: int, width: int, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(5))


def tiny(seed: int = 0) -> Backbone:
    architecture = networks.vgg(WIDTHS, DEPTHS, classes=3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    net = draw(Backbone("tiny", architecture, CLASSES), seed)
    assert isinstance(net, Backbone)
    return net


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    weights.write(tmp_path / "tiny.safetensors", tiny().state_dict(), DESCRIPTION)
    return tmp_path / "tiny.safetensors"


def drop(name: str, state: dict[str, Tensor]) -> Path:
    """Put a published file into the weights folder, as a person would."""
    path = weights.folder() / weights.SOURCES[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


# ------------------------------------------------------------------ the networks of others


def assert_same_as_torchvision(
    name: str, net: nn.Module, layers: dict[str, str], side: int, prepare: Callable[[Tensor], Tensor]
) -> None:
    """Layers and logits are those of torchvision's own module: from the file dropped in, and converted."""
    shown = pictures(side, side + 8, 2)
    expected: dict[str, Tensor] = {}
    modules = dict(net.named_modules())
    for layer, path in layers.items():
        modules[path].register_forward_hook(lambda _, __, out, layer=layer: expected.update({layer: out.clone()}))
    with torch.no_grad():
        logits = net(prepare(shown))
    drop(name, net.state_dict())
    for _ in ("from the .pth", "converted"):
        backbone = backbones.load(name)
        found = backbone(shown, layers)
        for layer in layers:
            torch.testing.assert_close(found[backbone.resolve(layer)], expected[layer], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(backbone.logits(shown), logits, rtol=1e-4, atol=1e-4)
        weights.locate(name).with_suffix(".pth").unlink(missing_ok=True)
    assert weights.locate(name) == weights.converted(name)
    assert not any(parameter.requires_grad for parameter in backbone.parameters()) and not backbone.training


def imagenet(shown: Tensor) -> Tensor:
    return (shown - MEAN) / STD


def test_squeezenet() -> None:
    net = draw(torchvision.models.squeezenet1_1(weights=None))
    layers = {"conv1": "features.1", "pool1": "features.2", "fire5": "features.7", "fire9": "features.12"}
    assert_same_as_torchvision("squeezenet1_1", net, layers, 64, imagenet)
    assert sum(p.numel() for p in backbones.load("squeezenet1_1").parameters()) == 1_235_496


def test_googlenet() -> None:
    net = draw(torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False))
    layers = {"conv3": "conv3", "inception4c": "inception4c", "inception_5b": "inception5b"}
    assert_same_as_torchvision("googlenet", net, layers, 64, imagenet)


@pytest.mark.slow
def test_inception_v3() -> None:
    net = draw(torchvision.models.inception_v3(weights=None, transform_input=True, init_weights=False))
    layers = {
        "Conv2d_2b_3x3": "Conv2d_2b_3x3",
        "mixed4": "Mixed_6b",
        "Mixed_6e": "Mixed_6e",
        "mixed10": "Mixed_7c",
    }
    assert_same_as_torchvision("inception_v3", net, layers, 96, imagenet)


@pytest.mark.slow
def test_resnet50() -> None:
    net = draw(torchvision.models.resnet50(weights=None))
    layers = {"conv1": "relu", "layer1_2": "layer1.2", "layer3.5": "layer3.5", "layer4_2": "layer4.2"}
    assert_same_as_torchvision("resnet50", net, layers, 64, imagenet)


@pytest.mark.parametrize(("name", "letter", "count"), [("vgg16", "D", 14_714_688), ("vgg19", "E", 20_024_384)])
def test_vgg_is_cut_to_its_convolutions(name: str, letter: str, count: int) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    features = draw(make_layers(cfgs[letter], batch_norm=False))
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    drop(name, state | {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)})
    backbone = backbones.load(name)
    assert sum(p.numel() for p in backbone.parameters()) == count
    assert weights.converted(name).stat().st_size == pytest.approx(4 * count, rel=0.01)
    shown = pictures(32, 40)
    found = backbone(shown, ["conv1_2", "pool3", "relu4_2", "block5_conv3"])
    with torch.no_grad():
        activations = [imagenet(shown)]
        for module in features.children():
            activations.append(module(activations[-1].clone()))
    places = {"conv1_2": 4, "pool3": 17 if name == "vgg16" else 19, "conv4_2": 21 if name == "vgg16" else 23}
    places["conv5_3"] = 30 if name == "vgg16" else 34
    assert set(found) == set(places)
    for layer, place in places.items():
        torch.testing.assert_close(found[layer], activations[place], rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="has no classifier"):
        backbone.logits(shown)


def caffe_googlenet(tensors: dict[str, Tensor], bgr: Tensor) -> dict[str, Tensor]:
    """Caffe's GoogLeNet written down from its definition file, independent of gencli's modules."""
    F = nn.functional

    def conv(x: Tensor, name: str, stride: int = 1, pad: int = 0) -> Tensor:
        return F.relu(F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], stride, pad))

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    found = {"conv1": conv(bgr, "conv1/7x7_s2", 2, 3)}
    x = F.local_response_norm(pool(found["conv1"]), 5, 1e-4, 0.75, 1.0)
    x = conv(conv(x, "conv2/3x3_reduce"), "conv2/3x3", pad=1)
    x = pool(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0))
    for name in networks.INCEPTIONS:
        i = f"inception_{name}"
        x = pool(x) if name in {"4a", "5a"} else x
        five = conv(conv(x, f"{i}/5x5_reduce"), f"{i}/5x5", pad=2)
        three = conv(conv(x, f"{i}/3x3_reduce"), f"{i}/3x3", pad=1)
        pooled = conv(F.max_pool2d(x, 3, 1, 1), f"{i}/pool_proj")
        x = found[i] = torch.cat([conv(x, f"{i}/1x1"), three, five, pooled], 1)
    classifier = tensors["loss3/classifier.weight"].flatten(1)
    found["logits"] = x.mean((2, 3)) @ classifier.T + tensors["loss3/classifier.bias"]
    return found


def caffe_tensors() -> dict[str, Tensor]:
    """Random weights under Caffe's names."""
    shapes = {"conv1/7x7_s2": (64, 3, 7), "conv2/3x3_reduce": (64, 64, 1), "conv2/3x3": (192, 64, 3)}
    shapes["loss3/classifier"] = (1000, 1024, 1)
    for name, (entered, one, reduce3, three, reduce5, five, pool) in networks.INCEPTIONS.items():
        parts = {"1x1": (one, entered, 1), "3x3_reduce": (reduce3, entered, 1), "3x3": (three, reduce3, 3)}
        parts |= {
            "5x5_reduce": (reduce5, entered, 1),
            "5x5": (five, reduce5, 5),
            "pool_proj": (pool, entered, 1),
        }
        shapes |= {f"inception_{name}/{part}": shape for part, shape in parts.items()}
    draws = torch.Generator().manual_seed(1)
    tensors = {}
    for name, (out, entered, side) in shapes.items():
        scale = (2 / (entered * side * side)) ** 0.5
        tensors[f"{name}.weight"] = torch.randn(out, entered, side, side, generator=draws) * scale
        tensors[f"{name}.bias"] = torch.rand(out, generator=draws)
    return tensors


@pytest.mark.parametrize("file", ["bvlc_googlenet.safetensors", "bvlc_googlenet-imagenet-fp16.safetensors"])
def test_bvlc_googlenet(file: str) -> None:
    tensors = caffe_tensors()
    half = "fp16" in file
    weights.write(weights.folder() / file, {k: v.half() if half else v for k, v in tensors.items()}, {})
    tensors = {k: v.half().float() if half else v for k, v in tensors.items()}
    shown = pictures(61, 50)  # odd: Caffe's pooling rounds up
    bgr = shown.flip(1) * 255 - torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1)
    expected = caffe_googlenet(tensors, bgr)
    for _ in ("as published", "converted"):
        backbone = backbones.load("bvlc_googlenet")
        found = backbone(shown, ["conv1", "inception_4c/output", "inception_5b"])
        for layer in ("conv1", "inception_4c", "inception_5b"):
            scale = float(expected[layer].abs().mean())
            torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-4 * scale)
        torch.testing.assert_close(backbone.logits(shown), expected["logits"], rtol=1e-3, atol=1e-2)


def test_normalisation_across_channels_is_local_response_normalisation() -> None:
    x = 300 * torch.randn(2, 11, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(networks.AcrossChannels()(x), nn.LocalResponseNorm(5)(x))


# ------------------------------------------------------------------ gencli's own networks


def test_a_network_of_ones_own_keeps_its_numbers(tiny_file: Path) -> None:
    shown = pictures(16, 20)
    loaded = backbones.load(str(tiny_file))
    assert (loaded.name, loaded.classes, loaded.layers) == (
        "tiny",
        CLASSES,
        ("conv1_1", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1"),
    )
    torch.testing.assert_close(loaded.logits(shown), tiny().logits(shown))
    expected = (shown - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    torch.testing.assert_close(loaded.normalise(shown), expected)


def test_half_precision_files_compute_in_single(tmp_path: Path) -> None:
    weights.write(tmp_path / "h.safetensors", {k: v.half() for k, v in tiny().state_dict().items()}, DESCRIPTION)
    loaded = backbones.load(str(tmp_path / "h.safetensors"))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def trained(name: str, seed: int = 0, art: str = "dream", **config: Any) -> None:
    folder = store.folder(art, name)
    config = {**DESCRIPTION, "art": art, **config}
    store.save_weights(folder, tiny(seed).state_dict(), config)
    from gencli.core.files import write_json

    write_json(folder / store.CONFIG, config)


def test_trained_networks_are_found_by_their_name_and_the_newest_as_latest() -> None:
    import os

    trained("mine", 1)
    trained("other", 2)
    trained("words", 3, "textgen", kind="lstm")
    for age, name in enumerate(("other", "mine")):
        os.utime(store.folder("dream", name) / store.WEIGHTS, (1e9 + age, 1e9 + age))
    shown = pictures(16, 16)
    for name, seed in (
        ("mine", 1),
        ("dream/other", 2),
        ("latest", 1),
        (str(store.folder("dream", "other")), 2),
    ):
        torch.testing.assert_close(backbones.load(name).logits(shown), tiny(seed).logits(shown))
    assert set(backbones.names()) >= {"vgg19", "bvlc_googlenet", "mine", "other"}
    assert "words" not in backbones.names()
    with pytest.raises(UsageError, match="words is not a backbone"):
        backbones.load("words")


def test_unknown_networks_are_an_error_that_lists_the_known(tmp_path: Path) -> None:
    trained("mine")
    (store.folder("dream", "mine").with_name("broken")).mkdir()
    (store.folder("dream", "broken") / store.CONFIG).write_text("{")  # is no obstacle
    with pytest.raises(UsageError, match="no backbone is called vgg20") as error:
        backbones.load("vgg20")
    assert error.value.hint is not None and "vgg19" in error.value.hint and "mine" in error.value.hint


def test_missing_weights_say_what_to_put_where() -> None:
    with pytest.raises(MissingError) as error:
        backbones.load("vgg19")
    assert error.value.exit_code == 3
    for part in ("gencli models pull vgg19", "https://", "dcbb9e9d", str(weights.folder())):
        assert part in (error.value.hint or "")


def test_files_that_do_not_fit_are_errors(tmp_path: Path, tiny_file: Path) -> None:
    drop("squeezenet1_1", {"features.0.weight": torch.zeros(1)})
    with pytest.raises(GencliError, match="do not fit"):
        backbones.load("squeezenet1_1")
    drop("vgg16", {"features.x.weight": torch.zeros(1), "other": torch.zeros(1)})
    with pytest.raises(GencliError, match="do not fit vgg16"):
        backbones.load("vgg16")
    weights.write(tmp_path / "bvlc_googlenet.safetensors", {"nodot": torch.zeros(1)}, {})
    with pytest.raises(GencliError, match="do not fit bvlc_googlenet"):
        backbones.load(str(tmp_path / "bvlc_googlenet.safetensors"))
    weights.write(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"kind": "backbone"})
    with pytest.raises(GencliError, match="does not say how its network is built"):
        backbones.load(str(tmp_path / "x.safetensors"))
    weights.write(tmp_path / "y.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(UsageError, match="not a network gencli knows"):
        backbones.load(str(tmp_path / "y.safetensors"))


def test_a_file_elsewhere_is_used_but_not_installed(tmp_path: Path) -> None:
    net = draw(torchvision.models.squeezenet1_1(weights=None))
    torch.save(net.state_dict(), tmp_path / "squeezenet1_1-mine.pth")
    backbones.load(str(tmp_path / "squeezenet1_1-mine.pth"))
    assert not weights.folder().exists()


# ------------------------------------------------------------------ layers


def test_layers_come_in_the_networks_order_under_its_names() -> None:
    net = tiny()
    found = net(pictures(16, 16), ["RELU3_1", "input", "block2_conv1", "conv1_1"])
    assert list(found) == ["input", "conv1_1", "conv2_1", "conv3_1"]
    assert [tuple(t.shape[1:]) for t in found.values()] == [(3, 16, 16), (4, 16, 16), (6, 8, 8), (8, 4, 4)]


def test_unknown_layers_are_an_error_that_lists_the_layers() -> None:
    with pytest.raises(UsageError, match="tiny has no layer conv9_9") as error:
        tiny()(pictures(16, 16), ["conv9_9"])
    assert error.value.hint == "its layers are input, conv1_1, pool1, conv2_1, conv2_2, pool2, conv3_1"


@pytest.mark.parametrize(
    ("network", "alias", "layer"),
    [
        ("vgg19", "relu4_2", "conv4_2"),
        ("vgg19", "block4_conv2", "conv4_2"),
        ("inception_v3", "Mixed_6b", "mixed4"),
        ("inception_v3", "mixed_7c", "mixed10"),
        ("bvlc_googlenet", "inception_4c/output", "inception_4c"),
        ("googlenet", "inception_4c", "inception4c"),
        ("resnet50", "layer3.5", "layer3_5"),
    ],
)
def test_other_names_of_layers(network: str, alias: str, layer: str) -> None:
    with torch.device("meta"):
        assert Backbone(network, networks.BUILDERS[network]()).resolve(alias) == layer


@pytest.mark.parametrize(("layer", "stages"), [("input", 0), ("conv1_1", 1), ("conv2_1", 3), ("conv3_1", 6)])
def test_the_network_runs_only_as_deep_as_asked(layer: str, stages: int) -> None:
    net = tiny()
    ran: list[nn.Module] = []
    for stage in net.stages.values():
        stage.register_forward_hook(lambda module, *_: ran.append(module))
    net(pictures(16, 16), ["input", layer])
    assert len(ran) == stages


def seen(net: Backbone, layer: str, side: int) -> tuple[int, int, int]:
    """Position (its row) in the middle of a layer, and the first and last pixel row its value depends on."""
    shown = pictures(side, side).double().requires_grad_()
    activation = net(shown, [layer])[layer]
    row = activation.shape[2] // 2
    gradient = torch.autograd.grad(activation[0, :, row, activation.shape[3] // 2].square().sum(), shown)[0]
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    columns = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
    return row, int(min(rows[0], columns[0])), int(max(rows[-1], columns[-1]))


def assert_reach(net: Backbone, layers: list[str], side: int) -> None:
    for layer in layers:
        stride, radius = net.reach(layer)
        row, first, last = seen(net, layer, side)
        assert max(row * stride - first, last - row * stride) <= radius, layer


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_reach_is_a_bound_of_how_far_layers_see(tiny_file: Path, pooling: str) -> None:
    net = backbones.load(str(tiny_file), pooling=pooling).double()
    assert net.reach("input") == (1, 0)
    assert net.reach("conv1_1") == (1, 1)
    assert net.reach("conv3_1") == (4, 1 + 1 + 2 + 2 + 2 + 4)  # conv, pool, two convs, pool, conv
    assert_reach(net, ["conv1_1", "pool1", "conv2_2", "conv3_1"], 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "layers"),
    [
        ("squeezenet1_1", ["conv1", "fire3", "fire5"]),
        ("bvlc_googlenet", ["conv1", "norm2", "inception_3a"]),
        ("inception_v3", ["Conv2d_2b_3x3", "Conv2d_4a_3x3", "mixed0", "mixed3", "mixed4"]),
        ("resnet50", ["conv1", "layer1_2", "layer2_1"]),
    ],
)
def test_reach_is_a_bound_in_the_networks_of_others(network: str, layers: list[str]) -> None:
    architecture = networks.BUILDERS[network]()
    net = Backbone(network, architecture).to_empty(device="cpu")
    net.mean, net.std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    assert isinstance(draw(net), Backbone)
    assert_reach(net.double(), layers, 299)


# ------------------------------------------------------------------ batch norm, pooling, padding


def test_folding_batch_norm_changes_nothing() -> None:
    architecture = networks.vgg(WIDTHS, DEPTHS, classes=3, batch_norm=True)
    net = Backbone("net", architecture, CLASSES)
    draw(net).double()
    shown = pictures(16, 16, 2).double()
    before = net.logits(shown)
    for name, stage in net.stages.items():
        if isinstance(stage, nn.Sequential):
            net.stages[name] = networks.fold(stage)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(net.logits(shown), before, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["average", "l2"])
@pytest.mark.parametrize(("kernel", "padding", "ceil"), [(2, 0, False), (3, 1, False), (3, 0, True)])
def test_poolings(kind: str, kernel: int, padding: int, ceil: bool) -> None:
    x = torch.rand(1, 2, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    replaced = nn.MaxPool2d(kernel, 2, padding, ceil_mode=ceil)
    found = backbones.RescaledPool(kind, replaced)(x)
    assert found.shape == replaced(x).shape
    window = x[0, 1, 2 - padding : 2 - padding + kernel, 2 - padding : 2 - padding + kernel]
    expected = window.mean() if kind == "average" else window.square().mean().sqrt()
    torch.testing.assert_close(found[0, 1, 1, 1], backbones.POOLINGS[kind] * expected)


def test_pooled_flat_areas_have_a_gradient_of_nought_and_not_nan() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(backbones.RescaledPool("l2", nn.MaxPool2d(2))(x).sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


def test_pooling_replaces_every_pool_between_stages(tiny_file: Path) -> None:
    net = backbones.load(str(tiny_file), pooling="average")
    assert isinstance(net.stages["pool1"], backbones.RescaledPool)
    assert isinstance(net.stages["pool2"], backbones.RescaledPool)
    for bad in ({"pooling": "median"}, {"padding": "wrap"}):
        with pytest.raises(UsageError):
            backbones.load(str(tiny_file), **bad)


@pytest.mark.parametrize(
    ("padding", "mode"), [("zeros", "constant"), ("replicate", "replicate"), ("reflect", "reflect")]
)
def test_padding_is_what_convolutions_see_beyond_the_border(tiny_file: Path, padding: str, mode: str) -> None:
    net = backbones.load(str(tiny_file), padding=padding)
    shown = pictures(12, 12)
    convolution = tiny().stages["conv1_1"][0]  # type: ignore[index]
    padded = nn.functional.pad(net.normalise(shown), (1, 1, 1, 1), mode=mode)
    expected = nn.functional.conv2d(padded, convolution.weight, convolution.bias).relu()
    torch.testing.assert_close(net(shown, ["conv1_1"])["conv1_1"], expected)


def test_loading_leaves_random_numbers_alone(tiny_file: Path) -> None:
    before = torch.get_rng_state()
    backbones.load(str(tiny_file))
    assert torch.equal(torch.get_rng_state(), before)
