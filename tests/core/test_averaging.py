"""The running mean of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gencli.core.averaging import RunningMean


def test_it_is_the_mean_of_all_steps_and_then_an_exponential_one() -> None:
    net = nn.Linear(1, 1)
    mean = RunningMean(net, 0.75)
    found = []
    for value in (3.0, 5.0, 10.0, 6.0, 10.0):
        nn.init.constant_(net.weight, value)
        mean.update(net)
        found.append(float(mean.net.weight))
    assert found == pytest.approx([3, 4, 6, 6, 0.75 * 6 + 0.25 * 10])


def test_it_is_a_network_of_its_own_that_is_not_trained() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    mean = RunningMean(net, 0.9)
    net(torch.randn(8, 2)).sum().backward()
    assert not mean.net.training and not any(weight.requires_grad for weight in mean.net.parameters())
    before = mean.net[0].weight.clone()
    with torch.no_grad():
        net[0].weight.add_(1)
    assert torch.equal(mean.net[0].weight, before)
    mean.update(net)
    assert torch.equal(mean.net[0].weight, net[0].weight)
    assert torch.equal(mean.net[1].running_mean, net[1].running_mean)
    assert float(mean.net[1].running_mean.abs().sum()) > 0


def test_it_goes_on_where_it_stopped() -> None:
    net = nn.Linear(1, 1)
    whole, parts = RunningMean(net, 0.9), RunningMean(net, 0.9)
    again = RunningMean(nn.Linear(1, 1), 0.9)
    for step in range(6):
        nn.init.constant_(net.weight, float(step))
        whole.update(net)
        (parts if step < 3 else again).update(net)
        if step == 2:
            again.load_state_dict(parts.state_dict())
            again.net.load_state_dict(parts.net.state_dict())
    assert torch.equal(whole.net.weight, again.net.weight)
