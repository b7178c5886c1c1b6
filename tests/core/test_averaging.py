"""The running mean of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gencli.core.averaging import RunningMean, measuring


def test_it_reaches_back_over_a_share_of_the_steps_and_then_evenly() -> None:
    net = nn.Linear(1, 1)
    mean = RunningMean(net, 0.75)
    wanted = 0.0
    for step in range(1, 60):
        value = float(step**2 % 17)
        nn.init.constant_(net.weight, value)
        mean.update(net)
        share = max(0.25, 10 / (step + 9))
        wanted += share * (value - wanted)
        assert float(mean.net.weight) == pytest.approx(wanted)
    assert share == 0.25  # from step 31 on


def test_the_first_step_is_the_mean() -> None:
    net = nn.Linear(1, 1)
    mean = RunningMean(net, 0.999)
    nn.init.constant_(net.weight, 7.0)
    mean.update(net)
    assert float(mean.net.weight) == 7.0


def test_weights_of_long_ago_are_forgotten() -> None:
    net = nn.Linear(1, 1)
    mean = RunningMean(net, 0.999)
    for step in range(100):
        nn.init.constant_(net.weight, 1.0 if step < 50 else 0.0)
        mean.update(net)
    assert float(mean.net.weight) < 0.01


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


def test_batch_norms_are_measured_anew_all_batches_alike() -> None:
    draw = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.5)).eval()
    net[0].running_mean.fill_(9.0)
    batches = 2 + 5 * torch.randn(4, 50, 3, generator=draw)
    with measuring(net) as found:
        assert found and not net[1].training
        for batch in batches:
            net(batch)
    torch.testing.assert_close(net[0].running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(net[0].running_var, batches.var(1).mean(0))
    assert net[0].momentum == 0.3 and not net[0].training
    with measuring(nn.Linear(2, 2)) as found:
        assert not found
