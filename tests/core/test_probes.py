"""Linear classifiers on features."""

from __future__ import annotations

import torch

from gencli.core.probes import logistic


def test_classes_that_lie_apart_are_told_apart() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 3
    centres = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    rows = centres[labels] + torch.randn(600, 2, generator=draw)
    probe = logistic(rows[:500], labels[:500], 3)
    with torch.no_grad():
        found = probe(rows[500:]).argmax(1)
    assert float((found == labels[500:]).float().mean()) > 0.85
    again = logistic(rows[:500], labels[:500], 3)
    assert torch.equal(again.weight, probe.weight)
