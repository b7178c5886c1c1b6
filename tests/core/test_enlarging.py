"""Convolutions of enlarged features: the same as enlarging and then convolving."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.enlarging import LargerConv2d, convolved_larger


def plainly(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, edges: str) -> torch.Tensor:
    large = F.interpolate(x, scale_factor=2, mode="nearest")
    more = weight.shape[-1] - 2
    padded = F.pad(large, (1, more, 1, more), mode="reflect" if edges == "reflect" else "constant")
    return F.conv2d(padded, weight, bias)


@settings(deadline=None, max_examples=30)
@given(
    case=st.sampled_from([(3, "zeros"), (4, "zeros"), (3, "reflect")]),
    pictures=st.integers(1, 2),
    before=st.integers(1, 4),
    after=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_it_is_a_convolution_of_what_was_enlarged_with_all_its_slopes(
    case: tuple[int, str], pictures: int, before: int, after: int, height: int, width: int, seed: int
) -> None:
    side, edges = case
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(pictures, before, height, width, generator=draw, dtype=torch.float64).requires_grad_()
    weight = torch.randn(after, before, side, side, generator=draw, dtype=torch.float64).requires_grad_()
    bias = torch.randn(after, generator=draw, dtype=torch.float64).requires_grad_()
    found, expected = convolved_larger(x, weight, bias, edges=edges), plainly(x, weight, bias, edges)
    assert found.shape == (pictures, after, 2 * height, 2 * width)
    torch.testing.assert_close(found, expected)
    back = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(found, (x, weight, bias), back),
        torch.autograd.grad(expected, (x, weight, bias), back),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("bias", [True, False])
def test_as_a_layer_it_has_the_weights_of_the_convolution(bias: bool) -> None:
    layer = LargerConv2d(2, 5, 4, bias=bias)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "weight": (5, 2, 4, 4),
        **({"bias": (5,)} if bias else {}),
    }
    x = torch.rand(1, 2, 3, 7)
    assert torch.equal(layer(x), convolved_larger(x, layer.weight, layer.bias)) and layer(x).shape == (1, 5, 6, 14)
